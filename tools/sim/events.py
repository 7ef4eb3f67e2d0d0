"""What happened at the site, in order, with times. One bounded log; readers ask for what is newer than they know."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import deque
from collections.abc import Collection, Iterator
from itertools import islice
from typing import Any

KEEP = 50_000
"""So many events are kept; the oldest are dropped. Half a day of an idle charger's off frames, twice a second."""

_LOG = logging.getLogger("sim.events")

Event = dict[str, Any]


class EventLog:
    """Events as dicts: seq (1, 2, ...), t (monotonic seconds), wall (Unix seconds), type, mostly connector, more."""

    def __init__(self, keep: int = KEEP) -> None:
        self._events: deque[Event] = deque(maxlen=keep)
        self._waiting: set[asyncio.Future[None]] = set()
        self.last = 0

    def add(self, kind: str, connector: int | None = None, t: float | None = None, **fields: Any) -> Event:
        """Append one event; `t` is given when it happened earlier than now (a physics step)."""
        now = time.monotonic()
        if t is None:
            t = now
        self.last += 1
        event: Event = {"seq": self.last, "t": t, "wall": time.time() - (now - t), "type": kind}
        if connector is not None:
            event["connector"] = connector
        event.update(fields)
        self._events.append(event)
        if _LOG.isEnabledFor(logging.DEBUG):
            _LOG.debug("%s", json.dumps(event))
        for future in self._waiting:
            if not future.done():
                future.set_result(None)
        self._waiting.clear()
        return event

    def since(self, seq: int, types: Collection[str] | None = None, limit: int = 1000) -> tuple[list[Event], int]:
        """Return (events newer than `seq`, the seq to ask with next time). With `types` only those types."""
        found: list[Event] = []
        reached = max(seq, 0)
        for event in self._newer(seq):
            if len(found) == limit:
                break
            reached = event["seq"]
            if types is None or event["type"] in types:
                found.append(event)
        return found, reached

    def dropped_after(self, seq: int) -> int:
        """Return how many events newer than `seq` are gone because the log was full."""
        oldest = self._events[0]["seq"] if self._events else self.last + 1
        return int(max(0, oldest - 1 - max(seq, 0)))

    def _newer(self, seq: int) -> Iterator[Event]:
        if not self._events:
            return iter(())
        skip = seq + 1 - self._events[0]["seq"]
        return islice(self._events, max(0, skip), None)

    async def wait(
        self, seq: int, types: Collection[str] | None, limit: int, timeout_s: float
    ) -> tuple[list[Event], int]:
        """Like since(), but when there is nothing yet, wait up to `timeout_s` for the first event."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while True:
            found, seq = self.since(seq, types, limit)
            left = deadline - loop.time()
            if found or left <= 0:
                return found, seq
            future: asyncio.Future[None] = loop.create_future()
            self._waiting.add(future)
            try:
                await asyncio.wait_for(future, left)
            except TimeoutError:
                self._waiting.discard(future)
