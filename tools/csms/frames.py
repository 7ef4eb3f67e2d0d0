"""What went over the wire: one `Frame` per message, judged by the OCPP 1.6 JSON schemas and the OCPP-J rules.

The schemas are those of the PyPI package `ocpp`; the message arrays are OCPP-J 1.6, section 4.2. Plain data in,
plain data out: no sockets here.
"""

import asyncio
import json
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from jsonschema import FormatChecker
from jsonschema.exceptions import ValidationError, best_match
from ocpp.messages import MessageType, get_validator

FROM_CHARGER = "in"
TO_CHARGER = "out"

KINDS = {2: "CALL", 3: "CALLRESULT", 4: "CALLERROR"}
ERROR_CODES = frozenset(
    "NotImplemented NotSupported InternalError ProtocolError SecurityError FormationViolation "
    "PropertyConstraintViolation OccurenceConstraintViolation OccurrenceConstraintViolation "
    "TypeConstraintViolation GenericError".split()
)  # OCPP-J 1.6 table 7, with both spellings of the misspelt one

# Limits with one decimal: as binary floats they would fail the schema's multipleOf 0.1.
_DECIMAL_ACTIONS = ("SetChargingProfile", "RemoteStartTransaction", "GetCompositeSchedule")
_UTC = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
_EARLIEST_YEAR = 2020  # 1970 and 2000 are clocks that were never set

_formats = FormatChecker(formats=())


@_formats.checks("date-time")
def _is_date_time(value: object) -> bool:
    """UTC with Z, a real date, and not from before this product existed."""
    if not isinstance(value, str):
        return True
    if not _UTC.fullmatch(value):
        return False
    try:
        return datetime.fromisoformat(value.replace("Z", "+00:00")).year >= _EARLIEST_YEAR
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class Frame:
    """One websocket message, or a connection that opened or closed.

    `kind` is CALL, CALLRESULT, CALLERROR, MALFORMED, OPEN or CLOSE. `action` of an answer is that of its CALL.
    `payload`: the parsed payload; for CALLERROR {"errorCode", "errorDescription", "errorDetails"}; for OPEN and
    CLOSE what is known about the connection. `violation`: what is wrong with it, None for a valid one.
    `on_purpose`: the bench was told to send it wrong. `mono` and `wall` in seconds.
    """

    n: int
    mono: float
    wall: float
    identity: str
    connection: int
    direction: str
    kind: str
    uid: str | None
    action: str | None
    payload: Any
    text: str
    violation: str | None = None
    on_purpose: bool = False

    def to_dict(self) -> dict[str, Any]:
        """For JSON lines; `Frame(**d)` reads it back."""
        return asdict(self)

    def __str__(self) -> str:
        arrow = "->" if self.direction == FROM_CHARGER else "<-"
        body = json.dumps(self.payload, ensure_ascii=False) if self.payload is not None else self.text
        wrong = f"   !! {self.violation}" if self.violation else ""
        return f"{arrow} {self.kind:<10} {self.action or '':<24} {body}{wrong}"


@dataclass(frozen=True, slots=True)
class Parsed:
    """A message array taken apart. `problem` says why it is MALFORMED."""

    kind: str
    uid: str | None = None
    action: str | None = None
    payload: Any = None
    problem: str | None = None


def parse(text: str | bytes) -> Parsed:
    """Take a message array apart (OCPP-J 1.6 section 4.2); never raises."""
    if isinstance(text, bytes):
        return Parsed("MALFORMED", problem="a binary websocket message")
    try:
        message = json.loads(text, parse_constant=_no_constant)
    except ValueError as error:
        return Parsed("MALFORMED", problem=f"not JSON: {error}")
    if not isinstance(message, list) or not message or message[0] not in KINDS or isinstance(message[0], bool):
        return Parsed("MALFORMED", problem="not an array that begins with 2, 3 or 4")
    kind = KINDS[message[0]]
    uid = message[1] if len(message) > 1 and isinstance(message[1], str) else None
    if uid is None:
        return Parsed("MALFORMED", problem=f"{kind} without a string as message id")
    length = {"CALL": 4, "CALLRESULT": 3, "CALLERROR": 5}[kind]
    if len(message) != length:
        return Parsed("MALFORMED", uid, problem=f"{kind} with {len(message)} elements instead of {length}")
    if kind == "CALL":
        if not isinstance(message[2], str) or not isinstance(message[3], dict):
            return Parsed("MALFORMED", uid, problem="CALL needs a string as action and an object as payload")
        return Parsed(kind, uid, message[2], message[3])
    if kind == "CALLRESULT":
        if not isinstance(message[2], dict):
            return Parsed("MALFORMED", uid, problem="CALLRESULT needs an object as payload")
        return Parsed(kind, uid, payload=message[2])
    error_payload = dict(zip(("errorCode", "errorDescription", "errorDetails"), message[2:], strict=True))
    return Parsed(kind, uid, payload=error_payload)


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def schema_problem(kind: str, action: str | None, payload: Any, text: str) -> str | None:
    """What the JSON schema of this message says against it, or None. `text` is the whole message."""
    if kind == "CALLERROR":
        return _error_problem(payload)
    if kind not in ("CALL", "CALLRESULT"):
        return None
    if action is None:
        return "an answer to no open CALL"
    number: Callable[[str], Any] = float
    if action in _DECIMAL_ACTIONS:
        number = Decimal
        payload = json.loads(text, parse_float=Decimal)[3 if kind == "CALL" else 2]
    message_type = MessageType.Call if kind == "CALL" else MessageType.CallResult
    try:
        validator = get_validator(message_type, action, "1.6", parse_float=number)
    except OSError:
        return f"{action} is no OCPP 1.6 message"
    error: ValidationError | None = best_match(validator.evolve(format_checker=_formats).iter_errors(payload))
    if error is None:
        return None
    where = "/".join(str(part) for part in error.absolute_path)
    return f"{where}: {error.message}" if where else str(error.message)


