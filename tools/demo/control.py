"""A client for the control port of the bench central system: commands, and frames as they come."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

from tools.csms.frames import Frame


class CsmsClient:
    """One connection for commands, one that follows the wire; `on_frame` gets every frame."""

    def __init__(self, on_frame: Callable[[Frame], None]) -> None:
        self._on_frame = on_frame
        self._writers: list[asyncio.StreamWriter] = []
        self._reader: asyncio.StreamReader | None = None
        self._turn = asyncio.Lock()
        self._following: asyncio.Task[None] | None = None

    async def connect(self, address: str) -> None:
        """Connect to "host:port" and follow from now on. Raises OSError."""
        host, _, port = address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port), limit=64 << 20)
        follower, follow_writer = await asyncio.open_connection(host, int(port), limit=64 << 20)
        self._reader, self._writers = reader, [writer, follow_writer]
        follow_writer.write(b'{"cmd": "follow"}\n')
        await follower.readline()
        self._following = asyncio.create_task(self._follow(follower))
        self._following.add_done_callback(_report)

    async def ask(self, cmd: str, **fields: Any) -> dict[str, Any]:
        """Send a command; its answer, {"ok": false, "error": ...} too. Raises ConnectionError when it is gone."""
        assert self._reader is not None
        async with self._turn:
            self._writers[0].write(json.dumps({"cmd": cmd, **fields}).encode() + b"\n")
            line = await self._reader.readline()
        if not line:
            raise ConnectionError("the central system is gone")
        answer: dict[str, Any] = json.loads(line)
        return answer

    async def close(self) -> None:
        """Leave."""
        if self._following:
            self._following.cancel()
        for writer in self._writers:
            writer.close()

    async def _follow(self, reader: asyncio.StreamReader) -> None:
        while line := await reader.readline():
            self._on_frame(Frame(**json.loads(line)["frame"]))


def _report(task: asyncio.Task[None]) -> None:
    """A listener that fails must not look like a silent wire."""
    error = None if task.cancelled() else task.exception()
    if error is not None:
        task.get_loop().call_exception_handler({"message": "following the wire failed", "exception": error})
