# timeout: 240
"""The interlock over every combination of its conditions, and its limits."""

from charger.interlock import NOT_PERMITTED as EXPORTED_NOT_PERMITTED
from charger.interlock import TERMINAL_HIGH, VEHICLE, Snapshot, interlock
from charger.interlock_names import NAMES, names

(
    NOT_PLUGGED, BMS_SILENT, BMS_FORBIDS, BMS_LIMIT_ZERO, BMS_WINDOW, MODULE_LOST, BMS_BUS, MODULE_BUS,
    TERMINAL_UNKNOWN, TERMINAL_WINDOW, TERMINAL_OVER, SENSOR, TOO_HOT, ESTOP, DOOR, FAULT, NOT_PERMITTED, LIMIT_ZERO,
) = [1 << bit for bit in range(len(NAMES.split(" ")))]  # fmt: skip

# Reason, attribute, good value, bad value. Window 56..85.5 V, BMS asks for 84 V, 30 A; terminal at 76.4 V.
CONDITIONS = (
    (NOT_PLUGGED, "plugged", True, False),
    (BMS_SILENT, "bms_alive", True, False),
    (BMS_FORBIDS, "bms_permits", True, False),
    (BMS_LIMIT_ZERO, "bms_ma", 30_000, 0),
    (BMS_WINDOW, "bms_mv", 84_000, 85_500),
    (MODULE_LOST, "module_healthy", True, False),
    (BMS_BUS, "bms_bus_up", True, False),
    (MODULE_BUS, "module_bus_up", True, False),
    (TERMINAL_UNKNOWN, "terminal_mv", 76_400, None),
    (SENSOR, "temperature_dc", 265, None),
    (ESTOP, "estop", False, True),
    (DOOR, "door", False, True),
    (FAULT, "fault", False, True),
    (NOT_PERMITTED, "permitted", True, False),
    (LIMIT_ZERO, "limit_ma", None, 0),
)


def good():
    s = Snapshot()
    s.low_mv, s.high_mv = 56_000, 85_500
    s.max_mv, s.max_ma, s.max_w = 85_000, 90_000, 10_000
    s.tolerance_mv = 500
    s.derate_dc, s.stop_dc = 600, 700
    s.heating_max_ma = 10_000
    for _, name, value, _ in CONDITIONS:
        setattr(s, name, value)
    return s


def reasons_with(**changes):
    s = good()
    for name, value in changes.items():
        assert hasattr(s, name), name
        setattr(s, name, value)
    allowed, mv, ma, why = interlock(s)
    assert allowed == (why == 0)
    assert allowed or (mv, ma) == (0, 0)
    return why


def limits_with(**changes):
    s = good()
    for name, value in changes.items():
        assert hasattr(s, name), name
        setattr(s, name, value)
    allowed, mv, ma, why = interlock(s)
    assert allowed, names(why)
    return mv, ma


def test_default_answer_is_no():
    assert interlock(Snapshot())[:3] == (False, 0, 0)


def test_every_combination_of_conditions():
    two = [row for row in CONDITIONS if row[1] not in ("terminal_mv", "temperature_dc")]
    terminals = ((76_400, 0), (None, TERMINAL_UNKNOWN), (56_000, TERMINAL_WINDOW), (84_501, TERMINAL_OVER))
    temperatures = ((265, 0), (None, SENSOR), (700, TOO_HOT))
    s = good()
    seen = [0, 0]
    last = 0
    for terminal_mv, terminal_reason in terminals:
        for temperature_dc, temperature_reason in temperatures:
            s.terminal_mv, s.temperature_dc = terminal_mv, temperature_dc
            for i in range(1 << len(two)):
                code = i ^ i >> 1  # Gray code: one condition changes from row to row
                expected = terminal_reason | temperature_reason
                for bit in range(len(two)):
                    reason, name, fine, bad = two[bit]
                    is_bad = code >> bit & 1
                    if (code ^ last) >> bit & 1:
                        setattr(s, name, bad if is_bad else fine)
                    if is_bad:
                        expected |= reason
                last = code
                if s.bms_mv != 84_000:
                    expected &= ~TERMINAL_OVER  # 84.5 V is below that limit
                allowed, mv, ma, why = interlock(s)
                assert allowed is (expected == 0), (names(why), names(expected))
                assert allowed or (mv, ma) == (0, 0)
                # a limit of zero is named only where no stronger reason for zero stands
                assert (why ^ expected) & ~LIMIT_ZERO == 0, (names(why), names(expected))
                seen[allowed] += 1
    assert seen == [12 * (1 << len(two)) - 1, 1]


def test_each_condition_alone_has_its_own_reason():
    for reason, name, _, bad in CONDITIONS:
        assert reasons_with(**{name: bad}) == reason, name


def test_unknown_inputs_count_as_active():
    assert reasons_with(estop=None) == ESTOP
    assert reasons_with(door=None) == DOOR
    assert reasons_with(fault=None) == FAULT
    assert reasons_with(permitted=None) == NOT_PERMITTED


