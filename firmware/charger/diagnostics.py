"""What diagnostics tell: the present, settings and keys that were changed, the log; no secrets. A cold module."""

from cold import cold

from .version import VERSION

_HIDDEN = ("AuthorizationKey",)


def collect(app, start, stop):
    """(file name, source) of what happened from `start` to `stop` (Unix seconds, or None); see lib/ocpp16/README.md."""
    now = app.clock.utc()
    name = "".join([c if c.isdigit() or c.isalpha() or c in "-_." else "_" for c in app.cp.access.values[1]])
    if now is not None:
        name += "_" + cold("ocpp16.timestamp").format_utc(now).replace(":", "").replace("-", "")
    head = "\n".join(_snapshot(app, now)) + "\n"
    lines = [line for line in app.log.lines if _is_within(app.clock, line, start, stop)]

    def source():
        yield head
        for text in _changed(app):
            yield text + "\n"
        yield "[log]\n"
        for line in lines:
            yield line + "\n"

    return name + ".txt", source


def _snapshot(app, now):
    """Lines about the present: they must not change while they are sent."""
    cp = app.cp
    yield "[charger]"
    yield "version %s, up %d s, utc %s, reset cause %s" % (
        VERSION,
        app.clock.uptime_ms() // 1000,
        "unknown" if now is None else cold("ocpp16.timestamp").format_utc(now),
        app.hal.reset_cause(),
    )
    yield "identity %s, url %s" % (cp.access.values[1], cp.access.values[0])
    yield "registration %s, %d messages wait, %d given up, %d thinned out" % (
        cp.registration,
        len(cp.outbox.tail) + len(cp.store.pending()),
        cp.outbox.gave_up,
        cp.outbox.thinned,
    )
    for outlet in app.outlets:
        connector = outlet.connector
        yield "connector %d: %s" % (outlet.number, " ".join([str(x) for x in connector.derive(app.clock.uptime_ms())]))
    for name, bus, _ in app.buses:
        yield "bus %s: %s" % (name, bus.counters())
    yield "messages: %s; log lines lost: %d" % (cp.counters, app.log.dropped)


def _changed(app):
    """Settings and configuration that differ from the defaults; no secrets."""
    yield "[settings]"
    try:
        stored = cold("charger.files").read_json(app.hal.data_dir + "/settings.json")
    except (OSError, ValueError):
        stored = {}
    for name, value in stored.items():  # the schema would need 12 kB; all secrets are texts, so no text is told
        yield "%s = %s" % (name, "(set)" if isinstance(value, str) else value)
    yield "[configuration]"
    for name, text in app.cp.config.texts.items():
        if name not in _HIDDEN:
            yield "%s = %s" % (name, text)


def _is_within(clock, line, start, stop):
    """Was this line of the log written in that time? Also when its time is not known."""
    seconds = line.partition(".")[0]
    utc = clock.utc_at(int(seconds) * 1000) if seconds.isdigit() else None
    return utc is None or not ((start is not None and utc < start) or (stop is not None and utc > stop))
