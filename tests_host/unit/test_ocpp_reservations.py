"""Reservations: the tables of ReserveNow and who may start, and their course in the engine."""
# heapsize: 2m
# timeout: 120

import asyncio
import binascii
import os

from cold import cold
from fakes import FakeClock, virtual_run
from scripted_csms import T0, Bench, run_life

from ocpp16.journal_store import JournalStore
from ocpp16.ramstore import RamStore
from ocpp16.timestamp import format_utc

R = cold("ocpp16.reservations")
NOW = 1_769_000_000
FREE = "Available"


def row(number, connector, tag="TAG", parent=None, expiry=NOW + 100, made=NOW):
    return [number, connector, tag, parent, expiry, made]


# -- pure


def test_who_matches():
    for reserved_tag, reserved_parent, tag, parent, want, maybe in (
        ("TAG", None, "tag", None, True, True),
        ("TAG", None, "OTHER", None, False, False),
        ("TAG", None, "OTHER", "G", False, False),
        ("TAG", "G", "OTHER", "g", True, True),
        ("TAG", "G", "OTHER", "H", False, True),
        ("TAG", "G", "OTHER", None, False, True),
        ("TAG", "G", "G", None, False, True),  # the parent's own text is no member
        ("TAG", "G", "TAG", "H", True, True),
    ):
        one = row(1, 1, reserved_tag, reserved_parent)
        assert R.matches(one, tag, parent) is want, (one, tag, parent)
        assert R.matches(one, tag, parent, False) is maybe, (one, tag, parent)


JUDGED = """
one connector, connector 1
Available      -        1  Accepted
Reserved       -        1  Accepted
Preparing      -        1  Occupied
Charging       -        1  Occupied
SuspendedEV    -        1  Occupied
SuspendedEVSE  -        1  Occupied
Finishing      -        1  Occupied
Faulted        -        1  Faulted
Unavailable    -        1  Unavailable
Reserved       1        1  Occupied
Reserved       0        1  Occupied
one connector, connector 0
Available      -        0  Accepted
Preparing      -        0  Occupied
Finishing      -        0  Occupied
Faulted        -        0  Faulted
Unavailable    -        0  Unavailable
Reserved       0        0  Occupied
Reserved       1        0  Occupied
two connectors
Available,Available      -    0  Accepted
Available,Available      0    0  Accepted
Available,Available      0,0  0  Occupied
Available,Reserved       2    0  Accepted
Reserved,Reserved        1,0  0  Occupied
Available,Charging       -    0  Accepted
Available,Charging       0    0  Occupied
Available,Faulted        -    0  Accepted
Charging,Faulted         -    0  Occupied
Faulted,Unavailable      -    0  Unavailable
Unavailable,Faulted      -    0  Unavailable
Faulted,Faulted          -    0  Faulted
Unavailable,Finishing    -    0  Occupied
Available,Available      0    2  Accepted
Available,Available      0,0  2  Occupied
Available,Charging       0    1  Occupied
Available,Reserved       2    1  Accepted
Available,Reserved       2    2  Occupied
Available,Available      -    3  Rejected
"""


def test_reserve_now_judged():
    count = 0
    for line in JUDGED.strip().split("\n"):
        words = line.split()
        if len(words) != 4 or words[2] not in "0123":
            continue
        states, others, connector, want = words
        rows = [] if others == "-" else [row(10 + n, int(c)) for n, c in enumerate(others.split(","))]
        got = R.judge(states.split(","), rows, row(1, int(connector)), NOW, True)
        assert got == want, (line, got)
        count += 1
    assert count == 37, count


def test_reserve_now_rejected():
    assert R.judge([FREE], [], row(1, 1, expiry=NOW), NOW, True) == "Rejected"
    assert R.judge([FREE], [], row(1, 1, expiry=NOW + 1), NOW, True) == "Accepted"
    assert R.judge([FREE], [], row(1, 1), None, True) == "Rejected"  # what is "past", without a clock?
    assert R.judge([FREE], [], row(1, 0), NOW, False) == "Rejected"
    assert R.judge([FREE], [], row(1, 1), NOW, False) == "Accepted"


def brute_kept(usable, rows):
    """Who is kept, in other words: connector n is kept if, were somebody else to take it, a promise would break."""
    own = [r[1] for r in rows if r[1]]
    zeros = len(rows) - len(own)
    kept = set(own)
    for n in usable:
        left = [m for m in usable if m != n and m not in own]
        if zeros and len(left) < zeros:
            kept.add(n)
    return kept


