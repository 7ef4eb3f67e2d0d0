"""Starts and ends the program's services. A cold module: see app.App."""

import asyncio

from cold import cold
from micropython import const

from drivers.can import CanError

_TICK_MS = const(20)
_GOODBYE_MS = const(3000)  # longest wait for "off" to be confirmed at the end
_RETRY_MAX_MS = const(2000)
_SOFT_MS = const(10_000)  # longest wait of a soft reset for the answers of the central system
_LOCK_MS = const(1000)  # a lock has moved by then


def start(app, supervise):
    """Start all services. supervise -- Supervisor.start"""
    cold("charger.event_log").begin(app)
    try:
        extra = app.hal.services
    except AttributeError:  # a computer
        pass
    else:
        cold("charger.build_device").start(app, extra, supervise)
    supervise("control", app.control, critical=True)
    for name, bus, outlet in app.buses:
        # a lost bus is power off: the outlet looks at once
        supervise(name, app.patient(name, bus.run, (CanError, OSError), outlet.evaluate), critical=True)
    supervise("inputs", app.patient("inputs", app.hal.run, (OSError, asyncio.TimeoutError)), critical=True)
    supervise("connectors", app.cp.run_connectors, critical=True, backoff_max_ms=_RETRY_MAX_MS)
    if app.online:
        supervise("ocpp", app.cp.run_link, critical=True)  # it survives every network by itself
    else:
        app.log.warn("app", "no central system: ocpp.url is not set")
    asyncio.create_task(cold("charger.selftest_start").report(app))
    slots = cold("charger.slots")
    folder = slots.running()
    if folder is not None and slots.is_on_trial(folder):
        asyncio.create_task(cold("charger.trial").watch(app, folder))


async def end(app, reason):
    """See App.shut_down: wait for the transactions and for "off"; at most 3 s. What the log has is on flash then, too.

    A reset that was asked for also waits for what the central system has to hear, and takes leave of it; a soft one for
    at most 10 s.
    """
    try:
        await _end(app, reason)
    finally:
        try:
            cold("charger.event_log").save(app, True)
        except MemoryError:
            pass  # what ends must end


async def _end(app, reason):
    """Does the work of the services itself: they may be dead already."""
    began = app.clock.uptime_ms()
    asked = reason in ("HardReset", "SoftReset")
    outbox = app.cp.outbox
    while True:
        waited = app.clock.uptime_ms() - began
        for outlet in app.outlets:
            outlet.tick()
            try:
                outlet.connector.poll()
            except Exception as exc:  # noqa: BLE001 - the output must still be waited for
                app.log.error("app", exc)
        settled = all(outlet.is_settled() and outlet.connector.transaction is None for outlet in app.outlets)
        heard = not asked or not app.cp.online or not (outbox.tail or outbox.store.pending(0, 1))
        if (settled and heard) or waited >= (_SOFT_MS if settled and reason == "SoftReset" else _GOODBYE_MS):
            break
        await asyncio.sleep_ms(_TICK_MS)
    for register, outlet in app.registers:
        register.update(outlet.meter.lifetime_mwh, False, True)
    outbox.save_at = 0  # nothing is left to wait for: write what still lies in RAM
    outbox.tick()
    if asked:
        await app.cp.close()
    app.log.info("app", "ended: %s" % reason)


async def unlock(hal, number):
    """Open the lock of a connector. False: it reports that it is closed; without feedback it counts as open."""
    hal.output("lock", number, False)
    for _ in range(_LOCK_MS // _TICK_MS):
        await asyncio.sleep_ms(_TICK_MS)
        if hal.input("lock", number) is False:
            break
    return not hal.input("lock", number)
