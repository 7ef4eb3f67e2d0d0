"""What of the log goes to flash: warnings, errors, starts and crashes. A cold module; the main loop calls `save`.

Written at once after a quiet time, then at most 8 kB an hour and once in 10 s: 0.44 s of waiting for every byte. What
the ring in RAM has lost meanwhile is counted in a line. Nothing here raises: a full file system costs the log, not the
charging. Nothing of before is read to write more. Reading all of it: event_read.

Lines: two files, `log-events-new.txt` and `log-events-old.txt`. The new one is appended to; at 8 kB it becomes the old
one, whose predecessor is gone. What is written at once is a batch: an empty line, then lines with a checksum each, so a
cut costs only the lines that are not whole. A line: its text (UTF-8), two blanks, the lower 16 bits of its CRC-32 in
brackets. The first of a file that follows another, `= BYTES BATCHES`, tells what was written before it since ever; the
first of a batch is `#at BOOT UPTIME_S UTC` (Unix seconds, 0: not known), which gives the others their time.

Crashes: `crash-report-N.txt`, N 0..3, the four latest that differ. One that comes again is counted where it already is,
so a program that crashes at every start pushes nothing out. The first line is `ORDER COUNT SUM BOOT UPTIME_S UTC WHERE`
(ORDER: the highest is the latest), the rest the traceback. Written aside and renamed.
"""

import binascii
import io
import os
import sys

from cold import cold
from micropython import const

from .version import VERSION

_SEGMENT = const(8192)  # bytes of a file
_LONGEST = const(191)  # bytes of a line: reading it needs that much in one piece
_BYTE_MS = const(440)
_LEAST_MS = const(10_000)
_AGAIN_MS = const(600_000)  # after a failure: the file system may be full for long
_OFTEN = const(3)  # a crash that came more often writes no more lines: it would push everything else out

_CRASHES = const(4)
_TRACE = const(640)  # bytes of a traceback; of a longer one the beginning goes
_HEAD = const(80)
_FAILED = "%s/launch-failed.txt"  # left behind by launch.py and device.py: how often, and the last traceback


def begin(app):
    """Log why the program has started, and what had ended the last one; on flash when this returns."""
    try:
        boot, log, folder = app.cp.outbox.boot, app.log, app.hal.data_dir
        _adopt(app)
        text = "boot %d, version %s, last start: %s" % (boot, VERSION, app.hal.reset_cause())
        last = max(heads(folder))
        if not last[0] or last[3] < boot - 1:
            log.info("start", text)
            log.waiting += 1
            save(app)
            return
        text += "; it had crashed in %s, %d times: %s" % (last[6], last[1], cold("charger.event_read").reason(app))
        if last[1] > _OFTEN:
            log.info("app", text)
        else:
            log.warn("start", text)
            save(app)
    except Exception as exc:  # noqa: BLE001 - the charger starts whatever the log does
        app.log.error("start", exc)


def save(app, ends=False):
    """Write what is new. ends -- the program is about to end: now, whatever was written before."""
    log = app.log
    trace, log.last_error = log.last_error, None
    now = app.clock.uptime_ms()
    log.save_at = now + _AGAIN_MS  # if it fails
    try:
        cost = _crash(app, trace) if trace else 0
        if not (ends and cost < 0):
            cost = max(cost, 0) + _write(app)
        log.save_at = now + max(_LEAST_MS, cost * _BYTE_MS)
    except Exception:  # noqa: BLE001 - see the module's text
        log.sink_errors += 1


def _crash(app, trace):
    """Keep a traceback: (where, exception). Returns the bytes that it cost; negative: it comes all the time."""
    where, exc = trace
    try:
        out = io.StringIO()
        sys.print_exception(exc, out)  # type: ignore[arg-type]
        return -_TRACE if note(app, out.getvalue(), where, 1) > _OFTEN else _TRACE
    except Exception:  # noqa: BLE001 - the line that names it is as important
        app.log.sink_errors += 1
        return 0


