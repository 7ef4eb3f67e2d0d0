"""lib/clock, age, fixed, log, supervisor and the virtual clock the other tests stand on."""

import asyncio

from clock import Clock
from fakes import PERIOD, FakeClock, FakeLog, virtual_run
from fixed import fixed
from fresh import Fresh
from log import Log
from supervisor import Supervisor


def test_fixed():
    for value, scale, decimals, want in (
        (8718, 2, 2, "87.18"),
        (76400, 3, 1, "76.4"),
        (76449, 3, 1, "76.4"),
        (76450, 3, 1, "76.5"),
        (999, 3, 2, "1.00"),
        (0, 3, 1, "0.0"),
        (5, 0, 2, "5.00"),
        (-1, 3, 2, "0.00"),
        (-1850, 3, 2, "-1.85"),
        (142499, 3, 0, "142"),
        (142500, 3, 0, "143"),
        (7, 2, 2, "0.07"),
    ):
        assert fixed(value, scale, decimals) == want, (value, scale, decimals, fixed(value, scale, decimals))


def test_uptime_survives_many_wraps():
    clock = FakeClock()
    for _ in range(20):
        clock.advance(3 * 24 * 3600 * 1000)
    assert clock.uptime_ms() == 60 * 24 * 3600 * 1000


def test_utc_is_unknown_until_told_and_counts_from_there():
    clock = FakeClock()
    assert clock.utc() is None and clock.utc_at(5) is None
    clock.advance(1500)
    clock.set_utc(1_769_000_000, 900)
    assert clock.utc() == 1_769_000_000
    clock.advance(100)
    assert clock.utc() == 1_769_000_001
    assert clock.utc_at(0) == 1_768_999_999  # 1.5 s earlier: .4 of the second before
    assert clock.steps == 1
    clock.set_utc(1_769_000_001)
    assert clock.steps == 1  # a correction within the second is no step


def test_real_clock_moves_forward():
    clock = Clock()
    first = clock.uptime_ms()
    while clock.uptime_ms() == first:
        pass
    assert clock.uptime_ms() > first


def test_fresh_boundaries_and_wrap():
    clock = FakeClock()
    values = Fresh(clock, 3000, 2)
    assert values.get(0) is None
    values.put(0, 70)
    values.put(1, 0)
    clock.advance(1)
    values.put(1, False)  # each has its own age
    clock.advance(2998)
    assert values.get(0) == 70 and values.get(1) is False
    clock.advance(1)
    assert values.get(0) is None and values.get(1) is False
    clock.advance(1)
    assert values.get(1) is None
    clock.advance(PERIOD - 3001)  # the same tick reading again
    assert values.get(0) is None and values.get(1) is None
    values.put(0, 71)
    assert values.get(0) == 71
    values.put(0, None)
    assert values.get(0) is None


def test_following_keeps_the_grid_but_does_not_catch_up():
    clock = FakeClock()
    due = clock.ticks_ms()
    clock.advance(30)
    assert clock.ticks_diff(clock.following(due, 100), clock.now) == 70
    clock.advance(69)
    assert clock.ticks_diff(clock.following(due, 100), clock.now) == 1
    clock.advance(1)
    assert clock.ticks_diff(clock.following(due, 100), clock.now) == 100
    clock.advance(20_000)
    assert clock.ticks_diff(clock.following(due, 100), clock.now) == 100


def test_log_is_bounded_and_never_raises():
    clock = FakeClock()

    def broken(line):
        raise OSError(28)

    log = Log(clock, broken, size=3)
    for i in range(5):
        log.info("t", i)
    assert len(log.lines) == 3 and log.dropped == 2 and log.sink_errors == 5
    assert log.lines[-1] == "0.000 I t: 4"


def test_log_keeps_whole_lines_in_one_buffer():
    log = Log(FakeClock(), None, size=4)
    assert log.lines == []
    size = len(log._ring)
    for text, kept in (("a" * 70, 1), ("b" * 70, 2), ("two\nlines", 3), ("c" * 160, 2), ("é" * 500, 2), ("é" * 80, 1)):
        log.warn("t", text)
        assert len(log.lines) == kept, (text, log.lines)
        assert all(line[:11] == "0.000 W t: " for line in log.lines), log.lines
    assert log.lines == ["0.000 W t: " + "é" * 80]
    for i in range(200):
        log.error("tag", "x" * (i % 70))
    assert len(log._ring) == size and log.sink_errors == 0
    assert log.lines[-1] == "0.000 E tag: " + "x" * 59


def test_virtual_time_costs_nothing():
    async def main(clock):
        order = []

        async def sleeper(ms):
            await asyncio.sleep_ms(ms)
            order.append((ms, clock.uptime_ms()))

        await asyncio.gather(*(sleeper(n * 3_600_000) for n in (30, 10, 20)))
        return order

    hour = 3_600_000
    assert virtual_run(main) == [(10 * hour, 10 * hour), (20 * hour, 20 * hour), (30 * hour, 30 * hour)]


def test_supervisor_makes_safe_and_backs_off():
    async def main(clock):
        log, safe, lives = FakeLog(), [], []

        async def service():
            lives.append(clock.uptime_ms())
            if len(lives) < 4:
                raise OSError(5)
            if len(lives) == 4:
                await asyncio.sleep_ms(31_000)
                return
            await asyncio.sleep_ms(10_000_000)

        sup = Supervisor(clock, log, lambda: safe.append(clock.uptime_ms()))
        sup.start("s", service, critical=True)
        try:
            sup.start("s", service)
            raise AssertionError("a name twice")
        except ValueError:
            pass
        await asyncio.sleep_ms(60_000)
        assert lives == [0, 500, 1500, 3500, 35_000], lives
        assert len(safe) == 4 and sup.restarts["s"] == 4
        await sup.stop("s")
        assert len(safe) == 5  # cancellation makes safe too
        await sup.stop("s")
        assert [line[0] for line in log.lines] == ["E", "E", "E", "W"]

    virtual_run(main)
