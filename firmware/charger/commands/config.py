"""Settings on the console: show, change, save, export, import. A cold module.

`set`, `unset` and `import` only check and put aside; `save` stores all of it at once, `revert` forgets it.
"""

import json

from cold import cold
from micropython import const

_SECRET = const(1)  # of settings_table
_RESTART = const(2)
_TABLE = "charger.settings_table"
_HIDDEN = "(set)"


def _settings(console):
    return cold("charger.commands.staging").settings(console.app)


def _row(name):
    try:
        return cold("charger.settings_table").row(name)
    except KeyError:
        raise ValueError("There is no such setting; show lists them.")


def _shown(row, value):
    """Text of a value; of a secret only whether there is one."""
    if row[5] & _SECRET:
        return _HIDDEN if value else "(none)"
    if isinstance(value, bool):
        return "true" if value else "false"
    return "%s%s" % (value if value != "" else '""', " " + row[6] if row[6] else "")


def _lines(console, part):
    settings = _settings(console)
    for row in cold("charger.settings_table").rows():
        name = row[0]
        if part in name:
            text = "%-32s %s  (%s)" % (name, _shown(row, settings.get(name)), settings.source(name))
            if name in console.staged:
                value = console.staged[name]
                text += "  -> %s, not saved" % ("factory" if value is None else _shown(row, value))
            yield text


async def _show(console, text):
    found = False
    for line in _lines(console, text):
        found = True
        await console.say(line)
    if not found:
        raise ValueError("No setting has that in its name.")


async def _get(console, text):
    row = _row(text)
    name, kind, _, low, high, flags, unit, help_text = row
    settings = _settings(console)
    await console.say("%s = %s  (%s)" % (name, _shown(row, settings.get(name)), settings.source(name)))
    if name in console.staged:
        value = console.staged[name]
        await console.say("  after save: %s" % ("the factory's" if value is None else _shown(row, value)))
    span = {"bool": "true or false", "choice": " | ".join(high) if kind == "choice" else ""}.get(kind)
    if span is None:
        span = "%d to %d %s" % (low, high, unit if kind == "int" else "characters")
    await console.say("  %s\n  %s%s" % (help_text, span.rstrip(), "; from the next start" if flags & _RESTART else ""))


async def _set(console, text):
    name, blank, value = text.partition(" ")
    row = _row(name)
    if not blank:
        if row[5] & _SECRET:
            value = await console.ask("Value, not shown: ", True)
            if value is None:
                return
        else:
            raise ValueError("The value is missing: set NAME VALUE")
    elif len(value) > 1 and value[0] == '"' == value[-1]:
        value = value[1:-1]
    if row[1] == "int" and row[6] and value.endswith(row[6]):
        value = value[: -len(row[6])].rstrip()
    value = cold("charger.settings_table").check(row, value)
    console.staged[name] = value
    await console.say("%s will be %s. save stores it." % (name, _shown(row, value)))


async def _unset(console, text):
    _row(text)
    console.staged[text] = None
    await console.say("%s will be the factory's. save stores it." % text)


async def _save(console, text):
    if not console.staged:
        await console.say("Nothing was set.")
        return
    settings = _settings(console)
    restart = cold("charger.settings_table").change_all(settings, console.staged)
    await console.say("%d stored.%s" % (len(console.staged), " Counts from the next start: reboot." if restart else ""))
    console.app.log.info("console", "settings changed: " + " ".join(sorted(console.staged)))
    console.staged = {}


async def _revert(console, text):
    await console.say("%d forgotten." % len(console.staged))
    console.staged = {}


async def _export(console, text):
    """One line of JSON; a piece at a time, because all of it is some 2 kB."""
    settings = _settings(console)
    before = "{"
    for row in cold("charger.settings_table").rows():
        name = row[0]
        if not row[5] & _SECRET and settings.source(name) != "default":
            await console.terminal.write("%s%s: %s" % (before, json.dumps(name), json.dumps(settings.get(name))))
            before = ", "
    await console.say("}" if before == ", " else "{}")


async def _import(console, text):
    if not cold("charger.files").is_whole(text):
        raise ValueError("This is no whole line of JSON.")
    try:
        values = json.loads(text)
    except ValueError:
        raise ValueError("This is no JSON.")
    if not isinstance(values, dict):
        raise ValueError("It must be an object: {NAME: VALUE, ...}")
    staged = {}
    table = cold("charger.settings_table")
    for name, value in values.items():
        try:
            staged[name] = table.check(table.row(name), value, text=False)
        except KeyError:
            raise ValueError("Nothing is set: there is a name in it that is no setting.")
    del table
    console.staged.update(staged)
    await console.say("%d set. save stores them." % len(staged))


async def _factory_reset(console, text):
    if not console.is_idle():
        raise ValueError("A session runs: stop it first.")
    if not await console.sure("Forget all settings, the PIN and the passwords?"):
        await console.say("Nothing is changed.")
        return
    settings = _settings(console)
    cold("charger.settings_table").change_all(settings, {name: None for name in settings.stored})
    console.staged = {}
    console.app.log.warn("console", "settings forgotten")
    await console.say("Done. The charger starts again.")
    console.app.request_reset(True)


COMMANDS = (_show, _get, _set, _unset, _save, _revert, _export, _import, _factory_reset)  # in the order of table.py
