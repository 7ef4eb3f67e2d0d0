"""Common steps of the session tests: quick presets, ends of a session, outages, several rigs at once, judgements.

The presets only shorten waiting; what is tested stays the firmware's own logic.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests_host.system.rig import WAIT_S, Rig, label
from tools.csms import FROM_CHARGER, TO_CHARGER, Frame
from tools.transcript import Session

INTERVAL_S = 2  # MeterValueSampleInterval
TIMEOUT_S = 1  # RivotDataTransferTimeout
PAUSE_S = 1  # RivotDataTransferRetryInterval
ATTEMPTS = 3  # RivotDataTransferAttempts
RECONNECT_S = 15.0  # the first attempt comes after 2 to 5 s, the second at most 7 s later
TAG = "Tag-1"

QUICK_OCPP = {
    "MeterValueSampleInterval": str(INTERVAL_S),
    "RivotDataTransferTimeout": str(TIMEOUT_S),
    "RivotDataTransferRetryInterval": str(PAUSE_S),
    "TransactionMessageRetryInterval": "1",
    "MessageTimeout": "5",
}
QUICK_SETTINGS = {
    "vehicle.bms_stop_ms": 500,
    "vehicle.bms_timeout_ms": 2000,
    "vehicle.session_timeout_ms": 3000,
    "power.fault_hold_ms": 0,
}
TRANSACTION = ("StartTransaction", "StopTransaction", "MeterValues")
LASTING = (*TRANSACTION, "DataTransfer")  # stored until answered: never lost


class QuickRig(Rig):
    """A rig with short intervals, a module that ramps up at once and a BMS that speaks ten times a second.

    name: of the charger (its identity), and of its folder: several rigs may share one `path`."""

    def __init__(
        self,
        path: Path,
        name: str = "CP-1",
        *,
        ocpp: dict[str, str] | None = None,
        settings: dict[str, Any] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(
            path / name,
            identity=name,
            ocpp=QUICK_OCPP | (ocpp or {}),
            settings=QUICK_SETTINGS | (settings or {}),
            **more,
        )
        self.csms.message_timeout = 0.9 * TIMEOUT_S

    async def start_firmware(self, wait_registered: bool = True) -> None:
        """As `Rig`; every start finds a quick site."""
        for connector in range(1, self._connectors + 1):
            await self.sim.cmd("module", ramp=1000, connector=connector)
            await self.sim.cmd("bms", period_ms=100, connector=connector)
        await super().start_firmware(wait_registered)


async def together(**runs: Coroutine[Any, Any, None]) -> None:
    """Run several scenarios at once, each to its own end; raises what failed, with the scenario's name."""
    results = await asyncio.gather(*runs.values(), return_exceptions=True)
    errors = []
    for name, result in zip(runs, results, strict=True):
        if isinstance(result, BaseException):
            result.add_note(f"scenario: {name}")
            errors.append(result)
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise BaseExceptionGroup(f"{len(errors)} of {len(runs)} scenarios failed", errors)


# Ends of a session


async def _remote_stop(rig: Rig, transaction: int) -> None:
    answer = await rig.call("RemoteStopTransaction", {"transactionId": transaction})
    assert answer == {"status": "Accepted"}, answer


async def _unplug(rig: Rig, _transaction: int) -> None:
    await rig.sim.cmd("unplug")


async def _local_stop(rig: Rig, _transaction: int) -> None:
    await rig.swipe(TAG.upper())  # id tags are compared without case


async def _estop(rig: Rig, _transaction: int) -> None:
    await rig.sim.cmd("estop", active=True)


async def _bms_stop(rig: Rig, _transaction: int) -> None:
    await rig.sim.cmd("ev", allow=False)


async def _nothing(_rig: Rig) -> None:
    pass


async def _unplug_later(rig: Rig) -> None:
    await rig.sim.cmd("unplug")


async def _release_estop(rig: Rig) -> None:
    await rig.sim.cmd("estop", active=False)
    await rig.expect("StatusNotification", connectorId=1, status="Finishing")
    await rig.sim.cmd("unplug")


@dataclass(frozen=True)
class End:
    """One way to end a session: what is done, the reason it leads to, and what is done to make it Available."""

    reason: str
    act: Callable[[Rig, int], Awaitable[None]]
    leave: Callable[[Rig], Awaitable[None]] = _unplug_later

    @property
    def session(self) -> Session:
        """What tools/transcript.py is to expect of a session of a `QuickRig` with this end, up to Available."""
        return Session(reason=self.reason, interval_s=INTERVAL_S, unplugged=True)


ENDS = {
    "remote-stop": End("Remote", _remote_stop),
    "unplug": End("EVDisconnected", _unplug, _nothing),
    "local-stop": End("Local", _local_stop),
    "estop": End("EmergencyStop", _estop, _release_estop),
    "bms-stop": End("Other", _bms_stop),
}
REMOTE_STOP = ENDS["remote-stop"]


# Steps


async def charge(rig: Rig, wh: float = 1.2, timeout: float = WAIT_S) -> float:
    """Wait until `wh` more have flowed; the simulator's energy since plug-in then, Wh."""
    begin = (await rig.sim.state())["session_wh"]
    state = await rig.firmware.meanwhile(
        rig.sim.wait_state(lambda state: bool(state["session_wh"] >= begin + wh), timeout)
    )
    return float(state["session_wh"])


