"""drivers/power/rivot_can: cycles, set-points, the off path, echoes, terminal values, health."""

import asyncio
import random
import struct
import time

import micropython
from fakes import PERIOD, FakeCan, FakeClock, virtual_run
from test_drivers_slcan import Adapter

from drivers.can import FLAG_EXT, FLAG_RTR, FLAG_URGENT
from drivers.can.slcan import Slcan
from drivers.power.rivot_can import RivotModule, float_milli

CONTROL, CONTROL_ANSWER = 0x068181FE, 0x0681817E
TELEMETRY, TELEMETRY_ANSWER = 0x068182FE, 0x0681827E
POWER, STATUS, HEARTBEAT = 0x00433F01, 0x00473F01, 0x18FF50E5
ON = b"\x01\x32\x00\x00\x00\x00\x00\x00"
OFF = b"\x01\x32\x00\x01\x00\x00\x00\x00"
ZERO_CURRENT = b"\x01\x03\x00\x00\x00\x00\x00\x00"
ZERO_VOLTAGE = b"\x01\x00\x00\x00\x00\x00\x00\x00"
CHARGING = b"\x00\x00\x00\x00\x00\x00\x03\x02"


class QuietClock(FakeClock):
    """Differences as the port makes them: without big integers, so usable under heap_lock()."""

    def ticks_diff(self, later, earlier):
        return time.ticks_diff(later, earlier)

    def ticks_add(self, ticks, ms):
        return time.ticks_add(ticks, ms)


def make(**options):
    clock = FakeClock()
    return RivotModule(FakeCan(), clock, **options), clock


def drain(module):
    sent = list(module._can.sent)
    module._can.sent.clear()
    return sent


def run(module, clock, ms, step=50):
    """Tick every `step` ms; return [(ms, id, data, flags)] of what was sent."""
    sent = []
    for now in range(0, ms, step):
        module.tick()
        sent += [(now, can_id, data, flags) for can_id, data, flags in drain(module)]
        clock.advance(step)
    return sent


def power(module, volts, amperes):
    return module.feed(POWER, FLAG_EXT, struct.pack(">ff", volts, amperes))


def echo(module, data):
    return module.feed(CONTROL_ANSWER, FLAG_EXT, data)


# -- cycles


def test_both_groups_always_cycle():
    for prepare in (
        lambda module: None,
        lambda module: module.command(True, 84_000, 30_000),
        lambda module: module.command(False, 84_000, 30_000),
    ):
        for step in (10, 37, 50):
            module, clock = make()
            prepare(module)
            sent = run(module, clock, 20_000, step)
            control = [(at, data) for at, can_id, data, _ in sent if can_id == CONTROL]
            telemetry = [(at, data) for at, can_id, data, _ in sent if can_id == TELEMETRY]
            for first in (control[0][0], telemetry[0][0]):
                assert 500 <= first < 500 + step
            assert [data[1] for _, data in control[:7]] == [0x32, 0x00, 0x03, 0x32, 0x00, 0x03, 0x32]
            assert [data[1] for _, data in telemetry[:6]] == [0x84, 0x82, 0x79, 0x80, 0x83, 0x84]
            assert all([data[0] == 1 and data[2:] == bytes(6) for _, data in telemetry])
            gaps = [control[i + 1][0] - control[i][0] for i in range(len(control) - 1)]
            assert max(gaps) <= 300 and min(gaps) >= 200, (step, min(gaps), max(gaps))
            gaps = [telemetry[i + 1][0] - telemetry[i][0] for i in range(len(telemetry) - 1)]
            assert max(gaps) < 200 + step, (step, max(gaps))
            assert 96 <= len(telemetry) <= 98, len(telemetry)  # one per 200 ms, without drift


def test_cycle_goes_on_while_the_bus_is_down():
    module, clock = make()
    run(module, clock, 2000)
    module._can.up = False
    assert run(module, clock, 5000) == []
    module._can.up = True
    sent = run(module, clock, 3000)
    assert {data[1] for _, can_id, data, _ in sent if can_id == CONTROL} == {0x32, 0x00, 0x03}


