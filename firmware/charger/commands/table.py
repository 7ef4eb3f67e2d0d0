"""Which commands there are: where they live, who may use them, their help. A cold module.

What changes something needs the PIN. Commands may be shortened as long as they are clear: `st` is status.
"""

from cold import cold

_MODULES = (
    "charger.commands.help",
    "charger.commands.status",
    "charger.commands.devices",
    "charger.commands.diag",
    "charger.commands.doctor",
    "charger.commands.network",
    "charger.commands.cert",
    "charger.commands.update",
    "charger.commands.queue",
    "charger.commands.config",
    "charger.commands.pin",
    "charger.commands.setup",
    "charger.commands.system",
)


def rows():
    """(name, path of the module, its number in the COMMANDS there, needs the PIN?) of each command."""
    # A line for each of _MODULES; ! needs the PIN. Inside the function: a text of the module that names something keeps
    # that name from being shortened.
    lines = """\
help
status session meter
bms power can
diag
doctor
wifi!
cert
update
queue!
show get set! unset! save! revert! export import! factory-reset!
pin! login logout
setup!
test log reboot! python! exit
"""
    start = 0
    for path in _MODULES:
        end = lines.find("\n", start)
        number = 0
        for name in lines[start:end].split(" "):
            yield name.rstrip("!"), path, number, name[-1] == "!"
            number += 1
        start = end + 1


def find(text):
    """(path of the module, number of the command in its COMMANDS, needs the PIN) for a line.

    ValueError: unknown or unclear.
    """
    word = text.strip().partition(" ")[0]
    found = [row for row in rows() if row[0] == word] or [row for row in rows() if row[0].startswith(word)]
    if not found:
        raise ValueError("There is no such command; help lists them.")
    if len(found) > 1:
        raise ValueError("Unclear: " + ", ".join([row[0] for row in found]))
    return found[0][1:]


def candidates(begun):
    """What may stand at the end of a line that begins so."""
    words = begun.split(" ")
    if len(words) == 1:
        return [row[0] for row in rows()]
    if words[0] in ("set", "unset", "get", "show") and len(words) == 2:
        return [row[0] for row in cold("charger.settings_table").rows()]
    if words[0] == "set" and len(words) == 3:
        try:
            row = cold("charger.settings_table").row(words[1])
        except KeyError:
            return []
        return ["true", "false"] if row[1] == "bool" else list(row[4]) if row[1] == "choice" else []
    if words[0] == "help" and len(words) == 2:
        return [row[0] for row in rows()]
    for name, arguments, _ in cold("charger.commands.help").rows():
        if name == words[0] and len(words) == 2:
            options = [part.strip().partition(" ")[0] for part in arguments.strip("[]").split("|")]
            return [word for word in options if word and word == word.lower()]
    return []


def is_hidden(name):
    """May the value of this setting not be seen while it is typed? Also when there is no such setting."""
    table = cold("charger.settings_table")
    try:
        return table.row(name)[5] & table.SECRET != 0
    except KeyError:
        return True
