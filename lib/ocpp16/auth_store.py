"""Local authorization list and authorization cache: files that are searched, never held in RAM. A cold module.

A file has one line for each id tag, `["tag",status,expiry,parent]`, oldest change first, and ends with a line of fixed
length: the version of the list and the CRC-32 of all before. It is written aside and renamed over, so it is old or new,
never half. A file that fails its check is set aside as `bad-...`: the list then reads as empty (version 0), and the
central system can send it again. Changing a list takes its size twice on the flash.

Memory: blocks of 512 bytes however long the list is, and the lines of the change.
Raises ValueError once for a damaged file; OSError when the storage fails, and then nothing was changed.
Source: OCPP 1.6 edition 2, sections 3.5.1 and 3.5.2. Entries: see authorization, but as lists.
"""

import binascii
import errno
import json
import os

from micropython import const

LIST = "auth-list"
CACHE = "auth-cache"

_BLOCK = const(512)
_TRAILER = const(30)
_VERSION = const(21)  # bytes of the trailer that the checksum covers


def head(id_tag):
    """How the line of an id tag begins. Bytes that no other tag has, the same in any letter case."""
    text = id_tag.lower().replace("%", "%25").replace('"', "%22")
    return b"[" + json.dumps(text).encode() + b","


def known(cp, id_tag):
    """(entry of the local list or None, entry of the cache or None), of those that are switched on. Never raises."""
    found = []
    for name, key in ((LIST, "LocalAuthListEnabled"), (CACHE, "AuthorizationCacheEnabled")):
        entry = None
        try:
            if cp.config.get(key, False):
                entry = look_up(cp.store.folder, name, id_tag)
        except (OSError, ValueError) as exc:
            cp.log.error("ocpp", exc)
        found.append(entry)
    return found


def look_up(folder, name, id_tag):
    """Entry of an id tag: [status, expiry, parent], or None. folder -- None: there are no files."""
    start = b"\n" + head(id_tag)
    line = None
    for block in _blocks(folder, name):
        at = block.find(start)
        if at >= 0:
            line = block[at + 1 : block.find(b"\n", at + 1)]  # believed when the checksum was seen
    return None if line is None else json.loads(line)[1:]


def version(folder):
    """Version of the local list; 0 when it is empty."""
    number = []
    for _ in _blocks(folder, LIST, number):
        pass
    return number[0] if number else 0


def change(folder, name, number, changes, keep=True, limit=None):
    """Write a file anew, in steps: a generator that yields after each block. ValueError above `limit` lines.

    number -- its version; changes -- {head: entry or None}, None takes the tag out;
    keep -- False: what is not in `changes` goes. A file without tags is removed. Nothing has changed before the last
    step has; a generator that is left half-way changes nothing.
    """
    path = folder + "/" + name
    count = 0
    try:
        with open(path + ".tmp", "wb") as f:
            out = b"\n"
            crc = 0
            for lines in _merged(folder, name, changes, keep):
                count += len(lines)
                lines.append(b"")
                out += b"\n".join(lines)
                f.write(out)
                crc = binascii.crc32(out, crc)
                out = lines = b""
                yield
            out += b"%020d " % number
            f.write(out + b"%08x\n" % binascii.crc32(out, crc))
        if limit is not None and count > limit:
            raise ValueError("list too long")
    except (OSError, ValueError):
        remove(folder, name + ".tmp")
        raise
    if count:
        os.rename(path + ".tmp", path)
    else:
        remove(folder, name + ".tmp")
        remove(folder, name)


def remember(folder, id_tag, entry, limit, is_valid):
    """Put an entry (a list) into the cache, which has room for `limit`.

    When it is full, the oldest entry that is not valid leaves, else the oldest: is_valid(entry) -> bool. An entry that
    is there already costs no write, unless it is of the older half: who comes every day is not the next to leave.
    """
    start = head(id_tag)
    count = 0
    age = oldest = bad = None
    for block in _blocks(folder, CACHE):
        for line in block[1:-1].split(b"\n"):
            if line.startswith(start):
                age = count if json.loads(line)[1:] == entry else -1
            elif bad is None:
                if oldest is None:
                    oldest = _head_of(line)
                if not is_valid(json.loads(line)[1:]):
                    bad = _head_of(line)
            count += 1
    if age is not None and age >= 0 and age >= count - limit // 2:
        return
    changes = {start: entry}
    if age is None and count >= limit:
        changes[bad or oldest] = None
    write(change(folder, CACHE, 0, changes))


def forget(folder, heads):
    """Take tags out of the cache."""
    for block in _blocks(folder, CACHE):
        for line in block[1:-1].split(b"\n"):
            if _head_of(line) in heads:
                write(change(folder, CACHE, 0, {head: None for head in heads}))
                return


def write(steps):
    """Take all steps of `change` at once."""
    for _ in steps:
        pass


def remove(folder, name):
    """Remove a file, if it is there."""
    try:
        os.remove(folder + "/" + name)
    except OSError as exc:
        if exc.errno != errno.ENOENT:
            raise


def _head_of(line):
    return line[: line.find(b'",') + 2]


def _merged(folder, name, changes, keep):
    """Lists of lines: what stays of the file, then what is new."""
    if keep:
        for block in _blocks(folder, name):
            yield [line for line in block[1:-1].split(b"\n") if _head_of(line) not in changes]
    for start, entry in changes.items():
        if entry is not None:
            yield [start + json.dumps(entry, separators=(",", ":"))[1:].encode()]


def _blocks(folder, name, number=None):
    """Blocks of whole lines, each with a line end before and after it; ValueError behind the last one if damaged.

    number -- list that gets the version.
    """
    path = "%s/%s" % (folder, name)
    try:
        f = open(path, "rb") if folder else None
    except OSError as exc:
        if exc.errno != errno.ENOENT:
            raise
        f = None
    if f is None:
        return
    with f:
        left = f.seek(0, 2) - _TRAILER
        f.seek(0)
        rest = b""
        crc = 0
        while left > 0:
            block = f.read(min(_BLOCK, left))
            if not block:
                break
            left -= len(block)
            crc = binascii.crc32(block, crc)
            block = rest + block
            end = block.rfind(b"\n")
            rest = block[max(0, end) :]
            if end > 0:
                yield block[: end + 1]
        trailer = f.read()
    try:
        if left or len(trailer) != _TRAILER or int(trailer[_VERSION:], 16) != binascii.crc32(trailer[:_VERSION], crc):
            raise ValueError
        if number is not None:
            number.append(int(trailer[:_VERSION]))
    except ValueError:
        os.rename(path, "%s/bad-%s" % (folder, name))
        raise ValueError(name + " is damaged")
