"""test, log, reboot, python, exit. A cold module."""

from cold import cold
from micropython import const

_LEVELS = "IWE"
_LOOK_MS = const(200)
_FOLLOW_S = const(3600)


async def _test(console, text):
    if text not in ("", "move"):
        raise ValueError("test, or test move")
    if text and not console.trusted and not await cold("charger.commands.pin").unlock(console):
        return
    selftest = cold("charger.selftest")
    rows = await selftest.run(console.app, text == "move")
    del selftest
    for name, verdict, step in rows:
        await console.say("%-8s %-20s %s" % (verdict, name, step))
    bad = len([1 for row in rows if row[1] == "fail"])
    await console.say("%d of %d need something to be done." % (bad, len(rows)) if bad else "Nothing has to be done.")


def _level(word):
    if len(word) != 1 or word.upper() not in _LEVELS:
        raise ValueError("log [N] [LEVEL] | follow [LEVEL], with I (all), W or E")
    return _LEVELS.find(word.upper())


def _fits(line, level):
    parts = line.split(" ", 2)
    return len(parts) < 2 or _LEVELS.find(parts[1]) >= level


async def _log(console, text):
    words = text.split()
    follow = words[:1] == ["follow"]
    count = 1000
    if follow:
        words.pop(0)
    elif words and words[0].isdigit():
        count = int(words.pop(0)[:6])
    level = _level(words.pop(0)) if words else 0
    if words:
        _level("")
    log = console.app.log
    seen = log.dropped + len(log.lines)
    for line in [line for line in log.lines if _fits(line, level)][-count:] if count else ():
        await console.say(line)
    if not follow:
        return
    await console.say("-- new lines as they come; any key ends")
    for _ in range(_FOLLOW_S * 1000 // _LOOK_MS):
        if await console.key(_LOOK_MS):
            return
        fresh = log.dropped + len(log.lines) - seen
        seen += fresh
        for line in log.lines[-fresh:] if fresh > 0 else ():
            if _fits(line, level):
                await console.say(line)


async def _reboot(console, text):
    if text not in ("", "hard"):
        raise ValueError("reboot, or reboot hard")
    question = "Start again?" if console.is_idle() else "A session runs; end it and start again?"
    if await console.sure(question):
        await console.say("Starting again.")
        console.app.request_reset(text == "hard")
    else:
        await console.say("Nothing is done.")


async def _python(console, text):
    if not console.is_idle():
        raise ValueError("A session runs, or power flows: stop it first.")
    if not await console.sure("The charger ends and does not charge until it is started again."):
        await console.say("Nothing is done.")
        return
    if not console.is_idle():
        raise ValueError("A session has begun meanwhile.")
    console.app.off()
    raise KeyboardInterrupt  # as Ctrl-C once did: the program ends safely, a device leaves its REPL to who sits there


async def _exit(console, text):
    await console.leave()


COMMANDS = (_test, _log, _reboot, _python, _exit)  # in the order of table.py
