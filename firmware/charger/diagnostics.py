"""The snapshot for whoever looks for a fault: present, settings and keys that were changed, crashes, logs; no secrets.

GetDiagnostics uploads it, the console's `diag` shows it. A cold module, line by line: RAM is scarce in a session. An
upload goes through it more than once, and must find the same each time: the present and the log in RAM are put aside in
a file while they are told first, and of the log on flash only so much is told as there was then.
"""

import os

from cold import cold

_ASIDE = "/diagnostics.part"


def pieces(app, start=None, stop=None, aside=None):
    """Yield the texts of one pass, of what happened from `start` to `stop` (Unix seconds, or None).

    aside -- a list that is empty before the first pass, None: there is only one. Then: size of the file with the
    present (-1: it could not be written), end of the newest file of the log
    """

    def fits(utc):
        """Is a line of that time wanted? Also when its time is not known."""
        return utc is None or not ((start is not None and utc < start) or (stop is not None and utc > stop))

    for text in _present(app, fits) if aside is None else _same(app, fits, aside):
        yield text
    for line in cold("charger.changed").lines(app):
        yield line + "\n"
    read = cold("charger.event_read")
    if aside and len(aside) == 1:
        aside.append(read.size(app.hal.data_dir))
    yield "[last crashes]\n"
    for line in read.crashes(app):
        yield line + "\n"
    yield "[log on flash]\n"
    for line in read.told(app, fits, aside and aside[1]):
        yield line + "\n"


def _same(app, fits, aside):
    """As _present, the same each time."""
    path = app.hal.data_dir + _ASIDE
    file = None
    size = 0
    try:
        if aside and os.stat(path)[6] == aside[0]:
            with open(path) as file:
                text = file.readline()
                while text:
                    yield text
                    text = file.readline()
            return
        file = open(path, "w")
    except OSError:  # full: then perhaps not the same, but something
        pass
    try:
        for text in _present(app, fits):
            if file is not None:
                try:
                    size += file.write(text)
                except OSError:
                    size = -1
            yield text
        aside[:1] = [size]
    finally:
        if file is not None:
            file.close()


def _present(app, fits):
    """Texts about now, and the log in RAM."""
    for name in ("charger.counters", "charger.counters_more"):
        part = None  # with its module
        for part in cold(name).PARTS:
            try:
                for line in part(app):
                    yield line + "\n"
            except Exception as exc:  # noqa: BLE001 - what is broken must not keep the rest from being told
                yield "cannot tell: %s: %s\n" % (type(exc).__name__, exc)
    part = None
    yield "[log in memory]\n"
    lines = app.log.lines
    while lines:
        line = lines.pop(0)
        seconds = line.partition(".")[0]
        if fits(app.clock.utc_at(int(seconds) * 1000) if seconds.isdigit() else None):
            yield line + "\n"
