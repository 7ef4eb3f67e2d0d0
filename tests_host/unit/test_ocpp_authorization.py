"""Who may charge: the decision tables, and what a tag does in the engine with a scripted central system."""
# heapsize: 2m
# timeout: 180

import asyncio
import binascii
import os

from cold import cold
from scripted_csms import T0, Bench, run_life

from ocpp16.journal_store import JournalStore

A = cold("ocpp16.authorization")
PARSE = cold("ocpp16.timeparse").parse
NAMES = {A.ACCEPT: "accept", A.REFUSE: "refuse", A.ASK: "ask"}
NOW = 1_769_000_000
KEYS = (
    "LocalAuthListEnabled",
    "AuthorizationCacheEnabled",
    "LocalPreAuthorize",
    "LocalAuthorizeOffline",
    "AllowOfflineTxForUnknownId",
)


# -- the decision of one tag

# Written from the specification's words, one line for each situation: what is known of the tag, then for each setting
# of the keys that matter what happens online and offline. The first line that fits counts.
#   known: list/cache + good, bad, ended (expiry in the past), dated (expiry to come, clock not set), none
#   keys:  + set, - not set, . whatever; order LocalPreAuthorize LocalAuthorizeOffline AllowOfflineTxForUnknownId
TABLE = """
good  +.. accept *
good  -.. ask    *
good  .+. *      accept
good  .-. *      refuse
bad   ... ask    refuse
none  ..+ ask    accept
none  ..- ask    refuse
"""


def expected(listed, cached, online, now, keys):
    """The same decision, from TABLE."""
    kind = "none"
    for store, entry, key in (("list", listed, KEYS[0]), ("cache", cached, KEYS[1])):
        if kind == "none" and entry is not None and keys[key]:
            good = entry[0] == "Accepted" or (store == "list" and entry[0] == "ConcurrentTx")
            if entry[1] is not None and (now is None or entry[1] <= now):
                good = False
            kind = "good" if good else "bad"
    for line in TABLE.strip().split("\n"):
        row, marks, on, off = line.split()
        fits = row == kind
        for mark, key in zip(marks, KEYS[2:]):
            fits = fits and (mark == "." or (mark == "+") == keys[key])
        answer = on if online else off
        if fits and answer != "*":
            return answer
    raise AssertionError("no line")


ENTRIES = [None]
for _status in ("Accepted", "Blocked", "Expired", "Invalid", "ConcurrentTx"):
    for _expiry in (None, NOW - 1, NOW, NOW + 1):
        ENTRIES.append((_status, _expiry, "GROUP"))


def test_every_combination_against_the_second_table():
    count = 0
    counts = {"accept": 0, "refuse": 0, "ask": 0}
    for bits in range(32):
        keys = {name: bool(bits >> n & 1) for n, name in enumerate(KEYS)}
        for listed in ENTRIES:
            for cached in ENTRIES if bits & 3 == 3 else (None, ENTRIES[1], ENTRIES[7]):
                for online in (False, True):
                    for now in (None, NOW):
                        verdict, parent = A.decide(listed, cached, online, now, keys.get)
                        want = expected(listed, cached, online, now, keys)
                        assert NAMES[verdict] == want, (listed, cached, online, now, keys, NAMES[verdict], want)
                        assert parent is None or verdict == A.ACCEPT
                        counts[want] += 1
                        count += 1
    assert count > 15_000 and min(counts.values()) > 1000, counts


def test_keys_that_do_not_exist_are_functions_that_do_not_exist():
    def nothing(key, default):
        return default

    good = ("Accepted", None, None)
    assert A.decide(good, good, False, NOW, nothing) == (A.REFUSE, None)
    assert A.decide(good, good, True, NOW, nothing) == (A.ASK, None)
    only_list = {"LocalAuthListEnabled": True}
    assert A.decide(good, None, False, NOW, only_list.get) == (A.ACCEPT, None)


