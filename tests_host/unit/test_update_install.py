# heapsize: 8m
# timeout: 120
"""Bundles into slots, on a real littlefs: what is taken, what is not, and which program starts after any power cut."""

import asyncio
import os
import sys

import boot
import bundles
import ram_flash
from bundles import bundle, entry, manifest, pack, sign, tar
from fakes import FakeClock, FakeLog
from ram_flash import POINT, RamFlash, put, tree

from charger import files, slots
from charger.install import go_on
from charger.installer import Installer
from charger.trial import watch

A, B = POINT + "/slot_a", POINT + "/slot_b"
OLD = {"main.mpy": b"old main" * 30, "lib/clock.mpy": b"old clock"}
NEW = {"board.mpy": b"", "charger/app.mpy": b"n" * 5000, "lib/ocpp16/rpc.mpy": b"rpc" * 400, "main.mpy": b"new" * 20}
STALE = {"main.mpy": b"older", "gone/away.mpy": b"x" * 600}
_last = None  # RamFlash that is mounted
_image = None  # of a flash with the old program in slot_a, an older one in slot_b


class Charger:
    """What installer and trial see of the program: real files; the self-test is that of charger.selftest."""

    buses = outlets = ()
    online = connected = False
    registration = "Accepted"

    def __init__(self, allow_downgrade=False, keys="", trial_s=600):
        self.hal = self
        self.cp = self
        self.clock = FakeClock()
        self.log = FakeLog()
        self.data_dir = POINT + "/data"
        self.update_rules = (allow_downgrade, keys, trial_s)
        self.connectors = ()
        self.resets = []  # asked for by the program
        self.restarts = []  # of the board
        self.cause = "soft"

    def reset_cause(self):
        return self.cause

    def request_reset(self, hard):
        self.resets.append(hard)

    def reset(self, hard):
        self.restarts.append(hard)


def slot(folder, files, version="1.0.0"):
    for path, data in files.items():
        put(folder + "/" + path, data)
    put(folder + "/manifest.json", manifest(files, version=version))


def start():
    """A flash as `image` has it, mounted; the program in slot_a runs."""
    global _image, _last
    if _image is None:
        flash = RamFlash()
        flash.mount()
        slot(A, OLD)
        slot(B, STALE, "0.9.0")
        put(POINT + "/slot.txt", b"slot_a good\n")
        put(POINT + "/data/keys/one.pem", bundles.public_key())
        flash.unmount()
        _image = bytes(flash.image)
    if _last is None:
        _last = RamFlash(_image)
    _last.load(_image)
    _last.mount()
    run_from(A)
    return _last


def run_from(folder):
    sys.path[:] = [path for path in sys.path if not path.startswith(POINT)]
    sys.path.insert(0, folder)


def teardown():
    run_from("")
    sys.path.pop(0)
    try:
        ram_flash.vfs.umount(POINT)
    except OSError:
        pass


def is_program(folder, files, version):
    """Is the slot whole, and every byte of it right?"""
    found = {path: data for path, data in tree(folder).items() if data is not None}
    found.pop("trial", None)
    return found.pop("manifest.json", None) == manifest(files, version=version) and found == files


def take(data, charger=None, size=-1):
    """Hand a bundle to an installer, and start again; return None, or the text of the refusal."""
    charger = charger or Charger()
    installer = Installer(charger)
    installer.open(len(data) if size == -1 else size)
    for at in range(0, len(data), 1000):
        installer.write(memoryview(data)[at : at + 1000])
    try:
        asyncio.run(installer.install())
    except ValueError as exc:
        installer.abort()
        return str(exc)
    go_on(charger)
    if charger.restarts:
        assert charger.restarts == [True]
        return None
    return files.read_json(charger.data_dir + "/update.json")["error"]


def start_again():
    """What boot.py does, and the program that it picks: which one runs in the end."""
    folder = boot.pick(POINT)
    run_from(folder)
    charger = Charger()
    go_on(charger)
    return start_again() if charger.restarts else folder


def outcome(charger=None):
    return asyncio.run(Installer(charger or Charger()).outcome())


def quickly(charger, coroutine):
    """Run it in the charger's time."""
    real = asyncio.sleep_ms

    async def quick(ms):
        charger.clock.advance(ms)
        assert charger.clock.uptime_ms() < 3_600_000, charger.log.lines
        await real(0)

    asyncio.sleep_ms = quick
    try:
        asyncio.run(coroutine)
    finally:
        asyncio.sleep_ms = real


