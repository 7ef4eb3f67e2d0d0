"""Reading what event_log keeps on flash; the form of the files is told there. A cold module."""

import binascii
import os

from cold import cold
from micropython import const

_FOLDER_NEW = "%s/log-events-new.txt"
_FOLDER_OLD = "%s/log-events-old.txt"
_LINE = const(200)  # bytes of a line with its checksum,
_TAIL = const(9)  # of them the checksum's
_TRACED = const(120)  # bytes of a line of a traceback
_HEAD = const(80)


def worn(folder):
    """(bytes, batches) written since ever; each batch costs an erase of a block of flash, each 4096 bytes another."""
    total = batches = 0
    for path in (_FOLDER_OLD % folder, _FOLDER_NEW % folder):
        for text in _texts(path):
            if text[:2] == b"= ":
                try:
                    total, batches = [int(word) for word in text[2:].split()]
                except ValueError:
                    pass
            elif not text:
                batches += 1
        try:
            total += os.stat(path)[6]
        except OSError:
            pass
    return total, batches


def size(folder):
    """Where the newest file ends now."""
    try:
        return os.stat(_FOLDER_NEW % folder)[6]
    except OSError:
        return 0


def lines(folder, end=None):
    """Yield the lines that are whole, texts, the oldest first. end -- of the newest file, only so many bytes."""
    for file in (_FOLDER_OLD, _FOLDER_NEW):
        for text in _texts(file % folder, end if file is _FOLDER_NEW else None):
            if text and text[:2] != b"= ":
                try:
                    yield str(text, "utf-8")
                except UnicodeError:  # it was too long, and cut in the middle of a character
                    yield _plain(text)


def _texts(path, end=None):
    """Yield the text of each sound line, bytes; b"" for an empty one. Nothing of a file that is not there."""
    try:
        f = open(path, "rb")
    except OSError:
        return
    with f:
        while end is None or end > 0:
            line = f.readline(_LINE + 1)
            if not line:
                return
            if end is not None:
                end -= len(line)
            text = line[:-_TAIL] if len(line) > _TAIL else b""
            if line == b"\n" or (text and line[-_TAIL:] == b"  [%04x]\n" % (binascii.crc32(text) & 0xFFFF)):
                yield text


def _plain(text):
    return "".join([chr(byte) if 32 <= byte < 127 else "?" for byte in text])


def told(app, fits, end=None):
    """Yield the kept lines for people, with their times.

    fits(Unix seconds or None) -- is a line of that time wanted? end -- see lines
    """
    utc = began = None
    stamp = ""
    for line in lines(app.hal.data_dir, end):
        if ord(line[0]) == 35:  # "#"
            _, boot, began, utc = [int(word) if word.isdigit() else 0 for word in line.split(" ")]
            when = cold("ocpp16.timestamp").format_utc(utc) if utc else "an unknown time"
            stamp = "-- boot %d, %s at %d s" % (boot, when, began)
            continue
        second = line.partition(".")[0]
        if not fits(utc + int(second) - began if utc and second.isdigit() else None):
            continue
        if stamp:
            yield stamp
            stamp = ""
        yield line


def crashes(app):
    """Yield lines about the kept crashes, the latest first: what, how often, when, and the traceback."""
    log = cold("charger.event_log")
    rows = log.heads(app.hal.data_dir)
    found = [(-rows[n][0], log.path_of(app.hal.data_dir, n), rows[n]) for n in range(len(rows)) if rows[n][0]]
    log = rows = None
    for _, path, row in sorted(found):
        when = cold("ocpp16.timestamp").format_utc(row[5]) if row[5] else "an unknown time"
        yield "in %s, %d times, last in boot %d at %d s, %s" % (row[6], row[1], row[3], row[4], when)
        try:
            with open(path, "rb") as f:
                line = f.readline(_HEAD)
                while line:
                    line = f.readline(_TRACED)
                    if line.strip():
                        yield "  traceback| " + _plain(line.rstrip())
        except OSError:
            pass


def reason(app):
    """The last line of the latest traceback."""
    text = ""
    for line in crashes(app):
        if text and line[0] != " ":
            break
        text = line.partition("| ")[2]
    return text
