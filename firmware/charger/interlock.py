"""May power flow, and how much? One pure function of everything known; the default answer is no.

Limits come from charger-can rules: the window test is `lo < x < hi`, so that nothing odd
passes it; the BMS limit is followed at once; what is unknown counts as bad.
"""

from micropython import const

# Reasons, one bit each; interlock_names.py names them in this order
_NOT_PLUGGED = const(1 << 0)
_BMS_SILENT = const(1 << 1)
_BMS_FORBIDS = const(1 << 2)
_BMS_LIMIT_ZERO = const(1 << 3)
_BMS_WINDOW = const(1 << 4)  # the voltage limit it asks for is not one of our vehicles
_MODULE_LOST = const(1 << 5)
_BMS_BUS = const(1 << 6)
_MODULE_BUS = const(1 << 7)
_TERMINAL_UNKNOWN = const(1 << 8)
_TERMINAL_WINDOW = const(1 << 9)
_TERMINAL_OVER = const(1 << 10)  # above what the BMS allows
_SENSOR = const(1 << 11)
_TOO_HOT = const(1 << 12)
_ESTOP = const(1 << 13)
_DOOR = const(1 << 14)
_FAULT = const(1 << 15)
NOT_PERMITTED = const(1 << 16)
_LIMIT_ZERO = const(1 << 17)  # profile, hardware limit or derating leaves nothing

VEHICLE = const(_NOT_PLUGGED | _BMS_SILENT | _BMS_FORBIDS | _BMS_LIMIT_ZERO)  # it does not take; we would give
TERMINAL_HIGH = const(_TERMINAL_WINDOW | _TERMINAL_OVER)  # possibly


class Snapshot:
    """Everything the decision depends on, with the unsafe answer as the first value of each.

    Measured, renewed before every decision:
    plugged, bms_alive, bms_permits -- bools; bms_mv, bms_ma -- its limits; heating -- bool
    module_healthy, bms_bus_up, module_bus_up -- bools
    terminal_mv -- mV or None (unknown); temperature_dc -- 0.1 degC or None
    estop, door -- True, False or None (unknown, counts as active); fault -- a fault stands
    permitted -- the central system's side says yes; limit_ma, limit_w -- its limits or None
    running -- the output has been on long enough for the terminal to show the pack
    Of the board and the settings, constant:
    low_mv, high_mv -- window; max_mv, max_ma, max_w -- hardware; tolerance_mv -- above the BMS limit
    derate_dc, stop_dc -- current falls linearly from all to nothing between them
    heating_max_ma -- limit in heating mode; sees_pack -- the terminal shows the pack also with the output off
    """

    def __init__(self):
        self.plugged = self.bms_alive = self.bms_permits = self.heating = False
        self.bms_mv = self.bms_ma = 0
        self.module_healthy = self.bms_bus_up = self.module_bus_up = False
        self.terminal_mv = self.temperature_dc = None
        self.estop = self.door = None
        self.fault = True
        self.permitted = self.running = False
        self.limit_ma = self.limit_w = None
        self.low_mv = self.high_mv = self.max_mv = self.max_ma = self.max_w = self.tolerance_mv = 0
        self.derate_dc = self.stop_dc = self.heating_max_ma = 0
        self.sees_pack = True


def interlock(s):
    """Return (allowed, mv, ma, reasons) for a Snapshot.

    allowed -- power may flow; then mv and ma, both > 0, are set-points that honour every
    limit (divisions round down) and reasons is 0. Else mv and ma are 0 and reasons has a
    bit for each condition that fails.
    """
    why = 0
    if not s.plugged:
        why |= _NOT_PLUGGED
    if not s.bms_alive:
        why |= _BMS_SILENT
    if not s.bms_permits:
        why |= _BMS_FORBIDS
    if not s.bms_ma > 0:
        why |= _BMS_LIMIT_ZERO
    if not s.low_mv < s.bms_mv < s.high_mv:
        why |= _BMS_WINDOW if s.bms_mv else _BMS_LIMIT_ZERO
    if not s.module_healthy:
        why |= _MODULE_LOST
    if not s.bms_bus_up:
        why |= _BMS_BUS
    if not s.module_bus_up:
        why |= _MODULE_BUS
    at_mv = s.terminal_mv
    if at_mv is None:
        why |= _TERMINAL_UNKNOWN
        at_mv = 0
    else:
        if not at_mv < s.high_mv or ((s.sees_pack or s.running) and not s.low_mv < at_mv):
            why |= _TERMINAL_WINDOW
        if s.bms_mv and not at_mv <= s.bms_mv + s.tolerance_mv:
            why |= _TERMINAL_OVER
    hot_dc = s.temperature_dc
    if hot_dc is None:
        why |= _SENSOR
        hot_dc = s.stop_dc
    elif not hot_dc < s.stop_dc:
        why |= _TOO_HOT
    if s.estop is not False:
        why |= _ESTOP
    if s.door is not False:
        why |= _DOOR
    if s.fault is not False:
        why |= _FAULT
    if s.permitted is not True:
        why |= NOT_PERMITTED

    mv = min(s.bms_mv, s.max_mv)
    ma = s.max_ma
    if hot_dc > s.derate_dc:
        ma = ma * max(0, s.stop_dc - hot_dc) // (s.stop_dc - s.derate_dc) if s.stop_dc > s.derate_dc else 0
    if s.limit_ma is not None:
        ma = min(ma, s.limit_ma)
    if s.heating:
        ma = min(ma, s.heating_max_ma)
    watts = s.max_w
    if s.limit_w is not None:
        watts = min(watts, s.limit_w)
    # W * 10^4 over 0.1 V, rounded up, is mA and stays within 30 bits; the pack is never below the window
    ma = min(ma, watts * 10_000 // max(1, -(-max(at_mv, s.low_mv) // 100)))
    if not (ma > 0 and mv > 0) and not why & (_BMS_LIMIT_ZERO | _TOO_HOT | _SENSOR):
        why |= _LIMIT_ZERO
    if why:
        return False, 0, 0, why
    return True, mv, min(ma, s.bms_ma), 0