def test_parent_comes_from_what_decided():
    keys = {name: True for name in KEYS}
    listed, cached = ("Accepted", None, "LIST"), ("Accepted", None, "CACHE")
    assert A.decide(listed, cached, True, NOW, keys.get) == (A.ACCEPT, "LIST")
    assert A.decide(None, cached, True, NOW, keys.get) == (A.ACCEPT, "CACHE")
    assert A.decide(None, None, False, NOW, keys.get) == (A.ACCEPT, None)
    keys["LocalAuthListEnabled"] = False
    assert A.decide(listed, cached, False, NOW, keys.get) == (A.ACCEPT, "CACHE")


def test_stopping_with_a_tag():
    for tx_tag, parent, tag, want in (
        ("TAG", None, "TAG", A.ACCEPT),
        ("TAG", "G", "tag", A.ACCEPT),
        ("TAG", None, "OTHER", A.REFUSE),
        ("TAG", "G", "OTHER", A.ASK),
        ("TAG", "G", "G", A.ASK),  # the parent's text presented as a tag is no match by itself
    ):
        assert A.may_stop(tx_tag, parent, tag) == want
    assert A.same("Gr", "gR") and not A.same(None, None) and not A.same("G", None) and not A.same(None, "G")


def test_contradictions():
    for entry, status, now, want in (
        (("Accepted", None, None), "Accepted", NOW, False),
        (("Accepted", None, None), "ConcurrentTx", NOW, False),
        (("Accepted", None, None), "Invalid", NOW, True),
        (("Blocked", None, None), "Accepted", NOW, True),
        (("Blocked", None, None), "Expired", NOW, False),
        (("Accepted", NOW - 1, None), "Expired", NOW, False),
        (("Accepted", NOW - 1, None), "Accepted", NOW, True),
        (("Accepted", NOW - 1, None), "Accepted", None, False),
        (("ConcurrentTx", None, None), "Accepted", NOW, False),
    ):
        assert A.contradicts(entry, status, now) is want, (entry, status)


def test_entries_from_the_wire():
    assert A.entry_of({"status": "Accepted"}, PARSE) == ["Accepted", None, None]
    info = {"status": "Blocked", "expiryDate": "2026-01-21T13:53:20+01:00", "parentIdTag": "P"}
    assert A.entry_of(info, PARSE) == ["Blocked", T0, "P"]
    try:
        A.entry_of({"status": "Accepted", "expiryDate": "tomorrow"}, PARSE)
    except ValueError:
        return
    raise AssertionError("taken")


# -- the engine

FOLDER = "/tmp/tags-" + str(binascii.hexlify(os.urandom(6)), "utf-8")
PROFILES = ("core", "local_auth", "reservation")


def teardown():
    if FOLDER[5:] in [entry[0] for entry in os.ilistdir("/tmp")]:
        for name in os.listdir(FOLDER):
            os.remove(FOLDER + "/" + name)
        os.rmdir(FOLDER)


def make(clock, **options):
    bench = Bench(clock, store=JournalStore(FOLDER, clock), profiles=PROFILES, **options)
    bench.cp.restore()
    return bench


def run(scenario, **options):
    run_life(scenario, make=make, **options)


async def send_list(b, version, rows, kind="Full"):
    """rows -- (id tag, status, parent)"""
    entries = []
    for id_tag, status, parent in rows:
        info = {"status": status}
        if parent:
            info["parentIdTag"] = parent
        entries.append({"idTag": id_tag, "idTagInfo": info})
    payload = {"listVersion": version, "updateType": kind, "localAuthorizationList": entries}
    assert await b.ask("SendLocalList", payload) == {"status": "Accepted"}


async def pause(ms=1000):
    await asyncio.sleep_ms(ms)


async def session(b, id_tag="TAG1", answers=None):
    """A whole session of a tag, so that the central system said something about it."""
    b.evse.is_plugged = True
    await pause()
    b.cp.swipe(id_tag)
    await b.until(lambda: b.connector.transaction is not None)
    await pause(5000)
    b.cp.swipe(id_tag)
    await b.until(lambda: b.connector.transaction is None)
    b.evse.is_plugged = False
    await b.until(lambda: b.csms.story()[-1] == "Available")
    b.csms.seen.clear()