async def begin(rig: Rig) -> int:
    """Plug in and start; the transaction id. Energy has flowed and a periodic sample has come when it returns."""
    await rig.plug()
    transaction = await rig.start_session(TAG)
    await charge(rig)
    await rig.expect("MeterValues", context="Sample.Periodic")
    return transaction


async def finish(rig: Rig, transaction: int, end: End = REMOTE_STOP, timeout: float = WAIT_S) -> Frame:
    """End the session, wait for its StopTransaction and the output to be off; then the vehicle leaves."""
    await end.act(rig, transaction)
    stop = await rig.expect("StopTransaction", timeout=timeout)
    await rig.wait_output(False)
    await end.leave(rig)
    await rig.expect("StatusNotification", connectorId=1, status="Available")
    return stop


async def whole_session(rig: Rig, end: End = REMOTE_STOP) -> None:
    """One session from plug-in to Available."""
    await finish(rig, await begin(rig), end)


async def outage(rig: Rig, seconds: float, how: Any = "refuse") -> int:
    """The network is down for `seconds` (the length is what is tested); the mark of its beginning."""
    mark = rig.mark()
    await rig.csms.stop_listening(how)
    await rig.firmware.meanwhile(asyncio.sleep(seconds))
    await rig.csms.resume()
    return mark


async def reconnected(rig: Rig, since: int, timeout: float = RECONNECT_S) -> list[Frame]:
    """Wait until the charger has a new connection and has said on it how every connector is. Returns all frames from
    that connection's opening on."""
    opened = await rig.firmware.meanwhile(
        rig.csms.wait_for(kind="OPEN", identity=rig.identity, since=since, timeout=timeout)
    )
    await rig.wait_call("StatusNotification", since=opened.n, connectorId=1)
    return rig.frames(opened.n)


async def sees_vehicle(rig: Rig, since: int) -> Frame:
    """After a start with a vehicle that is still there: wait until the charger has said so (Preparing or Finishing)."""
    return await rig.firmware.meanwhile(
        rig.csms.wait_for(
            "StatusNotification",
            lambda payload: payload["connectorId"] == 1 and payload["status"] in ("Preparing", "Finishing"),
            since=since,
            timeout=RECONNECT_S,
        )
    )


# Judgements


def calls_of(rig: Rig, *actions: str, since: int = 0) -> list[Frame]:
    """The charger's CALLs of these actions (none given: all), in order."""
    return [
        frame
        for frame in rig.frames(since)
        if frame.kind == "CALL" and frame.direction == FROM_CHARGER and (not actions or frame.action in actions)
    ]


def sends(rig: Rig, wanted: str, since: int = 0) -> list[Frame]:
    """All sends of the message with this label, e.g. "DataTransfer(VehicleInfo)"."""
    return [frame for frame in calls_of(rig, since=since) if label(frame) == wanted]


def assert_repeats_are_the_same(rig: Rig) -> None:
    """A message that is sent again is the same to the byte, id included; no transaction message is said twice under
    two ids. (Two vehicles may well lead to equal DataTransfers.)"""
    first_of_uid: dict[str | None, str] = {}
    first_of_payload: dict[str, str] = {}
    for frame in calls_of(rig):
        first = first_of_uid.setdefault(frame.uid, frame.text)
        assert frame.text == first, f"one id for two messages:\n{first}\n{frame.text}"
        if frame.action in TRANSACTION:
            payload = frame.text.split(",", 2)[2]
            first = first_of_payload.setdefault(payload, frame.text)
            assert frame.text == first, f"two ids for one message:\n{first}\n{frame.text}"


def assert_sent_once(rig: Rig, *actions: str) -> None:
    """No message of these actions went out more than once."""
    uids = [frame.uid for frame in calls_of(rig, *(actions or LASTING))]
    twice = {uid for uid in uids if uids.count(uid) > 1}
    assert not twice, [str(frame) for frame in calls_of(rig) if frame.uid in twice]


def assert_status_first(frames: list[Frame], status: str) -> None:
    """After a reconnect: the present status of connectors 0 and 1 goes before everything else, without a boot."""
    calls = [label(f) for f in frames if f.kind == "CALL" and f.direction == FROM_CHARGER]
    assert calls[:2] == ["StatusNotification(0 Available)", f"StatusNotification(1 {status})"], calls
    assert "BootNotification" not in calls, calls


def assert_in_order_of_events(frames: list[Frame]) -> None:
    """The samples among these frames come in the order of their own times."""
    times = [
        value["timestamp"]
        for frame in frames
        if frame.kind == "CALL" and frame.action == "MeterValues"
        for value in frame.payload["meterValue"]
    ]
    assert times == sorted(times), times


def answer_to(rig: Rig, call: Frame) -> Frame:
    """The bench's answer to a CALL."""
    return next(
        frame
        for frame in rig.frames(call.n)
        if frame.uid == call.uid and frame.direction == TO_CHARGER and frame.kind in ("CALLRESULT", "CALLERROR")
    )


def utc(text: str) -> float:
    """Unix seconds of an OCPP timestamp."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC).timestamp()


def after_start(rig: Rig, seconds: int) -> str:
    """The OCPP timestamp of `seconds` after the start of the newest transaction."""
    start = utc(calls_of(rig, "StartTransaction")[-1].payload["timestamp"])
    return datetime.fromtimestamp(start + seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
