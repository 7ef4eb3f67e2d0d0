# timeout: 180
"""Energy against exact arithmetic, over a day and over the wrap of the ticks."""

from fakes import PERIOD, FakeClock

from charger.metering import Meter

HALVES = 7_200_000_000  # half nanojoules in a mWh: 3.6 J = 3.6 * 10**9 nJ


def make(start=PERIOD - 20_000, **options):
    clock = FakeClock(start)
    return clock, Meter(clock, **options)


def test_one_kilowatt_for_an_hour():
    clock, meter = make()
    for _ in range(36_001):
        meter.add(80_000, 12_500, True)
        clock.advance(100)
    assert meter.session_mwh == 1_000_000
    assert meter.lifetime_mwh == 1_000_000
    assert meter.gaps == 0


def test_trapezoid_of_a_ramp_is_exact():
    clock, meter = make()
    exact = 0
    before = None
    for ma in range(0, 30_000, 7):
        meter.add(76_543, ma, True)
        if before is not None:
            exact += (before + 76_543 * ma) * 50
        before = 76_543 * ma
        clock.advance(50)
    assert meter.session_mwh == exact // HALVES


def test_random_samples_against_exact_sum():
    clock, meter = make()
    seed, exact, before = 12345, 0, None
    for _ in range(20_000):
        seed = (seed * 1103515245 + 12345) % (1 << 31)
        mv = 56_000 + seed % 29_000
        ma = (seed >> 7) % 90_000
        meter.add(mv, ma, True)
        passed = 20 + (seed >> 11) % 400
        if before is not None:
            exact += (before[0] + mv * ma) * before[1]
        before = (mv * ma, passed)
        clock.advance(passed)
    assert meter.session_mwh == exact // HALVES and meter.session_mwh > 0


def test_a_day_without_drift_over_the_wrap():
    clock, meter = make(PERIOD - 3_600_000)
    seconds = 24 * 3600
    for _ in range(seconds + 1):
        meter.add(76_400, 1_850, True)
        clock.advance(1000)
    assert meter.session_mwh == 76_400 * 1_850 * seconds // 3_600_000  # uW x s over 3600 s and 10**3
    assert meter.gaps == 0


def test_gap_adds_nothing_and_is_counted():
    clock, meter = make()
    meter.add(80_000, 45_000, True)
    clock.advance(2000)
    meter.add(80_000, 45_000, True)  # exactly at the limit counts
    at_limit = meter.session_mwh
    assert at_limit == 2_000
    clock.advance(2001)
    meter.add(80_000, 45_000, True)
    assert meter.session_mwh == at_limit and meter.gaps == 1
    clock.advance(1000)
    meter.add(80_000, 45_000, True)
    assert meter.session_mwh == 3_000


def test_gap_of_a_whole_tick_period():
    clock, meter = make()
    meter.add(80_000, 45_000, True)
    clock.advance(PERIOD + 1000)  # reads like one second; the next sample closes the flow before
    meter.add(80_000, 0, False)
    meter.add(80_000, 45_000, True)
    assert meter.session_mwh == 0


def test_nothing_is_counted_while_the_gate_is_off():
    clock, meter = make()
    for flowing in (False, True, False):
        for _ in range(10):
            meter.add(80_000, 45_000, flowing)
            clock.advance(100)
    assert meter.session_mwh == 900  # nine intervals; none across the edges
    assert meter.gaps == 0


def test_same_instant_and_time_going_back_add_nothing():
    clock, meter = make(5_000)
    meter.add(80_000, 45_000, True)
    meter.add(80_000, 45_000, True)
    assert meter.session_mwh == 0
    clock.now -= 1_000
    meter.add(80_000, 45_000, True)
    assert meter.session_mwh == 0 and meter.gaps == 1


def test_energy_is_never_negative():
    clock, meter = make()
    for ma in (-5_000, -1, 0):
        for _ in range(100):
            meter.add(80_000, ma, True)
            clock.advance(100)
    assert meter.session_mwh == 0 and meter.lifetime_mwh == 0
    meter.add(-10, 50_000, True)
    clock.advance(100)
    meter.add(-10, 50_000, True)
    assert meter.session_mwh == 0


def test_remainder_is_carried():
    clock, meter = make()
    # 1 W in steps of 100 ms: 1 mWh takes 36 steps
    for _ in range(36 * 10):
        meter.add(50_000, 20, True)
        clock.advance(100)
    meter.add(50_000, 20, True)
    assert meter.session_mwh == 10


def test_session_register_starts_again_and_lifetime_goes_on():
    clock, meter = make(lifetime_mwh=5_000_000_000)
    for _ in range(11):
        meter.add(80_000, 45_000, True)
        clock.advance(1000)
    assert (meter.session_mwh, meter.lifetime_mwh) == (10_000, 5_000_010_000)
    meter.session_begin()
    assert (meter.session_mwh, meter.lifetime_mwh) == (0, 5_000_010_000)
    meter.add(80_000, 45_000, True)
    assert (meter.session_mwh, meter.lifetime_mwh) == (1_000, 5_000_011_000)
