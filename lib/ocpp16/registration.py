"""BootNotification, Heartbeat, and the end of a connection. A cold module (see lib/cold.py).

Sources: OCPP 1.6 edition 2, sections 4.2 and 4.6.
"""

import random

from cold import cold
from micropython import const

_RETRY_MS = const(30_000)  # no answer, or interval 0: try again after this plus a random part
_STEP_S = const(2)  # smaller differences of the clock are left alone: they are network delay


def boot(cp, now):
    """Send BootNotification."""
    cp.boot_pending = True
    cp.outbox.direct("BootNotification", cp.boot_info, lambda conf, error: _booted(cp, conf, now))


def beat(cp, now):
    """Send Heartbeat."""
    cp.heartbeat_at = now
    cp.outbox.direct("Heartbeat", "{}", lambda conf, error: _beaten(cp, conf, now))


def link_lost(cp):
    """The connection has ended: nobody answers, and nobody waits for answers."""
    cold("ocpp16.answers").link_lost(cp.outbox)
    cp.answered()
    session = cold("ocpp16.session_judged")
    for connector in cp.connectors:
        session.link_lost(connector)


def _booted(cp, conf, asked):
    """The answer to BootNotification (None: there was none) that was queued at uptime `asked`."""
    now = cp.clock.uptime_ms()
    cp.boot_pending = False
    if conf is None:
        if cp.connected:
            cp.boot_due = now + _wait_ms(0)
        return
    _set_clock(cp, conf["currentTime"], now - asked)
    interval = conf["interval"]
    cp.registration = conf["status"]
    cp.log.info("ocpp", "registration " + cp.registration)
    if cp.registration != "Accepted":
        cp.boot_due = now + _wait_ms(interval)
        return
    if interval > 0:
        cp.config.set_internal("HeartbeatInterval", str(interval))
    cp.heartbeat_at = now
    cold("ocpp16.statuses").welcome(cp)
    if cp.store.get("update") is not None:
        cold("ocpp16.updates").resume(cp)


def _beaten(cp, conf, asked):
    """The answer to Heartbeat (None: there was none)."""
    if conf is not None:
        _set_clock(cp, conf["currentTime"], cp.clock.uptime_ms() - asked)


def _wait_ms(interval):
    return interval * 1000 if interval > 0 else _RETRY_MS + random.getrandbits(14)


def _set_clock(cp, text, round_trip_ms):
    try:
        seconds, ms = cold("ocpp16.timeparse").parse_ms(text)
    except ValueError:
        cp.log.warn("ocpp", "currentTime is unreadable")
        return
    ms += round_trip_ms // 2
    seconds += ms // 1000
    now = cp.clock.utc()
    if now is None or abs(seconds - now) > _STEP_S:
        cp.clock.set_utc(seconds, ms % 1000)
        cp.aligned_at = 0
        if cp.reserved_until is not None:
            cold("ocpp16.reservations").refresh(cp)
        cp.log.info("ocpp", "clock set to " + cold("ocpp16.timestamp").format_utc(seconds))