def test_pause_is_not_made_up_for_by_a_burst():
    module, clock = make()
    run(module, clock, 2000)
    clock.advance(5000)
    module.tick()
    assert len(drain(module)) == 2
    clock.advance(150)
    module.tick()
    assert len(drain(module)) == 0


def test_cycle_carries_the_command():
    module, clock = make()
    assert {data for _, can_id, data, _ in run(module, clock, 2000) if can_id == CONTROL} == {
        OFF,
        ZERO_VOLTAGE,
        ZERO_CURRENT,
    }
    module.command(True, 84_000, 30_000)
    wanted = {ON, b"\x01\x00\x00\x00\x00\x01\x50\x00", b"\x01\x03\x00\x00\x00\x00\x03\x93"}
    assert drain(module) == []  # a command sends nothing by itself
    assert {data for _, can_id, data, _ in run(module, clock, 2000) if can_id == CONTROL} == wanted
    module.command(True, 71_500, 15_000)  # changed limits reach the module while it charges
    wanted = {ON, b"\x01\x00\x00\x00\x00\x01\x1e\x00", b"\x01\x03\x00\x00\x00\x00\x01\xca"}
    assert {data for _, can_id, data, _ in run(module, clock, 2000) if can_id == CONTROL} == wanted


def test_push_order():
    module, _ = make()
    module.command(True, 84_000, 90_000)
    module.push()
    assert drain(module) == [
        (CONTROL, b"\x01\x00\x00\x00\x00\x01\x50\x00", FLAG_EXT),
        (CONTROL, b"\x01\x03\x00\x00\x00\x00\x0a\xb9", FLAG_EXT),
        (CONTROL, ON, FLAG_EXT),
    ]


def test_setpoint_rounding():
    module, _ = make()
    for mv in list(range(0, 2000, 7)) + list(range(55_990, 56_010)) + [85_499, 85_500, 150_000, 1_000_000]:
        for ma in (0, 16, 17, 491, 15_000, 29_999, 110_000, 1_000_000):
            module.command(True, mv, ma)
            module.push()
            voltage, current, _ = [data for _, data, _ in drain(module)]
            raw = int.from_bytes(voltage[4:], "big")
            assert abs(raw * 1000 - mv * 1024) <= 500 and voltage[:4] == b"\x01\x00\x00\x00"
            raw = int.from_bytes(current[4:], "big")
            assert abs(raw * 10_000 - ma * 305) <= 5000 and current[:4] == b"\x01\x03\x00\x00"
    for mv, ma in ((-1, 0), (0, -1), (1_000_001, 0), (0, 1_000_001)):
        try:
            module.command(True, mv, ma)
            raise AssertionError("accepted")
        except ValueError:
            pass


def test_current_scale_is_a_setting():
    module, _ = make(current_scale_x10=1024)
    module.command(True, 84_000, 60_000)
    module.push()
    frame = drain(module)[1][1]
    assert int.from_bytes(frame[4:], "big") == 6144
    assert echo(module, frame) and module.echo_ma == 60_000


# -- off


def test_off_is_immediate_and_repeated_until_confirmed():
    module, clock = make()
    run(module, clock, 1000)
    module.command(True, 84_000, 30_000)
    module.push()
    echo(module, ON)
    power(module, 77.0, 29.0)
    drain(module)
    module.off()
    now = [(CONTROL, ZERO_CURRENT, FLAG_EXT | FLAG_URGENT), (CONTROL, OFF, FLAG_EXT | FLAG_URGENT)]
    assert drain(module) == now
    assert not module.is_off()

    def repeated(ms):
        return [(at, data) for at, _, data, flags in run(module, clock, ms) if flags & FLAG_URGENT]

    sent = repeated(1000)
    assert [at for at, data in sent if data == OFF] == list(range(100, 1000, 100)), sent
    assert [at for at, data in sent if data == ZERO_CURRENT] == list(range(100, 1000, 100))
    echo(module, OFF)
    power(module, 77.0, 0.6)
    assert len(repeated(300)) == 6  # current still flows
    power(module, 77.0, 0.4)
    assert module.is_off()
    assert repeated(1000) == []
    cycle = {data for _, can_id, data, _ in run(module, clock, 1000) if can_id == CONTROL}
    assert cycle == {OFF, ZERO_VOLTAGE, ZERO_CURRENT}  # the cycle keeps saying it


