"""The files of charger.event_log: what survives a cut at any byte, bounds, damage, counted wear."""

import builtins
import io
import os
import sys

from powerfiles import PowerFiles

from charger import event_log, event_read

FOLDER = "test_event_files.%02x%02x" % tuple(os.urandom(2))
NEW = "log-events-new.txt"
OLD = "log-events-old.txt"
SEGMENT = 8192


class Disk:
    """PowerFiles with the face of `os` and `open`, for a folder."""

    def __init__(self, files):
        self.files = files

    def open(self, path, mode="r"):
        return Stream(self.files.open(path.rpartition("/")[2], mode))

    def stat(self, path):
        name = path.rpartition("/")[2]
        if name not in self.files.disk:
            raise OSError(2)
        return (0, 0, 0, 0, 0, 0, len(self.files.disk[name]))

    def rename(self, old, new):
        self.files.rename(old.rpartition("/")[2], new.rpartition("/")[2])

    def remove(self, path):
        self.files.remove(path.rpartition("/")[2])


class Stream:
    """A file of PowerFiles that reads lines, and is durable when it is closed."""

    def __init__(self, file):
        self._file = file
        self.write = file.write
        self._wrote = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self._file.flush()
        except OSError:
            pass

    def read(self, count):
        return self._file.read(count)

    def readline(self, count):
        line = b""
        while len(line) < count and line[-1:] != b"\n":
            more = self._file.read(1)
            if not more:
                break
            line += more
        return line


def use(files):
    disk = Disk(files)
    for module in (event_log, event_read):
        module.os = disk
        module.open = disk.open
    return files


def setup():
    os.mkdir(FOLDER)


def teardown():
    for module in (event_log, event_read):
        module.os = os
        module.open = builtins.open
    for name in os.listdir(FOLDER):
        os.remove(FOLDER + "/" + name)
    os.rmdir(FOLDER)


def found():
    return list(event_read.lines(FOLDER))


def test_lines_come_back():
    assert found() == [] and event_read.worn(FOLDER) == (0, 0)
    event_log.append(FOLDER, ["1.000 W a: one", "1.001 E b: zwei\u00e4"])
    event_log.append(FOLDER, ["2.000 W a: line\nbreak"])
    assert found() == ["1.000 W a: one", "1.001 E b: zwei\u00e4", "2.000 W a: line break"]
    assert event_read.worn(FOLDER) == (os.stat(FOLDER + "/" + NEW)[6], 2)


def test_two_files_are_all_and_wear_goes_on():
    written = batches = 0
    for n in range(600):
        written += event_log.append(FOLDER, ["%d.000 W test: %s" % (n, "x" * (n % 90))])
        batches += 1
        assert sorted(os.listdir(FOLDER)) in ([NEW], [NEW, OLD])
        for name in os.listdir(FOLDER):
            assert os.stat(FOLDER + "/" + name)[6] <= SEGMENT + 32
    assert event_read.worn(FOLDER) == (written, batches)
    numbers = [int(line.partition(".")[0]) for line in found()]
    assert numbers == list(range(numbers[0], 600)) and len(numbers) > 100, numbers


def test_a_long_line_and_odd_bytes():
    event_log.append(FOLDER, ["y" * 3000, "\u20ac" * 400])
    lines = found()
    assert lines[0] == "y" * 191 and len(lines[1]) == 191
    with open(FOLDER + "/" + NEW, "ab") as f:
        f.write(b"\x00" * 5000 + b"\n\xff\xfe  [0000]\n= 9 9  [dead]\n")
    event_log.append(FOLDER, ["3.000 W a: after"])
    assert found() == lines + ["3.000 W a: after"]
    assert event_read.worn(FOLDER)[1] == 2


def test_a_cut_at_any_byte():
    """Confirmed batches are there, of the one being written a whole beginning; what is written afterwards is, too."""
    files = use(PowerFiles({NEW: bytes(SEGMENT - 300)}))
    marks = [0]
    for n in range(4):
        event_log.append(FOLDER, ["%d.000 W a: first" % n, "%d.001 E b: second" % n])
        marks.append(len(files.trace))
    lines = ["%d.00%d %s" % (n, k, ("W a: first", "E b: second")[k]) for n in range(4) for k in range(2)]
    assert found() == lines, found()
    cuts = 0
    for position, disk in files.cuts():
        use(PowerFiles(disk))
        cuts += 1
        sure = 2 * len([mark for mark in marks[1:] if mark <= position])
        got = found()
        assert len(got) >= sure and got == lines[: len(got)], (position, got)
        event_log.append(FOLDER, ["9.000 W a: next life"])
        after = found()  # a line that only lacked its end has it now
        assert after.pop() == "9.000 W a: next life" and len(after) - len(got) in (0, 1), (position, after)
        assert after == lines[: len(after)], (position, after)
        assert event_read.worn(FOLDER)[0] >= 0
    assert cuts > 300


