"""The bench central system: a websocket server for charge points that does as it is told."""

import asyncio
import json
import ssl as ssl_module
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from websockets.asyncio.server import ServerConnection

from tools.csms.behaviour import (
    DROP,
    DROP_AFTER,
    SILENCE,
    TWICE,
    WRONG_ID,
    Answer,
    Call,
    CallError,
    Raw,
    Rule,
    Rules,
)
from tools.csms.chargepoint import ChargePoint, NotConnected
from tools.csms.frames import FROM_CHARGER, Frame, Transcript
from tools.csms.logic import IdTag, Logic, Registration, with_status
from tools.csms.network import Down, Handshake, Network
from tools.csms.store import Store


class BenchCsms:
    """`async with BenchCsms() as csms:` listens on `csms.url`; charge points append "/" and their identity.

    host, port: where to listen; port 0 takes a free one, the same one again after `resume()`.
    db: sqlite file or ":memory:", read it through `csms.store.rows(table, column=value)`.
    identities: if given, every other identity gets HTTP 404.
    basic_auth: password bytes for all, or a mapping identity -> bytes; a wrong or missing one gets HTTP 401. The user
    name is the identity. ssl: a server context, the URL is then wss.
    ping_interval: seconds between pings from here (None: none; pings are always answered).

    Behaviour may be changed at any time: `behave`, `register`, `id_tag`, `number_transactions`, `handshake`,
    `stop_listening`/`resume`, `drop`. What happened: `transcript`, `violations`, `store`, `wait_for`.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        db: str | Path = ":memory:",
        ssl: ssl_module.SSLContext | None = None,
        basic_auth: bytes | Mapping[str, bytes] | None = None,
        identities: Iterable[str] | None = None,
        ping_interval: float | None = None,
        max_size: int = 1 << 20,
        transaction_start: int = 1,
    ) -> None:
        self.store = Store(db)
        self.logic = Logic(self.store, transaction_start)
        self.rules = Rules()
        self.transcript = Transcript()
        self.network = Network(self._serve, host, port, ssl, basic_auth, identities, ping_interval, max_size)
        self.charge_points: dict[str, ChargePoint] = {}
        self._message_timeout = 1.0
        self.errors: list[BaseException] = []  # our own failures while answering
        self._connections = 0
        self._tasks: set[asyncio.Task[None]] = set()

    # Life

    async def __aenter__(self) -> Self:
        await self.resume()
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        await self.close()
        if self.errors and error is None:
            raise self.errors[0]

    async def close(self) -> None:
        """Stop listening, cut every connection, close the database."""
        await self.stop_listening()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.store.close()

    @property
    def url(self) -> str:
        """What a charge point is configured with; it appends "/" and its identity."""
        return self.network.url

    # What it does when asked

    def behave(
        self,
        action: str | None,
        *,
        message_id: str | None = None,
        identity: str | None = None,
        where: Callable[[Call], bool] | None = None,
        answer: Answer | Callable[[Call], Answer] | Sequence[Answer] = None,
        delay: float = 0.0,
        times: int | None = None,
    ) -> Rule:
        """From now on answer CALLs like this; the newest rule that fits wins. action None: every action.

        answer: None the normal one, "Rejected" the normal one with that status, {...} this payload, `CallError(code)`,
        SILENCE, DROP, DROP_AFTER, WRONG_ID, TWICE, `RAW(text or bytes)`, a function of the `Call`, or a list of those
        to be given in turn. delay: seconds before the answer (frames that come in meanwhile are still served).
        times: how often, None for ever. SILENCE, RAW and CallError: the central system remembers nothing of the CALL;
        DROP and WRONG_ID: it does, only the answer is lost."""
        return self.rules.add(
            action,
            message_id=message_id,
            identity=identity,
            where=where,
            answer=answer,
            delay=delay,
            times=times,
        )

    def forget(self, rule: Rule | None = None) -> None:
        """Forget one rule, or all of them."""
        if rule is None:
            self.rules.clear()
        else:
            self.rules.remove(rule)

    def register(self, status: str = "Accepted", interval: int = 300, identity: str | None = None) -> None:
        """The answer to the next BootNotifications (of one identity, or of all): Accepted, Pending, Rejected."""
        if identity is None:
            self.logic.registration = Registration(status, interval)
        else:
            self.logic.registrations[identity] = Registration(status, interval)

    def id_tag(
        self, id_tag: str, status: str = "Accepted", parent: str | None = None, expiry: float | None = None
    ) -> None:
        """Set what an id tag is: Accepted, Blocked, Expired, Invalid, ConcurrentTx. expiry in Unix seconds."""
        self.logic.set_tag(id_tag, IdTag(status, parent, expiry))

    def unknown_id_tags(self, status: str) -> None:
        """What every id tag is that was never set (at first: Accepted)."""
        self.logic.unknown_tag = IdTag(status)

    def number_transactions(self, ids: Iterable[int]) -> None:
        """Where transaction ids come from: `itertools.count(2**30)`, `iter([0, -5, 7])`, ..."""
        self.logic.transaction_ids = iter(ids)

    def handshake(self, how: Handshake = "normal") -> None:
        """How the next websocket handshakes end: "normal", "no subprotocol", "wrong subprotocol", or the HTTP status
        to refuse with."""
        self.network.handshake = how

    @property
    def message_timeout(self) -> float:
        """The shortest message timeout a charge point may have, s: a second CALL sooner than that is a violation."""
        return self._message_timeout

    @message_timeout.setter
    def message_timeout(self, seconds: float) -> None:
        self._message_timeout = seconds
        for cp in self.charge_points.values():
            cp.rules.patience_s = seconds

    # What happened

    @property
    def violations(self) -> list[Frame]:
        """Frames of either side that break the schemas or the OCPP-J rules (`frame.violation` says how)."""
        return self.transcript.violations

    def mark(self) -> int:
        """A point in time for `wait_for(since=...)` and `frames(since)`."""
        return self.transcript.mark()

    def frames(self, since: int = 0, identity: str | None = None, action: str | None = None) -> list[Frame]:
        """Frames in order, optionally of one charge point and one action (CALLs and their answers)."""
        return [
            frame
            for frame in self.transcript.since(since)
            if identity in (None, frame.identity) and action in (None, frame.action)
        ]

    async def wait_for(
        self,
        action: str | None = None,
        where: Callable[[dict[str, Any]], bool] | None = None,
        *,
        timeout: float = 10.0,
        since: int = 0,
        kind: str = "CALL",
        direction: str = FROM_CHARGER,
        identity: str | None = None,
    ) -> Frame:
        """The first frame from `since` on (0: the beginning) that fits; `where` gets its payload.

        Waits for it if it has not come yet; TimeoutError with what was waited for."""

        def fits(frame: Frame) -> bool:
            return (
                frame.kind == kind
                and frame.direction == direction
                and action in (None, frame.action)
                and identity in (None, frame.identity)
                and (where is None or where(frame.payload))
            )

        try:
            return await self.transcript.wait(fits, since, timeout)
        except TimeoutError:
            raise TimeoutError(f"no {kind} {action or ''} ({direction}) within {timeout} s") from None

    async def wait_connected(self, identity: str | None = None, *, timeout: float = 10.0, since: int = 0) -> str:
        """Wait for a charge point's connection; returns its identity."""
        return (await self.wait_for(kind="OPEN", identity=identity, timeout=timeout, since=since)).identity

    # What it does by itself

    def charge_point(self, identity: str | None = None) -> ChargePoint:
        """The connected charge point of this identity, or the only connected one. Raises NotConnected."""
        connected = [cp for cp in self.charge_points.values() if cp.socket is not None]
        if identity is not None:
            connected = [cp for cp in connected if cp.identity == identity]
        if len(connected) != 1:
            names = ", ".join(cp.identity for cp in connected) or "none"
            raise NotConnected(f"{identity or 'one charge point wanted'}: connected: {names}")
        return connected[0]

    async def call(
        self,
        identity: str | None,
        action: str,
        payload: dict[str, Any] | None = None,
        timeout: float = 30.0,
        *,
        on_purpose: bool = False,
        wait_turn: bool = True,
        uid: str | None = None,
    ) -> dict[str, Any]:
        """Send a CALL (identity None: to the only connected charge point) and return the payload of its answer.

        Raises CallFailed (CALLERROR), TimeoutError, NotConnected. on_purpose: the payload is meant to be wrong and is
        no violation. wait_turn False: send although an earlier CALL is open."""
        cp, payload = self.charge_point(identity), payload or {}
        transaction_id = payload.get("transactionId")
        if action == "RemoteStopTransaction" and isinstance(transaction_id, int):
            self.store.mark(cp.identity, transaction_id, "remote_stopped")
        return await cp.call(action, payload, timeout, on_purpose, wait_turn, uid)

    async def send_raw(
        self, identity: str | None, data: str | bytes, how: Literal["text", "binary", "tcp"] | None = None
    ) -> None:
        """Send anything: a str as text frame, bytes as binary frame; how="text" puts unchecked bytes into a text frame,
        how="tcp" writes them to the socket without any websocket framing."""
        await self.charge_point(identity).send_raw(data, how)

    async def drop(self, identity: str | None = None, code: int | None = None, reason: str = "") -> None:
        """Cut the connection: the socket is aborted (TCP reset), or closed with this websocket close code."""
        await self.charge_point(identity).drop(code, reason)

    async def stop_listening(self, how: Down = "refuse") -> None:
        """The network is down. "refuse": connections are reset and new ones refused. "black hole": nothing is read,
        nothing is answered, neither on open connections nor on new ones, until `resume()`."""
        await self.network.down(how)

    async def resume(self) -> None:
        """The network is back, on the same port. What was held back in a black hole arrives now, as TCP does it."""
        await self.network.up()

    # Serving

    async def _serve(self, identity: str, socket: ServerConnection) -> None:
        self._connections += 1
        cp = self.charge_points.get(identity)
        if cp is None:
            cp = self.charge_points[identity] = ChargePoint(identity, self.transcript, self.network, self._called)
            cp.rules.patience_s = self._message_timeout
        await cp.serve(socket, self._connections)

    def _called(self, cp: ChargePoint, call: Call, broken: str | None) -> None:
        """Answers run beside the reader: a delayed one does not hold back the next frame."""
        task = asyncio.get_running_loop().create_task(self._answer(cp, call, broken))
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, NotConnected):
            self.errors.append(error)

    async def _answer(self, cp: ChargePoint, call: Call, broken: str | None) -> None:
        rule = self.rules.find(call)
        answer: Answer = rule.take(call) if rule else None
        if rule and rule.delay:
            await asyncio.sleep(rule.delay)
        if answer is SILENCE:
            return
        if isinstance(answer, Raw):
            await cp.answer(call.uid, answer.text, True, call.action)
            return
        normal = CallError("FormationViolation", broken[:255]) if broken else self.logic.answer(call)
        told = answer if isinstance(answer, dict | CallError) else normal
        if isinstance(answer, str) and isinstance(normal, dict):
            told = with_status(normal, answer)
        if isinstance(told, dict):
            if not broken:
                self.logic.remember(call, told)
            if call.action == "BootNotification":
                cp.registered = told.get("status")
        if answer is DROP:
            cp.abort()
            return
        uid = str(uuid.uuid4()) if answer is WRONG_ID else call.uid
        for _ in range(2 if answer is TWICE else 1):
            await cp.answer(uid, _answer_text(uid, told), answer is not None, call.action)
        if answer is DROP_AFTER:
            cp.abort()


def _answer_text(uid: str, told: dict[str, Any] | CallError) -> str:
    message: list[Any] = [3, uid, told]
    if isinstance(told, CallError):
        message = [4, uid, told.code, told.description, told.details]
    return json.dumps(message, separators=(",", ":"))
