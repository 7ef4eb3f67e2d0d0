"""The parts of an outbox for bad days: after a boot, without the time, when too much waits. A cold module."""

import binascii
import json
import os

from cold import cold

from .outbox import KIND_TX, KIND_VENDOR, TIME_MARK, Call


def open_outbox(outbox):
    """Give a new outbox what the store has: the calls that wait, oldest first; unreadable ones are logged and dropped.

    Also the start of this boot's message ids: no two boots have the same.
    """
    store = outbox.store
    outbox.boot = store.get("boot", 0) + 1
    store.put("boot", outbox.boot)
    outbox.uid = "%x%s-" % (outbox.boot, str(binascii.hexlify(os.urandom(4)), "utf-8"))
    for pair in store.get("txids", []):
        if type(pair) is list and [type(n) for n in pair] == [int, int]:
            outbox.tx_ids[pair[0]] = pair[1]
    for seq in store.pending():
        try:
            uid, action, kind, tx, keep, _ = _record(store, seq)
        except (KeyError, ValueError) as exc:
            outbox.log.error("outbox", "record %d is unreadable" % seq)
            if isinstance(exc, KeyError):
                store.discard(seq)
            else:
                store.bury(seq)  # somebody may want to look at it
            continue
        outbox.queue.append(Call(uid, action, None, kind, tx, keep, seq))


def _record(store, seq):
    """The six parts of a stored call. KeyError: not there, or damaged; ValueError: something else is."""
    record = json.loads(store.read(seq))
    if type(record) is not list or len(record) != 6:
        raise ValueError
    uid, action, kind, tx, _keep, text = record
    if not (type(uid) is type(action) is type(text) is str and kind in (KIND_TX, KIND_VENDOR)):
        raise ValueError
    if tx is not None and type(tx) is not int:
        raise ValueError
    return record


def text_of(outbox, call):
    """Text of a call that is only in the store, or has times of a clock that was not set.

    None: unreadable, logged and dropped.
    """
    text = call.text
    if text is None:
        try:
            text = _record(outbox.store, call.seq)[5]
        except (KeyError, ValueError):
            outbox.log.error("outbox", "%s is unreadable" % call.action)
            outbox.discard(call)
            return None
    while TIME_MARK in text:
        head, mark, tail = text.split(TIME_MARK, 2)
        boot, uptime = mark.split(":")
        if int(boot) != outbox.boot:
            uptime = 0  # that boot never learnt the time: this boot's start is the latest it can have been
        text = head + cold("ocpp16.timestamp").format_utc(outbox.clock.utc_at(int(uptime))) + tail
    return text


def thin(outbox):
    """Drop every second MeterValues that may go, oldest first, not the ones that were already tried."""
    drop = False
    for call in [c for c in outbox.queue if not c.keep and not c.tries]:
        if drop:
            outbox.discard(call)
            outbox.thinned += 1
        drop = not drop
