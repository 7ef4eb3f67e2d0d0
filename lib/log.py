"""Bounded event log: a ring of the last lines and one sink. Logging never raises."""

import sys


class Log:
    """Keeps the newest `size` lines and hands each to `sink(line)`.

    When the ring is full the oldest line goes; `dropped` counts them.
    clock -- for the uptime at the start of each line.
    """

    def __init__(self, clock, sink=None, size=24):
        self._clock = clock
        self._sink = sink
        self._size = size
        self.lines = []
        self.dropped = 0
        self.sink_errors = 0

    def info(self, tag, text):
        self._put("I", tag, text)

    def warn(self, tag, text):
        self._put("W", tag, text)

    def error(self, tag, what):
        """what -- text, or an exception (its traceback goes to the sink's stream, stderr)."""
        if isinstance(what, BaseException):
            self._put("E", tag, "%s: %s" % (type(what).__name__, what))
            try:
                sys.print_exception(what, sys.stderr)  # type: ignore[arg-type]
            except Exception:
                self.sink_errors += 1
        else:
            self._put("E", tag, what)

    def _put(self, level, tag, text):
        try:
            up = self._clock.uptime_ms()
            line = "%d.%03d %s %s: %s" % (up // 1000, up % 1000, level, tag, text)
            if len(self.lines) >= self._size:
                self.lines.pop(0)
                self.dropped += 1
            self.lines.append(line)
            if self._sink is not None:
                self._sink(line)
        except Exception:  # a full disk or a closed pipe must not stop a charger
            self.sink_errors += 1
