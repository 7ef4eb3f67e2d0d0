"""Lets the self-test speak once after the start, when buses and inputs had time. A cold module, and a short one."""

import asyncio

from cold import cold
from micropython import const

_WAIT_MS = const(6000)


async def report(app):
    """Log the short form, unless a session has begun by then: its memory is worth more."""
    await asyncio.sleep_ms(_WAIT_MS)
    for outlet in app.outlets:
        if outlet.connector.transaction is not None:
            return
    try:
        cold("charger.selftest").log(app)
    except MemoryError:
        app.log.warn("selftest", "not enough memory")
