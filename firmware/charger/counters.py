"""The present as lines of text: states and counters of charging and of the central system, no secrets. A cold module.

The rest is in counters_more: both at once would need much memory.
"""

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
        yield "identity %s, url %s" % (cp.access.values[1], cold("charger.changed").without_login(cp.access.values[0]))
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


PARTS = (_charger, _central, _outlets, _devices)
