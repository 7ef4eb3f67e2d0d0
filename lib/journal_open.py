"""Reading a journal at the start. A cold module (see lib/cold.py and journal.py).

A frame's kind: 1..3 a record; 4 the header of a segment (number = its own, tag = oldest segment still in force, data =
numbers reserved, valid length of the segment before, blocks written); 5 the record with that number is dropped; 6 it is
of the kind in the tag now; 7 numbers below that one may be in use (data = blocks written).
"""

import binascii
import struct

from cold import cold

_COUNTERS = ("live", "capacity", "waiting", "bytes", "blocks", "commits", "worn", "failed", "damaged", "torn")


def fill(journal, files, clock, segment, segments, records, found):
    """Give a new journal its attributes, see Journal, and open it. ValueError: these limits cannot be."""
    if segment < 512 or segment > 65536 or segments < 4:
        raise ValueError("segments")
    journal.where = files
    journal.clock = clock
    journal.segment = segment
    journal.segments = segments
    journal.records = records
    journal.biggest = min(segment // 4, 0x3FFF)
    # What fits whatever the order and sizes: every full segment may end in a gap of just less than one record,
    # one segment is being filled and one kept for copying; and a new value lies beside its old one for a moment.
    journal.capacity = (segments - 2) * (segment - 28 - journal.biggest) - journal.biggest
    journal.waiting = journal.failed = journal.bytes = journal.blocks = journal.commits = 0
    journal.buffer = []  # [kind, seq, tag, data, seq that it replaces or 0]
    journal.since = None  # uptime at which the oldest of them came
    journal.rest = 0  # uptime before which nothing is tried in the background
    files = cold("journal_write").files_of(journal)
    if files is not journal.where:
        files.make()
    (
        (journal.seqs, journal.places, journal.infos),
        (journal.first, journal.head, journal.end, journal.sound, journal.before),
        journal.next,
        journal.worn,  # blocks written since the journal was made
        journal.bad,  # segments to keep aside
        journal.damaged,  # segments and records, since this start
        journal.torn,  # True: the last write was cut
    ) = scan(files, found)
    journal.reserved = journal.next
    journal.live = sum([info & 0x3FFF for info in journal.infos])
    if journal.bad:
        cold("journal_tidy").repair(journal)


def scan(files, found):
    """Read every segment once, from the oldest to the newest, with 256 bytes of buffer.

    Returns (seqs, places, infos), (first, head, end, sound, before), next number, blocks written, damaged segments that
    are to be kept aside, number of damages, torn.
    end -- where writing goes on in the newest segment; 0: not there, a new one must be begun
    sound, before -- valid length of the newest segment, and of the one before
    """
    scanner = _Scanner(files, found)
    numbers = []
    for name in files.names():
        if name[:4] == "log-" and name[4:].isdigit() and name == "log-%08d" % int(name[4:]):
            numbers.append(int(name[4:]))
    numbers.sort()
    headers = {}
    foreign = 0
    for number in list(numbers):
        says = scanner.header(number)
        if says == number:
            headers[number] = scanner.facts()
        elif says is not None:  # no file, or the copy of another segment: what it says may have been withdrawn
            _retire(files, number, True)
            numbers.remove(number)
            foreign += 1
        elif number == numbers[-1] and scanner.size <= 28:  # its creation was cut: nothing can be in it
            _retire(files, number, False)
            numbers.pop()
    for number in sorted(headers):
        base = headers[number][0]  # the newest header is right
    while numbers and headers and numbers[0] < base:
        _retire(files, numbers.pop(0), False)  # its removal had been lost
    bad = []
    sound = 0
    clean = True
    for i, number in enumerate(numbers):
        last = i + 1 == len(numbers)
        follower = None if last else headers.get(number + 1)
        hurt, sound, clean = scanner.segment(number, follower[2] if follower else 0)
        if hurt or number not in headers or not (clean or last) or (i and numbers[i - 1] != number - 1):
            bad.append(number)
    head = numbers[-1] if numbers else 0
    if head in bad:  # it is never written to again, and all of it counts until it is kept aside
        clean = False
        sound = 0
    return (
        (scanner.seqs, scanner.places, scanner.infos),
        (
            numbers[0] if numbers else 1,
            head,
            sound if clean else 0,
            sound,
            headers[head][2] if head in headers else 0,
        ),
        max(scanner.reserved, scanner.seqs[-1] + 1 if scanner.seqs else 1),
        scanner.worn,
        bad,
        len(bad) + foreign,
        not clean and head not in bad,
    )


def _retire(files, number, bad):
    cold("journal_tidy").retire(files, number, bad)


class _Scanner:
    """Replays frames into an index."""

    def __init__(self, files, found):
        self._files = files
        self._found = found
        self._buf = memoryview(bytearray(256))
        self.seqs = []
        self.places = []
        self.infos = []
        self.reserved = 1
        self.worn = 0
        self.size = 0  # of the file that was opened last

    def header(self, number):
        """The number that the header of this file says, then `facts` has the rest; None; or -1: it cannot be read."""
        try:
            with self._files.open("log-%08d" % number, "rb") as f:
                self.size = f.seek(0, 2)
                f.seek(0)
                frame = self._frame(f, 0)
        except OSError:
            return -1  # a folder, for example
        if frame is None or frame[0] != 4 or frame[3] != 12:
            return None
        self._base = frame[2]
        return frame[1]

    def facts(self):
        """(oldest segment in force, numbers reserved, valid length of the one before, blocks written)."""
        return (self._base,) + struct.unpack_from("<III", self._buf)

    def segment(self, number, limit):
        """Replay one segment. limit -- bytes of it that count, or None: all.

        Returns (damaged between two frames, end of the last good frame, nothing but good frames).
        """
        gap = hurt = False
        good = at = 0
        with self._files.open("log-%08d" % number, "rb") as f:
            self.size = f.seek(0, 2)
            f.seek(0)
            # Behind the limit there is only what a failed write left; damage before it may have moved things.
            while at < self.size and (gap or hurt or not limit or at < limit):
                frame = self._frame(f, at)
                if frame is None:
                    gap = True
                    at = self._next_mark(f, at + 1)
                    f.seek(at)
                    continue
                hurt |= gap
                gap = False
                size = 16 + frame[3]
                self._replay(frame, (number & 0x3FFF) << 16 | at, size)
                at = good = at + size
        if limit and good < limit:
            hurt = True  # cut short
        return hurt, good, not gap

    def _frame(self, f, at):
        """(kind, number, tag, length of the data) of a good frame at this position, else None.

        The first 256 bytes of the data are in the buffer then.
        """
        buf = self._buf
        if at + 16 > self.size:
            return None
        head = f.read(12)
        mark, kind, length, seq, tag = struct.unpack("<BBHII", head)
        if mark != 0xA7 or not 0 < kind < 8 or at + 16 + length > self.size:
            return None
        crc = binascii.crc32(head)
        count = min(length, 256)
        f.readinto(buf[:count])
        crc = binascii.crc32(buf[:count], crc)
        length_left = length - count
        while length_left:
            more = f.read(min(length_left, 256))
            crc = binascii.crc32(more, crc)
            length_left -= len(more)
        if f.read(4) != struct.pack("<I", crc):
            return None
        return kind, seq, tag, length

    def _next_mark(self, f, at):
        """Position of the next byte that might begin a frame, or the end."""
        f.seek(at)
        while True:
            more = f.read(256)
            if not more:
                return self.size
            i = more.find(b"\xa7")
            if i >= 0:
                return at + i
            at += len(more)

    def _replay(self, frame, place, size):
        kind, seq, tag, length = frame
        if kind == 4:
            seq, _, self.worn = struct.unpack_from("<III", self._buf)
        elif kind == 7:
            self.worn = struct.unpack_from("<I", self._buf)[0]
        self.worn += 1  # each frame may have been a write of its own
        if kind == 4 or kind == 7:
            self.reserved = max(self.reserved, seq)
            return
        seqs = self.seqs
        i = len(seqs)
        if i and seqs[-1] >= seq:  # not a new one: look for it
            low = 0
            while low < i:
                middle = (low + i) // 2
                if seqs[middle] < seq:
                    low = middle + 1
                else:
                    i = middle
        known = i < len(seqs) and seqs[i] == seq
        if kind > 3:
            if known and kind == 5:
                self._forget(i)
            elif known:
                self.infos[i] = self.infos[i] & ~(3 << 14) | tag << 14
            return
        info = (tag & 0x3FFF) << 16 | kind << 14 | size
        if known:
            self.places[i], self.infos[i] = place, info
        else:
            seqs.insert(i, seq)
            self.places.insert(i, place)
            self.infos.insert(i, info)
        old = self._found and self._found(seq, kind, bytes(self._buf[: min(length, 64)]))
        if old in seqs:
            self._forget(seqs.index(old))

    def _forget(self, i):
        self.seqs.pop(i)
        self.places.pop(i)
        self.infos.pop(i)


def report(journal, uptime_ms):
    """State and wear as (name, value) pairs, for people."""
    return [(name, getattr(journal, name)) for name in _COUNTERS] + [
        ("blocks_per_day", journal.blocks * 86_400_000 // max(uptime_ms, 1))
    ]
