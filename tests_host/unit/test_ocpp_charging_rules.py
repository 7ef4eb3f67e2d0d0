"""What smart charging accepts, replaces, clears and keeps.

Source: OCPP 1.6 edition 2, sections 3.13, 5.5, 5.11, 5.16 and 7.8.
"""
# heapsize: 1m

from charging_bench import DAY, DEFAULT, MAX, T0, TX, Site, profile
from cold import cold
from fakes import FakeClock

from ocpp16.ramstore import RamStore

OK, NO = "Accepted", "Rejected"


def relative(number, purpose=DEFAULT, periods="0:16", **more):
    return profile(number, purpose, periods, "Relative", **more)


def installed(site):
    return sorted(row[0] for row in cold("ocpp16.charging_profiles").load(site).values())


# -- what is accepted


def test_place_of_each_purpose():
    site = Site(2)
    site.begin(1)
    for number, purpose, want in (
        (0, MAX, OK),
        (1, MAX, NO),
        (0, DEFAULT, OK),
        (2, DEFAULT, OK),
        (0, TX, NO),
        (1, TX, OK),
        (2, TX, NO),  # no transaction there
        (3, MAX, "PropertyConstraintViolation"),
        (3, DEFAULT, "PropertyConstraintViolation"),
        (3, TX, "PropertyConstraintViolation"),
    ):
        assert site.put(number, profile(1, purpose, "0:16")) == want, (number, purpose)


def test_tx_profile_needs_its_transaction():
    site = Site()
    assert site.put(1, relative(1, TX)) == NO  # TC_058_1
    tx = site.begin(tx_id=77)
    assert site.put(1, relative(1, TX, transactionId=78)) == NO  # TC_058_2
    assert site.put(1, relative(1, TX, transactionId=77)) == OK
    assert site.put(1, relative(2, TX, level=1)) == OK
    tx.reason = "Remote"  # on its way out
    assert site.put(1, relative(3, TX, level=2)) == NO
    site.end()
    tx = site.begin(tx_id=None)  # StartTransaction is not answered yet
    assert site.put(1, relative(4, TX, transactionId=77)) == NO
    assert site.put(1, relative(4, TX)) == OK


def test_transaction_id_of_other_purposes_does_not_matter():
    site = Site()
    assert site.put(0, profile(1, MAX, "0:16", transactionId=5)) == OK
    assert site.put(1, profile(2, DEFAULT, "0:16", transactionId=5)) == OK


def test_kinds():
    site = Site()
    site.begin()
    for purpose in (MAX, DEFAULT, TX):
        of_tx = OK if purpose != MAX else NO
        number = 0 if purpose == MAX else 1
        for kind, start, more, want in (
            ("Absolute", T0, {}, OK),
            ("Absolute", None, {}, of_tx),
            ("Absolute", T0, {"recurrencyKind": "Daily"}, OK),  # ignored
            ("Recurring", T0, {"recurrencyKind": "Daily"}, OK),
            ("Recurring", T0, {"recurrencyKind": "Weekly"}, OK),
            ("Recurring", T0, {}, NO),
            ("Recurring", None, {"recurrencyKind": "Daily"}, NO),
            ("Relative", None, {}, of_tx),
        ):
            got = site.put(number, profile(1, purpose, "0:16", kind, start=start, **more))
            assert got == want, (purpose, kind, start, more, got)
    relative_with_start = relative(1)
    relative_with_start["chargingSchedule"]["startSchedule"] = "2026-01-01T00:00:00Z"
    assert site.put(1, relative_with_start) == OK
    assert installed(site) == [1]


def test_numbers_and_bounds():
    site = Site(ChargingScheduleMaxPeriods="5", ChargeProfileMaxStackLevel="3")
    for periods, want in (
        ("0:16 60:10 120:0", OK),
        ("0:0", OK),
        ("0:16.1", OK),
        ("1:16", NO),  # the first one has to be 0
        ("0:16 0:10", NO),
        ("0:16 60:10 30:8", NO),
        ("0:16 1:1 2:2 3:3 4:4", OK),
        ("0:16 1:1 2:2 3:3 4:4 5:5", NO),
        ("0:-1", NO),
        ("0:16.25", "PropertyConstraintViolation"),
        ("", "OccurenceConstraintViolation"),
    ):
        assert site.put(1, relative(1, periods=periods)) == want, periods
    assert site.put(1, relative(1, level=3)) == OK
    assert site.put(1, relative(1, level=4)) == NO
    assert site.put(1, relative(1, duration=0)) == NO
    assert site.put(1, relative(1, validFrom=T0, validTo=T0 + 1)) == OK
    assert site.put(1, relative(1, validFrom=T0, validTo=T0)) == NO
    assert site.put(1, relative(1, validFrom=T0 + 1, validTo=T0)) == NO
    assert site.put(1, relative(1, unit="V")) == "PropertyConstraintViolation"


