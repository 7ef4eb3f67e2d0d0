"""One charge point as the central system sees it: its connection, the CALLs both ways, every frame recorded."""

import asyncio
import json
import time
import uuid
from collections.abc import Callable
from typing import Any, Literal

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from tools.csms.behaviour import Call
from tools.csms.frames import FROM_CHARGER, TO_CHARGER, CallRules, Parsed, Transcript, parse, schema_problem
from tools.csms.network import Network


class NotConnected(Exception):
    """Raised when something is to be sent to a charge point that is not connected (or loses its connection)."""


class CallFailed(Exception):
    """Raised when a charge point answers with a CALLERROR: `code`, `description`, `details`."""

    def __init__(self, code: str, description: str, details: dict[str, Any]) -> None:
        super().__init__(f"{code}: {description}" if description else code)
        self.code, self.description, self.details = code, description, details


class ChargePoint:
    """One identity, over all its connections. `socket` is None while it is not connected.

    `on_call(charge_point, call, problem)` runs for each CALL that comes in; problem: why its payload is not valid."""

    def __init__(
        self,
        identity: str,
        transcript: Transcript,
        network: Network,
        on_call: Callable[["ChargePoint", Call, str | None], None],
    ) -> None:
        self.identity = identity
        self.socket: ServerConnection | None = None
        self.registered: str | None = None  # the last answer to its BootNotification
        self.rules = CallRules()
        self._transcript = transcript
        self._network = network
        self._on_call = on_call
        self._connection = 0
        self._triggered: set[str] = set()  # messages asked for by TriggerMessage while it is not Accepted
        self._turn = asyncio.Lock()  # one CALL of ours at a time (OCPP-J 1.6 section 4.1.1)
        self._waiting: dict[str, tuple[str, asyncio.Future[dict[str, Any]], bool]] = {}

    async def serve(self, socket: ServerConnection, connection: int) -> None:
        """Receive until this connection ends. `connection` numbers it in the transcript."""
        old, self.socket = self.socket, socket
        if old is not None:  # it dialled again before we noticed that its old connection is dead
            old.transport.abort()
        self._connection = connection
        self.rules.connected()
        self._record(FROM_CHARGER, Parsed("OPEN", payload={"subprotocol": socket.subprotocol}), "")
        try:
            async for message in socket:
                await self._network.passable()
                self._received(message)
        except ConnectionClosed:
            pass  # recorded below, whichever way it ended
        finally:
            if self.socket is socket:
                self.socket = None
                self._fail_waiting()
            closed = Parsed("CLOSE", payload={"code": socket.close_code, "reason": socket.close_reason})
            self._record(FROM_CHARGER, closed, "", connection=connection)

    async def call(
        self, action: str, payload: dict[str, Any], timeout: float, on_purpose: bool, wait_turn: bool, uid: str | None
    ) -> dict[str, Any]:
        """As `BenchCsms.call`."""
        uid = uid or str(uuid.uuid4())
        text = json.dumps([2, uid, action, payload], separators=(",", ":"))
        if wait_turn:
            await asyncio.wait_for(self._turn.acquire(), timeout)
        try:
            future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
            self._waiting[uid] = (action, future, on_purpose)
            if action in ("TriggerMessage", "ExtendedTriggerMessage"):
                self._triggered.add(payload.get("requestedMessage", ""))
            await self.send(text, on_purpose)
            try:
                return await asyncio.wait_for(future, timeout)
            except TimeoutError:
                raise TimeoutError(f"{self.identity} did not answer {action} within {timeout} s") from None
        finally:
            self._waiting.pop(uid, None)
            if wait_turn:
                self._turn.release()

    async def answer(self, uid: str, text: str | bytes, on_purpose: bool, action: str | None) -> None:
        """Answer the CALL `uid`; bytes go unchecked into a text frame."""
        self.rules.answered(uid)
        await self.send(text, on_purpose, action, as_text=True)

    async def send(
        self, data: str | bytes, on_purpose: bool = False, action: str | None = None, as_text: bool | None = None
    ) -> None:
        """Record, then send: the transcript never shows an answer before its question. Raises NotConnected."""
        await self._network.passable()
        socket = self.connected()
        text = _printable(data)
        parsed = parse(data) if isinstance(data, str) else Parsed("MALFORMED", problem="sent as bytes")
        parsed = Parsed(parsed.kind, parsed.uid, parsed.action or action, parsed.payload, parsed.problem)
        problem = parsed.problem or schema_problem(parsed.kind, parsed.action, parsed.payload, text)
        self._record(TO_CHARGER, parsed, text, problem, on_purpose)
        try:
            await socket.send(data, text=as_text)
        except ConnectionClosed:
            raise NotConnected(self.identity) from None

    async def send_raw(self, data: str | bytes, how: Literal["text", "binary", "tcp"] | None) -> None:
        """As `BenchCsms.send_raw`."""
        if how == "tcp":
            self._record(TO_CHARGER, Parsed("MALFORMED"), _printable(data), "bytes without a frame", on_purpose=True)
            self.connected().transport.write(data.encode() if isinstance(data, str) else data)
            return
        await self.send(data, on_purpose=True, as_text=None if how is None else how == "text")

    async def drop(self, code: int | None, reason: str) -> None:
        """As `BenchCsms.drop`."""
        socket = self.connected()
        if code is not None:
            await socket.close(code, reason)
            return
        socket.transport.abort()
        await socket.wait_closed()

    def abort(self) -> None:
        """Reset the connection, if there is one."""
        if self.socket is not None:
            self.socket.transport.abort()

    def connected(self) -> ServerConnection:
        """The socket. Raises NotConnected."""
        if self.socket is None:
            raise NotConnected(self.identity)
        return self.socket

    def _received(self, message: str | bytes) -> None:
        parsed, text = parse(message), _printable(message)
        if parsed.kind == "MALFORMED":
            self._record(FROM_CHARGER, parsed, text, parsed.problem)
        elif parsed.kind == "CALL":
            assert parsed.uid is not None and parsed.action is not None
            broken = schema_problem("CALL", parsed.action, parsed.payload, text)
            early = self._registration_problem(parsed.action)
            wrong = self.rules.called(parsed.uid, parsed.action, text, time.monotonic())
            self._record(FROM_CHARGER, parsed, text, broken or wrong or early)
            self._on_call(self, Call(self.identity, parsed.uid, parsed.action, parsed.payload), broken)
        else:
            self._answered(parsed, text)

    def _answered(self, parsed: Parsed, text: str) -> None:
        assert parsed.uid is not None
        action, future, on_purpose = self._waiting.pop(parsed.uid, (None, None, False))
        parsed = Parsed(parsed.kind, parsed.uid, action, parsed.payload)
        problem = schema_problem(parsed.kind, action, parsed.payload, text)
        if parsed.kind == "CALLERROR" and action is None and not problem:
            problem = "an error for no open CALL"
        self._record(FROM_CHARGER, parsed, text, problem, on_purpose)
        if future is None or future.done():
            return
        if parsed.kind == "CALLRESULT":
            future.set_result(parsed.payload)
        else:
            future.set_exception(CallFailed(*parsed.payload.values()))

    def _registration_problem(self, action: str) -> str | None:
        """OCPP 1.6 section 4.2: until it is Accepted a charge point sends only what it was asked for."""
        if action == "BootNotification" or self.registered in (None, "Accepted") or action in self._triggered:
            self._triggered.discard(action)
            return None
        return f"{action} although the BootNotification was answered {self.registered}"

    def _fail_waiting(self) -> None:
        for _action, future, _on_purpose in self._waiting.values():
            if not future.done():
                future.set_exception(NotConnected(f"{self.identity} lost its connection"))
        self._waiting.clear()

    def _record(
        self,
        direction: str,
        parsed: Parsed,
        text: str,
        violation: str | None = None,
        on_purpose: bool = False,
        connection: int | None = None,
    ) -> None:
        self._transcript.add(
            mono=time.monotonic(),
            wall=time.time(),
            identity=self.identity,
            connection=self._connection if connection is None else connection,
            direction=direction,
            kind=parsed.kind,
            uid=parsed.uid,
            action=parsed.action,
            payload=parsed.payload,
            text=text,
            violation=violation,
            on_purpose=on_purpose,
        )


def _printable(data: str | bytes) -> str:
    return data if isinstance(data, str) else data.decode("utf-8", "backslashreplace")
