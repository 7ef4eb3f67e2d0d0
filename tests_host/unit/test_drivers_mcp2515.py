# heapsize: 2m
# timeout: 300
"""drivers/can/mcp2515 on the register-level model: set-up, receiving, sending, interrupts anywhere, loss."""

import asyncio
import random

import micropython
from can_bench import CanBench
from fakes import virtual_run
from mcp2515_chip import (
    CANINTE,
    CANINTF,
    CNF1,
    CNF2,
    CNF3,
    EFLG,
    NORMAL,
    RX0IF,
    RX1IF,
    RXB0CTRL,
    RXB1CTRL,
    Chip,
    PlainClock,
    Spi,
    WireClock,
)

from drivers.bms.rivot_can import SOC_SOURCES, RivotBms
from drivers.can import FLAG_EXT, FLAG_RTR, FLAG_URGENT, CanError, mcp2515, mcp2515_setup, rivot_ids
from drivers.can.mcp2515 import Mcp2515, spi_lock
from drivers.power.rivot_can import RivotModule

IDS = (0x1806E5F4, 0x160B8001, 0x160D8001, 0x18904001, 0x18924001)
LIMITS = (0x1806E5F4, FLAG_EXT, b"\x03\x48\x01\x2c\x00\x00\x00\x00")
URGENT = FLAG_EXT | FLAG_URGENT
OFF = (0x068181FE, b"\x01\x32\x00\x01\x00\x00\x00\x00", FLAG_EXT)
ZERO = (0x068181FE, b"\x01\x03\x00\x00\x00\x00\x00\x00", FLAG_EXT)


class Bench(CanBench):
    """A driver on a chip; `async with` runs it, set up, in the virtual clock's loop."""

    def __init__(self, clock, ids=IDS, spi=None, **options):
        self.clock = clock
        self.chip = Chip(spi)
        self.chip.elapse(1000)
        clock.chips.append(self.chip)
        super().__init__(Mcp2515(self.chip.spi, self.chip.cs, self.chip.int_pin, clock, ids=ids, **options))

    async def __aenter__(self):
        self.begin()
        await self.up()
        return self

    async def __aexit__(self, kind, *_):
        await self.end()
        if kind is None:
            assert self.chip.violations == 0, self.chip.violations
            assert spi_lock == [None, None]

    def hear(self, *frames):
        return [self.chip.arrive(*frame) for frame in frames]


def bench(test, clock=None, **options):
    """Run `test(bench, clock)` on a controller that is up, under a virtual clock."""

    async def main(clock):
        async with Bench(clock, **options) as it:
            await test(it, clock)

    virtual_run(main, clock or WireClock())


async def settle(ms=10):
    await asyncio.sleep_ms(ms)


def bits_at(registers, base):
    return bytes(registers[base : base + 4])


# -- bit timing, filters, set-up


def test_bit_timings_are_what_they_say():
    for oscillator, bitrate, cnf1, cnf2, cnf3 in mcp2515_setup.TIMINGS:
        prescaler, jump = (cnf1 & 63) + 1, (cnf1 >> 6) + 1
        assert cnf2 & 0x80  # phase 2 from CNF3
        propagation, phase1, phase2 = (cnf2 & 7) + 1, (cnf2 >> 3 & 7) + 1, (cnf3 & 7) + 1
        quanta = 1 + propagation + phase1 + phase2
        assert oscillator == bitrate * quanta * 2 * prescaler, (oscillator, bitrate)
        assert 5 <= quanta <= 25 and propagation + phase1 >= phase2 >= 2 and jump < phase2
        point = 100 * (1 + propagation + phase1) // quanta
        assert point == (75 if quanta == 8 else 81), point
        assert mcp2515_setup.registers(oscillator, bitrate)[:3] == bytes((cnf3, cnf2, cnf1))
    assert len(set([row[:2] for row in mcp2515_setup.TIMINGS])) == 6


def test_unknown_pair_of_crystal_and_bitrate():
    clock = WireClock()
    chip = Chip()
    for bitrate, oscillator in ((1_000_000, 8_000_000), (250_000, 12_000_000), (250_001, 8_000_000)):
        try:
            Mcp2515(chip.spi, chip.cs, chip.int_pin, clock, bitrate, oscillator)
            raise AssertionError("accepted")
        except ValueError as exc:
            assert "bit timing" in str(exc)


def test_registers_after_the_set_up():
    async def check(it, clock):
        r = it.chip.registers
        assert (r[CNF1], r[CNF2], r[CNF3]) == (0x40, 0xAD, 0x02)
        assert r[RXB0CTRL] == 4 and r[RXB1CTRL] == 0 and r[CANINTE] == 0x23 and it.chip.mode == NORMAL
        assert it.chip.read(0x0F) == 0  # no one-shot, no clock output
        assert bits_at(r, 0x20) == bits_at(r, 0x24) == b"\xff\xe3\xff\xff"
        assert bits_at(r, 0x00) == b"\xc0\x2a\xe5\xf4"
        assert it.chip.resets == 1

    bench(check)