def starts(b):
    return [payload["idTag"] for payload in b.csms.calls("StartTransaction")]


def asked(b):
    return [payload["idTag"] for payload in b.csms.calls("Authorize")]


def test_plug_first_and_tag_first():  # TC_003, TC_004_1
    async def scenario(b):
        await b.online()
        b.evse.is_plugged = True
        await pause()
        b.cp.swipe("TAG1")
        await b.until(lambda: "Charging" in b.csms.story())
        assert asked(b) == ["TAG1"] and starts(b) == ["TAG1"]
        b.cp.swipe("tag1")
        await b.until(lambda: b.csms.calls("StopTransaction"))
        assert b.csms.calls("StopTransaction")[0]["reason"] == "Local"
        b.evse.is_plugged = False
        await b.until(lambda: b.csms.story()[-1] == "Available")
        b.csms.seen.clear()
        b.cp.swipe("TAG2")
        await b.until(lambda: "Preparing" in b.csms.story())
        b.evse.is_plugged = True
        await b.until(lambda: "Charging" in b.csms.story())
        assert asked(b) == ["TAG2"] and starts(b) == ["TAG2"]

    run(scenario, config={"AuthorizationCacheEnabled": "false"})


def test_invalid_tag_starts_nothing():  # TC_023
    for status in ("Invalid", "Expired", "Blocked", "ConcurrentTx"):

        async def scenario(b):
            b.csms.answers["Authorize"] = {"idTagInfo": {"status": status}}
            await b.online()
            b.evse.is_plugged = True
            await pause()
            b.cp.swipe("TAG1")
            await b.until(lambda: asked(b))
            await pause(10_000)
            assert starts(b) == [] and b.csms.story()[-1] == "Authorize" and "Preparing" in b.csms.story()

        run(scenario)
        teardown()


def test_cached_tag_is_not_asked_for_again_and_clear_cache():  # TC_007, TC_061
    async def scenario(b):
        await b.online()
        await session(b)
        b.evse.is_plugged = True
        await pause()
        assert await b.ask("RemoteStartTransaction", {"idTag": "tag1", "connectorId": 1}) == {"status": "Accepted"}
        await b.until(lambda: "Charging" in b.csms.story())
        assert asked(b) == [] and starts(b) == ["tag1"]
        b.connector.stop("Local")
        await b.until(lambda: b.connector.transaction is None)
        b.evse.is_plugged = False
        await b.until(lambda: b.csms.story()[-1] == "Available")
        assert await b.ask("ClearCache", {}) == {"status": "Accepted"}
        b.cp.swipe("TAG1")
        await b.until(lambda: asked(b) == ["TAG1"])
        await b.ask("ChangeConfiguration", {"key": "AuthorizationCacheEnabled", "value": "false"})
        assert await b.ask("ClearCache", {}) == {"status": "Rejected"}

    run(scenario, config={"LocalPreAuthorize": "true", "AuthorizeRemoteTxRequests": "true"})


def test_listed_tag_is_not_asked_for():  # TC_008
    async def scenario(b):
        await b.online()
        assert await b.ask("GetLocalListVersion", {}) == {"listVersion": 0}
        await send_list(b, 1, [("TAG1", "Accepted", None), ("BAD", "Blocked", None)])
        assert await b.ask("GetLocalListVersion", {}) == {"listVersion": 1}
        b.evse.is_plugged = True
        await pause()
        assert await b.ask("RemoteStartTransaction", {"idTag": "TAG1"}) == {"status": "Accepted"}
        await b.until(lambda: "Charging" in b.csms.story())
        assert asked(b) == []
        assert "auth-cache" not in os.listdir(FOLDER)  # a listed tag never gets there
        b.connector.stop("Local")
        await b.until(lambda: b.connector.transaction is None)
        b.cp.swipe("BAD")  # listed as blocked: the central system has the last word
        await b.until(lambda: asked(b) == ["BAD"])
        await b.until(lambda: len(starts(b)) == 2)

    run(scenario, config={"LocalPreAuthorize": "true", "AuthorizeRemoteTxRequests": "true"})


