"""Meter values on the clock grid. A cold module (see lib/cold.py).

The grid starts at midnight UTC of each day. Values are taken where a transaction runs, on each connector, and carry the
time of the grid, not that of the look. What was missed is not made up.
Source: OCPP 1.6 edition 2, section 3.16 and the configuration key ClockAlignedDataInterval, with errata.
"""

from cold import cold
from micropython import const

_DAY_S = const(86_400)
_LATE_MS = const(5000)  # a look that comes later than this misses the point
_AGAIN_MS = const(1000)


def tick(cp, now):
    """Take the values when `cp.aligned_at` has come, and set it to the next point. 0: the grid is new."""
    due, clock = cp.aligned_at, cp.clock
    seconds = clock.utc_at(now)
    if seconds is None:
        cp.aligned_at = now + _AGAIN_MS
        return
    interval = cp.config.get("ClockAlignedDataInterval")
    of_day = seconds % _DAY_S
    following = min(of_day // interval * interval + interval, _DAY_S)
    into = 0  # ms since this second began
    for step in (512, 256, 128, 64, 32, 16, 8, 4, 2, 1):
        if clock.utc_at(now - into - step) == seconds:
            into += step
    cp.aligned_at = now - into + (following - of_day) * 1000
    if due and now - due < _LATE_MS:
        stamp = cold("ocpp16.timestamp").format_utc(clock.utc_at(due))
        for connector in cp.connectors:
            tx = connector.transaction
            if tx is not None and tx.reason is None:
                try:
                    cold("ocpp16.session_values").sample_aligned(connector, tx, stamp)
                except Exception as exc:  # noqa: BLE001 - the session goes on without
                    cp.log.error("ocpp", exc)