def test_each_bit_rate_and_crystal():
    for oscillator, bitrate, cnf1, cnf2, cnf3 in mcp2515_setup.TIMINGS:

        async def check(it, clock, wanted=(cnf1, cnf2, cnf3)):
            r = it.chip.registers
            assert (r[CNF1], r[CNF2], r[CNF3]) == wanted

        bench(check, bitrate=bitrate, oscillator=oscillator)


def test_filters_let_these_identifiers_pass_and_no_other():
    random.seed(21)
    near = []
    for can_id in IDS:
        near += [can_id ^ 1 << bit for bit in range(29)]
    for count in range(1, 7):
        ids = tuple([random.getrandbits(29) for _ in range(count)])

        async def check(it, clock, ids=ids):
            for can_id in ids:
                assert it.chip.arrive(can_id, FLAG_EXT, b""), hex(can_id)
                await settle()
            strangers = near + [random.getrandbits(29) for _ in range(50)] + [0, 0x1FFFFFFF]
            for can_id in strangers:
                if can_id not in ids:
                    assert not it.chip.arrive(can_id, FLAG_EXT, b""), hex(can_id)
            for can_id in ids:
                assert not it.chip.arrive(can_id >> 18, 0, b"")  # 11 bits with the same beginning
            assert len(it.frames) == count

        bench(check, ids=ids)


def test_many_identifiers_share_a_mask_and_software_drops_the_rest():
    ids = IDS + (0x18934001, 0x18944001, 0x18954001)

    async def check(it, clock):
        for can_id in ids:
            assert it.chip.arrive(can_id, FLAG_EXT, b"")
            await settle()
        assert len(it.frames) == len(ids)
        passed = 0
        for bit in range(29):
            if it.chip.arrive(0x18904001 ^ 1 << bit, FLAG_EXT, b""):
                passed += 0x18904001 ^ 1 << bit not in ids
            await settle()
        assert passed and it.count("bad") == passed  # wide, but nobody is told
        assert all(frame[0] in ids for frame in it.frames)

    bench(check, ids=ids)


def test_identifiers_of_the_boards_are_those_that_the_drivers_read():
    both = rivot_ids.BMS + rivot_ids.MODULE
    near = [can_id ^ 1 << bit for can_id in both for bit in range(29)]
    clock = WireClock()
    module = RivotModule(None, clock)
    vehicles = [RivotBms(None, clock, source) for source in SOC_SOURCES]
    for can_id in both + tuple(near):
        for drivers, ids in ((vehicles, rivot_ids.BMS), ([module], rivot_ids.MODULE)):
            before = sum([driver.bad_frames for driver in drivers])
            for driver in drivers:
                assert not driver.feed(can_id, FLAG_EXT | FLAG_RTR, b"")  # only frames of his own does he count as bad
            known = sum([driver.bad_frames for driver in drivers]) > before
            assert known == (can_id in ids), hex(can_id)


def test_filter_of_an_impossible_identifier():
    for can_id in (-1, 1 << 29):
        try:
            mcp2515_setup.filters((1, can_id))
            raise AssertionError("accepted")
        except ValueError:
            pass


async def refusal(it):
    it.begin()
    error = await it.ends()
    assert isinstance(error, CanError), error
    return str(error)


def test_set_up_says_what_is_wrong():
    async def main(clock):
        it = Bench(clock)
        for level in (0x00, 0xFF):
            it.chip.vanish(level)
            text = await refusal(it)
            assert "no MCP2515" in text and "MISO" in text and "chip select" in text, text
        it.chip.dead = None
        it.chip.corrupt = lambda byte: byte >> 1
        assert "SPI wires" in await refusal(it)
        it.chip.corrupt = lambda byte: byte | 0x10
        assert "no MCP2515" in await refusal(it)
        reads = []

        def late(byte):  # the first answers are good
            reads.append(1)
            return byte if len(reads) < 9 else byte ^ 0x40

        it.chip.corrupt = late
        text = await refusal(it)
        assert "register 0x" in text and "slower clock" in text, text
        it.chip.corrupt = None
        it.chip.dominant = True
        text = await refusal(it)
        assert "never idle" in text and "short circuit" in text, text
        it.chip.dominant = False
        it.begin()
        await it.up()
        assert it.count("reopened") == 0  # that is the first life
        await it.end()

    virtual_run(main, WireClock())


def test_spi_that_raises_ends_the_life_with_it():
    async def check(it, clock):
        it.chip.spi.fails = OSError(116)
        assert isinstance(await it.ends(), OSError)
        assert it.can.send(*OFF[:2], URGENT) is False  # and nobody else sees it
        it.chip.spi.fails = None
        it.begin()
        await it.up()

    bench(check)


# -- receiving


