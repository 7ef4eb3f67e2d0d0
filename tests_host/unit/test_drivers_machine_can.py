"""drivers/can/machine_can on a controller that behaves as documented: filters, interrupts, deadlines, bus-off."""

import asyncio

from can_bench import CanBench
from fakes import virtual_run
from machine_can_fake import FakeMachineCan
from mcp2515_chip import WireClock

from drivers.can import FLAG_EXT, FLAG_URGENT
from drivers.can.machine_can import MachineCan

IDS = (0x1806E5F4, 0x160B8001, 0x160D8001, 0x18904001, 0x18924001)
LIMITS = (0x1806E5F4, FLAG_EXT, b"\x03\x48\x01\x2c\x00\x00\x00\x00")
URGENT = FLAG_EXT | FLAG_URGENT
OFF = (0x068181FE, b"\x01\x32\x00\x01\x00\x00\x00\x00", FLAG_EXT)
ZERO = (0x068181FE, b"\x01\x03\x00\x00\x00\x00\x00\x00", FLAG_EXT)


class Bench(CanBench):
    def __init__(self, clock, ids=IDS, **options):
        self.chip = FakeMachineCan(**options)
        clock.chips.append(self.chip)
        super().__init__(MachineCan(self.chip, clock, ids))


def bench(test, **options):
    async def main(clock):
        it = Bench(clock, **options)
        it.begin()
        await it.up()
        await test(it, clock)
        it.task.cancel()

    virtual_run(main, WireClock())


async def settle(ms=10):
    await asyncio.sleep_ms(ms)


def test_only_these_identifiers_pass_the_filters():
    async def check(it, clock):
        for can_id in IDS:
            assert it.chip.arrive(can_id, FLAG_EXT, b"")
            for bit in range(29):
                if can_id ^ 1 << bit not in IDS:
                    assert not it.chip.arrive(can_id ^ 1 << bit, FLAG_EXT, b"")
            assert not it.chip.arrive(can_id >> 18, 0, b"")
            await settle()
        assert [frame[0] for frame in it.frames] == list(IDS)

    bench(check)


def test_more_identifiers_than_filters_are_sorted_out_here():
    ids = IDS + (1, 2, 3)

    async def check(it, clock):
        for can_id in ids + (4, 5):
            assert it.chip.arrive(can_id, FLAG_EXT, b"")
            await settle()
        it.chip.arrive(1, 0, b"")  # 11 bits
        await settle()
        assert [frame[0] for frame in it.frames] == list(ids) and it.count("bad") == 3

    bench(check, ids=ids)


def test_interrupt_keeps_frames_while_the_task_sleeps():
    async def check(it, clock):
        for n in range(15):
            assert it.chip.arrive(IDS[0], FLAG_EXT, bytes([n]))
        assert it.frames == []
        assert [it.chip.arrive(IDS[0], FLAG_EXT, bytes([15 + n])) for n in range(4)] == [True] * 3 + [False]
        await settle()
        assert [frame[2][0] for frame in it.frames] == list(range(18))
        assert it.count("overrun") == 1

    bench(check)


def test_controller_without_interrupt():
    async def main(clock):
        it = Bench(clock)

        class Plain:
            """The same controller, from a module that has no irq."""

            def __init__(self, chip):
                for name in dir(chip):
                    if name[0] != "_" and name != "irq":
                        setattr(self, name, getattr(chip, name))

        plain = Plain(it.chip)
        it.can = MachineCan(plain, clock, IDS)
        it.can.on_frame = lambda can_id, flags, data: it.frames.append((can_id, flags, bytes(data)))
        it.begin()
        await it.up()
        for n in range(50):
            assert it.chip.arrive(*LIMITS)
            await settle(2)
        assert len(it.frames) == 50
        it.task.cancel()

    virtual_run(main, WireClock())


def test_interrupt_in_the_middle_of_reading():
    async def check(it, clock):
        for place in range(12):
            it.frames.clear()
            left = [place]

            def hook(left=left):
                left[0] -= 1
                if left[0] == -1:
                    it.chip.hook = None
                    it.chip.arrive(IDS[1], FLAG_EXT, b"\x02")
                    it.chip.hook = hook_of[0]

            hook_of = [hook]
            it.chip.edges_lost = True
            it.chip.arrive(IDS[0], FLAG_EXT, b"\x01")
            it.chip.edges_lost = False
            it.chip.hook = hook
            await settle(40)
            it.chip.hook = None
            await settle()
            assert it.frames == [(IDS[0], FLAG_EXT, b"\x01"), (IDS[1], FLAG_EXT, b"\x02")], (place, it.frames)

    bench(check)


