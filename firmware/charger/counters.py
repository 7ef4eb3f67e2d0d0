"""The present as lines of text: states and counters of every part, no secrets. A cold module.

Every text here has more than ten characters: MicroPython would keep shorter ones for ever.
"""

import gc
import os

from cold import cold

from .version import VERSION


def _charger(app):
    now = app.clock.utc()
    yield "[the charger]"
    yield "version %s on board %s, boot %d, up %d s, utc %s, reset cause %s" % (
        VERSION,
        app.board,
        app.cp.outbox.boot,
        app.clock.uptime_ms() // 1000,
        "unknown" if now is None else cold("ocpp16.timestamp").format_utc(now),
        app.hal.reset_cause(),
    )


def _central(app):
    cp = app.cp
    if cp.access:
        yield "identity %s, url %s" % (cp.access.values[1], without_login(cp.access.values[0]))
    yield "registration %s, %d messages wait, %d given up, %d thinned out" % (
        cp.registration,
        len(cp.outbox.tail) + len(cp.store.pending()),
        cp.outbox.gave_up,
        cp.outbox.thinned,
    )
    yield "connected %s, last error: %s" % (cp.connected, cp.last_error or None)
    yield "messages: %s; log lines lost: %d, sink errors: %d" % (cp.counters, app.log.dropped, app.log.sink_errors)


def _outlets(app):
    for outlet in app.outlets:
        connector = outlet.connector
        yield "connector %d: %s" % (outlet.number, " ".join([str(x) for x in connector.derive(app.clock.uptime_ms())]))
        yield "  plugged %s, off because of %x (interlock.py), fault %s, transaction %s" % (
            outlet.plugged(),
            outlet.reasons,
            outlet.fault(),
            connector.transaction and connector.transaction.id,
        )
        gate, meter = outlet.gate, outlet.meter
        yield "  gate state %d, %d mV, %d mA, failed starts %d, fault %s" % (
            gate.state,
            gate.set_mv,
            gate.set_ma,
            gate.failed_starts,
            gate.fault,
        )
        yield "  meter session %d mWh, lifetime %d mWh, gaps %d" % (meter.session_mwh, meter.lifetime_mwh, meter.gaps)


def _devices(app):
    for name, bus, _ in app.buses:
        yield "bus %s: %s, up %s" % (name, bus.counters(), bus.is_up)
    for outlet in app.outlets:
        module, bms = outlet.module, outlet.bms
        yield "module %d: bad frames %d, refused %d, healthy %s" % (
            outlet.number,
            module.bad_frames,
            module.refused,
            module.is_healthy(),
        )
        for key, data in module.raw.items():
            yield "  unexplained %04x: %s" % (key, "".join(["%02x" % byte for byte in data]))
        yield "bms %d: bad frames %d, silent for %s ms" % (outlet.number, bms.bad_frames, bms.silent_ms())


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


def without_login(url):
    """An address as it may be shown: without user, password and query."""
    scheme, mark, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return scheme + mark + host.rpartition("@")[2].partition("?")[0] + slash + path.partition("?")[0]


PARTS = (_charger, _central, _outlets, _devices, _queue, _storage, _rest)
