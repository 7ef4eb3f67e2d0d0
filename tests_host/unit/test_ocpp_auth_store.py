"""The local list and the cache as files: content, bounds, damage, and the power cut at every write of a littlefs."""
# heapsize: 4m
# timeout: 120

import asyncio
import binascii
import json
import os

import vfs
from cold import cold
from fakes import FakeClock, FakeLog

from ocpp16.config import Configuration

S = cold("ocpp16.auth_store")
A = cold("ocpp16.authorization")
KEYS = cold("ocpp16.config_keys")
TAGS = cold("ocpp16.tag_info")
LOCAL = cold("ocpp16.profiles.local_auth")
FOLDER = "/tmp/auth-" + str(binascii.hexlify(os.urandom(6)), "utf-8")
OK = ["Accepted", None, None]
BLOCKED = ["Blocked", None, None]


def setup():
    os.mkdir(FOLDER)


def teardown():
    for name in os.listdir(FOLDER):
        os.remove(FOLDER + "/" + name)
    os.rmdir(FOLDER)


def write(number, changes, keep=True, limit=None, folder=FOLDER, name=S.LIST):
    S.write(S.change(folder, name, number, {S.head(tag): entry for tag, entry in changes.items()}, keep, limit))


def content(tags, folder=FOLDER, name=S.LIST):
    return {tag: S.look_up(folder, name, tag) for tag in tags}


def lines(name):
    """[tag, ...] as they lie in the file, read in another way."""
    if name not in os.listdir(FOLDER):
        return []
    with open(FOLDER + "/" + name) as f:
        return [line.split('"')[1] for line in f.read().split("\n")[1:-2]]


# -- files


def test_empty():
    assert S.version(FOLDER) == 0 and S.version(None) == 0
    assert S.look_up(FOLDER, S.LIST, "A") is None and S.look_up(None, S.LIST, "A") is None


def test_full_then_differential_then_full():
    write(7, {"A": OK, "B": BLOCKED, "C": ["Accepted", 1_800_000_000, "GROUP"]}, keep=False)
    assert S.version(FOLDER) == 7
    assert content("ABCD") == {"A": OK, "B": BLOCKED, "C": ["Accepted", 1_800_000_000, "GROUP"], "D": None}
    write(9, {"B": None, "C": OK, "D": BLOCKED, "UNKNOWN": None})
    assert S.version(FOLDER) == 9
    assert content("ABCD") == {"A": OK, "B": None, "C": OK, "D": BLOCKED}
    write(10, {})
    assert S.version(FOLDER) == 10 and len(lines(S.LIST)) == 3
    write(2, {"E": OK}, keep=False)
    assert S.version(FOLDER) == 2 and lines(S.LIST) == ["e"]
    write(3, {"E": None})  # nothing is left: empty reads 0
    assert S.version(FOLDER) == 0 and os.listdir(FOLDER) == []
    write(4, {}, keep=False)
    assert S.version(FOLDER) == 0 and os.listdir(FOLDER) == []


def test_tags_of_any_content():
    odd = ['"', '","', "\\", '\\"', "%22", "%", "\n", "\t", "é" * 20, "\x01" * 20, "[", "", "a b", "😀" * 20, "'", "{}"]
    write(1, {tag: ["Accepted", n, tag or None] for n, tag in enumerate(odd)}, keep=False)
    for n, tag in enumerate(odd):
        assert S.look_up(FOLDER, S.LIST, tag) == ["Accepted", n, tag or None], repr(tag)
    write(2, {odd[1]: None, odd[3]: None, odd[6]: None})
    for n, tag in enumerate(odd):
        assert S.look_up(FOLDER, S.LIST, tag) == (None if n in (1, 3, 6) else ["Accepted", n, tag or None]), repr(tag)


def test_letter_case():
    write(1, {"TaG1": OK}, keep=False)
    assert S.look_up(FOLDER, S.LIST, "tAg1") == OK
    write(2, {"TAG1": BLOCKED})
    assert content(["tag1"]) == {"tag1": BLOCKED} and len(lines(S.LIST)) == 1


