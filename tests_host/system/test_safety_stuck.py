"""A module that does not obey "off": told again and again, an alarm after 2 s; the session still ends on the wire."""

import asyncio
import itertools
from pathlib import Path

import pytest

from tests_host.system.rig import Rig, system_test
from tests_host.system.safety_steps import (
    BOUND_S,
    Event,
    Loss,
    Step,
    all_at_once,
    assert_lawful,
    charge,
    frame,
    in_batches,
    now,
    on_wire,
    wait_sim,
)

_DEADLINE_S = 2.0
_REPEAT_S = 0.1
_CONTROL = 0x068181FE
_VOLTAGE, _CURRENT = bytes.fromhex("0100000000015000"), bytes.fromhex("0103000000000393")  # 84 V, 30 A
_ON = bytes.fromhex("0132000000000000")


async def assert_repeated(rig: Rig, since: Event, seconds: float) -> None:
    """From the event on, off frames come every 0.1 s for so long, and no on frame."""
    await asyncio.sleep(seconds)
    events = await rig.sim.events(since["seq"], ["output_off", "output_on"])
    assert {event["type"] for event in events} == {"output_off"}
    times = [since["t"], *(event["t"] for event in events), (await rig.sim.state())["t"]]
    gap = max(b - a for a, b in itertools.pairwise(times))
    assert gap <= 2 * _REPEAT_S, f"no off frame for {gap:.3f} s"
    assert len(events) >= 0.8 * seconds / _REPEAT_S


async def assert_alarm(rig: Rig, since: Event) -> None:
    """Faulted with PowerSwitchFailure, 2 s after the event."""
    fault = await rig.expect("StatusNotification", status="Faulted")
    assert (fault.payload["errorCode"], fault.payload["vendorErrorCode"]) == ("PowerSwitchFailure", "OffNotConfirmed")
    assert 0 <= fault.mono - since["t"] - _DEADLINE_S <= 0.5
    opened = await wait_sim(rig, "contactor", since["seq"], value=False)
    assert -BOUND_S <= opened["t"] - since["t"] - _DEADLINE_S <= BOUND_S


async def start_is_refused(rig: Rig) -> None:
    """The fault is latched: RemoteStart is rejected."""
    answer = await rig.call("RemoteStartTransaction", {"idTag": "TAG", "connectorId": 1})
    assert answer == {"status": "Rejected"}


async def heals(rig: Rig) -> None:
    """The fault stays when the module obeys again, and goes when the vehicle has left; then everything works."""
    await rig.sim.cmd("module", stuck=False)
    await rig.wait_output(False)
    await asyncio.sleep(1.0)  # nothing is to come
    await start_is_refused(rig)
    await rig.unplug()
    await rig.plug()
    await rig.start_session()
    await rig.stop_session()


async def goes_on(rig: Rig) -> None:
    """It goes on as it was: the contactor opens under load; SessionSummary and StopTransaction go out all the same, a
    moment before or after the fault is told."""
    transaction = await charge(rig)
    await rig.sim.cmd("module", stuck=True)
    stop = await now(rig)
    await rig.stop_session(transaction, wait=False)
    await assert_repeated(rig, stop, 3.0)
    await rig.expect("DataTransfer", messageId="SessionSummary")
    await assert_alarm(rig, stop)
    await rig.wait_call("StopTransaction", transactionId=transaction, reason="Remote")
    await assert_repeated(rig, await now(rig), 1.0)
    await start_is_refused(rig)
    await heals(rig)
    await assert_lawful(rig, [Loss(stop["t"], stop["t"] + 3)], {"contactor_opened_under_load"}, _DEADLINE_S + 0.2)


async def goes_on_welded(rig: Rig) -> None:
    """And the contactor does not open either: nothing helps, off is asked for as long as the current flows."""
    transaction = await charge(rig)
    await rig.sim.cmd("fault", kind="weld", active=True)
    await rig.sim.cmd("module", stuck=True)
    stop = await now(rig)
    await rig.stop_session(transaction, wait=False)
    await assert_alarm(rig, stop)
    await rig.wait_call("StopTransaction", transactionId=transaction, reason="Remote")
    await assert_repeated(rig, stop, 4.0)
    state = await rig.sim.state()
    assert state["current"] > 30 and state["led"] == "fault", state
    await rig.sim.cmd("module", stuck=False)
    await wait_sim(rig, "power_off", stop["seq"], 1.0)


async def switches_itself_on(rig: Rig) -> None:
    """Nobody charges, and the output is on: off frames, no contactor, the alarm."""
    await rig.plug()
    began = await rig.sim.cmd("module", stuck="on")
    await wait_sim(rig, "output_off", began["seq"])
    await rig.expect("StatusNotification", status="Faulted", errorCode="PowerSwitchFailure")
    await assert_repeated(rig, await now(rig), 1.0)
    await start_is_refused(rig)
    assert not await rig.sim.events(types=["power_on", "output_on"])
    await heals(rig)
    await assert_lawful(rig)


async def stays_on_after_estop(rig: Rig) -> None:
    """The emergency stop is followed by the same: the alarm is the worse fault, the reason stays."""
    transaction = await charge(rig)
    await rig.sim.cmd("module", stuck=True)
    stop = await rig.sim.cmd("estop", active=True)
    await assert_repeated(rig, stop, 2.5)
    await rig.wait_call("StopTransaction", transactionId=transaction, reason="EmergencyStop")
    await rig.sim.cmd("estop", active=False)
    await rig.expect("StatusNotification", status="Faulted", errorCode="PowerSwitchFailure")
    await heals(rig)
    await assert_lawful(rig, [Loss(stop["t"], stop["t"] + 3)], {"contactor_opened_under_load"}, _DEADLINE_S + 0.2)


async def switched_on_by_another(rig: Rig) -> None:
    """Another node on the module bus says "on": it is off again at once. (And our judge would have noticed.)"""
    await rig.plug()
    began = await now(rig)
    async with on_wire(rig, "pm") as wire:
        wire.send(frame(_CONTROL, _VOLTAGE), frame(_CONTROL, _CURRENT), frame(_CONTROL, _ON))
        on = await wait_sim(rig, "output_on", began["seq"])
        off = await wait_sim(rig, "output_off", on["seq"])
    assert off["t"] - on["t"] <= BOUND_S
    await rig.wait_output(False)
    assert not await rig.sim.events(types=["power_on"])
    with pytest.raises(AssertionError, match="output_on"):
        await assert_lawful(rig)


CASES = (goes_on, goes_on_welded, switches_itself_on, switched_on_by_another, stays_on_after_estop)


@in_batches(CASES, len(CASES))
@system_test
async def test_stuck(tmp_path: Path, batch: tuple[Step, ...]) -> None:
    """Every one on a site of its own."""

    async def run(path: Path, case: Step) -> None:
        async with Rig(path, settings={"power.fault_hold_ms": 500}) as rig:
            await case(rig)
            rig.assert_schemas()

    await all_at_once(tmp_path, batch, run)
