"""The download of an update, over dropped links and around sessions. A cold module: see updates.py."""

import asyncio

from cold import cold
from micropython import const

_NAME = "update"
_RESUMES = const(5)  # broken off, but with something to show for it: no attempt is used up
_RESUME_MS = const(2000)


class _Paused(Exception):
    """Raised while a download is on its way when a transaction starts."""


class _Sink:
    """Hands a download to the installer; see transfer/way.py."""

    def __init__(self, cp, installer):
        self.offset = 0
        self.tag = ""
        self.refused = False  # by the installer: another attempt would end the same
        self._cp = cp
        self._installer = installer
        self._jobs = cold("ocpp16.jobs")

    def begin(self, offset, size, tag):
        if not offset:
            self._do(self._installer.open, size)
        self.offset, self.tag = offset, tag

    def write(self, view):
        if self._jobs.is_busy(self._cp):
            raise _Paused
        self._do(self._installer.write, view)
        self.offset += len(view)

    def _do(self, function, argument):
        try:
            function(argument)
        except (OSError, ValueError):
            self.refused = True
            raise


async def fetch(cp, location, retries, interval_s, installer):
    """Fetch the file, as often as the request allows. Returns whether it is there."""
    jobs = cold("ocpp16.jobs")
    way = cp.hooks.files().way()
    sink = _Sink(cp, installer)
    resumes = 0
    while True:
        before = sink.offset
        try:
            await way.download(location, sink)
            return True
        except _Paused:
            cp.log.info(_NAME, "the download waits for the end of a session")
            await jobs.idle(cp)
            continue
        except OSError as exc:
            cp.log.warn(_NAME, "%s: %s" % (cold("transfer.address").shown(location), exc))
        if sink.refused:
            return False
        if sink.offset > before and resumes < _RESUMES:
            resumes += 1
            await asyncio.sleep_ms(_RESUME_MS)
        elif retries:
            retries -= 1
            resumes = 0
            await asyncio.sleep_ms(interval_s * 1000)
        else:
            return False
        await jobs.idle(cp)
