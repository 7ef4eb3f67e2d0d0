"""ocpp16.dial.Access and ocpp16.access: keys, security profiles, their trial and the way back.

Source: security white paper for OCPP 1.6-J (edition 3), sections 2 and 5; certification cases 073, 083, 084, 085.
"""

import asyncio
import json
import os

from fakes import FakeClock, FakeLog, run_limited

import wsclient
from ocpp16 import ChargePoint, access, config_answer, url
from ocpp16.dial import Access
from ocpp16.errors import HangUp
from ocpp16.ramstore import RamStore
from wsclient import HandshakeError

URL = "ws://csms.example:80/ocpp"
PLAIN = "sixteen-letters!"
HEX = "4F43415F4F4354545F61646D696E5F74657374"  # certification's own example: OCA_OCTT_admin_test, 19 bytes
NEW = b"OCA_OCTT_admin_test"
ROOT = b"a root"


class Cut(BaseException):
    """The power went."""


class CutStore(RamStore):
    """Loses power at the write `at`, counted from 1: before it is done, or after it. `full`: no write succeeds."""

    def __init__(self):
        super().__init__()
        self.at = 0
        self.after = False
        self.writes = 0
        self.full = False

    def put(self, name, value, urgent=True):
        if self.full:
            raise OSError(28)
        self.writes += 1
        if self.writes == self.at and not self.after:
            raise Cut
        super().put(name, value, urgent)
        if self.writes == self.at:
            raise Cut


class Server:
    """Stands for wsclient.connect and all behind it: takes what is in `good`, answers 401 otherwise.

    good -- list of (scheme, password); up -- False: nothing is there; seen -- what came: (url, user, password, ...)
    """

    def __init__(self, *good):
        self.good = list(good)
        self.up = True
        self.seen = []

    async def connect(self, url, **options):
        scheme = url.partition(":")[0]
        self.seen.append((url, options.get("user"), options.get("password"), options.get("cadata")))
        if not self.up:
            raise HandshakeError(0, "ECONNREFUSED")
        if scheme not in [g[0] for g in self.good]:
            raise HandshakeError(0, "ECONNREFUSED")
        if (scheme, options.get("password")) not in self.good:
            raise HandshakeError(401, "401")
        return object()


def setup():
    global _connect
    _connect = wsclient.connect


def teardown():
    wsclient.connect = _connect


class Bench:
    def __init__(self, server, store=None, key=PLAIN, profile=None, cadata=None, address=URL, **more):
        self.log = FakeLog()
        self.store = store or CutStore()
        wsclient.connect = server.connect
        self.server = server
        self.access = Access(address, "CP 1", key, profile, 0, cadata, **more)
        self.cp = ChargePoint(FakeClock(), self.store, self.log, [], {}, self.access.dial, config_rows=(access.ROWS,))
        self.access.join(self.cp)

    def change(self, key, value):
        """ChangeConfiguration as the link does it: the status, and whether the connection ends after the answer."""
        from ocpp16.profiles import core

        status = core.on_ChangeConfiguration(self.cp, {"key": key, "value": value})["status"]
        try:
            self.cp.answered()
        except HangUp:
            return status, True
        return status, False

    def dial(self):
        """One attempt; True when it connected."""
        try:
            run_limited(self.access.dial(0))
        except HandshakeError:
            return False
        return True

    def profile(self):
        answer = json.loads("".join(config_answer.answer(self.cp.config, ["SecurityProfile"])))
        return answer["configurationKey"][0]["value"]

    def spoken(self):
        return "\n".join([text for _, _, text in self.log.lines])


OK = ("Accepted", True)
NO = ("Rejected", False)


def test_forms_of_a_key():
    for text, want in (
        (HEX, NEW),
        (HEX.lower(), NEW),
        ("00" * 16, bytes(16)),
        ("ff" * 20, b"\xff" * 20),
        (PLAIN, PLAIN.encode()),
        ("0123456789abcdef", b"0123456789abcdef"),  # 16 digits are too few for hex: a password
        ("x" * 32, b"x" * 32),
        ("0" * 33, b"0" * 33),
    ):
        assert access.key_of(text) == want, text