def test_remote_start_without_authorize_when_so_configured():
    async def scenario(b):
        await b.online()
        b.evse.is_plugged = True
        await pause()
        assert await b.ask("RemoteStartTransaction", {"idTag": "X", "connectorId": 9}) == {"status": "Rejected"}
        assert await b.ask("RemoteStartTransaction", {"idTag": "X"}) == {"status": "Accepted"}
        await b.until(lambda: "Charging" in b.csms.story())
        assert asked(b) == [] and starts(b) == ["X"]
        assert await b.ask("RemoteStartTransaction", {"idTag": "X"}) == {"status": "Rejected"}  # TC_026

    run(scenario)


def test_remote_start_asks_and_can_be_refused():
    async def scenario(b):
        b.csms.answers["Authorize"] = [{"idTagInfo": {"status": "Blocked"}}]
        await b.online()
        b.evse.is_plugged = True
        await pause()
        for expected_starts in (0, 1):
            assert await b.ask("RemoteStartTransaction", {"idTag": "X"}) == {"status": "Accepted"}
            await b.until(lambda: len(asked(b)) == expected_starts + 1)
            await pause(3000)
            assert len(starts(b)) == expected_starts
        order = [m[2] for _, side, m in b.csms.seen if side == "cp" and m[0] in (2, 3)]
        assert order[order.index("Authorize") - 1] == {"status": "Accepted"}  # the answer goes first

    run(scenario, config={"AuthorizeRemoteTxRequests": "true"})


def offline(setup, tag, want, config=None):
    """Does this tag start a session without a link?"""

    async def scenario(b):
        await b.online()
        await setup(b)
        b.csms.listening = False
        b.csms.drop()
        await pause()
        b.evse.is_plugged = True
        await pause()
        b.cp.swipe(tag)
        await pause(3000)
        assert (b.connector.transaction is not None) is want, tag
        assert b.evse.permitted is want
        if want:  # TC_037_1, TC_039
            b.cp.swipe(tag)
            await b.until(lambda: b.connector.transaction is None)
            b.csms.seen.clear()
            b.csms.listening = True
            await b.until(lambda: b.csms.calls("StopTransaction"), 600_000)
            story = [n for n in b.csms.story() if n in ("StartTransaction", "StopTransaction")]
            assert story == ["StartTransaction", "StopTransaction"]
            assert b.csms.calls("StopTransaction")[0]["transactionId"] == b.csms.next_tx - 1
            assert b.csms.calls("StopTransaction")[0]["reason"] == "Local"

    run(scenario, config=config or {})
    teardown()


def test_offline_starts():
    async def nothing(b):
        pass

    async def listed(b):
        await send_list(b, 1, [("TAG1", "Accepted", None), ("BAD", "Blocked", None)])

    unknown = {"AllowOfflineTxForUnknownId": "true"}
    offline(nothing, "TAG1", False)
    offline(nothing, "TAG1", True, unknown)
    offline(listed, "tag1", True)
    offline(listed, "BAD", False, unknown)
    offline(session, "TAG1", True)
    offline(session, "TAG1", False, {"LocalAuthorizeOffline": "false"})
    offline(session, "TAG2", False)


def test_offline_a_bad_answer_is_remembered():
    async def bad(b):
        b.csms.answers["Authorize"] = {"idTagInfo": {"status": "Invalid"}}
        b.cp.swipe("TAG1")
        await b.until(lambda: asked(b))
        await pause(100)

    offline(bad, "TAG1", False, {"AllowOfflineTxForUnknownId": "true"})


