"""The files of a journal: writing to them, and reading. A cold module (see lib/cold.py and journal.py)."""

import binascii
import os
import struct

from cold import cold
from micropython import const

_SIZE = const(0x3FFF)  # of a frame, in an info
_FRAME = const(16)  # bytes around the data
# One frame: mark, kind, length of the data, number, tag | data | CRC-32 of all before. Kinds: journal_open.
_HEAD = "<BBHII"
_MARK = const(0xA7)
# A place: number of the segment modulo 2**14, and the offset in it: 30 bits, a small int on every port.
_WRAP = const(0x3FFF)
_BLOCK = const(4096)  # of NOR flash: a write into a block costs an erase of a whole one
_ENOSPC = const(28)
_EIO = const(5)


class Files:
    """Those of one folder. The journal touches the file system only through this."""

    def __init__(self, folder):
        self._folder = folder + "/"

    def make(self):
        """Make the folder and those it lies in."""
        at = self._folder.find("/", 1)
        while at > 0:
            try:
                os.mkdir(self._folder[:at])
            except OSError:
                pass  # it exists; a real failure shows when the journal is opened
            at = self._folder.find("/", at + 1)

    def names(self):
        return os.listdir(self._folder[:-1])

    def open(self, name, mode):
        return open(self._folder + name, mode)

    def rename(self, old, new):
        os.rename(self._folder + old, self._folder + new)

    def remove(self, name):
        os.remove(self._folder + name)


def files_of(journal):
    """The files of this journal."""
    files = journal.where
    return Files(files) if isinstance(files, str) else files


def flush(journal):
    """Write what waits in the buffer, in order. OSError: the rest still waits."""
    buffer = journal.buffer
    tries = 0
    while buffer:
        end, count = journal.end, 0
        for entry in buffer:
            end += _FRAME + len(entry[3])
            if end > journal.segment:
                break
            count += 1
        if not journal.end or not count:
            tries += 1
            if tries > journal.segments:  # only if the limits were made smaller over existing files
                raise OSError(_ENOSPC)
            cold("journal_tidy").rotate(journal)
            continue
        places = write(journal, journal.head, journal.end, buffer[:count])
        for entry, place in zip(buffer, places):
            journal.waiting -= _FRAME + len(entry[3])
            if entry[0] < 4:
                journal.places[journal.seqs.index(entry[1])] = place
                if entry[4]:
                    journal.forget(journal.seqs.index(entry[4]))
        del buffer[:count]


def write(journal, number, start, entries):
    """Write entries into one segment, durably; returns their places."""
    end = start
    places = []
    journal.end = 0  # nothing may be written behind a torn write
    f = files_of(journal).open("log-%08d" % number, "ab" if start else "wb")
    try:
        if f.seek(0, 2) != start:  # somebody else was here
            raise OSError(_EIO)
        for kind, seq, tag, data, _ in entries:
            head = struct.pack(_HEAD, _MARK, kind, len(data), seq, tag)
            crc = struct.pack("<I", binascii.crc32(data, binascii.crc32(head)))
            places.append((number & _WRAP) << 16 | end)
            end += _FRAME + len(data)
            if f.write(head) + f.write(data) + f.write(crc) != _FRAME + len(data):
                raise OSError(_ENOSPC)
        f.flush()
    finally:
        f.close()
    journal.end = journal.sound = end
    blocks = (end - 1) // _BLOCK - start // _BLOCK + 1
    journal.bytes += end - start
    journal.blocks += blocks
    journal.worn += blocks
    journal.commits += 1
    return places


def load(journal, i):
    """Data of a record that is in a file. KeyError: it is not, or not as it was written; counted."""
    place, seq = journal.places[i], journal.seqs[i]
    number = journal.first + ((place >> 16) - journal.first & _WRAP)
    try:
        with files_of(journal).open("log-%08d" % number, "rb") as f:
            f.seek(place & 0xFFFF)
            head = f.read(12)
            data = f.read((journal.infos[i] & _SIZE) - _FRAME)
            tail = f.read(4)
    except OSError:
        head = data = tail = b""
    good = tail == struct.pack("<I", binascii.crc32(data, binascii.crc32(head)))
    if not good or struct.unpack(_HEAD, head)[3] != seq:
        journal.damaged += 1
        raise KeyError(seq)
    return data
