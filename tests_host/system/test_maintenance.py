"""Firmware management and credentials on the whole charger: real files, real servers, real TLS.

Certification cases 044_2, 044_3, 045_1, 045_2 are here; 073 and 083 to 086 in tests_host/oca, of which this has the
other ends: what does not connect, and a power cut in between.
"""

import asyncio
import gzip
from pathlib import Path
from typing import Any

from tests_host.system.file_server import Fault, FileServer, FtpServer
from tests_host.system.rig import system_test
from tests_host.system.steps import QuickRig, assert_sent_once, begin, calls_of, finish, reconnected, together
from tools.build_mpy import build
from tools.csms.certificates import make_certificates
from tools.demo.firmware import HEAP_32, ROOT

KEY = "a local key of 20 ch"
NEW_HEX = "4F43415F4F4354545F61646D696E5F74657374"
NEW = bytes.fromhex(NEW_HEX)
ACCEPTED = {"status": "Accepted"}
PAST = "2020-01-01T00:00:00Z"


def _statuses(rig: QuickRig, action: str = "FirmwareStatusNotification") -> list[str]:
    return [frame.payload["status"] for frame in calls_of(rig, action)]


async def _update(rig: QuickRig, location: str, *wanted: str, **fields: Any) -> None:
    """UpdateFirmware; exactly these statuses follow."""
    before = len(_statuses(rig))
    since = rig.mark()
    assert await rig.call("UpdateFirmware", {"location": location, "retrieveDate": PAST, **fields}) == {}
    await rig.wait_call("FirmwareStatusNotification", since=since, timeout=20, status=wanted[-1])
    assert _statuses(rig)[before:] == list(wanted)


async def _trigger(rig: QuickRig, message: str, status: str) -> None:
    since = rig.mark()
    assert await rig.call("TriggerMessage", {"requestedMessage": message}) == ACCEPTED
    await rig.wait_call(message, since=since, status=status)


async def _updates(path: Path) -> None:
    """044_2, 044_3: nothing is there, it breaks off, it is no bundle, it cannot be verified; then a session works."""
    bundle = gzip.compress(bytes(range(256)) * 400, mtime=0)
    with FileServer() as http:
        async with QuickRig(path, "updates") as rig:
            http.files |= {"/new.tar.gz": bundle, "/x": b"#!/bin/sh"}
            http.faults["/huge"] = [Fault(claim=1 << 24)]
            http.files["/huge"] = bundle
            await _trigger(rig, "FirmwareStatusNotification", "Idle")
            await _update(rig, http.url("/none"), "Downloading", "DownloadFailed", retries=0)
            await _update(rig, http.url("/none"), "Downloading", "DownloadFailed", retries=1, retryInterval=1)
            await _update(rig, http.url("/huge"), "Downloading", "DownloadFailed", retries=5)
            await _update(rig, "gopher://127.0.0.1/x", "Downloading", "DownloadFailed", retries=0)
            assert [p for _, p, _ in http.requests] == ["/none"] * 3 + ["/huge"]
            for name in ("/x", "/new.tar.gz"):
                http.faults[name] = [Fault(cut_at=4)]
                since = rig.mark()
                wanted = ("Downloading", "Downloaded", "Installing", "InstallationFailed")
                await _update(rig, http.url(name, "user:secret-word@"), *wanted)
                for connector in (0, 1):
                    for status in ("Unavailable", "Available"):
                        await rig.wait_call("StatusNotification", since=since, connectorId=connector, status=status)
            assert [h.get("range") for _, p, h in http.requests if p == "/new.tar.gz"] == [None, "bytes=4-"]
            assert not list(rig.data.glob("update*")), "what cannot be installed is not kept"
            # Never while a transaction runs: it waits for the end.
            before = len(_statuses(rig))
            transaction = await begin(rig)
            http.requests.clear()
            request = {"location": http.url("/x"), "retrieveDate": PAST}
            assert await rig.call("UpdateFirmware", request) == {}
            await rig.expect("MeterValues", context="Sample.Periodic")
            await rig.expect("MeterValues", context="Sample.Periodic")
            assert not http.requests and len(_statuses(rig)) == before
            since = rig.mark()
            await finish(rig, transaction)
            await rig.wait_call("FirmwareStatusNotification", since=since, timeout=20, status="InstallationFailed")
            await _trigger(rig, "FirmwareStatusNotification", "Idle")
            rig.assert_schemas()
            assert_sent_once(rig)
            assert "secret-word" not in "\n".join(rig.firmware.lines)