def test_receive_all_kinds():
    frames = [
        LIMITS,
        (0x7FF, 0, b"\xa1\xb2"),
        (0, FLAG_EXT, b""),
        (0x1FFFFFFF, FLAG_EXT, b"\xff"),
        (0, 0, b""),
        (0x123, 0, b"\xff" * 8),
        (0x18FF50E5, FLAG_EXT | FLAG_RTR, b""),
        (0x5F4, FLAG_RTR, b""),
        (0x15555555, FLAG_EXT, bytes(range(8))),
        (0x0AAAAAAA, FLAG_EXT, b"\x01\x02\x03"),
    ]

    async def check(it, clock):
        for frame in frames:
            assert it.hear(frame) == [True]
            await settle()
        assert it.frames == frames, it.frames
        it.frames.clear()
        it.chip.arrive(0x18FF50E5, FLAG_EXT | FLAG_RTR, bytes(5))  # a remote frame has no data, whatever its length
        it.chip.arrive(1, FLAG_EXT, bytes(range(15)))  # a length of 9 to 15 means 8
        await settle()
        assert it.frames == [(0x18FF50E5, FLAG_EXT | FLAG_RTR, b""), (1, FLAG_EXT, bytes(range(8)))]
        assert it.count("rx") == 12 and it.count("bad") == 0

    bench(check, ids=())


def test_receiving_goes_on_while_sending_waits():
    """All flags of the status at once: both receive buffers full, three frames that get no turn on the bus."""

    async def check(it, clock):
        for n in range(6):
            it.can.send(n, b"")  # three at a time: each buffer has sent
            if n % 3 == 2:
                await settle(20)
        it.chip.occupied = True
        for n in range(3):
            assert it.can.send(n, b"")
        it.chip.int_pin.edges_lost = True
        for _ in range(5):
            assert all(it.hear(LIMITS, LIMITS))
            await settle(6)
        assert it.frames == [LIMITS] * 10

    bench(check)


def test_frames_wait_for_the_task_in_order():
    async def check(it, clock):
        sent = [(IDS[n % 5], FLAG_EXT, bytes([n])) for n in range(15)]
        assert all(it.hear(*sent))  # each is taken by the interrupt before the next one
        assert it.frames == [] and it.chip.int_pin() == 1
        await settle()
        assert it.frames == sent

    bench(check)


def test_ring_full_then_the_chip_then_counted():
    async def check(it, clock):
        taken = it.hear(*[(IDS[0], FLAG_EXT, bytes([n])) for n in range(20)])
        assert taken == [True] * 17 + [False] * 3  # 15 in the ring, 2 in the chip
        await settle(20)
        assert [frame[2][0] for frame in it.frames] == list(range(17))
        assert it.count("overrun") == 1 and it.chip.registers[EFLG] & 0xC0 == 0 and it.chip.int_pin() == 1
        it.hear(LIMITS)
        await settle()
        assert it.frames[-1] == LIMITS

    bench(check)


def test_rolled_over_frame_comes_before_the_next_one():
    async def check(it, clock):
        it.chip.int_pin.edges_lost = True
        order = []

        def slowly():  # while RXB0 is read, RXB1 and then RXB0 fill again
            if it.chip.spi.transfers == at + 2 and not order:
                order.append(1)
                it.chip.arrive(IDS[0], FLAG_EXT, b"\x01")
            elif order == [1] and not it.chip.selected and not it.chip.registers[CANINTF] & RX0IF:
                order.append(2)
                it.chip.arrive(IDS[0], FLAG_EXT, b"\x02")

        it.hear((IDS[0], FLAG_EXT, b"\x00"))
        at = it.chip.spi.transfers
        it.chip.spi.hook = slowly
        await settle()
        it.chip.spi.hook = None
        assert order == [1, 2]
        assert [frame[2] for frame in it.frames] == [b"\x00", b"\x01", b"\x02"], it.frames

    bench(check)


def test_poll_finds_what_had_no_edge():
    async def check(it, clock):
        it.chip.int_pin.edges_lost = True
        for n in range(10):
            assert it.hear(LIMITS, LIMITS) == [True, True]
            await settle(6)
            assert len(it.frames) == 2 * n + 2
        assert it.count("int_faults") == 0

    bench(check)


def test_interrupt_line_stuck_high():
    async def check(it, clock):
        it.chip.int_pin.forced = 1
        it.hear(LIMITS)
        await settle(110)
        assert it.frames == [] or len(it.frames) == 1
        for _ in range(50):
            assert it.hear(LIMITS, LIMITS)[0]
            await settle(10)
        assert len(it.frames) == 101 and it.count("int_faults") == 1 and it.can.is_up
        it.chip.int_pin.forced = None
        it.hear(LIMITS)
        await settle(300)
        assert it.count("int_faults") == 1 and len(it.frames) == 102
        it.chip.int_pin.forced = 1  # and again
        it.hear(LIMITS)
        await settle(210)
        assert it.count("int_faults") == 2 and len(it.frames) == 103

    bench(check)


def test_interrupt_line_stuck_low():
    async def check(it, clock):
        it.chip.int_pin.forced = 0
        await settle(20)
        assert it.count("int_faults") == 1
        for _ in range(50):
            assert all(it.hear(LIMITS, LIMITS))
            await settle(10)
        assert len(it.frames) == 100 and it.count("int_faults") == 1 and it.can.is_up
        it.chip.int_pin.forced = None
        it.hear(LIMITS)
        await settle(200)
        assert len(it.frames) == 101

    bench(check)


