"""How old is a value? One `Age` belongs to one value, and only that value's own valid frame renews it."""


class Age:
    """Freshness of one value: never seen, fresh, or expired for good until renewed.

    limit_ms -- the value is fresh while younger than this.
    An expired age is forgotten when it is asked for: the tick counter wraps, and an old
    value must not turn young again (ask at least once in 6 days).
    """

    def __init__(self, clock, limit_ms):
        self._clock = clock
        self.limit_ms = limit_ms
        self._seen = None  # ticks of the last renewal; None: never, or expired

    def renew(self):
        self._seen = self._clock.ticks_ms()

    def forget(self):
        self._seen = None

    def is_fresh(self):
        return self.ms() is not None

    def ms(self):
        """Age in ms, or None when never renewed, forgotten or expired."""
        if self._seen is None:
            return None
        age = self._clock.ticks_diff(self._clock.ticks_ms(), self._seen)
        if 0 <= age < self.limit_ms:
            return age
        self._seen = None
        return None