def test_offline_expiry():
    async def ends(b):
        b.csms.answers["StartTransaction"] = {
            "transactionId": 7,
            "idTagInfo": {"status": "Accepted", "expiryDate": "2026-01-21T13:00:00Z"},  # in 400 s
        }
        b.csms.answers["StopTransaction"] = {}
        b.csms.answers["Authorize"] = {"idTagInfo": {"status": "Accepted", "expiryDate": "2026-01-21T13:00:00Z"}}
        await session(b)

    async def ended(b):
        await ends(b)
        await pause(400_000)

    async def at_stop(b):  # the answer to StopTransaction counts too
        b.csms.answers["StopTransaction"] = {"idTagInfo": {"status": "Expired"}}
        await session(b)

    offline(ended, "TAG1", False)
    offline(at_stop, "TAG1", False)

    async def scenario(b):  # valid still: starts (its later answer is of no interest here)
        await b.online()
        await ends(b)
        b.csms.listening = False
        b.csms.drop()
        b.evse.is_plugged = True
        await pause()
        b.cp.swipe("TAG1")
        await pause(3000)
        assert b.connector.transaction is not None

    run(scenario)


def test_authorize_without_answer_goes_on_as_offline():
    for answer in ("silence", ("error", "InternalError")):
        for unknown in ("true", "false"):

            async def scenario(b):
                b.csms.answers["Authorize"] = answer
                await b.online()
                b.evse.is_plugged = True
                await pause()
                b.cp.swipe("TAG1")
                b.cp.swipe("TAG1")  # a card that bounces asks once
                await pause(15_000)
                assert asked(b) == ["TAG1"]
                assert starts(b) == (["TAG1"] if unknown == "true" else [])
                assert b.cp.outbox.calls == []

            run(scenario, config={"AllowOfflineTxForUnknownId": unknown, "MessageTimeout": "10"})
            teardown()


def test_link_lost_while_authorize_waits():
    async def scenario(b):
        b.csms.answers["Authorize"] = "silence"
        await b.online()
        b.evse.is_plugged = True
        await pause()
        b.cp.swipe("TAG1")
        await b.until(lambda: asked(b))
        b.csms.listening = False
        b.csms.drop()
        await b.until(lambda: b.evse.permitted)

    run(scenario, config={"AllowOfflineTxForUnknownId": "true"})


def test_many_cards_at_once_are_bounded():
    async def scenario(b):
        b.csms.answers["Authorize"] = "silence"
        await b.online()
        for n in range(50):
            b.cp.swipe("T%d" % n)
        assert [c.action for c in b.cp.outbox.calls] == ["Authorize"] * 4

    run(scenario)


def test_stop_with_the_start_tag_only():  # TC_068
    async def scenario(b):
        await b.online()
        b.evse.is_plugged = True
        await pause()
        b.cp.swipe("TAG1")
        await b.until(lambda: "Charging" in b.csms.story())
        b.csms.seen.clear()
        b.cp.swipe("TAG2")
        await pause(5000)
        assert b.csms.calls("Authorize") == [] and b.csms.calls("StopTransaction") == []
        b.cp.swipe("TAG1")
        await b.until(lambda: b.csms.calls("StopTransaction"))
        assert b.csms.calls("StopTransaction")[0]["idTag"] == "TAG1"
        assert b.csms.calls("Authorize") == []

    run(scenario)


def test_stop_with_another_tag_of_the_group():  # TC_069
    def answer(payload):
        info = {"status": "Accepted"}
        if payload["idTag"] in ("TAG1", "TAG2"):
            info["parentIdTag"] = "FAMILY"
        elif payload["idTag"] == "TAG3":
            info["parentIdTag"] = "OTHERS"
        elif payload["idTag"] == "TAG4":
            info = {"status": "Blocked", "parentIdTag": "FAMILY"}
        return {"idTagInfo": info}

    async def scenario(b):
        b.csms.answers["Authorize"] = answer
        await b.online()
        b.evse.is_plugged = True
        await pause()
        b.cp.swipe("TAG1")
        await b.until(lambda: "Charging" in b.csms.story())
        b.csms.seen.clear()
        for tag in ("TAG3", "TAG4", "TAG5", "FAMILY"):
            b.cp.swipe(tag)
            await pause(2000)
            assert asked(b)[-1] == tag and b.connector.transaction is not None and b.evse.permitted, tag
        b.cp.swipe("TAG2")
        await b.until(lambda: b.csms.calls("StopTransaction"))
        assert b.csms.calls("StopTransaction")[0]["idTag"] == "TAG2"
        assert b.csms.calls("StopTransaction")[0]["reason"] == "Local"

    run(scenario)


