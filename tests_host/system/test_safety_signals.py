"""Ctrl-C and SIGTERM, at any moment of a session: off, confirmed, then the end; the rest is told after the restart."""

import asyncio
import json
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from tests_host.system.rig import Rig, label, system_test
from tests_host.system.safety_steps import (
    BOUND_S,
    Loss,
    all_at_once,
    assert_lawful,
    charge,
    in_batches,
    now,
    wait_sim,
)
from tools.csms.frames import FROM_CHARGER

_STATUS = {signal.SIGTERM: 0, signal.SIGINT: 130}  # main.py --help
_END_S = 4.0

Moment = Callable[[Rig], Awaitable[None]]


async def idle(rig: Rig) -> None:
    """Nobody is there."""


async def plugged(rig: Rig) -> None:
    """A vehicle waits."""
    await rig.plug()


async def arming(rig: Rig) -> None:
    """The start has begun, the output is off."""
    await rig.sim.cmd("module", latency_ms=300)
    await rig.plug()
    await rig.start_session(wait=False)


async def energising(rig: Rig) -> None:
    """The first "on" is on its way, and has not been answered."""
    await rig.sim.cmd("module", latency_ms=300)
    await rig.plug()
    await rig.start_session(wait=False)
    await wait_sim(rig, "output_on", 0)


async def charging(rig: Rig) -> None:
    """Full current."""
    await charge(rig)


async def stopping(rig: Rig) -> None:
    """The "off" of a remote stop has not been answered."""
    await charge(rig)
    await rig.sim.cmd("module", latency_ms=300)
    seq = (await now(rig))["seq"]
    await rig.stop_session(wait=False)
    await wait_sim(rig, "output_off", seq)


async def offline(rig: Rig) -> None:
    """Full current, and the central system is gone."""
    await charge(rig)
    await rig.csms.stop_listening()


@dataclass(frozen=True)
class Case:
    """A signal at a moment, `times` in a row."""

    moment: Moment
    number: signal.Signals
    times: int = 1
    reason: str | None = "Reboot"

    @property
    def name(self) -> str:
        """For the report."""
        return f"{self.moment.__name__}-{self.number.name}-{self.times}"


CASES = (
    *(
        Case(moment, number, 1, reason)
        for number in _STATUS
        for moment, reason in (
            (idle, None),
            (plugged, None),
            (arming, "Reboot"),
            (energising, "Reboot"),
            (charging, "Reboot"),
            (stopping, "Remote"),
            (offline, "Reboot"),
        )
    ),
    Case(charging, signal.SIGINT, 3),
    Case(charging, signal.SIGTERM, 3),
)


def assert_said_once(rig: Rig, wanted: str) -> None:
    """This message exists once. A program that ended before it read the answer says it again after the restart, to the
    byte; the same text under another id, or another text under the same id, would be a second message."""
    said = [f for f in rig.frames() if f.kind == "CALL" and f.direction == FROM_CHARGER and label(f) == wanted]
    assert len({(f.uid, json.dumps(f.payload)) for f in said}) == 1, f"{wanted}: {said}"


async def end(tmp_path: Path, case: Case) -> None:
    """One signal; then a restart with the same flash."""
    async with Rig(tmp_path) as rig:
        await case.moment(rig)
        began = await now(rig)
        for _ in range(case.times):
            rig.firmware.signal(case.number)
            await asyncio.sleep(0.05)
        assert await asyncio.wait_for(rig.firmware.wait(), _END_S) == _STATUS[case.number]
        state = await rig.sim.state()
        assert not state["output_on"] and state["current"] == 0, state
        events = await rig.sim.events(began["seq"])
        if case.reason == "Reboot":
            off = next(event for event in events if event["type"] == "output_off")
            assert off["t"] - began["t"] <= BOUND_S, off
            print(f"{case.name}: {(off['t'] - began['t']) * 1000:.1f} ms")
        gone = next(event for event in events if event["type"] == "board")
        assert not [e for e in events if e["type"] == "contactor" and not e["value"] and e["seq"] > gone["seq"]]
        await rig.csms.resume()
        await rig.start_firmware(wait_registered=False)
        if case.reason is None:
            await rig.wait_call("StatusNotification", since=0, connectorId=1)
            rig.assert_count("StartTransaction", 0)
        else:
            await rig.wait_call("StopTransaction", reason=case.reason, timeout=15)
            assert_said_once(rig, f"StopTransaction({case.reason})")
            assert_said_once(rig, "DataTransfer(SessionSummary)")
        await assert_lawful(rig, [Loss(began["t"])])
        rig.assert_schemas()


@in_batches(CASES, 8)
@system_test
async def test_signal(tmp_path: Path, batch: tuple[Case, ...]) -> None:
    """The module is off before the program is gone."""
    await all_at_once(tmp_path, batch, end)
