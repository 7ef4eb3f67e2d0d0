# heapsize: 1m
# timeout: 120
"""The CAN face of drivers/README.md: the same cases for all three drivers, each on its own kind of hardware."""

import asyncio
import gc
import random

import micropython
from can_bench import CanBench
from fakes import virtual_run
from machine_can_fake import FakeMachineCan
from mcp2515_chip import Chip, PlainClock, WireClock
from test_drivers_slcan import Adapter

from drivers.can import FLAG_EXT, FLAG_RTR, FLAG_URGENT, CanError
from drivers.can.machine_can import MachineCan
from drivers.can.mcp2515 import Mcp2515
from drivers.can.slcan import Slcan

LIMITS = (0x1806E5F4, FLAG_EXT, b"\x03\x48\x01\x2c\x00\x00\x00\x00")
URGENT = FLAG_EXT | FLAG_URGENT
ZERO = (0x068181FE, b"\x01\x03\x00\x00\x00\x00\x00\x00", FLAG_EXT)
OFF = (0x068181FE, b"\x01\x32\x00\x01\x00\x00\x00\x00", FLAG_EXT)
COUNTERS = "rx tx tx_dropped bad bus_off reopened overrun".split()


class Bench(CanBench):
    """A driver and its hardware. Subclasses: make(clock), arrive(frame), sent, forget_sent(), jam(on), bus_off(on),
    lose(), find(): the hardware is back."""

    def __init__(self, clock):
        self.clock = clock
        super().__init__(self.make(clock))

    async def down(self, ms=1000):
        for _ in range(ms // 5):
            if not self.can.is_up:
                return
            await asyncio.sleep_ms(5)
        raise AssertionError("still up")

    async def supervised(self):
        """Lives until it is up again, as the supervisor does it."""
        for _ in range(500):
            if self.task.done():
                self.begin()
            await asyncio.sleep_ms(100)
            if self.can.is_up:
                return
        raise AssertionError("does not come back: %s" % (self.error,))


class SlcanBench(Bench):
    slots = 9

    def make(self, clock):
        self.adapter = Adapter()
        return Slcan(self.adapter.open, clock)

    def arrive(self, can_id, flags, data):
        kind = ("t", "T", "r", "R")[(1 if flags & FLAG_EXT else 0) + (2 if flags & FLAG_RTR else 0)]
        line = ("%s%08X%d" if flags & FLAG_EXT else "%s%03X%d") % (kind, can_id, len(data))
        if not flags & FLAG_RTR:
            line += "".join(["%02X" % byte for byte in data])
        self.adapter.say(line.encode() + b"\r")

    @property
    def sent(self):
        frames = []
        for line in self.adapter.lines:
            kind = line[:1].decode()
            if kind and kind in "tTrR":
                at = 9 if kind in "TR" else 4
                size = int(line[at : at + 1])
                text = line[at + 1 :].decode()
                data = bytes(size) if kind in "rR" else bytes([int(text[2 * i : 2 * i + 2], 16) for i in range(size)])
                flags = (FLAG_EXT if kind in "TR" else 0) | (FLAG_RTR if kind in "rR" else 0)
                frames.append((int(line[1:at], 16), data, flags))
        return frames

    def forget_sent(self):
        self.adapter.lines.clear()
        self.adapter.n = 0

    def jam(self, on):
        self.adapter.room = 0 if on else None

    def bus_off(self, on):
        self.adapter.status = b"F80\r" if on else b"F00\r"

    def lose(self):
        self.adapter.say(b"")

    def find(self):
        self.adapter._input.clear()

    def dry(self, on):
        self.adapter.answers = not on


class ChipBench(Bench):
    slots = 7

    def make(self, clock):
        self.chip = Chip()
        self.chip.elapse(1000)
        clock.chips.append(self.chip)
        return Mcp2515(self.chip.spi, self.chip.cs, self.chip.int_pin, clock)

    def arrive(self, can_id, flags, data):
        assert self.chip.arrive(can_id, flags, data)

    @property
    def sent(self):
        return self.chip.sent

    def forget_sent(self):
        self.chip.forget_sent()

    def jam(self, on):
        self.chip.occupied = on

    def bus_off(self, on):
        self.chip.broken = on

    def lose(self):
        self.chip.vanish(0xFF)

    def find(self):
        self.chip.dead = None

    def dry(self, on):
        pass


class MachineBench(Bench):
    slots = 7
    orders = True

    def make(self, clock):
        self.chip = FakeMachineCan(orders=self.orders)
        clock.chips.append(self.chip)
        return MachineCan(self.chip, clock)

    def arrive(self, can_id, flags, data):
        assert self.chip.arrive(can_id, flags, data)

    @property
    def sent(self):
        return self.chip.sent

    def forget_sent(self):
        self.chip.forget_sent()

    def jam(self, on):
        self.chip.occupied = on

    def bus_off(self, on):
        self.chip.broken = on

    def lose(self):
        self.chip._state = self.chip.STATE_STOPPED
        self.chip.restart, self._restart = self._stopped, self.chip.restart

    def _stopped(self):
        raise OSError(19)

    def find(self):
        self.chip.restart = self._restart

    def dry(self, on):
        self.chip.dry = on


class UnorderedMachineBench(MachineBench):
    """A controller that does not keep the order of equal identifiers."""

    slots = 5  # of equal identifiers it takes one at a time
    orders = False


BENCHES = (SlcanBench, ChipBench, MachineBench, UnorderedMachineBench)


def for_each(case, clock=WireClock):
    """Run `case(bench)` for each driver, up, under a virtual clock."""

    async def main(clock, kind):
        it = kind(clock)
        it.begin()
        await it.up()
        it.forget_sent()
        await case(it)
        await it.end()
        assert not it.can.is_up

    for kind in BENCHES:
        try:
            virtual_run(lambda clock, kind=kind: main(clock, kind), clock())
        except BaseException:
            print("with", kind.__name__)
            raise


async def settle(ms=100):
    await asyncio.sleep_ms(ms)


def test_before_the_first_life():
    for kind in BENCHES:
        can = kind(WireClock()).can
        assert can.on_frame is None and can.is_up is False
        counts = can.counters()
        assert [counts[name] for name in COUNTERS] == [0] * 7, counts
        assert can.send(1, b"") is False and can.send(1, b"", URGENT) is False
        assert can.counters()["tx_dropped"] == 2


def test_impossible_frames_are_the_callers_bug():
    async def case(it):
        for can_id, data, flags in (
            (1 << 29, b"", FLAG_EXT),
            (0x800, b"", 0),
            (-1, b"", FLAG_EXT),
            (-1, b"", 0),
            (1, bytes(9), FLAG_EXT),
            (1 << 29, b"", URGENT),
        ):
            try:
                it.can.send(can_id, data, flags)
                raise AssertionError("accepted %x" % can_id)
            except ValueError:
                pass
        await settle()
        assert it.sent == [] and it.can.is_up

    for_each(case)


def test_receives_all_kinds():
    frames = [
        LIMITS,
        (0, FLAG_EXT, b""),
        (0x1FFFFFFF, FLAG_EXT, b"\xff" * 8),
        (0, 0, b""),
        (0x7FF, 0, b"\xa1\xb2\xc3"),
        (0x18FF50E5, FLAG_EXT | FLAG_RTR, b""),
        (0x5F4, FLAG_RTR, b""),
    ]

    async def case(it):
        for frame in frames:
            it.arrive(*frame)
            await settle(10)
        it.arrive(0x18FF50E5, FLAG_EXT | FLAG_RTR, bytes(5))  # a remote frame carries no data, whatever its length
        await settle()
        assert it.frames == frames + [(0x18FF50E5, FLAG_EXT | FLAG_RTR, b"")], it.frames
        assert it.count("rx") == 8 and it.count("bad") == 0

    for_each(case)


def test_receives_in_order_and_nothing_twice():
    async def case(it):
        random.seed(31)
        expected = []
        for n in range(300):
            frame = (random.getrandbits(29), FLAG_EXT, bytes([n >> 8, n & 255]))
            expected.append(frame)
            it.arrive(*frame)
            if n % 3 == 2:
                await settle(random.randrange(1, 12))
        await settle()
        assert it.frames == expected and it.count("rx") == 300 and it.count("overrun") == 0

    for_each(case)


def test_without_a_listener_frames_are_counted():
    async def case(it):
        it.can.on_frame = None
        it.arrive(*LIMITS)
        await settle()
        assert it.count("rx") == 1 and it.can.is_up

    for_each(case)


def test_bug_in_the_listener_ends_the_life():
    async def case(it):
        def broken(can_id, flags, data):
            raise RuntimeError("bug")

        it.can.on_frame = broken
        it.arrive(*LIMITS)
        await settle()
        assert isinstance(it.error, RuntimeError) and not it.can.is_up

    for_each(case)


def test_sends_all_kinds_in_order():
    frames = [
        (0x18FF50E5, LIMITS[2], FLAG_EXT),
        (0x18FF50E5, b"", FLAG_EXT),
        (0x1FFFFFFF, b"\x01", FLAG_EXT),
        (0, b"\x02\x03", FLAG_EXT),
        (0x7FF, b"\xa1\xb2\xc3", 0),
        (0, b"", 0),
        (0x123, bytes(4), FLAG_RTR),
        (0x18FF50E5, bytes(8), FLAG_EXT | FLAG_RTR),
    ]

    async def case(it):
        for frame in frames:
            assert it.can.send(*frame) is True
            await settle(10)
        assert it.sent == frames, it.sent
        assert it.can.send(LIMITS[0], memoryview(LIMITS[2])) is True
        assert it.can.send(LIMITS[0], bytearray(LIMITS[2])) is True
        await settle()
        assert it.sent[-2:] == [(LIMITS[0], LIMITS[2], FLAG_EXT)] * 2
        assert it.count("tx") == 10 and it.count("tx_dropped") == 0

    for_each(case)


def test_equal_identifiers_keep_their_order():
    async def case(it):
        random.seed(32)
        expected = []
        for n in range(300):
            frame = (0x068181FE, bytes([n >> 8, n & 255]), FLAG_EXT)
            if it.can.send(*frame):
                expected.append(frame)
            if random.getrandbits(1):
                await settle(random.randrange(20))
        await settle()
        assert it.sent == expected and len(expected) > 200, (len(expected), len(it.sent))
        assert it.count("tx") + it.count("tx_dropped") == 300

    for_each(case)


def test_a_burst_of_five_is_taken():
    """What the power module's driver sends at once: three of a command, and one of each cycle."""

    async def case(it):
        for n in range(20):
            it.forget_sent()
            burst = [(0x068181FE if i < 3 else 0x068182FE, bytes([n, i]), FLAG_EXT) for i in range(5)]
            assert all([it.can.send(*frame) for frame in burst])
            await settle(30)
            assert sorted([frame[1] for frame in it.sent]) == [frame[1] for frame in burst], it.sent
            assert [frame for frame in it.sent if frame[0] == 0x068181FE] == burst[:3]

    for_each(case)


def test_full_drops_the_new_frame_and_counts_it():
    async def case(it):
        it.jam(True)
        taken = [it.can.send(0x18FF50E5, bytes([n])) for n in range(20)]
        assert taken == [True] * it.slots + [False] * (20 - it.slots), taken
        assert it.count("tx_dropped") == 20 - it.slots
        it.jam(False)
        await settle()
        assert [frame[1][0] for frame in it.sent] == list(range(it.slots)), it.sent

    for_each(case)


def test_urgent_passes_what_waits():
    async def case(it):
        for waiting in range(12):
            await settle()
            it.forget_sent()
            it.jam(True)
            for n in range(waiting):
                it.can.send(0x18FF50E5, bytes([n]))
            assert it.can.send(ZERO[0], ZERO[1], URGENT) is True
            assert it.can.send(OFF[0], OFF[1], URGENT) is True
            it.jam(False)
            await settle()
            sent = it.sent
            assert sent in ([ZERO, OFF], [OFF, ZERO]) and (sent[0] == ZERO or not getattr(it, "orders", True)), sent
        assert it.count("tx_dropped") > 0

    for_each(case)


def test_urgent_into_a_jam_for_long():
    async def case(it):
        it.jam(True)
        for n in range(40):
            assert it.can.send(*((ZERO, OFF)[n % 2][:2]), URGENT) in (True, False)
        it.can.send(0x18FF50E5, b"\x01")
        await settle(20)
        it.jam(False)
        await settle()
        assert [frame for frame in it.sent if frame[0] == 0x068181FE and frame not in (ZERO, OFF)] == []
        assert ZERO in it.sent and OFF in it.sent
        it.forget_sent()
        assert it.can.send(OFF[0], OFF[1], URGENT) and it.can.send(0x18FF50E5, b"\x02")
        await settle()
        assert it.sent == [OFF, (0x18FF50E5, b"\x02", FLAG_EXT)]

    for_each(case)


def test_send_allocates_nothing():
    async def case(it):
        data = bytes(8)
        it.dry(True)
        gc.collect()
        micropython.heap_lock()
        try:
            for _ in range(12):
                it.can.send(0x18FF50E5, data)
            for _ in range(3):
                it.can.send(0x068181FE, data, URGENT)
                it.can.send(0x18FF50E5, data)
        finally:
            micropython.heap_unlock()
        it.dry(False)
        await settle()

    for_each(case, PlainClock)


def test_bus_off_and_back():
    async def case(it):
        it.bus_off(True)
        it.can.send(0x18FF50E5, b"\x01")
        await it.down()
        assert it.count("bus_off") == 1
        assert it.can.send(0x18FF50E5, b"\x02") is False
        for frame in (ZERO, OFF):  # tried, whatever comes of it
            assert it.can.send(frame[0], frame[1], URGENT) in (True, False)
        await settle(200)
        it.bus_off(False)
        it.forget_sent()
        await it.supervised()
        it.frames.clear()
        it.arrive(*LIMITS)
        await settle(20)  # somebody was heard: now it speaks again
        assert it.can.send(0x18FF50E5, b"\x03") is True
        await settle()
        assert it.frames == [LIMITS] and it.sent[-1] == (0x18FF50E5, b"\x03", FLAG_EXT)
        assert (0x18FF50E5, b"\x01", FLAG_EXT) not in it.sent  # nothing of before
        assert it.count("bus_off") == 1 and it.count("reopened") <= 1

    for_each(case)


def test_hardware_is_lost_and_found():
    async def case(it):
        for n in range(1, 4):
            it.can.send(0x18FF50E5, b"\x01")
            it.lose()
            await it.down()
            await settle()
            assert isinstance(it.error, CanError) and str(it.error), it.error
            assert it.can.send(0x18FF50E5, b"\x02") is False
            it.find()
            it.forget_sent()
            await it.supervised()
            assert it.count("reopened") == n
            it.frames.clear()
            it.arrive(*LIMITS)
            assert it.can.send(0x18FF50E5, b"\x03")
            await settle()
            assert it.frames == [LIMITS] and it.sent == [(0x18FF50E5, b"\x03", FLAG_EXT)]

    for_each(case)


def test_cancelled_and_started_again():
    async def case(it):
        for _ in range(3):
            it.task.cancel()
            try:
                await it.task
            except asyncio.CancelledError:
                pass
            assert not it.can.is_up and it.can.send(1, b"") is False
            it.begin()
            await it.up()
            it.arrive(*LIMITS)
            await settle()
        assert it.frames == [LIMITS] * 3

    for_each(case)


def test_a_quiet_bus_is_no_error_and_costs_no_memory():
    async def case(it):
        async def quiet():
            for _ in range(10):
                await settle(1000)
                it.forget_sent()
            gc.collect()
            return gc.mem_alloc()

        before = await quiet()
        await quiet()
        assert it.can.is_up and not it.task.done()
        assert gc.mem_alloc() - before < 1500, gc.mem_alloc() - before

    for_each(case)