def test_full_bus_of_our_own_frames():
    """1,900 accepted frames a second, against two receive buffers: the interrupt takes them all."""

    async def check(it, clock):
        sent = []

        def traffic(ms):
            for _ in range(2 if ms % 10 else 1):
                data = bytes([len(sent) >> 8, len(sent) & 255])
                assert it.chip.arrive(IDS[len(sent) % 5], FLAG_EXT, data)
                sent.append(data)

        clock.traffic = traffic
        await settle(1000)
        clock.traffic = None
        await settle()
        assert len(sent) >= 1900 and [frame[2] for frame in it.frames] == sent
        assert it.count("overrun") == 0 and it.chip.n_lost == 0

    bench(check)


def test_full_bus_of_foreign_frames_costs_nothing():
    async def check(it, clock):
        before = it.chip.spi.transfers

        def traffic(ms):
            for n in range(2):
                it.chip.arrive(0x10000000 + 2 * ms + n, FLAG_EXT, bytes(8))
            if ms % 100 == 0:
                it.chip.arrive(*LIMITS)

        clock.traffic = traffic
        await settle(2000)
        clock.traffic = None
        assert len(it.frames) == 20 and it.count("bad") == 0
        assert it.chip.spi.transfers - before < 20 * 3 + 25

    bench(check)


def test_misread_identifier_reaches_nobody():
    async def check(it, clock):
        for flip in (0x80, 0x01, 0xFF):
            seen = []

            def corrupt(byte, flip=flip, seen=seen):
                seen.append(1)
                return byte ^ flip if byte == 0xE5 else byte  # a byte of the identifier

            it.chip.corrupt = corrupt
            it.hear(LIMITS)
            await settle()
            it.chip.corrupt = None
        assert it.frames == [] and it.count("bad") == 3 and it.can.is_up

    bench(check)


def test_misread_status_renews_nothing():
    """A status byte that wrongly says "received" must not deliver the old frame again."""

    async def check(it, clock):
        it.hear(LIMITS)
        await settle()
        random.seed(22)
        wrong = [0]

        def corrupt(byte):
            if random.getrandbits(3) == 0:
                wrong[0] += 1
                return byte | 1
            return byte

        it.chip.int_pin.forced = 0  # so that the status is read at every poll
        it.chip.corrupt = corrupt
        for _ in range(200):
            if not it.can.is_up:
                break
            await settle(5)
        it.chip.corrupt = None
        assert wrong[0] > 100
        # a doubled error that also looks like a frame: rare, and bounded
        assert len(it.frames) <= 1 + 200 // 20, len(it.frames)

    bench(check)


def test_callback_bug_reaches_the_supervisor():
    async def check(it, clock):
        def broken(can_id, flags, data):
            raise RuntimeError("bug")

        it.can.on_frame = broken
        it.hear(LIMITS)
        assert isinstance(await it.ends(), RuntimeError)

    bench(check)


def test_a_whole_life_allocates_nothing():
    """The heap is locked from the end of one sleep to the next."""
    seen = [0]

    class Asyncio:
        locked = False
        active = False

        def sleep_ms(self, ms):
            if Asyncio.locked:
                Asyncio.locked = False
                micropython.heap_unlock()
            return self._sleep(ms)

        async def _sleep(self, ms):
            await asyncio.sleep_ms(ms)
            if Asyncio.active:
                Asyncio.locked = True
                micropython.heap_lock()

    def take(can_id, flags, data):
        seen[0] += len(data)

    async def check(it, clock):
        it.can.on_frame = take
        data = bytes(8)
        Asyncio.active = True
        for n in range(300):
            it.hear(LIMITS, LIMITS, LIMITS)
            it.can.send(0x18FF50E5, data)
            if n % 10 == 0:
                it.can.send(*OFF[:2], URGENT)
            if n % 50 == 0:
                it.chip.disturb(100)
            await asyncio.sleep_ms(n % 9)
        Asyncio.active = False
        await settle(20)
        assert seen[0] == 900 * 8 and it.count("tx") >= 280, (seen, it.can.counters())

    mcp2515.asyncio = Asyncio()
    try:
        bench(check, PlainClock())
    finally:
        mcp2515.asyncio = asyncio


def test_interrupt_and_send_allocate_nothing():
    async def check(it, clock):
        data = bytes(8)
        micropython.heap_lock()
        try:
            for _ in range(7):
                it.chip.arrive(0x1806E5F4, FLAG_EXT, data)
            for _ in range(9):
                it.can.send(0x18FF50E5, data)
            it.can.send(0x068181FE, data, URGENT)
        finally:
            micropython.heap_unlock()
        await settle()
        assert len(it.frames) == 7 and it.chip.sent[-1][0] == 0x068181FE

    bench(check, PlainClock())


# -- sending


