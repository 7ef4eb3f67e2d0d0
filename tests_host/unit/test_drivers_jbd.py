"""drivers/bms/jbd_uart: vectors, permission, ages, noise, the rhythm of the requests, the life of the line."""
# heapsize: 2m

import asyncio

import micropython
from clock import Clock
from fakes import PERIOD, FakeClock, FakeLog, virtual_run
from uart_bench import Line, Stream, jbd_basic, jbd_frame, vectors

from charger.build_uart import bms as build
from drivers.bms.daly_uart import Daly
from drivers.bms.jbd_uart import Jbd
from drivers.bms.uart import UartBms

REQUEST = bytes.fromhex("DDA50300FFFD77")
ANY_PACK = (0, 150_000)
FORBIDDING = (0, 2, 4, 5, 8, 10, 11, 12, 13, 14, 15)


def line(**options):
    return Line(Jbd(), **options)


# -- frames


def test_vectors():
    seen = 0
    for row in vectors("jbd"):
        one = line(window=ANY_PACK)
        one.hear(row["bytes"])
        name, wanted, bms = row["name"], row.get("decoded", {}), one.bms
        if name in ("basic_oversized", "leading_garbage"):
            continue  # below
        if "voltage_V" not in wanted:
            assert one.known() == (False, False, 0, 0, None, None, None, None, False), name
            assert bms.bad_frames == (1 if row.get("error") in ("error_status_0x80", "payload_too_short") else 0), name
            continue
        seen += 1
        mv = int(wanted["voltage_V"] * 1000 + 0.5)
        assert bms.is_alive() and bms.soc == wanted["soc_percent"] * 100, name
        assert bms.pack_mv == (mv or None), name
        hottest = max(wanted["temperatures_C"]) if wanted["temperatures_C"] else None
        assert bms.temperature_dc == (None if hottest is None else round(hottest * 10)), name
        assert bms.capacity_ah == (int(wanted["nominal_Ah"] + 0.5) or None), name
        clear = not any([wanted["protection"] >> bit & 1 for bit in FORBIDDING])
        assert bms.permits() == (bool(mv) and wanted["charge_fet"] and clear), name
    assert seen == 18, seen


def test_vectors_between_other_bytes():
    rows = {row["name"]: row["bytes"] for row in vectors("jbd")}
    one = line(window=ANY_PACK)
    one.hear(rows["basic_oversized"])
    assert one.bms.pack_mv == 15_600 and len(one.found) == 1 and len(one.found[0][0]) == 36
    one = line(window=ANY_PACK)
    one.hear(b"\x00" + rows["basic_freezing"])
    assert one.bms.pack_mv == 76_800 and one.bms.temperature_dc == 0 and not one.bms.permits()


def test_permission_needs_everything():
    one = line()
    one.hear(jbd_basic())
    assert one.known() == (True, True, 84_000, 30_000, 6200, 76_400, 270, 90, False)
    for bit in range(16):
        one.hear(jbd_basic(protection=1 << bit))
        assert one.bms.is_alive() and one.bms.permits() == (bit not in FORBIDDING), bit
    for fets in range(4):
        one.hear(jbd_basic(fets=fets))
        assert one.bms.permits() == bool(fets & 1), fets
    one.hear(jbd_frame(b"", status=0x80))
    assert one.bms.bad_frames == 1 and one.bms.permits()  # an error says nothing new


def test_pack_of_another_kind_is_not_permitted():
    for centivolt, ok in ((0, 0), (5600, 0), (5601, 1), (8549, 1), (8550, 0), (0xFFFF, 0)):
        one = line()
        one.hear(jbd_basic(centivolt))
        bms = one.bms
        assert bms.is_alive() and bms.permits() == bool(ok) and bms.bad_frames == 1 - ok, centivolt
        assert bms.pack_mv == (centivolt * 10 if ok else None)


