"""drivers/can/mcp2515: an SPI that answers noise, damaged and good bytes (how many: can_fuzz.py)."""
# heapsize: 2m
# timeout: 300

import asyncio

from can_fuzz import LIMITS, Frames, Memory, Permission, rand, share
from fakes import virtual_run
from mcp2515_chip import Chip, WireClock

from drivers.can import FLAG_EXT, FLAG_RTR, FLAG_URGENT, CanError
from drivers.can.mcp2515 import Mcp2515, spi_lock

IDS = (LIMITS, 0x160B8001, 0x160D8001)
SENT = ((0x18FF50E5, b"\x11\x22\x33\x44\x55\x66\x77\x88", FLAG_EXT), (0x123, b"", FLAG_RTR), (0x1FFFFFFF, b"\xff", 1))
OFF = (0x068181FE, b"\x01\x32\x00\x01\x00\x00\x00\x00", FLAG_EXT)


def image(can_id, data, flags):
    """The registers SIDH to D7 of a frame, from the definition of the fields."""
    if flags & FLAG_EXT:
        fields = (can_id >> 18) << 21 | 1 << 19 | can_id & 0x3FFFF
        return fields.to_bytes(4, "big") + bytes((len(data) | (0x40 if flags & FLAG_RTR else 0),)) + data
    return bytes((can_id >> 3, (can_id & 7) << 5))


def meaning(registers):
    """The same, backwards: (id, flags, data), None where our driver must not tell anybody."""
    fields = int.from_bytes(registers[:4], "big")
    if not fields >> 19 & 1:
        return None
    can_id, length = (fields >> 21) << 18 | fields & 0x3FFFF, registers[4]
    if can_id not in IDS:
        return None
    if length & 0x40:
        return can_id, FLAG_EXT | FLAG_RTR, b""
    return can_id, FLAG_EXT, bytes(registers[5 : 5 + min(length & 15, 8)])


class MadSpi:
    """Answers noise, a dead line, or what a chip would say, in phases; sometimes it raises."""

    def __init__(self, frames, registers):
        self.bytes = self.selected = 0
        self.wrong = None  # a frame that we sent has become another one
        self.expected = []
        self._frames = frames
        self._registers = registers
        self._phase = self._left = 0
        self._good = [image(*frame) for frame in SENT + (OFF,)]

    def cs(self, level):
        self.selected = not level

    def write(self, buf):
        self._begin(buf)
        if len(buf) == 16:
            frame = bytes(buf[3:16])
            if buf[0] != 2 or buf[1] not in (0x30, 0x40, 0x50) or buf[2] > 3:
                self.wrong = bytes(buf)
            for good in self._good:
                if frame[: len(good)] == good:
                    return
            self.wrong = bytes(buf)

    def write_readinto(self, out, into):
        self._begin(out)
        assert len(out) == len(into)
        opcode = out[0]
        for i in range(len(into)):
            into[i] = rand(8)
        if self._phase == 1:
            level = 255 if self._left & 64 else 0
            for i in range(len(into)):
                into[i] = level
        elif self._phase:
            if opcode == 0xA0:
                into[2] = into[1] if rand(4) else into[2]
            elif opcode == 3:
                into[2:6] = self._registers
                into[6] &= 0xA3 if rand(1) else 3
                into[7] = 0 if rand(2) else into[7]
                into[8] = into[9] = 0
                if rand(4) == 0:
                    into[2 + rand(3)] = rand(8)
            else:
                frames = self._frames
                frames.next()
                into[1 : 1 + len(image(0, b"", 1)) - 1] = image(frames.can_id & 0x1FFFFFFF, b"", FLAG_EXT)[:4]
                into[5] = frames.size | (rand(4) << 4 if rand(3) == 0 else 0)
                into[6:14] = frames.data
        if opcode & 0xF9 == 0x90:
            self.expected.append(meaning(bytes(into[1:14])))

    def _begin(self, buf):
        assert self.selected
        self.bytes += len(buf)
        if self._left == 0:
            self._phase, self._left = rand(2), 1 + rand(8)
        self._left -= 1
        if rand(10) == 0:
            raise OSError(5)


class Line:
    """An interrupt line that does what it likes."""

    IRQ_FALLING = 2

    def __call__(self):
        return rand(1)


