"""A small client for the control port, and a way to run a simulator of one's own. For tests, the demo and scripts."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parents[2]
_LIMIT = 16 * 1024 * 1024
_START_S = 20.0
_END_S = 10.0
_POLL_S = 0.02
_WAIT_STEP_S = 30.0


class SimError(Exception):
    """Raised when the simulator refuses a request; the text is its reason."""


@dataclass(frozen=True)
class SimAddress:
    """The ports of one simulator, by its base port."""

    host: str
    base: int

    @classmethod
    def parse(cls, text: str) -> SimAddress:
        """Read "host:port". Raises ValueError when it is not that."""
        host, colon, port = text.rpartition(":")
        if not colon or not host or not port.isdecimal() or not 0 <= int(port) <= 65535:
            raise ValueError(f"{text!r} is not HOST:PORT")
        return cls(host.strip("[]"), int(port))

    def __str__(self) -> str:
        return f"{self.host}:{self.base}"

    @property
    def io(self) -> int:
        """Port of the I/O lines."""
        return self.base + 1

    def pm(self, connector: int = 1) -> int:
        """Port of the power module bus."""
        return self.base + 10 * connector

    def bms(self, connector: int = 1) -> int:
        """Port of the BMS bus."""
        return self.base + 10 * connector + 1

    def uart(self, connector: int = 1) -> int:
        """Port of the serial line to a BMS."""
        return self.base + 10 * connector + 2


class _Line:
    """One connection: requests one after the other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._lock = asyncio.Lock()

    async def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        async with self._lock:
            try:
                self._writer.write(json.dumps(request).encode() + b"\n")
                line = await self._reader.readline()
            except BaseException:
                self._writer.close()  # an answer may still come: this connection is of no use any more
                raise
        if not line:
            raise ConnectionError("the simulator closed the control connection")
        answer: dict[str, Any] = json.loads(line)
        return answer

    async def close(self) -> None:
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except ConnectionError:
            pass


class SimClient:
    """Commands, state and events. Long waits use connections of their own, so commands pass at any time."""

    def __init__(self, address: SimAddress, line: _Line) -> None:
        self.address = address
        self.has_quit = False
        self._line = line

    @classmethod
    async def connect(cls, address: str | SimAddress) -> SimClient:
        """Connect to "host:port" (the base port). Raises OSError when nothing listens."""
        where = SimAddress.parse(address) if isinstance(address, str) else address
        return cls(where, await cls._open(where))

    @staticmethod
    async def _open(address: SimAddress) -> _Line:
        return _Line(*await asyncio.open_connection(address.host, address.base, limit=_LIMIT))

    async def close(self) -> None:
        """Close the connection."""
        await self._line.close()

    async def __aenter__(self) -> SimClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def cmd(self, cmd: str, **fields: Any) -> dict[str, Any]:
        """Send one command; return the answer. Raises SimError when refused, ConnectionError when the link is gone."""
        return _checked(await self._line.ask({"cmd": cmd, **fields}))

    async def state(self, connector: int = 1) -> dict[str, Any]:
        """Return the truth about one connector."""
        return await self.cmd("state", connector=connector)

    async def events(self, since: int = 0, types: list[str] | None = None) -> list[dict[str, Any]]:
        """Return all events newer than `since`, of `types` if given."""
        found: list[dict[str, Any]] = []
        while True:
            answer = await self.cmd("events", since=since, **({} if types is None else {"types": types}))
            found += answer["events"]
            if answer["next"] == since:
                return found
            since = answer["next"]

    async def wait_event(
        self, kind: str, since: int = 0, timeout: float = 5.0, connector: int | None = None, **match: Any
    ) -> dict[str, Any]:
        """Return the first event of type `kind` newer than `since` whose fields equal `match`. Raises TimeoutError."""
        line = await self._open(self.address)
        try:
            async with asyncio.timeout(timeout):
                while True:
                    answer = _checked(
                        await line.ask({"cmd": "events", "since": since, "types": [kind], "wait": _WAIT_STEP_S})
                    )
                    for event in answer["events"]:
                        if connector is not None and event.get("connector") != connector:
                            continue
                        if all(event.get(name) == value for name, value in match.items()):
                            found: dict[str, Any] = event
                            return found
                    since = answer["next"]
        except TimeoutError:
            raise TimeoutError(f"no event {kind} {match or ''} within {timeout} s") from None
        finally:
            await line.close()

    async def wait_state(
        self, predicate: Callable[[dict[str, Any]], bool], timeout: float = 5.0, connector: int = 1
    ) -> dict[str, Any]:
        """Return the first state for which `predicate` is true. Raises TimeoutError that shows the last state."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        while True:
            state = await self.state(connector)
            if predicate(state):
                return state
            if loop.time() > deadline:
                raise TimeoutError(f"state not reached within {timeout} s, last: {state}")
            await asyncio.sleep(_POLL_S)

    async def quit(self) -> None:
        """End the simulator."""
        self.has_quit = True
        await self.cmd("quit")


def _checked(answer: dict[str, Any]) -> dict[str, Any]:
    if not answer.get("ok"):
        raise SimError(str(answer.get("error")))
    return answer


@asynccontextmanager
async def simulator(*arguments: str, listen: str = "127.0.0.1:0") -> AsyncIterator[SimClient]:
    """Run `python -m tools.sim` with `arguments`; yield a client; end the process.

    Raises SimError when it does not start, or when it did not end cleanly.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tools.sim",
        "--listen",
        listen,
        *arguments,
        cwd=_ROOT,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    client = None
    try:
        async with asyncio.timeout(_START_S):
            first = await process.stdout.readline()
        if not first:
            raise SimError(f"the simulator ended with status {await process.wait()}")
        async with await SimClient.connect(json.loads(first)["listening"]) as client:
            yield client
    finally:
        if process.returncode is None and not (client and client.has_quit):
            process.terminate()
        try:
            status = await asyncio.wait_for(process.wait(), _END_S)
        except TimeoutError:
            process.kill()
            status = await process.wait()
    if status != 0:
        raise SimError(f"the simulator ended with status {status}")
