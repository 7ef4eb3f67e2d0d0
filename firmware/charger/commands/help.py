"""The command `help`. A cold module."""

from cold import cold


async def _help(console, text):
    rows = list(cold("charger.commands.table").rows())
    if text:
        rows = [row for row in rows if row[0] == text] or [row for row in rows if row[0].startswith(text)]
    if not rows:
        raise ValueError("There is no such command; help lists them.")
    if len(rows) > 1:
        for name, _, changes, arguments, help_text in rows:
            head = name + (" " + arguments if arguments else "")
            if len(head) > 24:
                head = name + " ..."
            await console.say("%-24s %s%s" % (head, help_text.partition(";")[0][:52], " (PIN)" if changes else ""))
        await console.say("Tab completes, the arrows fetch earlier lines, Ctrl-C drops a line, Ctrl-D leaves.")
        return
    name, _, changes, arguments, help_text = rows[0]
    await console.say("%s %s\n  %s." % (name, arguments, help_text))
    if changes:
        await console.say("  Needs the service PIN, where one is set.")


COMMANDS = (_help,)  # in the order of table.py
