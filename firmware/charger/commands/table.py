"""Which commands there are: where they live, who may use them, their help. A cold module.

What changes something needs the PIN. Commands may be shortened as long as they are clear: `st` is status.
"""

from cold import cold

_MODULES = (
    "charger.commands.config",
    "charger.commands.devices",
    "charger.commands.doctor",
    "charger.commands.help",
    "charger.commands.network",
    "charger.commands.pin",
    "charger.commands.queue",
    "charger.commands.setup",
    "charger.commands.status",
    "charger.commands.system",
)


def rows():
    """(name, module, needs the PIN, arguments, help) of each command; those of a module as in its COMMANDS."""
    # Inside the function: a table of the module is one of names, which keep other names from being shortened.
    lines = """
help;help;;[COMMAND];what there is, or more about one command
status;status;;;one screen: connectors, vehicle, power, central system, with the age of what was measured
session;status;;;the running session of every connector
meter;status;;;energy registers and what is measured at the terminals
bms;devices;;;what the vehicle says
power;devices;;;what the power module is told and says
can;devices;;[ID] [SECONDS];shows the frames of both buses as they come; ID: hex digits that the identifier contains
test;system;;[move];self-test: verdict and next step of every part; move: lights and lock, too
log;system;;[N] [LEVEL] | follow [LEVEL];the last lines, or new ones until a key is pressed; LEVEL: I (all), W or E
doctor;doctor;;;looks for what keeps this charger from its central system, step by step
wifi;network;P;scan | join [NAME];networks in reach; stores name and password of one
queue;queue;P;[list | export | resend N | drop N];messages that wait, and those that were given up
show;config;;[PART];settings with value and source; PART: only names that contain it
get;config;;NAME;one setting: value, source, range, meaning
set;config;P;NAME [VALUE];changes a setting, for save; without a value it asks for it. Secrets are never shown
unset;config;P;NAME;back to the factory's value, for save
save;config;P;;keeps what was set; most of it counts from the next start
revert;config;P;;forgets what was set and not saved
export;config;;;all settings as one line of JSON, without secrets
import;config;P;JSON;sets what such a line holds, for save; secrets may be in it
factory-reset;config;P;;forgets all settings that were stored; asks first
pin;pin;P;;sets, changes or removes the service PIN
login;pin;;;asks for the PIN now
logout;pin;;;the next change asks for the PIN again
setup;setup;P;;the guided dialogue of the first start
reboot;system;P;[hard];ends sessions in order and starts again; asks first
python;system;P;;ends the charger's program, when no power flows; asks first. On a device: the MicroPython REPL
exit;system;;;closes the console
"""
    for line in lines.strip().split("\n"):
        name, module, marks, arguments, text = line.split(";", 4)
        yield name, module, marks == "P", arguments, text


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
    name, word, changes, _, _ = found[0]
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
    for row in rows():
        if row[0] == words[0] and len(words) == 2:
            options = [part.strip().partition(" ")[0] for part in row[3].strip("[]").split("|")]
            return [word for word in options if word and word == word.lower()]
    return []


def is_hidden(name):
    """May the value of this setting not be seen while it is typed? Also when there is no such setting."""
    table = cold("charger.settings_table")
    try:
        return table.row(name)[5] & table.SECRET != 0
    except KeyError:
        return True
