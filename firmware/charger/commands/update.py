"""update: the two slots of the program, and going back. A cold module. The slots: charger/slots.py."""

from cold import cold


async def _update(console, text):
    if text == "rollback":
        await _roll_back(console)
    elif text:
        raise ValueError("update [rollback]")
    elif cold("charger.slots").running() is None:
        await console.say("This program runs from its sources, not from a slot.")
    else:
        for name, version, doing in cold("charger.slots").state():
            await console.say("%s: %s%s" % (name, version + ", " if version else "", doing))


async def _roll_back(console):
    if not console.trusted and not await cold("charger.commands.pin").unlock(console):
        return
    if not console.is_idle():
        raise ValueError("A session runs: stop it first.")
    slots = cold("charger.slots")
    if not [row for row in slots.state() if row[1] and not row[2].startswith("runs")]:
        raise ValueError("There is no other version.")
    del slots
    if not await console.sure("Start the program of the other slot?"):
        await console.say("Nothing is done.")
        return
    version = cold("charger.slots").roll_back()
    console.app.log.warn("console", "back to version " + version)
    await console.say("Back to %s. The charger starts again." % version)
    console.app.request_reset(True)


COMMANDS = (_update,)  # in the order of table.py
