"""The charge point's store on a journal: its face, and a power cut at every byte of every write.

# heapsize: 8m
# timeout: 120
"""

import gc
import json
import struct

from fakes import FakeClock
from journal_twin import NAMES, SMALL, Twin, compare, found_in
from powerfiles import PowerFiles

from ocpp16.journal_store import JournalStore


def opened(files, clock=None, **limits):
    return JournalStore(files, clock or FakeClock(), **limits)


def raises(error, call, *arguments):
    try:
        call(*arguments)
    except error as exc:
        return exc
    raise AssertionError("not raised")


# -- the face


def test_queue_keeps_order_and_texts_over_a_restart():
    files = PowerFiles()
    store = opened(files)
    texts = ['{"a":"é%d"}' % n for n in range(20)]
    numbers = [store.append(text.encode()) for text in texts]
    store.discard(numbers[3])
    store.discard(99999)
    for store in (store, opened(PowerFiles(files.disk))):
        assert store.pending() == numbers[:3] + numbers[4:]
        assert [str(store.read(seq), "utf-8") for seq in store.pending()] == texts[:3] + texts[4:]
        raises(KeyError, store.read, numbers[3])


def test_pending_in_parts():
    store = opened(PowerFiles())
    numbers = [store.append(b"m%d" % n) for n in range(10)]
    store.put("x", 1)
    assert store.pending(numbers[4]) == numbers[5:]
    assert store.pending(0, 3) == numbers[:3]
    assert store.pending(numbers[4], 2) == numbers[5:7]
    assert store.pending(numbers[9]) == []


def test_numbers_only_grow_also_when_nothing_was_kept():
    files = PowerFiles()
    last = 0
    for _ in range(5):
        store = opened(files)
        for _ in range(3):
            seq = store.append(b"never stored", urgent=False)
            assert seq > last
            last = seq
            store.discard(seq)
        files = PowerFiles(files.disk)


def test_tags():
    files = PowerFiles()
    store = opened(files)
    a = store.append(b"a", tag=16383)
    b = store.append(b"b")
    for store in (store, opened(PowerFiles(files.disk))):
        assert store.tag(a) == 16383 and store.tag(b) == 0
    assert raises(OSError, store.append, b"c", False, True, 16384).errno == 27


def test_buried_can_be_listed_read_and_discarded():
    files = PowerFiles()
    store = opened(files)
    a, b = store.append(b"first", tag=7), store.append(b"second")
    store.bury(a)
    store.bury(12345)
    for store in (store, opened(PowerFiles(files.disk))):
        assert store.pending() == [b] and store.buried() == [a]
        assert store.read(a) == b"first" and store.tag(a) == 7
    store.discard(a)
    assert store.buried() == []


def test_buried_are_bounded():
    files = PowerFiles()
    store = opened(files)
    numbers = [store.append(b"m%d" % n) for n in range(40)]
    for seq in numbers:
        store.bury(seq)
    store.flush()
    assert store.buried() == numbers[8:]
    assert opened(PowerFiles(files.disk)).buried() == numbers[8:]


def test_bury_before_it_was_written():
    files = PowerFiles()
    store = opened(files)
    store.append(b"opens the log")
    seq = store.append(b"late", urgent=False)
    store.bury(seq)
    store.flush()
    assert opened(PowerFiles(files.disk)).buried() == [seq]


def test_named_values():
    files = PowerFiles()
    store = opened(files)
    store.put("config", {"a": "1", "ü": [1, 2.5, None, True]})
    store.put("gone", 1)
    store.put("gone", None)
    store.put("gone2", 1)
    store.put("tx1", [1])
    store.put("tx1", [2])
    store.put("tx10", "other")
    for store in (store, opened(PowerFiles(files.disk))):
        assert store.get("config") == {"a": "1", "ü": [1, 2.5, None, True]}
        assert store.get("tx1") == [2] and store.get("tx10") == "other"
        assert store.get("gone") is None and store.get("gone", 5) == 5 and store.get("never", 6) == 6
        assert store.pending() == [] and store.buried() == []


def test_falsy_values_are_values():
    store = opened(PowerFiles())
    for value in (0, False, "", [], {}):
        store.put("x", value)
        assert store.get("x") == value and store.get("x") is not None


