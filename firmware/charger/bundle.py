"""Reads bundles. A cold module: see install.py.

A bundle is a tar archive, packed with gzip in a window of 1 kB. It holds, in this order: manifest.json as the build
makes it (format: tools/manifest.py), manifest.sig with the signature over its SHA-256, and every file of the manifest
in the manifest's order. So nothing has to be looked up, nothing can be missing or too much, and a slot starts nothing
that is not signed. It is read twice: between, what checks the signature needs the memory.
"""

import hashlib
import os

import deflate
from cold import cold
from micropython import const

_WINDOW = const(10)  # log2; 32 kB, as gzip would have it, are not there in one piece
_PIECE = const(1024)
_MANIFEST_MAX = const(49_152)
_SIGNATURE_MAX = const(512)


class Refused(ValueError):
    """The bundle is not installed; the text says why, for a technician."""


class _Tar:
    """Reads the files of an archive one after the other. Refused: damaged."""

    def __init__(self, file):
        self._ustar = cold("ustar")
        self.check_name = self._ustar.check_name
        self._stream = deflate.DeflateIO(file, deflate.GZIP, _WINDOW)
        self._buffer = bytearray(_PIECE)
        self._left = self._padding = 0

    def next(self):
        """(name, size) of the next file, None at the end."""
        self._read(self._padding)
        self._padding = 0
        try:
            entry = self._ustar.header(self._read(self._ustar.BLOCK))
        except ValueError as exc:
            raise Refused("damaged or no bundle: %s" % exc)
        if entry is not None:
            self._left = entry[1]
            self._padding = self._ustar.padding(entry[1])
        return entry

    def piece(self):
        """The next bytes of the file, at most 1024 and only until the next call; empty at its end."""
        data = self._read(min(self._left, _PIECE))
        self._left -= len(data)
        return data

    def _read(self, size):
        view = memoryview(self._buffer)[:size]
        at = 0
        while at < size:
            try:
                n = self._stream.readinto(view[at:])
            except (OSError, EOFError):
                n = 0
            if not n:
                raise Refused("cut off or damaged")
            at += n
        return view


def extract(path, aside):
    """Copy the manifest of the bundle in the file `path` to the file `aside`. Returns (its SHA-256, its signature)."""
    with open(path, "rb") as file:
        tar = _Tar(file)
        entry = tar.next()
        if entry is None or entry[0] != "manifest.json" or entry[1] > _MANIFEST_MAX:
            raise Refused("does not begin with a manifest")
        digest = _copy(tar, aside)
        entry = tar.next()
        if entry is None or entry[0] != "manifest.sig" or entry[1] > _SIGNATURE_MAX:
            raise Refused("is not signed")
        return digest, bytes(tar.piece())


def fill(path, aside, mine, target):
    """Fill the slot `target` with the bundle in the file `path`, whose manifest lies in `aside` and is trusted.

    mine -- folder of the program that runs
    """
    slots = cold("charger.slots")
    slots.settle(mine)  # whatever the marker says, the slot that is being written is not the next one
    slots.empty(target)
    del slots
    with open(path, "rb") as file:
        tar = _Tar(file)
        for _ in range(2):  # they were looked at
            tar.next()
            while tar.piece():
                pass
        made = {""}
        for name, size, digest in cold("charger.contents").rows(aside, tar.check_name):
            if tar.next() != (name, size):
                raise Refused("not in the order of its manifest, or incomplete: %s" % name)
            folder = ""
            for part in name.split("/")[:-1]:
                folder += "/" + part
                if folder not in made:
                    os.mkdir(target + folder)
                    made.add(folder)
            if _copy(tar, "%s/%s" % (target, name)) != digest:
                raise Refused("damaged: %s" % name)
        if tar.next() is not None:
            raise Refused("holds more than its manifest says")
    cold("charger.slots").fill_last(target, aside)


def _copy(tar, path):
    """Copy the present file; return its digest."""
    digest = hashlib.sha256()
    with open(path, "wb") as f:
        while True:
            piece = tar.piece()
            if not piece:
                return digest.digest()
            digest.update(piece)
            f.write(piece)