def test_group_stop_offline_and_parent_of_the_start_answer():
    async def scenario(b):
        await b.online()
        await send_list(b, 1, [("TAG2", "Accepted", "FAMILY"), ("TAG3", "Blocked", "FAMILY")])
        b.csms.answers["StartTransaction"] = {
            "transactionId": 8,
            "idTagInfo": {"status": "Accepted", "parentIdTag": "family"},
        }
        b.evse.is_plugged = True
        await pause()
        b.cp.swipe("TAG1")
        await b.until(lambda: "Charging" in b.csms.story())
        b.csms.listening = False
        b.csms.drop()
        await pause()
        b.cp.swipe("TAG3")
        b.cp.swipe("TAG9")
        await pause()
        assert b.connector.transaction is not None
        b.cp.swipe("TAG2")
        await b.until(lambda: b.connector.transaction is None)  # TC_038 with a tag of the group

    run(scenario)


def test_second_swipe_gives_up_and_a_bouncing_card_does_not():  # 5.1: B1
    async def scenario(b):
        await b.online()
        b.cp.swipe("TAG1")
        await b.until(lambda: b.csms.story()[-1] == "Preparing")
        b.cp.swipe("TAG1")
        await pause(1500)
        assert b.connector.id_tag == "TAG1"
        await pause(1000)
        b.cp.swipe("TAG1")
        await b.until(lambda: b.csms.story()[-1] == "Available")
        assert asked(b) == ["TAG1"]
        b.cp.swipe("TAG2")
        await b.until(lambda: b.csms.story()[-1] == "Preparing")
        asked_at = b.clock.uptime_ms()
        await b.until(lambda: b.csms.story()[-1] == "Available", 70_000)  # TC_004_2
        assert 59_000 < b.clock.uptime_ms() - asked_at < 61_000

    run(scenario)


def refused(config, check, start_offline=False):
    async def scenario(b):
        answer = {"transactionId": 5, "idTagInfo": {"status": "Invalid"}}
        await b.online()
        b.csms.answers["StartTransaction"] = answer
        if start_offline:
            b.csms.listening = False
            b.csms.drop()
            await pause()
        b.evse.is_plugged = True
        await pause()
        b.cp.swipe("TAG1")
        if start_offline:
            await b.until(lambda: b.evse.permitted)
            await pause(20_000)
            b.csms.listening = True
        await b.until(lambda: b.csms.calls("StartTransaction"), 600_000)
        await check(b)

    run(scenario, config=config)
    teardown()


def test_start_answered_with_invalid():  # 5.3, TC_037_2, TC_037_3
    async def stops(b):
        await b.until(lambda: b.csms.calls("StopTransaction"))
        assert b.csms.calls("StopTransaction")[0]["reason"] == "DeAuthorized" and not b.evse.permitted

    async def suspends(b):
        await b.until(lambda: "SuspendedEVSE" in b.csms.story())
        await pause(60_000)
        assert not b.evse.permitted and b.csms.calls("StopTransaction") == []
        assert await b.ask("RemoteStopTransaction", {"transactionId": 5}) == {"status": "Accepted"}
        await b.until(lambda: b.csms.calls("StopTransaction"))

    async def stops_after(b):
        before = b.evse.energy_wh()
        await stops(b)
        assert 20 <= b.evse.energy_wh() - before <= 22, (before, b.evse.energy_wh())

    async def suspends_after(b):
        before = b.evse.energy_wh()
        await suspends(b)
        assert 20 <= b.evse.energy_wh() - before <= 22

    unknown = {"AllowOfflineTxForUnknownId": "true"}
    for start_offline in (False, True):
        refused(dict(unknown), stops, start_offline)
        refused(dict(unknown, StopTransactionOnInvalidId="false"), suspends, start_offline)
        refused(dict(unknown, MaxEnergyOnInvalidId="20"), stops_after, start_offline)
        refused(
            dict(unknown, MaxEnergyOnInvalidId="20", StopTransactionOnInvalidId="false"), suspends_after, start_offline
        )


