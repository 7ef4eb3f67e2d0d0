"""The I/O lines of the charger's board: one TCP port, JSON lines, levels in and outputs back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable
from typing import Any

from .lineserver import LineServer

INPUTS = ("estop", "door", "plug", "fault", "lock", "contactor")
OUTPUTS = ("contactor", "enable", "lock", "led")
_LIMIT = 4096  # bytes in one line


class IoLink:
    """Serves the board: sends every input level once per connection and then each change; takes outputs."""

    def __init__(
        self, connectors: Iterable[int], on_output: Callable[[int, str, Any], None], on_link: Callable[[bool], None]
    ) -> None:
        """`on_output(connector, name, value)` for each valid output; `on_link(True/False)`: first in, last out."""
        self._levels = {(name, number): False for number in connectors for name in INPUTS}
        self._connectors = frozenset(number for _, number in self._levels)
        self._on_output = on_output
        self._on_link = on_link
        self._writers: set[asyncio.StreamWriter] = set()
        self._server = LineServer(self._serve, _LIMIT)
        self.up = True
        self.bad_lines = 0

    async def listen(self, host: str, port: int) -> None:
        """Serve on host:port. Raises OSError when the port is taken."""
        await self._server.listen(host, port)

    async def close(self) -> None:
        """Drop the board and stop listening."""
        await self._server.close()

    @property
    def clients(self) -> int:
        """Connections now."""
        return len(self._writers)

    def level(self, name: str, connector: int) -> bool:
        """Return the level of an input line."""
        return self._levels[name, connector]

    def set(self, name: str, connector: int, value: bool) -> None:
        """Change an input line; nothing is sent when it has that level already."""
        if self._levels[name, connector] != value:
            self._levels[name, connector] = value
            self._send({"input": name, "connector": connector, "value": value})

    def swipe(self, id_tag: str, connector: int) -> None:
        """An id tag at the reader of `connector`, 0: the reader of the whole charger."""
        self._send({"input": "swipe", "connector": connector, "value": id_tag})

    def set_up(self, up: bool) -> None:
        """Cut or restore the link; while it is cut, connections are closed at once."""
        self.up = up
        if not up:
            self._drop()

    def _drop(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    def _send(self, line: dict[str, Any]) -> None:
        data = _line(line)
        for writer in self._writers:
            writer.write(data)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self.up:
            writer.transport.abort()
            return
        self._writers.add(writer)
        if len(self._writers) == 1:
            self._on_link(True)
        try:
            for (name, number), value in self._levels.items():
                writer.write(_line({"input": name, "connector": number, "value": value}))
            while True:
                line = await reader.readuntil(b"\n")
                if not self._take(line):
                    self.bad_lines += 1
        except asyncio.LimitOverrunError:
            self.bad_lines += 1  # nonsense without line ends: the connection ends
        finally:
            self._writers.discard(writer)
            if not self._writers:
                self._on_link(False)

    def _take(self, line: bytes) -> bool:
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            return False
        if not isinstance(message, dict):
            return False
        name, number, value = message.get("output"), message.get("connector"), message.get("value")
        if name not in OUTPUTS or type(number) is not int or number not in self._connectors or "value" not in message:
            return False
        if name != "led" and type(value) is not bool:
            return False
        self._on_output(number, name, value)
        return True


def _line(message: dict[str, Any]) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"
