"""wifi scan, wifi join. A cold module."""

import asyncio

from cold import cold
from micropython import const

_SETTLE_MS = const(200)
_STRONG = (-60, -70, -80)
_WORDS = ("strong", "good", "weak", "very weak")


async def _wifi(console, text):
    word, _, rest = text.partition(" ")
    if word not in ("scan", "join"):
        raise ValueError("wifi scan, or wifi join NAME")
    if not hasattr(console.app.hal, "wifi"):
        raise ValueError("This charger runs on a computer and uses its network; there is no Wi-Fi to set.")
    if word == "join":
        await _join(console, rest.strip())
    else:
        await _scan(console)


async def _scan(console):
    """The radio stops the program for some 2 s while it listens: not while power flows."""
    if not console.is_idle():
        raise ValueError("A session runs: the radio would disturb it.")
    await console.say("Listening ...")
    await asyncio.sleep_ms(_SETTLE_MS)
    try:
        found = console.app.hal.scan()
    except OSError as exc:
        raise ValueError("The radio does not answer (%s): try again, then reboot." % exc)
    for name, channel, dbm, is_open in sorted(found, key=lambda row: -row[2]):
        strength = _WORDS[len([1 for limit in _STRONG if dbm < limit])]
        await console.say(
            "%-32s channel %2d  %d dBm, %s%s" % (name, channel, dbm, strength, ", open" if is_open else "")
        )
    await console.say("%d networks." % len(found))


async def _join(console, name):
    table = cold("charger.settings_table")
    changes = {}
    if not name:
        name = await console.ask("Name of the network: ")
        if not name:
            return
    changes["wifi.ssid"] = table.check(table.row("wifi.ssid"), name)
    password = await console.ask("Its password, not shown (empty: open): ", True)
    if password is None:
        return
    changes["wifi.password"] = table.check(table.row("wifi.password"), password)
    if 0 < len(password) < 8:
        raise ValueError("A Wi-Fi password has 8 characters or more.")
    del table
    console.staged.update(changes)
    await console.say("Will be joined after save and reboot.")


COMMANDS = (_wifi,)  # in the order of table.py
