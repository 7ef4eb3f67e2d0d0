"""The demo without keys: one session, its wire transcript, and the verdict of tools/transcript.py."""

import asyncio
import signal
import time
from collections.abc import Callable

from tools.csms.frames import FROM_CHARGER, TO_CHARGER, Frame
from tools.demo.firmware import Firmware
from tools.demo.site import DemoSite
from tools.demo.view import wire_line
from tools.transcript import Session, check, one_session

_STEP_S = 15.0


async def run(firmware: Firmware, seconds: float) -> int:
    """Plug, RemoteStart, charge for `seconds`, RemoteStop, unplug. 0: as promised, 1: not. Raises StartError."""
    running = asyncio.current_task()
    assert running is not None
    for number in (signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, running.cancel)
    began = time.monotonic()
    site = DemoSite(firmware)
    site.transcript.listeners.append(lambda frame: _show(frame, began))
    async with site:
        ready = time.monotonic() - began
        print(f"{ready:8.2f} s  -  ready: central system, simulated site and firmware run", flush=True)
        try:
            await site.firmware.meanwhile(_session(site, seconds))
        except TimeoutError as error:
            print(f"\nFAILED: {error}\n{site.firmware.tail()}")
            return 1
        frames = list(site.transcript)
    findings = check(one_session(frames), Session(unplugged=True))
    if findings:
        print("\nFAILED: the session differs from the quick reference:")
        for finding in findings:
            print(f"  - {finding}")
        return 1
    samples = sum(frame.action == "MeterValues" and frame.kind == "CALL" for frame in frames)
    print(f"\nOK: {len(frames)} frames, {samples} MeterValues: order, payloads, times and energies as promised.")
    return 0


async def _session(site: DemoSite, seconds: float) -> None:
    """Raises TimeoutError that says what did not come, or what was refused."""
    _demand(await site.plug())
    await site.wait(_answered("DataTransfer", messageId="VehicleInfo"), 0, _STEP_S, "VehicleInfo after plug-in")
    mark = site.transcript.mark()
    _demand(await site.start())
    await site.wait(_call("StatusNotification", status="Charging"), mark, _STEP_S, "Charging after RemoteStart")
    await asyncio.sleep(seconds)
    _demand(await site.stop())
    await site.wait(_call("StopTransaction"), mark, _STEP_S, "StopTransaction after RemoteStop")
    mark = site.transcript.mark()
    _demand(await site.unplug())
    await site.wait(_call("StatusNotification", status="Available"), mark, _STEP_S, "Available after unplug")


def _show(frame: Frame, began: float) -> None:
    wrong = f"   !! {frame.violation}" if frame.violation else ""
    print(wire_line(frame, began) + wrong, flush=True)


def _demand(error: str | None) -> None:
    if error:
        raise TimeoutError(error)


def _call(action: str, **fields: object) -> Callable[[Frame], bool]:
    def fits(frame: Frame) -> bool:
        return (
            frame.kind == "CALL"
            and frame.direction == FROM_CHARGER
            and frame.action == action
            and all(frame.payload.get(name) == value for name, value in fields.items())
        )

    return fits


def _answered(action: str, **fields: object) -> Callable[[Frame], bool]:
    """The answer to such a CALL."""
    is_call = _call(action, **fields)
    asked: set[str | None] = set()

    def fits(frame: Frame) -> bool:
        if is_call(frame):
            asked.add(frame.uid)
        return frame.direction == TO_CHARGER and frame.kind == "CALLRESULT" and frame.uid in asked

    return fits
