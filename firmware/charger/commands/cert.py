"""cert: the certificates that wss:// and https:// trust. A cold module.

They lie in the file that ocpp.ca_file names; it is read at every connection. Without one it is made, and named there.
"""

from cold import cold

_SETTING = "ocpp.ca_file"
_DAY_S = 86400
_END = "-----END CERTIFICATE-----"


async def _cert(console, text):
    word, _, rest = text.partition(" ")
    if word in ("", "list"):
        await _list(console)
        return
    if word not in ("paste", "delete") or (word == "delete" and not (rest.isdigit() and len(rest) < 4)):
        raise ValueError("cert [list | paste | delete NUMBER]")
    if not console.trusted and not await cold("charger.commands.pin").unlock(console):
        return
    if word == "paste":
        await _paste(console)
    else:
        await _delete(console, int(rest))


def _path(console):
    """(path of the file, is it named in the settings?)."""
    named = cold("charger.commands.staging").settings(console.app).get(_SETTING)
    return named or console.app.hal.data_dir + "/ca.pem", named != ""


async def _list(console):
    path, named = _path(console)
    ders = cold("charger.certificates").read(path)
    await console.say("%s: %d certificates%s" % (path, len(ders), "" if named else ", not used: ocpp.ca_file is empty"))
    for number, der in enumerate(ders):
        await console.say("  %d %s" % (number + 1, _told(console, der)))


def _told(console, der):
    try:
        subject, issuer, since, until = cold("charger.certificates").facts(der)
    except ValueError:
        return "damaged, or of an unknown kind"
    now = console.app.clock.utc()
    format_utc = cold("ocpp16.timestamp").format_utc
    if now is None:
        left = "the time is not known"
    elif now < since:
        left = "NOT VALID before %s" % format_utc(since)[:10]
    elif now > until:
        left = "EXPIRED"
    else:
        left = "%d days left" % ((until - now) // _DAY_S)
    by = "by itself" if subject == issuer else "by " + issuer
    return "%s, issued %s, until %s, %s" % (subject, by, format_utc(until)[:10], left)


async def _paste(console):
    """Lines until the end mark. They are stars on the screen: nothing of them goes into the history."""
    await console.say("Paste the certificate, from BEGIN to END. Ctrl-C leaves it.")
    lines, size = [], 0
    while True:
        line = await console.ask("", True)
        if line is None:
            await console.say("Nothing is changed.")
            return
        line = line.strip()
        size += len(line) + 1
        if size > cold("charger.certificates").LONGEST:
            raise ValueError("This is too long for a certificate. Nothing is changed.")
        lines.append(line)
        if line == _END:
            break
    der = cold("charger.certificates").der_of("\n".join(lines).encode())
    del lines
    cold("charger.certificates").facts(der)
    path, named = _path(console)
    ders = cold("charger.certificates").read(path)
    if der in ders:
        raise ValueError("It is there already, as number %d." % (ders.index(der) + 1))
    if len(ders) >= cold("charger.certificates").MOST:
        raise ValueError("There are %d already: delete one first." % len(ders))
    cold("charger.certificates").write(path, ders + [der])
    console.app.log.info("console", "certificate added")
    await console.say("Added: " + _told(console, der))
    if named:
        await console.say("It counts from the next connection.")
    else:
        cold("charger.commands.staging").settings(console.app).set(_SETTING, path)
        await console.say("%s is %s now; it counts from the next start: reboot." % (_SETTING, path))


async def _delete(console, number):
    path, _ = _path(console)
    ders = cold("charger.certificates").read(path)
    if not 1 <= number <= len(ders):
        raise ValueError("There is no certificate of this number; cert lists them.")
    last = " It is the last one: without it no wss:// or https:// connects." if len(ders) == 1 else ""
    await console.say(_told(console, ders[number - 1]))
    if not await console.sure("Trust it no more?%s" % last):
        await console.say("Nothing is changed.")
        return
    ders.pop(number - 1)
    cold("charger.certificates").write(path, ders)
    console.app.log.info("console", "certificate deleted")
    await console.say("Deleted. It counts from the next connection.")


COMMANDS = (_cert,)  # in the order of table.py