def test_same_value_costs_no_write():
    files = PowerFiles()
    store = opened(files)
    store.put("config", {"a": "1"})
    before = len(files.trace)
    store.put("config", {"a": "1"})
    store.put("never", None)
    assert len(files.trace) == before
    store = opened(PowerFiles(files.disk))
    store.put("config", {"a": "1"})
    assert store.bytes == 0


def test_same_value_that_still_waits_becomes_durable():
    files = PowerFiles()
    store = opened(files)
    store.put("x", 1)
    store.put("x", 2, urgent=False)
    assert opened(PowerFiles(files.disk)).get("x") == 1
    store.put("x", 2)
    assert opened(PowerFiles(files.disk)).get("x") == 2


def test_waiting_values_are_written_once():
    files = PowerFiles()
    store = opened(files)
    store.put("meter", 0)
    size = sum(len(data) for data in files.disk.values())
    for n in range(1, 200):
        store.put("meter", n, urgent=False)
        assert store.get("meter") == n
    assert opened(PowerFiles(files.disk)).get("meter") == 0
    store.flush()
    assert sum(len(data) for data in files.disk.values()) - size <= 60
    assert opened(PowerFiles(files.disk)).get("meter") == 199


def test_deleting_a_waiting_value_deletes_the_stored_one():
    files = PowerFiles()
    store = opened(files)
    store.put("x", 1)
    store.put("x", 2, urgent=False)
    store.put("x", None)
    assert store.get("x") is None
    assert opened(PowerFiles(files.disk)).get("x") is None


def test_value_that_cannot_be_stored_keeps_the_old_one():
    files = PowerFiles()
    store = opened(files)
    store.put("x", 1)
    store.put("y", 1, urgent=False)
    failures = 0
    for n in range(4):
        files.fail = n
        try:
            store.put("x", 2 + n)
        except OSError:
            assert store.get("x") == 1 and store.get("y") == 1
            failures += 1
        files.fail = None
    assert failures == 4
    store.put("x", 9)
    again = opened(PowerFiles(files.disk))
    assert again.get("x") == 9 and again.get("y") == 1


# -- durability, grouping, wear


def test_not_urgent_waits_at_most_60_s_and_goes_with_the_next():
    files, clock = PowerFiles(), FakeClock()
    store = opened(files, clock)
    store.append(b"first")
    a = store.append(b"late", urgent=False)
    clock.advance(59_999)
    store.tick()
    assert a not in opened(PowerFiles(files.disk)).pending() and store.read(a) == b"late"
    clock.advance(1)
    store.tick()
    assert opened(PowerFiles(files.disk)).read(a) == b"late"
    b = store.append(b"late too", urgent=False)
    c = store.append(b"now")
    assert opened(PowerFiles(files.disk)).pending()[-2:] == [b, c]


def test_waiting_records_are_bounded():
    files = PowerFiles()
    store = opened(files)
    for n in range(300):
        store.append(b"x" * 100, urgent=False)
        assert store.waiting <= 2048
    assert len(opened(PowerFiles(files.disk)).pending()) >= 280


def test_what_is_answered_before_it_is_written_costs_nothing():
    files = PowerFiles()
    store = opened(files)
    store.put("boot", 1)
    before = len(files.trace)
    for _ in range(100):
        store.discard(store.append(b"meter values", urgent=False))
    assert len(files.trace) == before and store.waiting == 0 and store.pending() == []


def test_wear_of_a_charging_hour():
    """A checkpoint a minute and samples that are answered at once: one block a minute."""
    files, clock = PowerFiles(), FakeClock()
    store = opened(files, clock)
    store.put("tx1", [0])
    blocks = store.blocks
    for second in range(0, 3600, 10):
        store.discard(store.append(b"x" * 300, urgent=False), urgent=False)
        if second % 60 == 0:
            store.put("tx1", [1, second, "x" * 200])
        clock.advance(10_000)
        store.tick()
    assert 60 <= store.blocks - blocks <= 80


