"""The charge point's store after a power cut at every byte of every write, compared with a model.

# heapsize: 4m
# timeout: 240
"""

from fakes import FakeClock
from journal_twin import SMALL, Twin, compare, found_in
from powerfiles import PowerFiles

from ocpp16.journal_store import JournalStore


def opened(files):
    return JournalStore(files, FakeClock(), **SMALL)


def cut_everywhere(twin, files, every):
    count = 0
    for position, disk in files.cuts(every):
        again = PowerFiles(disk)
        try:
            store = opened(again)
            twin.after_cut(position, store)
            assert store.damaged == 0, "a cut is no damage"
        except Exception:
            print("cut", position, files.trace[position : position + 1])
            raise
        count += 1
    return count


def test_cut_at_every_byte():
    files = PowerFiles()
    twin = Twin(files, FakeClock(), 3)
    twin.work(90)
    twin.check_now()
    assert cut_everywhere(twin, files, 1) > 5000


def test_cut_in_every_operation_of_a_long_day():
    for seed in (11,):
        files = PowerFiles()
        twin = Twin(files, FakeClock(), seed)
        twin.work(300)
        twin.check_now()
        for what in ("append", "discard", "bury", "put", "tick", "flush", "thin"):
            assert twin.counts.get(what), what
        assert len([1 for operation in files.trace if operation[0] == "remove"]) > 20
        cut_everywhere(twin, files, 1000)


def test_second_cut_while_it_recovers_and_goes_on():
    files = PowerFiles()
    twin = Twin(files, FakeClock(), 21)
    twin.work(150)
    count = 0
    for position, disk in files.cuts(1000):
        if position % 32:
            continue
        again = PowerFiles(disk)
        second = Twin(again, FakeClock(), position + 1)
        state = found_in(second.store)
        begun = len(again.trace)
        second.work(4)
        for later, torn in again.cuts(1000):
            count += 1
            store = opened(PowerFiles(torn))
            if later < begun:
                compare(store, [state])
            else:
                second.after_cut(later, store)
            assert store.damaged == 0
    assert count > 300


def test_cut_while_it_repairs_damage():
    files = PowerFiles()
    twin = Twin(files, FakeClock(), 31)
    twin.work(120)
    twin.store.flush()
    state = found_in(twin.store)
    name = sorted(files.disk)[2]
    data = files.disk[name]
    files.disk[name] = data[:28] + b"garbage\xa7 in between" + data[28:]
    again = PowerFiles(files.disk)
    assert opened(again).damaged == 1
    assert len([1 for operation in again.trace if operation[0] == "flush"]) > 2
    for _, disk in again.cuts(7):
        twin_store = opened(PowerFiles(disk))
        compare(twin_store, [state])