def test_which_keys_are_taken():
    for value, taken in (
        (PLAIN, True),
        ("x" * 20, True),
        ("\u00e9" * 8, True),  # 16 bytes
        (HEX, True),
        ("0" * 32, True),
        ("0" * 40, True),
        ("", False),
        ("x" * 15, False),
        ("x" * 21, False),
        ("0" * 21, False),
        ("0" * 30, False),
        ("0" * 31, False),
        ("0" * 33, False),
        ("0" * 39, False),
        ("0" * 42, False),
        ("x" * 32, False),
        ("x" * 40, False),
        ("g" + "0" * 31, False),
    ):
        bench = Bench(Server(("ws", PLAIN.encode())))
        assert bench.change("authorizationKEY", value) == (OK if taken else NO), value
        assert (bench.store.get("access") is not None) == taken
        assert not value or value not in bench.spoken()


def test_basic_authentication():
    """Certification case 085: the decoded key behind the identity as it is configured."""
    server = Server(("ws", NEW))
    assert Bench(server, key=HEX).dial()
    assert server.seen == [("ws://csms.example:80/ocpp/CP%201", b"CP 1", NEW, None)]
    server = Server(("ws", None))
    assert Bench(server, key="").dial() and server.seen[0][1:] == (None, None, None)
    wsclient.connect = server.connect
    run_limited(Access(URL, "CP-1").dial(0))
    assert server.seen[1][:3] == ("ws://csms.example:80/ocpp/CP-1", None, None)


def test_profile_that_is_shown():
    for address, key, profile, want in (
        (URL, "", None, "0"),
        (URL, PLAIN, None, "1"),
        ("wss://h", PLAIN, None, "2"),
        ("wss://h", "", None, "0"),
        (URL, PLAIN, 0, "0"),
        (URL, PLAIN, 1, "1"),
        (URL, PLAIN, 2, "2"),
    ):
        assert Bench(Server(), None, key, profile, ROOT, address).profile() == want, (address, key, profile)


def test_key_change():
    """Certification case 073, twice in a row."""
    server = Server(("ws", PLAIN.encode()))
    bench = Bench(server)
    assert bench.dial()
    for text, key in ((HEX, NEW), ("another sixteen!", b"another sixteen!")):
        assert bench.change("AuthorizationKey", text) == OK
        server.good = [("ws", key)]
        assert bench.dial() and bench.dial()
        assert [seen[2] for seen in server.seen[-2:]] == [key, key]
        again = Bench(server, bench.store)  # the power was off
        assert again.dial() and server.seen[-1][2] == key
        assert again.profile() == "1"
        assert text not in bench.spoken() and key.decode() not in bench.spoken()
        assert text not in "".join(config_answer.answer(bench.cp.config)), "the key is shown"
        asked = json.loads("".join(config_answer.answer(bench.cp.config, ["AuthorizationKey"])))
        assert asked == {"configurationKey": [{"key": "AuthorizationKey", "readonly": False}]}


def test_second_change_before_the_link_is_down():
    server = Server(("ws", NEW))
    bench = Bench(server)
    assert bench.change("AuthorizationKey", "another sixteen!") == OK
    assert bench.change("AuthorizationKey", HEX) == OK
    assert bench.dial() and [seen[2] for seen in server.seen] == [NEW]


def test_refused_key():
    """Three attempts with the new key, one with the old: that works, and stays."""
    server = Server(("ws", PLAIN.encode()))
    bench = Bench(server)
    assert bench.change("AuthorizationKey", HEX) == OK
    assert [bench.dial() for _ in range(5)] == [False, False, False, True, True]
    assert [seen[2] for seen in server.seen] == [NEW] * 3 + [PLAIN.encode()] * 2
    assert "dropped" in bench.spoken() and bench.profile() == "1"
    assert Bench(server, bench.store).dial()
    assert server.seen[-1][2] == PLAIN.encode()


