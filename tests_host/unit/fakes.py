"""Stand-ins for what surrounds the code under test: time, logs and CAN. Runs on MicroPython."""

import asyncio
import select
import time

from clock import Clock

PERIOD = 1 << 30  # ticks_ms wraps here on the device, whatever the host's width


class FakeClock(Clock):
    """A clock that stands still until told, and wraps at 2**30 like the device.

    start -- first tick value; the default lies 20 s before the wrap, so that every test
    that runs longer sees one.
    """

    def __init__(self, start=PERIOD - 20_000):
        self.now = start % PERIOD
        self.moved = 0  # all the ms it was ever moved on
        super().__init__(self._read)

    def _read(self):
        return self.now

    def advance(self, ms):
        """Move time on, in steps that no difference can overflow."""
        while ms > 0:
            step = min(ms, PERIOD // 4)
            self.now = (self.now + step) % PERIOD
            self.moved += step
            self.uptime_ms()
            ms -= step

    def ticks_diff(self, later, earlier):
        return ((later - earlier + PERIOD // 2) % PERIOD) - PERIOD // 2

    def ticks_add(self, ticks, ms):
        return (ticks + ms) % PERIOD


class FakeLog:
    """Keeps (level, tag, text) triples."""

    def __init__(self):
        self.lines = []

    def info(self, tag, text):
        self.lines.append(("I", tag, str(text)))

    def warn(self, tag, text):
        self.lines.append(("W", tag, str(text)))

    def error(self, tag, what):
        self.lines.append(("E", tag, "%s: %s" % (type(what).__name__, what)))


class FakeCan:
    """A CAN controller that records what is sent: `.sent` is a list of (id, bytes, flags)."""

    def __init__(self):
        self.sent = []
        self.up = True
        self.on_frame = None

    @property
    def is_up(self):
        return self.up

    def send(self, can_id, data, flags=1):
        if not self.up:
            return False
        self.sent.append((can_id, bytes(data), flags))
        return True

    def counters(self):
        return {}


class _VirtualPoll:
    """Replaces the poll object of asyncio's I/O queue: where it would wait, virtual time passes."""

    def __init__(self, clock):
        self._clock = clock
        self._poll = select.poll()
        self.register = self._poll.register
        self.modify = self._poll.modify
        self.unregister = self._poll.unregister

    def ipoll(self, timeout=-1):
        ready = list(self._poll.ipoll(0))
        if not ready:
            if timeout < 0:
                raise RuntimeError("deadlock: every task waits and no timer is set")
            self._clock.advance(timeout)
        return ready


def virtual_run(main, clock=None):
    """Run `main(clock)` (an async function) in asyncio under a virtual clock; return its result.

    Sleeping costs no real time: days of charging run in seconds (at most 5 days: asyncio's own
    comparisons wrap on the 32-bit port).
    """
    if clock is None:
        clock = FakeClock()
    return virtual_time(clock, lambda: asyncio.run(main(clock)))


def virtual_time(clock, call):
    """Call `call()`, which runs asyncio itself, under a virtual clock; return its result. Else as virtual_run."""
    core = asyncio.core
    real_ticks = core.ticks
    port_period = time.ticks_add(0, -1) + 1  # asyncio's C part compares with the port's own period
    # The C part stamps ready tasks with real ticks: virtual time runs an hour ahead, so these are always due.
    base = time.ticks_ms() + 3_600_000 - clock.moved
    asyncio.new_event_loop()
    core.ticks = lambda: (base + clock.moved) % port_period
    core._io_queue.poller = _VirtualPoll(clock)
    try:
        return call()
    finally:
        core.ticks = real_ticks
        asyncio.new_event_loop()


def run_limited(coro, ms=5000):
    """Run a coroutine in real time, but not longer than `ms`."""
    return asyncio.run(asyncio.wait_for_ms(coro, ms))