def test_good_bundle():
    start()
    assert take(bundle(NEW)) is None
    assert is_program(A, OLD, "1.0.0") and is_program(B, NEW, "1.2.3"), tree(B)
    assert sorted(tree(POINT + "/data")) == ["keys", "keys/one.pem", "update.json"]
    assert slots.is_on_trial(B) and not slots.is_on_trial(A)
    for left in (2, 1, 0):  # three starts
        assert boot.pick(POINT) == B
        assert tree()["slot.txt"] == b"slot_b try %d\n" % left
    assert boot.pick(POINT) == A and boot.pick(POINT) == A
    assert tree()["slot.txt"] == b"slot_a good\n" and not slots.is_whole(B)
    charger = Charger()
    assert outcome(charger) is False
    assert any("1.2.3 was tried" in str(line) for line in charger.log.lines), charger.log.lines


def test_confirmed():
    start()
    take(bundle(NEW))
    assert boot.pick(POINT) == B
    run_from(B)
    charger = Charger()
    charger.online = charger.connected = True

    async def run():
        task = asyncio.create_task(watch(charger, B))
        assert await Installer(charger).outcome() is True
        await task

    quickly(charger, run())
    # The self-test is asked when the program has run for six seconds.
    assert charger.clock.uptime_ms() >= 6000 and not charger.resets
    assert tree()["slot.txt"] == b"slot_b good\n" and "trial" not in tree(B)
    for _ in range(5):
        assert boot.pick(POINT) == B
    assert outcome() is True, "asked again after a power cut"
    # The next update goes to the other slot.
    newest = dict(NEW)
    newest["main.mpy"] = b"newest"
    assert take(bundle(newest, version="1.10.0")) is None
    assert is_program(A, newest, "1.10.0") and is_program(B, NEW, "1.2.3") and slots.is_on_trial(A)


def test_trial_that_nobody_accepts():
    start()
    take(bundle(NEW))
    boot.pick(POINT)
    run_from(B)
    charger = Charger(trial_s=30)
    quickly(charger, watch(charger, B))
    assert charger.resets == [False] and slots.is_on_trial(B)
    assert 30_000 <= charger.clock.uptime_ms() < 33_000


def test_self_test_on_trial():
    """Accepted, but worse than the program before: it does not stay. A fault of the site is not held against it."""
    for cause_before, cause, stays in (("soft", "watchdog", False), ("watchdog", "watchdog", True)):
        flash = start()
        before = Charger()
        before.cause = cause_before
        take(bundle(NEW), before)
        boot.pick(POINT)
        run_from(B)
        charger = Charger(trial_s=30)
        charger.cause = cause
        charger.online = charger.connected = True
        quickly(charger, watch(charger, B))
        assert slots.is_on_trial(B) != stays and charger.resets == ([] if stays else [False])
        assert stays or any("program start" in line[2] for line in charger.log.lines), charger.log.lines
        flash.unmount()


def _without(files, name):
    return {path: data for path, data in files.items() if path != name}


def _with(files, name, data):
    return dict(_without(files, name), **{name: data})


def _flip(data, at):
    return data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]


def _lines(old, new):
    """A manifest of NEW with one text replaced, signed."""
    text = manifest(NEW)
    assert old in text
    text = text.replace(old, new)
    return pack(tar(NEW, text))


