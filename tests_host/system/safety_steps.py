"""Steps and judgement of the safety tests: what may take power away, how fast it went, whether it ever came unasked.

Everything is judged from the bus side: the simulator's events have the times of the frames it saw, and its monotonic
clock is that of the bench central system.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

import can
import pytest

from tests_host.system.rig import Rig
from tools.csms.frames import FROM_CHARGER, TO_CHARGER
from tools.sim import slcan

BOUND_S = 0.1  # from the event, or the deadline, to the off frame: the design asks for 0.01 s, a busy machine for more
FLOW_S = 0.4  # from then until the current is gone: module latency, choke, one period of the physics
CASE_S = 100.0
_EARLY_S = 0.15  # a source that speaks ten times a second was last heard that long before it was silenced

Event = dict[str, Any]


Case = TypeVar("Case")
Step = Callable[[Rig], Awaitable[Any]]


def name_of(case: object) -> str:
    """The `name` of a case, or of the function that is one."""
    return str(getattr(case, "name", None) or getattr(case, "__name__", case)).replace("_", "-")


def in_batches(cases: Sequence[Case], size: int = 5) -> pytest.MarkDecorator:
    """Parametrise `batch` with some cases at a time, to run each on a site of its own and all at once."""
    batches = [cases[first : first + size] for first in range(0, len(cases), size)]
    return pytest.mark.parametrize("batch", batches, ids=lambda batch: ",".join(map(name_of, batch)))


async def all_at_once(
    tmp_path: Path, batch: Iterable[Case], run: Callable[[Path, Case], Awaitable[None]], limit_s: float = CASE_S
) -> None:
    """Run every case in a folder of its own; every one ends before the failures, with their names, are raised."""

    async def one(case: Case) -> Exception | None:
        try:
            async with asyncio.timeout(limit_s):
                await run(tmp_path / name_of(case), case)
        except Exception as error:  # noqa: BLE001 - raised below, with those of the others
            error.add_note(f"in the case {name_of(case)}")
            return error
        return None

    failed = [error for error in await asyncio.gather(*map(one, batch)) if error is not None]
    if failed:
        raise failed[0] if len(failed) == 1 else ExceptionGroup(f"{len(failed)} cases failed", failed)


def command(cmd: str, **fields: Any) -> Step:
    """A step that sends one command to the simulator; its result has the time and the number of the event."""
    return lambda rig: rig.sim.cmd(cmd, **fields)


async def charge(rig: Rig, amperes: float = 30.0, **vehicle: Any) -> int:
    """Plug in, start by remote control, and wait for more than this current; the transaction id."""
    await rig.sim.cmd("module", ramp=1000)
    await rig.plug(**vehicle)
    transaction = await rig.start_session()
    await full_current(rig, amperes)
    return transaction


async def full_current(rig: Rig, amperes: float = 30.0) -> Event:
    """Until the module gives all it can; the state then."""
    return await rig.firmware.meanwhile(rig.sim.wait_state(lambda state: state["current"] > amperes, 15.0))


async def wait_sim(rig: Rig, kind: str, since: int, timeout: float = 12.0, **match: Any) -> Event:
    """The first event of the simulator after `since`; fails at once when the firmware ends."""
    return await rig.firmware.meanwhile(rig.sim.wait_event(kind, since, timeout, **match))


async def now(rig: Rig) -> Event:
    """This moment, as if it were an event."""
    state = await rig.sim.state()
    return {"t": state["t"], "seq": state["last_seq"]}


async def reaction(
    rig: Rig, cause: Event, deadline_s: float = 0.0, evidence: str = "output_off", early_s: float = _EARLY_S
) -> float:
    """Seconds from the cause (with the silence that is allowed) to the first off frame; asserts that it is in time.

    evidence: "contactor" where no frame can pass any more. early_s: how much earlier the silence may have begun."""
    match = {"value": False} if evidence == "contactor" else {}
    off = await wait_sim(rig, evidence, cause["seq"], deadline_s + 5.0, **match)
    late = float(off["t"] - cause["t"] - deadline_s)
    earliest = -early_s if deadline_s else 0.0
    assert earliest <= late <= BOUND_S, f"{evidence} {late * 1000:.1f} ms after the deadline of {deadline_s} s"
    return late


async def silence_bms(rig: Rig, **how: Any) -> Event:
    """Let the BMS say its limits once more and then go wrong, so that the silence begins at a known time."""
    last = await rig.sim.cmd("bms", period_ms=1000)
    await rig.sim.cmd("bms", period_ms=100, **how)
    return last


@dataclass
class Wire:
    """One more node on a bus: an SLCAN adapter of our own, with python-can's frames."""

    _writer: asyncio.StreamWriter

    def send(self, *frames: can.Message) -> None:
        """Put frames on the bus."""
        self._writer.write(b"".join(slcan.encode(frame) + slcan.CR for frame in frames))