def test_off_needs_an_answer_younger_than_on():
    module, _ = make()
    echo(module, OFF)
    power(module, 80.0, 0.0)
    assert module.is_off()
    module.command(True, 84_000, 30_000)
    module.push()
    assert module.echo_on is None and not module.is_off()
    echo(module, OFF)  # the answer to the cycle's last "off"
    module.off()
    assert not module.is_off()
    echo(module, OFF)
    assert module.is_off()
    module.off()  # again: the confirmation stands
    assert module.is_off()


def test_is_off_needs_fresh_current():
    module, clock = make()
    echo(module, OFF)
    assert not module.is_off()  # no terminal frame yet
    for amperes, off in ((0.0, True), (0.499, True), (0.5, False), (-0.499, True), (-0.5, False), (30.0, False)):
        power(module, 50.0, amperes)
        assert module.is_off() == off, amperes
    power(module, 50.0, 0.0)
    clock.advance(2000)
    echo(module, OFF)
    clock.advance(1000)
    assert not module.is_off()


def test_off_on_a_dead_bus():
    module, clock = make()
    module.command(True, 84_000, 30_000)
    module._can.up = False
    module.off()
    assert run(module, clock, 1000) == []
    module._can.up = True
    sent = run(module, clock, 100)
    assert (0, CONTROL, OFF, FLAG_EXT | FLAG_URGENT) in sent, sent


def test_on_again_ends_the_repetition():
    module, clock = make()
    module.off()
    drain(module)
    module.command(True, 84_000, 5_000)
    assert not [1 for _, _, data, _ in run(module, clock, 2000) if data == OFF]


def test_off_through_slcan_allocates_nothing():
    """The whole way to the wire, with a jammed stream as well: half a line first, then off, nothing of before."""

    async def main(clock):
        adapter = Adapter()
        can = Slcan(adapter.open, clock)
        module = RivotModule(can, clock)
        task = asyncio.create_task(can.run())
        while not can.is_up:
            await asyncio.sleep_ms(10)
        adapter.answers = False
        for budget in (None, 30, 0):
            module.command(True, 84_000, 30_000)
            adapter.n, adapter.budget = 0, budget
            module.push()
            micropython.heap_lock()
            try:
                module.off()
            finally:
                micropython.heap_unlock()
            adapter.budget = None
            await asyncio.sleep_ms(30)
            lines = adapter.written().split(b"\r")
            assert lines[-3:] == [b"T068181FE80103000000000000", b"T068181FE80132000100000000", b""], lines
            before = {None: 3, 30: 2, 0: 0}[budget]  # whole lines, and those of before only if begun
            assert len(lines) == before + 3, lines
            assert not before or lines[0] == b"T068181FE80100000000015000", lines
        task.cancel()

    virtual_run(main, QuietClock(1000))


def test_tick_and_feed_allocate_nothing():
    async def main(clock):
        adapter = Adapter()
        can = Slcan(adapter.open, clock)
        module = RivotModule(can, clock)
        task = asyncio.create_task(can.run())
        while not can.is_up:
            await asyncio.sleep_ms(10)
        adapter.answers = False
        clock.advance(600)
        volts = memoryview(struct.pack(">ff", 76.4, 29.7))
        module.feed(STATUS, FLAG_EXT, CHARGING)  # the first one makes room for its raw bytes
        micropython.heap_lock()
        try:
            module.tick()
            module.feed(POWER, FLAG_EXT, volts)
            module.feed(STATUS, FLAG_EXT, CHARGING)
            module.feed(HEARTBEAT, FLAG_EXT, CHARGING)
            module.feed(CONTROL_ANSWER, FLAG_EXT, ON)
            module.feed(POWER, FLAG_EXT, ZERO_VOLTAGE)
            module.feed(0x123, FLAG_EXT, ON)
            module.is_healthy()
            module.is_off()
        finally:
            micropython.heap_unlock()
        assert module.terminal_ma() == 0 and module.is_healthy()
        task.cancel()

    virtual_run(main, QuietClock(1000))


