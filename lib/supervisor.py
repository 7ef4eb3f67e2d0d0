"""Keeps services alive: every task has a name, an owner and a way back."""

import asyncio

from micropython import const

_BACKOFF_MIN_MS = const(500)
_BACKOFF_MAX_MS = const(60_000)
_HEALTHY_MS = const(30_000)  # a life this long resets the back-off


class Supervisor:
    """Runs services and restarts them with exponential back-off.

    make_safe -- synchronous, must not raise: called first whenever a critical service
    ends, whatever ended it (error, plain return, cancellation).
    """

    def __init__(self, clock, log, make_safe):
        self._clock = clock
        self._log = log
        self._make_safe = make_safe
        self._tasks = {}  # name -> Task
        self.restarts = {}  # name -> int

    def start(self, name, run, critical=False, backoff_max_ms=_BACKOFF_MAX_MS):
        """Keep `run()` (an async callable) alive under `name` until stopped.

        backoff_max_ms -- longest wait between two lives. ValueError: name is taken.
        """
        if name in self._tasks:
            raise ValueError(name)
        self.restarts[name] = 0
        self._tasks[name] = asyncio.create_task(self._keep(name, run, critical, backoff_max_ms))

    async def stop(self, name):
        """Cancel one service; return when its cleanup is done. Unknown name: nothing happens."""
        task = self._tasks.pop(name, None)
        if task is None:
            return
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            if not task.done():
                raise  # it was stop() itself that was cancelled

    async def stop_all(self):
        for name in list(self._tasks):
            await self.stop(name)

    async def _keep(self, name, run, critical, backoff_max_ms):
        delay = _BACKOFF_MIN_MS
        while True:
            began, error = self._clock.uptime_ms(), None
            try:
                await run()
            except Exception as exc:  # CancelledError is no Exception: it passes
                error = exc
            finally:
                if critical:
                    self._make_safe()
            if error is None:
                self._log.warn(name, "ended")
            else:
                self._log.error(name, error)
            if self._clock.uptime_ms() - began >= _HEALTHY_MS:
                delay = _BACKOFF_MIN_MS
            self.restarts[name] += 1
            await asyncio.sleep_ms(min(delay, backoff_max_ms))
            delay = min(delay * 2, backoff_max_ms)
