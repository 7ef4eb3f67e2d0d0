"""The scenes of the transcripts, by play: each play has a charger of its own, so that all plays can run at once."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from tools.csms import DROP
from tools.demo.stage import Stage

CARD = "CARD-1"
_PAST = "2026-01-01T00:00:00Z"
_PERIODS = 2  # periodic samples that are waited for


async def session(stage: Stage) -> None:
    """A session as the quick reference has it, from the connection to Available."""
    await stage.registered()
    stage.cut("connect")
    stage.note("a vehicle is plugged in")
    await stage.plug_in()
    stage.cut("plug-in")
    transaction = await stage.start()
    stage.cut("start")
    for _ in range(_PERIODS):
        await stage.expect("MeterValues")
    stage.cut("charging")
    await stage.call("RemoteStopTransaction", transactionId=transaction)
    await stage.expect("StopTransaction")
    stage.cut("stop")
    stage.note("the plug is pulled")
    await stage.leaves()
    stage.cut("unplug")


async def card(stage: Stage) -> None:
    """A card starts and ends a session."""
    await stage.registered()
    await stage.plug_in()
    stage.skip()
    stage.note("a card is held to the reader")
    await stage.sim.cmd("swipe", id_tag=CARD)
    await stage.charging()
    stage.cut("card")
    await stage.flows(1)
    stage.note("the same card again")
    await stage.sim.cmd("swipe", id_tag=CARD)
    await stage.expect("StopTransaction")
    stage.cut("card-again")


async def refused(stage: Stage) -> None:
    """Starts that lead to nothing."""
    stage.csms.id_tag("LOST", "Blocked")
    await stage.registered()
    stage.skip()
    stage.note("the emergency stop is pressed")
    await stage.sim.cmd("estop", active=True)
    await stage.expect("StatusNotification", status="Faulted")
    await stage.call("RemoteStartTransaction", idTag=CARD, connectorId=1)
    stage.note("and released")
    await stage.sim.cmd("estop", active=False)
    await stage.expect("StatusNotification", status="Available")
    stage.cut("refused-faulted")
    await stage.plug_in()
    stage.skip()
    stage.note("a vehicle waits; a blocked card is held to the reader")
    await stage.sim.cmd("swipe", id_tag="LOST")
    await stage.expect("Authorize")
    stage.cut("refused-card")
    stage.csms.id_tag(CARD, "ConcurrentTx")
    await stage.call("RemoteStartTransaction", idTag=CARD, connectorId=1)
    await stage.expect("StopTransaction")
    stage.cut("refused-start")


async def vendor(stage: Stage) -> None:
    """Vendor messages that are not accepted."""
    await stage.registered()
    stage.skip()
    stage.csms.behave("DataTransfer", answer="Rejected")
    stage.note("a vehicle is plugged in")
    await stage.sim.cmd("plug")
    await stage.expect(*3 * ["DataTransfer"])
    stage.cut("vendor")
    transaction = await stage.start()
    await stage.flows(1)
    stage.skip()
    await stage.call("RemoteStopTransaction", transactionId=transaction)
    await stage.expect("StopTransaction")
    stage.cut("vendor-stop")


async def vehicle(stage: Stage) -> None:
    """The vehicle ends one session and leaves in another."""
    await stage.registered()
    await stage.plug_in()
    await stage.start()
    await stage.flows(1)
    stage.skip()
    stage.note("the battery is full: its BMS forbids charging")
    await stage.sim.cmd("ev", allow=False)
    await stage.expect("StopTransaction")
    stage.cut("vehicle-ends")
    await stage.leaves()
    await stage.sim.cmd("ev", allow=True)
    await stage.plug_in()
    await stage.start()
    await stage.flows(1)
    stage.skip()
    stage.note("the plug is pulled")
    await stage.sim.cmd("unplug")
    await stage.expect("StatusNotification", status="Available")
    stage.cut("pulled")


async def emergency(stage: Stage) -> None:
    """RemoteStart before the vehicle is there; the emergency stop in its session."""
    await stage.registered()
    stage.skip()
    await stage.call("RemoteStartTransaction", idTag="TAG-1", connectorId=1)
    await stage.expect("StatusNotification", status="Preparing")
    stage.note("a vehicle is plugged in")
    await stage.plug_in()
    await stage.charging()
    stage.cut("remote-first")
    await stage.flows(1)
    stage.skip()
    stage.note("the emergency stop is pressed")
    await stage.sim.cmd("estop", active=True)
    await stage.expect("StopTransaction")
    stage.note("and released")
    await stage.sim.cmd("estop", active=False)
    await stage.expect("StatusNotification", status="Finishing")
    stage.cut("emergency")


async def power_cut(stage: Stage) -> None:
    """The supply fails in a session, after its first checkpoint; the vehicle is still there afterwards."""
    await stage.registered()
    await stage.plug_in()
    await stage.start()
    await stage.expect("MeterValues")
    stage.skip()
    stage.note("the charger loses its supply and starts again")
    await stage.power_cut()
    await stage.expect("StopTransaction")
    stage.cut("power-cut")


async def lost_answer(stage: Stage) -> None:
    """The connection breaks between StartTransaction and its answer."""
    await stage.registered()
    await stage.plug_in()
    stage.skip()
    stage.csms.behave("StartTransaction", answer=DROP, times=1)
    await stage.start()
    stage.cut("lost-answer")


async def offline(stage: Stage) -> None:
    """A whole session while the central system is away."""
    await stage.registered()
    stage.skip()
    entry = {"idTag": CARD, "idTagInfo": {"status": "Accepted"}}
    await stage.call("SendLocalList", listVersion=1, updateType="Full", localAuthorizationList=[entry])
    await stage.network_down()
    stage.note("the central system is away; a vehicle is plugged in, the card starts, charges, ends; the vehicle stays")
    await stage.sim.cmd("plug")
    await stage.sim.wait_state(lambda state: state["led"] == "plugged", 20)
    await stage.sim.cmd("swipe", id_tag=CARD)
    await stage.output(True)
    await stage.flows(4)
    await stage.sim.cmd("swipe", id_tag=CARD)
    await stage.output(False)
    await stage.says("transaction ended")
    stage.note("the central system is back")
    await stage.csms.resume()
    await stage.expect("StopTransaction", timeout=40)
    stage.cut("offline")


async def profile(stage: Stage) -> None:
    """A charging profile limits a session, suspends it, and is cleared."""
    await stage.registered()
    await stage.plug_in()
    await stage.start()
    stage.skip()
    await stage.call("SetChargingProfile", connectorId=1, csChargingProfiles=_profile(0.0))
    await stage.expect("StatusNotification", status="SuspendedEVSE")
    await stage.call("SetChargingProfile", connectorId=1, csChargingProfiles=_profile(12.5))
    await stage.expect("StatusNotification", status="Charging")
    await stage.call("ClearChargingProfile", id=1)
    stage.cut("profile")


def _profile(amperes: float) -> dict[str, Any]:
    schedule = {"chargingRateUnit": "A", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": amperes}]}
    return {
        "chargingProfileId": 1,
        "stackLevel": 0,
        "chargingProfilePurpose": "TxDefaultProfile",
        "chargingProfileKind": "Relative",
        "chargingSchedule": schedule,
    }


async def maintenance(stage: Stage) -> None:
    """Configuration, diagnostics, an update that is none, a reset."""
    await stage.registered()
    stage.skip()
    await stage.call("GetConfiguration", key=["MeterValueSampleInterval", "NumberOfConnectors", "Colour"])
    await stage.call("ChangeConfiguration", key="MeterValueSampleInterval", value="30")
    await stage.call("ChangeConfiguration", key="NumberOfConnectors", value="2")
    await stage.call("ChangeConfiguration", key="Colour", value="red")
    stage.cut("configuration")
    async with file_server() as url:
        await stage.call("GetDiagnostics", location=f"{url}/in/")
        await stage.expect("DiagnosticsStatusNotification", status="Uploaded")
        stage.cut("diagnostics")
        await stage.call("UpdateFirmware", location=f"{url}/new.tar.gz", retrieveDate=_PAST)
        await stage.expect("FirmwareStatusNotification", status="InstallationFailed")
        await stage.expect("StatusNotification", connectorId=1, status="Available")
        stage.cut("update-refused")
    await stage.call("Reset", type="Soft")
    await stage.registered()
    stage.cut("reset")


@asynccontextmanager
async def file_server() -> AsyncIterator[str]:
    """An HTTP server that takes every upload and has the same file under every name; its URL."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("ascii", "replace").lower()
        body = b""
        if head.startswith("get "):
            body = b"no bundle"
        elif "chunked" in head:
            await reader.readuntil(b"0\r\n\r\n")
        else:
            await reader.readexactly(int(head.partition("content-length:")[2].split()[0]))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (len(body), body))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=1 << 20)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@dataclass(frozen=True)
class Play:
    """Scenes that follow each other on one charger. scenes -- the names of the blocks it gives, in order;
    interval_s -- of its MeterValues; longer than the scenes where periodic ones are not what is shown
    """

    run: Callable[[Stage], Awaitable[None]]
    scenes: tuple[str, ...]
    interval_s: int = 300


PLAYS = (
    Play(session, ("connect", "plug-in", "start", "charging", "stop", "unplug"), 10),
    Play(card, ("card", "card-again")),
    Play(refused, ("refused-faulted", "refused-card", "refused-start")),
    Play(vendor, ("vendor", "vendor-stop")),
    Play(vehicle, ("vehicle-ends", "pulled")),
    Play(emergency, ("remote-first", "emergency")),
    Play(power_cut, ("power-cut",), 10),
    Play(lost_answer, ("lost-answer",)),
    Play(offline, ("offline",)),
    Play(profile, ("profile",)),
    Play(maintenance, ("configuration", "diagnostics", "update-refused", "reset"), 10),
)