def test_send_encoding():
    async def check(it, clock):
        frames = [
            (0x1806E5F4, LIMITS[2], FLAG_EXT),
            (0x7FF, b"\xa1\x0b", 0),
            (0x1FFFFFFF, b"", FLAG_EXT),
            (0x18FF50E5, bytes(8), FLAG_EXT | FLAG_RTR),
            (0x123, b"\x01\x02\x03", 0),
            (0x15555555, b"\xff" * 8, FLAG_EXT),
        ]
        for frame in frames:
            assert it.can.send(*frame)
            await settle()
        assert it.can.send(frames[0][0], memoryview(frames[0][1]))
        await settle()
        assert it.chip.sent == frames + frames[:1], it.chip.sent
        assert it.count("tx") == 7
        for can_id, data, flags in (
            (0x20000000, b"", FLAG_EXT),
            (0x800, b"", 0),
            (-1, b"", 0),
            (1, bytes(9), FLAG_EXT),
        ):
            try:
                it.can.send(can_id, data, flags)
                raise AssertionError("accepted %x" % can_id)
            except ValueError:
                pass

    bench(check)


def test_not_up_nothing_leaves():
    async def main(clock):
        it = Bench(clock)
        assert it.can.send(1, b"") is False and it.can.send(*OFF[:2], URGENT) is False
        assert it.count("tx_dropped") == 2 and it.chip.waiting == 0

    virtual_run(main, WireClock())


def test_frames_leave_in_the_order_of_send():
    async def check(it, clock):
        random.seed(23)
        expected = []
        for n in range(400):
            frame = (0x18FF50E5, bytes([n >> 8, n & 255]), FLAG_EXT)
            if it.can.send(*frame):
                expected.append(frame)
            if random.getrandbits(2) == 0:
                it.chip.occupied = not it.chip.occupied
            if random.getrandbits(1):
                await settle(random.randrange(12))
        it.chip.occupied = False
        await settle(100)
        assert it.chip.sent == expected and len(expected) > 150, (len(it.chip.sent), len(expected))
        assert it.count("tx") + it.count("tx_dropped") == 400

    bench(check)


def test_full_drops_the_new_frame():
    async def check(it, clock):
        it.chip.occupied = True
        taken = [it.can.send(n, b"") for n in range(9)]
        assert taken == [True] * 7 + [False] * 2  # 3 in the chip, 4 waiting
        assert it.count("tx_dropped") == 2
        it.chip.occupied = False
        await settle(20)
        assert [frame[0] for frame in it.chip.sent] == list(range(7))

    bench(check)


def test_unacknowledged_frames_are_taken_back():
    async def check(it, clock):
        it.chip.acked = False
        for n in range(5):
            assert it.can.send(n, b"")
        await settle(40)
        assert it.chip.waiting == 3
        await settle(20)
        assert it.chip.waiting <= 1 and it.count("tx_dropped") == 5  # one may be on the wire
        await settle(20)
        assert it.chip.waiting == 0 and it.can.error_passive and it.can.is_up
        tried = 0
        for _ in range(60):
            tried += it.can.send(9, b"")
            await settle(40)
        assert tried == 2, tried  # one a second
        it.chip.acked = True
        it.hear(LIMITS)  # somebody is there
        await settle()
        for n in range(20):
            assert it.can.send(n, b"")
            await settle()
        assert len(it.chip.sent) >= 20 and it.count("bus_off") == 0

    bench(check)


def test_a_lone_try_that_is_acknowledged_ends_the_silence():
    async def check(it, clock):
        it.chip.acked = False
        it.can.send(1, b"")
        await settle(100)
        assert not it.can.send(2, b"")
        it.chip.acked = True
        await settle(1000)
        assert it.can.send(3, b"")
        await settle(10)
        assert it.can.send(4, b"") and it.can.send(5, b"")
        await settle(10)
        assert [frame[0] for frame in it.chip.sent] == [3, 4, 5]

    bench(check)


def test_urgent_passes_everything_that_waits():
    async def check(it, clock):
        for waiting in range(8):
            it.chip.forget_sent()
            it.chip.occupied = True
            for n in range(waiting):
                it.can.send(n, b"")
            dropped = it.count("tx_dropped")
            assert it.can.send(*ZERO[:2], URGENT) and it.can.send(*OFF[:2], URGENT)
            assert it.chip.waiting == 2, waiting  # in the chip: nobody needs to run for it
            assert it.count("tx_dropped") - dropped == min(waiting, 7)
            assert it.can.send(0x77, b"") and it.can.send(0x78, b"")  # what comes later leaves later
            it.chip.occupied = False
            await settle(15)
            assert [frame[0] for frame in it.chip.sent] == [ZERO[0], OFF[0], 0x77, 0x78], (waiting, it.chip.sent)
            assert it.chip.sent[:2] == [ZERO, OFF]

    bench(check)


def test_urgent_behind_a_frame_on_the_wire():
    async def check(it, clock):
        for waiting in range(1, 15):
            it.chip.forget_sent()
            it.chip.forgets = waiting > 7
            for n in range(waiting % 7 + 1):
                it.can.send(n, b"")
            it.chip.elapse(100)  # the first one is under way
            assert it.can.send(*ZERO[:2], URGENT) and it.can.send(*OFF[:2], URGENT)
            await settle(15)
            assert it.chip.sent == [(0, b"", FLAG_EXT), ZERO, OFF], (waiting, it.chip.sent)

    bench(check)


