"""The right to power is lost during a session: the off frame follows within 0.1 s of the event, or of the end of the
silence that is allowed, as the bus saw it. The session ends with its reason, or goes on when what was lost is back.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import can
import pytest

from tests_host.system.rig import Rig, system_test
from tests_host.system.safety_steps import (
    Event,
    Loss,
    Step,
    all_at_once,
    assert_lawful,
    charge,
    command,
    frame,
    full_current,
    in_batches,
    on_wire,
    reaction,
    silence_bms,
    wait_sim,
)

_SILENCE_S = 3.0
_STAYS_OFF_S = 1.0
_LIMITS, _POWER, _STATUS = 0x1806E5F4, 0x00433F01, 0x00473F01
_PERMISSION = bytes.fromhex("034803840000 0000")  # 84.0 V, 90.0 A, charge
_NINETY_VOLTS = bytes.fromhex("42b4000041a00000")  # float32 90.0 V, 20.0 A
_CONTACTOR_ALARM = frozenset({"contactor_opened_under_load"})


@dataclass(frozen=True)
class Case:
    """How the right to power is lost, and what comes of it.

    lose: returns the event that was the cause. deadline_s: silence that is allowed. early_s: how much earlier the
    silence may have begun. restore: the session goes on after it; else it ends with `reason` and `status`.
    evidence: what shows that power went off; "contactor" where no frame can pass. alarms: what the simulator must say,
    because the case provokes it.
    """

    name: str
    lose: Callable[[Rig], Awaitable[Event]]
    deadline_s: float = 0.0
    early_s: float = 0.15
    restore: Step | None = None
    reason: str = "Other"
    status: str | None = None
    evidence: str = "output_off"
    alarms: frozenset[str] = frozenset()


def only_bad(*bad: can.Message, silent: bool = True) -> Callable[[Rig], Awaitable[Event]]:
    """The BMS falls silent, and these frames, each of which is wrong somewhere, go on in its place."""

    async def lose(rig: Rig) -> Event:
        cause = await silence_bms(rig, silent=silent)
        async with on_wire(rig, "bms") as wire:
            while time.monotonic() < cause["t"] + _SILENCE_S + 0.5:
                wire.send(*bad)
                await _pause(rig)
        return cause

    return lose


async def _pause(rig: Rig) -> None:
    """A twentieth of a second, as long as the firmware lives."""
    try:
        await rig.wait_output(False, timeout=0.03)
    except TimeoutError:
        pass


async def over_voltage(rig: Rig) -> Event:
    """The terminals show more than the module was told."""
    async with on_wire(rig, "pm") as wire:
        t, seq = time.monotonic(), (await rig.sim.state())["last_seq"]
        wire.send(frame(_POWER, _NINETY_VOLTS))
        await wait_sim(rig, "output_off", seq, 2.0)
    return {"t": t, "seq": seq}


async def remote_stop(rig: Rig) -> Event:
    """RemoteStopTransaction: the moment at which it is sent."""
    t, seq = time.monotonic(), (await rig.sim.state())["last_seq"]
    await rig.stop_session(wait=False)
    return {"t": t, "seq": seq}


bms_good = command("bms", silent=False, corrupt=False, garbage=0, period_ms=200)

EVENTS = (
    Case("bms-forbids", command("ev", allow=False)),
    Case("bms-control-byte-255", command("bms", control_byte=255), restore=command("bms", control_byte=None)),
    Case("bms-limit-0A", command("ev", max_current=0), restore=command("ev", max_current=90)),
    Case("bms-limit-above-window", command("ev", max_voltage=86), restore=command("ev", max_voltage=84)),
    Case(
        "bms-limit-below-window",
        command("ev", max_voltage=55),
        restore=command("ev", max_voltage=84),
        alarms=frozenset({"over_voltage"}),  # the pack itself is above its limit
    ),
    Case(
        "bms-limit-below-pack",
        command("ev", max_voltage=70),
        restore=command("ev", max_voltage=84),
        alarms=frozenset({"over_voltage"}),
    ),
    Case("bms-limit-not-available", command("ev", max_voltage=6553.5), restore=command("ev", max_voltage=84)),
    Case("terminal-over-voltage", over_voltage, status="OverVoltage"),
    Case("estop", command("estop", active=True), reason="EmergencyStop", status="OtherError"),
    Case("door", command("door", active=True), status="OtherError"),
    Case("fault-input", command("fault", active=True), status="OtherError"),
    Case("io-link", command("io", state="down"), status="OtherError", alarms=_CONTACTOR_ALARM),
    Case("bms-bus-down", command("bus", name="bms", state="down"), reason="EVDisconnected"),
    Case("remote-stop", remote_stop, reason="Remote"),
    Case("same-tag", command("swipe", id_tag="TAG"), reason="Local"),
)

# What is seen only when something is asked for or fails to come.
DELAYED = (
    Case("bms-silent", partial(silence_bms, silent=True), _SILENCE_S, reason="EVDisconnected"),
    Case("bms-short", only_bad(*(frame(_LIMITS, _PERMISSION[:n]) for n in range(8))), _SILENCE_S, restore=bms_good),
    Case("bms-remote-frames", only_bad(frame(_LIMITS, remote=True)), _SILENCE_S, restore=bms_good),
    Case(
        "bms-other-ids",
        only_bad(
            frame(_LIMITS & 0x7FF, _PERMISSION, extended=False),
            frame(0x1806E7F4, _PERMISSION),  # for another charger
            frame(_POWER, _PERMISSION),  # those of the module mean nothing here
            frame(_STATUS, bytes.fromhex("0000000000000302")),
        ),
        _SILENCE_S,
        restore=bms_good,
    ),
    Case("bms-corrupt", partial(silence_bms, corrupt=True), _SILENCE_S, restore=bms_good),
    Case("bms-garbage-only", partial(silence_bms, silent=True, garbage=300), _SILENCE_S, restore=bms_good),
    Case("bms-bus-cut", command("bus", name="bms", state="cut"), _SILENCE_S, 0.25, reason="EVDisconnected"),
    Case(
        # the next status frame (every 0.1 s) is refused, and the adapter is asked why
        "bms-bus-off",
        command("bus", name="bms", state="off"),
        0.2,
        0.2,
        restore=command("bus", name="bms", state="up"),
    ),
    # its temperature, asked for once a second, may turn old before its signs of life do
    Case("module-silent", command("module", silent=True), _SILENCE_S, 1.15, status="PowerSwitchFailure"),
    Case("module-corrupt", command("module", corrupt=True), _SILENCE_S, 1.15, status="PowerSwitchFailure"),
    Case("module-nan", command("module", nan=True), _SILENCE_S, status="PowerSwitchFailure"),
    Case(
        "module-absurd",  # NaN, infinity, negative and huge values, and frames with defects
        command("module", terminal_power=False, garbage=50),
        _SILENCE_S,
        status="PowerSwitchFailure",
    ),
    Case(
        "module-2-of-3",
        command("module", heartbeat=False, terminal_status=False),
        _SILENCE_S,
        restore=command("module", heartbeat=True, terminal_status=True),
    ),
    # the temperature is asked for once a second
    Case("over-temperature", command("fault", kind="overtemperature", active=True), 1.1, 1.1, status="HighTemperature"),
    Case("sensor-stuck-at-0", command("module", temperature=0), 1.1, 1.1, restore=command("module", temperature=26)),
    Case("sensor-lost", command("module", telemetry=False), _SILENCE_S, 1.15, status="InternalError"),
    Case(
        # no current, and no word of the BMS for 1.5 s
        "unplug",
        command("unplug"),
        1.5,
        0.25,
        reason="EVDisconnected",
        alarms=frozenset({"unplugged_under_load"}),
    ),
)

# An "off" cannot travel over a dead bus: the contactor opens after power.off_deadline_ms.
NO_BUS = (
    Case(
        "pm-bus-down",
        command("bus", name="pm", state="down"),
        2.0,
        evidence="contactor",
        status="PowerSwitchFailure",
        alarms=_CONTACTOR_ALARM,
    ),
    Case(
        "pm-bus-off",
        command("bus", name="pm", state="off"),
        2.3,
        0.3,
        evidence="contactor",
        status="PowerSwitchFailure",
        alarms=_CONTACTOR_ALARM,
    ),
    Case(
        "pm-bus-cut",
        command("bus", name="pm", state="cut"),
        _SILENCE_S + 2.0,
        1.15,
        evidence="contactor",
        status="PowerSwitchFailure",
        alarms=_CONTACTOR_ALARM,
    ),
)


async def lose(tmp_path: Path, case: Case) -> None:
    """One session, one loss."""
    async with Rig(tmp_path, settings={"power.fault_hold_ms": 500}) as rig:
        transaction = await charge(rig)
        cause = await case.lose(rig)
        late = await reaction(rig, cause, case.deadline_s, case.evidence, case.early_s)
        print(f"{case.name}: {late * 1000:.1f} ms after the deadline of {case.deadline_s} s")
        await rig.firmware.meanwhile(rig.sim.wait_state(lambda state: state["current"] == 0))
        back: Event | None = None
        if case.restore is None:
            await rig.expect("StopTransaction", transactionId=transaction, reason=case.reason, timeout=12)
            if case.status is not None:
                fault = await rig.wait_call("StatusNotification", status="Faulted")
                assert fault.payload["errorCode"] == case.status, fault.payload
                rig.assert_count("StatusNotification(1 Faulted)", 1)
            if case.evidence == "contactor":  # nothing comes back on with the bus
                up = await rig.sim.cmd("bus", name="pm", state="up")
                await wait_sim(rig, "output_off", up["seq"])
        else:
            await asyncio.sleep(_STAYS_OFF_S)
            back = await case.restore(rig)
            await wait_sim(rig, "output_on", back["seq"])
            await full_current(rig)
            rig.assert_count("StartTransaction", 1)
            assert not [call for call in rig.calls() if call.startswith("StopTransaction")], rig.calls()
        events = await assert_lawful(rig, [Loss.after(cause, case.deadline_s, back)], case.alarms)
        assert {event["alarm"] for event in events if event["type"] == "alarm"} == case.alarms
        rig.assert_schemas()


@in_batches(EVENTS, 8)
@system_test
async def test_event(tmp_path: Path, batch: tuple[Case, ...]) -> None:
    """Told by a frame, a line or a message: off at once."""
    await all_at_once(tmp_path, batch, lose)


@in_batches(DELAYED, 9)
@system_test
async def test_silence(tmp_path: Path, batch: tuple[Case, ...]) -> None:
    """Told by silence, or by an answer that has to be asked for: off at the deadline, and not much earlier."""
    await all_at_once(tmp_path, batch, lose)


@system_test
async def test_dead_module_bus(tmp_path: Path) -> None:
    """No off frame can pass: the contactor ends the current, and nothing comes back on with the bus."""
    await all_at_once(tmp_path, NO_BUS, lose)


@dataclass(frozen=True)
class Nothing:
    """Something that is lost and must not matter."""

    name: str
    lose: Step
    options: Any = None


HARMLESS = (
    Nothing("heartbeat", command("module", heartbeat=False)),
    Nothing("terminal-status", command("module", terminal_status=False)),
    Nothing("counters", command("bms", ah_counters=False)),
    Nothing("slow-bms", command("bms", period_ms=2500)),
)


@pytest.mark.parametrize("batch", [HARMLESS], ids=["harmless"])
@system_test
async def test_harmless_loss(tmp_path: Path, batch: tuple[Nothing, ...]) -> None:
    """One of the module's three signs of life, the counters, a slow BMS: the session goes on."""

    async def run(path: Path, case: Nothing) -> None:
        async with Rig(path) as rig:
            await charge(rig)
            seq = (await case.lose(rig))["seq"]
            with pytest.raises(TimeoutError):  # longer than every deadline
                await wait_sim(rig, "output_off", seq, 6.0)
            rig.assert_count("StatusNotification(1 Charging)", 1)
            assert (await rig.sim.state())["current"] > 30
            await rig.stop_session()
            await assert_lawful(rig)

    await all_at_once(tmp_path, batch, run)
