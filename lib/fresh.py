"""Values that are known only while they are young; only a value's own valid frame renews it."""


class Fresh:
    """`count` values by number, each None (never seen, or too old) or younger than limit_ms.

    An expired value is forgotten when it is asked for: the tick counter wraps, and an old
    value must not turn young again (ask at least once in 6 days).
    seen -- ticks of the last put() of each
    """

    def __init__(self, clock, limit_ms, count):
        self._clock = clock
        self._limit_ms = limit_ms
        self._values = [None] * count
        self.seen = [0] * count

    def put(self, which, value):
        """A value that has just been seen; None: it is not known any more."""
        self._values[which] = value
        self.seen[which] = self._clock.ticks_ms()

    def get(self, which):
        """The value, or None."""
        value, clock = self._values[which], self._clock
        if value is None or 0 <= clock.ticks_diff(clock.ticks_ms(), self.seen[which]) < self._limit_ms:
            return value
        self._values[which] = None
        return None
