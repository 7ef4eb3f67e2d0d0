"""The one clock of the program, passed in wherever time is asked for.

`ticks_ms` wraps after 12.4 days on the device (2**30 ms) and `ticks_diff` is right only
within half of that, so long intervals use `uptime_ms`. Wall-clock time is unknown until
somebody who knows it calls `set_utc`; 1970 and 2000 never leave this module.
"""

import time


class Clock:
    """Monotonic and wall-clock time from one wrapping millisecond counter.

    ticks_ms -- callable, the wrapping counter; default `time.ticks_ms`.
    `uptime_ms` must be called at least once in 6 days to see every wrap; the charger's
    control loop calls it many times a second.
    """

    def __init__(self, ticks_ms=time.ticks_ms):
        self._ticks = ticks_ms
        self._last = ticks_ms()
        self._uptime = 0
        self._utc_s = None  # Unix seconds ...
        self._utc_ms = 0  # ... and milliseconds 0..999 ...
        self._utc_uptime = 0  # ... at this uptime
        self.steps = 0  # how often the wall clock was set to another second

    def ticks_ms(self):
        return self._ticks()

    def ticks_diff(self, later, earlier):
        """Signed difference in ms, right within half of the wrap (6.2 days)."""
        return time.ticks_diff(later, earlier)

    def ticks_add(self, ticks, ms):
        return time.ticks_add(ticks, ms)

    def following(self, due, period):
        """Ticks at which something periodic is due next; after a pause the grid starts anew instead of catching up."""
        now = self._ticks()
        due = self.ticks_add(due, period)
        return due if self.ticks_diff(due, now) > 0 else self.ticks_add(now, period)

    def uptime_ms(self):
        """Milliseconds since this clock was made. Never wraps, never goes back."""
        now = self._ticks()
        passed = self.ticks_diff(now, self._last)
        if passed > 0:
            self._uptime += passed
            self._last = now
        return self._uptime

    def utc(self):
        """Unix seconds, or None while nobody has told the time."""
        return self.utc_at(self.uptime_ms())

    def utc_at(self, uptime_ms):
        """Unix seconds (rounded down) at that uptime, before or after now; None while unsynchronised."""
        if self._utc_s is None:
            return None
        return self._utc_s + (self._utc_ms + uptime_ms - self._utc_uptime) // 1000

    def set_utc(self, unix_s, ms=0):
        """Declare that it is now `unix_s` seconds and `ms` milliseconds after 1970-01-01 UTC."""
        uptime = self.uptime_ms()
        if self.utc_at(uptime) != unix_s:
            self.steps += 1
        self._utc_s, self._utc_ms, self._utc_uptime = unix_s, ms, uptime
