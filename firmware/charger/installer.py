"""Where a download of new firmware goes. A cold module: see maintenance.Files."""

import os

from cold import cold
from micropython import const

_LARGEST = const(1 << 20)  # bytes of an update
_RESERVE = const(65_536)  # bytes of flash that stay free for transactions
_ENOSPC = const(28)


class Installer:
    """Takes a bundle into a file, and from there to the slot that does not run. app -- App"""

    def __init__(self, app):
        self._app = app
        self._folder = app.hal.data_dir
        self._path = self._folder + "/update.part"
        self._file = None
        self._room = 0

    def open(self, size):
        """Begin anew. ValueError: too large; OSError: no room, no file system."""
        self.abort()
        self._remove(self._folder + "/update.json")  # what it says is about the update before
        if size is not None and size > _LARGEST:
            raise ValueError("an update of %d bytes is too large" % size)
        stat = os.statvfs(self._folder)
        self._room = min(_LARGEST, max(0, stat[0] * stat[3] - _RESERVE))
        if size is not None and size > self._room:
            raise OSError(_ENOSPC)
        self._file = open(self._path, "wb")

    def write(self, view):
        """OSError: no room."""
        self._room -= len(view)
        if self._room < 0:
            raise OSError(_ENOSPC)
        self._file.write(view)

    async def install(self):
        """Have the next start check what came, and install it. ValueError, OSError: it will not."""
        self._file.close()
        self._file = None
        cold("charger.install").prepare(self._app, self._path)

    async def outcome(self):
        """See outcome.py."""
        return await cold("charger.outcome").outcome(self._app)

    def abort(self):
        """Throw away what came. May be called at any time."""
        if self._file is not None:
            self._file.close()
            self._file = None
        self._remove(self._path)

    def _remove(self, path):
        try:
            os.remove(path)
        except OSError:
            pass  # there is none
