"""Does the wire transcript of one charging session keep the promise of the quick reference for central systems?

Order, once-only, payloads to the last character, times, and energies that agree. Pure: frames in, sentences out; no
sentence means that all of it holds. `python -m tools.transcript FILE` checks a file of frames as JSON lines.
"""

import itertools
import json
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from tools.csms.frames import FROM_CHARGER, TO_CHARGER, Frame

VENDOR = "RivotMotors"
# The measurands of MeterValues in their order, with unit and decimals.
MEASURANDS = (
    ("Energy.Active.Import.Register", "Wh", 0),
    ("Power.Active.Import", "W", 0),
    ("SoC", "Percent", 2),
    ("Voltage", "V", 2),
    ("Current.Import", "A", 2),
)
ENERGY = MEASURANDS[0][0]
VEHICLE_INFO = ("soc", "maxCurrent", "voltage", "current", "temperature")  # one decimal each
SESSION_SUMMARY = ("finalSoc", "energyDelivered", "durationMinutes")  # two decimals each
CONTEXTS = ("Transaction.Begin", "Sample.Periodic", "Transaction.End")
MAX_ATTEMPTS = 3  # RivotDataTransferAttempts
_SETTLE_S = 3.0  # from the stop to the last sample: the output must be off first


@dataclass(frozen=True)
class Session:
    """What is expected of one session.

    reason: that of StopTransaction. remote_start: there is a RemoteStartTransaction. interval_s between samples.
    complete: SoC and all members of VehicleInfo are known to the charger. charging: energy flowed long enough to
    reach Charging. unplugged: the transcript goes on until Available.
    """

    connector: int = 1
    reason: str = "Remote"
    remote_start: bool = True
    interval_s: int = 10
    complete: bool = True
    charging: bool = True
    unplugged: bool = False
    offline: bool = False
    lifetime: bool = False


def check(frames: Iterable[Frame], session: Session = Session()) -> list[str]:
    """What is wrong with these frames of one session (from plug-in to its end), as plain sentences, in order."""
    checker = _Checker(list(frames), session)
    for step in (
        checker.violations,
        checker.presence,
        checker.order,
        checker.vendor_messages,
        checker.meter_messages,
        checker.sample_times,
        checker.energies,
        checker.durations,
    ):
        step()
    return checker.findings


def one_session(frames: Sequence[Frame], connector: int = 1, number: int = -1) -> list[Frame]:
    """The frames of one session: from its StatusNotification(Preparing) to the next one or the end.

    number counts from 0, negative from the last. Raises IndexError when there are not so many plug-ins."""
    starts = [
        index
        for index, frame in enumerate(frames)
        if _is_status(frame, connector, "Preparing")
        and not _repeats_preparing([f for f in frames[:index] if _is_status(f, connector)])
    ]
    first = starts[number]
    following = [index for index in starts if index > first]
    return list(frames[first : following[0] if following else len(frames)])


def _repeats_preparing(before: list[Frame]) -> bool:
    """After a new connection the same status may be sent again: that is no new plug-in."""
    return bool(before) and before[-1].payload.get("status") == "Preparing"


def _is_status(frame: Frame, connector: int, status: str | None = None) -> bool:
    return (
        frame.kind == "CALL"
        and frame.action == "StatusNotification"
        and frame.payload.get("connectorId") == connector
        and status in (None, frame.payload.get("status"))
    )


