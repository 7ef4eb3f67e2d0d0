"""What firmware management needs of this charger (`hooks.files` of lib/ocpp16): the way to servers, where an update
goes, what diagnostics tell. A cold module: made when needed, thrown away afterwards.
"""

import os

from cold import cold
from micropython import const
from transfer import Way

from .version import VERSION

_LARGEST = const(1 << 20)  # bytes of an update
_RESERVE = const(65_536)  # bytes of flash that stay free for transactions
_HIDDEN = ("AuthorizationKey",)


class Files:
    """See lib/ocpp16/README.md. app -- charger.app.App"""

    def __init__(self, app):
        self._app = app

    def way(self):
        """Servers are checked as the central system is. What blocks the program is not done while power may flow."""
        app, access = self._app, self._app.cp.access

        def quiet():
            return not any([outlet.gate.may_flow() or outlet.connector.transaction for outlet in app.outlets])

        return Way(
            lambda: cold("ocpp16.access").roots(access),
            access.values[6],
            quiet,
            post="POST" in app.cp.config.get("RivotUploadMethod"),
        )

    def installer(self):
        return Installer(self._app.hal.data_dir + "/update.part")

    def diagnostics(self, start, stop):
        """(file name, source) of what happened from `start` to `stop` (Unix seconds, or None)."""
        app = self._app
        now = app.clock.utc()
        name = "".join([c if c.isdigit() or c.isalpha() or c in "-_." else "_" for c in app.cp.access.values[1]])
        if now is not None:
            name += "_" + cold("ocpp16.timestamp").format_utc(now).replace(":", "").replace("-", "")
        head = "\n".join(_snapshot(app, now)) + "\n"
        lines = [line for line in app.log.lines if _is_within(app.clock, line, start, stop)]

        def source():
            yield head
            for text in _changed(app):
                yield text + "\n"
            yield "[log]\n"
            for line in lines:
                yield line + "\n"

        return name + ".txt", source


def _snapshot(app, now):
    """Lines about the present: they must not change while they are sent."""
    cp = app.cp
    yield "[charger]"
    yield "version %s, up %d s, utc %s, reset cause %s" % (
        VERSION,
        app.clock.uptime_ms() // 1000,
        "unknown" if now is None else cold("ocpp16.timestamp").format_utc(now),
        app.hal.reset_cause(),
    )
    yield "identity %s, url %s" % (cp.access.values[1], cp.access.values[0])
    yield "registration %s, %d messages wait, %d given up, %d thinned out" % (
        cp.registration,
        len(cp.outbox.tail) + len(cp.store.pending()),
        cp.outbox.gave_up,
        cp.outbox.thinned,
    )
    for outlet in app.outlets:
        connector = outlet.connector
        yield "connector %d: %s" % (outlet.number, " ".join([str(x) for x in connector.derive(app.clock.uptime_ms())]))
    for name, bus, _ in app.buses:
        yield "bus %s: %s" % (name, bus.counters())
    yield "messages: %s; log lines lost: %d" % (cp.counters, app.log.dropped)


def _changed(app):
    """Settings and configuration that differ from the defaults; no secrets."""
    yield "[settings]"
    for name, value, source in cold("charger.settings").Settings(app.hal.data_dir, app.log).export():
        if source != "default":
            yield "%s = %s" % (name, value)
    yield "[configuration]"
    for name, text in app.cp.config.texts.items():
        if name not in _HIDDEN:
            yield "%s = %s" % (name, text)


def _is_within(clock, line, start, stop):
    """Was this line of the log written in that time? Also when its time is not known."""
    seconds = line.partition(".")[0]
    utc = clock.utc_at(int(seconds) * 1000) if seconds.isdigit() else None
    return utc is None or not ((start is not None and utc < start) or (stop is not None and utc > stop))


class Installer:
    """Takes an update into a file. This version has nothing to verify one with, so it installs none.

    path -- of the file, on flash
    """

    def __init__(self, path):
        self._path = path
        self._file = None
        self._room = 0

    def open(self, size):
        """Begin anew. ValueError: too large; OSError: no room, no file system."""
        self.abort()
        if size is not None and size > _LARGEST:
            raise ValueError("an update of %d bytes is too large" % size)
        stat = os.statvfs(self._path.rpartition("/")[0])
        self._room = min(_LARGEST, max(0, stat[0] * stat[3] - _RESERVE))
        if size is not None and size > self._room:
            raise OSError(28)  # ENOSPC
        self._file = open(self._path, "wb")

    def write(self, view):
        """OSError: no room."""
        self._room -= len(view)
        if self._room < 0:
            raise OSError(28)
        self._file.write(view)

    async def install(self):
        """Check what came. Raises ValueError, always: what cannot be verified is not installed."""
        self._file.close()
        self._file = None
        with open(self._path, "rb") as f:
            head = f.read(2)
        if head != b"\x1f\x8b":
            raise ValueError("this is no bundle")
        raise ValueError("this version cannot verify bundles")

    def outcome(self):
        """None: nothing was installed."""

    def abort(self):
        """Throw away what came. May be called at any time."""
        if self._file is not None:
            self._file.close()
            self._file = None
        try:
            os.remove(self._path)
        except OSError:
            pass  # there is none
