"""Starts and ends the program's services. A cold module: see app.App."""

import asyncio

from cold import cold
from micropython import const

from drivers.can import CanError

_TICK_MS = const(20)
_GOODBYE_MS = const(3000)  # longest wait for "off" to be confirmed at the end
_RETRY_MAX_MS = const(2000)


def start(app, supervise):
    """Start all services. supervise -- Supervisor.start"""
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


async def end(app, reason):
    """See App.shut_down: wait for the transactions and for "off"; at most 3 s.

    Does the work of the services itself: they may be dead already.
    """
    began = app.clock.uptime_ms()
    while app.clock.uptime_ms() - began < _GOODBYE_MS:
        for outlet in app.outlets:
            outlet.tick()
            try:
                outlet.connector.poll()
            except Exception as exc:  # noqa: BLE001 - the output must still be waited for
                app.log.error("app", exc)
        if all(outlet.is_settled() and outlet.connector.transaction is None for outlet in app.outlets):
            break
        await asyncio.sleep_ms(_TICK_MS)
    for register, outlet in app.registers:
        register.update(outlet.meter.lifetime_mwh, False, True)
    app.log.info("app", "ended: %s" % reason)
