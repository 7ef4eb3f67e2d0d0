"""What stands between the module and the plug when frames alone are not enough: contactor with auxiliary contact,
enable line, offline limits, and the limit of the vehicle when the module does not keep it.
"""

import asyncio
import struct
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests_host.system.rig import Rig, system_test
from tests_host.system.safety_steps import BOUND_S, all_at_once, charge, frame, full_current, on_wire, wait_sim

_POWER = 0x00433F01


@dataclass(frozen=True)
class Scene:
    """One session on a board with this equipment; `play` gets the running rig."""

    name: str
    play: Callable[[Rig], Awaitable[None]]
    board: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)


async def _fault(rig: Rig, code: str, vendor_code: str, timeout: float = 12) -> None:
    told = await rig.expect("StatusNotification", status="Faulted", timeout=timeout)
    assert (told.payload["errorCode"], told.payload["vendorErrorCode"]) == (code, vendor_code)


async def welded(rig: Rig) -> None:
    """The contactor stays closed at the end of a session: told, latched, and gone only when it opens."""
    await charge(rig)
    await rig.sim.cmd("fault", kind="weld", active=True)
    await rig.stop_session()
    await _fault(rig, "PowerSwitchFailure", "ContactorWelded")
    mark = (await rig.sim.state())["last_seq"]
    answer = await rig.call("RemoteStartTransaction", {"idTag": "TAG", "connectorId": 1})
    assert answer == {"status": "Rejected"}
    await rig.sim.cmd("unplug")
    await rig.sim.cmd("fault", kind="weld", active=False)
    await rig.expect("StatusNotification", status="Available", timeout=15)
    assert not await rig.sim.events(since=mark, types=["output_on"])
    await rig.plug()
    await rig.start_session("TAG")
    await full_current(rig)


async def does_not_close(rig: Rig) -> None:
    """Three attempts without an "on", then a fault."""
    await rig.sim.cmd("fault", kind="jam", active=True)
    await rig.plug()
    await rig.call("RemoteStartTransaction", {"idTag": "TAG", "connectorId": 1})
    await _fault(rig, "InternalError", "StartFailed", 20)
    await rig.expect("StopTransaction", reason="Other")
    events = await rig.sim.events(types=["output_on", "contactor"])
    assert [event["type"] for event in events if event.get("value") is not False] == ["contactor"] * 3


async def falls_open(rig: Rig) -> None:
    """It opens by itself: off at once; the way back leads through the whole start."""
    await charge(rig)
    cause = await rig.sim.cmd("fault", kind="jam", active=True)
    off = await wait_sim(rig, "output_off", cause["seq"])
    assert off["t"] - cause["t"] <= BOUND_S
    await rig.sim.cmd("fault", kind="jam", active=False)
    await wait_sim(rig, "output_on", off["seq"])
    await full_current(rig)
    rig.assert_count("StartTransaction", 1)


async def enable_line(rig: Rig) -> None:
    """The line falls with the stop although no frame can pass any more, and the current with it."""
    await charge(rig)
    seen = [event["value"] for event in await rig.sim.events(types=["enable"])]
    assert seen == [False, True]
    cause = await rig.sim.cmd("bus", name="pm", state="down")
    low = await wait_sim(rig, "enable", cause["seq"], value=False)
    gone = await wait_sim(rig, "power_off", cause["seq"])
    assert low["t"] - cause["t"] <= BOUND_S
    assert gone["t"] - cause["t"] <= BOUND_S + 0.3
    await rig.expect("StopTransaction", reason="Other", timeout=12)
    assert not await rig.sim.events(since=cause["seq"], types=["alarm"])  # the contactor opened without current


async def offline_limits(rig: Rig) -> None:
    """A module that runs by its own registers in silence gives nothing, because 0 A was written there first."""
    await rig.sim.cmd("module", offline="registers", offline_ms=1000)
    await charge(rig)
    wrote = {event["what"]: event["value"] for event in await rig.sim.events(types=["setpoint"])}
    assert (wrote["offline_voltage"], wrote["offline_current"]) == (48.0, 0.0)
    cause = await rig.sim.cmd("bus", name="pm", state="cut")
    offline = await wait_sim(rig, "module_offline", cause["seq"])
    assert offline["output"] is False
    await rig.sim.wait_state(lambda state: state["current"] == 0.0)


async def offline_refused(rig: Rig) -> None:
    """A module without these registers never starts where the setting asks for them."""
    await rig.sim.cmd("module", offline_registers=False)
    await _fault(rig, "InternalError", "PowerModuleLost", 20)
    await rig.sim.cmd("plug")
    await asyncio.sleep(1)
    assert not await rig.sim.events(types=["output_on"])


async def beyond_the_limit(rig: Rig) -> None:
    """More current than the vehicle allows, for 400 ms: off, and a fault of its own."""
    await charge(rig, 15.0, max_current=20)
    await rig.sim.cmd("module", terminal_power=False)  # whose frames say the truth, 20 A
    async with on_wire(rig, "pm") as wire:
        began, seq = time.monotonic(), (await rig.sim.state())["last_seq"]
        deadline = began + 5
        while time.monotonic() < deadline:
            wire.send(frame(_POWER, struct.pack(">ff", 78.0, 40.0)))
            try:
                off = await wait_sim(rig, "output_off", seq, 0.01)
                break
            except TimeoutError:
                continue
        else:
            raise AssertionError("still on")
    await rig.sim.cmd("module", terminal_power=True)  # and so "off" is confirmed
    assert 0.4 <= off["t"] - began <= 0.4 + 2 * BOUND_S
    await _fault(rig, "OverCurrentFailure", "VehicleLimitExceeded")
    await rig.expect("StopTransaction", reason="Other")


_AUX = {"contactor_feedback": True}
SCENES = (
    Scene("welded", welded, _AUX, {"power.fault_hold_ms": 500}),
    Scene("does-not-close", does_not_close, _AUX),
    Scene("falls-open", falls_open, _AUX),
    Scene("enable-line", enable_line, {"enable": True}),
    Scene("offline-limits", offline_limits, {}, {"power.offline_limits": True}),
    Scene("offline-refused", offline_refused, {}, {"power.offline_limits": True}),
    Scene("beyond-the-limit", beyond_the_limit),
)


@pytest.mark.parametrize("batch", [SCENES], ids=[",".join(scene.name for scene in SCENES)])
@system_test
async def test_scenes(tmp_path: Path, batch: tuple[Scene, ...]) -> None:
    """All scenes at once, each on a site of its own."""

    async def run(path: Path, scene: Scene) -> None:
        async with Rig(path, board=scene.board, settings=scene.settings) as rig:
            await scene.play(rig)
            rig.assert_schemas()

    await all_at_once(tmp_path, batch, run)