def test_every_line_is_found_wherever_the_blocks_end():
    for size in range(1, 21):
        tags = [("%d-" % n + "x" * size)[:20] for n in range(60)]
        write(size, {tag: ["Accepted", n, "P" * (n % 21) or None] for n, tag in enumerate(tags)}, keep=False)
        for n, tag in enumerate(tags):
            assert S.look_up(FOLDER, S.LIST, tag) == ["Accepted", n, "P" * (n % 21) or None]
            assert S.look_up(FOLDER, S.LIST, tag[:-1]) is None


def test_bound():
    write(1, {str(n): OK for n in range(10)}, limit=10)
    for changes in ({"10": OK}, {str(n): BLOCKED for n in range(11)}):
        try:
            write(2, changes, limit=10)
        except ValueError:
            pass
        else:
            raise AssertionError("too long a list was taken")
    assert S.version(FOLDER) == 1 and len(lines(S.LIST)) == 10 and os.listdir(FOLDER) == [S.LIST]
    write(2, {"10": OK, "9": None}, limit=10)
    assert S.version(FOLDER) == 2


def test_damage_is_seen_wherever_it_is():
    write(3, {"TAG%d" % n: OK for n in range(20)}, keep=False)
    with open(FOLDER + "/" + S.LIST, "rb") as f:
        good = f.read()
    damaged = [good[:n] for n in range(0, len(good), 7)]
    damaged += [good[:n] + bytes([good[n] ^ 1]) + good[n + 1 :] for n in range(0, len(good) - 1, 3)]
    damaged += [good + b"x", b"", b"\n" * 600, b"x" * 2000]
    for bad in damaged:
        with open(FOLDER + "/" + S.LIST, "wb") as f:
            f.write(bad)
        for action in (lambda: S.look_up(FOLDER, S.LIST, "TAG1"), lambda: S.version(FOLDER)):
            with open(FOLDER + "/" + S.LIST, "wb") as f:
                f.write(bad)
            try:
                action()
            except ValueError:
                pass
            else:
                raise AssertionError(bad)
        assert os.listdir(FOLDER) == ["bad-" + S.LIST] and S.version(FOLDER) == 0  # told once
    with open(FOLDER + "/" + S.LIST, "wb") as f:
        f.write(good[:-5] + good[-4:])
    try:
        write(4, {"A": OK})
    except ValueError:
        pass
    else:
        raise AssertionError("built on a damaged list")
    assert S.version(FOLDER) == 0 and S.LIST + ".tmp" not in os.listdir(FOLDER)


# -- the cache


def valid(entry):
    return entry[0] == "Accepted"


def remember(tag, entry=OK, limit=4):
    S.remember(FOLDER, tag, entry, limit, valid)


def test_cache_drops_what_is_not_valid_then_the_oldest():
    for tag in ("a", "b", "c", "d"):
        remember(tag, BLOCKED if tag in "bd" else OK)
    assert lines(S.CACHE) == ["a", "b", "c", "d"]
    for tag, want in (("e", "acde"), ("f", "acef"), ("g", "cefg"), ("h", "efgh")):
        remember(tag)
        assert lines(S.CACHE) == list(want), (tag, lines(S.CACHE))
    remember("e", BLOCKED)  # a change of one that is there costs nobody his place
    assert lines(S.CACHE) == ["f", "g", "h", "e"] and S.look_up(FOLDER, S.CACHE, "E") == BLOCKED


def test_cache_keeps_who_comes_often_and_spares_the_flash():
    for tag in ("a", "b", "c", "d"):
        remember(tag)
    with open(FOLDER + "/" + S.CACHE, "rb") as f:
        before = f.read()
    os.remove(FOLDER + "/" + S.CACHE)
    with open(FOLDER + "/" + S.CACHE, "wb") as f:
        f.write(before)
    inode = os.stat(FOLDER + "/" + S.CACHE)[1]
    remember("d")
    remember("C")
    assert os.stat(FOLDER + "/" + S.CACHE)[1] == inode  # not written
    remember("a")  # of the older half
    remember("e")
    assert lines(S.CACHE) == ["c", "d", "a", "e"]