def test_urgent_repeated_into_a_jam():
    async def check(it, clock):
        it.chip.occupied = True
        results = [it.can.send(*(ZERO, OFF)[n % 2][:2], URGENT) for n in range(10)]
        assert results == [True] * 3 + [False] * 7, results  # the same safe state is on its way
        await settle(500)
        it.chip.occupied = False
        await settle(20)
        assert it.chip.sent == [ZERO, OFF, ZERO]
        assert it.can.send(*OFF[:2], URGENT)
        await settle(10)
        assert it.chip.sent[-1] == OFF and len(it.chip.sent) == 4

    bench(check)


def test_urgent_into_silence_is_taken_back_after_a_second():
    async def check(it, clock):
        it.chip.acked = False
        holes = 0
        for _ in range(25):  # repeated as the module's driver does
            it.can.send(*ZERO[:2], URGENT)
            it.can.send(*OFF[:2], URGENT)
            await settle(100)
            holes += it.chip.waiting == 0
        assert holes <= 2, holes
        it.chip.acked = True
        await settle(110)
        assert OFF in it.chip.sent or ZERO in it.chip.sent
        it.chip.forget_sent()
        it.can.send(*ZERO[:2], URGENT)
        it.can.send(*OFF[:2], URGENT)
        await settle(20)
        assert it.chip.sent == [ZERO, OFF]

    bench(check)


def test_urgent_without_the_task():
    async def check(it, clock):
        await it.end()
        assert not it.can.send(1, b"")
        assert it.can.send(*ZERO[:2], URGENT) and it.can.send(*OFF[:2], URGENT)
        await settle(5)
        assert it.chip.sent == [ZERO, OFF]

    bench(check)


def test_urgent_to_a_chip_that_cannot_be_heard():
    async def check(it, clock):
        for level in (0x00, 0xFF):
            it.chip.forget_sent()
            it.chip.corrupt = lambda byte, level=level: level  # MISO is broken, MOSI is not
            assert it.can.send(*ZERO[:2], URGENT) and it.can.send(*OFF[:2], URGENT)
            await it.ends()
            it.chip.corrupt = None
            assert OFF in it.chip.sent and ZERO in it.chip.sent
            it.begin()
            await it.up(3000)

    bench(check)


# -- interrupts in the middle of everything


def at_each_place(action, during, places=400):
    """Run `during(it)` with `action(it)` as a soft interrupt at its first possible place, then at the second, ...;
    until there are no more. Yields (n, bench) after each run, `settled`."""

    async def main(clock):
        async with Bench(clock) as it:
            for n in range(places):
                left = [n]

                def hook(left=left):
                    left[0] -= 1
                    if left[0] == -1:
                        action(it)

                it.frames.clear()
                it.chip.forget_sent()
                it.chip.spi.hook = hook
                during(it)
                it.chip.spi.hook = None
                assert spi_lock == [None, None] and not it.chip.selected
                await settle(30)
                if left[0] >= 0:
                    assert n > 10
                    return
                yielded.append((list(it.frames), list(it.chip.sent)))
            raise AssertionError("too many places")

    yielded = []
    virtual_run(main, WireClock())
    return yielded


def test_frames_arrive_in_the_middle_of_sending():
    def arrive(it):
        for n in range(3):
            assert it.chip.arrive(IDS[0], FLAG_EXT, bytes([n])) or n == 2

    def send(it):
        for n in range(5):
            assert it.can.send(n, b"")
        assert it.chip.int_pin() == 1  # what came in between has been read by now

    for frames, sent in at_each_place(arrive, send):
        assert [frame[2][0] for frame in frames][:2] == [0, 1], frames
        assert [frame[0] for frame in sent] == [0, 1, 2, 3, 4]


def test_off_in_the_middle_of_receiving():
    def off(it):
        assert it.can.send(*ZERO[:2], URGENT) and it.can.send(*OFF[:2], URGENT)

    def receive(it):
        for _ in range(3):
            assert it.chip.arrive(*LIMITS)

    for frames, sent in at_each_place(off, receive):
        assert frames == [LIMITS] * 3 and sent == [ZERO, OFF], (frames, sent)


def test_off_in_the_middle_of_sending():
    """Wherever "off" comes between, what was asked for before it does not leave after it."""

    def off(it):
        assert it.can.send(*ZERO[:2], URGENT) and it.can.send(*OFF[:2], URGENT)

    def one(it):
        it.can.send(1, b"")

    seen = set()
    for _, sent in at_each_place(off, one):
        assert sent in ([ZERO, OFF], [(1, b"", FLAG_EXT), ZERO, OFF]), sent
        seen.add(len(sent))
    assert seen == {2, 3} or seen == {2}