def test_neither_key_works():
    server = Server(("ws", b"something else 12"))
    bench = Bench(server)
    assert bench.change("AuthorizationKey", HEX) == OK
    assert not any([bench.dial() for _ in range(8)])
    assert [seen[2] for seen in server.seen] == ([NEW] * 3 + [PLAIN.encode()]) * 2
    server.good = [("ws", NEW)]  # it comes to its senses
    assert bench.dial() and bench.dial() and server.seen[-1][2] == NEW


def test_no_network_says_nothing_about_a_key():
    server = Server(("ws", NEW))
    bench = Bench(server)
    assert bench.change("AuthorizationKey", HEX) == OK
    server.up = False
    assert not any([bench.dial() for _ in range(10)])
    assert {seen[2] for seen in server.seen} == {NEW}
    server.up = True
    assert bench.dial()


def test_profile_change():
    """Certification cases 083 and 084."""
    server = Server(("ws", PLAIN.encode()))
    bench = Bench(server, cadata=ROOT)
    assert bench.dial() and bench.profile() == "1"
    for value in ("0", "1", "3", "-1", "", "2.0", " 2", "two"):
        assert bench.change("SecurityProfile", value) == NO, value
    assert bench.change("securityprofile", "2") == OK
    server.good = [("wss", PLAIN.encode())]
    assert bench.profile() == "1", "not before it works"
    assert bench.dial() and bench.profile() == "2"
    assert server.seen[-1] == ("wss://csms.example:80/ocpp/CP%201", b"CP 1", PLAIN.encode(), ROOT)
    assert bench.change("SecurityProfile", "1") == NO and bench.change("SecurityProfile", "2") == NO
    server.good = [("ws", PLAIN.encode())]  # the old profile is back, and must not be used again
    bench = Bench(server, bench.store, cadata=ROOT)
    assert bench.profile() == "2"
    del server.seen[:]
    assert not any([bench.dial() for _ in range(9)])
    assert {seen[0].partition(":")[0] for seen in server.seen} == {"wss"}


def test_profile_without_what_it_needs():
    for key, cadata, value, want in (
        ("", ROOT, "1", NO),
        ("", ROOT, "2", NO),
        (PLAIN, None, "2", NO),
        (PLAIN, b"", "2", NO),
        (PLAIN, ROOT, "2", OK),
        (PLAIN, None, "1", OK),
    ):
        assert Bench(Server(), None, key, 0, cadata).change("SecurityProfile", value) == want, (key, cadata, value)
    bench = Bench(Server(), None, "", 0)
    assert bench.change("AuthorizationKey", HEX) == OK and bench.change("SecurityProfile", "1") == OK


def test_profile_that_does_not_connect():
    server = Server(("ws", PLAIN.encode()))
    bench = Bench(server, cadata=ROOT)
    assert bench.change("SecurityProfile", "2") == OK
    assert [bench.dial() for _ in range(4)] == [False, False, False, True]
    assert bench.profile() == "1" and "dropped" in bench.spoken()
    assert bench.change("SecurityProfile", "2") == OK, "it may be tried again"


def test_profile_from_settings_is_never_less():
    """What is asked for and cannot be is no connection, not a weaker one."""
    server = Server(("ws", None), ("ws", PLAIN.encode()))
    for key, profile, cadata in (("", 1, None), ("", 2, ROOT), (PLAIN, 2, None)):
        bench = Bench(server, None, key, profile, cadata)
        try:
            assert not bench.dial()
        except ValueError as exc:
            assert "AuthorizationKey" in str(exc)
    assert [seen[0][:3] for seen in server.seen] == ["wss"]


def test_other_local_settings_forget_the_change():
    server = Server(("ws", PLAIN.encode()), ("ws", NEW))
    bench = Bench(server)
    assert bench.change("AuthorizationKey", HEX) == OK and bench.dial()
    for more in ({"key": "local sixteen let"}, {"profile": 0}, {"address": "ws://other.example"}):
        other = Bench(server, bench.store, **more)
        other.dial()
        assert server.seen[-1][2] != NEW, more
    assert Bench(server, bench.store).dial() and server.seen[-1][2] == NEW


