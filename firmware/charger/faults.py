"""What counts as a fault, how OCPP calls it, and how long it must last or stays. Pure but for the clock.

EVCommunicationError is missing on purpose: a silent vehicle is a warning, never Faulted
(OCPP 1.6 edition 2, section 7.6).
"""

from micropython import const

EMERGENCY_STOP = const(0)
INPUTS_LOST = const(1)
DOOR_OPEN = const(2)
EXTERNAL = const(3)
OFF_NOT_CONFIRMED = const(4)
OVER_VOLTAGE = const(5)
OVER_CURRENT = const(6)
OVER_TEMPERATURE = const(7)
SENSOR = const(8)
MODULE_LOST = const(9)
START_FAILED = const(10)
SOFTWARE = const(11)
BMS_BUS = const(12)

# vendorErrorCode, errorCode, lasts this long before it counts (ms), stays for the hold time after its cause is gone.
# The order is the order of precedence.
_ROWS = (
    ("EmergencyStop", "OtherError", 0, False),
    ("InputsLost", "OtherError", 1000, False),  # emergency stop or door cannot be read; power is off at once
    ("DoorOpen", "OtherError", 0, False),
    ("ExternalFault", "OtherError", 0, False),
    ("OffNotConfirmed", "PowerSwitchFailure", 0, False),  # latched by the gate
    ("OutputOverVoltage", "OverVoltage", 0, True),
    ("OutputOverCurrent", "OverCurrentFailure", 2000, True),  # time for the module to follow a lower limit
    ("OverTemperature", "HighTemperature", 0, True),
    ("TemperatureSensor", "InternalError", 5000, False),
    ("PowerModuleLost", "InternalError", 5000, False),  # on top of the module's own timeout; power is off long before
    ("StartFailed", "InternalError", 0, False),  # latched by the gate
    ("Software", "InternalError", 0, True),
    ("BmsBusDown", "InternalError", 15_000, False),  # our controller, not the vehicle: that has left by then
)


class Faults:
    """Which fault stands on one connector.

    current -- None or (errorCode, vendorErrorCode, info)
    kind    -- its number, or None
    """

    def __init__(self, clock, hold_ms):
        self._clock = clock
        self._hold_ms = hold_ms
        self._at = [None] * len(_ROWS)  # ticks: cause first seen, or last seen once it counts
        self._on = [False] * len(_ROWS)
        self.current = None
        self.kind = None

    def update(self, causes, info=""):
        """Take the causes present now as a bit mask (1 << kind) and renew `current`; returns it.

        info -- text for the report, at most 50 characters.
        """
        now = self._clock.ticks_ms()
        at, on = self._at, self._on
        first = None
        for kind in range(len(_ROWS)):
            if causes >> kind & 1:
                if at[kind] is None:
                    at[kind] = now
                if on[kind] or not 0 <= self._clock.ticks_diff(now, at[kind]) < _ROWS[kind][2]:
                    on[kind], at[kind] = True, now
            elif at[kind] is not None and not (
                on[kind] and _ROWS[kind][3] and 0 <= self._clock.ticks_diff(now, at[kind]) < self._hold_ms
            ):
                on[kind], at[kind] = False, None
            if on[kind] and first is None:
                first = kind
        if first != self.kind or (first is not None and info != self.current[2]):
            self.kind = first
            self.current = None if first is None else (_ROWS[first][1], _ROWS[first][0], info)
        return self.current
