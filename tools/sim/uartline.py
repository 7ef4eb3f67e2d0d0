"""One serial line: a simulated device inside, TCP clients that see its bytes outside. No baud rate, no parity."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Callable

from .events import EventLog
from .timing import Rate


class _Client(asyncio.Protocol):
    """One connection."""

    def __init__(self, line: UartLine) -> None:
        self._line = line
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.transport = transport
        self._line.attached(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._line.detached(self)

    def data_received(self, data: bytes) -> None:
        self._line.received(data)


class UartLine:
    """A line with its state, its clients and its noise."""

    def __init__(self, connector: int, events: EventLog, rng: random.Random) -> None:
        self.state = "up"
        self.on_bytes: Callable[[bytes], None] = lambda data: None
        """Hears what the charger sends."""
        self.load = 0.0
        self._connector = connector
        self._events = events
        self._rng = rng
        self._noise: Rate | None = None
        self._clients: list[_Client] = []
        self._server: asyncio.Server | None = None

    async def listen(self, host: str, port: int) -> None:
        """Serve on host:port. Raises OSError when the port is taken."""
        self._server = await asyncio.get_running_loop().create_server(lambda: _Client(self), host, port)

    async def close(self) -> None:
        """Stop noise, connections and listening."""
        self.set_load(0.0)
        self._drop()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    def send(self, data: bytes) -> bool:
        """Bytes of the device; True when the line carries them."""
        if self.state != "up":
            return False
        for client in self._clients:
            if client.transport is not None:
                client.transport.write(data)
        return True

    def received(self, data: bytes) -> None:
        """Bytes of a client."""
        if self.state == "up":
            self.on_bytes(data)

    def set_state(self, state: str) -> None:
        """up; cut and off: nothing passes; down: connections are closed, new ones at once."""
        if state == self.state:
            return
        self.state = state
        self._events.add("bus", self._connector, name="uart", state=state)
        if state == "down":
            self._drop()

    def set_load(self, per_second: float) -> None:
        """Send so many random bytes/s."""
        if self._noise is not None:
            self._noise.stop()
        self.load = per_second
        self._noise = Rate(per_second, self._emit) if per_second else None

    def _emit(self, count: int) -> None:
        self.send(self._rng.randbytes(count))

    def attached(self, client: _Client) -> None:
        """Register a connection; while the line is down it is dropped at once."""
        self._clients.append(client)
        if self.state == "down":
            self._drop()

    def detached(self, client: _Client) -> None:
        """Forget a connection."""
        if client in self._clients:
            self._clients.remove(client)

    def _drop(self) -> None:
        for client in list(self._clients):
            if client.transport is not None:
                client.transport.abort()

    def summary(self) -> dict[str, object]:
        """Return what `state` reports of this line."""
        return {"state": self.state, "load": self.load, "clients": len(self._clients)}
