"""Energy from terminal voltage and current, in integers. Nothing is invented and nothing is negative.

One nanojoule is 1 mV x 1 mA x 1 ms; 1 mWh is 3.6 * 10^9 of them. What does not fill a mWh is carried.
"""

_HALVES_PER_MWH = 7_200_000_000  # the trapezoid (p0 + p1) / 2 * dt is kept doubled


class Meter:
    """Integrates the validated terminal samples of one connector.

    session_mwh  -- since session_begin(); lifetime_mwh -- never goes back (given at start)
    gaps         -- intervals longer than gap_ms, which add nothing
    """

    def __init__(self, clock, lifetime_mwh=0, gap_ms=2000):
        self._clock = clock
        self._gap_ms = gap_ms
        self._rest = 0  # half nanojoules, 0 <= rest < _HALVES_PER_MWH
        self._at = None  # ticks of the last sample; None: no sample to join to
        self._power = 0  # its power, mV x mA
        self.session_mwh = 0
        self.lifetime_mwh = lifetime_mwh
        self.gaps = 0

    def session_begin(self):
        """Session register to 0. The carried rest goes with it: it belongs to the last session."""
        self.session_mwh = 0
        self._rest = 0

    def add(self, mv, ma, flowing):
        """Take one terminal sample (mV, mA; validated by the driver), now.

        flowing -- the gate says that energy may flow; a sample taken while it may not
        ends the integration, and the next one starts afresh.
        """
        if not flowing:
            self._at = None
            return
        now = self._clock.ticks_ms()
        power = mv * ma if mv > 0 and ma > 0 else 0
        if self._at is not None:
            passed = self._clock.ticks_diff(now, self._at)
            if 0 <= passed <= self._gap_ms:
                self._rest += (self._power + power) * passed
                if self._rest >= _HALVES_PER_MWH:
                    whole = self._rest // _HALVES_PER_MWH
                    self._rest -= whole * _HALVES_PER_MWH
                    self.session_mwh += whole
                    self.lifetime_mwh += whole
            else:
                self.gaps += 1
        self._at, self._power = now, power
