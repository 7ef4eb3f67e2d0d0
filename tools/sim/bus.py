"""One CAN bus: simulated nodes inside, SLCAN adapters of clients outside. No arbitration, no ACK."""

from __future__ import annotations

import asyncio
import random
import socket
import time
from collections import Counter, deque
from collections.abc import Sequence
from typing import Literal, Protocol, get_args

import can

from . import slcan
from .events import EventLog
from .noise import foreign_frames, text_garbage
from .timing import Rate

BusState = Literal["up", "cut", "off", "down"]
BUS_STATES: tuple[str, ...] = get_args(BusState)

_MAX_LINE = 40  # a longer line is dropped
_PENDING = 2048  # lines kept for a client that does not read; the oldest are dropped
_SEND_BUFFER = 65_536
_F_TX_FULL, _F_WARNING, _F_OVERRUN, _F_PASSIVE, _F_BUS_ERROR = 0x02, 0x04, 0x08, 0x20, 0x80
_S_250K = b"S5"
_BTR_250K = b"s011C"  # SJA1000 timing registers for 250 kbit/s at 16 MHz


class Node(Protocol):
    """A participant inside the simulator."""

    def on_frame(self, frame: can.Message) -> None:
        """Take one frame that another participant sent."""


class Recorder(Protocol):
    """Where the frames of all buses are written, if anywhere."""

    def __call__(self, channel: str, frame: can.Message, from_charger: bool) -> None:
        """Record one frame."""