def test_off_in_the_middle_of_sending():
    for orders in (True, False):

        async def check(it, clock):
            for place in range(12):
                it.chip.forget_sent()
                left = [place]

                def hook(left=left):
                    left[0] -= 1
                    if left[0] == -1:
                        assert it.can.send(*ZERO[:2], URGENT) and it.can.send(*OFF[:2], URGENT)

                it.chip.hook = hook
                for n in range(3):
                    it.can.send(1, bytes([n]))
                it.chip.hook = None
                await settle(40)
                if left[0] >= 0:
                    break
                urgent = [frame for frame in it.chip.sent if frame[0] == OFF[0]]
                assert sorted([frame[1] for frame in urgent]) == [ZERO[1], OFF[1]], (place, it.chip.sent)
            assert place > 3

        bench(check, orders=orders)


def test_nobody_acknowledges():
    async def check(it, clock):
        it.chip.acked = False
        for n in range(5):
            assert it.can.send(n, b"")
        await settle(200)
        assert it.count("tx_dropped") >= 4 and it.chip.waiting <= 1 and it.can.error_passive
        tried = 0
        for _ in range(52):
            tried += it.can.send(9, b"")
            await settle(40)
        assert 1 <= tried <= 2, tried
        it.chip.acked = True
        it.chip.arrive(*LIMITS)
        await settle()
        assert it.can.send(7, b"") and it.can.send(8, b"")
        await settle()
        assert it.chip.sent[-2:] == [(7, b"", FLAG_EXT), (8, b"", FLAG_EXT)] and it.count("bus_off") == 0

    bench(check)


def test_urgent_restarts_a_controller_that_is_off():
    async def check(it, clock):
        it.chip.broken = True
        it.can.send(1, b"")
        assert "bus-off" in str(await it.ends())
        it.chip.broken = False
        assert it.can.send(*ZERO[:2], URGENT) and it.can.send(*OFF[:2], URGENT)
        await settle()
        assert sorted([frame[1] for frame in it.chip.sent]) == [ZERO[1], OFF[1]]

    bench(check)


def test_bus_off_waits_longer_each_time():
    async def check(it, clock):
        waits = []
        for _ in range(6):
            it.chip.arrive(*LIMITS)
            await settle()
            it.chip.broken = True
            it.can.send(1, b"")
            await it.ends()
            it.chip.broken = False
            began = clock.moved
            it.begin()
            await it.up(40_000)
            waits.append((clock.moved - began + 500) // 1000)
        assert waits == [1, 2, 4, 8, 16, 30], waits
        await settle(31_000)
        it.chip.broken = True
        it.can.send(1, b"")
        await it.ends()
        it.chip.broken = False
        it.begin()
        await it.up(1100)

    bench(check)


def test_controller_that_cannot_count():
    async def check(it, clock):
        for n in range(50):
            assert it.can.send(n, bytes([n]))
            await settle(3)
        assert len(it.chip.sent) == 50 and it.count("tx") == 50

    bench(check, counts_tx=False)


def test_controller_that_is_not_initialised():
    async def main(clock):
        it = Bench(clock)
        it.chip._state = it.chip.STATE_STOPPED
        it.chip.restart = lambda: None
        it.begin()
        assert "initialise" in str(await it.ends())
        assert not it.can.send(*OFF[:2], URGENT)

    virtual_run(main, WireClock())


def test_controller_without_a_member_is_named():
    for missing in ("set_filters", "get_counters", "FLAG_UNORDERED", "STATE_BUS_OFF"):

        class Poor:
            pass

        poor, whole = Poor(), FakeMachineCan()
        for name in dir(whole):
            if name[0] != "_" and name != missing:
                setattr(poor, name, getattr(whole, name))
        try:
            MachineCan(poor, WireClock())
            raise AssertionError("accepted")
        except ValueError as exc:
            assert missing in str(exc), exc
