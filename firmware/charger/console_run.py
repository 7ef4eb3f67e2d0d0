"""What the console does with a line: runs it, tells what of it must not be seen. A cold module."""

from cold import cold


async def execute(console, text):
    """Run a command; whatever goes wrong is told. MemoryError, console.Quit."""
    try:
        table = cold("charger.commands.table")
        path, number, changes = table.find(text)
        del table
        if changes and not console.trusted and not await cold("charger.commands.pin").unlock(console):
            return
        await cold(path).COMMANDS[number](console, text.strip().partition(" ")[2].strip())
    except (ValueError, KeyError) as exc:  # what was typed makes no sense
        await console.say("%s" % (exc.args[0] if exc.args else "no"))
    except OSError as exc:
        await console.say("Failed: error %s." % exc.errno)
    except MemoryError:
        raise
    except Exception as exc:  # noqa: BLE001 - a command's failure is no reason to leave
        console.app.log.error("console", exc)
        await console.say("This command failed: %s." % type(exc).__name__)


def hides(console, text):
    """Index from which on a line must not be seen, or None: values, unless they are surely no secrets."""
    word, _, rest = text.lstrip().partition(" ")
    start = len(text) - len(rest)
    if word in ("import", "login", "pin"):
        return start
    if word != "set":
        return None
    name, blank, _ = rest.lstrip().partition(" ")
    if not blank:
        return None
    if name not in console.known:
        try:
            hidden = cold("charger.commands.table").is_hidden(name)
        except MemoryError:
            hidden = True  # who knows
        if hidden:
            return len(text) - len(rest.lstrip()) + len(name) + 1
        console.known = console.known[-3:] + [name]
    return None