def _refusals():
    """(bundle, part of the reason)"""
    good = tar(NEW)
    whole = pack(good)
    text = manifest(NEW)
    head = entry("manifest.json", text) + entry("manifest.sig", sign(text))
    body = b"".join([entry(path, NEW[path]) for path in sorted(NEW)])
    end = bytes(1024)
    yield b"#!/bin/sh\n", "no bundle"
    yield b"", "no bundle"
    yield b"\x1f\x8b", "cut off"
    for size in (20, 400, 2000, len(whole) // 2, len(whole) - 1100):
        yield whole[:size], "cut off"
    yield pack(b""), "cut off"
    yield pack(end), "manifest"
    yield pack(body + end), "manifest"
    yield pack(entry("manifest.json", text) + body + end), "not signed"
    yield pack(entry("manifest.sig", sign(text)) + entry("manifest.json", text) + body + end), "manifest"
    yield pack(tar(NEW, signature=sign(text + b" "))), "bad signature"
    yield pack(tar(NEW, signature=sign(text, 12345))), "bad signature"
    yield pack(tar(NEW, signature=b"")), "bad signature"
    yield pack(tar(NEW, signature=bytes(300))), "bad signature"
    yield pack(tar(NEW, signature=bytes(600))), "not signed"
    yield pack(tar(NEW, text.replace(b"1.2.3", b"9.2.3"), sign(text))), "bad signature"
    yield bundle(NEW, board="esp32_s3"), "for board esp32_s3, this is sim"
    yield bundle(NEW, port="esp32"), "for port"
    yield bundle(NEW, chip="esp32s3"), "for chip"
    yield bundle(NEW, mpy=5), "another MicroPython"
    yield bundle(NEW, mpy="6"), "unreadable"
    yield bundle(NEW, micropython="9.9"), "needs MicroPython 9.9"
    yield bundle(NEW, version="0.9.9"), "older than 1.0.0"
    yield bundle(NEW, version="1"), "older than"
    yield bundle(NEW, version="new"), "version new"
    yield pack(head + b"".join([entry(p, NEW[p]) for p in sorted(NEW)[:-1]]) + end), "incomplete"
    yield pack(head + body + entry("z.mpy", b"z") + end), "more than its manifest"
    yield pack(head + b"".join([entry(p, NEW[p]) for p in sorted(NEW, reverse=True)]) + end), "order"
    yield pack(tar(_with(NEW, "main.mpy", b"NEW" * 20), text)), "damaged: main.mpy"
    yield pack(tar(_with(NEW, "main.mpy", b"new" * 21), text)), "order"
    yield pack(head + body), "cut off"
    yield pack(_flip(good, 5)), "checksum"
    yield pack(_flip(good, len(head) + 600)), "checksum"
    bad = ("../x.mpy", "/x.mpy", "a/../../x", "a//x", "a/", "./x", "x\\y", "x y", "\xe4", "trial", "manifest.json")
    for name in bad:
        evil = _with(_without(NEW, "board.mpy"), name, b"x")
        yield pack(tar(evil, manifest(evil))), "manifest: "
    for path in ("../x.mpy", "/x.mpy", "lib/../../x.mpy"):
        yield pack(head + entry(path, b"x") + end), "bad name"
    for kind in (b"1", b"2", b"3", b"5", b"6", b"x", b"g", b"L"):
        yield pack(head + entry("board.mpy", b"", kind, link=b"/etc/passwd") + end), "not a file"
    yield pack(entry("manifest.json", text, magic=b"ustar  \0") + end), "ustar"
    yield pack(entry("manifest.json", b"", size=1 << 20) + end), "manifest"
    yield _lines(b'"files": {\n', b'"more": 1,\n"files": {\n'), "unknown kind"
    yield _lines(b"}}\n", b"}}\n{}\n"), "cut off"
    yield _lines(b"\n}}\n", b"\n"), "manifest"
    yield _lines(b'"main.mpy"', b'"board.mpy"'), "manifest: "
    yield _lines(b"[5000,", b"[-1,"), "manifest: "
    yield _lines(b"[5000,", b'["5",'), "manifest: "
    yield _lines(b"[5000,", b"[2000000,"), "manifest: "
    yield _lines(b"[5000,", b"[5001,"), "order"
    yield _lines(b"[5000,", b"[500000,"), "more are needed on the flash"
    yield _lines(b'"main.mpy"', b'"' + b"m" * 300 + b'"'), "line too long"


def test_refusals():
    """Each leaves the running program, its marker and a clean data folder; and before the signature is right, and what
    it covers fits, the other slot is not touched."""
    for data, reason in _refusals():
        flash = start()
        charger = Charger()
        said = take(data, charger)
        assert said is not None and reason in said, (said, reason)
        assert is_program(A, OLD, "1.0.0") and tree()["slot.txt"] == b"slot_a good\n", reason
        assert is_program(B, STALE, "0.9.0") or not slots.is_whole(B), reason
        early = ("signature", "signed", "for ", "older", "version", "another", "needs", "more are needed", "unreadable")
        if reason.startswith(early):
            assert is_program(B, STALE, "0.9.0"), reason
        assert set(tree(POINT + "/data")) | {"update.json"} == {"keys", "keys/one.pem", "update.json"}, reason
        assert boot.pick(POINT) == A and outcome() in (False, None) and start_again() == A
        assert take(bundle(NEW)) is None, "a good one is taken afterwards"
        flash.unmount()


def test_rules():
    start()
    old = bundle(NEW, version="0.1.0")
    assert "older" in take(old)
    assert take(old, Charger(allow_downgrade=True)) is None
    start()
    assert take(bundle(NEW, version="1.0.0")) is None, "the same again"
    start()
    assert "there is no key" in take(bundle(NEW), Charger(keys=POINT + "/none"))
    put(POINT + "/other/a.pem", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")
    put(POINT + "/other/b.pem", bundles.public_key(777))
    assert "bad signature" in take(bundle(NEW), Charger(keys=POINT + "/other"))
    put(POINT + "/other/c.pem", bundles.public_key())
    assert take(bundle(NEW), Charger(keys=POINT + "/other")) is None
    run_from(POINT + "/program")
    assert "does not run from a slot" in take(bundle(NEW)) and outcome() is None


def test_full_flash():
    """Whatever the size of the flash: taken, or refused with the program that runs untouched."""
    answers = set()
    for fill in range(12):
        flash = start()
        put(POINT + "/fill", b"f" * 4096 * (20 + 2 * fill))
        try:
            said = take(bundle(_with(NEW, "big.mpy", bytes(range(256)) * 64)))
        except OSError as exc:
            said = "no room for the download: %s" % exc
        answers.add("taken" if said is None else said.split(" ")[-1])
        assert is_program(A, OLD, "1.0.0")
        assert boot.pick(POINT) == (B if said is None else A)
        flash.unmount()
    assert answers >= {"taken", "flash"}, answers


def test_power_cut_everywhere():
    """Before and in the middle of every write and erase of an update: a whole program starts, and the rest follows."""
    data = bundle(NEW)
    flash = start()
    flash.record()
    assert take(data) is None
    assert boot.pick(POINT) == B
    slots.settle(B)
    flash.unmount()
    seen = {}
    gone_on = 0
    after = RamFlash(_image)
    for image in flash.cuts():
        image = bytes(image)
        after.load(image)
        after.mount()
        folder = boot.pick(POINT)
        program, version = (OLD, "1.0.0") if folder == A else (NEW, "1.2.3")
        assert folder in (A, B) and is_program(folder, program, version), seen
        run_from(folder)
        told = "trial" if slots.is_on_trial(folder) else outcome()
        seen[folder[-1], told] = count = seen.get((folder[-1], told), 0) + 1
        assert (folder[-1], told) in (("a", None), ("b", "trial"), ("b", True)), (folder, told)
        if folder == A and count % 3 == 1:
            after.load(image)
            after.mount()
            if start_again() == A:  # nothing waits: the update begins anew, as it does after a power cut
                assert outcome() is None and take(data) is None and boot.pick(POINT) == B
            else:
                gone_on += 1
            assert slots.is_on_trial(B) and is_program(B, NEW, "1.2.3") and "update.part" not in tree(POINT + "/data")
        elif told == "trial":  # nobody confirms it
            picks = [boot.pick(POINT) for _ in range(4)]
            assert picks[-1] == A and is_program(A, OLD, "1.0.0"), picks
            run_from(A)
            assert outcome() is False
        after.unmount()
    assert set(seen) == {("a", None), ("b", "trial"), ("b", True)} and sum(seen.values()) > 100 and gone_on > 20, seen


def test_installation_that_never_comes_to_its_end():
    """A start that dies in it, without an exception, does so three times; then the old program starts."""
    start()
    installer = Installer(Charger())
    data = bundle(NEW)
    installer.open(len(data))
    installer.write(data)
    asyncio.run(installer.install())
    for tries in range(3):
        record = files.read_json(POINT + "/data/update.json")
        assert record["tries"] == tries
        record["tries"] += 1  # that start counted, and died
        files.write_json(POINT + "/data/update.json", record)
    charger = Charger()
    go_on(charger)
    assert not charger.restarts and is_program(B, STALE, "0.9.0")
    assert outcome() is False and "interrupted 3 times" in files.read_json(POINT + "/data/update.json")["error"]
    go_on(charger)
    assert not charger.restarts


def test_what_nobody_thought_of():
    """No bug of the installation keeps the charger from its start."""
    real = slots.empty

    def fails(folder):
        raise MemoryError

    slots.empty = fails
    try:
        start()
        assert "MemoryError" in take(bundle(NEW))
    finally:
        slots.empty = real
    assert start_again() == A and is_program(B, STALE, "0.9.0")


def test_power_cut_with_a_wrong_marker():
    """It names the slot that is written: this must not make it the next one, let alone for good."""
    flash = start()
    os.remove(B + "/manifest.json")
    put(POINT + "/slot.txt", b"slot_b good\n")
    assert boot.pick(POINT) == A
    flash.record()
    assert take(bundle(NEW)) is None
    flash.unmount()
    after = RamFlash(_image)
    seen = set()
    for image in flash.cuts():
        after.load(image)
        after.mount()
        folder = boot.pick(POINT)
        assert folder == A or slots.is_on_trial(B)
        seen.add(folder)
        after.unmount()
    assert seen == {A, B}


def test_power_cut_on_the_way_back():
    """While boot.py gives a program up."""
    flash = start()
    take(bundle(NEW))
    for _ in range(3):
        boot.pick(POINT)
    flash.record()
    assert boot.pick(POINT) == A
    flash.unmount()
    count = 0
    after = RamFlash(_image)
    for image in flash.cuts():
        after.load(image)
        after.mount()
        assert boot.pick(POINT) == A and boot.pick(POINT) == A and is_program(A, OLD, "1.0.0")
        run_from(A)
        assert outcome() is False
        after.unmount()
        count += 1
    assert count > 6, count


def test_damaged_marker():
    start()
    take(bundle(NEW))
    for text in (b"", b"slot_b", b"slot_b try 3", b"slot_c good\n", b"slot_b try x\n", b"\xff" * 12, b"slot_b good\n_"):
        put(POINT + "/slot.txt", text)
        assert boot.pick(POINT) == A, "the one that has shown that it works: %r" % text
    os.remove(POINT + "/slot.txt")
    assert boot.pick(POINT) == A
    os.remove(A + "/manifest.json")
    assert boot.pick(POINT) == B
    os.remove(B + "/main.mpy")
    assert boot.pick(POINT) is None


def test_damaged_marker_while_the_first_slot_is_on_trial():
    start()
    take(bundle(NEW))
    slots.settle(B)
    run_from(B)
    assert take(bundle(OLD, version="1.3.0")) is None and slots.is_on_trial(A)
    os.remove(POINT + "/slot.txt")
    assert boot.pick(POINT) == B


def test_marker_that_cannot_be_written():
    """A trial that cannot be counted would be one for ever."""
    start()
    take(bundle(NEW))
    put(POINT + "/slot.txt.new/in_the_way", b"")
    assert boot.pick(POINT) == A and boot.pick(POINT) == A


def test_program_in_rom():
    """A read-only program is the way back, too."""
    start()
    slots.empty(A)
    slots.empty(B)
    slot(POINT + "/rom", OLD)
    assert boot.pick(POINT) == POINT + "/rom"
    run_from(POINT + "/rom")
    assert take(bundle(NEW)) is None and is_program(A, NEW, "1.2.3")
    assert [boot.pick(POINT)[len(POINT) :] for _ in range(5)] == ["/slot_a"] * 3 + ["/rom"] * 2
    run_from(POINT + "/rom")
    assert outcome() is False


def test_state_and_roll_back():
    """What a technician sees, and the way back that he takes."""
    start()
    assert slots.state() == [("slot_a", "1.0.0", "runs"), ("slot_b", "0.9.0", "ready")]
    assert slots.roll_back() == "0.9.0" and boot.pick(POINT) == B and boot.pick(POINT) == B
    run_from(B)
    assert slots.state() == [("slot_a", "1.0.0", "ready"), ("slot_b", "0.9.0", "runs")]
    assert slots.roll_back() == "1.0.0" and boot.pick(POINT) == A
    run_from(A)
    assert take(bundle(NEW)) is None
    assert slots.state() == [("slot_a", "1.0.0", "runs"), ("slot_b", "1.2.3", "on trial next")]
    assert boot.pick(POINT) == B
    run_from(B)
    assert slots.state()[1] == ("slot_b", "1.2.3", "runs on trial")
    assert slots.roll_back() == "1.0.0"
    assert start_again() == A and outcome() is False, "the update is over, and does not begin anew"
    assert slots.state() == [("slot_a", "1.0.0", "runs"), ("slot_b", "1.2.3", "given up")]
    for folder in (A, POINT + "/program"):
        run_from(folder)
        try:
            slots.roll_back()
        except ValueError:
            continue
        raise AssertionError(folder)
    assert slots.state() == [("slot_a", "", "empty"), ("slot_b", "", "empty")]
    run_from(A)
    slots.empty(B)
    assert slots.state()[1] == ("slot_b", "", "empty")


def test_both_read_the_marker_alike():
    """boot.py and slots.py share no code."""
    start()
    slots.settle(A)
    assert boot._marked(POINT) == ("slot_a", None) and not slots.is_on_trial(A)
    slots.begin_trial(B)
    assert boot._marked(POINT) == ("slot_b", 3) and slots.is_on_trial(B) and not slots.is_on_trial(A)
    boot.pick(POINT)
    assert boot._marked(POINT) == (("slot_b", 2)) and slots.is_on_trial(B)
