"""Bounded event log: a ring of the last lines and one sink. Logging never raises."""

import sys

from micropython import const

_LONGEST = const(160)  # characters of a line that is kept
_USUAL = const(48)  # bytes of a line, for which there is room


class Log:
    """Keeps the newest `size` lines, fewer where they are long, and hands each to `sink(line)`.

    When the ring is full the oldest line goes; `dropped` counts them. All lie in one buffer: a small heap that is
    strewn with lines has no room in one piece any more. `sink` may be exchanged; None: only the ring.
    clock -- for the uptime at the start of each line.

    For the one who keeps warnings and errors: waiting -- how many came since it looked; last_error -- (tag, exception)
    of the last one since, or None; save_at -- uptime ms at which it looks next.
    """

    def __init__(self, clock, sink=None, size=24):
        self._clock = clock
        self.sink = sink
        self._size = size
        self._ring = bytearray(size * _USUAL)
        self._used = self._kept = 0  # bytes, lines
        self.dropped = 0
        self.sink_errors = 0
        self.waiting = self.save_at = 0
        self.last_error = None

    @property
    def lines(self):
        """What is kept, as a list of texts, the oldest first."""
        return str(self._ring[: self._used], "utf-8").split("\n")[:-1]

    def info(self, tag, text):
        self._put("I", tag, text)

    def warn(self, tag, text):
        self._put("W", tag, text)

    def error(self, tag, what):
        """what -- text, or an exception (its traceback goes to the sink's stream, stderr)."""
        if isinstance(what, BaseException):
            self.last_error = tag, what
            self._put("E", tag, "%s: %s" % (type(what).__name__, what))
            try:
                sys.print_exception(what, sys.stderr)  # type: ignore[arg-type]
            except Exception:
                self.sink_errors += 1
        else:
            self._put("E", tag, what)

    def _put(self, level, tag, text):
        if level != "I":
            self.waiting += 1
        try:
            up = self._clock.uptime_ms()
            line = "%d.%03d %s %s: %s" % (up // 1000, up % 1000, level, tag, text)
            self._keep((line[:_LONGEST].replace("\n", " ") + "\n").encode())
            if self.sink is not None:
                self.sink(line)
        except Exception:  # a full disk or a closed pipe must not stop a charger
            self.sink_errors += 1

    def _keep(self, data):
        ring = memoryview(self._ring)
        if len(data) > len(ring):
            self.dropped += 1
            return
        while self._kept and (self._kept >= self._size or self._used + len(data) > len(ring)):
            end = self._ring.find(b"\n") + 1
            ring[: self._used - end] = ring[end : self._used]
            self._used -= end
            self._kept -= 1
            self.dropped += 1
        ring[self._used : self._used + len(data)] = data
        self._used += len(data)
        self._kept += 1