def test_no_limits_no_permission():
    for limits in ((0, 30_000), (84_000, 0), (0, 0)):
        one = line(limits=limits)
        one.hear(jbd_basic())
        assert one.bms.is_alive() and not one.bms.permits() and (one.bms.max_mv, one.bms.max_ma) == limits


def test_implausible_values_are_unknown():
    one = line()
    one.hear(jbd_basic())
    one.hear(jbd_basic(soc=101))
    assert one.bms.soc is None and one.bms.permits() and one.bms.bad_frames == 1
    one.hear(jbd_basic(sensors=(2330, 3982, 2980)))  # -40.1 degC, 125.1 degC: not connected
    assert one.bms.temperature_dc == 249 and one.bms.bad_frames == 3
    one.hear(jbd_basic(sensors=(0, 0xFFFF)))
    assert one.bms.temperature_dc is None and one.bms.bad_frames == 5
    one.hear(jbd_basic(sensors=()))
    assert one.bms.temperature_dc is None and one.bms.bad_frames == 5 and one.bms.permits()
    one.hear(jbd_basic(nominal=0))
    assert one.bms.capacity_ah is None
    for current, tail, ok in (
        (32_767, b"", 1), (-32_768, b"", 1), (5000, b"\x80", 1), (5001, b"\x80", 0), (-5001, b"\x80", 0),
        (5001, b"\x7f", 1),
    ):  # fmt: skip
        one = line()
        one.hear(jbd_basic())
        one.hear(jbd_basic(current=current, tail=tail))
        assert one.bms.permits() == bool(ok) and one.bms.bad_frames == 1 - ok, current
        assert (one.bms.soc is None, one.bms.pack_mv is None) == (not ok, not ok) and one.bms.is_alive()
    one.hear(jbd_basic(tail=b"\x80", nominal=900))
    assert one.bms.capacity_ah == 90
    data = jbd_basic()[4:-3]
    one.hear(jbd_frame(data[:22] + b"\x03" + data[23:]))  # three sensors, room for two
    assert one.bms.is_alive() and not one.bms.permits() and one.bms.soc is None


def test_every_value_expires():
    one = line()
    one.hear(jbd_basic())
    one.clock.advance(2999)
    assert one.known() == (True, True, 84_000, 30_000, 6200, 76_400, 270, 90, False) and one.bms.silent_ms() == 2999
    one.clock.advance(1)
    gone = (False, False, 0, 0, None, None, None, None, False)
    assert one.known() == gone
    one.clock.advance(PERIOD - 3000)  # the tick counter shows the same reading again
    assert one.known() == gone and one.bms.silent_ms() == PERIOD
    one.hear(jbd_basic())
    assert one.bms.permits()
    one.bms.new_vehicle()
    assert one.known() == (True, False, 84_000, 30_000, None, None, None, None, False)
    one.bms.tick()
    assert one.asked() == [REQUEST]  # at once


# -- noise


def test_good_frame_behind_every_kind_of_garbage():
    good = jbd_basic()
    for garbage in (
        b"\x00", b"\xdd", b"\xdd\x03", b"\xdd\x03\x00", b"\xdd\x03\x00\x40", b"\xdd\x03\x00\x40" * 17, REQUEST,
        b"\xdd" * 300, good[:-1], good[:4], good[:30] + good[31:], b"\xdd\x03\x80\x40", bytes(range(256)),
        b"\xdd\x03\x00\x1b" + bytes(12),
        jbd_frame(bytes(30), register=4), good[:-1] + b"\xdd",
    ):  # fmt: skip
        for cut in (1, 5, 64):
            one = line()
            data = garbage + good
            for start in range(0, len(data), cut):
                one.hear(data[start : start + cut])
            assert [frame for frame, _ in one.found] == [good], (garbage, cut)
            assert one.bms.permits() and one.bms._kept < 71
            one.hear(good + good)
            assert len(one.found) == 3