def test_rate_units():
    for text, amps, watts in (("Current,Power", OK, OK), ("Power", NO, OK), ("Current", OK, NO)):
        site = Site(ChargingScheduleAllowedChargingRateUnit=text)
        assert site.put(1, relative(1, unit="A")) == amps
        assert site.put(1, relative(2, unit="W", level=1)) == watts
        assert (site.schedule(chargingRateUnit="A") == NO) == (amps == NO)
        assert (site.schedule(chargingRateUnit="W") == NO) == (watts == NO)
        assert site.schedule()[-1] == ("A" if amps == OK else "W")


def test_limits_become_tenths():
    """Single floats (the device's) lie beside the decimal number; whatever the width, nothing is lost or gained."""
    read = cold("ocpp16.charging_check").read
    get = Site().config.get
    for limit, tenths in (
        (7.3, 73),
        (16, 160),
        (0.1, 1),
        (6.9, 69),
        (7.300000190734863, 73),  # the single float nearest to 7.3
        (6.900000095367432, 69),
        (0.30000001192092896, 3),
        (32.099998474121094, 321),
        (22000.5, 220005),
        (99999.8984375, 999999),  # single float of 99999.9
        (1e3, 10000),
        (0.0, 0),
    ):
        p = relative(1)
        p["chargingSchedule"]["chargingSchedulePeriod"][0]["limit"] = limit
        assert read(p, 1, None, get)[11] == [0, tenths], limit
        assert isinstance(read(p, 1, None, get)[11][1], int)


def test_room():
    site = Site(MaxChargingProfilesInstalled="3")
    for level in range(3):
        assert site.put(1, relative(10 + level, level=level)) == OK
    assert site.put(1, relative(13, level=3)) == NO
    assert site.put(1, relative(13, level=2)) == OK  # in the place of 12
    assert site.put(1, relative(11, level=5)) == OK  # same id
    assert installed(site) == [10, 11, 13]
    assert site.clear(id=10) == OK
    assert site.put(0, relative(14, level=0)) == OK


# -- replacing


def test_same_id_replaces_wherever_it_is():
    site = Site(2)
    assert site.put(0, profile(5, MAX, "0:9")) == OK
    assert site.put(2, relative(5, periods="0:7")) == OK
    assert installed(site) == [5]
    assert site.schedule(1) == "0:100 /400 A"
    assert site.schedule(2) == "0:7 /400 A"


def test_same_purpose_level_and_connector_replaces():
    site = Site(2)
    site.put(1, relative(1, level=2))
    site.put(1, relative(2, level=2, periods="0:8"))
    assert installed(site) == [2]
    site.put(1, relative(3, level=1))
    site.put(2, relative(4, level=2))
    site.put(0, relative(5, level=2))
    assert installed(site) == [2, 3, 4, 5]
    site.put(1, relative(3, level=2))  # takes the place of both 3 and 2
    assert installed(site) == [3, 4, 5]
    assert len(site.store.values) == 3


def test_repeated_profile_writes_nothing():
    class Counting(RamStore):
        writes = 0

        def put(self, name, value, urgent=True):
            self.writes += 1
            super().put(name, value, urgent)

    site = Site(store=Counting())
    site.put(1, relative(1, periods="0:7.5 60:8"))
    before = site.store.writes
    assert site.put(1, relative(1, periods="0:7.5 60:8")) == OK and site.store.writes == before
    assert site.put(1, relative(1, periods="0:7.4 60:8")) == OK and site.store.writes == before + 1


def test_replacement_that_starts_later():
    """The old one is gone, the default counts until validFrom."""
    site = Site()
    site.begin()
    site.put(0, relative(1, periods="0:10"))
    site.put(1, relative(2, TX, "0:6"))
    assert site.limit() == (6000, None)
    site.put(1, relative(3, TX, "0:20", validFrom=T0 + 100))
    assert site.limit() == (10_000, None)
    assert site.schedule() == "0:10 100:20 /400 A"


# -- clearing


def stocked():
    site = Site(2)
    site.begin(1)
    site.put(0, profile(1, MAX, "0:9"))
    site.put(0, relative(2))
    site.put(1, relative(3))
    site.put(1, relative(4, level=1))
    site.put(2, relative(5, level=1))
    site.put(1, relative(6, TX, level=1))
    assert installed(site) == [1, 2, 3, 4, 5, 6]
    return site