class Adapter(asyncio.Protocol):
    """The adapter of one TCP client: its own open/closed state, rate, timestamps and status flags."""

    def __init__(self, bus: CanBus) -> None:
        self._bus = bus
        self._transport: asyncio.Transport | None = None
        self._line = bytearray()
        self._overlong = False
        self._pending: deque[bytes] = deque()
        self._paused = False
        self._rate_set = False
        self._rate_fits = False
        self._timestamps = False
        self._listen_only = False
        self._flags = 0
        self.is_open = False
        self.bad_lines = 0
        self.dropped = 0

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        transport.set_write_buffer_limits(high=_SEND_BUFFER)
        self._transport = transport
        self._bus.attached(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        self._transport = None
        self._bus.detached(self)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        if self._pending and self._transport is not None:
            chunk = b"".join(self._pending)
            self._pending.clear()
            self._transport.write(chunk)

    def data_received(self, data: bytes) -> None:
        for byte in data:
            if byte == 0x0D:
                if self._overlong:
                    self._refuse_bad()
                else:
                    self._command(bytes(self._line))
                self._line.clear()
                self._overlong = False
            elif byte == 0x0A:
                continue
            elif len(self._line) < _MAX_LINE:
                self._line.append(byte)
            else:
                self._overlong = True

    # --- towards the client

    def deliver(self, lines: Sequence[bytes]) -> None:
        """Pass frame lines (without CR) on, if this client has opened its adapter at the rate of the bus."""
        if not self.is_open:
            return
        if not self._rate_fits:
            self._flags |= _F_BUS_ERROR
            return
        tail = f"{time.monotonic_ns() // 1_000_000 % 60_000:04X}\r".encode() if self._timestamps else slcan.CR
        self._write(tail.join(lines) + tail, len(lines), lines, tail)

    def raw(self, text: bytes) -> None:
        """Send bytes that are no frame (garbage on purpose)."""
        if self.is_open:
            self._write(text, 1, (text,), b"")

    def raise_flags(self, flags: int) -> None:
        """Set bits of the `F` answer; reading clears them."""
        self._flags |= flags

    def close(self) -> None:
        """Drop the connection."""
        if self._transport is not None:
            self._transport.abort()

    def _write(self, chunk: bytes, count: int, lines: Sequence[bytes], tail: bytes) -> None:
        if self._transport is None:
            return
        if not self._paused:
            self._transport.write(chunk)
            return
        self._pending.extend(line + tail for line in lines)
        while len(self._pending) > _PENDING:
            self._pending.popleft()
            self.dropped += 1
            self._flags |= _F_OVERRUN

    def _answer(self, text: bytes) -> None:
        self._write(text, 1, (text,), b"")

    def _refuse_bad(self) -> None:
        self.bad_lines += 1
        self._answer(slcan.BELL)

    # --- commands

    def _command(self, line: bytes) -> None:
        if not line:
            self._answer(slcan.CR)
            return
        letter = line[:1]
        if letter in b"tTrR":
            self._transmit(line)
        elif line in (b"O", b"L"):
            self._open(listen_only=line == b"L")
        elif line == b"C":
            self._done_if(self.is_open)
            self.is_open = False
        elif letter == b"S" and len(line) == 2 and line[1:] in b"012345678":
            self._set_rate(line == _S_250K)
        elif letter == b"s" and len(line) == 5 and _is_hex(line[1:]):
            self._set_rate(line.upper().replace(b"S", b"s") == _BTR_250K)
        elif line in (b"Z0", b"Z1"):
            self._done_if(not self.is_open)
            if not self.is_open:
                self._timestamps = line == b"Z1"
        elif line == b"F" and self.is_open:
            flags, self._flags = self._flags | self._bus.flags(), 0
            self._answer(b"F%02X\r" % flags)
        elif line == b"V":
            self._answer(b"V1010\r")
        elif line == b"N":
            self._answer(b"N%04d\r" % self._bus.serial)
        elif line == b"F":
            self._answer(slcan.BELL)
        else:
            self._refuse_bad()

    def _done_if(self, accepted: bool) -> None:
        self._answer(slcan.CR if accepted else slcan.BELL)

    def _set_rate(self, fits: bool) -> None:
        self._done_if(not self.is_open)
        if not self.is_open:
            self._rate_set, self._rate_fits = True, fits

    def _open(self, listen_only: bool) -> None:
        if self.is_open or not self._rate_set:
            self._answer(slcan.BELL)
            return
        self.is_open, self._listen_only = True, listen_only
        self._flags = 0
        self._answer(slcan.CR)

    def _transmit(self, line: bytes) -> None:
        frame = slcan.decode(line)
        if frame is None:
            self._refuse_bad()
        elif not self.is_open or self._listen_only:
            self._answer(slcan.BELL)
        elif not self._rate_fits or not self._bus.is_driven:
            self._flags |= _F_TX_FULL | _F_BUS_ERROR
            self._answer(slcan.BELL)
        else:
            self._answer(b"Z\r" if frame.is_extended_id else b"z\r")
            self._bus.from_client(self, frame)


def _is_hex(text: bytes) -> bool:
    return all(byte in b"0123456789abcdefABCDEF" for byte in text)


class CanBus:
    """A bus with its state, its clients, its noise and the counters of what passed."""

    def __init__(
        self,
        name: Literal["bms", "pm"],
        connector: int,
        events: EventLog,
        rng: random.Random,
        record: Recorder | None = None,
    ) -> None:
        self.name = name
        self.connector = connector
        self.serial = connector * 10 + (name == "bms")
        self.state: BusState = "up"
        self.seen: Counter[int] = Counter()
        """Frames of clients, that is of the charger, by id."""
        self.sent: Counter[int] = Counter()
        """Frames of the simulated nodes, by id; noise is counted as a whole."""
        self.noise = 0
        self._channel = f"{name}{connector}"
        self._events = events
        self._record = record
        self._nodes: list[Node] = []
        self._adapters: list[Adapter] = []
        self._server: asyncio.Server | None = None
        self._noise_lines = [slcan.encode(frame) for frame in foreign_frames(rng, 512)]
        self._texts = text_garbage(rng, 256)
        self._load: Rate | None = None
        self._text_load: Rate | None = None
        self.load = 0.0
        self.text_garbage = 0.0

    def attach(self, node: Node) -> None:
        """Join a simulated node to the bus."""
        self._nodes.append(node)

    async def listen(self, host: str, port: int) -> None:
        """Serve SLCAN on host:port. Raises OSError when the port is taken."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Adapter(self), host, port)

    async def close(self) -> None:
        """Stop noise, connections and listening."""
        self.set_load(0)
        self.set_text_garbage(0)
        for adapter in list(self._adapters):
            adapter.close()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    # --- frames

    @property
    def is_driven(self) -> bool:
        """True unless bus-off: an adapter can put bits on the wire."""
        return self.state in ("up", "cut")

    def flags(self) -> int:
        """Return the bits of `F` that last as long as the state of the bus does."""
        return _F_WARNING | _F_PASSIVE | _F_BUS_ERROR if self.state == "off" else 0

    def send(self, frame: can.Message, sender: Node | None = None) -> None:
        """Put a frame of a simulated node on the bus."""
        if self.state != "up":
            return
        self.sent[frame.arbitration_id] += 1
        if self._record is not None:
            self._record(self._channel, frame, False)
        line = (slcan.encode(frame),)
        for adapter in self._adapters:
            adapter.deliver(line)
        for node in self._nodes:
            if node is not sender:
                node.on_frame(frame)

    def from_client(self, sender: Adapter, frame: can.Message) -> None:
        """Pass a client's frame on to every other client and to the simulated nodes."""
        if self.state != "up":
            return
        self.seen[frame.arbitration_id] += 1
        if self._record is not None:
            self._record(self._channel, frame, True)
        line = (slcan.encode(frame),)
        for adapter in self._adapters:
            if adapter is not sender:
                adapter.deliver(line)
        for node in self._nodes:
            node.on_frame(frame)

    def send_noise(self, lines: Sequence[bytes]) -> None:
        """Send frame lines that no simulated node cares about."""
        if self.state == "up":
            self.noise += len(lines)
            for adapter in self._adapters:
                adapter.deliver(lines)

    # --- state and noise

    def set_state(self, state: BusState) -> None:
        """up; cut: wires open, nothing passes; off: adapters are bus-off; down: adapters gone, connections closed."""
        if state == self.state:
            return
        self.state = state
        self._events.add("bus", self.connector, name=self.name, state=state)
        if state == "down":
            for adapter in list(self._adapters):
                adapter.close()

    def set_load(self, per_second: float) -> None:
        """Send so many frames/s with foreign ids."""
        if self._load is not None:
            self._load.stop()
        self.load = per_second
        self._load = Rate(per_second, self._emit_load) if per_second else None

    def set_text_garbage(self, per_second: float) -> None:
        """Send so many malformed lines/s; every one ends with CR, so that true lines stay whole."""
        if self._text_load is not None:
            self._text_load.stop()
        self.text_garbage = per_second
        self._text_load = Rate(per_second, self._emit_text) if per_second else None

    def _emit_load(self, count: int) -> None:
        lines = self._noise_lines
        start = self.noise % len(lines)
        self.send_noise([lines[(start + i) % len(lines)] for i in range(count)])

    def _emit_text(self, count: int) -> None:
        if self.state == "up":
            for _ in range(count):
                text = self._texts[0]
                self._texts.rotate(-1)
                for adapter in self._adapters:
                    adapter.raw(text)

    # --- clients

    def attached(self, adapter: Adapter) -> None:
        """Register a connection; while the bus is down it is dropped at once."""
        if self.state == "down":
            adapter.close()
            return
        self._adapters.append(adapter)

    def detached(self, adapter: Adapter) -> None:
        """Forget a connection."""
        if adapter in self._adapters:
            self._adapters.remove(adapter)

    def summary(self) -> dict[str, object]:
        """Return what `state` reports of this bus."""
        return {
            "state": self.state,
            "load": self.load,
            "text_garbage": self.text_garbage,
            "clients": len(self._adapters),
            "open_clients": sum(adapter.is_open for adapter in self._adapters),
            "bad_lines": sum(adapter.bad_lines for adapter in self._adapters),
            "dropped": sum(adapter.dropped for adapter in self._adapters),
            "noise": self.noise,
        }