# -- answers


def test_echoes():
    module, clock = make()
    assert module.echo_on is module.echo_mv is module.echo_ma is None
    module.command(True, 83_999, 29_990)
    module.push()
    voltage, current, on = [data for _, data, _ in drain(module)]
    assert echo(module, voltage) and abs(module.echo_mv - 83_999) <= 1
    assert echo(module, current) and abs(module.echo_ma - 29_990) <= 17
    assert module.echo_on is None
    clock.advance(1000)
    assert echo(module, on) and module.echo_on is True
    clock.advance(1999)
    assert module.echo_mv is not None and module.echo_ma is not None
    clock.advance(1)
    assert module.echo_mv is None and module.echo_ma is None
    assert module.echo_on is True
    clock.advance(1000)
    assert module.echo_on is None
    echo(module, voltage)
    module.command(True, 80_000, 29_990)
    assert module.echo_mv == 83_999  # what it acknowledged, not what it was told meanwhile


def test_refusal_is_no_acknowledgement():
    module, clock = make()
    for data in (b"\x21" + ON[1:], b"\x21\x00\x00\x00\x00\x01\x50\x00", b"\x21\x03\x00\x00\x00\x00\x03\x93"):
        assert echo(module, data)
    assert module.refused == 3 and module.bad_frames == 0
    assert module.echo_on is module.echo_mv is module.echo_ma is None
    echo(module, OFF)
    clock.advance(2900)
    echo(module, b"\x21" + ON[1:])
    assert module.echo_on is False
    clock.advance(100)
    assert module.echo_on is None  # a refusal renews nothing


def test_float_milli():
    """Against arithmetic with long integers, for the whole range, and the special values."""
    for text, wanted in (
        ("00000000", 0), ("80000000", 0), ("3f800000", 1000), ("bf800000", -1000), ("42a80000", 84_000),
        ("3a83126f", 1), ("3a1d4952", 1), ("39d1b717", 0), ("00000001", 0), ("007fffff", 0), ("43ffffff", 512_000),
        ("44000000", None), ("7f7fffff", None), ("7f800000", None), ("ff800000", None), ("7fc00000", None),
        ("7f800001", None), ("ffffffff", None),
    ):  # fmt: skip
        got = float_milli(bytes(int(text[i : i + 2], 16) for i in range(0, 8, 2)), 0)
        assert got == wanted, (text, got)
    random.seed(754)
    frame = bytearray(6)
    for _ in range(20_000):
        sign, exponent, mantissa = random.getrandbits(1), random.randint(100, 135), random.getrandbits(23)
        word = sign << 31 | exponent << 23 | mantissa
        for i in range(4):
            frame[2 + i] = word >> (24 - 8 * i) & 255
        exact = (mantissa | 0x800000) * 10**9 >> (150 - exponent)  # in 1/10**6 of a thousandth
        got = float_milli(frame, 2)
        assert abs(abs(got) * 10**6 - exact) <= 501_000, (hex(word), got)  # half a unit, and the last bits
        assert got == 0 or (got < 0) == bool(sign)
    for mv in range(0, 150_001, 13):
        assert float_milli(struct.pack(">f", mv / 1000), 0) == mv


