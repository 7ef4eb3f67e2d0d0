"""Which limit holds when.

Sources: OCPP 1.6 edition 2, sections 3.13 and 5.7; for values, the OCA test cases 056 to 082.
"""
# heapsize: 1m

from charging_bench import DAY, DEFAULT, MAX, T0, TX, Site, profile
from cold import cold

from ocpp16.ramstore import RamStore

OK, NO = "Accepted", "Rejected"


def relative(number, purpose=DEFAULT, periods="0:16", **more):
    return profile(number, purpose, periods, "Relative", **more)


def trace(site, seconds, number=1):
    """The limit in A second by second, in short: "0:6 60:10"; "-" where nothing limits."""
    text, last = "", 0
    for second in range(seconds):
        ma, w = site.limit(number)
        assert w is None or (ma, w) == (0, 0)
        if ma != last:
            last = ma
            text += "%d:%s " % (second, "-" if ma is None else ma // 1000)
        site.clock.advance(1000)
    return text[:-1]


# -- the OCA test cases


def test_tc_056_default_profile_without_a_transaction():
    site = Site()
    assert site.put(1, relative(1, DEFAULT, "0:6 60:10 120:8 180:15 260:8", duration=300)) == OK
    assert site.schedule(1, 300) == "0:6 60:10 120:8 180:15 260:8 /300 A"
    assert site.schedule(1, 200) == "0:6 60:10 120:8 180:15 /200 A"
    assert site.schedule(1, 300, chargingRateUnit="W") == "0:480 60:800 120:640 180:1200 260:640 /300 W"


def test_tc_056_absolute():
    site = Site()
    assert site.put(1, profile(1, DEFAULT, "0:6 60:10 120:8 180:15 260:8", duration=300)) == OK
    site.clock.advance(20_000)
    assert site.schedule(1, 350) == "0:6 40:10 100:8 160:15 240:8 280:100 /350 A"


def test_tc_057_tx_profile():
    site = Site()
    site.begin()
    site.clock.advance(5000)
    assert site.put(1, profile(1, TX, "0:8 50:11 140:16 200:6 240:12", duration=260, transactionId=77)) == OK
    assert site.schedule(1, 250) == "0:8 45:11 135:16 195:6 235:12 /250 A"
    assert site.put(1, relative(1, TX, "0:8 50:11", duration=260, transactionId=77)) == OK
    assert site.schedule(1, 250) == "0:8 45:11 /250 A"


def tc_066(fall_back):
    site = Site(fall_back=fall_back)
    site.begin()
    assert site.put(0, profile(1, MAX, "0:10", duration=86400)) == OK
    assert site.put(1, profile(2, DEFAULT, "0:6 60:10 120:8 180:15 260:8", duration=300)) == OK
    assert site.put(1, profile(3, TX, "0:8 50:11 140:16 200:6 240:12", duration=260)) == OK
    return site


def test_tc_066_composite_schedule():
    for fall_back, rest in ((True, " 260:8 300:10"), (False, "")):
        site = tc_066(fall_back)
        assert site.schedule(1, 400) == "0:8 50:10 200:6 240:10" + rest + " /400 A"
        site.clock.advance(7000)
        late = " 253:8 293:10" if fall_back else ""
        assert site.schedule(1, 400) == "0:8 43:10 193:6 233:10" + late + " /400 A"
        site = tc_066(fall_back)
        assert trace(site, 400) == "0:8 50:10 200:6 240:10" + rest


def test_tc_067_clearing():
    site = Site()
    site.begin()
    assert site.put(0, profile(1, MAX, "0:11 200:12", duration=86400)) == OK
    assert site.put(1, profile(2, DEFAULT, "0:7 100:9", duration=86400, level=1)) == OK
    assert site.put(1, relative(3, TX, "0:6", transactionId=77)) == OK
    site.clock.advance(3000)
    assert site.clear(id=3) == OK
    assert site.schedule(1, 350) == "0:7 97:9 /350 A"
    assert site.clear(chargingProfilePurpose=DEFAULT, stackLevel=1) == OK
    assert site.schedule(1, 350) == "0:11 197:12 /350 A"
    assert site.clear() == OK
    assert site.schedule(1, 350) == "0:100 /350 A"


def test_tc_072_stacking():
    site = Site()
    assert site.put(1, profile(1, DEFAULT, "0:6 100:8 200:10", duration=400)) == OK
    assert site.put(1, profile(2, DEFAULT, "0:7 100:9", duration=150, level=1)) == OK
    site.clock.advance(2000)
    assert site.schedule(1, 350) == "0:7 98:9 148:8 198:10 /350 A"


def test_tc_082_default_in_a_running_transaction():
    site = Site()
    site.begin()
    site.clock.advance(30_000)
    assert site.limit() == (None, None)
    assert site.put(1, relative(1, DEFAULT, "0:6 60:10")) == OK
    assert site.limit() == (6000, None)
    assert site.schedule(1, 100) == "0:6 30:10 /100 A"
    assert site.clear(id=1) == OK
    assert site.limit() == (None, None)  # goes on without


# -- purposes, levels, connectors


def test_lower_of_maximum_and_transaction():
    site = Site()
    site.begin()
    site.put(0, profile(1, MAX, "0:10 100:20 200:0"))
    site.put(1, relative(2, TX, "0:5 150:30"))
    assert trace(site, 300) == "0:5 150:20 200:0"


def test_specific_default_goes_before_general():
    site = Site(2)
    site.put(0, relative(1, periods="0:20", level=5))
    site.put(1, relative(2, periods="0:10", level=1, duration=100))
    assert site.schedule(1) == "0:10 100:20 /400 A"
    assert site.schedule(2) == "0:20 /400 A"


def test_level_lets_go():
    """A higher level counts only from validFrom to validTo, within its schedule."""
    site = Site()
    site.put(1, profile(1, DEFAULT, "0:20"))
    site.put(1, profile(2, DEFAULT, "0:10", level=3, validFrom=T0 + 50, validTo=T0 + 300, start=T0 + 20, duration=200))
    assert site.schedule(1, 400) == "0:20 50:10 220:20 /400 A"
    site.put(1, profile(2, DEFAULT, "0:10", level=3, validFrom=T0 + 50, validTo=T0 + 150, start=T0 + 20, duration=200))
    assert site.schedule(1, 400) == "0:20 50:10 150:20 /400 A"
    site.put(1, profile(2, DEFAULT, "0:10", level=3, start=T0 + 20))
    assert site.schedule(1, 400) == "0:20 20:10 /400 A"


def test_recurring():
    site = Site()
    noon = T0 - 3 * DAY + DAY // 2
    site.put(1, profile(1, DEFAULT, "0:5 3600:6", "Recurring", start=noon, duration=7200, recurrencyKind="Daily"))
    assert site.schedule(1, DAY) == "0:100 43200:5 46800:6 50400:100 /86400 A"
    week = T0 - 7 * DAY + 100
    site.put(1, profile(1, DEFAULT, "0:5 3600:6", "Recurring", start=week, duration=7200, recurrencyKind="Weekly"))
    assert site.schedule(1, DAY) == "0:100 100:5 3700:6 7300:100 /86400 A"
    site.put(1, profile(1, DEFAULT, "0:5 90000:6", "Recurring", start=T0 - 5, duration=100_000, recurrencyKind="Daily"))
    assert site.schedule(1, 2 * DAY) == "0:5 /172800 A"  # what is longer than a day is not carried out
    site.put(1, profile(1, DEFAULT, "0:5", "Recurring", start=T0 + 60, recurrencyKind="Daily"))
    assert site.schedule(1, 400) == "0:100 60:5 /400 A"  # not before its first day


def test_relative_counts_from_each_start():
    site = Site(2)
    site.put(0, relative(1, periods="0:6 60:10"))
    site.begin(1)
    site.clock.advance(30_000)
    site.begin(2)
    assert site.schedule(1, 100) == "0:6 30:10 /100 A"
    assert site.schedule(2, 100) == "0:6 60:10 /100 A"
    site.put(1, profile(2, DEFAULT, "0:7 50:9", start=None))  # Absolute without a start: the same
    assert site.schedule(1, 100) == "0:7 20:9 /100 A"


def test_share_of_the_maximum():
    site = Site(2)
    site.put(0, profile(1, MAX, "0:25"))
    site.begin(1)
    assert site.limit(1) == (25_000, None)
    assert site.schedule(1) == "0:25 /400 A"
    assert site.schedule(2) == "0:12.5 /400 A"  # what it would get
    site.begin(2)
    assert site.limit(1) == (12_500, None) and site.limit(2) == (12_500, None)
    site.put(2, relative(2, TX, "0:4"))
    assert site.limit(2) == (4000, None)
    assert site.schedule(1) == "0:12.5 /400 A" and site.schedule(2) == "0:4 /400 A"
    site.end(1)
    assert site.limit(2) == (4000, None)
    site.clear(id=2)
    assert site.limit(2) == (25_000, None)
    site.put(0, profile(1, MAX, "0:0.1"))
    site.begin(1)
    assert site.limit(1) == (0, 0)  # half of 0.1 A does not round up


def test_no_transaction_gets_nothing_by_mistake():
    site = Site(2)
    site.put(0, profile(1, MAX, "0:25"))
    site.begin(1)
    assert site.limit(1) == (25_000, None) and site.limit(2) == (0, 0)


# -- units


def test_both_units_hold_at_once():
    site = Site()
    site.begin()
    site.put(0, profile(1, MAX, "0:1500.9", unit="W"))
    site.put(1, relative(2, TX, "0:16.5"))
    assert site.limit() == (16_500, 1500)
    assert site.schedule() == "0:16.5 /400 A"  # 1500.9 W at 80 V are 18.7 A
    assert site.schedule(1, chargingRateUnit="W") == "0:1320 /400 W"
    site.put(1, relative(2, TX, "0:30"))
    assert site.limit() == (30_000, 1500)
    assert site.schedule() == "0:18.7 /400 A"
    assert site.schedule(1, chargingRateUnit="W") == "0:1500.9 /400 W"
    site.put(0, profile(1, MAX, "0:0.9", unit="W"))
    assert site.limit() == (0, 0)


def test_local_limit_when_there_is_no_profile():
    site = Site(2)
    assert site.schedule(1) == "0:100 /400 A"  # 8 kW at 80 V
    assert site.schedule(1, chargingRateUnit="W") == "0:8000 /400 W"
    assert site.schedule(0) == "0:200 /400 A"
    site.connectors[0].limits = lambda: (100_000, 3300, 76_000, 1)
    assert site.schedule(1) == "0:43.4 /400 A"
    site.connectors[0].limits = lambda: (20_000, 3300, 76_000, 1)
    assert site.schedule(1, chargingRateUnit="W") == "0:1520 /400 W"


# -- GetCompositeSchedule


def test_connector_zero_is_the_sum():
    site = Site(2)
    site.put(1, relative(1, periods="0:10 100:20"))
    assert site.schedule(0) == "0:110 100:120 /400 A"  # connector 2 as much as it can
    site.put(2, relative(2, periods="0:5 200:6"))
    assert site.schedule(0) == "0:15 100:25 200:26 /400 A"
    site.put(0, profile(3, MAX, "0:25.5"))
    assert site.schedule(0) == "0:15 100:25 200:25.5 /400 A"
    site.begin(1)
    site.begin(2)
    assert site.schedule(0) == "0:15 100:25 200:25.5 /400 A"
    assert site.schedule(1) == "0:10 100:12.7 /400 A"


def test_composite_is_refused():
    site = Site()
    assert site.schedule(2) == NO
    assert site.schedule(1, 0) == NO
    assert site.schedule(1, chargingRateUnit="V") == "PropertyConstraintViolation"
    assert Site(timed=False).schedule(1) == NO


def test_equal_neighbours_are_one():
    site = Site()
    site.put(1, relative(1, periods="0:6 10:6 20:7 30:7 40:6"))
    assert site.schedule(1) == "0:6 20:7 40:6 /400 A"


def test_too_many_periods_cut_the_duration():
    site = Site(ChargingScheduleMaxPeriods="3")
    site.put(1, profile(1, DEFAULT, "0:1 10:2 20:3"))
    site.put(1, profile(2, DEFAULT, "0:4 5:5 10:6", level=1, start=T0 + 25, duration=20))
    assert site.schedule(1, 25) == "0:1 10:2 20:3 /25 A"
    assert site.schedule(1, 26) == "0:1 10:2 20:3 /25 A"
    assert site.schedule(1, 400) == "0:1 10:2 20:3 /25 A"


def test_a_year_ends_in_time():
    site = Site()
    site.put(1, profile(1, DEFAULT, "0:5 3600:5", "Recurring", start=T0, recurrencyKind="Daily"))
    text = site.schedule(1, 366 * DAY)
    assert text.startswith("0:5 /") and 90 * DAY <= int(text[5:-2]) < 366 * DAY, text
    assert site.schedule(1, (1 << 53) - 1).startswith("0:5 /")
    site.put(1, profile(1, DEFAULT, "0:5"))
    assert site.schedule(1, (1 << 53) - 1) == "0:5 /9007199254740991 A"


# -- without a clock


def test_unknown_time_takes_the_lowest():
    store = RamStore()
    site = Site(store=store)
    site.put(0, profile(1, MAX, "0:30 100:12 200:20", start=T0 + 5000, duration=300))
    site.put(0, profile(2, MAX, "0:25", level=1, start=T0 + DAY))
    blind = Site(store=store, timed=False)
    blind.begin()
    assert blind.limit() == (12_000, None)
    blind.clock.advance(1000)
    blind.clock.set_utc(T0)
    assert blind.limit() == (None, None)  # now it is known: not yet
    blind.clock.set_utc(T0 + 5000)
    assert blind.limit() == (30_000, None)


def test_relative_profiles_need_no_clock():
    store = RamStore()
    site = Site(store=store)
    site.put(1, relative(1, periods="0:6 60:10"))
    blind = Site(store=store, timed=False)
    blind.clock.advance(12_345)
    blind.begin()
    assert trace(blind, 100) == "0:6 60:10"
    blind.clock.set_utc(T0)
    assert blind.limit() == (10_000, None)
    site.put(1, relative(2, periods="0:20", level=1, validTo=T0 + 10 * DAY))  # may count, may not
    blind = Site(store=store, timed=False)
    blind.begin()
    assert trace(blind, 100) == "0:6 60:10"
    site.put(1, profile(3, DEFAULT, "0:800 10:80", level=2, unit="W"))
    blind = Site(store=store, timed=False)
    blind.begin()
    assert blind.limit() == (6000, 80)


def test_transaction_of_an_unknown_start():
    """Taken up again after a power cut, and it never had a time."""
    store = RamStore()
    Site(store=store).put(1, relative(1, periods="0:20 60:10 120:30"))
    for timed in (False, True):
        site = Site(store=store, timed=timed)
        site.begin().start_utc = None
        site.outbox.boot = 2
        assert site.limit() == (10_000, None)


# -- the cache


def test_asks_only_when_something_may_change():
    asked = []

    class Watched:
        def __init__(self, store):
            self.store = store

        def get(self, name):
            asked.append(name)
            return self.store.get(name)

    site = Site()
    site.clock.advance(250)
    site.put(1, profile(1, DEFAULT, "0:6 100:10"))
    site.begin()
    site.store = Watched(site.store)
    site.limit()
    assert asked == ["profile0"]
    site.clock.advance(99_749)
    assert site.limit() == (6000, None) and len(asked) == 1
    site.clock.advance(1)  # to the millisecond
    assert site.limit() == (10_000, None) and len(asked) == 2
    site.clock.advance(50 * DAY * 1000)
    assert site.limit() == (10_000, None) and len(asked) == 2
    site.clock.set_utc(T0 + 50)  # a clock that was set is a reason
    assert site.limit() == (6000, None) and len(asked) == 3


def test_clock_set_in_a_transaction():
    """Absolute profiles follow the clock, relative ones the time that has passed."""
    site = Site()
    site.put(1, profile(1, DEFAULT, "0:6 100:10"))
    site.put(0, relative(2, periods="0:9 40:7"))
    site.begin()
    site.clock.advance(30_000)
    site.clock.set_utc(T0 + 3630)
    assert site.limit() == (10_000, None)
    site.clear(id=1)
    assert site.limit() == (9000, None)
    assert trace(site, 20) == "0:9 10:7"


def test_limits_are_pure_integers():
    """Where a float crept in, the device would lose the seconds of the present decade."""
    value_at = cold("ocpp16.charging_limits").value_at
    row = [1, 1, DEFAULT, 0, DAY, "A", T0, 3600, None, T0 + 5 * DAY, None, [0, 73, 60, 81]]
    for t, want in (
        (T0 - 1, (None, T0)),
        (T0, (73, T0 + 60)),
        (T0 + 59, (73, T0 + 60)),
        (T0 + 60, (81, T0 + 3600)),
        (T0 + 3600, (None, T0 + DAY)),
        (T0 + 2 * DAY + 7, (73, T0 + 2 * DAY + 60)),
        (T0 + 5 * DAY - 1, (None, T0 + 5 * DAY)),
        (T0 + 5 * DAY, (None, None)),
    ):
        got = value_at(row, t, None)
        assert got == want, (t, got)
        assert all(x is None or isinstance(x, int) for x in got)
