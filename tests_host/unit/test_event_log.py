"""charger.event_log: what reaches the flash, how often, and what the next start says."""

import os

from fakes import FakeClock
from log import Log

from charger import event_log, event_read

FOLDER = "test_event_log.%02x%02x" % tuple(os.urandom(2))


class App:
    """As much of charger.app.App as the event log asks."""

    data_dir = FOLDER

    def __init__(self, boot=1):
        self.clock = FakeClock()
        self.log = Log(self.clock, None, 16)
        self.hal = self.cp = self.outbox = self
        self.boot = boot
        self.log_saves = 0

    def reset_cause(self):
        return "power"

    def turn(self, ms=50):
        """What the main loop does."""
        self.clock.advance(ms)
        if self.log.waiting and self.clock.uptime_ms() >= self.log.save_at:
            event_log.save(self)
            self.log_saves += 1


def setup():
    os.mkdir(FOLDER)


def teardown():
    for name in os.listdir(FOLDER):
        os.remove(FOLDER + "/" + name)
    os.rmdir(FOLDER)


def kept():
    return [line.split(" ", 1)[1] for line in event_read.lines(FOLDER) if line[0] != "#"]


def crash(text="boom"):
    try:
        raise ValueError(text)
    except ValueError as exc:
        return exc


def test_warnings_errors_and_starts_only():
    app = App()
    event_log.begin(app)
    app.log.info("a", "not kept")
    app.log.warn("a", "kept")
    app.log.error("b", "kept, too")
    assert len(kept()) == 1
    app.turn(60_000)
    lines = kept()
    assert lines[0].startswith("I start: boot 1, version ") and lines[0].endswith("last start: power")
    assert lines[1:] == ["W a: kept", "E b: kept, too"], lines
    app.log.info("a", "nothing new")
    for _ in range(100):
        app.turn()
    assert app.log_saves == 1


def test_nothing_of_before_is_read_at_a_start():
    event_log.append(FOLDER, ["1.000 W a: old"])
    seen = []
    event_log.open = lambda path, mode="r": seen.append((path.rpartition("/")[2][:4], mode)) or open(path, mode)
    try:
        app = App(2)
        event_log.begin(app)
        app.turn()
    finally:
        del event_log.open
    assert [mode for name, mode in seen if name == "log-"] == ["ab"], seen
    assert len(seen) == 6, "the heads of the crashes, and whether a start failed"


def test_a_burst_is_bounded_and_counted():
    """An error in every turn of the loop for 3 hours: 8 kB an hour, at most one write in 10 s."""
    app = App()
    before = None
    for n in range(3 * 72_000):
        app.log.error("gate", "number %d" % n)
        saves = app.log_saves
        app.turn()
        if app.log_saves > saves:
            now = app.clock.uptime_ms()
            assert before is None or now - before >= 10_000
            before = now
    total, batches = event_read.worn(FOLDER)
    assert batches == app.log_saves and 20_000 < total < 3 * 8192 + 1024, (total, batches)
    dropped = sum([int(line.split(" ")[0]) for line in kept() if line.endswith("lines dropped")])
    assert dropped > 10_000
    assert kept()[-1].startswith("E gate: number 2"), kept()[-1]


def test_one_error_after_a_quiet_time_is_there_at_once():
    app = App()
    app.turn(7_200_000)
    app.log.warn("a", "one")
    app.turn()
    assert kept() == ["W a: one"]
    app.log.warn("a", "two")
    app.turn(9_000)
    assert kept() == ["W a: one"]
    app.turn(60_000)
    assert kept() == ["W a: one", "W a: two"]


def test_the_end_writes_at_once():
    app = App()
    for n in range(3):
        app.log.warn("a", str(n))
        event_log.save(app, True)
    assert kept() == ["W a: 0", "W a: 1", "W a: 2"]


def test_a_full_file_system_is_harmless():
    app = App()
    folder = app.hal.data_dir
    app.data_dir = "no such folder"
    event_log.begin(app)
    for _ in range(1000):
        app.log.error("a", "nobody keeps me")
        app.log.error("b", crash())
        app.turn(1000)
    assert app.log_saves in (1, 2), "tried again after 10 minutes, not all the time"
    app.data_dir = folder
    app.turn(600_000)
    assert kept()[0] != "" and any([line.endswith("lines dropped") for line in event_read.lines(FOLDER)])


def test_a_crash_is_named_by_the_next_start():
    app = App(7)
    app.log.error("main", crash("the coffee machine"))
    event_log.save(app, True)
    app = App(8)
    event_log.begin(app)
    app.turn()
    last = kept()[-1]
    assert last.startswith("W start: boot 8,")
    assert last.endswith("it had crashed in main, 1 times: ValueError: the coffee machine"), last
    app = App(9)
    event_log.begin(app)
    app.turn()
    assert kept()[-1].startswith("I start: boot 9,") and "crashed" not in kept()[-1]


def test_a_crash_loop_fills_nothing():
    app = App(1)
    app.log.warn("a", "what was before")
    app.turn()
    for boot in range(2, 500):
        app = App(boot)
        event_log.begin(app)
        app.turn()
        app.log.error("main", crash())
        event_log.save(app, True)
    assert kept()[0] == "W a: what was before"
    assert event_read.worn(FOLDER)[0] < 2000
    assert len(os.listdir(FOLDER)) == 2
    app = App(500)
    event_log.begin(app)
    assert "it had crashed in main, 498 times: ValueError: boom" in app.log.lines[-1]


def test_starts_that_failed_are_named():
    event_log.failed(FOLDER, crash("no board"))
    event_log.failed(FOLDER, crash("no board"))
    app = App(5)
    event_log.begin(app)
    app.turn()
    assert kept()[-1].endswith("it had crashed in start, 2 times: ValueError: no board")
    assert "launch-failed.txt" not in os.listdir(FOLDER)


def test_times_for_people():
    app = App(3)
    app.log.warn("a", "before the clock is set")
    app.turn()
    app.clock.set_utc(1_768_989_150)
    app.turn(100_000)
    app.log.warn("a", "afterwards")
    app.turn()
    lines = list(event_read.told(app, lambda utc: True))
    assert lines[0] == "-- boot 3, an unknown time at 0 s" and lines[1].endswith("W a: before the clock is set")
    assert lines[2] == "-- boot 3, 2026-01-21T09:54:10Z at 100 s" and lines[3].endswith("W a: afterwards"), lines
    times = []
    list(event_read.told(app, times.append))
    assert times == [None, 1_768_989_250], times
    assert next(event_read.told(app, lambda utc: utc is not None)).startswith("-- boot 3, 2026")
