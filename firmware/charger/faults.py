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

# One fault per line, in the order of the numbers, which is that of precedence: vendorErrorCode, errorCode
_NAMES = """\
EmergencyStop OtherError
InputsLost OtherError
DoorOpen OtherError
ExternalFault OtherError
OffNotConfirmed PowerSwitchFailure
OutputOverVoltage OverVoltage
OutputOverCurrent OverCurrentFailure
OverTemperature HighTemperature
TemperatureSensor InternalError
PowerModuleLost InternalError
StartFailed InternalError
Software InternalError
BmsBusDown InternalError"""

# Tenths of a second that a cause must last before it counts. Power is off long before:
# - inputs 1 s: a link may flicker; over-current 2 s: time for the module to follow a lower limit
# - sensor and module 5 s: on top of their own timeouts
# - BMS bus 15 s: a vehicle has left by then, what is broken is our controller
_LASTS_DS = b"\x00\x0a\x00\x00\x00\x00\x14\x00\x32\x32\x00\x00\x96"

# These stay for the hold time after their cause is gone; the gate latches its own two.
_STAYS = (1 << OVER_VOLTAGE) | (1 << OVER_CURRENT) | (1 << OVER_TEMPERATURE) | (1 << SOFTWARE)


class Faults:
    """Which fault stands on one connector.

    current -- None or (errorCode, vendorErrorCode, info)
    kind    -- its number, or None
    """

    def __init__(self, clock, hold_ms):
        self._clock = clock
        self._hold_ms = hold_ms
        self._at = [None] * len(_LASTS_DS)  # ticks: cause first seen, or last seen once it counts
        self._on = 0  # bit mask of those that count
        self.current = None
        self.kind = None

    def update(self, causes, info=""):
        """Take the causes present now as a bit mask (1 << kind) and renew `current`; returns it.

        info -- text for the report, at most 50 characters.
        """
        now = self._clock.ticks_ms()
        at = self._at
        first = None
        for kind in range(len(_LASTS_DS)):
            bit = 1 << kind
            if causes & bit:
                if at[kind] is None:
                    at[kind] = now
                if self._on & bit or not 0 <= self._clock.ticks_diff(now, at[kind]) < _LASTS_DS[kind] * 100:
                    self._on |= bit
                    at[kind] = now
            elif at[kind] is not None and not (
                self._on & _STAYS & bit and 0 <= self._clock.ticks_diff(now, at[kind]) < self._hold_ms
            ):
                self._on &= ~bit
                at[kind] = None
            if self._on & bit and first is None:
                first = kind
        if first != self.kind or (first is not None and info != self.current[2]):
            self.kind = first
            self.current = None
            if first is not None:
                vendor_code, code = _NAMES.split("\n")[first].split(" ")
                self.current = (code, vendor_code, info)
        return self.current