def test_one_flipped_bit_is_no_frame():
    good = jbd_basic()
    for bit in range(8 * len(good)):
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        one = line()
        one.hear(bad)
        assert not one.found and not one.bms.is_alive(), bit


class Sink:
    def write(self, buf, start, size):
        return size


def test_receiving_allocates_nothing():
    one = line(clock=Clock())
    bms = one.bms
    bms.on_frame = None
    bms._stream = Sink()
    good = jbd_basic(tail=bytes(9))
    noise = b"\xdd\x03\x00\x40" + bytes(40), bytes(range(200, 256)), REQUEST
    chunks = [good[:20], good[20:], noise[0], noise[1], good, noise[2], jbd_basic(soc=200)]
    view = bms._view
    for _ in range(3):
        for chunk in chunks:
            n = len(chunk)
            for i in range(n):
                view[i] = chunk[i]
            micropython.heap_lock()
            try:
                bms._parse(n)
                bms.permits()
                if chunk is good:
                    bms._now()
                    bms.tick()
            finally:
                micropython.heap_unlock()
    assert bms.counters()["rx"] == bms.counters()["tx"] * 3 == 9


# -- rhythm


def test_polls_twice_a_second_and_nothing_else():
    one = line()
    asked = one.run(5000, lambda request: jbd_basic())
    assert all([request == REQUEST for _, request in asked])
    times = [at for at, _ in asked]
    assert times[:4] == [0, 450, 900, 1350], times
    assert one.bms.unanswered == 0 and one.bms.counters()["rx"] == len(asked) == one.bms.counters()["tx"]


def test_lost_answer_is_asked_for_again():
    one = line()
    answers = [True, False, True, True]
    asked = one.run(1500, lambda request: jbd_basic() if answers.pop(0) else None)
    assert [at for at, _ in asked] == [0, 450, 1050, 1500][:3]
    assert one.bms.unanswered == 1 and one.bms.silent_ms() < 500


def test_back_off_while_nobody_answers():
    one = line()
    times = [at for at, _ in one.run(10_000)]
    assert times == [0, 600, 2000, 2600, 4000, 4600, 6000, 6600, 8000, 8600], times
    assert not one.bms.is_alive() and one.bms.unanswered == 10
    one.run(1000, lambda request: jbd_basic())
    assert one.bms.is_alive()
    for _ in range(10):
        one.run(60_000, None, 50)
    assert one.bms._misses < 1000
    one.run(2000, lambda request: jbd_basic())
    assert one.bms.permits()


def test_sleeping_board_wakes_up():
    """It loses the first request after a pause; the repeat is answered, and that makes no pause."""
    one = line()
    asleep = [True]

    def answer(request):
        return None if asleep and asleep.pop() else jbd_basic()

    assert [at for at, _ in one.run(1200, answer)][:3] == [0, 600, 1050]
    assert one.bms.permits()


def test_late_answer_counts():
    one = line()
    one.run(500)
    one.hear(jbd_basic())
    assert one.bms.permits()
    assert [at for at, _ in one.run(500, lambda request: jbd_basic())] == [450]


def test_line_that_takes_nothing_is_silence():
    one = line()
    one.stream.accepts = 3
    assert [at for at, _ in one.run(1500, lambda request: jbd_basic() if len(request) == 7 else None)] == [0, 600]
    one.stream.accepts = 0
    one.run(5000)
    assert not one.bms.is_alive() and one.bms.unanswered > 4
    one.stream.accepts = 100
    one.run(1500, lambda request: jbd_basic())
    assert one.bms.permits()


def test_half_answer_is_forgotten_with_the_next_request():
    one = line()
    one.run(10)
    one.hear(jbd_basic()[:20])
    assert one.bms._kept == 20
    one.run(600)
    assert one.bms._kept == 0


# -- the line