def test_clear_table():
    for fields, left in (
        ({}, []),
        ({"id": 3}, [1, 2, 4, 5, 6]),
        ({"id": 3, "connectorId": 2, "chargingProfilePurpose": MAX, "stackLevel": 7}, [1, 2, 4, 5, 6]),
        ({"connectorId": 0}, [3, 4, 5, 6]),
        ({"connectorId": 1}, [1, 2, 5]),
        ({"stackLevel": 1}, [1, 2, 3]),
        ({"chargingProfilePurpose": DEFAULT}, [1, 6]),
        ({"chargingProfilePurpose": DEFAULT, "stackLevel": 1}, [1, 2, 3, 6]),
        ({"chargingProfilePurpose": DEFAULT, "stackLevel": 1, "connectorId": 1}, [1, 2, 3, 5, 6]),
        ({"chargingProfilePurpose": TX}, [1, 2, 3, 4, 5]),
        ({"connectorId": 0, "chargingProfilePurpose": DEFAULT}, [1, 3, 4, 5, 6]),
    ):
        site = stocked()
        assert site.clear(**fields) == OK, fields
        assert installed(site) == left, fields
        assert len(site.store.values) == len(left)
        assert site.clear(**fields) == "Unknown", fields


def test_clear_unknown():
    site = stocked()
    for fields in ({"id": 7}, {"connectorId": 9}, {"stackLevel": 3}, {"connectorId": 2, "chargingProfilePurpose": TX}):
        assert site.clear(**fields) == "Unknown", fields
    assert installed(site) == [1, 2, 3, 4, 5, 6]
    assert Site().clear() == "Unknown"


def test_clear_changes_the_running_transaction_at_once():
    site = stocked()
    site.limit()
    site.clear(chargingProfilePurpose=TX)
    site.clear(chargingProfilePurpose=DEFAULT)
    assert site.limit() == (9000, None) and site.pokes >= 2
    site.clear()
    assert site.limit() == (None, None)


# -- ends of transactions, reboots, purge


def test_tx_profiles_end_with_the_transaction():
    site = Site(2)
    site.begin(1)
    site.begin(2)
    site.put(1, relative(1, TX))
    site.put(2, relative(2, TX, "0:5"))
    site.end(1)
    site.begin(1)
    assert site.limit(1) == (None, None)
    assert site.limit(2) == (5000, None)
    assert installed(site) == [2] and len(site.store.values) == 1
    site.end(2)
    assert installed(site) == [] and not site.store.values


def test_reboot_keeps_profiles():
    store = RamStore()
    site = Site(2, store)
    old = site.begin(1)
    site.put(0, profile(1, MAX, "0:9"))
    site.put(1, relative(2, periods="0:7"))
    site.put(1, relative(3, TX, "0:5"))
    again = Site(2, store)
    again.begin(2)
    again.keys = 5
    again.begin(1)
    assert installed(again) == [1, 2]  # the transaction was closed
    assert again.limit(1) == (4500, None) and again.limit(2) == (4500, None)

    site = Site(2, store)
    site.put(0, profile(1, MAX, "0:90"))
    site.connectors[0].transaction = old  # one that goes on after the power cut keeps its profile
    site.put(1, relative(3, TX, "0:5 300:6"))
    resumed = Site(2, store)
    resumed.outbox.boot = 2
    resumed.connectors[0].transaction = old
    assert resumed.limit(1) == (5000, None)
    resumed.clock.advance(300_000)
    assert resumed.limit(1) == (6000, None)  # counted from the real start


def test_purge_of_what_is_over():
    site = Site()
    site.put(0, profile(1, MAX, "0:9", duration=100))
    site.put(1, relative(2, validTo=T0 + 200))
    site.put(1, profile(3, DEFAULT, "0:9", "Recurring", level=1, duration=100, recurrencyKind="Daily"))
    site.put(1, relative(4, duration=100, level=2))
    for ms, left in (
        (99_000, [1, 2, 3, 4]),
        (1000, [2, 3, 4]),
        (99_000, [2, 3, 4]),
        (1000, [3, 4]),
        (DAY * 1000, [3, 4]),
    ):
        site.clock.advance(ms)
        assert installed(site) == left, (ms, installed(site))
    assert len(site.store.values) == 2


def test_purge_on_a_storage_that_fails():
    """What is over does not count, though it cannot be deleted; charging goes on."""

    class Broken(RamStore):
        broken = False

        def put(self, name, value, urgent=True):
            if self.broken:
                raise OSError(5)
            super().put(name, value, urgent)

    site = Site(store=Broken())
    site.begin()
    site.put(0, profile(1, MAX, "0:9", duration=100))
    site.put(1, relative(2, periods="0:20"))
    site.store.broken = True
    site.clock.advance(100_000)
    assert site.limit() == (20_000, None) and installed(site) == [2] and site.log.lines
    try:
        site.clear()
        assert False
    except OSError:
        assert site.limit() == (20_000, None)


