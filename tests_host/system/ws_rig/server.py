"""The fuzzing server: /getCaseCount, /runCase?case=N&agent=A and /updateReports?agent=A, with a verdict per case."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from .cases import CASES, WAIT_S, Case, Echo, Event, Send, Wait
from .frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, ClientError, close, frame, read_frame

_EOF_S = 2.0
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


@dataclass(frozen=True)
class Verdict:
    """behaviour: "OK", "NON-STRICT" or "FAILED", with the reason."""

    behaviour: str
    detail: str = ""


async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[str, dict[str, str]]:
    """Serve the opening handshake; return the request target and the headers (names in lower case)."""
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    target = lines[0].split(" ")[1]
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:] if line)}
    digest = hashlib.sha1(headers["sec-websocket-key"].encode() + _GUID).digest()
    answer = (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {base64.b64encode(digest).decode()}\r\n"
    )
    if "sec-websocket-protocol" in headers:
        answer += f"Sec-WebSocket-Protocol: {headers['sec-websocket-protocol'].split(',')[0]}\r\n"
    writer.write(answer.encode() + b"\r\n")
    return target, headers


@dataclass
class Connection:
    """One connection with its reader running: everything the client sends becomes an event."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    events: list[Event] = field(default_factory=list)
    close_code: int | None = None
    closed: bool = False  # a close frame came
    error: str = ""
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    masks: set[bytes] = field(default_factory=set)
    frames: int = 0

    async def read(self) -> None:
        """Read to the end of the stream. What is wrong is kept in `error`."""
        try:
            parts: list[bytes] = []
            opcode = 0
            while (got := await read_frame(self.reader)) is not None:
                self.frames += 1
                self.masks.add(got.mask)
                if self.closed:
                    raise ClientError("a frame after the close frame")
                if got.opcode == CLOSE:
                    self._close(got.payload)
                elif got.opcode in (PING, PONG):
                    self.events.append(("ping" if got.opcode == PING else "pong", got.payload))
                else:
                    if (got.opcode == CONTINUATION) != bool(opcode):
                        raise ClientError("fragments out of order")
                    opcode = opcode or got.opcode
                    parts.append(got.payload)
                    if got.fin:
                        whole = b"".join(parts)
                        if opcode == TEXT:
                            whole.decode()
                        self.events.append(("text" if opcode == TEXT else "binary", whole))
                        parts, opcode = [], 0
                self.changed.set()
        except (ClientError, UnicodeDecodeError) as exc:
            self.error = str(exc)
        finally:
            if self.frames > 8 and len(self.masks) < self.frames // 2:
                self.error = self.error or "masks repeat"
            self.changed.set()

    def _close(self, payload: bytes) -> None:
        self.closed = True
        if len(payload) == 1:
            raise ClientError("close frame of one byte")
        if payload:
            (self.close_code,) = struct.unpack("!H", payload[:2])
            payload[2:].decode()


class Rig:
    """`async with Rig() as rig:` listens on rig.url; the verdicts are in rig.verdicts, by case id.

    patience: seconds for one case; the slowest takes about one.
    """

    def __init__(self, cases: Sequence[Case] = CASES, port: int = 0, patience: float = 20) -> None:
        self.cases = cases
        self.verdicts: dict[str, Verdict] = {}
        self.agents: set[str] = set()
        self.reported = False
        self.complete = asyncio.Event()  # every case has a verdict
        self.url = ""
        self._port = port
        self._patience = patience
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Rig:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port, limit=1 << 22)
        self.url = f"ws://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            target, _ = await accept(reader, writer)
            url = urlsplit(target)
            query = parse_qs(url.query)
            if url.path == "/getCaseCount":
                writer.write(frame(TEXT, b"%d" % len(self.cases)) + close(1000))
                await self._linger(Connection(reader, writer))
            elif url.path == "/runCase":
                case = self.cases[int(query["case"][0]) - 1]
                self.agents.add(query["agent"][0])
                self.verdicts[case.id] = await run_case(case, Connection(reader, writer), self._patience)
                if len(self.verdicts) == len(self.cases):
                    self.complete.set()
            elif url.path == "/updateReports":
                self.agents.add(query["agent"][0])
                self.reported = True
                writer.write(close(1000))
                await self._linger(Connection(reader, writer))
        finally:
            writer.close()

    @staticmethod
    async def _linger(connection: Connection) -> None:
        task = asyncio.create_task(connection.read())
        await wait_until(connection, lambda: connection.closed or task.done(), _EOF_S)
        await end(connection, task)