def test_life_of_the_line():
    async def main(clock):
        streams = []

        async def open_stream():
            streams.append(Stream())
            return streams[-1]

        bms = UartBms(Jbd(), open_stream, clock, 84_000, 30_000, 56_000, 85_500)
        assert not bms.is_up
        bms.tick()  # nothing to ask yet
        heard = []
        bms.on_frame = lambda at, size, data: heard.append(bms.feed(at, size, data))
        for end in ("eof", "read"):
            task = asyncio.create_task(bms.run())
            await asyncio.sleep_ms(10)
            assert bms.is_up
            stream = streams[-1]
            bms.tick()
            assert stream.written == [REQUEST]
            stream.put(b"\x00" + jbd_basic())
            await asyncio.sleep_ms(10)
            assert heard.pop() is True and bms.permits()
            if end == "eof":
                stream.put(b"\x00EOF")
            else:
                stream.broken = OSError(5)
                await asyncio.sleep_ms(600)
                bms.tick()  # writing does not raise
                assert bms.counters()["tx"] == 3 and bms.is_up
                stream.put(b"")
            try:
                await asyncio.wait_for_ms(task, 200)
                raise AssertionError(end)
            except OSError:
                pass
            assert not bms.is_up and stream.closed == 1, end
        assert bms.counters()["reopened"] == 1
        assert bms.permits()  # until it is too old: the gate is off because the line is down

    virtual_run(main)


def test_line_that_does_not_open():
    async def main(clock):
        for failure in (OSError(111), asyncio.TimeoutError()):

            async def open_stream(failure=failure):
                raise failure

            bms = UartBms(Jbd(), open_stream, clock, 84_000, 30_000, 56_000, 85_500)
            try:
                await bms.run()
                raise AssertionError
            except OSError:
                assert not bms.is_up

    virtual_run(main)


def test_a_cancelled_service_closes_the_line():
    async def main(clock):
        stream = Stream()

        async def open_stream():
            return stream

        bms = UartBms(Jbd(), open_stream, clock, 84_000, 30_000, 56_000, 85_500)
        task = asyncio.create_task(bms.run())
        await asyncio.sleep_ms(10)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            pass
        assert stream.closed == 1 and not bms.is_up
        bms.tick()
        assert stream.written == []

    virtual_run(main)


# -- how the charger makes one


class App:
    def __init__(self):
        self.clock, self.log = FakeClock(), FakeLog()
        self.specs = []

    def opener(self, spec):
        self.specs.append(spec)


def test_built_from_board_and_settings():
    values = {
        "vehicle.max_mv": 82_000, "vehicle.max_ma": 20_000, "power.window_low_mv": 56_000,
        "power.window_high_mv": 85_500, "vehicle.bms_timeout_ms": 10_000,
    }  # fmt: skip
    for kind, protocol in (("jbd_uart", Jbd), ("daly_uart", Daly)):
        app = App()
        bms = build(app, 1, (kind, ("uart", 2)), values.get)
        assert isinstance(bms._protocol, protocol) and app.specs == [("uart", 2)] and app.log.lines == []
        bms.answered()
        assert (bms.max_mv, bms.max_ma) == (82_000, 20_000)
        bms.put_pack(56_000)
        assert bms.pack_mv is None
        bms.put_pack(56_001)
        assert bms.pack_mv == 56_001
        app.clock.advance(2999)
        assert bms.is_alive()
        app.clock.advance(1)  # 3 s, whatever the setting says
        assert not bms.is_alive() and bms.pack_mv is None
    try:
        build(App(), 1, ("lin_uart", ""), values.get)
        raise AssertionError
    except ValueError as exc:
        assert "lin_uart" in str(exc)
    for name in ("vehicle.max_mv", "vehicle.max_ma"):
        app, less = App(), dict(values)
        less[name] = 0
        build(app, 2, ("jbd_uart", ""), less.get)
        assert [(level, tag) for level, tag, _ in app.log.lines] == [("W", "bms2")]