def test_a_full_disk_tells_and_harms_nothing():
    files = use(PowerFiles())
    event_log.append(FOLDER, ["1.000 W a: there"])
    for fail in range(4):
        files.fail = fail
        try:
            event_log.append(FOLDER, ["2.000 W a: lost"])
        except OSError:
            pass
        files.fail = None
        assert found()[:1] == ["1.000 W a: there"]
    event_log.append(FOLDER, ["3.000 W a: later"])
    assert found()[-1] == "3.000 W a: later"


def crash(text):
    try:
        raise ValueError(text)
    except ValueError as exc:
        return exc


class App:
    """As much of charger.app.App as the reader of crashes asks."""

    data_dir = FOLDER

    def __init__(self, boot=0, uptime_ms=0, utc=None):
        self.hal = self.clock = self.cp = self.outbox = self
        self.boot = boot
        self.uptime_ms = lambda: uptime_ms
        self.utc = lambda: utc


def note(exc, where, boot, uptime_ms, utc):
    out = io.StringIO()
    sys.print_exception(exc, out)
    return event_log.note(App(boot, uptime_ms, utc), out.getvalue(), where, 1)


def crashes():
    """Each kept crash: its lines."""
    found = []
    for line in event_read.crashes(App()):
        if line[0] == " ":
            found[-1].append(line.partition("| ")[2])
        else:
            found.append([line])
    return found


def times():
    """How often the kept crashes came in all."""
    return sum([int(row[0].split(" times")[0].rpartition(" ")[2]) for row in crashes()])


def test_crashes_are_counted_and_four_are_kept():
    again = crash("again")
    assert [note(again, "main", 5 + n, n, None) for n in range(50)] == list(range(1, 51))
    assert len(os.listdir(FOLDER)) == 1
    for n in range(9):
        assert note(crash("number %d" % n), "a task", 70, 5000, 1_700_000_000 + n) == 1
        assert note(again, "main", 71, 9000, None) == 51 + n, "what comes again is not pushed out"
    assert len(os.listdir(FOLDER)) == 4
    rows = crashes()
    assert [row[0] for row in rows] == [
        "in main, 59 times, last in boot 71 at 9 s, an unknown time",
        "in a_task, 1 times, last in boot 70 at 5 s, 2023-11-14T22:13:28Z",
        "in a_task, 1 times, last in boot 70 at 5 s, 2023-11-14T22:13:27Z",
        "in a_task, 1 times, last in boot 70 at 5 s, 2023-11-14T22:13:26Z",
    ], rows
    assert rows[1][1].startswith("Traceback") and rows[1][-1] == "ValueError: number 8", rows
    assert event_read.reason(App()) == "ValueError: again"


def test_a_long_traceback_keeps_its_end():
    event_log.note(App(), "x" * 5000 + "\nthe end", "main", 1)
    (name,) = os.listdir(FOLDER)
    assert os.stat(FOLDER + "/" + name)[6] <= 80 + 640
    assert crashes()[0][-1] == "the end"


def test_crashes_and_a_cut_at_any_byte():
    files = use(PowerFiles())
    first, second = crash("first"), crash("second")
    done = []
    for n, exc in enumerate((first, second, first)):
        note(exc, "main", n, 1, None)
        done.append(len(files.trace))
    for position, disk in files.cuts():
        use(PowerFiles(disk))
        sure = len([mark for mark in done if mark <= position])
        count = times()
        assert sure <= count <= 3, (position, crashes())
        assert note(second, "main", 9, 1, None) == (2 if count > 1 else 1)
        assert times() == count + 1 and crashes()[0][0].endswith("last in boot 9 at 0 s, an unknown time")


def test_damaged_crash_files_are_passed_over():
    for data in (b"", b"\xff\xff\n", b"1 2\n", b"x " * 60, bytes(3000)):
        with open(FOLDER + "/crash-report-0.txt", "wb") as f:
            f.write(data)
        assert crashes() == [] and event_read.reason(App()) == ""
    note(crash("new"), "main", 1, 1, None)
    assert len(crashes()) == 1


def test_what_failed_to_start_leaves_a_note():
    for _ in range(3):
        event_log.failed(FOLDER, crash("no board"))
    with open(FOLDER + "/launch-failed.txt") as f:
        text = f.read()
    assert text.startswith("3          \nTraceback") and text.endswith("ValueError: no board\n"), text
    event_log.failed("/no such folder", crash("full"))