@asynccontextmanager
async def on_wire(rig: Rig, bus: str, connector: int = 1) -> AsyncIterator[Wire]:
    """Join bus "pm" or "bms"."""
    port = rig.sim.address.pm(connector) if bus == "pm" else rig.sim.address.bms(connector)
    reader, writer = await asyncio.open_connection(rig.sim.address.host, port)
    drain = asyncio.create_task(_drain(reader))
    try:
        writer.write(b"C\rS5\rO\r")
        yield Wire(writer)
    finally:
        drain.cancel()
        writer.close()


async def _drain(reader: asyncio.StreamReader) -> None:
    while await reader.read(65_536):
        pass


def frame(can_id: int, data: bytes = b"", extended: bool = True, remote: bool = False) -> can.Message:
    """A CAN frame; a remote one asks for 8 bytes."""
    if remote:
        return can.Message(arbitration_id=can_id, is_extended_id=extended, is_remote_frame=True, dlc=8)
    return can.Message(arbitration_id=can_id, is_extended_id=extended, data=data)


# Judgement


@dataclass(frozen=True)
class Loss:
    """A time without the right to power: from `t` (monotonic s) until `back`."""

    t: float
    back: float = math.inf

    @classmethod
    def after(cls, cause: Event, deadline_s: float = 0.0, back: Event | None = None) -> Self:
        """What an event of the simulator begins, once the silence that is allowed is over, until another ends it."""
        return cls(cause["t"] + deadline_s, math.inf if back is None else back["t"])


def accepted_transactions(rig: Rig) -> list[tuple[float, float]]:
    """(answer that accepted it, its StopTransaction) of every transaction, monotonic s."""
    frames = rig.frames()
    windows = []
    for start in (f for f in frames if f.kind == "CALL" and f.action == "StartTransaction"):
        answer = next(
            (f for f in frames if f.kind == "CALLRESULT" and f.direction == TO_CHARGER and f.uid == start.uid), None
        )
        if answer is None or answer.payload["idTagInfo"]["status"] != "Accepted":
            continue
        stops = (
            f.mono
            for f in frames
            if f.kind == "CALL"
            and f.direction == FROM_CHARGER
            and f.action == "StopTransaction"
            and f.payload["transactionId"] == answer.payload["transactionId"]
        )
        windows.append((answer.mono, next(stops, math.inf)))
    return windows


async def assert_lawful(
    rig: Rig, losses: Iterable[Loss] = (), alarms: Iterable[str] = (), flow_s: float = FLOW_S
) -> list[Event]:
    """No "on" frame and no current except inside an accepted transaction and outside the losses; no other alarm of the
    simulator than those provoked. `flow_s`: how long the current may outlast the right to it. Returns the events."""
    losses = list(losses)
    events = await rig.sim.events(types=["output_on", "output_off", "power_on", "power_off", "alarm", "bus"])
    windows = accepted_transactions(rig)
    for event in events:
        if event["type"] in ("output_on", "power_on"):
            t = event["t"]
            assert any(start <= t <= stop for start, stop in windows), f"{event} outside of {windows}"
            during = [loss for loss in losses if loss.t + BOUND_S < t < loss.back]
            assert not during, f"{event} during {during}"
    now = (await rig.sim.cmd("state"))["t"]
    for begin, end in _flows(events, now):
        stop = min([stop for start, stop in windows if start <= begin <= stop], default=math.inf)
        right_ends = min([stop, *(loss.t for loss in losses if begin <= loss.t)])
        assert end <= right_ends + flow_s, f"current for {end - right_ends:.3f} s after the right to it ended"
    found = {event["alarm"] for event in events if event["type"] == "alarm"}
    assert found <= set(alarms), f"alarms: {sorted(found)}"
    return events


def _flows(events: Iterable[Event], now: float) -> list[tuple[float, float]]:
    """(begin, end) of each time with current at the terminals; one that goes on ends now."""
    flows: list[tuple[float, float]] = []
    for event in events:
        if event["type"] == "power_on":
            flows.append((event["t"], now))
        elif event["type"] == "power_off":
            flows[-1] = (flows[-1][0], event["t"])
    return flows
