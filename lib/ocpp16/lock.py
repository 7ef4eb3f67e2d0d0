"""UnlockConnector. A cold module (see lib/cold.py).

Source: OCPP 1.6 edition 2, section 5.18, with errata.
"""

import asyncio

from micropython import const

_SETTLE_MS = const(3000)  # longest wait for "off" before a lock is opened
_LOOK_MS = const(20)


async def unlock(cp, connector_id):
    """UnlockStatus. A transaction of that connector ends, and the plug stays locked until its power is off."""
    connector = cp.connector(connector_id)
    if connector is None or not getattr(connector.evse, "has_lock", False):
        return "NotSupported"
    connector.stop("UnlockCommand")
    began = cp.clock.uptime_ms()
    while connector.transaction is not None and not connector.evse.is_settled():
        if cp.clock.uptime_ms() - began >= _SETTLE_MS:
            return "UnlockFailed"
        await asyncio.sleep_ms(_LOOK_MS)
    connector.locked = False
    connector.opens = None
    return "Unlocked" if await connector.evse.unlock() else "UnlockFailed"
