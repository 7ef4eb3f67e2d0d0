"""Charging profiles on the wire of the power module: set-points follow them at once."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests_host.system.rig import Rig, field_of, system_test
from tests_host.system.safety_steps import BOUND_S, Event, Loss, assert_lawful, now, wait_sim
from tests_host.system.steps import TAG, QuickRig, together, utc
from tools.csms import Frame

ACCEPTED = {"status": "Accepted"}
FULL_A = 30.0  # what the vehicle asks for
_SLACK_A = 0.05  # the module counts in 1/30.5 A
_KEYS = {"MeterValuesSampledData": "Current.Import,Current.Offered,Power.Offered,Voltage"}

Scenario = Callable[[QuickRig], Awaitable[None]]


def profile(number: int, purpose: str, *periods: tuple[int, float], unit: str = "A", level: int = 0) -> dict[str, Any]:
    """Of a transaction: counted from its start. Of the charge point: from a day in the past."""
    schedule: dict[str, Any] = {
        "chargingRateUnit": unit,
        "chargingSchedulePeriod": [{"startPeriod": second, "limit": limit} for second, limit in periods],
    }
    if purpose == "ChargePointMaxProfile":
        schedule["startSchedule"] = "2026-01-01T00:00:00Z"
    return {
        "chargingProfileId": number,
        "stackLevel": level,
        "chargingProfilePurpose": purpose,
        "chargingProfileKind": "Absolute" if purpose == "ChargePointMaxProfile" else "Relative",
        "chargingSchedule": schedule,
    }


async def put(rig: Rig, connector: int, sent: dict[str, Any]) -> Event:
    """Install a profile; the moment of the answer."""
    answer = await rig.call("SetChargingProfile", {"connectorId": connector, "csChargingProfiles": sent})
    assert answer == ACCEPTED, answer
    return await now(rig)


async def offers(rig: Rig, amperes: float, connector: int = 1, timeout: float = 8.0) -> None:
    """Until the module is told this current."""
    await rig.firmware.meanwhile(
        rig.sim.wait_state(
            lambda state: state["output_on"] and abs((state["setpoints"]["current"] or 0) - amperes) <= _SLACK_A,
            timeout,
            connector,
        )
    )


async def never_above(rig: Rig, amperes: float, since: Event, connector: int = 1) -> None:
    """No set-point on the bus was higher, from the moment the profile was accepted until now."""
    state = await rig.sim.state(connector)
    assert state["setpoints"]["current"] <= amperes + _SLACK_A, state
    for event in await rig.sim.events(since["seq"], ["setpoint"]):
        if event["what"] == "current" and event["connector"] == connector and event["t"] > since["t"] + BOUND_S:
            assert event["value"] <= amperes + _SLACK_A, event


async def charging(rig: Rig, connector: int = 1, amperes: float = FULL_A) -> int:
    await rig.plug(connector, max_current=FULL_A)
    transaction = await rig.start_session(f"{TAG}-{connector}", connector)
    await offers(rig, amperes, connector)
    return transaction


async def sampled(rig: Rig, **wanted: str) -> Frame:
    """The next MeterValues with these values (Current.Offered as Current_Offered)."""
    fields: dict[str, Any] = {name.replace("_", "."): value for name, value in wanted.items()}
    return await rig.wait_call("MeterValues", since=rig.mark(), context="Sample.Periodic", **fields)


async def schedule(rig: Rig, connector: int = 1, **unit: str) -> dict[str, Any]:
    answer = await rig.call("GetCompositeSchedule", {"connectorId": connector, "duration": 3600, **unit})
    assert answer["status"] == "Accepted" and answer["connectorId"] == connector, answer
    found: dict[str, Any] = answer["chargingSchedule"]
    return found


async def limits(rig: QuickRig) -> None:
    """TxDefaultProfile, ChargePointMaxProfile in watts, and none: each on the wire at once, and in the samples."""
    await charging(rig)
    lowered = await put(rig, 0, profile(1, "TxDefaultProfile", (0, 12.5)))
    await offers(rig, 12.5, timeout=1.0)
    frame = await sampled(rig, Current_Offered="12.50")
    volts = float(field_of(frame, "Voltage"))
    assert abs(float(field_of(frame, "Power.Offered")) - 12.5 * volts) < 5, frame
    answer = await schedule(rig)
    assert answer["chargingRateUnit"] == "A" and answer["chargingSchedulePeriod"] == [{"startPeriod": 0, "limit": 12.5}]
    await never_above(rig, 12.5, lowered)
    watts = await put(rig, 0, profile(2, "ChargePointMaxProfile", (0, 400), unit="W"))
    await rig.firmware.meanwhile(rig.sim.wait_state(lambda state: 0 < state["current"] * state["voltage"] < 401, 2.0))
    await never_above(rig, 400 / 65, watts)  # no vehicle of this site is below 65 V
    frame = await sampled(rig)
    assert float(field_of(frame, "Power.Offered")) <= 400, frame
    assert (await schedule(rig, chargingRateUnit="W"))["chargingSchedulePeriod"] == [{"startPeriod": 0, "limit": 400}]
    assert await rig.call("ClearChargingProfile", {}) == ACCEPTED
    await offers(rig, FULL_A)
    await sampled(rig, Current_Offered=f"{FULL_A:.2f}")
    await rig.stop_session()
    await assert_lawful(rig)


async def pause(rig: QuickRig) -> None:
    """0 A is off and SuspendedEVSE, for as long as it likes; so is less than the module can give. Then it goes on."""
    await charging(rig)
    for limit in (0, 0.3):
        await put(rig, 1, profile(1, "TxProfile", (0, FULL_A)))
        await offers(rig, FULL_A)
        before = await now(rig)
        paused = await put(rig, 1, profile(1, "TxProfile", (0, limit)))
        off = await wait_sim(rig, "output_off", before["seq"])
        assert off["t"] - paused["t"] <= BOUND_S, (off, paused)
        await rig.expect("StatusNotification", status="SuspendedEVSE")
        await sampled(rig, Current_Offered="0.00", Power_Offered="0")
        before = await now(rig)
        await put(rig, 1, profile(1, "TxProfile", (0, 8)))
        await rig.expect("StatusNotification", status="Charging")
        await offers(rig, 8)
        await assert_lawful(rig, [Loss(paused["t"], before["t"])])
    await rig.stop_session()
    rig.assert_count("StartTransaction", 1)
    rig.assert_count("StopTransaction(Remote)", 1)


async def remote_start(rig: QuickRig) -> None:
    """The profile of a remote start is that of its transaction, counts from its start, and ends with it."""
    await put(rig, 1, profile(1, "TxDefaultProfile", (0, 20)))
    await rig.plug(max_current=FULL_A)
    before = await now(rig)
    start = {"idTag": TAG, "connectorId": 1, "chargingProfile": profile(7, "TxProfile", (0, 6), (8, 10))}
    wrong = {**start, "chargingProfile": profile(7, "TxDefaultProfile", (0, 6))}
    assert await rig.call("RemoteStartTransaction", wrong) == {"status": "Rejected"}
    assert await rig.call("RemoteStartTransaction", start) == ACCEPTED
    began = utc((await rig.expect("StartTransaction")).payload["timestamp"])
    await rig.expect("StatusNotification", status="Charging")
    await offers(rig, 6)
    await never_above(rig, 6, before)
    await offers(rig, 10, timeout=10)
    higher = [
        e for e in await rig.sim.events(before["seq"], ["setpoint"]) if e["what"] == "current" and e["value"] > 6.1
    ]
    wall = rig.frames()[-1].wall - rig.frames()[-1].mono  # from the monotonic clock to the time of day
    assert 7.0 <= higher[0]["t"] + wall - began <= 8.5, (higher[0], began)
    await rig.stop_session()
    assert (await schedule(rig))["chargingSchedulePeriod"] == [{"startPeriod": 0, "limit": 20}]
    await rig.unplug()
    await charging(rig, amperes=20)
    await rig.stop_session()
    await assert_lawful(rig)


async def power_cut(rig: QuickRig) -> None:
    """Profiles outlive a power cut; the one of the transaction does not, for the transaction ends with it."""
    transaction = await charging(rig)
    await put(rig, 0, profile(1, "TxDefaultProfile", (0, 12)))
    await put(rig, 1, profile(2, "TxProfile", (0, 5)))
    await offers(rig, 5)
    mark = rig.mark()
    await rig.restart_firmware()
    await rig.wait_call("StopTransaction", since=mark, transactionId=transaction, reason="PowerLoss")
    assert (await schedule(rig))["chargingSchedulePeriod"] == [{"startPeriod": 0, "limit": 12}]
    await rig.sim.cmd("unplug")
    await rig.expect("StatusNotification", connectorId=1, status="Available")
    await charging(rig, amperes=12)
    assert await rig.call("ClearChargingProfile", {"id": 2}) == {"status": "Unknown"}
    await rig.stop_session()


async def shares(rig: QuickRig) -> None:
    """ChargePointMaxProfile is the limit of both connectors together."""
    await put(rig, 0, profile(1, "ChargePointMaxProfile", (0, 20)))
    first = await charging(rig, 1, amperes=20)
    await rig.plug(2, max_current=FULL_A)
    both = await now(rig)
    await rig.start_session(f"{TAG}-2", 2)
    await offers(rig, 10, 2)
    await offers(rig, 10, 1, timeout=0.5)
    await never_above(rig, 10, both, 2)
    assert (await schedule(rig, 0))["chargingSchedulePeriod"] == [{"startPeriod": 0, "limit": 20}]
    await rig.stop_session(first)
    await offers(rig, 20, 2)
    await rig.stop_session()


SCENARIOS = (limits, pause, remote_start, power_cut, shares)


@pytest.mark.parametrize("scenarios", [SCENARIOS[:3], SCENARIOS[3:]], ids=["limits", "lives"])
@system_test
async def test_smart_charging(tmp_path: Path, scenarios: tuple[Scenario, ...]) -> None:
    """Every one on a site of its own."""

    async def run(scenario: Scenario) -> None:
        connectors = 2 if scenario is shares else 1
        async with QuickRig(tmp_path, scenario.__name__, ocpp=_KEYS, connectors=connectors) as rig:
            await scenario(rig)
            rig.assert_schemas()

    await together(**{scenario.__name__: run(scenario) for scenario in scenarios})