def test_kept_connectors_in_every_combination():
    kinds = (0, 1, 2, 3)
    count = 0
    for usable_bits in range(8):
        usable = [n + 1 for n in range(3) if usable_bits >> n & 1]
        for a in range(4**3):
            wanted = [kinds[a // 4**i % 4] for i in range(3)]
            for size in range(4):
                rows = [row(i, c) for i, c in enumerate(wanted[:size])]
                own = [r[1] for r in rows if r[1]]
                if len(set(own)) < len(own):
                    continue
                assert set(R.kept(usable, rows)) == brute_kept(usable, rows), (usable, rows)
                count += 1
    assert count > 1000


# -- the engine

FOLDER = "/tmp/reserve-" + str(binascii.hexlify(os.urandom(6)), "utf-8")
PROFILES = ("core", "local_auth", "reservation")


def teardown():
    if FOLDER[5:] in [entry[0] for entry in os.ilistdir("/tmp")]:
        for name in os.listdir(FOLDER):
            os.remove(FOLDER + "/" + name)
        os.rmdir(FOLDER)


def make(clock, store=None, **options):
    bench = Bench(
        clock,
        store=store or RamStore(),
        profiles=PROFILES,
        **options,
    )
    bench.cp.restore()
    return bench


def run(scenario, **options):
    async def online(bench):
        bench.start()
        await bench.until(lambda: bench.csms.story().count("Available") == len(bench.evses))
        await scenario(bench)

    run_life(online, make=make, **options)
    teardown()


async def pause(ms=1000):
    await asyncio.sleep_ms(ms)


async def call(b, action, payload):
    return (await b.ask(action, payload))["status"]


async def reserve(b, number=1, connector=1, tag="TAG1", seconds=600, parent=None):
    payload = {
        "connectorId": connector,
        "expiryDate": format_utc(b.clock.utc() + seconds),
        "idTag": tag,
        "reservationId": number,
    }
    if parent:
        payload["parentIdTag"] = parent
    return await call(b, "ReserveNow", payload)


async def reserved(b, **what):
    assert await reserve(b, **what) == "Accepted"
    await b.until(lambda: b.csms.story()[-1] == "Reserved")
    b.csms.seen.clear()


def statuses(b, connector=1):
    return [s["status"] for s in b.csms.calls("StatusNotification") if s["connectorId"] == connector]


def status(connector):
    return connector.derive(connector.cp.clock.uptime_ms())[0]


def groups(payload):
    parents = {"TAG1": "FAMILY", "TAG2": "FAMILY", "TAG3": "OTHERS"}
    info = {"status": "Accepted"}
    if payload["idTag"] in parents:
        info["parentIdTag"] = parents[payload["idTag"]]
    return {"idTagInfo": info}


def test_reserved_tag_starts_others_do_not():  # TC_046_1
    async def scenario(b):
        await reserved(b)
        b.evse.is_plugged = True  # somebody plugs in: nothing changes until the tag fits
        await pause()
        b.cp.swipe("TAG2")
        await pause(3000)
        assert statuses(b) == [] and b.csms.calls("Authorize") == [] and b.connector.transaction is None
        b.evse.is_plugged = False
        await pause()
        b.cp.swipe("tag1")
        await b.until(lambda: statuses(b) == ["Preparing"])
        b.evse.is_plugged = True
        await b.until(lambda: statuses(b) == ["Preparing", "Charging"])
        assert b.csms.calls("StartTransaction")[0]["reservationId"] == 1
        b.cp.swipe("TAG1")
        await b.until(lambda: statuses(b)[-1] == "Finishing")
        b.evse.is_plugged = False
        await b.until(lambda: statuses(b)[-1] == "Available")
        b.csms.seen.clear()
        b.evse.is_plugged = True
        await pause()
        b.cp.swipe("TAG2")  # used up
        await b.until(lambda: b.csms.calls("StartTransaction"))
        assert "reservationId" not in b.csms.calls("StartTransaction")[0]

    run(scenario)


def test_remote_start_on_a_reserved_connector():  # TC_046_2, 6.7
    async def scenario(b):
        await reserved(b)
        assert await call(b, "RemoteStartTransaction", {"idTag": "TAG2", "connectorId": 1}) == "Rejected"
        assert await call(b, "RemoteStartTransaction", {"idTag": "TAG2"}) == "Rejected"
        assert await call(b, "RemoteStartTransaction", {"idTag": "TAG1", "connectorId": 1}) == "Accepted"
        await b.until(lambda: statuses(b) == ["Preparing"])
        b.evse.is_plugged = True
        await b.until(lambda: b.csms.calls("StartTransaction"))
        assert b.csms.calls("StartTransaction")[0]["reservationId"] == 1
        assert b.csms.calls("Authorize") == []

    run(scenario)


def test_claim_that_runs_out_leaves_the_reservation():
    async def scenario(b):
        await reserved(b)
        b.cp.swipe("TAG1")
        await b.until(lambda: statuses(b) == ["Preparing", "Reserved"], 70_000)

    run(scenario)


def test_expires():  # TC_047
    async def scenario(b):
        await reserved(b, seconds=30)
        asked = b.clock.uptime_ms()
        await b.until(lambda: statuses(b) == ["Available"])
        assert 29_000 <= b.clock.uptime_ms() - asked <= 31_100
        assert b.store.get("reservations") is None and b.cp.reserved_until is None
        b.cp.swipe("TAG2")
        b.evse.is_plugged = True
        await b.until(lambda: b.csms.calls("StartTransaction"))
        assert "reservationId" not in b.csms.calls("StartTransaction")[0]

    run(scenario)


def test_expires_offline_and_is_told_afterwards():
    async def scenario(b):
        await reserved(b, seconds=30)
        b.csms.listening = False
        b.csms.drop()
        await pause(31_500)
        assert status(b.connector) == "Available" and b.cp.reserved == ()
        b.csms.listening = True
        await b.until(lambda: statuses(b), 600_000)
        assert statuses(b) == ["Available"]

    run(scenario)


def test_statuses_of_reserve_now():  # TC_048, TC_052
    async def scenario(b):
        assert await reserve(b, seconds=-5) == "Rejected"
        assert await reserve(b, connector=2) == "Rejected"
        b.evse.is_plugged = True
        await pause()
        assert await reserve(b) == "Occupied"
        b.evse.failure = ("OtherError", "", "")
        await pause()
        assert await reserve(b) == "Faulted" and await reserve(b, connector=0) == "Faulted"
        b.evse.failure = None
        b.evse.is_plugged = False
        await pause()
        assert await call(b, "CancelReservation", {"reservationId": 1}) == "Rejected"
        assert await reserve(b) == "Accepted"
        assert await reserve(b, number=2) == "Occupied" and await reserve(b, number=2, connector=0) == "Occupied"
        assert await reserve(b, number=1, tag="TAG2", connector=0) == "Accepted"  # the same id: replaced
        assert [r[:3] for r in b.store.get("reservations")] == [[1, 0, "TAG2"]]
        assert await call(b, "CancelReservation", {"reservationId": 2}) == "Rejected"
        assert status(b.connector) == "Reserved"

    run(scenario)


def test_connector_zero_switched_off():
    async def scenario(b):
        assert await reserve(b, connector=0) == "Rejected"
        assert await reserve(b, connector=1) == "Accepted"

    run(scenario, config={"ReserveConnectorZeroSupported": "false"})


def test_cancel():  # TC_051
    async def scenario(b):
        await reserved(b)
        assert await call(b, "CancelReservation", {"reservationId": 1}) == "Accepted"
        await b.until(lambda: statuses(b) == ["Available"])
        assert b.store.get("reservations") is None
        b.evse.is_plugged = True
        await pause()
        b.cp.swipe("TAG1")
        await b.until(lambda: b.csms.calls("StartTransaction"))
        assert "reservationId" not in b.csms.calls("StartTransaction")[0]

    run(scenario)


def test_connector_zero_with_one_connector():  # TC_049
    async def scenario(b):
        await reserved(b, connector=0)
        assert b.cp.reserved == (1,)
        b.cp.swipe("TAG2")
        await pause()
        assert b.csms.calls("Authorize") == []
        b.evse.is_plugged = True
        b.cp.swipe("TAG1")
        await b.until(lambda: b.csms.calls("StartTransaction"))
        assert b.csms.calls("StartTransaction")[0]["reservationId"] == 1

    run(scenario)


def test_another_tag_of_the_group():  # TC_053
    async def scenario(b):
        b.csms.answers["Authorize"] = groups
        await reserved(b, parent="FAMILY")
        for tag in ("TAG3", "TAG4"):
            b.cp.swipe(tag)
            await pause(2000)
            assert b.csms.calls("Authorize")[-1] == {"idTag": tag} and statuses(b) == []
        b.cp.swipe("TAG2")
        await b.until(lambda: statuses(b) == ["Preparing"])
        b.evse.is_plugged = True
        await b.until(lambda: b.csms.calls("StartTransaction"))
        start = b.csms.calls("StartTransaction")[0]
        assert start["reservationId"] == 1 and start["idTag"] == "TAG2"

    run(scenario)


def test_remote_start_of_the_group_asks_even_if_not_configured():
    async def scenario(b):
        b.csms.answers["Authorize"] = groups
        await reserved(b, parent="FAMILY")
        assert await call(b, "RemoteStartTransaction", {"idTag": "TAG3", "connectorId": 1}) == "Accepted"
        await pause(2000)
        assert b.csms.calls("Authorize") == [{"idTag": "TAG3"}] and statuses(b) == []
        assert await call(b, "RemoteStartTransaction", {"idTag": "TAG2", "connectorId": 1}) == "Accepted"
        await b.until(lambda: statuses(b) == ["Preparing"])
        b.evse.is_plugged = True
        await b.until(lambda: b.csms.calls("StartTransaction"))
        assert b.csms.calls("StartTransaction")[0]["reservationId"] == 1

    run(scenario)


def test_group_from_list_or_cache_is_known_at_once():
    async def scenario(b):
        b.csms.answers["Authorize"] = groups
        for tag in ("TAG2", "TAG3"):  # now they are in the cache, with their groups
            b.cp.swipe(tag)
            await b.until(lambda: statuses(b)[-1] == "Preparing")
            await pause(3000)
            b.cp.swipe(tag)
            await b.until(lambda: statuses(b)[-1] == "Available")
        await reserved(b, parent="family")
        assert await call(b, "RemoteStartTransaction", {"idTag": "TAG3", "connectorId": 1}) == "Rejected"
        b.csms.listening = False
        b.csms.drop()
        await pause()
        b.evse.is_plugged = True
        for tag in ("TAG3", "TAG9"):
            b.cp.swipe(tag)
            await pause()
            assert b.connector.transaction is None
        b.cp.swipe("TAG2")
        await b.until(lambda: b.connector.transaction is not None)
        b.csms.listening = True
        await b.until(lambda: b.csms.calls("StartTransaction"), 600_000)
        assert b.csms.calls("StartTransaction")[0]["reservationId"] == 1

    config = {"LocalPreAuthorize": "true", "AllowOfflineTxForUnknownId": "true"}
    run(scenario, store=JournalStore(FOLDER, FakeClock()), config=config)


def test_fault_ends_the_reservation():
    async def scenario(b):
        await reserved(b)
        b.evse.failure = ("OtherError", "", "")
        await b.until(lambda: statuses(b) == ["Faulted"])
        b.evse.failure = None
        await b.until(lambda: statuses(b) == ["Faulted", "Available"])
        assert b.store.get("reservations") is None

    run(scenario)


def test_two_connectors_and_connector_zero():
    async def scenario(b):
        one, two = b.cp.connectors
        assert await reserve(b, connector=0) == "Accepted"
        await pause()
        assert b.cp.reserved == () and status(one) == status(two) == "Available"  # one more than promised
        b.evses[1].is_plugged = True
        b.cp.swipe("TAG2", 2)
        await b.until(lambda: b.csms.calls("StartTransaction"))
        assert "reservationId" not in b.csms.calls("StartTransaction")[0]
        await b.until(lambda: status(one) == "Reserved" and statuses(b, 1)[-1] == "Reserved")
        b.cp.swipe("TAG3")
        b.cp.swipe("TAG3", 1)
        await pause()
        assert one.id_tag is None
        two.stop("Local")
        await b.until(lambda: two.transaction is None)
        b.evses[1].is_plugged = False
        await b.until(lambda: status(one) == status(two) == "Available")
        b.cp.swipe("TAG3")  # one may be claimed, the other is kept
        await b.until(lambda: "Reserved" in (status(one), status(two)))
        assert {status(one), status(two)} == {"Reserved", "Preparing"}
        kept = one if status(one) == "Reserved" else two
        b.cp.swipe("TAG1")
        await b.until(lambda: kept.id_tag is not None)
        assert kept.id_tag == "TAG1"
        b.evses[kept.id - 1].is_plugged = True
        await b.until(lambda: len(b.csms.calls("StartTransaction")) == 2)
        assert b.csms.calls("StartTransaction")[1]["reservationId"] == 1
        assert b.csms.calls("StartTransaction")[1]["connectorId"] == kept.id

    run(scenario, connectors=2)


def test_owner_of_connector_zero_is_at_his_connector():
    async def scenario(b):
        one, two = b.cp.connectors
        assert await reserve(b, connector=0) == "Accepted"
        b.cp.swipe("TAG1", 2)
        await b.until(lambda: status(two) == "Preparing")
        await pause()
        assert b.cp.reserved == (2,) and status(one) == "Available"
        assert await reserve(b, number=2, connector=1, tag="TAG2") == "Accepted"
        await b.until(lambda: status(one) == "Reserved")
        b.cp.swipe("TAG3", 1)
        await pause()
        assert one.id_tag is None
        b.evses[1].is_plugged = True
        await b.until(lambda: b.csms.calls("StartTransaction"))
        assert b.csms.calls("StartTransaction")[0]["reservationId"] == 1
        assert status(one) == "Reserved" and [r[0] for r in b.store.get("reservations")] == [2]

    run(scenario, connectors=2)


def test_reserved_connector_is_chosen_for_its_tag():
    async def scenario(b):
        assert await reserve(b, connector=2) == "Accepted"
        b.evses[0].is_plugged = True  # a stranger's vehicle
        await pause()
        b.cp.swipe("TAG1")
        await pause()
        assert b.cp.connectors[1].id_tag is not None and b.cp.connectors[0].transaction is None
        assert await reserve(b, number=3, connector=2, tag="TAG3") == "Occupied"

    run(scenario, connectors=2)


def test_restart_keeps_what_has_not_expired():
    store = RamStore()

    async def first(clock):
        b = make(clock, store=store, connectors=2)
        b.start()
        await b.until(lambda: b.csms.story().count("Available") == 2)
        assert await reserve(b, number=1, connector=1, seconds=100) == "Accepted"
        assert await reserve(b, number=2, connector=2, seconds=1000, tag="TAG2", parent="G") == "Accepted"
        await b.end()

    async def second(clock):
        b = make(clock, store=store, connectors=2)
        later = {"status": "Accepted", "currentTime": format_utc(T0 + 200), "interval": 300}
        b.csms.answers["BootNotification"] = later
        for evse in b.evses:
            evse.failure = ("OtherError", "", "")  # not yet heard of: ends nothing before the first look
        assert b.cp.reserved == (1, 2)  # the time is not known yet
        for evse in b.evses:
            evse.failure = None
        b.start()
        await b.until(lambda: "Reserved" in statuses(b, 2))
        await b.until(lambda: statuses(b, 1)[-1:] == ["Available"])
        assert [r[:4] for r in store.get("reservations")] == [[2, 2, "TAG2", "G"]]
        await b.end()

    virtual_run(first)
    virtual_run(second)


def test_without_a_clock_a_reservation_ends_all_the_same():
    store = RamStore()
    store.put("reservations", [row(1, 1, expiry=NOW + 60, made=NOW)])

    async def main(clock):
        b = make(clock, store=store)
        b.csms.listening = False
        b.start()
        await pause(50_000)
        assert b.cp.reserved == (1,) and status(b.connector) == "Reserved" and b.clock.utc() is None
        await pause(12_000)
        assert b.cp.reserved == () and status(b.connector) == "Available" and store.get("reservations") is None
        await b.end()

    virtual_run(main)


class Broken(RamStore):
    """A store that cannot write reservations."""

    broken = False

    def put(self, name, value, urgent=True):
        if self.broken and name == "reservations":
            raise OSError(28)
        super().put(name, value, urgent)


def test_storage_that_fails():
    async def scenario(b):
        b.store.broken = True
        assert await reserve(b) == "Rejected" and b.cp.reserved == ()
        b.store.broken = False
        await reserved(b)
        b.store.broken = True
        assert await call(b, "CancelReservation", {"reservationId": 1}) == "Rejected"
        b.evse.is_plugged = True
        await pause()
        b.cp.swipe("TAG1")
        await b.until(lambda: b.evse.permitted)
        assert b.csms.calls("StartTransaction")[0]["reservationId"] == 1

    run(scenario, store=Broken())
