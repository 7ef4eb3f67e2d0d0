"""The limits of charging profiles that hold now: the little of smart charging that stays in RAM.

Source: OCPP 1.6 edition 2, section 3.13. The work is done in the cold modules charging_*.
"""

from cold import cold


class Charging:
    """Keeps the limits of each connector until they may change. One per charge point with smart charging.

    hardware -- callable(connector id) -> (mA, W, mV): what the connector can give at most, and the DC voltage (> 0) by
    which composite schedules turn amperes into watts
    fall_back -- see charging_limits.Plan
    """

    def __init__(self, cp, hardware, fall_back=True):
        self._cp = cp
        self.hardware = hardware
        self.fall_back = fall_back
        self.slots = None  # bit mask of the profiles in the store; None: not looked yet
        self._limits = None  # [(mA, W), ...]; None: to be found out
        self._until = self._steps = None

    def changed(self):
        """A profile or a transaction came or went: find out the limits anew when they are asked for next."""
        self._limits = None

    def limit(self, connector, now):
        """(mA, W) that this connector's transaction may take at uptime `now`; each None where nothing limits."""
        until = self._until
        steps = self._cp.clock.steps
        if self._limits is None or steps != self._steps or (until is not None and now >= until):
            self._steps = steps
            self._limits, self._until = cold("ocpp16.charging_profiles").evaluate(self._cp, now)
        return self._limits[connector.id - 1]