async def _interrupted_update(path: Path) -> None:
    """The power is cut in the middle of a download: it goes on by itself once the boot is accepted."""
    with FileServer() as http:
        async with QuickRig(path, "interrupted") as rig:
            http.files["/slow"] = gzip.compress(bytes(60_000), 0, mtime=0)
            http.faults["/slow"] = [Fault(pace=0.05)]
            request = {"location": http.url("/slow"), "retrieveDate": PAST}
            assert await rig.call("UpdateFirmware", request) == {}
            await rig.wait_call("FirmwareStatusNotification", status="Downloading")
            await rig.firmware.meanwhile(_grown(rig.data / "update.part", 3000))
            mark = rig.mark()
            await rig.restart_firmware()
            await rig.wait_call("FirmwareStatusNotification", since=mark, timeout=20, status="InstallationFailed")
            assert _statuses(rig) == ["Downloading"] * 2 + ["Downloaded", "Installing", "InstallationFailed"]
            boot = calls_of(rig, "BootNotification")[-1]
            assert boot.n < calls_of(rig, "FirmwareStatusNotification")[1].n
            rig.assert_schemas()


async def _grown(file: Path, size: int) -> None:
    def is_grown() -> bool:
        return file.exists() and file.stat().st_size >= size

    async with asyncio.timeout(15):
        while not is_grown():  # noqa: ASYNC110 - nothing tells when a file grows
            await asyncio.sleep(0.02)


async def _diagnostics(path: Path) -> None:
    """045_1, 045_2: by PUT, POST and FTP, over TLS; in a session too, as soon as that cannot disturb it."""
    certificates = make_certificates(_folder(path / "files"), "127.0.0.1")
    settings = {"ocpp.authorization_key": KEY, "ocpp.ca_file": str(certificates.ca_file)}
    with (
        FileServer(ssl=certificates.server_context()) as https,
        FileServer() as http,
        FtpServer(user="u", password="p") as ftp,
    ):
        async with QuickRig(path, "diag: 1", settings=settings) as rig:
            action = "DiagnosticsStatusNotification"
            await _trigger(rig, action, "Idle")
            for location, uploads in (
                (https.url("/in/"), https.uploads),
                (http.url("/put"), http.uploads),
                (ftp.url("logs/new", "u:p@"), ftp.files),
            ):
                before = len(_statuses(rig, action))
                since = rig.mark()
                answer = await rig.call("GetDiagnostics", {"location": location, "retries": 0})
                assert answer["fileName"].startswith("diag__1_2") and answer["fileName"].endswith("Z.txt"), answer
                await rig.wait_call(action, since=since, timeout=20, status="Uploaded")
                assert _statuses(rig, action)[before:] == ["Uploading", "Uploaded"]
                (name,) = uploads
                assert name in (f"/in/{answer['fileName']}", "/put", f"/logs/new/{answer['fileName']}")
                text = uploads[name].decode()
                for part in ("identity diag: 1, url ws://", "registration Accepted", "connector 1: Available NoError"):
                    assert part in text, text
                for part in ("bus pm1", "MeterValueSampleInterval = 2", "I ocpp: registration Accepted"):
                    assert part in text, text
                for part in ("on board sim, boot 1,", "module 1: bad frames 0", "meter session 0 mWh"):
                    assert part in text, text
                for part in ("journal of messages: live", "event log: ", "heap: "):
                    assert part in text, text
                assert "[last crashes]\n[log on flash]\n-- boot 1, " in text, text
                assert KEY not in text and "cannot tell" not in text
            set_post = {"key": "RivotUploadMethod", "value": "POST"}
            assert await rig.call("ChangeConfiguration", set_post) == ACCEPTED
            transaction = await begin(rig)
            # TLS blocks the program for moments on a device: it waits for the end of the session. Plain HTTP does not.
            since = rig.mark()
            request = {"location": http.url("/"), "startTime": "2090-01-01T00:00:00Z"}
            name = (await rig.call("GetDiagnostics", request))["fileName"]
            await rig.wait_call(action, since=since, status="Uploaded")
            assert http.requests[-1][:2] == ("POST", f"/{name}")
            text = http.uploads[f"/{name}"].decode()
            assert "[log in memory]\n[changed settings]\n" in text, "nothing is that young"
            assert text.splitlines()[-2:] == ["-- boot 1, an unknown time at 0 s", text.splitlines()[-1]], text
            https.uploads.clear()
            name = (await rig.call("GetDiagnostics", {"location": https.url("/")}))["fileName"]
            await rig.expect("MeterValues", context="Sample.Periodic")
            await rig.expect("MeterValues", context="Sample.Periodic")
            assert not https.uploads and https.requests[-1][1] != f"/{name}"
            since = rig.mark()
            await finish(rig, transaction)
            await rig.wait_call(action, since=since, timeout=20, status="Uploaded")
            assert list(https.uploads) == [f"/{name}"]
            http.faults["/no"] = [Fault(status=500)] * 2
            for location in (http.url("/no"), "sftp://127.0.0.1/x", ftp.url("logs", "u:wrong@")):
                since = rig.mark()
                twice = {"location": location, "retries": 1, "retryInterval": 0}
                assert "fileName" in await rig.call("GetDiagnostics", twice)
                await rig.wait_call(action, since=since, timeout=20, status="UploadFailed")
            assert not http.faults["/no"], "two attempts"
            rig.assert_schemas()
            assert KEY not in "\n".join(rig.firmware.lines)