def test_off_in_the_middle_of_off():
    def off(it):
        assert it.can.send(*ZERO[:2], URGENT)
        assert it.can.send(*OFF[:2], URGENT)

    for _, sent in at_each_place(off, off):
        assert ZERO in sent and OFF in sent and sent[-1] in (ZERO, OFF)


def test_off_from_the_frame_handler():
    async def check(it, clock):
        def react(can_id, flags, data):
            it.can.send(*ZERO[:2], URGENT)
            it.can.send(*OFF[:2], URGENT)

        it.can.on_frame = react
        it.hear(LIMITS)
        await settle()
        assert it.chip.sent == [ZERO, OFF]

    bench(check)


def test_off_after_the_program_was_killed_anywhere():
    """Ctrl-C in any transaction: the "off" of the program's end leaves all the same."""

    class Killed(BaseException):
        pass

    def kill(it):
        raise Killed

    def die(work):
        def during(it):
            try:
                work(it)
            except Killed:
                pass
            it.chip.spi.hook = None
            assert it.can.send(*ZERO[:2], URGENT) and it.can.send(*OFF[:2], URGENT)
            it.chip.elapse(3000)
            assert it.chip.sent[-2:] == [ZERO, OFF], it.chip.sent

        return during

    def receive(it):
        it.chip.int_pin.edges_lost = True
        it.chip.arrive(*LIMITS)
        it.chip.arrive(*LIMITS)
        it.can._edge(None)

    for work in (receive, lambda it: it.can.send(1, b""), lambda it: it.can.send(*OFF[:2], URGENT)):
        at_each_place(kill, die(work))


def test_lock_whose_holder_was_killed_is_taken():
    async def check(it, clock):
        it.chip.cs(0)
        spi_lock[0] = it.can  # killed before it could let go
        it.task.cancel()
        clock.advance(1)
        assert it.can.send(*ZERO[:2], URGENT)  # left to the holder
        assert it.chip.waiting == 0
        clock.advance(100)  # repeated by the module's driver
        assert it.can.send(*ZERO[:2], URGENT) and it.can.send(*OFF[:2], URGENT)
        clock.advance(5)
        assert it.chip.sent == [ZERO, OFF] and spi_lock == [None, None]

    bench(check)


def test_two_controllers_on_one_spi():
    async def main(clock):
        spi = Spi()
        async with Bench(clock, spi=spi) as bms:
            async with Bench(clock, ids=(0x00433F01, 0x00473F01), spi=spi) as pm:
                random.seed(24)
                sent = ([], [])

                def hook():  # anything may happen anywhere
                    which = random.getrandbits(6)
                    if which < 2 and clock.moved > began:
                        it, can_id = ((bms, IDS[0]), (pm, 0x00433F01))[which]
                        if it.chip.registers[CANINTF] & (RX0IF | RX1IF) == 0:
                            data = bytes([len(sent[which]) >> 8, len(sent[which]) & 255])
                            sent[which].append(data)
                            assert it.chip.arrive(can_id, FLAG_EXT, data)

                began = clock.moved
                spi.hook = hook
                for n in range(300):
                    bms.can.send(0x18FF50E5, bytes([n & 255]))
                    pm.can.send(*OFF[:2], URGENT)
                    pm.can.send(0x068182FE, bytes([n & 255]))
                    await settle(10)
                spi.hook = None
                await settle(20)
                assert [frame[2] for frame in bms.frames] == sent[0] and len(sent[0]) > 50
                assert [frame[2] for frame in pm.frames] == sent[1] and len(sent[1]) > 50
                assert len(bms.chip.sent) == 300 and pm.chip.sent.count(OFF) == 300
                assert bms.count("overrun") == pm.count("overrun") == 0

    virtual_run(main, WireClock())


def test_each_controller_that_waits_for_the_spi_gets_it():
    async def main(clock):
        spi = Spi()
        async with Bench(clock, spi=spi) as bms:
            async with Bench(clock, spi=spi) as pm:
                for place in range(6):
                    left = [place]

                    def hook(left=left):
                        left[0] -= 1
                        if left[0] == -1:  # in one transaction of bms: two of its frames, one for pm, and "off" for pm
                            bms.chip.arrive(*LIMITS)
                            assert pm.can.send(*ZERO[:2], URGENT) and pm.can.send(*OFF[:2], URGENT)
                            pm.chip.arrive(*LIMITS)
                            bms.chip.arrive(*LIMITS)

                    spi.hook = hook
                    assert bms.can.send(1, b"")
                    spi.hook = None
                    assert bms.chip.int_pin() == pm.chip.int_pin() == 1 and pm.chip.waiting == 2
                    await settle(20)
                    assert pm.chip.sent == [ZERO, OFF]
                    pm.chip.forget_sent()
                assert len(bms.frames) == 12 and len(pm.frames) == 6

    virtual_run(main, WireClock())


# -- errors of the bus and of the chip