def test_window_is_strict_on_both_edges():
    assert reasons_with(bms_mv=85_499) == 0
    assert reasons_with(bms_mv=85_500) == BMS_WINDOW
    assert reasons_with(bms_mv=86_000) == BMS_WINDOW
    assert reasons_with(bms_mv=56_001, terminal_mv=56_100) == 0
    assert reasons_with(bms_mv=56_000, terminal_mv=56_100) == BMS_WINDOW
    assert reasons_with(bms_mv=0) == BMS_LIMIT_ZERO
    assert reasons_with(terminal_mv=56_001) == 0
    assert reasons_with(terminal_mv=56_000) == TERMINAL_WINDOW
    assert reasons_with(terminal_mv=85_499, bms_mv=85_400) == 0
    assert reasons_with(terminal_mv=85_500, bms_mv=85_400) == TERMINAL_WINDOW


def test_nan_passes_no_window():
    nan = float("nan")
    assert reasons_with(terminal_mv=nan) & TERMINAL_WINDOW
    assert reasons_with(bms_mv=nan) & BMS_WINDOW


def test_terminal_above_the_limit_of_the_bms():
    assert reasons_with(bms_mv=76_000, terminal_mv=76_500) == 0
    assert reasons_with(bms_mv=76_000, terminal_mv=76_501) == TERMINAL_OVER


def test_board_whose_terminal_is_dead_while_off():
    assert reasons_with(terminal_mv=0) == TERMINAL_WINDOW
    assert reasons_with(terminal_mv=0, sees_pack=False) == 0
    assert reasons_with(terminal_mv=0, sees_pack=False, running=True) == TERMINAL_WINDOW
    assert reasons_with(terminal_mv=None, sees_pack=False) == TERMINAL_UNKNOWN
    assert reasons_with(terminal_mv=85_500, bms_mv=85_400, sees_pack=False) == TERMINAL_WINDOW


def test_temperature_derates_linearly_and_stops():
    assert limits_with(bms_ma=200_000, max_w=60_000, temperature_dc=600) == (84_000, 90_000)
    assert limits_with(bms_ma=200_000, max_w=60_000, temperature_dc=650) == (84_000, 45_000)
    assert limits_with(bms_ma=200_000, max_w=60_000, temperature_dc=699) == (84_000, 900)
    assert reasons_with(temperature_dc=700) == TOO_HOT
    assert reasons_with(temperature_dc=1200) == TOO_HOT
    before = 1_000_000
    for dc in range(550, 700):
        ma = limits_with(bms_ma=200_000, max_w=60_000, temperature_dc=dc)[1]
        assert ma <= before
        before = ma


def test_no_limit_is_ever_exceeded():
    for bms_mv in (57_000, 70_000, 84_000, 85_400):
        for bms_ma in (1, 700, 30_000, 90_000, 6_553_500):
            for limit_ma in (None, 6_000, 100_000):
                for limit_w in (None, 500, 50_000):
                    for heating in (False, True):
                        mv, ma = limits_with(
                            bms_mv=bms_mv, bms_ma=bms_ma, limit_ma=limit_ma, limit_w=limit_w, heating=heating,
                            terminal_mv=56_500,
                        )  # fmt: skip
                        assert 0 < mv <= min(bms_mv, 85_000)
                        assert 0 < ma <= min(bms_ma, 90_000)
                        assert limit_ma is None or ma <= limit_ma
                        assert ma * 56_500 <= min(10_000, limit_w or 10_000) * 1_000_000
                        assert not heating or ma <= 10_000


def test_watts_follow_the_terminal_voltage():
    assert limits_with(bms_ma=90_000, max_w=3_000, terminal_mv=75_000) == (84_000, 40_000)
    assert limits_with(bms_ma=90_000, max_w=3_000, terminal_mv=60_000) == (84_000, 50_000)
    # a dead terminal counts as the lower edge of the window
    assert limits_with(bms_ma=90_000, max_w=2_800, terminal_mv=0, sees_pack=False) == (84_000, 50_000)


def test_limits_that_leave_nothing():
    assert reasons_with(limit_ma=0) == LIMIT_ZERO
    assert reasons_with(limit_w=0) == LIMIT_ZERO
    assert reasons_with(max_ma=0) == LIMIT_ZERO
    assert reasons_with(max_mv=0) == LIMIT_ZERO
    assert reasons_with(heating=True, heating_max_ma=0) == LIMIT_ZERO
    assert reasons_with(limit_ma=-5) == LIMIT_ZERO


def test_lowered_bms_limit_is_followed_in_the_same_call():
    s = good()
    assert interlock(s)[1:3] == (84_000, 30_000)
    s.bms_ma, s.bms_mv = 12_300, 80_000
    assert interlock(s)[1:3] == (80_000, 12_300)


def test_results_fit_small_integers_of_the_device():
    # products inside must stay below 2**30, or each decision would allocate
    assert 60_000 * 10_000 < 1 << 30
    assert limits_with(max_w=60_000, bms_ma=400_000, max_ma=400_000, terminal_mv=76_400)[1] == 400_000


def test_exported_masks():
    assert EXPORTED_NOT_PERMITTED == NOT_PERMITTED
    assert VEHICLE == NOT_PLUGGED | BMS_SILENT | BMS_FORBIDS | BMS_LIMIT_ZERO
    assert TERMINAL_HIGH == TERMINAL_WINDOW | TERMINAL_OVER


def test_names():
    assert names(0) == "none"
    assert names(BMS_SILENT | ESTOP) == "BmsSilent EStop"
    assert names((1 << 18) - 1) == NAMES and len(NAMES.split(" ")) == 18
