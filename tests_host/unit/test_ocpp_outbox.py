"""The ordered queue and its two stores. The order rules come from design section 3 of the product."""

import binascii
import json
import os

from fakes import FakeClock, FakeLog

from ocpp16 import answers
from ocpp16.outbox import KIND_STATUS, KIND_TX, KIND_VENDOR, TX, Outbox
from ocpp16.ramstore import RamStore
from ocpp16.store import FileStore

FOLDER = "/tmp/outbox-" + str(binascii.hexlify(os.urandom(6)), "utf-8")


class Bench:
    """An outbox with its surroundings, and the answers it reported."""

    def __init__(self, store=None, attempts=3, wait_ms=2000):
        self.clock = FakeClock()
        self.log = FakeLog()
        self.store = store or RamStore()
        self.answers = []
        self.box = Outbox(self.clock, self.store, self.log, lambda call: (attempts, wait_ms), self._answer)

    def _answer(self, call, payload, final):
        self.answers.append((call.action, payload, final))

    def waiting(self):
        return len(self.box.queue) + len(self.box.calls)

    def status(self, connector_id):
        self.box.add("StatusNotification", "{}", KIND_STATUS, connector_id, urgent=False)

    def next(self, accepted=True):
        call, _ = self.box.next(accepted)
        return call and call.action


def clean(folder):
    for name in os.listdir(folder):
        os.remove(folder + "/" + name)


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
    assert b.box.gave_up == 1 and len(b.store.buried) == 1
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
    assert b.box.payload(call) == '{"timestamp":"2026-01-21T12:53:18Z","old":"2026-01-21T12:53:15Z"}'


def test_meter_values_cost_no_write_when_answered_soon():
    b = Bench()
    b.box.add("MeterValues", "{}", KIND_TX, 1, urgent=False)
    assert b.store.pending() == []
    b.clock.advance(59_999)
    b.box.tick()
    assert b.store.pending() == []
    b.clock.advance(1)
    b.box.tick()
    assert len(b.store.pending()) == 1
    b.box.add("MeterValues", "{}", KIND_TX, 1, urgent=False)
    b.box.add("StopTransaction", "{}", KIND_TX, 1)  # an event stores what waits before it, in order
    order = [json.loads(b.store.read(seq))[1] for seq in b.store.pending()]
    assert order == ["MeterValues", "MeterValues", "StopTransaction"]


def test_full_queue_thins_meter_values_only():
    b = Bench()
    b.box.add("StartTransaction", "{}", KIND_TX, 1)
    for n in range(400):
        b.box.add("MeterValues", '{"n":%d}' % n, KIND_TX, 1, urgent=False, keep=False)
    b.box.add("StopTransaction", "{}", KIND_TX, 1)
    assert b.waiting() <= 121 and b.box.thinned >= 280
    assert b.next() == "StartTransaction" and "StopTransaction" in [call.action for call in b.box.queue]


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
    b = Bench(FileStore(FOLDER))
    b.box.add("DataTransfer", '{"data":"\\u00e4"}', KIND_VENDOR)
    b.box.add("StartTransaction", '{"n":1}', KIND_TX, 1)
    b.box.add("StopTransaction", '{"transactionId":%s}' % TX, KIND_TX, 1)
    uids = [call.uid for call in b.box.queue]
    answers.set_tx_id(b.box, 1, 99)
    again = Bench(FileStore(FOLDER))
    assert [call.uid for call in again.box.queue] == uids
    texts = []
    while again.waiting():
        call, _ = again.box.next(True)
        texts.append(again.box.payload(call))
        answers.answered(again.box, call, {"status": "Accepted"})
    assert texts == ['{"data":"\\u00e4"}', '{"n":1}', '{"transactionId":99}']
    assert Bench(FileStore(FOLDER)).box.tx_ids == {}
    clean(FOLDER)


def test_file_store_survives_garbage():
    store = FileStore(FOLDER)
    first = store.append("one")
    second = store.append("two")
    store.put("value", {"a": [1, 2]})
    for name, content in (("q-%08d" % first, b"00000000 half"), ("v-value", b"\xff\xfe\x00"), ("q-junk", b"x")):
        with open(FOLDER + "/" + name, "wb") as f:
            f.write(content)
    with open(FOLDER + "/q-00000009.tmp", "wb") as f:
        f.write(b"cut in the middle")
    store = FileStore(FOLDER)
    assert store.get("value", "default") == "default"
    b = Bench(store)
    assert b.waiting() == 0  # neither text is a record
    assert store.damaged == 2
    assert store.append("three") > second
    clean(FOLDER)


def test_file_store_numbers_never_return():
    seen = []
    for _ in range(5):
        store = FileStore(FOLDER)
        seq = store.append("x")
        store.discard(seq)
        seen.append(seq)
    assert seen == sorted(set(seen))
    clean(FOLDER)


def test_storage_failure_still_sends():
    class Full(RamStore):
        def append(self, text):
            raise OSError(28)

    b = Bench(Full())
    b.box.add("StartTransaction", "{}", KIND_TX, 1)
    call, _ = b.box.next(True)
    assert b.box.payload(call) == "{}"
    answers.answered(b.box, call, {})
    assert b.waiting() == 0 and b.log.lines[0][0] == "E"


def test_storing_is_tried_again():
    class Full(RamStore):
        error = OSError(28)

        def append(self, text):
            if self.error is not None:
                raise self.error
            return super().append(text)

    for error in (OSError(28), MemoryError(), TypeError()):
        b = Bench(Full())
        b.store.error = error
        b.box.add("StartTransaction", "{}", KIND_TX, 1)
        assert b.store.pending() == []
        b.store.error = None
        b.clock.advance(60_000)
        b.box.tick()
        assert len(b.store.pending()) == 1


def test_records_of_another_shape_are_put_aside():
    good = ["u", "StartTransaction", 0, 1, True, "{}"]
    wrong = [1, [], {}, "x", None, [1, 2], [None] * 6, good + [1]]
    for at, value in ((0, 5), (1, None), (2, 2), (2, "x"), (2, None), (3, "x"), (3, {}), (5, 5), (5, None)):
        changed = list(good)
        changed[at] = value
        wrong.append(changed)
    store = RamStore()
    for value in wrong:
        store.append(json.dumps(value))
    store.append("{")
    store.append(json.dumps(good))
    b = Bench(store)
    assert [call.uid for call in b.box.queue] == ["u"] and len(store.pending()) == 1
    assert len(store.buried) == len(b.log.lines) == len(wrong) + 1


def test_stored_values_of_another_shape_are_damaged():
    for name, default, values in (
        ("boot", 0, ("x", [], {}, True, None, 1.5)),
        ("txids", [], (5, {"a": 1}, "x")),
        ("config", {}, ([1], 5)),
    ):
        for value in values:
            store = FileStore(FOLDER)
            store.put(name, 1)
            store._write("v-" + name, json.dumps(value))
            assert store.get(name, default) == default and store.damaged == 1
            assert store.get(name, default) == default and store.damaged == 1  # it is gone
            clean(FOLDER)
    for value in ("x", [], None):
        store = FileStore(FOLDER)
        store._write("v-seq", json.dumps(value))
        assert FileStore(FOLDER).append("x") == 1
        clean(FOLDER)
    store = RamStore()
    store.put("txids", [1, [1], [1, "x"], ["a", 1], [7, 99]])
    assert Bench(store).box.tx_ids == {7: 99}