def test_damaged_record():
    server = Server(("ws", PLAIN.encode()))
    for record in ([], [1], ["x"] * 5, {"a": 1}, "text", [None] * 5, ["", 1, "zz", None, ""]):
        store = CutStore()
        store.put("access", record)
        assert Bench(server, store).dial(), record


def test_unreadable_roots():
    """A file that has gone is a failed attempt; the profile on trial falls back."""
    path = "test_ocpp_access.%d.tmp" % os.urandom(1)[0]
    with open(path, "wb") as f:
        f.write(ROOT)
    server = Server(("ws", PLAIN.encode()))
    bench = Bench(server, cadata=path)
    try:
        assert bench.change("SecurityProfile", "2") == OK
    finally:
        os.remove(path)
    outcomes = []
    for _ in range(4):
        try:
            outcomes.append(bench.dial())
        except OSError:
            outcomes.append(None)
    assert outcomes == [None, None, None, True]
    assert bench.change("SecurityProfile", "2") == NO


def test_full_storage():
    bench = Bench(Server())
    bench.store.full = True
    assert bench.change("AuthorizationKey", HEX) == NO
    assert bench.store.get("access") is None


def _story(server, store, taken):
    """Key, then profile, on a bench whose central system takes the new ones (or not). May end with Cut."""
    bench = Bench(server, store, cadata=ROOT)
    assert bench.dial()
    for key, value, good in (
        ("AuthorizationKey", HEX, ("ws", NEW)),
        ("SecurityProfile", "2", ("wss", NEW if taken else PLAIN.encode())),
    ):
        if bench.change(key, value)[0] == "Accepted" and taken:
            server.good = [good]
        for _ in range(4):
            bench.dial()
        if store.writes >= store.at > 0:
            raise Cut


def test_power_cut_at_every_write():
    """Whenever the power goes, the next start connects within four attempts, and a higher profile stays."""
    for taken in (True, False):
        for after in (False, True):
            cuts = 0
            for at in range(1, 20):
                server, store = Server(("ws", PLAIN.encode())), CutStore()
                store.at, store.after = at, after
                try:
                    _story(server, store, taken)
                except Cut:
                    cuts += 1
                store.at = 0
                had = store.get("access", [None] * 4)[1]
                again = Bench(server, store, cadata=ROOT)
                assert any([again.dial() for _ in range(4)]), (taken, after, at, server.good, server.seen[-5:])
                assert again.profile() >= str(had or 0)
                assert again.dial(), "it stays with what works"
                if store.writes < at:
                    break
            assert cuts >= 2, (taken, after, cuts)


def test_unchecked_name_is_said_every_time():
    bench = Bench(Server(("wss", PLAIN.encode())), cadata=ROOT, address="wss://h", check_hostname=False)
    assert bench.dial() and bench.dial()
    assert bench.spoken().count("NOT checked") == 2


def test_with_tls():
    for address, port, want in (
        ("ws://h/x", 0, "wss://h/x"),
        ("ws://h/x", 8443, "wss://h:8443/x"),
        ("ws://h:80/x", 0, "wss://h:80/x"),
        ("ws://h:80", 8443, "wss://h:8443"),
        ("ws://[::1]:80/x", 443, "wss://[::1]:443/x"),
        ("ws://[::1]/x", 443, "wss://[::1]:443/x"),
        ("wss://h:9/x", 443, "wss://h:9/x"),
    ):
        assert url.with_tls(address, port) == want


def test_colon_in_the_identity_is_told():
    server = Server(("ws", PLAIN.encode()))
    log = FakeLog()
    wsclient.connect = server.connect
    colon = Access(URL, "AA:BB", PLAIN)
    colon.join(ChargePoint(FakeClock(), RamStore(), log, [], {}, colon.dial))
    asyncio.run(colon.dial(0))
    assert server.seen == [("ws://csms.example:80/ocpp/AA%3ABB", b"AA:BB", PLAIN.encode(), None)]
    assert any(["colon" in text for _, _, text in log.lines])