def _error_problem(payload: dict[str, Any]) -> str | None:
    if payload["errorCode"] not in ERROR_CODES:
        return f"unknown error code {payload['errorCode']!r}"
    if not isinstance(payload["errorDescription"], str) or len(payload["errorDescription"]) > 255:
        return "errorDescription is not a string of at most 255 characters"
    if not isinstance(payload["errorDetails"], dict):
        return "errorDetails is not an object"
    return None


class CallRules:
    """The rules of OCPP-J 1.6 sections 4.1.1 and 4.1.4 that one charge point's CALLs can break, over all connections.

    A message id is at most 36 characters long and never used twice, except for a repeat of the very same message;
    no CALL leaves while another one is neither answered nor timed out. `patience_s` is the shortest message timeout
    the charge point may have: only a second CALL sooner than that is called too early.
    """

    _KEPT = 20_000

    def __init__(self, patience_s: float = 1.0) -> None:
        self.patience_s = patience_s
        self._texts: dict[str, str] = {}
        self._open: tuple[str, str, float] | None = None

    def connected(self) -> None:
        """A lost connection ends the wait for an answer."""
        self._open = None

    def called(self, uid: str, action: str, text: str, now: float) -> str | None:
        """Judge a CALL from the charge point; None when it may be."""
        problem = None
        if not 1 <= len(uid) <= 36:
            problem = f"message id of {len(uid)} characters"
        elif self._texts.get(uid, text) != text:
            problem = f"message id {uid} was used before for another message"
        elif self._open and now - self._open[2] < self.patience_s:
            waited = now - self._open[2]
            problem = f"CALL while {self._open[1]} is unanswered for only {waited:.2f} s"
        self._texts[uid] = text
        if len(self._texts) > self._KEPT:
            self._texts.pop(next(iter(self._texts)))
        self._open = (uid, action, now)
        return problem

    def answered(self, uid: str) -> None:
        """The bench answered this CALL."""
        if self._open and self._open[0] == uid:
            self._open = None


class Transcript:
    """The last `limit` frames (older ones are dropped and counted), and waiting for one of them without polling."""

    def __init__(self, limit: int = 20_000) -> None:
        self.dropped = 0
        self._frames: deque[Frame] = deque(maxlen=limit)
        self._violations: deque[Frame] = deque(maxlen=1_000)
        self._next = 0
        self._waiters: list[tuple[Callable[[Frame], bool], asyncio.Future[Frame]]] = []
        self.listeners: list[Callable[[Frame], None]] = []

    def add(self, **fields: Any) -> Frame:
        """Append a frame (its number is given here) and wake whoever waits for it."""
        frame = Frame(n=self._next, **fields)
        self._next += 1
        self.dropped += len(self._frames) == self._frames.maxlen
        self._frames.append(frame)
        if frame.violation and not frame.on_purpose:
            self._violations.append(frame)
        for waiter in self._waiters[:]:
            matches, future = waiter
            if not future.done() and matches(frame):
                future.set_result(frame)
                self._waiters.remove(waiter)
        for listener in self.listeners[:]:
            listener(frame)
        return frame

    def mark(self) -> int:
        """The number of the next frame: pass it as `since` later."""
        return self._next

    def since(self, mark: int = 0) -> list[Frame]:
        """All kept frames from number `mark` on."""
        return [frame for frame in self._frames if frame.n >= mark]

    @property
    def violations(self) -> list[Frame]:
        """Frames, either direction, that break the schemas or the rules without having been told to."""
        return list(self._violations)

    async def wait(self, matches: Callable[[Frame], bool], since: int, timeout: float) -> Frame:
        """The first frame from number `since` on that `matches`, past or future; TimeoutError after `timeout` s."""
        for frame in self.since(since):
            if matches(frame):
                return frame
        future: asyncio.Future[Frame] = asyncio.get_running_loop().create_future()
        waiter = (lambda frame: frame.n >= since and matches(frame), future)
        self._waiters.append(waiter)
        try:
            return await asyncio.wait_for(future, timeout)
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)

    def __iter__(self) -> Iterator[Frame]:
        return iter(list(self._frames))

    def __len__(self) -> int:
        return len(self._frames)


def relative_lines(frames: Iterable[Frame]) -> Iterator[str]:
    """Readable lines with seconds since the first frame."""
    began: float | None = None
    for frame in frames:
        began = frame.mono if began is None else began
        yield f"{frame.mono - began:9.3f}  {frame}"