def test_terminal_power_range():
    module, clock = make()
    powers = []
    module.on_power = lambda mv, ma: powers.append((mv, ma))
    nan, inf = float("nan"), float("inf")
    good = ((0.0, 0.0), (150.0, 400.0), (77.1875, -5.0), (-0.0, 1.84), (76.4, 301.0))
    bad = (
        (150.01, 0.0), (-0.01, 0.0), (77.0, 400.01), (77.0, -5.01), (nan, 1.0), (77.0, nan), (inf, 1.0), (77.0, inf),
        (-inf, 1.0), (77.0, -inf), (1e30, 1.0), (77.0, 1e30), (511.99, 1.0), (77.0, 512.0),
    )  # fmt: skip
    for volts, amperes in good:
        assert power(module, volts, amperes), (volts, amperes)
        assert abs(module.terminal_mv() - volts * 1000) <= 0.51 and abs(module.terminal_ma() - amperes * 1000) <= 0.51
    assert len(powers) == len(good) and powers[2] == (77_188, -5000), powers
    for n, (volts, amperes) in enumerate(bad):
        clock.advance(100)
        assert not power(module, volts, amperes), (volts, amperes)
        assert module.bad_frames == n + 1
    assert len(powers) == len(good) and module.terminal_mv() == 76_400
    clock.advance(3000 - 100 * len(bad) - 1)
    assert module.terminal_ma() == 301_000
    clock.advance(1)
    assert module.terminal_mv() is None and module.terminal_ma() is None  # the bad frames renewed nothing
    clock.advance(PERIOD - 3000)
    assert module.terminal_mv() is None


def test_status_and_raw_bytes():
    module, clock = make()
    assert module.is_charging() is None
    for tail, wanted in ((0x0302, True), (0x0301, False), (0x0300, None), (0x0303, None), (0x0202, None), (0, None)):
        data = b"\x11\x22\x33\x44\x55\x66" + tail.to_bytes(2, "big")
        assert module.feed(STATUS, FLAG_EXT, data)
        assert module.is_charging() is wanted, tail
        assert module.raw[0x4700] == data
    module.feed(STATUS, FLAG_EXT, CHARGING)
    clock.advance(2999)
    assert module.is_charging() is True
    clock.advance(1)
    assert module.is_charging() is None


def test_raw_is_bounded():
    module, _ = make()
    frame = bytearray(8)
    for function in range(256):
        frame[1] = function
        for can_id in (CONTROL_ANSWER, TELEMETRY_ANSWER):
            module.feed(can_id, FLAG_EXT, frame)
    assert len(module.raw) == 12
    assert module.echo_on is True and module.temperature_fault()


def test_temperature():
    module, clock = make()

    def answer(raw):
        assert module.feed(TELEMETRY_ANSWER, FLAG_EXT, b"\x01\x80\x00\x00" + raw.to_bytes(4, "big"))

    assert module.temperature_dc() is None and not module.temperature_fault()
    for raw, wanted in (
        (1, 0), (27_136, 265), (25_600, 250), (60 * 1024, 600), (65_534, 640), (65_536, 640), (71_680, 700),
        (127_999, 1250), (128_000, 1250),
    ):  # fmt: skip
        answer(raw)
        assert module.temperature_dc() == wanted and not module.temperature_fault(), (raw, module.temperature_dc())
    for raw in (0, 0xFFFF, 128_001, 0x01000000, 0x12346C02, 0xFFFFFFFF):
        answer(25_600)
        assert module.temperature_dc() == 250
        answer(raw)
        assert module.temperature_dc() is None and module.temperature_fault(), raw
    answer(25_600)
    assert not module.temperature_fault()
    clock.advance(3000)
    assert module.temperature_dc() is None and not module.temperature_fault()


def test_health_is_two_of_three():
    frames = ((HEARTBEAT, ON), (POWER, struct.pack(">ff", 77.0, 0.0)), (STATUS, CHARGING))
    for mask in range(8):
        module, clock = make()
        for bit in range(3):
            if mask >> bit & 1:
                module.feed(frames[bit][0], FLAG_EXT, frames[bit][1])
        healthy = mask in (3, 5, 6, 7)
        assert module.is_healthy() == healthy, mask
        clock.advance(2999)
        assert module.is_healthy() == healthy, mask
        clock.advance(1)
        assert not module.is_healthy()
    module, clock = make(timeout_ms=1000)
    for can_id, data in frames:
        module.feed(can_id, FLAG_EXT, data)
    for _ in range(10):  # answers of the request groups are no sign of health
        clock.advance(100)
        echo(module, ON)
        module.feed(TELEMETRY_ANSWER, FLAG_EXT, b"\x01\x84\x00\x00\x00\x01\x18\x00")
    assert not module.is_healthy() and module.module_mv() == 70_000


