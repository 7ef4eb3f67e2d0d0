"""Work at a fixed rate without drift: each deadline follows from the last deadline, not from when the work was done."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Periodic:
    """Calls `work()` every `period_s`, first after `delay_s`. Missed turns are skipped, the phase is kept."""

    def __init__(self, period_s: float, work: Callable[[], None], delay_s: float | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._work = work
        self._period = period_s
        self._due = self._loop.time() + (period_s if delay_s is None else delay_s)
        self._handle: asyncio.TimerHandle | None = self._loop.call_at(self._due, self._turn)

    def _turn(self) -> None:
        now = self._loop.time()
        missed = int((now - self._due) // self._period)
        self._due += (max(missed, 0) + 1) * self._period
        self._handle = self._loop.call_at(self._due, self._turn)
        self._work()

    def stop(self) -> None:
        """End it; calling it twice is allowed."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None


class Rate:
    """Calls `emit(n)` so often that on average `per_second` units are handed out, in small steps of `_STEP_S`."""

    _STEP_S = 0.005
    _MOST_S = 0.25  # after a stall longer than this the rest is not made up for

    def __init__(self, per_second: float, emit: Callable[[int], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._per_second = per_second
        self._emit = emit
        self._last = self._loop.time()
        self._owed = 0.0
        self._periodic = Periodic(self._STEP_S, self._turn) if per_second > 0 else None

    def _turn(self) -> None:
        now = self._loop.time()
        self._owed += min(now - self._last, self._MOST_S) * self._per_second
        self._last = now
        count = int(self._owed)
        if count:
            self._owed -= count
            self._emit(count)

    def stop(self) -> None:
        """End it; calling it twice is allowed."""
        if self._periodic is not None:
            self._periodic.stop()
