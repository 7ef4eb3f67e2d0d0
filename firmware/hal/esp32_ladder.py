"""What to do about a network that is not there: harder means, one after the other. Pure: no I/O, no clock.

    radio on and connect -> associate anew -> radio off and on -> ... -> restart, but only while the charger is idle

Why each rung: the driver retries for ever by itself, and connect() during a retry fails; some units hang until the
radio was off; some until a reset (MicroPython issues 17661, 7139, 15563).
"""

from micropython import const

NOTHING = const(0)
ASSOCIATE = const(1)  # disconnect and connect
RADIO = const(2)  # radio off and on, then connect
RESTART = const(3)
ACTIONS = ("", "associating anew", "radio off and on", "restarting")

_NO_ADDRESS_S = const(30)  # from one rung to the next, doubling ...
_NO_ADDRESS_MAX_S = const(240)
_NO_SERVER_S = const(600)  # the same with an address, but without the central system
_NO_SERVER_MAX_S = const(3600)
_RESTART_NO_ADDRESS_S = const(7200)
_RESTART_NO_SERVER_S = const(43_200)


class Ladder:
    """Call step() about once a second.

    A restart also starts this count anew: a site without network sees one every 2 hours at most (12 with an address).
    """

    def __init__(self, now_s):
        self._address_at = now_s  # last time there was an address
        self._served_at = now_s  # last time there was an address and the central system
        self._acted_at = None
        self._rung = 0
        self._had_address = False

    def step(self, now_s, has_address, is_served, is_idle, is_hopeless=False):
        """Return NOTHING, ASSOCIATE, RADIO or RESTART.

        now_s -- seconds of uptime; is_served -- the central system answers, or None: there is none to ask
        is_idle -- a restart would disturb nobody; is_hopeless -- it would not help either (wrong password)
        """
        if self._acted_at is None:
            self._acted_at = now_s
            return RADIO
        if has_address != self._had_address:  # another kind of trouble, or none: from the first rung
            self._had_address = has_address
            self._acted_at, self._rung = now_s, 0
        first, longest = _NO_ADDRESS_S, _NO_ADDRESS_MAX_S
        if has_address:
            self._address_at = now_s
            if is_served is not False:
                self._served_at = self._acted_at = now_s
                self._rung = 0
                return NOTHING
            first, longest = _NO_SERVER_S, _NO_SERVER_MAX_S
        if is_idle and not is_hopeless:
            if now_s - self._address_at >= _RESTART_NO_ADDRESS_S or now_s - self._served_at >= _RESTART_NO_SERVER_S:
                return RESTART
        if now_s - self._acted_at < min(first << min(self._rung, 8), longest):
            return NOTHING
        self._acted_at = now_s
        self._rung += 1
        return ASSOCIATE if self._rung % 2 else RADIO