def test_cache_with_a_smaller_bound_than_before():
    for n in range(8):
        remember("t%d" % n, limit=8)
    remember("new", limit=4)
    assert "new" in lines(S.CACHE) and len(lines(S.CACHE)) == 8  # it does not grow


def test_forget():
    remember("a")
    remember("b")
    S.forget(FOLDER, [S.head("x")])
    assert lines(S.CACHE) == ["a", "b"]
    S.forget(FOLDER, [S.head("x"), S.head("A")])
    assert lines(S.CACHE) == ["b"]
    S.forget(None, [S.head("b")])
    S.remove(FOLDER, S.CACHE)
    S.remove(FOLDER, S.CACHE)
    assert os.listdir(FOLDER) == []


# -- the profile


class Store:
    folder = FOLDER


class Outbox:
    def __init__(self):
        self.told = []

    def add(self, action, text, kind, connector_id, urgent, first):
        self.told.append(json.loads(text))


class Cp:
    """What the handlers need of a charge point."""

    def __init__(self, **presets):
        self.log = FakeLog()
        self.store = Store()
        self.clock = FakeClock()
        self.counters = {}
        self.is_out = lambda connector_id: False
        self.outbox = Outbox()
        self.config = Configuration(
            lambda: (KEYS.OFFLINE_ROWS, KEYS.CACHE_ROWS) + KEYS.core_rows(1, ("local_auth",)),
            presets,
            dict,
            lambda values: None,
        )


def send(cp, number, rows=None, kind="Full"):
    payload = {"listVersion": number, "updateType": kind}
    if rows is not None:
        payload["localAuthorizationList"] = rows
    return asyncio.run(LOCAL.on_SendLocalList(cp, payload))["status"]


def row(tag, status="Accepted", **info):
    info["status"] = status
    return {"idTag": tag, "idTagInfo": info}


def version_of(cp):
    return LOCAL.on_GetLocalListVersion(cp, {})["listVersion"]


def test_send_local_list():  # rules 11.1, TC_042, TC_043
    cp = Cp()
    assert version_of(cp) == 0
    assert send(cp, 1) == "Accepted" and version_of(cp) == 0  # TC_042_2: no entries
    assert send(cp, 1, []) == "Accepted" and version_of(cp) == 0
    for number in (0, -1, -5):
        assert send(cp, number, [row("A")]) == "Failed"
    assert (
        send(cp, 2, [row("A"), row("B", "Blocked", parentIdTag="G", expiryDate="2030-01-01T00:00:00Z")]) == "Accepted"
    )
    assert version_of(cp) == 2
    assert content("AB") == {"A": OK, "B": ["Blocked", 1_893_456_000, "G"]}
    assert send(cp, 5, [row("C")], "Differential") == "Accepted" and version_of(cp) == 5
    for number in (4, 5):
        assert send(cp, number, [row("D")], "Differential") == "VersionMismatch" and version_of(cp) == 5  # TC_043_2
    assert send(cp, 6, None, "Differential") == "Accepted" and version_of(cp) == 6 and len(lines(S.LIST)) == 3
    delete = {"idTag": "a"}
    assert send(cp, 7, [delete, {"idTag": "unknown"}], "Differential") == "Accepted"
    assert lines(S.LIST) == ["b", "c"]
    assert send(cp, 3, [row("X"), delete]) == "Failed"  # Full: every entry needs idTagInfo
    assert send(cp, 8, [row("X"), row("Y"), row("x")]) == "Failed"  # twice
    assert send(cp, 8, [row("X"), {"idTag": "x"}], "Differential") == "Failed"
    assert send(cp, 8, [row("X", expiryDate="soon")]) == "Failed"
    assert version_of(cp) == 7 and lines(S.LIST) == ["b", "c"]
    assert send(cp, 3, [row("X")]) == "Accepted" and version_of(cp) == 3  # Full has no version rule
    assert send(cp, 9) == "Accepted" and version_of(cp) == 0


