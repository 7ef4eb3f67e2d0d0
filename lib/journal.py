"""An append-only record store that a power cut at any byte cannot hurt.

Records are numbered byte strings of a kind (1..3) with a small tag. They live in segment files `log-NNNNNNNN`, written
only at the end of the newest one, each record with its CRC-32. After a cut the journal opens with every record that was
confirmed (its call returned), in order, and an unconfirmed one is whole or absent. What is damaged is passed over,
counted, and its file kept aside as `bad-NNNNNNNN` (the newest two).

RAM: three small ints per live record; what is in the files stays there. Writing is grouped: what is not urgent waits in
RAM, at most 60 s, 2 kB and 40 entries, and goes out in one write with the next that is.

Space: a ring of segments. Live records of the oldest are copied to the newest, then the oldest is removed; before that
is needed for space, `tick` does it in small steps. When live records reach the limit: OSError(ENOSPC). An eighth of
space and numbers is kept for records that are `vital`.

The files need no more than open, read, seek, append, flush, rename, remove and list, as littlefs and POSIX have them.
Everything that touches them is in cold modules: journal_open, journal_write and journal_tidy.
"""

from clock import Clock
from cold import cold
from micropython import const

# An info is tag << 16 | kind << 14 | size of the frame, a place (see journal_write) 0 while the record is in RAM only.
_SIZE = const(0x3FFF)
_LAST_TAG = const(0x3FFF)
_FRAME = const(16)  # bytes around the data
_DROP = const(5)  # see journal_open

_BUFFER = const(2048)  # bytes that may wait in RAM,
_ENTRIES = const(40)  # what they belong to,
_WAIT_MS = const(60_000)  # and how long

_EFBIG = const(27)
_WRITE = "journal_write"
_TIDY = "journal_tidy"


