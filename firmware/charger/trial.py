"""A new program on trial: it stays if it works, and restarts if it does not, until boot.py goes back. A cold module.

It works when the central system has accepted it and the self-test finds nothing that the program before did not find.
"""

import asyncio

from cold import cold
from micropython import const

_LOOK_MS = const(1000)
_TEST_MS = const(10_000)  # between two self-tests: they write to the flash
_SETTLED_MS = const(6000)  # buses and inputs have had time
_SLOTS = "charger.slots"


async def watch(app, folder):
    """Confirm that slot, or restart at the end of its time; never while a connector is in use."""
    now = app.clock.uptime_ms()
    deadline = now + app.update_rules[2] * 1000
    test_at = now + _SETTLED_MS
    app.log.warn("update", "%s is on trial" % folder)
    told = None
    while True:
        await asyncio.sleep_ms(_LOOK_MS)
        now = app.clock.uptime_ms()
        if not app.cp.online:
            why = "not accepted by the central system"
        elif now < test_at:
            continue
        else:
            test_at = now + _TEST_MS
            try:
                why = _test(app) or _settle(folder)
            except MemoryError:
                why = "not enough memory"
        if why is None:
            app.log.info("update", "%s stays" % folder)
            return
        if why != told:
            app.log.warn("update", "on trial: " + why)
            told = why
        if now >= deadline and not cold("ocpp16.jobs").is_busy(app.cp):
            app.log.error("update", "not confirmed in time: restarting")
            app.request_reset(False)
            return


def _test(app):
    """None, or what is worse than it was in the program before: a fault of the site is not the new program's."""
    try:
        before = cold("charger.files").read_json(app.hal.data_dir + "/update.json")["failed"]
    except (OSError, ValueError, TypeError, KeyError):
        before = ()
    try:
        now = cold("charger.selftest").failures(app)
    except MemoryError:
        return None if before is None else "self-test: not enough memory"
    new = [name for name in now if name not in (before or ())]
    return "self-test: " + ", ".join(new) if new else None


def _settle(folder):
    """None, or why it could not be written down."""
    try:
        cold(_SLOTS).settle(folder)
    except OSError as exc:
        return "flash (%s)" % exc
    return None
