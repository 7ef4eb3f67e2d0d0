"""The journal itself: damage of every kind, and real file systems.

# heapsize: 4m
# timeout: 120
"""

import os

from fakes import FakeClock
from journal import Journal
from journal_tidy import change
from journal_twin import SMALL, Twin, compare, found_in
from journal_write import Files
from powerfiles import PowerFiles

from ocpp16.journal_store import JournalStore

FOLDER = "/tmp/test-journal-%x" % int.from_bytes(os.urandom(6), "big")

WIDE = dict(SMALL, segments=8)


def opened(files, **limits):
    return Journal(files, FakeClock(), **limits)


def texts(journal):
    return [journal.read(seq) for seq in journal.numbers()]


def filled(count=14, **limits):
    """Files of several segments with the records b"record 0", b"record 1", ..."""
    files = PowerFiles()
    journal = opened(files, **(limits or WIDE))
    for n in range(count):
        journal.append(b"record %d " % n + b"." * 60, vital=True)
    return files, [journal.read(seq) for seq in journal.numbers()]


def left_of(data, length, expected):
    """The records that are whole when a segment is cut to that length, or are in another one."""
    return [
        text for text in expected if text not in data or text + data[data.find(text) + len(text) :][:4] in data[:length]
    ]


def segments(files):
    return sorted(name for name in files.disk if name.startswith("log-"))


def kept_aside(files):
    return sorted(name for name in files.disk if name.startswith("bad-"))


def check_repaired(files, expected, damaged=1):
    """It opens with these records, damage counted once, and the next start finds nothing wrong any more."""
    journal = opened(files, **WIDE)
    assert texts(journal) == expected, texts(journal)
    assert journal.damaged == damaged
    journal.append(b"new")
    again = opened(PowerFiles(files.disk), **WIDE)
    assert texts(again) == expected + [b"new"] and again.damaged == 0 and not again.torn
    return journal


# -- damage