def test_bytes():
    total = share(True)
    it = Permission()
    frames = Frames(400, IDS)
    spi = MadSpi(frames, None)
    line = Line()
    can = Mcp2515(spi, spi.cs, line, it.clock, ids=IDS)
    spi._registers = can._registers
    got = []

    def take(can_id, flags, data):
        got.append((can_id, flags, bytes(data)))
        it.feed(can_id, flags, data)

    can.on_frame = take
    can._ready = can.is_up = True
    memory = Memory(3000)
    turn = received = ended = raised = urgent = 0

    def locked(work, *arguments):
        spi_lock[0] = can
        try:
            work(*arguments)
        finally:
            can._leave()

    while spi.bytes < total:
        kind = rand(4)
        try:
            if kind < 7:
                can._edge(line if kind & 1 else None)
            elif kind < 10:
                locked(can._tx.serve, it.clock.ticks_ms())
            elif kind < 12:
                locked(can._check)
            elif kind < 15:
                can.send(*SENT[rand(4) % 3])
            else:
                urgent += can.send(OFF[0], OFF[1], FLAG_EXT | FLAG_URGENT)
        except CanError:
            ended += 1
            if ended & 1:  # the next life; else the same one goes on with whatever it has
                can._forget()
                spi.expected.clear()
        except OSError:
            raised += 1
            if spi.expected and len(spi.expected) > (can._head - can._tail) % 16:
                spi.expected.pop()
        assert spi_lock == [None, None] and not spi.selected and spi.wrong is None, spi.wrong
        tx = can._tx
        assert 0 <= tx.pending <= 7 and 0 <= tx.urgent <= 7 and tx.count <= 4 and tx.n_urgent == 0
        can._deliver()
        expected = [frame for frame in spi.expected if frame]
        assert got == expected, (got, expected)
        for frame in got:
            it.heard(*frame)
        received += len(got)
        got.clear()
        spi.expected.clear()
        it.clock.advance(rand(5))
        turn += 1
        if turn & 0xFFF == 0:
            it.clock.advance(rand(12))
            if turn & 0xFFFF == 0:
                memory.check()
        it.check()
    assert received > total // 500 and ended > 100 and raised > total // 50_000 and urgent > 100, (
        received,
        ended,
        raised,
        urgent,
    )
    assert it.permitted > turn // 50 and it.refused > turn // 50, (it.permitted, it.refused)
    counts = can.counters()
    assert counts["rx"] == received and min(counts.values()) >= 0


def test_lives_with_a_chip_that_goes_mad():
    """The whole of run(): set-up, lives and their ends, on a chip whose answers, lines and supply fail at random."""

    async def main(clock):
        lives = max(60, share(True) // 40_000)
        chip = Chip()
        clock.chips.append(chip)
        chip.elapse(1000)
        can = Mcp2515(chip.spi, chip.cs, chip.int_pin, clock, ids=IDS)
        heard = [0]
        ends = [0]

        def take(can_id, flags, data):
            assert can_id in IDS and flags & FLAG_EXT and len(data) <= 8
            heard[0] += 1

        async def life():
            try:
                await can.run()
            except (CanError, OSError):
                ends[0] += 1

        def corrupt(byte):
            return byte ^ (1 << rand(3)) if rand(10) < rate[0] else byte

        def traffic(ms):
            frames.next()
            chip.arrive(frames.can_id, frames.flags, frames.views[frames.size])

        can.on_frame = take
        rate = [0]
        frames = Frames(401, IDS)
        clock.traffic = traffic
        ups = 0
        for number in range(lives):
            task = asyncio.create_task(life())
            rate[0] = (0, 0, 1, 20)[number & 3]
            chip.corrupt = corrupt if rate[0] else None
            for _ in range(rand(6)):
                await asyncio.sleep_ms(rand(3))
                ups += can.is_up
                can.send(*SENT[rand(4) % 3])
                if rand(3) == 0:
                    can.send(OFF[0], OFF[1], FLAG_EXT | FLAG_URGENT)
            what = rand(3)
            if what == 0:
                chip.brown_out()
            elif what == 1:
                chip.vanish(rand(1) * 255)
            elif what == 2:
                chip.broken = True
            elif what == 3:
                chip.int_pin.forced = rand(1)
            elif what == 4:
                chip.acked = False
            elif what == 5:
                chip.dominant = True
            await asyncio.sleep_ms(rand(7))
            task.cancel()
            try:
                await task
            except asyncio.CancelledError:
                pass
            assert not can.is_up and spi_lock == [None, None] and not chip.selected
            assert not (what == 1 and can.send(1, b""))
            chip.dead = chip.int_pin.forced = None
            chip.acked = True
            chip.broken = chip.dominant = False
            can._pause_ms = can._wait_ms = 0  # the waits after bus-off are tested elsewhere
        assert ups > lives and ends[0] > lives // 20 and heard[0] > 20 * lives, (ups, ends, heard)

    virtual_run(main, WireClock())
