"""OCA test cases of firmware management (TC_044, TC_045), with an HTTP server.

Numbers and expectations: OCTT test case document, FINAL 2024-04.
"""

from pathlib import Path
from typing import Any

from tests_host.oca.charger import Charger
from tests_host.oca.runner import oca
from tests_host.system.file_server import Fault, FileServer
from tests_host.system.steps import calls_of
from tools.demo.firmware import ROOT, Firmware

FIRMWARE = "FirmwareStatusNotification"
DIAGNOSTICS = "DiagnosticsStatusNotification"
PAST = "2020-01-01T00:00:00Z"
TRANSFER_S = 20.0


async def _ends_with(cp: Charger, action: str, *wanted: str) -> None:
    """The last of these statuses comes, and so far it was exactly these."""
    await cp.wait_call(action, status=wanted[-1], timeout=TRANSFER_S)
    assert [f.payload["status"] for f in calls_of(cp, action)] == list(wanted)


async def _update(cp: Charger, location: str) -> None:
    """UpdateFirmware, one attempt."""
    request = {"location": location, "retrieveDate": PAST, "retries": 0}
    assert await cp.call("UpdateFirmware", request) == {}


class AnyImage(Firmware):
    """The firmware, started through any_image.py."""

    def command(self, data: Path, factory: Path) -> tuple[list[str], dict[str, str]]:
        """As usual, with the script in the place of main.py."""
        argv, env = super().command(data, factory)
        main, script = str(ROOT / "firmware" / "main.py"), str(ROOT / "tests_host" / "oca" / "any_image.py")
        return [script if part == main else part for part in argv], env


@oca(program=AnyImage())
async def test_tc_044_1_firmware_update(cp: Charger) -> None:
    """With an installer that takes any image: the charger's own refuses what it cannot verify."""
    image = bytes(range(256)) * 40
    mark = cp.mark()
    with FileServer() as server:
        server.files["/new-firmware"] = image
        await _update(cp, server.url("/new-firmware"))
        await cp.wait_call(FIRMWARE, status="Installed", timeout=TRANSFER_S)
    statuses = calls_of(cp, FIRMWARE)
    assert [f.payload["status"] for f in statuses] == ["Downloading", "Downloaded", "Installing", "Installed"]
    await cp.registered(mark, {0: "Available", 1: "Available"})
    assert statuses[2].n < (await cp.wait_label("BootNotification", mark)).n < statuses[3].n
    assert (cp.data / "image").read_bytes() == image
    await cp.charging()


@oca()
async def test_tc_044_2_firmware_download_failed(cp: Charger) -> None:
    with FileServer() as server:
        await _update(cp, server.url("/nothing.tar.gz"))
        await _ends_with(cp, FIRMWARE, "Downloading", "DownloadFailed")
        assert [path for _, path, _ in server.requests] == ["/nothing.tar.gz"]


@oca()
async def test_tc_044_3_firmware_installation_failed(cp: Charger) -> None:
    """Connectors that were Unavailable meanwhile are Available again."""
    with FileServer() as server:
        server.files["/no-firmware"] = bytes(5000)
        await _update(cp, server.url("/no-firmware"))
        await _ends_with(cp, FIRMWARE, "Downloading", "Downloaded", "Installing", "InstallationFailed")
        for connector in (0, 1):
            await cp.expect("StatusNotification", connectorId=connector, status="Available")
    await cp.charging()


async def _diagnostics(cp: Charger, location: str) -> Any:
    """GetDiagnostics, one attempt; the name of the file."""
    return (await cp.call("GetDiagnostics", {"location": location, "retries": 0}))["fileName"]


@oca()
async def test_tc_045_1_get_diagnostics(cp: Charger) -> None:
    with FileServer() as server:
        name = await _diagnostics(cp, server.url("/in/"))
        await _ends_with(cp, DIAGNOSTICS, "Uploading", "Uploaded")
        assert list(server.uploads) == [f"/in/{name}"]
        assert b"registration Accepted" in server.uploads[f"/in/{name}"]


@oca()
async def test_tc_045_2_get_diagnostics_upload_failed(cp: Charger) -> None:
    with FileServer() as server:
        server.faults["/in"] = [Fault(status=500)]
        assert await _diagnostics(cp, server.url("/in"))
        await _ends_with(cp, DIAGNOSTICS, "Uploading", "UploadFailed")
        assert not server.uploads and len(server.requests) == 1
