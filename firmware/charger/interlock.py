"""May power flow, and how much? One pure function of everything known; the default answer is no.

Limits come from charger-can rules: the window test is `lo < x < hi`, so that nothing odd
passes it; the BMS limit is followed at once; what is unknown counts as bad.
"""

from micropython import const

NOT_PLUGGED = const(1 << 0)
BMS_SILENT = const(1 << 1)
BMS_FORBIDS = const(1 << 2)
BMS_LIMIT_ZERO = const(1 << 3)
BMS_WINDOW = const(1 << 4)  # the voltage limit it asks for is not one of our vehicles
MODULE_LOST = const(1 << 5)
BMS_BUS = const(1 << 6)
MODULE_BUS = const(1 << 7)
TERMINAL_UNKNOWN = const(1 << 8)
TERMINAL_WINDOW = const(1 << 9)
TERMINAL_OVER = const(1 << 10)  # above what the BMS allows
SENSOR = const(1 << 11)
TOO_HOT = const(1 << 12)
ESTOP = const(1 << 13)
DOOR = const(1 << 14)
FAULT = const(1 << 15)
NOT_PERMITTED = const(1 << 16)
LIMIT_ZERO = const(1 << 17)  # profile, hardware limit or derating leaves nothing

# In the order of the bits. One string: nobody asks in a running session.
NAMES = (
    "NotPlugged BmsSilent BmsForbids BmsLimitZero BmsWindow ModuleLost BmsBus ModuleBus TerminalUnknown TerminalWindow "
    "TerminalOver Sensor TooHot EStop Door Fault NotPermitted LimitZero"
)

VEHICLE = NOT_PLUGGED | BMS_SILENT | BMS_FORBIDS | BMS_LIMIT_ZERO  # the vehicle does not take; the charger would give


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
        why |= NOT_PLUGGED
    if not s.bms_alive:
        why |= BMS_SILENT
    if not s.bms_permits:
        why |= BMS_FORBIDS
    if not s.bms_ma > 0:
        why |= BMS_LIMIT_ZERO
    if not s.low_mv < s.bms_mv < s.high_mv:
        why |= BMS_WINDOW if s.bms_mv else BMS_LIMIT_ZERO
    if not s.module_healthy:
        why |= MODULE_LOST
    if not s.bms_bus_up:
        why |= BMS_BUS
    if not s.module_bus_up:
        why |= MODULE_BUS
    at_mv = s.terminal_mv
    if at_mv is None:
        why |= TERMINAL_UNKNOWN
        at_mv = 0
    else:
        if not at_mv < s.high_mv or ((s.sees_pack or s.running) and not s.low_mv < at_mv):
            why |= TERMINAL_WINDOW
        if s.bms_mv and not at_mv <= s.bms_mv + s.tolerance_mv:
            why |= TERMINAL_OVER
    hot_dc = s.temperature_dc
    if hot_dc is None:
        why |= SENSOR
        hot_dc = s.stop_dc
    elif not hot_dc < s.stop_dc:
        why |= TOO_HOT
    if s.estop is not False:
        why |= ESTOP
    if s.door is not False:
        why |= DOOR
    if s.fault is not False:
        why |= FAULT
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
    if not (ma > 0 and mv > 0) and not why & (BMS_LIMIT_ZERO | TOO_HOT | SENSOR):
        why |= LIMIT_ZERO
    if why:
        return False, 0, 0, why
    return True, mv, min(ma, s.bms_ma), 0


def names(reasons):
    """Text for a bit mask: "BmsSilent EStop", or "none"."""
    all_names = NAMES.split(" ")
    return " ".join([all_names[i] for i in range(len(all_names)) if reasons >> i & 1]) or "none"