def _folder(path: Path) -> Path:
    path.mkdir(parents=True)
    return path


# Credentials


async def _change(rig: QuickRig, key: str, value: str) -> int:
    """ChangeConfiguration that ends the connection; the mark before it."""
    mark = rig.mark()
    assert await rig.call("ChangeConfiguration", {"key": key, "value": value}) == ACCEPTED
    await rig.firmware.meanwhile(rig.csms.wait_for(kind="CLOSE", since=mark, timeout=10))
    return mark


async def _profile(rig: QuickRig) -> str:
    answer = await rig.call("GetConfiguration", {"key": ["SecurityProfile", "AuthorizationKey"]})
    values = {entry["key"]: entry.get("value") for entry in answer["configurationKey"]}
    assert values["AuthorizationKey"] is None
    return str(values["SecurityProfile"])


async def _refused_key(path: Path) -> None:
    """The central system does not take its own new key: back to the old one, which goes on to work. The power is cut
    while the new one is on trial, and that changes nothing."""
    settings = {"ocpp.authorization_key": KEY}
    async with QuickRig(path, "refused-key", settings=settings, csms={"basic_auth": KEY.encode()}) as rig:
        mark = await _change(rig, "AuthorizationKey", NEW_HEX)
        await rig.restart_firmware(wait_registered=False)
        await reconnected(rig, mark, 60)
        assert await _profile(rig) == "1"
        await rig.wait_line("new ones are dropped")
        mark = rig.mark()
        await rig.csms.drop(rig.identity)
        await reconnected(rig, mark)
        await finish(rig, await begin(rig))
        said = "\n".join(rig.firmware.lines) + str(rig.csms.transcript)
        assert KEY not in said and NEW.decode() not in said


async def _new_key_in_a_session(path: Path) -> None:
    """073 while a vehicle charges: the session goes on, and its messages follow on the new connection."""
    settings = {"ocpp.authorization_key": KEY}
    async with QuickRig(path, "new-key", settings=settings, csms={"basic_auth": KEY.encode()}) as rig:
        transaction = await begin(rig)
        mark = await _change(rig, "AuthorizationKey", NEW_HEX)
        rig.csms.network.basic_auth = NEW
        await reconnected(rig, mark, 40)
        assert (await rig.sim.state())["output_on"]
        await finish(rig, transaction)
        await rig.restart_firmware()
        assert await _profile(rig) == "1"
        rig.assert_schemas()
        assert_sent_once(rig)