class _Checker:
    def __init__(self, frames: list[Frame], session: Session) -> None:
        self.findings: list[str] = []
        self._session = session
        self._frames = frames
        self._began = frames[0].mono if frames else 0.0
        calls = [frame for frame in frames if frame.kind == "CALL" and frame.direction == FROM_CHARGER]
        statuses = [frame for frame in calls if _is_status(frame, session.connector)]
        end_status = "Faulted" if session.reason == "EmergencyStop" else "Finishing"

        self._vehicle = self._transfers(calls, "VehicleInfo")
        self._summary = self._transfers(calls, "SessionSummary")
        self._start = [frame for frame in calls if frame.action == "StartTransaction"]
        self._stop = [frame for frame in calls if frame.action == "StopTransaction"]
        self._meter = self._without_repeats([frame for frame in calls if frame.action == "MeterValues"])
        self._samples = [
            (frame, value)
            for frame in self._meter
            for value in frame.payload.get("meterValue", ())
            if "Trigger" not in _contexts(value)
        ]
        # name, frames, must there be one: in the order of the quick reference
        self._steps: list[tuple[str, list[Frame], bool]] = [
            ("StatusNotification(Preparing)", [f for f in statuses if f.payload["status"] == "Preparing"][:1], True),
            ("DataTransfer(VehicleInfo)", self._vehicle, True),
            ("RemoteStartTransaction", self._to_charger("RemoteStartTransaction"), session.remote_start),
            ("StartTransaction", self._start, True),
            (
                "StatusNotification(Charging)",
                [f for f in statuses if f.payload["status"] == "Charging"][:1],
                session.charging,
            ),
            ("RemoteStopTransaction", self._to_charger("RemoteStopTransaction"), session.reason == "Remote"),
            ("DataTransfer(SessionSummary)", self._summary, True),
            (
                f"StatusNotification({end_status})",
                [f for f in statuses if f.payload["status"] == end_status][:1],
                True,
            ),
            ("StopTransaction", self._stop, True),
            (
                "StatusNotification(Available)",
                [f for f in statuses if f.payload["status"] == "Available"][-1:],
                session.unplugged,
            ),
        ]
        if session.offline:
            self._steps = [step for step in self._steps if not step[0].startswith("StatusNotification")]

    @staticmethod
    def _transfers(calls: list[Frame], message_id: str) -> list[Frame]:
        return [f for f in calls if f.action == "DataTransfer" and f.payload.get("messageId") == message_id]

    def _without_repeats(self, calls: list[Frame]) -> list[Frame]:
        """The first send of each message: after a lost connection the same message, id included, may come again."""
        first: dict[str | None, Frame] = {}
        for frame in calls:
            earlier = first.setdefault(frame.uid, frame)
            if earlier.payload != frame.payload:
                self._say(f"{frame.action} {self._at(frame)} repeats an id {self._at(earlier)} with another payload")
        return list(first.values())

    def _to_charger(self, action: str) -> list[Frame]:
        return [
            frame
            for frame in self._frames
            if frame.kind == "CALL" and frame.direction == TO_CHARGER and frame.action == action
        ]

    def _at(self, frame: Frame) -> str:
        return f"at {frame.mono - self._began:.1f} s"

    def _say(self, text: str) -> None:
        self.findings.append(text)

    # The checks

    def violations(self) -> None:
        """Every frame is valid by the JSON schemas and the rules of OCPP-J."""
        for frame in self._frames:
            if frame.violation and not frame.on_purpose:
                who = "the charger" if frame.direction == FROM_CHARGER else "the central system"
                self._say(f"{frame.kind} {frame.action or ''} of {who} {self._at(frame)}: {frame.violation}")

    def presence(self) -> None:
        """Every message of the session is there, the transaction's exactly once (repeats of a failed try aside)."""
        for name, frames, wanted in self._steps:
            if wanted and not frames:
                self._say(f"{name} is missing")
        for name, frames in (
            ("VehicleInfo", self._vehicle),
            ("SessionSummary", self._summary),
            ("StartTransaction", self._start),
            ("StopTransaction", self._stop),
        ):
            self._once(name, frames)
        if self._session.reason == "EVDisconnected":
            for _, frames, _ in (step for step in self._steps if "Finishing" in step[0]):
                if frames and frames[0].payload.get("info") != "EV side disconnected":  # OCPP 1.6 section 3.5.2
                    self._say(f"Finishing has the info {frames[0].payload.get('info')!r}, not 'EV side disconnected'")

    def _once(self, name: str, frames: list[Frame]) -> None:
        for earlier, later in itertools.pairwise(frames):
            if self._accepted(earlier, later):
                self._say(f"{name} is sent again {self._at(later)} although it was accepted {self._at(earlier)}")
            if earlier.payload != later.payload:
                self._say(f"{name} {self._at(later)} repeats the one {self._at(earlier)} with another payload")
        if name in ("VehicleInfo", "SessionSummary") and len(frames) > MAX_ATTEMPTS:
            self._say(f"{name} was sent {len(frames)} times, at most {MAX_ATTEMPTS} attempts are allowed")

    def _accepted(self, call: Frame, repeat: Frame) -> bool:
        """Answered before its repeat on the same connection, not with an error, and (DataTransfer) with Accepted."""
        for frame in self._frames:
            same = frame.uid == call.uid and frame.connection == call.connection and call.n < frame.n < repeat.n
            if same and frame.direction == TO_CHARGER and frame.kind == "CALLRESULT" and not frame.violation:
                return call.action != "DataTransfer" or frame.payload.get("status") == "Accepted"
        return False

    def order(self) -> None:
        """Each step comes after the last frame of every earlier step (all attempts of it). RemoteStartTransaction is
        the central system's choice: it may come while VehicleInfo is still being repeated."""
        present = [(name, frames) for name, frames, _ in self._steps if frames]
        for position, (next_name, next_frames) in enumerate(present):
            first = next_frames[0]
            for name, frames in reversed(present[:position]):
                before = frames[0 if next_name == "RemoteStartTransaction" else -1]
                if first.n < before.n:
                    when, next_when = self._at(before), self._at(first)
                    self._say(f"{next_name} {next_when} comes before {name} {when}; it must come after it")
                    break
        for frame in self._meter:
            if self._start and frame.n < self._start[0].n:
                self._say(f"MeterValues {self._at(frame)} comes before StartTransaction")
            if self._summary and frame.n > self._summary[0].n and "transactionId" in frame.payload:
                self._say(f"MeterValues {self._at(frame)} comes after SessionSummary")

    def vendor_messages(self) -> None:
        """DataTransfer payloads are byte for byte of the promised shape."""
        members = {"VehicleInfo": (VEHICLE_INFO, 1), "SessionSummary": (SESSION_SUMMARY, 2)}
        for frame in (*self._vehicle, *self._summary):
            payload = frame.payload
            name = payload["messageId"]
            what = f"{name} {self._at(frame)}"
            if list(payload) != ["vendorId", "messageId", "data"]:
                self._say(f"{what}: the fields are {', '.join(payload)} instead of vendorId, messageId, data")
            if payload.get("vendorId") != VENDOR:
                self._say(f"{what}: vendorId is {payload.get('vendorId')!r} instead of {VENDOR!r}")
            data = payload.get("data")
            if not isinstance(data, str):
                self._say(f"{what}: data is {type(data).__name__} instead of a string")
                continue
            names, decimals = members[name]
            for problem in data_problems(data, names, decimals, self._session.complete):
                self._say(f"{what}: {problem}")

    def meter_messages(self) -> None:
        """MeterValues: fields, measurands, units, decimals and contexts as promised."""
        transactions = {answer.payload.get("transactionId") for answer in self._results("StartTransaction")}
        for frame in self._meter:
            payload = frame.payload
            what = f"MeterValues {self._at(frame)}"
            if list(payload) != ["connectorId", "transactionId", "meterValue"]:
                self._say(f"{what}: the fields are {', '.join(payload)}, not connectorId, transactionId, meterValue")
            if payload.get("connectorId") != self._session.connector:
                self._say(f"{what}: connectorId is {payload.get('connectorId')}")
            if transactions and payload.get("transactionId") not in transactions:
                self._say(f"{what}: transactionId is {payload.get('transactionId')}")
            for value in payload.get("meterValue", ()):
                # the last sample after the vehicle has left knows nothing of it any more
                gone = self._session.reason == "EVDisconnected" and _context(value) == "Transaction.End"
                for problem in meter_value_problems(value, self._session.complete and not gone):
                    self._say(f"{what}: {problem}")
        for frame in self._stop:
            if transactions and frame.payload.get("transactionId") not in transactions:
                self._say(f"StopTransaction: transactionId is {frame.payload.get('transactionId')}")
            if frame.payload.get("reason", "Local") != self._session.reason:
                reason = frame.payload.get("reason", "Local")
                self._say(f"StopTransaction: reason is {reason} instead of {self._session.reason}")

    def sample_times(self) -> None:
        """Transaction.Begin at the start, periodic ones at start + n x interval without a gap, End at the stop."""
        if not self._start or not self._samples:
            if self._start:
                self._say("there are no MeterValues")
            return
        start = _seconds(self._start[0].payload.get("timestamp"))
        stop = _seconds(self._stop[0].payload.get("timestamp")) if self._stop else None
        step = self._session.interval_s
        expected = 1
        contexts = []
        for frame, value in self._samples:
            time, context = _seconds(value.get("timestamp")), _context(value)
            contexts.append(context)
            if time is None or start is None:
                continue  # the schema check has said so
            after = time - start
            what = f"the {context} sample {self._at(frame)}"
            if context == "Transaction.Begin" and after != 0:
                self._say(f"{what} has its time {after:g} s after the start instead of 0 s")
            elif context == "Sample.Periodic":
                if after != expected * step:
                    self._say(f"{what} has its time {after:g} s after the start instead of {expected * step} s")
                expected = max(expected + 1, int(after // step) + 1)
            elif context == "Transaction.End" and stop is not None and not -1 <= time - stop <= _SETTLE_S:
                self._say(f"{what} has its time {time - stop:g} s after the stop")
        if contexts[0] != "Transaction.Begin":
            self._say(f"the first sample has the context {contexts[0]} instead of Transaction.Begin")
        if self._stop and contexts[-1] != "Transaction.End":
            self._say(f"the last sample has the context {contexts[-1]} instead of Transaction.End")
        if contexts.count("Transaction.Begin") > 1 or contexts.count("Transaction.End") > 1:
            self._say("Transaction.Begin and Transaction.End are there more than once")
        if start is not None and stop is not None and (stop - start) - (expected - 1) * step > step + 1:
            self._say(
                f"periodic samples are missing: the last one is {(expected - 1) * step} s after the start,"
                f" the stop {stop - start:g} s"
            )

    def energies(self) -> None:
        """SessionSummary, the last MeterValues and meterStop - meterStart agree to the Wh; registers never fall."""
        registers = [
            int(sample["value"])
            for _, value in self._samples
            for sample in value.get("sampledValue", ())
            if sample.get("measurand") == ENERGY and re.fullmatch(r"\d+", str(sample.get("value")))
        ]
        for before, after in itertools.pairwise(registers):
            if after < before:
                self._say(f"the energy register falls from {before} Wh to {after} Wh")
        if not self._start or not self._stop:
            return
        first, last = self._start[0].payload.get("meterStart"), self._stop[-1].payload.get("meterStop")
        if not isinstance(first, int) or not isinstance(last, int):
            return
        if last < first:
            self._say(f"meterStop {last} Wh is below meterStart {first} Wh")
        if registers and registers[-1] != last:
            self._say(f"the last MeterValues say {registers[-1]} Wh, meterStop is {last} Wh")
        if registers and registers[0] != first:
            self._say(f"the first MeterValues say {registers[0]} Wh, meterStart is {first} Wh")
        delivered = self._summary_number("energyDelivered")
        agree = delivered is None or int(delivered) == last - first
        if self._session.lifetime and delivered is not None:
            agree = abs(delivered - (last - first)) < 1
        if not agree:
            self._say(f"SessionSummary says {delivered} Wh, meterStop - meterStart is {last - first} Wh")

    def durations(self) -> None:
        """durationMinutes is the time from start to stop; finalSoc is the SoC of the last sample."""
        minutes = self._summary_number("durationMinutes")
        if minutes is not None and self._start and self._stop:
            start, stop = _seconds(self._start[0].payload["timestamp"]), _seconds(self._stop[-1].payload["timestamp"])
            # both times are whole seconds, the minutes are exact: they may differ by one second and the rounding
            if start is not None and stop is not None and abs(float(minutes) * 60 - (stop - start)) > 1.4:
                self._say(f"durationMinutes is {minutes}, from start to stop it took {stop - start:g} s")
        soc = self._summary_number("finalSoc")
        last = [s for _, v in self._samples[-1:] for s in v.get("sampledValue", ()) if s.get("measurand") == "SoC"]
        if soc is not None and last and abs(soc - Decimal(str(last[0]["value"]))) > Decimal("0.05"):
            self._say(f"finalSoc is {soc}, the last MeterValues say {last[0]['value']}")

    def _results(self, action: str) -> list[Frame]:
        return [f for f in self._frames if f.kind == "CALLRESULT" and f.action == action and f.direction == TO_CHARGER]

    def _summary_number(self, name: str) -> Decimal | None:
        for frame in self._summary:
            try:
                number = json.loads(frame.payload["data"], parse_float=Decimal, parse_int=Decimal).get(name)
            except (ValueError, TypeError, KeyError, AttributeError):
                return None
            return number if isinstance(number, Decimal) else None
        return None


def data_problems(data: str, names: Sequence[str], decimals: int, complete: bool = True) -> list[str]:
    """What is wrong with the `data` text of a vendor message: it must be a JSON object without spaces, its members in
    the order of `names`, each a number with `decimals` decimals. complete: every member must be there."""
    number = rf"-?(0|[1-9]\d*)\.\d{{{decimals}}}"
    members = "".join(rf'("{name}":{number},)?' for name in names)
    if not re.fullmatch(rf"\{{{members}\}}", data[:-1] + ",}" if data.endswith("}") and data != "{}" else data):
        shape = ", ".join(names)
        return [f"data is {data!r}: wanted are {shape}, in this order, with {decimals} decimals and without spaces"]
    missing = [name for name in names if f'"{name}":' not in data]
    return [f"data has no {', '.join(missing)}"] if complete and missing else []


def meter_value_problems(value: dict[str, Any], complete: bool = True) -> list[str]:
    """What is wrong with one meterValue element. Not complete: SoC may be unknown and left out, and any measurand
    that cannot be read now."""
    problems = []
    if list(value) != ["timestamp", "sampledValue"]:
        problems.append(f"the fields are {', '.join(value)} instead of timestamp, sampledValue")
    samples = value.get("sampledValue", [])
    names = [sample.get("measurand") for sample in samples]
    wanted = [name for name, _, _ in MEASURANDS]
    if names != wanted and (complete or names != [name for name in wanted if name in names]):
        problems.append(f"the measurands are {', '.join(map(str, names))}")
    for sample in samples:
        name = sample.get("measurand")
        known = next(((unit, decimals) for measurand, unit, decimals in MEASURANDS if measurand == name), None)
        if known is None:
            continue
        unit, decimals = known
        if [key for key in sample if key != "context"] != ["measurand", "value", "unit"]:
            problems.append(f"{name}: the fields are {', '.join(sample)}")
        if sample.get("unit") != unit:
            problems.append(f"{name}: the unit is {sample.get('unit')} instead of {unit}")
        text = sample.get("value")
        number = r"-?(0|[1-9]\d*)" + (rf"\.\d{{{decimals}}}" if decimals else "")
        if not isinstance(text, str) or not re.fullmatch(number, text):
            problems.append(f"{name}: the value is {text!r} instead of a string with {decimals} decimals")
        if sample.get("context") not in (*CONTEXTS, "Trigger"):
            problems.append(f"{name}: the context is {sample.get('context')}")
    if len(_contexts(value)) > 1:
        problems.append(f"one sample has different contexts: {', '.join(sorted(_contexts(value)))}")
    return problems


def _contexts(value: dict[str, Any]) -> set[str]:
    return {str(sample.get("context")) for sample in value.get("sampledValue", ())}


def _context(value: dict[str, Any]) -> str:
    return min(_contexts(value), default="none")


def _seconds(text: object) -> float | None:
    """Unix time of an OCPP timestamp, None when it is none."""
    try:
        return datetime.fromisoformat(str(text).replace("Z", "+00:00")).timestamp()
    except ValueError:
        return None


def load(path: Path) -> list[Frame]:
    """Frames from JSON lines, as the bench's `transcript` and `follow` commands give them."""
    frames = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.strip():
            fields = json.loads(line)
            frames.append(Frame(**fields.get("frame", fields)))
    return frames


def main(arguments: list[str], say: Callable[[str], None] = print) -> int:
    """Check the last session in a file: 0 when it holds, 1 with the findings, 2 when it cannot be read."""
    if len(arguments) != 1:
        say("usage: python -m tools.transcript FILE")
        return 2
    try:
        frames = load(Path(arguments[0]))
        findings = check(one_session(frames))
    except (OSError, ValueError, TypeError) as error:
        say(f"{arguments[0]}: {error}")
        return 2
    except IndexError:
        say(f"{arguments[0]}: there is no session in it")
        return 2
    for finding in findings:
        say(finding)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