def test_wrong_checksum_in_each_segment():
    files, expected = filled()
    names = segments(files)
    assert len(names) == 3
    for name in names:
        for place in (30, 33, 50, len(files.disk[name]) // 2, len(files.disk[name]) - 2):
            hurt = PowerFiles(files.disk)
            data = bytearray(hurt.disk[name])
            data[place] ^= 0x10
            hurt.disk[name] = bytes(data)
            journal = opened(hurt, **WIDE)
            left = texts(journal)
            assert len(left) >= 13 and [text for text in expected if text in left] == left
            if name != names[-1] or place < 300:  # else it is the last record, and might be a cut
                assert journal.damaged == 1 and kept_aside(hurt) == ["bad" + name[3:]]
                assert hurt.disk["bad" + name[3:]] == bytes(data)
            check_repaired(hurt, left, 0)


def test_damaged_header_costs_no_record():
    files, expected = filled()
    for name in segments(files):
        for place in range(28):
            hurt = PowerFiles(files.disk)
            data = bytearray(hurt.disk[name])
            data[place] ^= 0xFF
            hurt.disk[name] = bytes(data)
            check_repaired(hurt, expected)


def test_truncated_segment():
    files, expected = filled()
    names = segments(files)
    data = files.disk[names[0]]
    for length in (0, 5, 28, 29, 100, len(data) - 1):
        hurt = PowerFiles(files.disk)
        hurt.disk[names[0]] = data[:length]
        check_repaired(hurt, left_of(data, length, expected))


def test_truncated_tail_of_the_newest_is_a_cut():
    files, expected = filled()
    name = segments(files)[-1]
    data = files.disk[name]
    for length in range(29, len(data)):
        hurt = PowerFiles(files.disk)
        hurt.disk[name] = data[:length]
        journal = opened(hurt, **WIDE)
        left = texts(journal)
        assert left == left_of(data, length, expected)
        assert journal.damaged == 0 and journal.torn == (data[:length] != data[: journal.sound])
        journal.append(b"goes on")
        again = opened(PowerFiles(hurt.disk), **WIDE)
        assert texts(again) == left + [b"goes on"] and again.damaged == 0 and not again.torn


def test_garbage_inserted():
    files, expected = filled()
    names = segments(files)
    for name in names:
        data = files.disk[name]
        for place in (0, 28, 29, 150, len(data)):
            for garbage in (b"\x00" * 40, b"\xff", b"\xa7", b"\xa7\x01\x05\x00\x99", data[28:60], os.urandom(700)):
                hurt = PowerFiles(files.disk)
                hurt.disk[name] = data[:place] + garbage + data[place:]
                journal = opened(hurt, **WIDE)
                left = texts(journal)
                inside = place not in (0, 28, len(data))
                assert len(left) >= len(expected) - inside and [text for text in expected if text in left] == left
                behind = place == len(data)  # a torn write of the newest, or what was invalid already
                assert journal.damaged == (0 if behind else 1), (name, place, garbage)
                check_repaired(PowerFiles(hurt.disk), left, 0)


def test_segment_of_noise():
    files, expected = filled()
    for name in segments(files):
        hurt = PowerFiles(files.disk)
        gone = hurt.disk[name]
        hurt.disk[name] = os.urandom(500)
        check_repaired(hurt, [text for text in expected if text not in gone])
        assert kept_aside(hurt) == ["bad" + name[3:]]


def test_everything_is_noise():
    files, _ = filled()
    for name in segments(files):
        files.disk[name] = os.urandom(500)
    check_repaired(files, [], 3)
    assert len(kept_aside(files)) == 2  # the newest two


def test_dropped_records_stay_dropped_when_another_is_damaged():
    files = PowerFiles()
    journal = opened(files, **WIDE)
    numbers = [journal.append(b"record %d " % n + b"." * 60, vital=True) for n in range(12)]
    for seq in numbers[1::2]:
        journal.discard(seq)
    name = segments(files)[0]
    files.disk[name] = files.disk[name].replace(b"record 0", b"rEcord 0")
    check_repaired(files, [b"record %d " % n + b"." * 60 for n in range(2, 12, 2)])


def test_missing_segment():
    files, expected = filled()
    for name in segments(files)[:-1]:
        hurt = PowerFiles(files.disk)
        gone = hurt.disk.pop(name)
        journal = opened(hurt, **WIDE)
        left = [text for text in expected if text not in gone]
        assert texts(journal) == left
        assert journal.damaged == (0 if name == segments(files)[0] else 1)  # the oldest may have been done with
        check_repaired(PowerFiles(hurt.disk), left, 0)


def test_removed_segment_that_comes_back():
    """Without the directory flushed, a removed file may be there again after a cut: it is out of force."""
    files = PowerFiles()
    journal = opened(files, **WIDE)
    first = [journal.append(b"old %d" % n) for n in range(10)]
    name = segments(files)[0]
    for seq in first[1:]:
        journal.discard(seq)
    stale = files.disk[name]
    while name in files.disk:
        journal.discard(journal.append(b"." * 100))
    change(journal, first[0], 2)
    while len(segments(files)) < 2 or segments(files)[0] < "log-00000004":
        journal.discard(journal.append(b"." * 100))
    files.disk[name] = stale
    again = opened(files, **WIDE)
    assert again.numbers() == [] and again.numbers(0, None, 2) == first[:1] and again.damaged == 0
    assert name not in files.disk


def test_copy_of_a_segment_under_another_number():
    files, _ = filled()
    journal = opened(files, **WIDE)
    oldest = files.disk[segments(files)[0]]
    journal.discard(journal.numbers()[0])
    left = texts(journal)
    files.disk["log-00000009"] = oldest
    check_repaired(files, left)
    assert kept_aside(files) == ["bad-00000009"]


def test_foreign_files_are_left_alone():
    files, expected = filled()
    foreign = {
        "log-1": b"a",
        "log-000000001": b"b",
        "log-0000000x": b"c",
        "log-00000001.tmp": b"d",
        "LOG-00000002": b"e",
        "q-00000001": b"f",
        "bad": b"g",
        "": b"h",
    }
    files.disk.update(foreign)
    check_repaired(files, expected, 0)
    assert all(files.disk[name] == data for name, data in foreign.items())


def test_order_of_the_listing_does_not_matter():
    files, expected = filled()

    class Reversed(PowerFiles):
        def names(self):
            return list(reversed(sorted(self.disk)))

    assert texts(opened(Reversed(files.disk), **WIDE)) == expected


def test_record_that_rots_while_it_is_open():
    files = PowerFiles()
    journal = opened(files, **WIDE)
    numbers = [journal.append(b"record %d " % n + b"." * 60) for n in range(7)]
    name = segments(files)[0]
    files.disk[name] = files.disk[name].replace(b"record 2", b"rEcord 2")
    try:
        journal.read(numbers[2])
    except KeyError:
        pass
    else:
        raise AssertionError("read")
    assert journal.damaged == 1
    for _ in range(80):  # until that segment must be copied
        journal.discard(journal.append(b"." * 100))
    assert kept_aside(files) == ["bad" + name[3:]]
    left = [b"record %d " % n + b"." * 60 for n in (0, 1, 3, 4, 5, 6)]
    assert texts(journal) == left and journal.numbers() == numbers[:2] + numbers[3:]
    check_repaired(PowerFiles(files.disk), left, 0)


def test_file_that_vanishes_while_it_is_open():
    files, _ = filled()
    journal = opened(files, **WIDE)
    del files.disk[segments(files)[1]]
    lost = 0
    for seq in journal.numbers():
        try:
            journal.read(seq)
        except KeyError:
            lost += 1
            journal.discard(seq)
    assert lost == journal.damaged == 5
    seq = journal.append(b"goes on")
    assert opened(PowerFiles(files.disk), **WIDE).read(seq) == b"goes on"


def test_somebody_else_wrote_into_the_newest():
    files, expected = filled()
    journal = opened(files, **WIDE)
    name = segments(files)[-1]
    files.disk[name] += b"who are you"
    try:
        journal.append(b"first")
    except OSError:
        pass
    journal.append(b"second")
    assert texts(opened(PowerFiles(files.disk), **WIDE)) == expected + [b"second"]


def test_no_file_system():
    class Broken(PowerFiles):
        def names(self):
            raise OSError(19)

    try:
        opened(Broken())
    except OSError:
        return
    raise AssertionError("opened")


def test_limits_may_become_smaller():
    files, expected = filled(60, segment=4096, segments=8, records=100)
    journal = opened(files, segment=1024, segments=4, records=20)
    assert texts(journal) == expected
    for call in (lambda: journal.append(b"x"), lambda: journal.append(b"x", vital=True)):
        try:
            call()
        except OSError:
            continue
        raise AssertionError("stored")
    for seq in journal.numbers()[:55]:
        journal.discard(seq)
    journal.append(b"fits again")
    for _ in range(200):
        journal.tick()
    assert texts(opened(PowerFiles(files.disk), segment=1024, segments=4)) == expected[55:] + [b"fits again"]
    assert sum(len(data) for data in files.disk.values()) <= 4096 + 1024


def test_places_wrap():
    """Segment numbers go beyond the 14 bits that a place has for them."""
    files = PowerFiles()
    journal = opened(files, **WIDE)
    journal.head = 0x3FFC
    journal.first = 0x3FFC
    kept = []
    for n in range(60):
        kept.append(journal.append(b"record %d" % n + b"." * 60))
        if len(kept) > 5:
            journal.discard(kept.pop(0))
        assert [journal.read(seq)[:8] for seq in kept][-1] == (b"record %d" % n)[:8]
    assert journal.first > 0x4000
    assert opened(PowerFiles(files.disk), **WIDE).numbers() == kept


def test_unusable_limits():
    for limits in ({"segment": 511}, {"segment": 65537}, {"segments": 3}):
        try:
            Journal(PowerFiles(), FakeClock(), **limits)
        except ValueError:
            continue
        raise AssertionError(limits)


def test_open_reads_each_segment_at_most_twice():
    files, _ = filled(40, segment=4096, segments=8, records=100)
    again = PowerFiles(files.disk)
    opened(again, segment=4096, segments=8)
    assert again.reads <= 2 * len(files.disk) and not again.trace


# -- real file systems


def test_on_this_computers_file_system():
    clock = FakeClock()

    class Counted(Files):
        trace = ()  # no cuts here

    files = Counted(FOLDER + "/a/b")
    files.make()
    twin = Twin(files, clock, 77)
    try:
        for _ in range(10):
            twin.work(30)
            twin.check_now()
            twin.store.flush()
            compare(JournalStore(FOLDER + "/a/b", clock, **SMALL), [found_in(twin.store)])
        assert twin.store.failed == twin.store.damaged == 0
    finally:
        for name in os.listdir(FOLDER + "/a/b"):
            os.remove(FOLDER + "/a/b/" + name)
        for folder in ("/a/b", "/a", ""):
            os.rmdir(FOLDER + folder)


class Flash:
    """NOR flash in RAM for littlefs, which remembers every program and erase."""

    BLOCK = 4096

    def __init__(self, image):
        self.image = image
        self.trace = []  # (address, data or None: erase)

    def readblocks(self, block, buf, offset=0):
        at = block * self.BLOCK + offset
        buf[:] = memoryview(self.image)[at : at + len(buf)]

    def writeblocks(self, block, buf, offset=0):
        at = block * self.BLOCK + offset
        self.trace.append((at, bytes(buf)))
        self.image[at : at + len(buf)] = buf

    def ioctl(self, operation, argument):
        if operation == 4:
            return len(self.image) // self.BLOCK
        if operation == 5:
            return self.BLOCK
        if operation == 6:
            at = argument * self.BLOCK
            self.trace.append((at, None))
            self.image[at : at + self.BLOCK] = b"\xff" * self.BLOCK
            return 0
        return 0


def mounted(flash):
    import vfs

    vfs.mount(vfs.VfsLfs2(flash, readsize=32, progsize=32, lookahead=32), "/lfs")


def test_power_cut_at_every_flash_operation_under_littlefs():
    """The file system of the device, with its sizes, and the power going in the middle of a program or an erase."""
    import vfs

    image = bytearray(b"\xff" * (4096 * 16))
    flash = Flash(image)
    vfs.VfsLfs2.mkfs(flash, readsize=32, progsize=32, lookahead=32)
    image = bytearray(flash.image)
    flash.trace = []
    limits = {"segment": 1024, "segments": 4, "records": 40}
    mounted(flash)
    try:
        files = Files("/lfs/ocpp")
        files.make()
        files.trace = flash.trace
        twin = Twin(files, FakeClock(), 5, **limits)
        twin.work(200)
        twin.check_now()
    finally:
        vfs.umount("/lfs")
    assert len(flash.trace) > 300
    for position, (at, data) in enumerate(flash.trace):
        size = 4096 if data is None else len(data)
        data = data or b"\xff" * 4096
        image[at : at + size // 2] = data[: size // 2]
        after = Flash(bytearray(image))
        image[at : at + size] = data
        mounted(after)
        try:
            store = JournalStore("/lfs/ocpp", FakeClock(), **limits)
            twin.after_cut(position, store)
            assert store.damaged == 0 and not store.torn
            for seq in store.pending(0, 5):
                store.discard(seq, False)
            store.append(b"goes on", vital=True)
        except Exception:
            print("cut", position, "of", len(flash.trace), hex(at), size)
            raise
        finally:
            vfs.umount("/lfs")