def test_bounds_of_a_request_and_of_the_list():
    cp = Cp(SendLocalListMaxLength="5", LocalAuthListMaxLength="8")
    assert send(cp, 1, [row(str(n)) for n in range(6)]) == "Failed"
    assert send(cp, 1, [row(str(n)) for n in range(5)]) == "Accepted"
    assert send(cp, 2, [row(str(n)) for n in range(4, 9)], "Differential") == "Failed" and version_of(cp) == 1
    assert send(cp, 2, [row(str(n)) for n in range(4, 8)], "Differential") == "Accepted" and version_of(cp) == 2


def test_switched_off_or_without_a_place():
    cp = Cp(LocalAuthListEnabled="false")
    assert send(cp, 1, [row("A")]) == "NotSupported" and version_of(cp) == -1
    cp = Cp()
    cp.store.folder = None
    assert send(cp, 1, [row("A")]) == "NotSupported" and version_of(cp) == -1
    assert TAGS.clear_cache(cp) == "Rejected" and S.known(cp, "A") == [None, None]
    TAGS.learned(cp, "A", {"status": "Accepted"})


def test_storage_that_fails():
    cp = Cp()
    assert send(cp, 1, [row("A")]) == "Accepted"
    os.mkdir(FOLDER + "/" + S.LIST + ".tmp")  # the new file cannot be made
    try:
        assert send(cp, 2, [row("B")]) == "Failed"
        assert version_of(cp) == 1
    finally:
        os.rmdir(FOLDER + "/" + S.LIST + ".tmp")


def test_damaged_list_reads_as_empty_and_can_be_sent_again():
    cp = Cp()
    assert send(cp, 4, [row("A")]) == "Accepted"
    with open(FOLDER + "/" + S.LIST, "wb") as f:
        f.write(b"rubbish")
    assert version_of(cp) == 0 and [line[0] for line in cp.log.lines] == ["E"]
    assert send(cp, 1, [row("A")], "Differential") == "Accepted" and version_of(cp) == 1


def test_listed_tags_are_never_in_the_cache():
    cp = Cp()
    TAGS.learned(cp, "A", {"status": "Accepted"})
    TAGS.learned(cp, "B", {"status": "Invalid", "parentIdTag": "P"})  # both kinds are kept
    assert lines(S.CACHE) == ["a", "b"] and S.look_up(FOLDER, S.CACHE, "B") == ["Invalid", None, "P"]
    assert send(cp, 1, [row("a"), row("C", "Blocked")]) == "Accepted"
    assert lines(S.CACHE) == ["b"]
    TAGS.learned(cp, "A", {"status": "Accepted"})
    TAGS.learned(cp, "c", {"status": "Accepted"})
    assert lines(S.CACHE) == ["b"]
    assert [(t["connectorId"], t["errorCode"]) for t in cp.outbox.told] == [(0, "LocalListConflict")]
    assert S.look_up(FOLDER, S.LIST, "C") == BLOCKED


def test_cache_switched_off():
    cp = Cp()
    TAGS.learned(cp, "A", {"status": "Accepted"})
    off = Cp(AuthorizationCacheEnabled="false")
    TAGS.learned(off, "B", {"status": "Accepted"})
    assert S.known(off, "A") == [None, None] and TAGS.clear_cache(off) == "Rejected"
    assert lines(S.CACHE) == ["a"] and S.known(cp, "A") == [None, OK]
    assert TAGS.clear_cache(cp) == "Accepted" and S.known(cp, "A") == [None, None]
    assert TAGS.clear_cache(cp) == "Accepted"


# -- power cuts


class Flash:
    """A flash of 256-byte sectors in RAM, for littlefs: `left` writes and erases work, the next one half, then none."""

    SIZE = 256

    def __init__(self, sectors=64):
        self.data = bytearray(sectors * self.SIZE)
        self.left = None  # for ever
        self.used = 0

    def _use(self, size):
        """How many bytes of a write or erase still get done."""
        self.used += 1
        if self.left is None:
            return size
        self.left -= 1
        return size if self.left >= 0 else size // 2 if self.left == -1 else 0

    def readblocks(self, block, buf, offset=0):
        if self.left is not None and self.left < 0:
            return -5
        at = block * self.SIZE + offset
        buf[:] = self.data[at : at + len(buf)]
        return 0

    def writeblocks(self, block, buf, offset=0):
        size = self._use(len(buf))
        if size:
            at = block * self.SIZE + offset
            self.data[at : at + size] = buf[:size]
        return 0 if size == len(buf) else -5

    def ioctl(self, op, arg):
        if op == 4:
            return len(self.data) // self.SIZE
        if op == 5:
            return self.SIZE
        if op == 6:
            size = self._use(self.SIZE)
            if size:
                at = arg * self.SIZE
                self.data[at : at + size] = b"\xff" * size
            return 0 if size == self.SIZE else -5
        return 0