class Journal:
    """See the module's text. Opening reads what is there, and repairs what a cut left. OSError: no file system.

    files    -- path of the folder, made if it is not there; or an object like journal_write.Files
    clock    -- for the 60 s and the wear per day
    segment  -- bytes of one file, 512..65536; a record has at most a quarter of it, less 16
    segments -- files at most, >= 4; space for live records is about (segments - 2) x 3/4 x segment
    records  -- live records at most (12 bytes of RAM each)
    found(seq, kind, first bytes of its data) -- called for each record in the order of writing, perhaps for records
    that are dropped later. It may return the number of an older record that this one replaces.

    Counters: waiting (bytes that a cut would lose now), failed (writes that are repeated later), bytes, blocks and
    commits (written since the start, as blocks of flash, and changes of the directory), worn (blocks since the journal
    was made), live (bytes of live records), capacity, damaged (segments and records, since the start), torn.
    """

    where: object
    clock: Clock
    segment: int
    segments: int
    records: int
    biggest: int
    capacity: int
    seqs: list[int]  # the index: of each live record its number,
    places: list[int]  # where it is,
    infos: list[int]  # and what
    live: int
    next: int  # number of the next record,
    reserved: int  # and the first that is not promised to be new after a cut
    first: int  # oldest segment,
    head: int  # newest, in which
    end: int  # writing goes on here; 0: a new one must be begun
    sound: int  # valid length of the newest,
    before: int  # and of the one before
    bad: list[int]  # damaged segments
    buffer: list[list]  # [kind, number, tag, data, number that it replaces or 0]
    since: int | None  # uptime at which the oldest of them came
    rest: int  # uptime before which nothing is tried in the background
    waiting: int
    failed: int
    bytes: int
    blocks: int
    commits: int
    worn: int
    damaged: int
    torn: bool

    def __init__(self, files, clock, segment=32768, segments=8, records=500, found=None):
        cold("journal_open").fill(self, files, clock, segment, segments, records, found)

    # -- records

    def append(self, data, vital=False, urgent=True, tag=0, kind=1, replaces=0):
        """Add a record; returns its number. Numbers only grow, across restarts too.

        vital -- may use the space that is kept for such; urgent -- durable when this returns; False: within 60 s.
        replaces -- number of a record that ends when this one is durable.
        OSError: not stored (if the storage died in the middle, it may be there after a restart); ENOSPC: no space.
        """
        size = _FRAME + len(data)
        if size > self.biggest or tag > _LAST_TAG:
            raise OSError(_EFBIG)
        spare = 0 if vital else 1
        if (
            self.live + size > self.capacity - spare * (self.capacity >> 3)
            or len(self.seqs) >= self.records - spare * (self.records >> 3)
            or self.next >= self.reserved
        ):
            urgent |= cold(_TIDY).admit(self, size, vital, replaces)
        seq = self.next
        self.next = seq + 1
        self.seqs.append(seq)
        self.places.append(0)
        self.infos.append(tag << 16 | kind << 14 | size)
        self.live += size
        entry = [kind, seq, tag, data, replaces]
        try:
            self.later(entry, urgent)
        except BaseException:
            self._take_back(seq)
            raise
        if replaces and self.buffer and not self.places[self.seqs.index(replaces)]:
            entry[4] = self._take_back(replaces)  # neither is in a file yet: one is enough
        return seq

    def read(self, seq):
        """Data of a record, bytes. KeyError: not there, or damaged (counted)."""
        if seq not in self.seqs:
            raise KeyError(seq)
        i = self.seqs.index(seq)
        if not self.places[i]:
            for entry in self.buffer:
                if entry[1] == seq and entry[0] < 4:
                    return entry[3]
        return cold(_WRITE).load(self, i)

    def discard(self, seq, urgent=True):
        """Forget a record, if it is there. Never raises: what cannot be written now is written later."""
        if seq not in self.seqs:
            return
        i = self.seqs.index(seq)
        if not self.places[i]:
            replaced = self._take_back(seq)
            if replaced:
                self.discard(replaced, urgent)
            return
        self.forget(i)
        try:
            self.later([_DROP, seq, 0, b"", 0], urgent)
        except Exception:  # noqa: BLE001 - it waits with the others
            self.failed += 1

    def numbers(self, after=0, limit=None, kind=1):
        """Numbers of the records of a kind, ascending: those above `after`, at most `limit`."""
        found = []
        for i, info in enumerate(self.infos):
            if len(found) == limit:
                break
            if info >> 14 & 3 == kind and self.seqs[i] > after:
                found.append(self.seqs[i])
        return found

    def tag(self, seq):
        """Tag of a record, without reading it. ValueError: not there."""
        return self.infos[self.seqs.index(seq)] >> 16

    # -- time and space

    def flush(self):
        """Make durable what waits in RAM. OSError: it still waits."""
        if self.buffer:
            cold(_WRITE).flush(self)
        self.since = None

    def tick(self):
        """Call about once a second: writes what has waited long enough, or does one step of tidying up."""
        now = self.clock.uptime_ms()
        if now < self.rest:
            return
        full = self.head - self.first
        if (
            (self.since is not None and now - self.since >= _WAIT_MS)
            or not self.end
            or full > self.segments - 3
            or full * self.segment > 2 * self.live + self.segment
        ):
            try:
                cold(_TIDY).step(self, now)
            except Exception:  # noqa: BLE001 - whatever it is, the journal goes on
                self.failed += 1
                self.rest = now + _WAIT_MS

    # -- index and buffer: for the cold modules, too

    def forget(self, i):
        """Take a record out of the index."""
        self.live -= self.infos[i] & _SIZE
        self.seqs.pop(i)
        self.places.pop(i)
        self.infos.pop(i)

    def later(self, entry, urgent):
        """Put an entry into the buffer, see there; what is urgent, into a file at once."""
        self.buffer.append(entry)
        self.waiting += _FRAME + len(entry[3])
        if self.since is None:
            self.since = self.clock.uptime_ms()
        if urgent or self.waiting > _BUFFER or len(self.buffer) > _ENTRIES:
            self.flush()

    def _take_back(self, seq):
        """Remove a record that is in no file yet; returns what it would have replaced."""
        self.forget(self.seqs.index(seq))
        for i, entry in enumerate(self.buffer):
            if entry[1] == seq and entry[0] < 4:
                del self.buffer[i]
                self.waiting -= _FRAME + len(entry[3])
                return entry[4]
        return 0
