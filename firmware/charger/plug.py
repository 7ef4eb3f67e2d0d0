"""Is a vehicle there? Decided from the age of the BMS limits frame alone, never from a voltage.

Output capacitors hold the voltage of the last vehicle for more than a minute, so voltage
proves nothing. A live limits frame on the BMS bus does, or the plug switch where one is fitted.
"""


class Plug:
    """Plug state of one connector.

    idle_ms    -- BMS silence that means "unplugged" while no session runs
    session_ms -- BMS silence that means "unplugged" during a session: a BMS pauses 2 to 5 s
                  near full charge (the interlock has cut the power long before)
    """

    def __init__(self, clock, idle_ms=3000, session_ms=8000):
        self._clock = clock
        self._idle_ms = idle_ms
        self._session_ms = session_ms
        self._heard = None  # ticks of the last limits frame; None: none, or too old to count
        self._patient = False  # a session ran at some time during the present silence
        self._started = clock.ticks_ms()
        self.plugged = False
        self.known = False  # a vehicle was heard, or could have been: from then on `plugged` means something

    def update(self, silent_ms, in_session, switch=False):
        """Renew and return `plugged`. Call at least every 100 ms.

        silent_ms -- age of the last valid limits frame, None when there is none
        switch    -- level of the plug switch, False where none is fitted
        The longer limit stays for the whole silence it was once applied to, so a session
        that ends during a pause does not make the plug flap.
        """
        clock = self._clock
        now = clock.ticks_ms()
        if silent_ms is not None and silent_ms < self._idle_ms:
            self._heard = clock.ticks_add(now, -silent_ms)
            self._patient = False
        if self._heard is not None:
            self._patient = self._patient or in_session
            age = clock.ticks_diff(now, self._heard)
            if not 0 <= age < (self._session_ms if self._patient else self._idle_ms):
                self._heard = None  # for good: ticks wrap, and an old frame must not turn young
        self.plugged = self._heard is not None or bool(switch)
        if self.plugged or clock.ticks_diff(now, self._started) >= self._idle_ms:
            self.known = True
        return self.plugged
