"""The limits of charging profiles that hold now: the little of smart charging that stays in RAM.

Source: OCPP 1.6 edition 2, section 3.13. The work is done in the cold modules charging_*.
"""

from cold import cold
from micropython import const

_PATIENCE = const(50)  # failed attempts: some 5 s


class Charging:
    """Keeps the limits of each connector until they may change. One per charge point with smart charging.

    Where the limits cannot be found out now (no memory, no file) those of before count for 5 s, then nothing may flow.
    """

    def __init__(self, cp):
        self._cp = cp
        self.slots = None  # bit mask of the profiles in the store; None: not looked yet
        self._limits = None  # [(mA, W), ...]; None: those of before do not count
        self._until = None  # uptime ms
        self._steps = None  # of the clock; None: find out anew
        self._tries = 0

    def changed(self, begins=False):
        """A profile or a transaction came or went: find out the limits anew when they are asked for next.

        begins -- a transaction starts: no limit of before is its own
        """
        self._steps = None
        if begins:
            self._limits = None

    def limit(self, connector, now):
        """(mA, W) that this connector's transaction may take at uptime `now`; each None where nothing limits."""
        if self.slots == 0:
            return None, None
        steps, until = self._cp.clock.steps, self._until
        if steps != self._steps or (until is not None and now >= until):
            try:
                self._limits, self._until = cold("ocpp16.charging_profiles").evaluate(self._cp, now)
                self._steps = steps
                self._tries = 0
            except Exception as exc:  # noqa: BLE001 - the transaction goes on, see above
                if not self._tries:
                    self._cp.log.error("ocpp", exc)
                self._tries += 1
                if self._limits is None or self._tries > _PATIENCE:
                    return 0, 0
        return self._limits[connector.id - 1]
