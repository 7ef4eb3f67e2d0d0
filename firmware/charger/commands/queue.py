"""queue: messages that wait for the central system, and dead letters: those that were given up. A cold module."""

from cold import cold
from micropython import const

_SHOWN = const(100)
_LETTERS = "ocpp16.dead_letters"


async def _queue(console, text):
    word, _, rest = text.partition(" ")
    if word in ("", "list"):
        await _list(console)
    elif word == "export":
        for row in cold("ocpp16.dead_letters").listed(console.app.cp.store):
            await console.say(
                '{"number": %d, "action": "%s", "id": "%s", "payload": %s}' % (row[0], row[1], row[2], clean(row[3]))
            )
    elif word in ("resend", "drop") and rest.isdigit() and len(rest) < 10:
        await _act(console, word, int(rest))
    else:
        raise ValueError("queue [list | export | resend NUMBER | drop NUMBER]")


async def _list(console):
    cp = console.app.cp
    numbers = cp.store.pending()
    await console.say("%d wait in the store, %d in memory" % (len(numbers), len(cp.outbox.tail)))
    for seq in numbers[:_SHOWN]:
        try:
            head = str(cp.store.read(seq), "utf-8").partition("\n")[0].split(" ")
            await console.say("  %d %s" % (seq, head[1]))
        except (KeyError, ValueError, IndexError):
            await console.say("  %d unreadable" % seq)  # answered meanwhile, or damaged
    if len(numbers) > _SHOWN:
        await console.say("  and %d more" % (len(numbers) - _SHOWN))
    letters = cold("ocpp16.dead_letters").listed(cp.store)
    await console.say("%d dead letters" % len(letters))
    for number, action, _, payload in letters:
        await console.say("  %d %s %s" % (number, action, clean(payload)[:48]))


async def _act(console, word, number):
    cp = console.app.cp
    if word == "drop" and not await console.sure("Forget dead letter %d for ever?" % number):
        await console.say("Nothing is done.")
        return
    letters = cold("ocpp16.dead_letters")
    try:
        if word == "drop":
            letters.drop(cp.store, number)
        else:
            letters.resend(cp.outbox, number)
    except KeyError:
        raise ValueError("There is no such dead letter; queue lists them.")
    del letters
    console.app.log.warn("console", "dead letter %d: %s" % (number, word))
    await console.say("Dropped." if word == "drop" else "It is sent again, in its old place.")


def clean(text):
    """The marks of times and transactions that are not known yet are no printable characters."""
    return "".join([c if " " <= c <= "~" else "?" for c in text])


COMMANDS = (_queue,)  # in the order of table.py
