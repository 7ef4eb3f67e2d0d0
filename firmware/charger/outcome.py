"""What came of an update, asked after the restart. A cold module: see installer.py."""

import asyncio

from cold import cold
from micropython import const

_LOOK_MS = const(500)


async def outcome(app):
    """True: what was installed runs, and stays; waits for trial.watch. None: nothing was installed.

    False: it was refused, or tried and does not run.
    """
    folder = app.hal.data_dir
    try:
        record = cold("charger.files").read_json(folder + "/update.json")
        if "error" in record:
            app.log.error("update", "not installed: " + record["error"])
            return False
        name, version = record["slot"], record["version"]
    except (OSError, ValueError, TypeError, KeyError):
        return None
    finally:
        cold("charger.files").remove(folder + "/update.part")
    slots = cold("charger.slots")
    mine = slots.running()
    if mine is None:
        return None
    if mine.endswith("/" + name):
        while slots.is_on_trial(mine):
            await asyncio.sleep_ms(_LOOK_MS)
        return True
    if slots.is_whole(slots.idle(mine)):
        return None  # the power was cut before the marker named it
    app.log.error("update", "version %s was tried and does not work: the old one is back" % version)
    return False