def test_bus_off():
    async def check(it, clock):
        it.can.send(1, b"")
        it.can.send(2, b"")
        it.chip.broken = True
        while not it.chip.registers[EFLG] & 0x20:
            await asyncio.sleep_ms(1)
        began = clock.moved
        error = await it.ends()
        assert clock.moved - began <= 10 and "bus-off" in str(error) and "terminators" in str(error)
        assert it.count("bus_off") == 1 and not it.can.send(3, b"")
        assert it.can.send(*OFF[:2], URGENT)  # leaves by itself as soon as the bus is back
        it.chip.broken = False
        await settle(20)
        assert it.chip.sent == [OFF]  # and nothing of before
        it.begin()
        await settle(900)
        assert it.chip.resets == 1  # waits
        await it.up()
        assert it.count("reopened") == 1 and not it.can.send(4, b"")
        it.hear(LIMITS)
        await settle()
        assert it.can.send(4, b"")  # somebody was heard
        await settle()
        assert it.frames == [LIMITS] and it.chip.sent[-1][0] == 4

    bench(check)


def test_bus_off_again_and_again_waits_longer():
    async def check(it, clock):
        it.chip.broken = True
        waits = []
        for _ in range(7):
            await it.up(60_000)
            while not it.error:
                it.can.send(1, b"")
                await settle(5)
            began = clock.moved
            resets = it.chip.resets
            it.begin()
            while it.chip.resets == resets:
                await settle(5)
            waits.append((clock.moved - began + 500) // 1000)
        assert waits == [1, 2, 4, 8, 16, 30, 30], waits
        it.chip.broken = False
        await it.up()
        await settle(31_000)
        it.chip.broken = True
        it.can.send(1, b"")
        await it.ends()
        began = clock.moved
        it.begin()
        resets = it.chip.resets
        while it.chip.resets == resets:
            await settle(5)
        assert clock.moved - began < 1100  # a long life makes it forgotten
        it.chip.broken = False
        await it.up()

    bench(check)


def test_receive_errors_are_seen():
    async def check(it, clock):
        assert not it.can.error_passive
        it.chip.disturb(130)
        await settle(10)
        assert it.can.error_passive and it.can.is_up
        it.hear(LIMITS)
        await settle(110)
        assert not it.can.error_passive and it.chip.int_pin() == 1

    bench(check)


def test_chip_vanishes():
    async def check(it, clock):
        for level in (0x00, 0xFF):
            it.chip.vanish(level)
            began = clock.moved
            error = await it.ends()
            assert clock.moved - began <= 110 and "no answer" in str(error), error
            it.chip.dead = None
            it.begin()
            await it.up()
        assert it.frames == [] and it.count("reopened") == 2

    bench(check)


def test_chip_vanishes_while_frames_flow():
    """No place of the reading where the chip goes away makes a frame out of nothing."""

    async def main(clock):
        it = Bench(clock)
        for level in (0x00, 0xFF):
            for n in range(40):
                it.begin()
                await it.up(3000)
                left = [n]

                def hook(left=left, level=level):
                    left[0] -= 1
                    if left[0] == -1:
                        it.chip.vanish(level)

                it.frames.clear()
                it.chip.spi.hook = hook
                it.hear(LIMITS, LIMITS)
                await it.ends()
                it.chip.spi.hook = None
                it.chip.dead = None
                assert it.frames == [LIMITS] * len(it.frames) and len(it.frames) <= 2, it.frames

    virtual_run(main, WireClock())


def test_brown_out_is_found():
    async def check(it, clock):
        for n in range(20):
            it.hear(LIMITS)
            it.can.send(1, b"")
            await settle(n % 7)
            it.chip.brown_out()
            began = clock.moved
            error = await it.ends()
            assert clock.moved - began <= 110 and "set-up" in str(error) and "supply" in str(error), error
            it.begin()
            await it.up()
            it.frames.clear()
            it.hear(LIMITS)
            await settle()
            assert it.frames == [LIMITS]

    bench(check)


def test_one_misreading_does_not_end_a_session():
    async def check(it, clock):
        wrong = [0]

        def corrupt(byte):  # every second reading of CNF2 is wrong
            if byte == 0xAD:
                wrong[0] += 1
                if wrong[0] & 1:
                    return 0xAC
            return byte

        it.chip.corrupt = corrupt
        await settle(3000)
        assert it.can.is_up and wrong[0] >= 50

    bench(check)


def test_next_life_starts_clean():
    async def check(it, clock):
        it.chip.occupied = True
        for n in range(7):
            it.can.send(n, b"")
        it.hear(LIMITS, LIMITS)
        it.task.cancel()
        await settle(20)
        it.chip.occupied = False
        it.begin()
        await it.up()
        await settle(50)
        assert it.frames == [] and it.chip.sent[3:] == [], it.chip.sent
        it.hear(LIMITS)
        assert it.can.send(9, b"")
        await settle()
        assert it.frames == [LIMITS] and it.chip.sent[-1][0] == 9

    bench(check)


def test_counters_have_the_common_names():
    async def check(it, clock):
        names = set("rx tx tx_dropped bad bus_off reopened overrun".split())
        assert names <= set(it.can.counters()) and set(it.can.counters().values()) == {0}

    bench(check)
