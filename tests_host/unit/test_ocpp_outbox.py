"""The ordered queue on its two stores. The order rules come from design section 3 of the product."""
# heapsize: 8m

import gc
import os
import struct

from fakes import FakeClock, FakeLog
from powerfiles import PowerFiles

from ocpp16 import answers, backlog, dead_letters
from ocpp16.journal_store import JournalStore
from ocpp16.outbox import KIND_STATUS, KIND_TX, KIND_VENDOR, TX, Outbox
from ocpp16.ramstore import RamStore

FOLDER = "/tmp/outbox-%x" % int.from_bytes(os.urandom(6), "big")


class Bench:
    """An outbox with its surroundings, and the answers it reported."""

    def __init__(self, store=None, attempts=3, wait_ms=2000):
        self.clock = FakeClock()
        self.log = FakeLog()
        self.store = store or RamStore()
        self.files = getattr(self.store, "where", None)
        self.store.clock = self.clock
        self.answers = []
        self.box = Outbox(self.clock, self.store, self.log, lambda call: (attempts, wait_ms), self._answer)

    def _answer(self, call, payload, final):
        self.answers.append((call.action, payload, final))

    def waiting(self):
        return len(self.box.calls) + len(self.box.tail) + len(self.store.pending())

    def status(self, connector_id):
        self.box.add("StatusNotification", "{}", KIND_STATUS, connector_id, urgent=False)

    def next(self, accepted=True):
        call, _ = self.box.next(accepted)
        return call and call.action

    def pass_ms(self, ms):
        """Time passes as in the program: a tick ten times a second."""
        for _ in range(ms // 100):
            self.clock.advance(100)
            self.box.tick()

    def uids(self):
        return [str(self.store.read(seq), "utf-8").split(" ")[0] for seq in self.store.pending()]

    def drain(self):
        """Have everything sent and answered; returns [(action, text)]."""
        sent = []
        while self.waiting():
            call, _ = self.box.next(True)
            sent.append((call.action, self.box.payload(call)))
            answers.answered(self.box, call, {"status": "Accepted"})
        return sent


class Full(RamStore):
    """A store that fails with `error`."""

    error = None

    def append(self, *words):
        if self.error is not None:
            raise self.error
        return super().append(*words)


def stored(files, **limits):
    return JournalStore(files, FakeClock(), **limits)


def actions_of(store):
    return [str(store.read(seq), "utf-8").split(" ")[1] for seq in store.pending()]


def test_order_is_the_order_of_events():
    b = Bench()
    b.status(1)
    b.box.add("DataTransfer", "{}", KIND_VENDOR)
    b.box.add("StartTransaction", "{}", KIND_TX, 1)
    seen = []
    while b.waiting():
        call, _ = b.box.next(True)
        seen.append(call.action)
        answers.answered(b.box, call, {"status": "Accepted"})
    assert seen == ["StatusNotification", "DataTransfer", "StartTransaction"]
    assert b.store.pending() == []


def test_nothing_but_direct_calls_before_acceptance():
    b = Bench()
    b.box.add("StartTransaction", "{}", KIND_TX, 1)
    assert b.next(accepted=False) is None
    b.box.direct("BootNotification")
    assert b.next(accepted=False) == "BootNotification"


def test_direct_calls_report_answer_and_failure_once():
    b = Bench()
    got = []
    for _ in range(3):
        b.box.direct("Heartbeat", "{}", lambda payload, error: got.append((payload, error)))
    call, _ = b.box.next(True)
    answers.answered(b.box, call, {"x": 1})
    answers.answered(b.box, call, {"x": 2})
    call, _ = b.box.next(True)
    answers.refused(b.box, call, "no answer")
    answers.link_lost(b.box)
    assert got == [({"x": 1}, None), (None, "no answer"), (None, "link lost")] and b.waiting() == 0


def test_rejected_data_transfer_is_repeated_then_given_up():
    b = Bench()
    b.box.add("DataTransfer", "{}", KIND_VENDOR)
    b.status(1)
    b.box.add("StopTransaction", "{}", KIND_TX, 1)
    uids = []
    for attempt in range(3):
        call, _ = b.box.next(True)
        assert call.action == "DataTransfer"
        uids.append(call.uid)
        answers.answered(b.box, call, {"status": "Rejected"})
        if attempt < 2:
            assert b.box.next(True) == (None, 2000)  # the status behind it waits too: the order is the promise
            b.clock.advance(1999)
            assert b.next() is None
            b.clock.advance(1)
    assert len(set(uids)) == 1  # a repeat keeps its id
    assert b.box.gave_up == 1 and len(b.store.buried()) == 1
    assert b.next() == "StatusNotification"


def test_status_overtakes_a_transaction_message_that_waits():
    b = Bench()
    b.box.add("StartTransaction", "{}", KIND_TX, 1)
    call, _ = b.box.next(True)
    answers.refused(b.box, call, "CALLERROR InternalError")
    b.box.add("MeterValues", "{}", KIND_TX, 1, urgent=False)
    b.status(1)
    assert b.next() == "StatusNotification"
    call, _ = b.box.next(True)
    answers.answered(b.box, call, {})
    assert b.next() is None  # MeterValues never overtakes its StartTransaction
    b.clock.advance(2000)
    assert b.next() == "StartTransaction"


def test_a_lost_link_costs_no_attempt_and_drops_statuses():
    b = Bench()
    b.status(1)
    b.box.add("StartTransaction", "{}", KIND_TX, 1)
    answers.link_lost(b.box)
    call, _ = b.box.next(True)
    assert call.action == "StartTransaction" and call.tries == 0
    b.box.add("StatusNotification", "{}", KIND_STATUS, 0, urgent=False, first=True)
    assert b.next() == "StatusNotification" and b.store.pending() == [1]


def test_transaction_id_is_filled_in_when_known():
    b = Bench()
    b.box.add("StopTransaction", '{"transactionId":%s}' % TX, KIND_TX, 7)
    answers.set_tx_id(b.box, 7, 1_784_791_914)  # beyond a small int of the device
    call, _ = b.box.next(True)
    assert b.box.payload(call) == '{"transactionId":1784791914}'
    b.box.add("StopTransaction", '{"transactionId":%s}' % TX, KIND_TX, 8)
    answers.answered(b.box, call, {})
    call, _ = b.box.next(True)
    assert b.box.payload(call) == '{"transactionId":-1}'  # StartTransaction was given up
    answers.set_tx_id(b.box, 8, 5)
    assert b.box.payload(call) == '{"transactionId":-1}'  # a repeat never changes


def test_time_marks_wait_for_the_clock():
    b = Bench()
    b.clock.advance(5000)
    text = '{"timestamp":"\x02%d:3000\x02","old":"\x02%d:9999999\x02"}' % (b.box.boot, b.box.boot + 7)
    b.box.add("StopTransaction", text, KIND_TX, 1)
    b.clock.set_utc(1_769_000_000)
    call, _ = b.box.next(True)
    sent = b.box.payload(call)
    assert sent == '{"timestamp":"2026-01-21T12:53:18Z","old":"2026-01-21T12:53:15Z"}'
    b.store.put("clocks", (b.store.get("clocks") or []) + [5, [1], "x", [1, 2, "3"]])
    again = Bench(b.store)  # no answer, and a power cut: an hour later it is the same to the byte
    again.clock.set_utc(1_769_003_600)
    call, _ = again.box.next(True)
    assert again.box.payload(call) == sent


def test_meter_values_cost_no_write_when_answered_soon():
    files = PowerFiles()
    b = Bench(stored(files))
    b.box.add("StartTransaction", "{}", KIND_TX, 1)
    call, _ = b.box.next(True)
    answers.answered(b.box, call, {})
    written = len(files.trace)
    for n in range(100):
        b.box.add("MeterValues", '{"n":%d}' % n, KIND_TX, 1, urgent=False, keep=False)
        call, _ = b.box.next(True)
        assert b.box.payload(call) == '{"n":%d}' % n
        answers.answered(b.box, call, {})
        b.pass_ms(100)
    assert len(files.trace) == written and b.store.pending() == []


def test_meter_values_that_wait_are_written_within_60_s_or_with_an_event():
    files = PowerFiles()
    b = Bench(stored(files))
    b.box.add("StartTransaction", "{}", KIND_TX, 1)
    b.box.add("MeterValues", "{}", KIND_TX, 1, urgent=False)
    b.pass_ms(61_900)
    assert actions_of(stored(PowerFiles(files.disk))) == ["StartTransaction"]
    b.pass_ms(300)
    assert actions_of(stored(PowerFiles(files.disk))) == ["StartTransaction", "MeterValues"]
    b.box.add("MeterValues", "{}", KIND_TX, 1, urgent=False)
    b.box.add("StopTransaction", "{}", KIND_TX, 1)
    order = ["StartTransaction", "MeterValues", "MeterValues", "StopTransaction"]
    assert actions_of(stored(PowerFiles(files.disk))) == order


def test_answered_messages_do_not_come_back_after_a_cut():
    files = PowerFiles()
    b = Bench(stored(files))
    for action in ("StartTransaction", "StopTransaction"):
        b.box.add(action, "{}", KIND_TX, 1)
        call, _ = b.box.next(True)
        answers.answered(b.box, call, {})
        assert stored(PowerFiles(files.disk)).pending() == []
    b.box.add("DataTransfer", "{}", KIND_VENDOR)
    call, _ = b.box.next(True)
    answers.answered(b.box, call, {"status": "Accepted"})
    assert stored(PowerFiles(files.disk)).pending() == []


def test_what_waits_lies_in_the_store_and_not_in_ram():
    b = Bench(stored(FOLDER))
    text = '{"text":"%s"}' % ("x" * 300)
    b.box.add("StartTransaction", text, KIND_TX, 1)
    for _ in range(20):
        b.box.add("MeterValues", text, KIND_TX, 1, keep=False)
    gc.collect()
    before = gc.mem_alloc()
    for _ in range(200):
        b.box.add("MeterValues", text, KIND_TX, 1, keep=False)
    gc.collect()
    assert gc.mem_alloc() - before < 200 * 8 * struct.calcsize("P") and b.box.tail == []
    for name in os.listdir(FOLDER):
        os.remove(FOLDER + "/" + name)
    os.rmdir(FOLDER)


def test_full_store_thins_meter_values_evenly_and_nothing_else():
    b = Bench(stored(PowerFiles(), segment=4096, segments=8, records=120))
    b.box.add("StartTransaction", "{}", KIND_TX, 1)
    for n in range(1000):
        b.box.add("MeterValues", "%d" % n, KIND_TX, 1, urgent=False, keep=False)
    b.box.add("DataTransfer", "{}", KIND_VENDOR, 1)
    b.box.add("StopTransaction", "{}", KIND_TX, 1)
    sent = b.drain()
    numbers = [int(text) for action, text in sent if action == "MeterValues"]
    assert sent[0][0] == "StartTransaction"
    assert [action for action, _ in sent[-2:]] == ["DataTransfer", "StopTransaction"]
    assert b.box.thinned + len(numbers) == 1000 and len(numbers) > 50 and b.box.gave_up == 0
    assert numbers == sorted(numbers) and numbers[-1] == 999 and numbers[0] < 50
    gaps = [y - x for x, y in zip(numbers, numbers[1:])]
    assert max(gaps) <= 32, gaps  # thinned, not cut off: about every tenth is left


def test_start_and_stop_take_the_place_of_any_meter_values():
    b = Bench(stored(PowerFiles(), segment=1024, segments=5, records=300))
    for n in range(60):
        b.box.add("MeterValues", "%d" % n, KIND_TX, 1, keep=n % 7 != 3)
        b.pass_ms(1100)
    kept = 0
    while "StopTransaction" not in [call.action for call in b.box.tail]:
        b.box.add("StopTransaction", '"%s"' % ("s" * 40), KIND_TX, kept)
        kept += 1
    actions = actions_of(b.store)
    assert actions == ["MeterValues"] + ["StopTransaction"] * (kept - 1) and kept > 15  # one may be on its way
    assert [call.action for call in b.box.tail] == ["StopTransaction"] and b.log.lines[-1][0] == "E"
    assert len(b.drain()) == kept + 1  # the one that found no room has not been lost


def test_samples_find_no_room_beside_what_may_not_go():
    b = Bench(stored(PowerFiles(), segment=1024, segments=5, records=300))
    while not b.box.tail:
        b.box.add("StopTransaction", '"%s"' % ("s" * 40), KIND_TX, 1)
    before = len(b.store.pending()) + len(b.box.tail)
    for n in range(200):
        b.box.add("MeterValues", "%d" % n, KIND_TX, 1, keep=False)
        b.pass_ms(1100)
    assert len(b.store.pending()) + len(b.box.tail) <= before + 60 and b.box.thinned >= 140


def test_ids_differ_across_reboots():
    store = RamStore()
    seen = set()
    for _ in range(50):
        b = Bench(store)
        for _ in range(3):
            b.box.direct("Heartbeat")
            call, _ = b.box.next(True)
            assert len(call.uid) <= 36
            seen.add(call.uid)
            answers.answered(b.box, call, {})
    assert len(seen) == 150


def test_queue_survives_a_cut_in_order_with_ids():
    files = PowerFiles()
    b = Bench(stored(files))
    b.box.add("DataTransfer", '{"data":"\\u00e4 \\n"}', KIND_VENDOR)
    b.box.add("StartTransaction", '{"n":1}', KIND_TX, 1)
    b.box.add("MeterValues", '{"n":2}', KIND_TX, 1, keep=False)
    b.box.add("StopTransaction", '{"transactionId":%s}' % TX, KIND_TX, 1)
    answers.set_tx_id(b.box, 1, 99)
    b.store.flush()
    uids = b.uids()
    again = Bench(stored(PowerFiles(files.disk)))
    assert again.uids() == uids and len(set(uids)) == 4
    texts = [text for _, text in again.drain()]
    assert texts == ['{"data":"\\u00e4 \\n"}', '{"n":1}', '{"n":2}', '{"transactionId":99}']
    again.store.flush()
    assert Bench(stored(PowerFiles(again.files.disk))).box.tx_ids == {}


def test_which_messages_of_a_transaction_wait():
    b = Bench()
    b.box.add("DataTransfer", "{}", KIND_VENDOR)
    b.box.add("StartTransaction", "{}", KIND_TX, 1)
    b.box.add("MeterValues", "{}", KIND_TX, 2047)
    b.box.add("DataTransfer", "{}", KIND_VENDOR, 2047)
    b.box.add("StopTransaction", "{}", KIND_TX, 2046)
    assert [backlog.waits(b.box, key) for key in (1, 2, 2046, 2047)] == [{1}, set(), {2}, {0, 3}]
    assert backlog.waits(Bench().box, 0) == set()


def test_storage_failure_still_sends():
    for error in (OSError(28), OSError(5), MemoryError(), TypeError()):
        b = Bench(Full())
        b.store.error = error
        b.status(1)
        b.box.add("StartTransaction", "{}", KIND_TX, 1)
        b.status(1)
        b.box.add("StopTransaction", "{}", KIND_TX, 1)
        assert [action for action, _ in b.drain()] == [
            "StatusNotification", "StartTransaction", "StatusNotification", "StopTransaction",
        ]  # fmt: skip
        assert b.log.lines[0][0] == "E"


def test_storing_is_tried_again():
    for error in (OSError(28), MemoryError(), TypeError()):
        for failing_ms in (0, 500, 5000, 200_000):
            b = Bench(Full())
            b.box.add("DataTransfer", "{}", KIND_VENDOR, 1)
            b.store.error = error
            b.box.add("StartTransaction", "1", KIND_TX, 1)
            b.status(1)
            b.pass_ms(failing_ms)
            b.box.add("StopTransaction", "2", KIND_TX, 1)
            b.store.error = None
            b.status(2)
            b.pass_ms(61_000)
            b.status(3)
            assert actions_of(b.store) == ["DataTransfer", "StartTransaction", "StopTransaction"]
            order = ["DataTransfer", "StartTransaction", "StatusNotification", "StopTransaction", "StatusNotification"]
            assert [action for action, _ in b.drain()] == order + ["StatusNotification"]


def test_storing_again_while_the_message_is_on_its_way():
    b = Bench(Full())
    b.store.error = OSError(5)
    b.box.add("StartTransaction", "1", KIND_TX, 1)
    b.box.add("StopTransaction", "2", KIND_TX, 1)
    call, _ = b.box.next(True)
    answers.refused(b.box, call, "no answer")
    b.store.error = None
    b.pass_ms(1900)
    assert b.store.pending() == [] and b.box.next(True)[0] is None
    b.pass_ms(58_200)
    assert len(b.store.pending()) == 2
    assert b.box.next(True)[0] is call and call.tries == 1
    answers.answered(b.box, call, {})
    assert actions_of(b.store) == ["StopTransaction"] and [a for a, _ in b.drain()] == ["StopTransaction"]


def test_tail_is_bounded():
    b = Bench(Full())
    for _ in range(500):
        for connector_id in (1, 2):
            b.status(connector_id)
    assert len(b.box.tail) <= 40
    assert [call.tx for call in b.box.tail][-2:] == [1, 2]
    b = Bench(Full())
    b.store.error = OSError(5)
    for n in range(300):
        b.box.add("StartTransaction", "s%d" % n, KIND_TX, n)
        b.box.add("MeterValues", "{}", KIND_TX, n, keep=False)
        b.box.add("MeterValues", "{}", KIND_TX, n)
    assert len(b.box.tail) <= 66
    starts = [call.text for call in b.box.tail if call.action == "StartTransaction"]
    assert starts == ["s%d" % n for n in range(300 - len(starts), 300)] and len(starts) >= 40
    assert b.box.gave_up == 300 - len(starts)


def test_records_of_another_shape_are_put_aside():
    good = "u StartTransaction 1 1\n{}"
    wrong = ["", "{", "x", "\n", "u StartTransaction 1\n{}", good[:-3], "u StartTransaction x 1\n{}", "a b c d e\n{}"]
    files = PowerFiles()
    store = stored(files)
    for value in wrong:
        store.append(value.encode())
    damaged = store.append(b"u DataTransfer None 1\n{}")
    store.append(good.encode())
    files.disk["log-00000001"] = files.disk["log-00000001"].replace(b"u DataT", b"u dataT")
    b = Bench(store)
    assert b.next() == "StartTransaction" and b.box.head.uid == "u"
    assert len(store.pending()) == 1 and len(store.buried()) == len(wrong) == len(b.log.lines) - 1
    assert damaged not in store.buried()


def test_stored_values_of_another_shape_are_damaged():
    for store in (RamStore(), stored(PowerFiles())):
        for name, default, values in (
            ("boot", 0, ("x", [], {}, True, None, 1.5)),
            ("txids", [], (5, {"a": 1}, "x")),
            ("config", {}, ([1], 5)),
        ):
            for value in values:
                store.put(name, value)
                assert store.get(name, default) == default
                store.put(name, default)
                assert store.get(name, default) == default
        store.put("txids", [1, [1], [1, "x"], ["a", 1], [7, 99]])
        assert Bench(store).box.tx_ids == {7: 99}


def test_names_of_transactions_are_bounded():
    b = Bench()
    for key in range(1, 100):
        answers.set_tx_id(b.box, key, 1000 + key)
    assert sorted(b.box.tx_ids) == list(range(84, 100))
    assert Bench(b.store).box.tx_ids == b.box.tx_ids


# -- dead letters


def test_what_is_given_up_can_be_listed_sent_again_and_dropped():
    for store in (RamStore(), stored(PowerFiles())):
        b = Bench(store, attempts=1)
        b.box.add("StartTransaction", '{"n":1}', KIND_TX, 1)
        b.box.add("MeterValues", '{"transactionId":%s}' % TX, KIND_TX, 1)
        answers.set_tx_id(b.box, 1, 99)
        b.box.add("StopTransaction", '{"transactionId":%s}' % TX, KIND_TX, 1)
        uids = b.uids()
        for _ in range(3):
            call, _ = b.box.next(True)
            b.box.payload(call)
            answers.refused(b.box, call, "CALLERROR InternalError")
        assert b.box.tx_ids == {} and store.pending() == [] and b.next() is None
        letters = dead_letters.listed(store)
        assert [(action, uid, text) for _, action, uid, text in letters] == [
            ("StartTransaction", uids[0], '{"n":1}'),
            ("StopTransaction", uids[2], '{"transactionId":99}'),
        ]  # samples are not kept: they would push out what is worth money
        b = Bench(store, attempts=1)
        b.box.add("StartTransaction", "new", KIND_TX, 2)
        b.next()
        dead_letters.resend(b.box, letters[1][0])
        assert b.drain() == [("StartTransaction", "new"), ("StopTransaction", '{"transactionId":99}')]
        assert [number for number, _, _, _ in dead_letters.listed(store)] == [letters[0][0]]
        dead_letters.drop(store, letters[0][0])
        assert dead_letters.listed(store) == []
        for call in (lambda: dead_letters.resend(b.box, 1), lambda: dead_letters.drop(store, 1)):
            try:
                call()
            except KeyError:
                continue
            raise AssertionError("there is none")


def test_dead_letters_are_bounded():
    for store in (RamStore(), stored(PowerFiles())):
        b = Bench(store, attempts=1)
        for n in range(50):
            b.box.add("DataTransfer", str(n), KIND_VENDOR)
            call, _ = b.box.next(True)
            answers.refused(b.box, call, "no answer")
        assert [text for _, _, _, text in dead_letters.listed(store)] == [str(n) for n in range(18, 50)]


# -- order, at random


def test_order_under_failing_storage_and_cuts_at_random():
    """Whatever fails: what was added leaves in the order of its addition, each once, and the statuses in between."""
    seed = 7

    def random(below):
        nonlocal seed
        seed = (seed * 1103515245 + 12345) & 0x3FFFFFFF
        return (seed >> 8) % below

    for _ in range(60):
        files = PowerFiles()
        b = Bench(stored(files))
        added, sent = [], []
        for n in range(120):
            what = random(10)
            if what < 4:
                added.append(n)
                b.box.add(("StartTransaction", "DataTransfer")[n & 1], str(n), (KIND_TX, KIND_VENDOR)[n & 1], n)
            elif what < 6:
                added.append(n)
                b.box.add("StatusNotification", str(n), KIND_STATUS, n, urgent=False)
            elif what < 8:
                call, _ = b.box.next(True)
                if call is not None:
                    sent.append(int(b.box.payload(call)))
                    answers.answered(b.box, call, {"status": "Accepted"})
            elif what == 8:
                files.fail = (None, 0, 1, 3)[random(4)]
            else:
                b.pass_ms(random(90_000))
        files.fail = None
        b.pass_ms(70_000)
        sent += [int(text) for _, text in b.drain()]
        assert sent == added, (sent, added)