def cut_everywhere(before, action, after):
    """Prepare a flash with before(), then run action() with a cut at each of its writes; after() looks at the rest.

    Returns (number of cuts tried, set of what after() returned).
    """
    flash = Flash()
    vfs.VfsLfs2.mkfs(flash)
    vfs.mount(flash, "/cut")
    before()
    vfs.umount("/cut")
    image = bytes(flash.data)
    outcomes = set()
    cuts = 0
    done = False
    while not done:
        flash = Flash()
        flash.data[:] = image
        vfs.mount(flash, "/cut")
        flash.left, flash.used = cuts, 0
        try:
            action()
            done = flash.used <= cuts
        except OSError:
            pass
        flash.left = -2  # what is still open is not closed in order
        vfs.umount("/cut")
        again = Flash()
        again.data[:] = flash.data
        vfs.mount(again, "/cut")
        outcomes.add(after())
        vfs.umount("/cut")
        cuts += 1
        assert cuts < 500
    return cuts, outcomes


def test_cut_at_every_write():
    old = {"TAG%d" % n: ["Accepted", n, None] for n in range(20)}
    new = {"TAG%d" % n: ["Blocked", None, "GROUP"] for n in range(0, 30, 3)}
    new["TAG1"] = None
    merged = dict(old)
    merged.update(new)
    tags = ["TAG%d" % n for n in range(31)]

    def state():
        number = S.version("/cut")
        found = content(tags, "/cut")
        want = {1: old, 2: merged, 3: new, 0: {}}[number]
        assert found == {tag: want.get(tag) for tag in tags}, (number, found)
        return number

    for changes, number, keep in ((new, 2, True), (new, 3, False), ({}, 0, False)):
        cuts, outcomes = cut_everywhere(
            lambda: write(1, old, folder="/cut"),
            lambda: write(number or 9, changes, keep, folder="/cut"),
            state,
        )
        assert outcomes == {1, number}, outcomes
        assert cuts > (3 if number else 1), cuts


def test_cut_at_every_write_of_the_cache():
    def before():
        for n in range(6):
            S.remember("/cut", "TAG%d" % n, OK, 6, valid)

    def state():
        found = content(["TAG%d" % n for n in range(7)], "/cut", S.CACHE)
        old = {"TAG%d" % n: OK if n < 6 else None for n in range(7)}
        new = dict(old)
        new["TAG0"], new["TAG6"] = None, BLOCKED
        assert found in (old, new)
        return found == new

    cuts, outcomes = cut_everywhere(before, lambda: S.remember("/cut", "TAG6", BLOCKED, 6, valid), state)
    assert outcomes == {True, False} and cuts > 3


def test_no_space_left():
    flash = Flash(16)
    vfs.VfsLfs2.mkfs(flash)
    vfs.mount(flash, "/cut")
    try:
        write(1, {"TAG%d" % n: OK for n in range(20)}, folder="/cut")
        try:
            write(2, {"LONGER%d" % n: ["Accepted", None, "P" * 20] for n in range(100)}, folder="/cut")
        except OSError:
            pass
        else:
            raise AssertionError("it cannot fit")
        assert S.version("/cut") == 1 and S.look_up("/cut", S.LIST, "TAG7") == OK
        assert os.listdir("/cut") == [S.LIST]
        write(2, {"TAG7": BLOCKED}, folder="/cut")
        assert S.look_up("/cut", S.LIST, "TAG7") == BLOCKED
    finally:
        vfs.umount("/cut")
