"""An append-only record store that a power cut at any byte cannot hurt.

Records are numbered texts of a kind (1..3) with a small tag. They live in segment files `log-NNNNNNNN`, written only at
the end of the newest one, each record with its CRC-32. After a cut the journal opens with every record that was
confirmed (its call returned), in order, and an unconfirmed one is whole or absent. What is damaged is passed over,
counted, and its file kept aside as `bad-NNNNNNNN` (the newest two).

RAM: three small ints per live record; the texts stay in the files. Writing is grouped: what is not urgent waits in RAM,
at most 60 s and 2 kB, and goes out in one write with the next that is.

Space: a ring of segments. Live records of the oldest are copied to the newest, then the oldest is removed; before that
is needed for space, `tick` does it in small steps. When live records reach the limit, `on_full` is asked to drop some;
if it does not, OSError(ENOSPC). An eighth of space and numbers is kept for records that are `vital`.

The files need no more than open, read, seek, append, flush, rename, remove and list, as littlefs and POSIX have them.
"""

import binascii
import os
import struct

from cold import cold
from micropython import const

# One frame: mark, kind, length of the data, number, tag | data | CRC-32 of all before. Kinds: journal_open.
_HEAD = "<BBHII"
_MARK = const(0xA7)
_FRAME = const(16)  # bytes around the data
_HEADER_SIZE = const(28)  # the frame that starts a segment
_KIND_HEADER = const(4)
_KIND_DROP = const(5)
_KIND_CHANGE = const(6)
_KIND_RESERVE = const(7)

# A place: segment number modulo 2**14, and the offset in it: 30 bits, a small int on every port. 0: still in RAM.
_WRAP = const(0x3FFF)
# An info: tag << 16 | kind << 14 | size of the frame.
_SIZE = const(0x3FFF)

_BUFFER = const(2048)  # bytes that may wait in RAM
_WAIT_MS = const(60_000)  # how long
_AHEAD = const(256)  # numbers reserved by one record, so that none comes twice
_STEP = const(2048)  # bytes that `tick` moves at once: one or two flash blocks
_BLOCK = const(4096)  # of NOR flash: a write into a block costs an erase of a whole one

_ENOSPC = const(28)
_EIO = const(5)
_EFBIG = const(27)


class Files:
    """The files of one folder; made if it is not there. The journal touches the file system only through this."""

    def __init__(self, folder):
        self._folder = folder + "/"
        cold("journal_open").make_folder(folder)

    def names(self):
        return os.listdir(self._folder[:-1])

    def open(self, name, mode):
        return open(self._folder + name, mode)

    def rename(self, old, new):
        os.rename(self._folder + old, self._folder + new)

    def remove(self, name):
        os.remove(self._folder + name)