def test_wrong_frames_are_dropped():
    module, _ = make()
    for can_id, data in (
        (HEARTBEAT, ON),
        (POWER, struct.pack(">ff", 77.0, 0.0)),
        (STATUS, CHARGING),
        (CONTROL_ANSWER, ON),
        (TELEMETRY_ANSWER, b"\x01\x84\x00\x00\x00\x01\x18\x00"),
    ):
        bad = module.bad_frames
        assert not module.feed(can_id, 0, data)  # 11-bit frame: somebody else's
        assert module.bad_frames == bad
        assert not module.feed(can_id, FLAG_EXT | FLAG_RTR, b"")
        assert not module.feed(can_id, FLAG_EXT | FLAG_RTR, data)
        for size in range(8):
            assert not module.feed(can_id, FLAG_EXT, memoryview(data)[:size])
        assert module.bad_frames == bad + 10
    assert not module.is_healthy() and module.echo_on is None and module.terminal_mv() is None
    assert module.module_mv() is None and module.is_charging() is None
    for can_id in (0x1806E5F4, CONTROL, TELEMETRY, 0x0682817E, 0):
        bad = module.bad_frames
        assert not module.feed(can_id, FLAG_EXT, bytes(8)) and module.bad_frames == bad


def test_any_frame_is_survived():
    random.seed(6)
    ids = (CONTROL_ANSWER, TELEMETRY_ANSWER, POWER, STATUS, HEARTBEAT, CONTROL, 0x123)
    functions = (0, 3, 0x32, 0x79, 0x80, 0x82, 0x83, 0x84)
    module, clock = make()
    buffer = bytearray(8)
    for _ in range(6000):
        for i in range(8):
            buffer[i] = random.getrandbits(8)
        if random.getrandbits(1):
            buffer[1] = random.choice(functions)
        module.feed(random.choice(ids), random.getrandbits(2), memoryview(buffer)[: random.randint(5, 8)])
        clock.advance(random.randint(0, 300))
        module.tick()
        module._can.sent.clear()
        mv, temperature = module.terminal_mv(), module.temperature_dc()
        assert mv is None or 0 <= mv <= 150_000
        assert temperature is None or 0 <= temperature <= 1250


OFFLINE_VOLTAGE = b"\x01\x01\x00\x00\x00\x00\xc0\x00"
OFFLINE_CURRENT = b"\x01\x04\x00\x00\x00\x00\x00\x00"


def test_offline_limits_are_part_of_the_cycle_only_where_wanted():
    module, clock = make()
    assert module.is_guarded()
    assert not {OFFLINE_VOLTAGE, OFFLINE_CURRENT} & {data for _, _, data, _ in run(module, clock, 3000)}
    module, clock = make(offline_limits=True)
    at = {}
    for now, can_id, data, _ in run(module, clock, 5000):
        if can_id == CONTROL:
            at.setdefault(data, []).append(now)
    assert set(at) == {OFF, ZERO_VOLTAGE, ZERO_CURRENT, OFFLINE_VOLTAGE, OFFLINE_CURRENT}
    for times in at.values():  # each of the five as often as each of three without them
        assert all(later - earlier <= 1000 for earlier, later in zip(times, times[1:])), times


def test_offline_limits_count_only_as_long_as_the_module_holds_them():
    module, clock = make(offline_limits=True)

    def answer(data):
        return module.feed(CONTROL_ANSWER, FLAG_EXT, data)

    assert not module.is_guarded()
    assert answer(OFFLINE_VOLTAGE) and not module.is_guarded()
    assert answer(OFFLINE_CURRENT) and module.is_guarded()
    answer(b"\x01\x04\x00\x00\x00\x00\x03\x93")  # the module was reset and has its own value
    assert not module.is_guarded()
    answer(OFFLINE_CURRENT)
    assert module.is_guarded()
    answer(b"\x21\x04\x00\x00\x00\x00\x00\x00")  # refused: no younger for it
    assert module.refused == 1
    clock.advance(3000)
    assert not module.is_guarded()
    assert answer(b"\x21\x01\x00\x00\x00\x00\xc0\x00") and not module.is_guarded()
