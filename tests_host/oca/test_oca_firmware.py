"""OCA test cases of firmware management (TC_044, TC_045), with an HTTP server.

Numbers and expectations: OCTT test case document, FINAL 2024-04.
"""

from typing import Any

from tests_host.oca.charger import Charger
from tests_host.oca.runner import oca
from tests_host.system.file_server import Fault, FileServer
from tests_host.system.steps import calls_of

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