class Journal:
    """See the module's text.

    files    -- `Files`, or what has its methods
    clock    -- for the 60 s and the wear per day
    segment  -- bytes of one file, 512..65536; a record has at most a quarter of it, less 16
    segments -- files at most, >= 4; space for live records is about (segments - 2) x 3/4 x segment
    records  -- live records at most (12 bytes of RAM each)
    """

    def __init__(self, files, clock, segment=16384, segments=16, records=600):
        if segment < 512 or segment > 65536 or segments < 4:
            raise ValueError("segments")
        self._files = files
        self._clock = clock
        self._segment = segment
        self._segments = segments
        self._records = records
        self._biggest = min(segment // 4, _SIZE)
        # What fits whatever the order and sizes: every full segment may end in a gap of just less than one record,
        # one segment is being filled and one kept for copying; and a new value lies beside its old one for a moment.
        self.capacity = (segments - 2) * (segment - _HEADER_SIZE - self._biggest) - self._biggest
        self.on_full = None  # called without arguments to drop what is not vital
        self.waiting = 0  # bytes that a cut would lose now
        self.failed = 0  # writes that failed and are repeated later
        self.bytes = 0  # written since the start,
        self.blocks = 0  # as blocks of flash,
        self.commits = 0  # and changes of the directory
        self._buffer = []  # [kind, seq, tag, data, seq that it replaces or 0]
        self._since = None  # uptime at which the oldest of them came
        self._rest = 0  # uptime before which nothing is tried in the background

    def open(self, found=None):
        """Read what is there; repair what a cut left. OSError: there is no file system.

        found(seq, kind, first bytes of its data) -- called for each record in the order of writing, perhaps for records
        that are dropped later. It may return the number of an older record that this one replaces.
        """
        (
            (self._seqs, self._places, self._infos),
            (self._first, self._head, self._end, self._sound, self._before),
            self._next,
            self.worn,  # blocks written since the journal was made
            self._bad,  # segments to keep aside
            self.damaged,  # segments and records, since this start
            self.torn,  # True: the last write was cut
        ) = cold("journal_open").scan(self._files, found)
        self._reserved = self._next
        self.live = sum([info & _SIZE for info in self._infos])
        try:
            while self._bad:
                if not self._end:
                    self._rotate()
                self._clean(1 << 29)
        except OSError:
            self.failed += 1  # the next start tries again

    # -- records

    def append(self, kind, data, tag=0, urgent=True, vital=False, replaces=0):
        """Add a record; returns its number. Numbers only grow, across restarts too.

        urgent -- durable when this returns; False: within 60 s.
        replaces -- number of a record that ends when this one is durable.
        OSError: not stored (if the storage died in the middle, it may be there after a restart).
        """
        size = _FRAME + len(data)
        if size > self._biggest or tag > _WRAP:
            raise OSError(_EFBIG)
        self._make_room(size - (self._infos[self._find(replaces)] & _SIZE if replaces else 0), vital, replaces)
        seq = self._next
        if seq >= self._reserved:
            self._reserved = seq + _AHEAD
            self._later([_KIND_RESERVE, self._reserved, 0, struct.pack("<I", self.worn), 0], False)
            urgent = True
        self._next = seq + 1
        self._seqs.append(seq)
        self._places.append(0)
        self._infos.append(tag << 16 | kind << 14 | size)
        self.live += size
        entry = [kind, seq, tag, data, replaces]
        try:
            self._later(entry, urgent)
        except OSError:
            self._take_back(seq)
            raise
        if replaces and self._buffer and not self._places[self._find(replaces)]:
            entry[4] = self._take_back(replaces)  # neither is in a file yet: one is enough
        return seq

    def read(self, seq):
        """Data of a record, bytes. KeyError: not there, or damaged (counted)."""
        i = self._find(seq)
        if not self._places[i]:
            for entry in self._buffer:
                if entry[1] == seq and entry[0] < _KIND_HEADER:
                    return entry[3]
        return self._load(i)

    def drop(self, seq, urgent=True):
        """Forget a record, if it is there. Never raises: what cannot be written now is written later."""
        try:
            i = self._find(seq)
        except KeyError:
            return
        if not self._places[i]:
            replaces = self._take_back(seq)
            if replaces:
                self.drop(replaces, urgent)
            return
        self._forget(i)
        self._try_later([_KIND_DROP, seq, 0, b"", 0], urgent)

    def change(self, seq, kind, urgent=True):
        """Make it a record of another kind, in its place. Never raises, like `drop`; KeyError: not there."""
        i = self._find(seq)
        self._infos[i] = self._infos[i] & ~(3 << 14) | kind << 14
        if self._places[i]:
            self._try_later([_KIND_CHANGE, seq, kind, b"", 0], urgent)
            return
        for entry in self._buffer:
            if entry[1] == seq and entry[0] < _KIND_HEADER:
                entry[0] = kind

    def numbers(self, kind, after=0, limit=None):
        """Numbers of the records of a kind, ascending: those above `after`, at most `limit`."""
        found = []
        for i in range(self._bisect(after + 1), len(self._seqs)):
            if len(found) == limit:
                break
            if self._infos[i] >> 14 & 3 == kind:
                found.append(self._seqs[i])
        return found

    def tag(self, seq):
        return self._infos[self._find(seq)] >> 16

    # -- time and space

    def flush(self):
        """Make durable what waits in RAM. OSError: it still waits."""
        buffer = self._buffer
        tries = 0
        while buffer:
            end, count = self._end, 0
            for entry in buffer:
                end += _FRAME + len(entry[3])
                if end > self._segment:
                    break
                count += 1
            if not self._end or not count:
                tries += 1
                if tries > self._segments:  # only if the limits were made smaller over existing files
                    raise OSError(_ENOSPC)
                self._rotate()
                continue
            places = self._write(self._head, self._end, buffer[:count])
            for entry, place in zip(buffer, places):
                self.waiting -= _FRAME + len(entry[3])
                if entry[0] < _KIND_HEADER:
                    self._places[self._find(entry[1])] = place
                    if entry[4]:
                        self._forget(self._find(entry[4]))
            del buffer[:count]
        self._since = None

    def tick(self):
        """Call about once a second: writes what has waited long enough, or does one step of tidying up."""
        now = self._clock.uptime_ms()
        if now < self._rest:
            return
        try:
            if self._since is not None and now - self._since >= _WAIT_MS:
                self.flush()
            elif not self._end:
                self._rotate()  # what a failed write left behind is invalid from now on
            else:
                # Near the limit only if it gains much: to copy mostly live records would wear the flash.
                full = (self._head - self._first) * self._segment
                if full > 2 * self.live + self._segment or (
                    self._head - self._first > self._segments - 3 and full * 3 // 4 > self.live + 2 * self._segment
                ):
                    self._clean(_STEP)
        except OSError:
            self.failed += 1
            self._rest = now + _WAIT_MS

    def _make_room(self, size, vital, replaces):
        while True:
            space = self.capacity - self.live - size
            count = self._records - len(self._seqs)
            if not vital:
                space -= self.capacity // 8
                count -= self._records // 8
            if space >= 0 and (count > 0 or replaces):
                return
            before = self.live
            if self.on_full is not None:
                self.on_full()
            if self.live >= before:
                raise OSError(_ENOSPC)

    # -- index and buffer

    def _bisect(self, seq):
        """Position of the first record with that number or a higher one."""
        low, high = 0, len(self._seqs)
        while low < high:
            middle = (low + high) // 2
            if self._seqs[middle] < seq:
                low = middle + 1
            else:
                high = middle
        return low

    def _find(self, seq):
        i = self._bisect(seq)
        if i < len(self._seqs) and self._seqs[i] == seq:
            return i
        raise KeyError(seq)

    def _forget(self, i):
        self.live -= self._infos[i] & _SIZE
        self._seqs.pop(i)
        self._places.pop(i)
        self._infos.pop(i)

    def _later(self, entry, urgent):
        self._buffer.append(entry)
        self.waiting += _FRAME + len(entry[3])
        if self._since is None:
            self._since = self._clock.uptime_ms()
        if urgent or self.waiting > _BUFFER:
            self.flush()

    def _try_later(self, entry, urgent):
        try:
            self._later(entry, urgent)
        except OSError:
            self.failed += 1

    def _take_back(self, seq):
        """Remove a record that is in no file yet; returns what it would have replaced."""
        self._forget(self._find(seq))
        for i, entry in enumerate(self._buffer):
            if entry[1] == seq and entry[0] < _KIND_HEADER:
                del self._buffer[i]
                self.waiting -= _FRAME + len(entry[3])
                return entry[4]
        return 0

    # -- files

    def _load(self, i):
        """Data of a record that is in a file. KeyError: it is not, or not as it was written; counted."""
        place, seq = self._places[i], self._seqs[i]
        number = self._first + ((place >> 16) - self._first & _WRAP)
        try:
            with self._files.open("log-%08d" % number, "rb") as f:
                f.seek(place & 0xFFFF)
                head = f.read(12)
                data = f.read((self._infos[i] & _SIZE) - _FRAME)
                tail = f.read(4)
        except OSError:
            head = data = tail = b""
        good = tail == struct.pack("<I", binascii.crc32(data, binascii.crc32(head)))
        if not good or struct.unpack(_HEAD, head)[3] != seq:
            self.damaged += 1
            raise KeyError(seq)
        return data

    def _write(self, number, start, entries):
        """Write entries into one segment, durably; returns their places."""
        end = start
        places = []
        self._end = 0  # nothing may be written behind a torn write
        f = self._files.open("log-%08d" % number, "ab" if start else "wb")
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
        self._end = self._sound = end
        blocks = (end - 1) // _BLOCK - start // _BLOCK + 1
        self.bytes += end - start
        self.blocks += blocks
        self.worn += blocks
        self.commits += 1
        return places

    def _rotate(self):
        """Begin a new segment. Its header says what is valid before it, so a torn end of the last one is no damage."""
        number, before = self._head, self._before
        if self._end or self._sound != _HEADER_SIZE:
            number, before = number + 1, self._sound
        # else nothing but its header ever was in it, and the write of the first record failed: begin it once more
        header = struct.pack("<III", self._reserved, before, self.worn)
        self._write(number, 0, ((_KIND_HEADER, number, self._first, header, 0),))
        self._head, self._before = number, before
        if number - self._first >= self._segments - 1:
            self._clean(1 << 29)

    def _clean(self, budget):
        """Copy live records of the oldest segment to the newest, `budget` bytes at most; remove it if none is left.

        A record that is there twice is one record, so a cut in between does no harm.
        """
        key = self._first & _WRAP
        moved = []
        budget = min(budget, self._segment - self._end)
        left = False
        for i, place in enumerate(self._places):
            if place and place >> 16 == key:
                budget -= self._infos[i] & _SIZE
                if budget < 0:
                    left = True
                    break
                moved.append(i)
        if moved:
            try:
                places = self._write(self._head, self._end, self._loaded(moved))
            except KeyError:
                return  # one is damaged, and given up: the others are moved next time
            for i, place in zip(moved, places):
                self._places[i] = place
        if not left:
            bad = self._first in self._bad
            cold("journal_open").retire(self._files, self._first, bad)
            if bad:
                self._bad.remove(self._first)
            self.commits += 1
            self._first += 1
        elif not moved:
            self._rotate()

    def _loaded(self, positions):
        for i in positions:
            info = self._infos[i]
            try:
                data = self._load(i)
            except KeyError:
                if self._first not in self._bad:
                    self._bad.append(self._first)
                self._forget(i)
                raise
            yield info >> 14 & 3, self._seqs[i], info >> 16, data, 0