def _write(app):
    """Returns the bytes that were written."""
    log, clock = app.log, app.clock
    fresh = [text for text in log.lines if _is_kept(text)]
    lost = log.waiting - len(fresh)
    if lost < 0:
        del fresh[:-lost]  # written before
    if lost > 0:
        fresh.insert(0, "... %d lines dropped" % lost)
    size = 0
    if fresh:
        fresh.insert(0, "#at %d %d %d" % (app.cp.outbox.boot, clock.uptime_ms() // 1000, clock.utc() or 0))
        size = append(app.hal.data_dir, fresh)
    log.waiting = 0
    return size


def _is_kept(line):
    words = line.split(" ", 3)
    return len(words) > 2 and (words[1] != "I" or words[2][:-1] == "start")


def append(folder, lines):
    """Write a batch of lines (texts), durably when this returns. Returns how many bytes. OSError: not, or in part."""
    path = folder + "/log-events-new.txt"
    try:
        size = os.stat(path)[6]
    except OSError:
        size = 0
    data = b"\n"
    for text in lines:
        data += _line(text.replace("\n", " ").encode()[:_LONGEST])
    if size + len(data) > _SEGMENT:
        data = _line(b"= %d %d" % cold("charger.event_read").worn(folder)) + data
        os.rename(path, folder + "/log-events-old.txt")
    _put(path, "ab", data)
    return len(data)


def _put(path, mode, data):
    with open(path, mode) as f:
        if f.write(data) != len(data):
            raise OSError(28)  # ENOSPC


def _line(text):
    return text + b"  [%04x]\n" % (binascii.crc32(text) & 0xFFFF)


def note(app, text, where, times):
    """Keep a crash, durably when this returns; returns how often this one came. OSError: not kept.

    text -- the traceback; where -- a word: which part of the program; times -- it came
    """
    folder, clock = app.hal.data_dir, app.clock
    data = text.encode()[-_TRACE:]
    mark = "%d" % (binascii.crc32(data) & 0x3FFFFFFF)
    rows = heads(folder)
    order = max(rows)[0] + 1
    same = [n for n in range(_CRASHES) if rows[n][2] == mark]
    best = same[0] if same else rows.index(min(rows))
    if same:
        times += rows[best][1]
    now = clock.uptime_ms() // 1000
    row = (order, times, mark, app.cp.outbox.boot, now, clock.utc() or 0, where.replace(" ", "_")[:24])
    aside = folder + "/crash-report.tmp"
    _put(aside, "wb", ("%d %d %s %d %d %d %s\n" % row).encode() + data)
    os.rename(aside, path_of(folder, best))
    return times


def path_of(folder, n):
    return "%s/crash-report-%d.txt" % (folder, n)


def heads(folder):
    """(order, count, sum, boot, uptime s, Unix seconds or 0, where) of each crash file; order 0: there is none."""
    rows = []
    for n in range(_CRASHES):
        try:
            with open(path_of(folder, n), "rb") as f:
                words = str(f.readline(_HEAD), "utf-8").split()
            rows.append((int(words[0]), int(words[1]), words[2], int(words[3]), int(words[4]), int(words[5]), words[6]))
        except (OSError, ValueError, IndexError):
            rows.append((0, 0, "", 0, 0, 0, ""))
    return rows


def _adopt(app):
    """Keep what starts that did not work have left behind."""
    path = _FAILED % app.hal.data_dir
    try:
        with open(path) as f:
            count = int(f.readline(24))
            text = f.read(_TRACE * 2)
    except (OSError, ValueError):
        return
    note(app, text, "start", count)
    os.remove(path)


def failed(folder, exc):
    """Leave a traceback for the next start that works. Never raises. As launch.py does, which knows no other file."""
    path = _FAILED % folder
    count = 0
    try:
        with open(path) as f:
            count = int(f.readline(24))
    except (OSError, ValueError):
        pass
    try:
        with open(path, "w") as f:
            f.write("%d          \n" % (count + 1))
            sys.print_exception(exc, f)  # type: ignore[arg-type]
    except Exception:  # noqa: BLE001 - the board must start again, whatever the file system says
        pass
