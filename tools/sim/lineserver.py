"""A TCP server for one line protocol: every connection has a task, and closing the server ends all of them quietly."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class LineServer:
    """Runs `handle(reader, writer)` per connection; the connection is closed when it returns or the peer is gone."""

    def __init__(self, handle: Handler, limit: int) -> None:
        """`limit`: bytes in one line; a longer one raises LimitOverrunError in the handler."""
        self._handle = handle
        self._limit = limit
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def listen(self, host: str, port: int) -> None:
        """Serve on host:port. Raises OSError when the port is taken."""
        self._server = await asyncio.start_server(self._run, host, port, limit=self._limit)

    async def close(self) -> None:
        """Stop listening, end all connections, wait for both."""
        if self._server is None:
            return
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks)
        await self._server.wait_closed()

    async def _run(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._handle(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # the peer is gone, or close() wants the end: this is the outermost frame of the task
        finally:
            self._tasks.discard(task)
            writer.close()