async def _profile_that_does_not_connect(path: Path, trusted: Path) -> None:
    """1 to 2, but nobody speaks TLS there: three attempts, then back to 1, and it may be tried again."""
    settings = {"ocpp.authorization_key": KEY, "ocpp.ca_file": str(trusted)}
    async with QuickRig(path, "profile", settings=settings, csms={"basic_auth": KEY.encode()}) as rig:
        assert await _profile(rig) == "1"
        mark = await _change(rig, "SecurityProfile", "2")
        await reconnected(rig, mark, 60)
        assert await _profile(rig) == "1"
        await rig.wait_line("new ones are dropped")
        await _change(rig, "SecurityProfile", "2")


async def _any_name(path: Path) -> None:
    """The name check can be switched off: then the chain alone counts, and every connection says so."""
    elsewhere = make_certificates(_folder(path / "any"), "elsewhere.example")
    settings = {
        "ocpp.ca_file": str(elsewhere.ca_file),
        "ocpp.authorization_key": KEY,
        "ocpp.check_hostname": False,
    }
    csms = {"ssl": elsewhere.server_context(), "basic_auth": KEY.encode()}
    async with QuickRig(path, "any-name", settings=settings, csms=csms) as rig:
        await finish(rig, await begin(rig))
        assert any("NOT checked" in line for line in rig.firmware.lines)


async def _in_a_small_heap(path: Path, heap: str, then_session: bool) -> None:
    """The compiled firmware with the memory of the device: an update, diagnostics both ways, a new connection.

    The names of what was loaded for them stay: a session after them gets 8 kB more."""
    bundle = gzip.compress(bytes(30_000), 0, mtime=0)
    with FileServer() as http, FtpServer() as ftp:
        async with QuickRig(path, f"small-{heap}", bits=32, mpy=True, heap=heap) as rig:
            http.files["/x"] = bundle
            await _update(rig, http.url("/x"), "Downloading", "Downloaded", "Installing", "InstallationFailed")
            for location in (http.url("/d/"), ftp.url("logs")):
                since = rig.mark()
                assert "fileName" in await rig.call("GetDiagnostics", {"location": location})
                await rig.wait_call("DiagnosticsStatusNotification", since=since, timeout=20, status="Uploaded")
            mark = rig.mark()
            await rig.csms.drop(rig.identity)
            await reconnected(rig, mark, 40)
            if then_session:
                await finish(rig, await begin(rig))
            failed = [line for line in rig.firmware.lines if "MemoryError" in line or "Traceback" in line]
            assert not failed, failed


# The tests: what takes about the same time goes together.


@system_test
async def test_tc_044_045_firmware_and_diagnostics(tmp_path: Path) -> None:
    runs = {
        "updates": _updates(tmp_path),
        "interrupted": _interrupted_update(tmp_path),
        "diagnostics": _diagnostics(tmp_path),
        "any_name": _any_name(tmp_path),
    }
    if (ROOT / ".toolchain" / "bin" / "micropython32").exists():  # test_small_heap.py says so when it cannot run
        build(ROOT, "sim", ROOT / "build" / "sim")
        runs["small"] = _in_a_small_heap(tmp_path, HEAP_32, False)
        runs["session"] = _in_a_small_heap(tmp_path, "120k", True)
    await together(**runs)


@system_test
async def test_tc_073_083_credentials_that_do_not_connect(tmp_path: Path) -> None:
    server = make_certificates(_folder(tmp_path / "server"), "127.0.0.1")
    await together(
        refused_key=_refused_key(tmp_path),
        new_key=_new_key_in_a_session(tmp_path),
        profile=_profile_that_does_not_connect(tmp_path, server.ca_file),
    )
