"""Where a firmware update goes. A cold module: see maintenance.Files."""

import os

from micropython import const

_LARGEST = const(1 << 20)  # bytes of an update
_RESERVE = const(65_536)  # bytes of flash that stay free for transactions
_ENOSPC = const(28)


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
            raise OSError(_ENOSPC)
        self._file = open(self._path, "wb")

    def write(self, view):
        """OSError: no room."""
        self._room -= len(view)
        if self._room < 0:
            raise OSError(_ENOSPC)
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
