"""What a vehicle may do in mid-session: pause, be silent for a while, want less, want more; and the heat of the module.

None of it is mistaken for a pulled plug, and every limit is followed at once.
"""

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
    full_current,
    in_batches,
    reaction,
    silence_bms,
    wait_sim,
)

_BMS_TIMEOUT_S = 3.0
_SESSION_TIMEOUT_S = 8.0
_STEP_A = 4.1  # 20 A/s in steps of 0.2 s, and one count of the module
_SLACK_A = 0.05


async def statuses(rig: Rig) -> list[str]:
    """Every status of connector 1 so far."""
    return [call[21:-1] for call in rig.calls() if call.startswith("StatusNotification(1 ")]


async def short_silence(rig: Rig) -> None:
    """2.5 s: nothing happens."""
    await charge(rig)
    last = await silence_bms(rig, silent=True)
    await asyncio.sleep(2.5)
    await rig.sim.cmd("bms", silent=False)
    with pytest.raises(TimeoutError):
        await wait_sim(rig, "output_off", last["seq"], 1.5)
    assert await statuses(rig) == ["Available", "Preparing", "Charging"]
    await rig.stop_session()
    await assert_lawful(rig)


async def long_silence(rig: Rig) -> None:
    """5 s: off at 3 s, on again afterwards, one transaction."""
    await charge(rig)
    last = await silence_bms(rig, silent=True)
    await reaction(rig, last, _BMS_TIMEOUT_S)
    await asyncio.sleep(2.0)
    back = await rig.sim.cmd("bms", silent=False)
    await wait_sim(rig, "output_on", back["seq"])
    await full_current(rig)
    await rig.expect("StatusNotification", status="Charging")
    assert await statuses(rig) == ["Available", "Preparing", "Charging", "SuspendedEV", "Charging"]
    await rig.stop_session()
    rig.assert_count("StartTransaction", 1)
    rig.assert_count("StopTransaction(Remote)", 1)
    await assert_lawful(rig, [Loss.after(last, _BMS_TIMEOUT_S, back)])


async def gone(rig: Rig) -> None:
    """More than 8 s: off at 3 s, and the vehicle has left at 8 s."""
    await charge(rig)
    last = await silence_bms(rig, silent=True)
    await reaction(rig, last, _BMS_TIMEOUT_S)
    stop = await rig.expect("StopTransaction", reason="EVDisconnected", timeout=10)
    assert -BOUND_S <= stop.mono - last["t"] - _SESSION_TIMEOUT_S <= 0.5
    await rig.expect("StatusNotification", status="Available")
    assert await statuses(rig) == ["Available", "Preparing", "Charging", "SuspendedEV", "Finishing", "Available"]
    await assert_lawful(rig, [Loss.after(last, _BMS_TIMEOUT_S)])


async def pause(rig: Rig) -> None:
    """The battery takes nothing for a while; its BMS is alive and permits: SuspendedEV, and the output may stay on."""
    await charge(rig)
    await rig.sim.cmd("ev", pause=True)
    await rig.expect("StatusNotification", status="SuspendedEV")
    await asyncio.sleep(4.0)  # longer than every time-out for a vehicle that has left
    await rig.sim.cmd("ev", pause=False)
    await rig.expect("StatusNotification", status="Charging")
    await full_current(rig)
    assert await statuses(rig) == ["Available", "Preparing", "Charging", "SuspendedEV", "Charging"]
    await rig.stop_session()
    await assert_lawful(rig)


async def zero_limit(rig: Rig) -> None:
    """A limit of 0 A with a live BMS: off at once, SuspendedEV, for as long as it likes; on again."""
    await charge(rig)
    zero = await rig.sim.cmd("ev", max_current=0)
    await reaction(rig, zero)
    await rig.expect("StatusNotification", status="SuspendedEV")
    await asyncio.sleep(9.0)  # longer than a silence that ends a session
    back = await rig.sim.cmd("ev", max_current=90)
    await rig.expect("StatusNotification", status="Charging")
    await full_current(rig)
    assert await statuses(rig) == ["Available", "Preparing", "Charging", "SuspendedEV", "Charging"]
    await rig.stop_session()
    await assert_lawful(rig, [Loss.after(zero, 0.0, back)])


async def setpoint(rig: Rig, since: int, amperes: float) -> Event:
    """The first current set-point on the bus after `since` that is `amperes`."""
    event = await wait_sim(rig, "setpoint", since, 8.0, what="current")
    while abs(event["value"] - amperes) > _SLACK_A:
        event = await wait_sim(rig, "setpoint", event["seq"], 8.0, what="current")
    return event


async def current_limits(rig: Rig) -> None:
    """Lowered: the next set-point is the new limit, at once. Raised: a ramp that ends at the limit."""
    await charge(rig, 29.0, max_current=30.0)
    for lower in (22.5, 10.0, 1.5):
        change = await rig.sim.cmd("ev", max_current=lower)
        first = await wait_sim(rig, "setpoint", change["seq"], what="current")
        assert first["value"] <= lower + _SLACK_A, first
        assert first["t"] - change["t"] <= BOUND_S
    raised = await rig.sim.cmd("ev", max_current=30.0)
    end = await setpoint(rig, raised["seq"], 30.0)
    steps = [e for e in await rig.sim.events(raised["seq"], ["setpoint"]) if e["what"] == "current"]
    steps = [step for step in steps if step["seq"] <= end["seq"]]
    values = [1.5, *(step["value"] for step in steps)]
    assert all(0 < b - a <= _STEP_A for a, b in itertools.pairwise(values)), values
    assert 1.0 <= end["t"] - raised["t"] <= 2.5  # 28.5 A at 20 A/s
    await full_current(rig, 29.0)
    await rig.stop_session()
    await assert_lawful(rig)


async def derating(rig: Rig) -> None:
    """From 60 degC less current, linearly to nothing at 70 degC, of the board's 90 A; then off and a fault."""
    await charge(rig)
    for celsius, amperes in ((60.0, 90.0), (65.0, 45.0), (69.0, 9.0)):
        change = await rig.sim.cmd("module", temperature=celsius)
        await setpoint(rig, change["seq"] if celsius > 60 else 0, amperes)
    await rig.sim.wait_state(lambda state: state["current"] <= 9.1)
    hot = await rig.sim.cmd("module", temperature=70.5)
    await reaction(rig, hot, 1.1, early_s=1.1)
    fault = await rig.expect("StatusNotification", status="Faulted")
    assert fault.payload["errorCode"] == "HighTemperature"
    await rig.expect("StopTransaction", reason="Other")
    await assert_lawful(rig, [Loss.after(hot, 1.1)])


CASES = (short_silence, long_silence, gone, pause, zero_limit, current_limits, derating)


@in_batches(CASES, len(CASES))
@system_test
async def test_vehicle(tmp_path: Path, batch: tuple[Step, ...]) -> None:
    """Every one on a site of its own."""

    async def run(path: Path, case: Step) -> None:
        async with Rig(path) as rig:
            await case(rig)
            rig.assert_schemas()

    await all_at_once(tmp_path, batch, run)
