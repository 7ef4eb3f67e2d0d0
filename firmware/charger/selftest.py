"""Self-test: every bus, device, input, output, storage, clock and network, with a verdict and the next step.

It never switches power on: the contactor and the enable line are only looked at. A cold module.

A row is (name, verdict, next step); the next step is "" for what is good. Verdicts:
"ok", "fail" (somebody has to do something), "open" (cannot be told now; what it needs), "left out" (and why)
"""

import asyncio
import gc
import os

from cold import cold
from micropython import const

_FREE_HEAP = const(6_000)  # bytes
_FREE_DISK = const(65_536)
_SHOW_MS = const(300)
_LOCK_MS = const(1000)
_MODULE_LOST = const(1 << 5)  # of interlock.py
_SENSOR = const(1 << 11)

# The names of rows are longer than ten characters, or made here: MicroPython would keep shorter ones for ever.
_OK, _FAIL, _OPEN, _LEFT = "ok", "fail", "open", "left out"


async def run(app, outputs=True):
    """All rows. outputs -- also move lights and locks; left out while a session runs."""
    rows = look(app)
    if outputs:
        for outlet in app.outlets:
            await _outputs(app, outlet, rows)
    return rows


def log(app):
    """The short form, for the start of the program: nothing moves; one line, and one for each failure."""
    rows = look(app)
    for name, verdict, step in rows:
        if verdict == _FAIL:
            app.log.warn("selftest", "%s: %s" % (name, step))
    app.log.info("selftest", "%d of %d good" % (len([1 for row in rows if row[1] == _OK]), len(rows)))


def failures(app):
    """Names of the rows that fail now."""
    return [name for name, verdict, _ in look(app) if verdict == _FAIL]


def look(app):
    """The rows of everything that can be judged without moving anything. Synchronous, never raises."""
    rows = []
    for part in (_program, _storage, _network, _devices):
        try:
            part(app, rows)
        except Exception as exc:  # noqa: BLE001 - the other rows are as important
            rows.append(("self-test itself", _FAIL, "cannot test: %s" % exc))
    return rows


def row(rows, name, good, step, otherwise=_FAIL):
    """Add a row: good, or else the verdict `otherwise` and the next step."""
    rows.append((name, _OK, "") if good else (name, otherwise, step))


def _program(app, rows):
    again = app.hal.reset_cause() == "watchdog"
    row(rows, "program start", not again, "restarted by the watchdog or a crash: read the log, report it")
    gc.collect()
    row(rows, "free memory", gc.mem_free() >= _FREE_HEAP, "too little: restart; if it comes again, report it")
    row(rows, "time of day", app.clock.utc() is not None, "unknown: comes with the central system or NTP", _OPEN)


def _storage(app, rows):
    path = "%s/selftest.tmp" % app.hal.data_dir
    moved = path + ".renamed.tmp"
    step = "cannot keep data: restart; if it stays, format the file system or replace the flash"
    try:
        with open(path, "wb") as f:
            f.write(b"rivot")
        os.rename(path, moved)
        with open(moved, "rb") as f:
            good = f.read() == b"rivot"
        os.remove(moved)
        stat = os.statvfs(app.hal.data_dir)
        if good and stat[0] * stat[3] < _FREE_DISK:
            good, step = False, "less than 64 kB free: fetch the logs, remove what does not belong there"
    except OSError as exc:
        good, step = False, "%s (error %s)" % (step, exc.errno)
    row(rows, "data storage", good, step)


def _network(app, rows):
    try:
        on_device = app.hal.services is not None
    except AttributeError:
        on_device = False
    if on_device:
        cold("charger.selftest_device").look(app.hal, rows, row)
    name = "central system"
    if not app.online:
        rows.append((name, _OPEN, "none is set: ocpp.url"))
    elif app.cp.connected:
        row(rows, name, app.cp.online, "connected, but not accepted (%s): register this charger" % app.cp.registration)
    else:
        why = app.cp.last_error or "no answer yet"
        rows.append((name, _FAIL, "not connected (%s): check network, ocpp.url and the password" % why))


def _devices(app, rows):
    for name, bus, _ in app.buses:
        counts = bus.counters()
        heard, offs, lost = [counts.get(word, 0) for word in "rx bus_off overrun".split(" ")]
        step = ""
        if not bus.is_up:
            step = "down: check the controller's supply and wiring; then 60 ohm between CAN-H and CAN-L, power off"
        elif not heard and name[0] != "b":  # a BMS may be away
            step = "nothing is heard: mains of the power module, CAN-H and CAN-L exchanged, bit rate"
        elif offs:
            step = "bus-off %d times: termination, twisted pair, common ground" % offs
        elif lost:
            step = "%d frames lost: too much traffic for this controller" % lost
        row(rows, name, not step, step)
    for outlet in app.outlets:
        _outlet(app.hal, outlet, rows)


def _outlet(hal, outlet, rows):
    n = outlet.number
    reasons = outlet.reasons
    step = "silent: mains, its CAN address, the cable of the module bus"
    if not reasons & _MODULE_LOST and reasons & _SENSOR:
        step = "tells no sound temperature: its sensor, or it is another type"
    row(rows, "power module %d" % n, not reasons & (_MODULE_LOST | _SENSOR), step)
    row(rows, "vehicle at %d" % n, outlet.plugged(), "plug a vehicle in", _OPEN)
    unknown = "no level: the I/O link, or its wire"
    level = hal.input("estop", n)
    row(rows, "emergency stop %d" % n, level is False, "pressed: release it" if level else unknown)
    level = hal.input("door", n)
    row(rows, "door contact %d" % n, level is False, "open: close it" if level else unknown)
    name = "contactor of %d" % n
    closed = hal.input("contactor", n)
    if closed is None:
        rows.append((name, _OPEN, "no feedback: listen for it at the next start and stop"))
    else:
        row(rows, name, outlet.gate.may_flow() or not closed, "does not open, welded? Supply off, replace it")
    fault = outlet.fault()
    row(rows, "faults of %d" % n, fault is None, "%s: remove its cause" % (fault and fault[1]))


async def _outputs(app, outlet, rows):
    """Lights and lock. Nothing of it can let power flow; while it could disturb somebody it is left out."""
    n = outlet.number
    light, lock = "lights of %d" % n, "plug lock of %d" % n
    if outlet.connector.transaction is not None or outlet.gate.may_flow():
        for name in (light, lock) if outlet.has_lock else (light,):
            rows.append((name, _LEFT, "a session runs: end it first"))
        return
    for state in ("plugged", "charging", "fault", "idle"):
        app.hal.output("led", n, state)
        await asyncio.sleep_ms(_SHOW_MS)
    app.hal.output("led", n, "fault" if outlet.fault() else "plugged" if outlet.plugged() else "idle")
    rows.append((light, _OPEN, "all must have shone in turn: look"))
    if not outlet.has_lock:
        return
    if outlet.plugged():
        rows.append((lock, _LEFT, "a vehicle is plugged in: unplug it first"))
        return
    app.hal.output("lock", n, True)
    await asyncio.sleep_ms(_LOCK_MS)
    shut = app.hal.input("lock", n)
    opened = await outlet.unlock()
    if shut is None:
        rows.append((lock, _OPEN, "no feedback: it must have moved twice"))
    else:
        row(rows, lock, shut and opened, "does not open: free the bolt" if shut else "does not close: free the bolt")