def test_refused_offline_transaction_that_is_over_only_updates_the_cache():
    async def scenario(b):
        await b.online()
        b.csms.answers["StartTransaction"] = {"transactionId": 5, "idTagInfo": {"status": "Blocked"}}
        b.csms.listening = False
        b.csms.drop()
        await pause()
        b.evse.is_plugged = True
        await pause()
        b.cp.swipe("TAG1")
        await b.until(lambda: b.evse.permitted)
        await pause(5000)
        b.cp.swipe("TAG1")
        await b.until(lambda: b.connector.transaction is None)
        b.csms.listening = True
        await b.until(lambda: b.csms.calls("StopTransaction"), 600_000)
        assert b.csms.calls("StopTransaction")[0]["reason"] == "Local"
        await pause(100)
        assert cold("ocpp16.auth_store").look_up(FOLDER, "auth-cache", "TAG1") == ["Blocked", None, None]

    run(scenario, config={"AllowOfflineTxForUnknownId": "true"})


def test_local_list_conflict():
    async def scenario(b):
        await b.online()
        await send_list(b, 1, [("TAG1", "Blocked", None), ("TAG2", "Accepted", None)])
        b.evse.is_plugged = True
        await pause()
        b.cp.swipe("TAG1")
        await b.until(lambda: "Charging" in b.csms.story())
        conflicts = [s for s in b.csms.calls("StatusNotification") if s["errorCode"] == "LocalListConflict"]
        assert len(conflicts) == 2 and all(s["connectorId"] == 0 for s in conflicts)  # Authorize and StartTransaction
        assert cold("ocpp16.auth_store").look_up(FOLDER, "auth-list", "TAG1") == ["Blocked", None, None]
        await send_list(b, 2, [("TAG1", "Accepted", None)], "Differential")
        await b.until(lambda: b.csms.calls("StatusNotification")[-1]["connectorId"] == 0)
        assert b.csms.calls("StatusNotification")[-1]["errorCode"] == "NoError"

    run(scenario)


def test_one_reader_for_two_connectors_waits_for_the_first_plug():
    async def scenario(b):
        b.start()
        await b.until(lambda: b.csms.story().count("Available") == 2)
        b.cp.swipe("TAG1")
        await b.until(lambda: b.csms.story().count("Preparing") == 2)
        b.cp.swipe("TAG2")  # whose car comes next would be a guess
        await pause()
        assert asked(b) == ["TAG1"]
        b.evses[1].is_plugged = True
        await b.until(lambda: "Charging" in b.csms.story())
        assert b.csms.calls("StartTransaction")[0]["connectorId"] == 2
        assert b.cp.connectors[0].id_tag is None
        b.cp.swipe("TAG2")
        await pause()
        b.evses[0].is_plugged = True
        await b.until(lambda: len(b.csms.calls("StartTransaction")) == 2)
        assert starts(b) == ["TAG1", "TAG2"]
        b.cp.swipe("TAG2")
        await b.until(lambda: b.cp.connectors[0].transaction is None)
        assert b.cp.connectors[1].transaction is not None

    run(scenario, connectors=2)


def test_reader_of_one_connector():
    async def scenario(b):
        b.start()
        await b.until(lambda: b.csms.story().count("Available") == 2)
        for evse in b.evses:
            evse.is_plugged = True
        await pause()
        b.cp.swipe("TAG1", 2)
        await b.until(lambda: b.csms.calls("StartTransaction"))
        assert b.csms.calls("StartTransaction")[0]["connectorId"] == 2
        b.cp.swipe("TAG1", 1)  # the other reader: another session of the same tag
        await b.until(lambda: len(b.csms.calls("StartTransaction")) == 2)
        assert b.cp.connectors[1].transaction is not None

    run(scenario, connectors=2)
