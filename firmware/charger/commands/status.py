"""What is going on: status, session, meter. A cold module. Every measured value comes with its age."""

from cold import cold
from fixed import fixed

from charger.version import VERSION

STATES = ("off", "arming", "energising", "running", "stopping")
_MV, _MA, _TEMPERATURE = 3, 4, 6  # numbers of the module's values


def aged(app, fresh, which, scale, decimals, unit):
    """Text of one of the module's values with its age, or "unknown"."""
    value = fresh.get(which)
    if value is None:
        return "unknown"
    return "%s %s (%s)" % (
        fixed(value, scale, decimals),
        unit,
        ago(app.clock.ticks_diff(app.clock.ticks_ms(), fresh.seen[which])),
    )


def ago(ms):
    """ "0.3 s ago", or "never" for None."""
    if ms is None:
        return "never"
    if ms < 60_000:
        return "%d.%d s ago" % (ms // 1000, ms % 1000 // 100)
    return "%d min ago" % (ms // 60_000)


def number(value, scale, decimals, unit):
    return "unknown" if value is None else "%s %s" % (fixed(value, scale, decimals), unit)


def clock_text(app):
    now = app.clock.utc()
    return "unknown" if now is None else cold("ocpp16.timestamp").format_utc(now)


async def _status(console, text):
    app = console.app
    cp = app.cp
    up = app.clock.uptime_ms() // 1000
    await console.say(
        "%s %s, up %d:%02d:%02d, time %s, last start: %s"
        % (VERSION, app.hal.unique_id(), up // 3600, up // 60 % 60, up % 60, clock_text(app), app.hal.reset_cause())
    )
    for outlet in app.outlets:
        connector = outlet.connector
        state = connector.derive(app.clock.uptime_ms())
        await console.say("connector %d: %s" % (outlet.number, " ".join([str(word) for word in state if word])))
        await _outlet(console, outlet)
    state = "not set (ocpp.url)"
    if app.online:
        state = "%s, %s" % ("connected" if cp.connected else "not connected", cp.registration)
        if not cp.connected and cp.last_error:
            state += ", " + cp.last_error
    await console.say("OCPP: %s" % state)
    if app.online:
        waits = len(cp.store.pending()) + len(cp.outbox.tail)
        beat = app.clock.uptime_ms() - cp.heartbeat_at if cp.heartbeat_at else None
        await console.say(
            "  %d messages wait, %d dead letters, last heartbeat %s" % (waits, len(cp.store.buried()), ago(beat))
        )
    await console.say("network: %s" % _network(app))
    faults = [line for line in app.log.lines if " W " in line or " E " in line][-3:]
    for line in faults or ["none"]:
        await console.say("last fault: " + line)


async def _outlet(console, outlet):
    bms, values, gate = outlet.bms, outlet.module.values, outlet.gate
    soc, max_ma, _, _, temperature = outlet.vehicle_values()
    await console.say(
        "  vehicle: %s, SoC %s, pack %s, allows %s, %s (%s)"
        % (
            {True: "plugged in", False: "not there", None: "not known yet"}[outlet.plugged()],
            number(soc, 2, 1, "%"),
            number(bms.pack_mv, 3, 1, "V"),
            number(max_ma, 3, 1, "A"),
            number(temperature, 1, 1, "degC"),
            ago(bms.silent_ms()),
        )
    )
    await console.say(
        "  power: %s, told %s %s; out %s, %s; module %s"
        % (
            STATES[gate.state],
            number(gate.set_mv, 3, 1, "V"),
            number(gate.set_ma, 3, 1, "A"),
            aged(console.app, values, _MV, 3, 1, "V"),
            aged(console.app, values, _MA, 3, 1, "A"),
            aged(console.app, values, _TEMPERATURE, 1, 1, "degC"),
        )
    )
    why = cold("charger.interlock_names").names(outlet.reasons)
    await console.say("  off because of: %s; fault: %s" % (why, outlet.fault() or "none"))


def _network(app):
    try:
        wifi = app.hal.wifi
    except AttributeError:
        return "that of this computer"
    if wifi is None:
        return "no Wi-Fi is set (wifi.ssid)"
    if not wifi.address:
        return "Wi-Fi not connected"
    return "Wi-Fi %s, %s dBm" % (wifi.address, wifi.rssi())


async def _session(console, text):
    app = console.app
    for outlet in app.outlets:
        tx = outlet.connector.transaction
        if tx is None:
            await console.say("connector %d: no session" % outlet.number)
            continue
        await console.say(
            "connector %d: transaction %s, tag %s, since %s (%d min), %s Wh%s"
            % (
                outlet.number,
                "not numbered yet" if tx.id is None else tx.id,
                masked(tx.id_tag),
                "unknown" if tx.start_utc is None else cold("ocpp16.timestamp").format_utc(tx.start_utc),
                (app.clock.uptime_ms() - tx.start_uptime) // 60_000,
                outlet.energy_wh() - tx.meter_start,
                "" if tx.reason is None else ", ending: " + tx.reason,
            )
        )


def masked(tag):
    """An id tag as others may see it: it opens sessions."""
    return tag[:2] + "*" * max(0, len(tag) - 4) + tag[-2:] if len(tag) > 6 else "*" * len(tag)


async def _meter(console, text):
    for outlet in console.app.outlets:
        meter, values = outlet.meter, outlet.module.values
        await console.say(
            "connector %d: session %s, lifetime %s, %d gaps; now %s, %s"
            % (
                outlet.number,
                number(meter.session_mwh, 6, 3, "kWh"),
                number(meter.lifetime_mwh, 6, 3, "kWh"),
                meter.gaps,
                aged(console.app, values, _MV, 3, 2, "V"),
                aged(console.app, values, _MA, 3, 2, "A"),
            )
        )


COMMANDS = (_status, _session, _meter)  # in the order of table.py
