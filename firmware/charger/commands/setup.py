"""The guided dialogue of the first start: who the charger is, where its central system is, network and PIN. Cold.

Nothing is stored before the last answer; Ctrl-C leaves everything as it was.
"""

from cold import cold

from charger.version import VERSION


async def greet(console):
    """The first words: what this is, and the dialogue where there is no central system yet."""
    app = console.app
    await console.say("Rivot charger %s. help lists the commands." % VERSION)
    if not app.online:
        await console.say("It has no central system yet.")
        if console.trusted:
            answer = await console.ask("Set it up now? [Y/n] ")
            if answer is None:
                console.interrupted()
            elif answer.strip().lower() in ("", "y", "yes"):
                await _setup(console, "")
        else:
            await console.say("The command setup leads through it; it needs the service PIN.")


async def _setup(console, text):
    """Ask for everything, check each answer at once, store all together, offer the PIN and the restart."""
    app = console.app
    settings = cold("charger.commands.staging").settings(app)
    changes = {}
    steps = (
        ("ocpp.identity", "Identity of this charge point, as the central system knows it"),
        ("ocpp.url", "Address of the central system, ws:// or wss://, without the identity"),
        ("ocpp.authorization_key", "Password for the central system (empty: none)"),
        ("wifi.ssid", "Name of the Wi-Fi network (empty: none)"),
        ("wifi.password", "Its password (empty: an open network)"),
    )
    for name, question in steps:
        if name[:4] == "wifi" and not hasattr(app.hal, "wifi"):
            continue  # a computer
        if name == "wifi.password" and not changes.get("wifi.ssid", settings.get("wifi.ssid")):
            continue
        if not await _step(console, settings, changes, name, question):
            await console.say("Left; nothing is changed.")
            return
    del settings
    if changes:
        cold("charger.settings_table").change_all(cold("charger.commands.staging").settings(app), changes)
    await console.say("Stored.")
    if cold("charger.commands.pin").is_open(app):
        await console.say("A service PIN keeps others from changing this.")
        try:
            await cold("charger.commands.pin").choose(console)
        except ValueError as exc:
            await console.say("%s. The command pin sets one later." % exc)
    await console.say("It counts from the next start.")
    if not console.is_idle():
        await console.say("A session runs: reboot when it has ended.")
    elif await console.sure("Start again now?"):
        app.request_reset(True)


async def _step(console, settings, changes, name, question):
    """One question, until its answer is right. False: Ctrl-C."""
    table = cold("charger.settings_table")
    row = table.row(name)
    secret = row[5] & table.SECRET != 0
    now = settings.get(name)
    shown = ("(set)" if now else "") if secret else now
    while True:
        await console.say("%s%s:" % (question, " [%s]" % shown if shown else ""))
        answer = await console.ask("> ", secret)  # a line of its own: addresses are long
        if answer is None:
            return False
        answer = answer.strip()
        if not answer and (now or not needs(name)):
            return True
        try:
            value = table.check(row, answer)
            if name == "ocpp.url":
                cold("ocpp16.url").endpoint(value, "x")
            if needs(name) and not value:
                raise ValueError("It must not be empty")
        except ValueError as exc:
            await console.say("%s." % exc)
            continue
        changes[name] = value
        return True


def needs(name):
    """Must this be answered?"""
    return name in ("ocpp.url", "ocpp.identity")


COMMANDS = (_setup,)  # in the order of table.py