def test_wear_is_counted_across_restarts():
    files = PowerFiles()
    total = 0
    for boot in range(5):
        store = opened(files)
        assert total <= store.worn <= total + 12
        for n in range(5):
            store.put("n", [boot, n])
        assert store.blocks == (5 if boot else 6)  # the header of the segment
        assert store.bytes > 5 * 16
        total += store.blocks
        files = PowerFiles(files.disk)


def test_wear_is_counted_when_old_segments_are_gone():
    files = PowerFiles()
    store = opened(files, **SMALL)
    for n in range(500):
        store.put("n", n)
    assert "log-00000001" not in files.disk
    total = store.blocks
    assert total <= opened(PowerFiles(files.disk), **SMALL).worn <= total + 10


def test_report():
    from journal_open import report

    store = opened(PowerFiles())
    store.put("n", 1)
    facts = dict(report(store, 43_200_000))
    assert facts["blocks"] == 2 and facts["blocks_per_day"] == 4 and facts["damaged"] == 0
    assert facts["live"] == 16 + len("n 1") and facts["waiting"] == 0 and facts["failed"] == 0


# -- space


def test_full_store_refuses_and_keeps_room_for_vital_records():
    files = PowerFiles()
    store = opened(files, segment=2048, segments=6, records=1000)
    plain = []
    while True:
        try:
            plain.append(store.append(b"m" * 84))
        except OSError as exc:
            assert exc.errno == 28
            break
    assert len(plain) * 100 > store.capacity * 7 // 8 - 100
    vital = [store.append(b"s" * 84, vital=True) for _ in range(store.capacity // 800)]
    store.put("tx1", "still")
    assert raises(OSError, lambda: [store.append(b"s" * 84, vital=True) for _ in range(9)]).errno == 28

    late = []
    for _ in range(40):
        store.discard(store.pending(0, 1)[0], False)
        late.append(store.append(b"s" * 84, vital=True))
    again = opened(PowerFiles(files.disk), segment=2048, segments=6, records=1000)
    assert again.pending()[-40:] == late and vital[-1] in again.pending() and again.get("tx1") == "still"


def test_records_are_bounded_in_number():
    store = opened(PowerFiles(), records=80)
    for _ in range(70):
        store.append(b"x")
    assert raises(OSError, store.append, b"x").errno == 28
    for n in range(10):
        store.append(b"x", vital=True)
    assert raises(OSError, store.append, b"x", True).errno == 28


def test_record_that_is_too_long():
    store = opened(PowerFiles(), **SMALL)
    store.append(b"x" * 112)
    assert raises(OSError, store.append, b"x" * 113).errno == 27
    assert len(store.pending()) == 1


def test_files_stay_within_the_limit_and_a_full_store_at_rest_writes_nothing():
    files, clock = PowerFiles(), FakeClock()
    twin = Twin(files, clock, 5)
    largest = 0
    for _ in range(1500):
        twin.step()
        largest = max(largest, sum(len(data) for data in files.disk.values()))
    assert twin.counts["thin"] > 5 and largest <= 512 * 5
    twin.check_now()
    while not twin.counts.get("full"):
        twin.step("append")
    twin.store.flush()
    for _ in range(100):  # let it finish what it has begun
        clock.advance(1000)
        twin.store.tick()
    before = len(files.trace)
    for _ in range(1000):
        clock.advance(60_000)
        twin.store.tick()
    assert len(files.trace) == before
    twin.check_now()


def test_tidying_up_of_a_full_store_writes_less_than_what_comes_in():
    """Also with the sizes that fill segments worst: a quarter of a segment stays empty at the end of each."""
    for size in (20, 84, 112):
        store = opened(PowerFiles(), segment=512, segments=8, records=200)
        while store.live + size + 16 <= store.capacity:
            store.append(b"x" * size, vital=True)
        queue = store.pending()
        before = store.bytes
        k = 0
        for _ in range(300):
            k = (k * 7 + 3) % len(queue)
            store.discard(queue.pop(k))
            queue.append(store.append(b"x" * size, vital=True))
            for _ in range(3):
                store.tick()
        assert store.bytes - before < 2 * 300 * (size + 32)
        assert store.pending() == queue


def test_queue_that_drains_leaves_no_garbage():
    files, clock = PowerFiles(), FakeClock()
    store = opened(files, clock)
    store.put("config", {"a": "b" * 500})
    for n in range(430):
        store.append(b"m%03d" % n + b"x" * 200)
    assert sum(len(data) for data in files.disk.values()) > 95_000
    for seq in store.pending():
        store.discard(seq, False)
    for _ in range(100):
        store.tick()
    assert sum(len(data) for data in files.disk.values()) < 66_000
    again = opened(PowerFiles(files.disk))
    assert again.get("config") == {"a": "b" * 500}


def test_ram_of_a_full_store():
    """Less than 10 kB on the 32-bit port."""
    files = PowerFiles()
    store = opened(files)
    for name in NAMES:
        store.put(name, 0)
    text = "x" * 250
    for _ in range(430):
        store.append(text.encode())
    store = None
    gc.collect()
    before = gc.mem_alloc()
    store = opened(files)
    gc.collect()
    used = gc.mem_alloc() - before
    assert len(store.pending()) == 430
    print("RAM of 434 records:", used)
    assert used < 2500 * struct.calcsize("P"), used


# -- damage


def test_damaged_value_gives_the_default_and_can_be_written_again():
    files = PowerFiles()
    store = opened(files)
    store.put("a", "first")
    store.put("b", "second")
    name = max(files.disk)
    files.disk[name] = files.disk[name].replace(b'"first"', b'"fIrst"')
    assert store.get("a", "default") == "default" and store.get("b") == "second"
    assert store.damaged == 1
    store.put("a", "third")
    assert opened(PowerFiles(files.disk)).get("a") == "third"


def test_put_over_a_damaged_value():
    files = PowerFiles()
    store = opened(files)
    store.put("a", "first")
    name = max(files.disk)
    files.disk[name] = files.disk[name].replace(b'"first"', b'"fIrst"')
    store.put("a", "second")
    assert store.get("a") == "second" and opened(PowerFiles(files.disk)).get("a") == "second"


# -- storage that fails


def test_storage_that_fails_for_a_while():
    """Whatever operation fails: nothing is lost that was confirmed, and it goes on when the storage is well again."""
    failures = 0
    for n in range(60):
        files, clock = PowerFiles(), FakeClock()
        twin = Twin(files, clock, 40 + n)
        twin.work(60)
        store = twin.store
        twin.thins = False
        store.flush()
        state = found_in(store)
        files.fail = n % 20
        kept = {}
        for k in range(10):
            try:
                seq = store.append(b"t%d" % k, vital=True)
                kept["q", seq] = "t%d" % k
            except OSError:
                failures += 1
            gone = store.pending(0, 1)
            if k == 5 and gone:
                store.discard(gone[0])
                state.pop(("q", gone[0]), None)
                kept.pop(("q", gone[0]), None)
            clock.advance(61_000)
            store.tick()
        files.fail = None
        clock.advance(61_000)
        store.tick()
        store.flush()
        state.update(kept)
        compare(store, [state])
        compare(opened(PowerFiles(files.disk), **SMALL), [state])
    assert failures > 200


def test_full_file_system_makes_no_heap_of_files():
    files = PowerFiles()
    store = opened(files, **SMALL)
    for n in range(30):
        store.append(b"x%d" % n)
    names = set(files.disk)
    files.fail = 1  # the record cannot be written
    raises(OSError, store.append, b"y" * 100)
    for _ in range(50):
        files.fail = 6  # the header of a new segment can, the record cannot
        raises(OSError, store.append, b"y" * 100)
    files.fail = None
    assert len(set(files.disk) - names) <= 2
    store.append(b"z")
    assert [store.read(seq) for seq in store.pending()] == [b"x%d" % n for n in range(30)] + [b"z"]
    assert opened(PowerFiles(files.disk), **SMALL).pending() == store.pending()


def test_json_values_survive_as_they_are():
    files = PowerFiles()
    store = opened(files)
    value = {"k%d" % n: [n, str(n), {"x": None}] for n in range(60)}
    store.put("big", value)
    assert json.dumps(opened(PowerFiles(files.disk)).get("big")) == json.dumps(json.loads(json.dumps(value)))