def test_no_purge_by_date_without_a_clock():
    store = RamStore()
    Site(store=store).put(0, profile(1, MAX, "0:9", duration=1))
    blind = Site(store=store, timed=False)
    assert installed(blind) == [1]
    blind.clock.set_utc(T0 + 10)
    assert installed(blind) == []


def test_unreadable_records_are_dropped():
    store = RamStore()
    store.put("profile0", {"some": "thing"})
    store.put("profile1", [1, 2])
    site = Site(store=store)
    assert site.put(1, relative(1)) == OK
    assert list(store.values) == ["profile0"] and len(site.log.lines) == 2


def test_power_cut_between_two_writes():
    """One profile that takes the place of two: whichever writes arrived, the next request puts it right."""

    class Cut(RamStore):
        left = 1000

        def put(self, name, value, urgent=True):
            if not self.left:
                raise OSError(5)
            self.left -= 1
            super().put(name, value, urgent)

    for writes in range(3):
        store = Cut()
        site = Site(store=store)
        site.put(1, relative(1, level=1))
        site.put(1, relative(2, level=2))
        store.left = writes
        assert site.put(1, relative(1, level=2, periods="0:5")) == (OK if writes == 2 else NO)
        assert writes == 2 or site.log.lines
        store.left = 1000
        site = Site(store=store)
        assert set(installed(site)) <= {1, 2}
        assert site.put(1, relative(1, level=2, periods="0:5")) == OK
        assert installed(site) == [1] and site.schedule() == "0:5 /400 A"


# -- with RemoteStartTransaction


def start_profile(site, p):
    return cold("ocpp16.profiles.smart_charging").start_profile(site, p)


def test_profile_of_a_remote_start():
    """TC_059."""
    site = Site(2)
    row = start_profile(site, relative(9, TX, "0:6 60:10", duration=300))
    assert row is not None and installed(site) == []  # kept aside
    site.clock.advance(50_000)
    tx = site.begin(2, row)
    assert site.limit(2) == (6000, None)
    assert site.schedule(2) == "0:6 60:10 300:100 /400 A"
    assert site.schedule(1) == "0:100 /400 A"
    assert site.put(2, relative(10, TX, "0:8", transactionId=tx.id)) == OK  # same level: replaces
    assert installed(site) == [10]
    assert site.put(2, relative(11, TX, "0:7", transactionId=tx.id, level=1)) == OK
    assert installed(site) == [10, 11] and site.limit(2) == (7000, None)
    site.end(2)
    site.begin(2)
    assert site.limit(2) == (None, None)  # nothing for the next one


def test_bad_profiles_of_a_remote_start():
    site = Site(MaxChargingProfilesInstalled="1")
    for bad in (
        relative(1, MAX),  # TC_060
        relative(1, DEFAULT),
        relative(1, TX, transactionId=5),
        relative(1, TX, "3:6"),
        relative(1, TX, level=9),
    ):
        assert start_profile(site, bad) is None
    assert start_profile(site, relative(1, TX)) is not None
    site.put(0, relative(2))
    assert start_profile(site, relative(1, TX)) is None  # full


def test_promised_profile_has_room():
    site = Site(MaxChargingProfilesInstalled="1")
    row = start_profile(site, relative(1, TX, "0:6"))
    site.put(0, relative(2))
    site.begin(1, row)
    assert installed(site) == [1, 2] and site.limit() == (6000, None)
    assert installed(Site(store=site.store, MaxChargingProfilesInstalled="1")) == [2]


def test_start_whose_profile_cannot_be_stored():
    """The engine hears of it, and tries again: no start without the promised limit."""

    class Full(RamStore):
        full = False

        def put(self, name, value, urgent=True):
            if self.full:
                raise OSError(28)
            super().put(name, value, urgent)

    site = Site(store=Full())
    row = start_profile(site, relative(1, TX, "0:6"))
    site.store.full = True
    try:
        site.begin(1, row)
        assert False
    except OSError:
        pass
    assert installed(site) == [] and site.connectors[0].transaction is None
    site.store.full = False
    site.begin(1, row)
    assert site.limit() == (6000, None)


def test_without_profiles_nothing_is_loaded():
    site = Site(clock=FakeClock())
    site.begin()
    assert site.limit() == (None, None)
    site.charging.slots = 0
    site.store = None  # would raise
    site.charging.changed()
    site.clock.advance(10 * DAY * 1000)
    assert site.limit() == (None, None)
