"""Which commands there are: where they live, who may use them, their help. A cold module.

What changes something needs the PIN. Commands may be shortened as long as they are clear: `st` is status.
"""

from cold import cold

_MODULES = (
    "charger.commands.cert",
    "charger.commands.config",
    "charger.commands.devices",
    "charger.commands.diag",
    "charger.commands.doctor",
    "charger.commands.help",
    "charger.commands.network",
    "charger.commands.pin",
    "charger.commands.queue",
    "charger.commands.setup",
    "charger.commands.status",
    "charger.commands.system",
    "charger.commands.update",
)


def rows():
    """(name, module, needs the PIN) of each command; those of a module in the order of its COMMANDS."""
    # Inside the function: a table of the module is one of names, which keep other names from being shortened.
    lines = """\
help;help;
status;status;
session;status;
meter;status;
bms;devices;
power;devices;
can;devices;
test;system;
log;system;
diag;diag;
doctor;doctor;
wifi;network;P
cert;cert;
update;update;
queue;queue;P
show;config;
get;config;
set;config;P
unset;config;P
save;config;P
revert;config;P
export;config;
import;config;P
factory-reset;config;P
pin;pin;P
login;pin;
logout;pin;
setup;setup;P
reboot;system;P
python;system;P
exit;system;
"""
    start = 0
    while start < len(lines):  # no split(): a copy of all of it has no room in a session
        end = lines.find("\n", start)
        name, module, marks = lines[start:end].split(";")
        yield name, module, marks == "P"
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
    name, word, changes = found[0]
    path = next(path for path in _MODULES if path.endswith(word))  # the build shortens them to that word
    return path, [row[0] for row in rows() if row[1] == word].index(name), changes


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
