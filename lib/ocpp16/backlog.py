"""The parts of an outbox for bad days: after a boot, without the time, when too much waits. A cold module.

What is stored of a call: see unsaved.
"""

import binascii
import os

from cold import cold
from micropython import const

from .outbox import KIND_TX, KIND_VENDOR, TIME_MARK, Call

_CLOCKS = "clocks"  # value in the store: [boot, Unix time of its uptime 0, does it run], the newest
_BOOTS = const(8)
_AT_ONCE = const(16)  # MeterValues thinned out at once: what is discarded waits in RAM for a moment


def open_outbox(outbox):
    """Give a new outbox what the store knows, and the start of this boot's message ids: no two boots have the same."""
    store = outbox.store
    outbox.boot = store.get("boot", 0) + 1
    store.put("boot", outbox.boot, False)  # written before anything that refers to it
    outbox.uid = "%x%s-" % (outbox.boot, str(binascii.hexlify(os.urandom(4)), "utf-8"))
    outbox.last = max(store.pending() + [0])
    for pair in store.get("txids", []):
        if type(pair) is list and [type(n) for n in pair] == [int, int]:
            outbox.tx_ids[pair[0]] = pair[1]


def first(outbox):
    """The first call in the store, or None. What is unreadable is logged, and goes."""
    store = outbox.store
    while True:
        numbers = store.pending(0, 1)
        if not numbers:
            return None
        try:
            head, end, text = str(store.read(numbers[0]), "utf-8").partition("\n")
            uid, action, tx, keep = head.split(" ")
            if not end:
                raise ValueError
            tx = None if tx == "None" else int(tx)
            kind = KIND_VENDOR if action == "DataTransfer" else KIND_TX
            return Call(uid, action, text, kind, tx, keep == "1", None, numbers[0])
        except (KeyError, ValueError) as exc:
            outbox.log.error("outbox", "record %d is unreadable" % numbers[0])
            if isinstance(exc, KeyError):
                store.discard(numbers[0], False)
            else:
                store.bury(numbers[0])  # somebody may want to look at it


def waits(outbox, key):
    """Which messages of a transaction are still queued: set of 0..3, as in the tags. Only good before the first add."""
    store = outbox.store
    tags = [store.tag(seq) for seq in store.pending()]
    return {tag & 3 for tag in tags if tag >> 3 == key % 2047 + 1}


def with_times(outbox, text):
    """The text with times of a clock that was not set when it was made.

    What a boot's uptime 0 was is stored before it is used: a message that is repeated after a power cut has the same
    times. A boot that never learnt the time has one time for all: this boot's start is the latest it can have been.
    """
    rows = [row for row in outbox.store.get(_CLOCKS, []) if type(row) is list and [type(n) for n in row] == [int] * 3]
    known = len(rows)
    while TIME_MARK in text:
        head, mark, tail = text.split(TIME_MARK, 2)
        boot, uptime = [int(n) for n in mark.split(":")]
        row = [row for row in rows if row[0] == boot]
        if not row:
            row = [[boot, outbox.clock.utc_at(0), int(boot == outbox.boot)]]
            rows += row
        text = head + cold("ocpp16.timestamp").format_utc(row[0][1] + row[0][2] * uptime // 1000) + tail
    if len(rows) > known:
        try:
            outbox.store.put(_CLOCKS, rows[-_BOOTS:])
        except OSError as exc:
            outbox.log.error("outbox", exc)
    return text


def thin(outbox, vital):
    """The store is full: drop MeterValues that may go, some at a time, where they are closest together. How many?

    vital -- a Start or StopTransaction, or a value: for those any MeterValues give way when nothing else is left.
    """
    numbers = _meter_values(outbox, 0)
    gone = _closest(numbers)
    if not gone and vital:
        gone = numbers or _meter_values(outbox, 4)
    for seq in gone[:_AT_ONCE]:
        outbox.store.discard(seq, False)
        outbox.thinned += 1
    return len(gone)


def _meter_values(outbox, bits):
    """Numbers of those with these low bits in their tag, but the one that may be on its way."""
    store, head = outbox.store, outbox.head
    return [n for n in store.pending() if store.tag(n) & 7 == bits and (head is None or n != head.seq)]


def _closest(numbers):
    """Those of ascending numbers that can go so that the rest is spread as evenly as it may be."""
    gap = 2
    while len(numbers) > 2 and gap < 2 * (numbers[-1] - numbers[0]):
        gone = []
        before = numbers[0]
        for i in range(1, len(numbers) - 1):
            if numbers[i + 1] - before <= gap:
                gone.append(numbers[i])
            else:
                before = numbers[i]
        if gone:
            return gone
        gap *= 2
    return []
