"""Space in a journal: new segments, old ones, a full one. A cold module (see lib/cold.py and journal.py)."""

import struct

from cold import cold
from micropython import const

_SIZE = const(0x3FFF)  # of a frame, in an info
_WRAP = const(0x3FFF)  # of a segment's number, in a place
_HEADER_SIZE = const(28)  # the frame that starts a segment
_KIND_HEADER = const(4)
_KIND_CHANGE = const(6)
_KIND_RESERVE = const(7)
_AHEAD = const(256)  # numbers reserved by one record, so that none comes twice
_STEP = const(2048)  # bytes that are moved at once: one or two flash blocks
_WAIT_MS = const(60_000)
_ENOSPC = const(28)
_WRITE = "journal_write"


def admit(journal, size, vital, replaces):
    """Before a record of `size` bytes: is there room, and a number? Returns whether it must be written now."""
    if replaces:
        size -= journal.infos[journal.seqs.index(replaces)] & _SIZE
    space = journal.capacity - journal.live - size
    count = journal.records - len(journal.seqs)
    if not vital:
        space -= journal.capacity // 8
        count -= journal.records // 8
    if space < 0 or (count <= 0 and not replaces):
        raise OSError(_ENOSPC)
    if journal.next < journal.reserved:
        return False
    journal.reserved = journal.next + _AHEAD
    journal.later([_KIND_RESERVE, journal.reserved, 0, struct.pack("<I", journal.worn), 0], False)
    return True


def change(journal, seq, kind, urgent=True):
    """Make it a record of another kind, in its place. ValueError: not there. What cannot be written now is, later."""
    i = journal.seqs.index(seq)
    journal.infos[i] = journal.infos[i] & ~(3 << 14) | kind << 14
    if journal.places[i]:
        try:
            journal.later([_KIND_CHANGE, seq, kind, b"", 0], urgent)
        except Exception:  # noqa: BLE001 - it waits with the others
            journal.failed += 1
        return
    for entry in journal.buffer:
        if entry[1] == seq and entry[0] < _KIND_HEADER:
            entry[0] = kind


def step(journal, now):
    """What a tick found due at uptime `now`. OSError: it failed."""
    if journal.since is not None and now - journal.since >= _WAIT_MS:
        journal.flush()
    elif not journal.end:
        rotate(journal)  # what a failed write left behind is invalid from now on
    else:
        # Near the limit only if it gains much: to copy mostly live records would wear the flash.
        segments = journal.head - journal.first
        full = segments * journal.segment
        if full > 2 * journal.live + journal.segment or (
            segments > journal.segments - 3 and full * 3 // 4 > journal.live + 2 * journal.segment
        ):
            _clean(journal, _STEP)
        else:
            journal.rest = (now if journal.since is None else journal.since) + _WAIT_MS


def rotate(journal):
    """Begin a new segment. Its header says what is valid before it, so a torn end of the last one is no damage."""
    number, before = journal.head, journal.before
    if journal.end or journal.sound != _HEADER_SIZE:
        number, before = number + 1, journal.sound
    # else nothing but its header ever was in it, and the write of the first record failed: begin it once more
    header = struct.pack("<III", journal.reserved, before, journal.worn)
    cold(_WRITE).write(journal, number, 0, ((_KIND_HEADER, number, journal.first, header, 0),))
    journal.head, journal.before = number, before
    if number - journal.first >= journal.segments - 1:
        _clean(journal, 1 << 29)


def repair(journal):
    """Keep damaged segments aside, after what is good in them was copied."""
    try:
        while journal.bad:
            if not journal.end:
                rotate(journal)
            _clean(journal, 1 << 29)
    except OSError:
        journal.failed += 1  # the next start tries again


def retire(files, number, bad):
    """Remove a segment, or keep it aside as `bad-...`, the newest two. A failure is no harm: the next start does it."""
    name = "log-%08d" % number
    try:
        if not bad:
            files.remove(name)
            return
        files.rename(name, "bad" + name[3:])
        old = sorted([name for name in files.names() if name[:4] == "bad-" and name[4:].isdigit()])
        for name in old[:-2]:
            files.remove(name)
    except OSError:
        pass


def _clean(journal, budget):
    """Copy live records of the oldest segment to the newest, `budget` bytes at most; remove it if none is left.

    A record that is there twice is one record, so a cut in between does no harm.
    """
    key = journal.first & _WRAP
    moved = []
    budget = min(budget, journal.segment - journal.end)
    left = False
    for i, place in enumerate(journal.places):
        if place and place >> 16 == key:
            budget -= journal.infos[i] & _SIZE
            if budget < 0:
                left = True
                break
            moved.append(i)
    if moved:
        try:
            places = cold(_WRITE).write(journal, journal.head, journal.end, _loaded(journal, moved))
        except KeyError:
            return  # one is damaged, and given up: the others are moved next time
        for i, place in zip(moved, places):
            journal.places[i] = place
    if not left:
        bad = journal.first in journal.bad
        retire(cold(_WRITE).files_of(journal), journal.first, bad)
        if bad:
            journal.bad.remove(journal.first)
        journal.commits += 1
        journal.first += 1
    elif not moved:
        rotate(journal)


def _loaded(journal, positions):
    load = cold(_WRITE).load
    for i in positions:
        info = journal.infos[i]
        try:
            data = load(journal, i)
        except KeyError:
            if journal.first not in journal.bad:
                journal.bad.append(journal.first)
            journal.forget(i)
            raise
        yield info >> 14 & 3, journal.seqs[i], info >> 16, data, 0
