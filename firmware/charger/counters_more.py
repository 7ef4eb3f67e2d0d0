"""The present as lines of text: messages that wait, storage, memory, what surrounds the charger. A cold module."""

import gc
import os

from cold import cold


def _queue(app):
    store = app.cp.store
    numbers = store.pending(0, 21)
    while numbers:
        try:
            head = str(store.read(numbers[0]), "utf-8").partition("\n")[0].split(" ")[1]
        except (KeyError, ValueError, IndexError):
            head = None
        yield "message %d waits: %s" % (numbers.pop(0), head if len(numbers) < 20 else "and there are more")
    yield "dead letters: %s" % store.buried()


def _storage(app):
    store = app.cp.store
    names = "live capacity waiting bytes blocks commits worn failed damaged".split()
    yield "journal of messages: " + _pairs([(name, getattr(store, name)) for name in names])
    yield "event log: %d bytes in %d batches written since ever" % cold("charger.event_read").worn(app.hal.data_dir)
    stat = os.statvfs(app.hal.data_dir)
    yield "disk: %d of %d kB free" % (stat[0] * stat[3] >> 10, stat[0] * stat[2] >> 10)


def _rest(app):
    hal, clock = app.hal, app.clock
    gc.collect()
    yield "heap: %d free, %d used" % (gc.mem_free(), gc.mem_alloc())
    yield "clock: set %d times" % clock.steps
    yield "services started again: " + _pairs([item for item in app.restarts.items() if item[1]])
    pin = app.cp.store.get("service.pin"[8:])
    if pin:
        yield "console: %s wrong PINs in a row" % pin[0]
    try:
        on_device = hal.services is not None
    except AttributeError:
        on_device = False
    if not on_device:
        yield "io link: bad lines %d" % hal.bad_lines
        return
    for line in cold("charger.counters_device").lines(hal):
        yield line


def _pairs(pairs):
    return ", ".join([" ".join((name, str(value))) for name, value in pairs]) or "none so far"


PARTS = (_queue, _storage, _rest)