async def wait_until(connection: Connection, condition: object, timeout: float) -> bool:
    """Wait for a condition on the connection's events; False when the time is over."""
    assert callable(condition)
    try:
        async with asyncio.timeout(timeout):
            while not condition():
                connection.changed.clear()
                await connection.changed.wait()
    except TimeoutError:
        return False
    return True


async def end(connection: Connection, task: asyncio.Task[None]) -> bool:
    """Close our direction of TCP, then wait for the client to close its own. False: it did not."""
    try:
        if connection.writer.can_write_eof():
            connection.writer.write_eof()
    except OSError:
        pass
    done, _ = await asyncio.wait([task], timeout=_EOF_S)
    if not done:
        task.cancel()
    return bool(done)


async def play(case: Case, connection: Connection, patience: float) -> None:
    """Carry out the steps. Stops when the client has closed."""
    writer = connection.writer
    for step in case.steps:
        if isinstance(step, Send):
            size = step.chop or len(step.data)
            for at in range(0, len(step.data), size):
                writer.write(step.data[at : at + size])
                await writer.drain()
        elif isinstance(step, Wait):
            await wait_until(connection, lambda: connection.closed or connection.error, WAIT_S)
            if not connection.closed and not connection.error:
                connection.events.append(("timeout", step.name))
        elif isinstance(step, Echo):
            await echo(step, connection, patience)
        if connection.closed:
            return


async def echo(step: Echo, connection: Connection, patience: float) -> None:
    expected = ("text" if step.opcode == TEXT else "binary", step.payload)
    data = frame(step.opcode, step.payload)
    assert step.opcode in (TEXT, BINARY)
    for _ in range(step.count):
        connection.writer.write(data)
        await wait_until(connection, lambda: connection.events or connection.closed or connection.error, patience)
        if connection.events[:1] != [expected]:
            return
        connection.events.clear()


async def run_case(case: Case, connection: Connection, patience: float) -> Verdict:
    """Play one case and judge it."""
    task = asyncio.create_task(connection.read())
    try:
        async with asyncio.timeout(patience):
            await play(case, connection, patience)
            if case.ends == "server":
                wanted = len(case.events)
                over = lambda: len(connection.events) >= wanted or connection.closed or connection.error  # noqa: E731
                await wait_until(connection, over, patience)
                if not connection.closed:
                    connection.writer.write(close(1000))
            await wait_until(connection, lambda: connection.closed or connection.error or task.done(), patience)
            if case.ends == "client":
                connection.writer.write(close(connection.close_code or 1000))
    except (TimeoutError, ConnectionError) as exc:
        task.cancel()
        return Verdict("FAILED", f"{exc!r} after {shown(connection.events)}")
    ended = await end(connection, task)
    return judge(case, connection, ended)


def judge(case: Case, connection: Connection, ended: bool) -> Verdict:
    """Strict in everything that is not named in the case."""
    if connection.error:
        return Verdict("FAILED", connection.error)
    if not connection.closed:
        return Verdict("FAILED", "no close frame")
    if connection.close_code not in case.codes:
        return Verdict("FAILED", f"close code {connection.close_code}, not {case.codes}")
    if not ended:
        return Verdict("FAILED", "the client keeps TCP open")
    events = tuple(connection.events)
    if events == case.events:
        return Verdict("OK")
    if events in case.non_strict:
        return Verdict("NON-STRICT", shown(connection.events))
    return Verdict("FAILED", f"saw {shown(connection.events)}, not {shown(list(case.events))}")


def shown(events: list[Event]) -> str:
    return repr([(kind, value[:40] if isinstance(value, bytes) else value) for kind, value in events])
