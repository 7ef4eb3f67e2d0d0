"""Self-test: every bus, device, input, output, storage, clock and network, with a verdict and the next step.

It never switches power on: the contactor and the enable line are only looked at. A cold module.

A row is (name, verdict, next step); the next step is "" for what is good. Verdicts:
"ok", "fail" (somebody has to do something), "open" (cannot be told now; what it needs), "left out" (and why)
"""

import asyncio
import gc
import os

from micropython import const

_FREE_HEAP = const(6_000)  # bytes
_FREE_DISK = const(65_536)
_WEAK_DBM = const(-80)
_SHOW_MS = const(300)
_LOCK_MS = const(1000)
_MODULE_LOST = const(1 << 5)  # of interlock.py
_SENSOR = const(1 << 11)

OK, FAIL, OPEN, LEFT = "ok", "fail", "open", "left out"


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
    bad = [row for row in rows if row[1] == FAIL]
    for name, _, step in bad:
        app.log.warn("selftest", "%s: %s" % (name, step))
    app.log.info("selftest", "%d of %d good" % (len([1 for row in rows if row[1] == OK]), len(rows)))


def look(app):
    """The rows of everything that can be judged without moving anything. Synchronous, never raises."""
    rows = []
    for name, part in (("program", _program), ("storage", _storage), ("network", _network), ("devices", _devices)):
        try:
            part(app, rows)
        except Exception as exc:  # noqa: BLE001 - the other rows are as important
            rows.append((name, FAIL, "cannot be tested: %s" % exc))
    return rows


def _program(app, rows):
    again = app.hal.reset_cause() == "watchdog"
    _row(rows, "start", not again, "the program was restarted by the watchdog or a crash: read the log, report it")
    gc.collect()
    _row(rows, "memory", gc.mem_free() >= _FREE_HEAP, "too little memory: restart; if it comes again, report it")
    _row(rows, "clock", app.clock.utc() is not None, "no time yet: comes with the central system or NTP", OPEN)


def _storage(app, rows):
    path = app.hal.data_dir + "/selftest"
    step = "cannot keep data: restart; if it stays, replace the flash or format the file system"
    try:
        with open(path, "wb") as f:
            f.write(b"rivot")
        os.rename(path, path + "2")
        with open(path + "2", "rb") as f:
            good = f.read() == b"rivot"
        os.remove(path + "2")
        stat = os.statvfs(app.hal.data_dir)
        if good and stat[0] * stat[3] < _FREE_DISK:
            good, step = False, "less than 64 kB free: fetch the logs, remove what does not belong there"
    except OSError as exc:
        good, step = False, "%s (error %s)" % (step, exc.errno)
    _row(rows, "storage", good, step)


def _network(app, rows):
    wifi = getattr(app.hal, "wifi", None)
    if wifi is not None:
        rssi = wifi.rssi()
        if wifi.address is None:
            _row(rows, "wifi", False, "not connected: check wifi.ssid, wifi.password and the access point")
        else:
            weak = rssi is not None and rssi < _WEAK_DBM
            _row(rows, "wifi", not weak, "weak signal (%s dBm): move the antenna or the access point" % rssi)
    reader = getattr(app.hal, "reader", None)
    if reader is not None:
        _row(rows, "reader", reader.is_up, "the id-tag reader does not answer: check its wiring and 3.3 V")
    if not app.online:
        rows.append(("csms", OPEN, "no central system: set ocpp.url"))
    elif app.cp.online:
        rows.append(("csms", OK, ""))
    elif app.cp.connected:
        rows.append(("csms", FAIL, "connected, but not accepted (%s): register this charger" % app.cp.registration))
    else:
        why = app.cp.last_error or "no answer yet"
        rows.append(("csms", FAIL, "not connected (%s): check network, ocpp.url and the password" % why))


def _devices(app, rows):
    for name, bus, _ in app.buses:
        counts = bus.counters()
        if not bus.is_up:
            step = "down: check the controller's supply and wiring; then 60 ohm between CAN-H and CAN-L, power off"
        elif counts.get("bus_off"):
            step = "bus-off %d times: termination, twisted pair, common ground" % counts["bus_off"]
        elif counts.get("overrun"):
            step = "%d frames lost: too much traffic for this controller" % counts["overrun"]
        else:
            step = ""
        if bus.is_up and not counts.get("rx") and name[:2] == "pm":
            step = "nothing is heard: mains of the power module, CAN-H and CAN-L exchanged, bit rate"
        _row(rows, name, not step, step)
    for outlet in app.outlets:
        _outlet(app.hal, outlet, rows)


def _outlet(hal, outlet, rows):
    n = outlet.number
    reasons = outlet.reasons
    step = "module is silent: mains, its CAN address, the cable of the module bus"
    if not reasons & _MODULE_LOST and reasons & _SENSOR:
        step = "module tells no sound temperature: its sensor, or it is the wrong type"
    _row(rows, "module%d" % n, not reasons & (_MODULE_LOST | _SENSOR), step)
    if outlet.plugged():
        rows.append(("vehicle%d" % n, OK, ""))
    else:
        rows.append(("vehicle%d" % n, OPEN, "plug a vehicle in"))
    for name, pressed, unknown in (
        ("estop", "pressed: release it", "no level: the I/O link, or its wire"),
        ("door", "open: close it", "no level: the I/O link, or its wire"),
    ):
        level = hal.input(name, n)
        _row(rows, "%s%d" % (name, n), level is False, unknown if level is None else pressed)
    closed = hal.input("contactor", n)
    if closed is None:
        rows.append(("contactor%d" % n, OPEN, "no feedback: listen for it at the next start and stop"))
    else:
        idle = not outlet.gate.may_flow()
        _row(rows, "contactor%d" % n, not (closed and idle), "does not open: welded? Switch the supply off, replace")
    fault = outlet.fault()
    _row(rows, "fault%d" % n, fault is None, "%s: see its cause" % (fault and fault[1]))


async def _outputs(app, outlet, rows):
    """Lights and lock. Nothing of it can let power flow; while it could disturb somebody it is left out."""
    n = outlet.number
    names = ["light%d" % n] + (["lock%d" % n] if outlet.has_lock else [])
    if outlet.connector.transaction is not None or outlet.gate.may_flow():
        rows.extend([(name, LEFT, "a session runs: end it first") for name in names])
        return
    for state in ("plugged", "charging", "fault", "idle"):
        app.hal.output("led", n, state)
        await asyncio.sleep_ms(_SHOW_MS)
    app.hal.output("led", n, "fault" if outlet.fault() else "plugged" if outlet.plugged() else "idle")
    rows.append((names[0], OPEN, "all lights must have shone in turn: look"))
    if not outlet.has_lock:
        return
    if outlet.plugged():
        rows.append((names[1], LEFT, "a vehicle is plugged in: unplug it first"))
        return
    app.hal.output("lock", n, True)
    await asyncio.sleep_ms(_LOCK_MS)
    shut = app.hal.input("lock", n)
    opened = await outlet.unlock()
    if shut is None:
        rows.append((names[1], OPEN, "no feedback: it must have moved twice"))
    else:
        _row(rows, names[1], shut and opened, "does not close" if not shut else "does not open: free the bolt")


def _row(rows, name, good, step, otherwise=FAIL):
    rows.append((name, OK, "") if good else (name, otherwise, step))
