"""The service PIN: who may change something. A cold module.

Wrong tries are counted in the store before the PIN is compared: a power cut gives none back. After three of them the
next try waits 30 s, and twice as long after each further one, up to an hour; after a restart it waits anew.
"""

from cold import cold
from micropython import const

_NAME = "pin"  # in the store: [wrong tries, number of the boot, uptime ms of the last]
_FREE = const(3)
_WAIT_S = const(30)
_LONGEST_S = const(3600)
_SETTING = "service.pin"


def _stored(app):
    return cold("charger.commands.staging").secret(app, _SETTING)


def is_open(app):
    """Is there no PIN?"""
    return not _stored(app)


def wait_s(app):
    """Seconds until the next try may be made, 0: now."""
    tries, boot, at = _record(app)
    if tries < _FREE:
        return 0
    wait_ms = min(_WAIT_S << min(tries - _FREE, 8), _LONGEST_S) * 1000
    now = app.clock.uptime_ms()
    since = now - at if boot == app.cp.outbox.boot and 0 <= at <= now else now
    return max(0, (wait_ms - since + 999) // 1000)


def _record(app):
    record = app.cp.store.get(_NAME, [])
    if len(record) == 3 and [type(n) for n in record] == [int] * 3 and record[0] >= 0:
        return record
    return 0, 0, 0


def check(app, text):
    """Is this the PIN? Counts a wrong one, before it is known to be wrong. OSError: it could not be counted."""
    tries = _record(app)[0]
    app.cp.store.put(_NAME, [tries + 1, app.cp.outbox.boot, app.clock.uptime_ms()])
    if text != _stored(app):
        app.log.warn("console", "wrong PIN, %d in a row" % (tries + 1))
        return False
    app.cp.store.put(_NAME, None)
    return True


async def unlock(console):
    """Ask for the PIN, if there is one. Returns whether changes are allowed now."""
    app = console.app
    if is_open(app):
        console.trusted = True
        return True
    wait = wait_s(app)
    if wait:
        await console.say("Too many wrong PINs: wait %d s." % wait)
        return False
    text = await console.ask("Service PIN: ", True)
    if text is None:
        return False
    console.trusted = check(app, text)
    if not console.trusted:
        wait = wait_s(app)
        await console.say("Wrong PIN." + (" Wait %d s." % wait if wait else ""))
    return console.trusted


async def _login(console, text):
    if await unlock(console):
        await console.say("Changes are allowed until logout.")


async def _logout(console, text):
    console.trusted = False
    await console.say("There is no PIN: everybody may change everything." if is_open(console.app) else "Logged out.")


async def _pin(console, text):
    """Set, change or remove the PIN; counts at once."""
    if await choose(console):
        await console.say("The PIN is set." if not is_open(console.app) else "There is no PIN any more.")


async def choose(console):
    """Ask twice for a new PIN and store it. Returns False if nothing was changed."""
    new = await console.ask("New PIN, 4 to 12 digits (empty: none): ", True)
    if new is None:
        return False
    table = cold("charger.settings_table")
    table.check(table.row(_SETTING), new)
    del table
    if new != await console.ask("Once more: ", True):
        await console.say("Not the same: nothing is changed.")
        return False
    cold("charger.commands.staging").settings(console.app).set(_SETTING, new)
    console.app.log.info("console", "service PIN changed")
    return True


COMMANDS = (_pin, _login, _logout)  # in the order of table.py
