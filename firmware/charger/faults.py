"""What counts as a fault, and how long it must last or stays. Pure but for the clock; names: fault_names.py.

EVCommunicationError is missing on purpose: a silent vehicle is a warning, never Faulted
(OCPP 1.6 edition 2, section 7.6).
"""

from cold import cold
from micropython import const

from .gate import RUNNING

# In order of precedence
EMERGENCY_STOP = const(0)
_INPUTS_LOST = const(1)
_DOOR_OPEN = const(2)
_EXTERNAL = const(3)
_OFF_NOT_CONFIRMED = const(4)
_WELDED = const(5)
OVER_VOLTAGE = const(6)
_OVER_LIMIT = const(7)  # more than the vehicle allows
_OVER_CURRENT = const(8)  # more than the module was told
OVER_TEMPERATURE = const(9)
_SENSOR = const(10)
_MODULE_LOST = const(11)
_START_FAILED = const(12)
SOFTWARE = const(13)
_BMS_BUS = const(14)
LOCK = const(15)
_OF_GATE = b"\x00\x04\x05\x0c"  # by gate.fault

# Tenths of a second that a cause must last before it counts. Power is off long before:
# - inputs 1 s: a link may flicker
# - above the vehicle's limit 400 ms (IEC 61851-23 asks this for the voltage, where it is off with the first frame);
#   above the set-point 2 s: time for the module to follow a lower limit of ours
# - sensor and module 5 s: on top of their own timeouts
# - BMS bus 15 s: a vehicle has left by then, what is broken is our controller
_LASTS_DS = b"\x00\x0a\x00\x00\x00\x00\x00\x04\x14\x00\x32\x32\x00\x00\x96\x00"

# These stay for the hold time after their cause is gone; the gate latches its own two.
_STAYS = const(
    (1 << OVER_VOLTAGE) | (1 << _OVER_LIMIT) | (1 << _OVER_CURRENT) | (1 << OVER_TEMPERATURE) | (1 << SOFTWARE)
)

# What the vehicle is told as a failure of the hardware
_HARDWARE = const(
    (1 << _OFF_NOT_CONFIRMED) | (1 << _WELDED) | (1 << OVER_VOLTAGE) | (1 << _OVER_LIMIT) | (1 << _OVER_CURRENT)
    | (1 << _SENSOR) | (1 << _MODULE_LOST) | (1 << _START_FAILED) | (1 << SOFTWARE)
)  # fmt: skip

_OVER_MA = const(2000)  # above a limit; from 20 A on a tenth of it


class Faults:
    """Which fault stands on one connector.

    current -- None or (errorCode, vendorErrorCode, info)
    kind    -- its number, or None
    tripped -- seen since the last update, bit mask of OVER_VOLTAGE, SOFTWARE, LOCK: set it, update() takes it
    """

    def __init__(self, clock, hold_ms):
        self.current = None
        self.kind = None
        self.tripped = 0
        self._clock = clock
        self._hold_ms = hold_ms
        self._at = [None] * len(_LASTS_DS)  # ticks: cause first seen, or last seen once it counts
        self._on = 0  # bit mask of those that count

    def is_hardware(self):
        return self.kind is not None and _HARDWARE >> self.kind & 1 != 0

    def update(self, s, gate, ma, external):
        """Look for the causes and renew `kind` and `current`.

        s -- the interlock's Snapshot; ma -- terminal current or None
        external -- input of another device: False, True or a text, of which 50 characters are reported
        """
        causes, self.tripped = self.tripped, 0
        if s.estop:
            causes |= 1 << EMERGENCY_STOP
        if s.estop is None or s.door is None:
            causes |= 1 << _INPUTS_LOST
        if s.door:
            causes |= 1 << _DOOR_OPEN
        if external:
            causes |= 1 << _EXTERNAL
        if gate.fault is not None:
            causes |= 1 << _OF_GATE[gate.fault]
        if gate.state == RUNNING and ma is not None:
            if _is_over(ma, s.bms_ma):
                causes |= 1 << _OVER_LIMIT
            if _is_over(ma, gate.set_ma):
                causes |= 1 << _OVER_CURRENT
        if not s.module_healthy or not s.module_bus_up:
            causes |= 1 << _MODULE_LOST
        elif s.temperature_dc is None:
            causes |= 1 << _SENSOR
        elif s.temperature_dc >= s.stop_dc:
            causes |= 1 << OVER_TEMPERATURE
        if not s.bms_bus_up:
            causes |= 1 << _BMS_BUS
        first = self._count(causes)
        info = external[:50] if isinstance(external, str) else ""
        if first is None:
            self.kind = self.current = None
        elif first != self.kind or self.current is None or info != self.current[2]:
            self.kind = first
            self.current = None
            self.current = cold("charger.fault_names").describe(first, info)

    def _count(self, causes):
        """The first of the causes that has lasted long enough or stays; or None."""
        clock = self._clock
        now = clock.ticks_ms()
        at = self._at
        first = None
        for kind in range(len(_LASTS_DS)):
            bit = 1 << kind
            if causes & bit:
                if at[kind] is None:
                    at[kind] = now
                if self._on & bit or not 0 <= clock.ticks_diff(now, at[kind]) < _LASTS_DS[kind] * 100:
                    self._on |= bit
                    at[kind] = now
            elif at[kind] is not None and not (
                self._on & _STAYS & bit and 0 <= clock.ticks_diff(now, at[kind]) < self._hold_ms
            ):
                self._on &= ~bit
                at[kind] = None
            if self._on & bit and first is None:
                first = kind
        return first


def _is_over(ma, limit_ma):
    return ma > limit_ma + max(_OVER_MA, limit_ma // 10)
