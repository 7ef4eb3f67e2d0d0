"""The command `help`, and what it says about each. A cold module."""

from cold import cold


def rows():
    """(name, arguments, help) of each command."""
    lines = """\
help;[COMMAND];what there is, or more about one command
status;;one screen: connectors, vehicle, power, central system, with the age of what was measured
session;;the running session of every connector
meter;;energy registers and what is measured at the terminals
bms;;what the vehicle says
power;;what the power module is told and says
can;[ID] [SECONDS];shows the frames of both buses as they come; ID: hex digits that the identifier contains
test;[move];self-test: verdict and next step of every part; move: lights and lock, too
log;[N] [LEVEL] | follow [LEVEL];the last lines, or new ones until a key is pressed; LEVEL: I (all), W or E
diag;;everything at once, as GetDiagnostics uploads it: states, counters, settings, crashes, logs
doctor;;looks for what keeps this charger from its central system, step by step
wifi;scan | join [NAME];networks in reach; stores name and password of one
cert;list | paste | delete N;certificates that wss:// trusts: subject, issuer, days left; takes a pasted one
update;[rollback];the two slots of the program: version and state of each; rollback starts the other one
queue;[list | export | resend N | drop N];messages that wait, and those that were given up
show;[PART];settings with value and source; PART: only names that contain it
get;NAME;one setting: value, source, range, meaning
set;NAME [VALUE];changes a setting, for save; without a value it asks for it. Secrets are never shown
unset;NAME;back to the factory's value, for save
save;;keeps what was set; most of it counts from the next start
revert;;forgets what was set and not saved
export;;all settings as one line of JSON, without secrets
import;JSON;sets what such a line holds, for save; secrets may be in it
factory-reset;;forgets all settings that were stored; asks first
pin;;sets, changes or removes the service PIN
login;;asks for the PIN now
logout;;the next change asks for the PIN again
setup;;the guided dialogue of the first start
reboot;[hard];ends sessions in order and starts again; asks first
python;;ends the charger's program, when no power flows; asks first. On a device: the MicroPython REPL
exit;;closes the console
"""
    start = 0
    while start < len(lines):
        end = lines.find("\n", start)
        name, arguments, text = lines[start:end].split(";", 2)
        yield name, arguments, text
        start = end + 1


async def _help(console, text):
    names = [row[0] for row in rows()]
    found = [name for name in names if name == text] or [name for name in names if name.startswith(text)]
    if not found:
        raise ValueError("There is no such command; help lists them.")
    guarded = [row[0] for row in cold("charger.commands.table").rows() if row[3]]
    for name, arguments, told in rows():
        if name not in found:
            continue
        head = name + (" " + arguments if arguments else "")
        if len(found) == 1:
            await console.say("%s\n  %s." % (head, told))
            if name in guarded:
                await console.say("  Needs the service PIN, where one is set.")
            return
        if len(head) > 24:
            head = name + " ..."
        await console.say("%-24s %s%s" % (head, told.partition(";")[0][:52], " (PIN)" if name in guarded else ""))
    await console.say("Tab completes, the arrows fetch earlier lines, Ctrl-C drops a line, Ctrl-D leaves.")


COMMANDS = (_help,)  # in the order of table.py
