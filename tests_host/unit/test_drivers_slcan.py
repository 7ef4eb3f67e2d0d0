"""drivers/can/slcan: line parser, sending under pressure, set-up, status, loss, on an adapter that speaks the lines."""

import asyncio
import gc
import random

import micropython
from can_bench import CanBench
from fakes import FakeClock, virtual_run

from drivers.can import FLAG_EXT, FLAG_RTR, FLAG_URGENT, CanError
from drivers.can.slcan import Slcan


class Adapter:
    """A HAL stream with an SLCAN adapter behind it.

    lines -- every complete line it was sent, without CR
    room -- bytes that one write takes, None: all; 0: the stream is full
    budget -- bytes that are taken before the stream is full, None: no end
    """

    def __init__(self, answers=True, blank=b"\r", status=b"F00\r", refuse=b"", frame=b""):
        self.answers = answers  # False: says nothing by itself
        self.blank = blank  # answer to an empty line
        self.status = status  # answer to F
        self.refuse = refuse  # first letter of the command that gets BELL
        self.frame = frame  # answer to a frame
        self.lines = []
        self.room = None
        self.budget = None
        self.dead = False
        self.closed = 0
        self.opened = 0
        self.log = bytearray(20_000)  # raw bytes as written; filled without allocation
        self.n = 0
        self._line = b""
        self._input = []
        self._ready = asyncio.Event()
        self.lock_heap = False  # heap locked from the return of one read to the next read
        self._locked = False

    async def open(self):
        self.opened += 1
        return self

    # -- the stream

    def write(self, buf, start, n):
        if self.dead:
            raise OSError(32)
        if self.room is not None:
            n = min(n, self.room)
        if self.budget is not None:
            n = min(n, self.budget)
            self.budget -= n
        for i in range(n):
            self.log[self.n + i] = buf[start + i]
        self.n += n
        if self.answers:
            self._take(bytes(buf[start : start + n]))
        return n

    def readinto(self, buf):
        if self._locked:
            micropython.heap_unlock()
            self._locked = False
        return self._read(buf)

    async def _read(self, buf):
        while not self._input:
            self._ready.clear()
            await self._ready.wait()
        chunk = self._input[0]
        if isinstance(chunk, Exception):
            raise chunk
        n = min(len(chunk), len(buf))
        buf[:n] = chunk[:n]
        self._input[0] = chunk[n:]
        if not self._input[0]:
            self._input.pop(0)
        if self.lock_heap:
            self._locked = True
            micropython.heap_lock()
        return n

    def close(self):
        self.closed += 1

    # -- the other side

    def say(self, chunk):
        """Bytes for the driver; one read takes at most one chunk. b"" is the end of the stream."""
        self._input.append(chunk)
        self._ready.set()

    def _take(self, data):
        self._line += data
        while b"\r" in self._line:
            line, self._line = self._line.split(b"\r", 1)
            self.lines.append(line)
            kind = line[:1]
            if kind and kind == self.refuse:
                self.say(b"\x07")
            elif not line:
                if self.blank:
                    self.say(self.blank)
            elif kind == b"F":
                self.say(self.status)
            elif kind in b"TtRr":
                if self.frame:
                    self.say(self.frame)
            else:
                self.say(b"\r")

    def written(self):
        return bytes(self.log[: self.n])


class Bench(CanBench):
    """A driver on an adapter; `async with` runs it, opened, in the virtual clock's loop."""

    def __init__(self, clock, adapter=None, **options):
        self.adapter = adapter or Adapter()
        super().__init__(Slcan(self.adapter.open, clock, **options))

    async def __aenter__(self):
        self.begin()
        await self.up()
        self.setup_lines = list(self.adapter.lines)
        self.adapter.lines.clear()
        self.adapter.n = 0
        return self

    async def __aexit__(self, *_):
        await self.end()

    async def hear(self, *chunks):
        for chunk in chunks:
            self.adapter.say(chunk)
        while self.adapter._input:
            await asyncio.sleep_ms(0)
        await asyncio.sleep_ms(0)


def bench(test, **options):
    """Run `test(bench, clock)` on an open channel under a virtual clock."""

    async def main(clock):
        adapter = options.pop("adapter", None)
        async with Bench(clock, adapter, **options) as it:
            await test(it, clock)

    virtual_run(main)


FRAME = b"T1806E5F480348012C00000000\r"
GOT = (0x1806E5F4, FLAG_EXT, b"\x03\x48\x01\x2c\x00\x00\x00\x00")


# -- set-up


def test_setup_sequence():
    async def main(clock):
        adapter = Adapter()
        can = Slcan(adapter.open, clock)
        assert not can.is_up and can.send(1, b"") is False
        task = asyncio.create_task(can.run())
        while not can.is_up:
            await asyncio.sleep_ms(1)
        assert adapter.written() == b"\r\r\rC\rS5\rO\r", adapter.written()
        assert clock.moved < 100  # all answers came: no time is wasted
        task.cancel()
        try:
            await task
            raise AssertionError("not cancelled")
        except asyncio.CancelledError:
            pass
        assert adapter.closed == 1 and not can.is_up

    virtual_run(main)


def test_setup_without_answers_to_the_first_commands():
    async def main(clock):
        adapter = Adapter(answers=False)
        can = Slcan(adapter.open, clock, bitrate=500_000)
        task = asyncio.create_task(can.run())
        while not adapter.written().endswith(b"\rS6\rO\r"):
            await asyncio.sleep_ms(1)
            assert clock.moved < 500
        assert not can.is_up
        adapter.say(FRAME + b"\r")  # a frame of before is not delivered; CR is the answer to O
        while not can.is_up:
            await asyncio.sleep_ms(1)
            assert clock.moved < 1000
        assert can.counters()["rx"] == 0
        task.cancel()

    virtual_run(main)


def test_setup_refused_or_unanswered_then_again():
    async def main(clock):
        adapter = Adapter(refuse=b"O")
        can = Slcan(adapter.open, clock)
        for prepare in (lambda: None, lambda: setattr(adapter, "answers", False)):
            prepare()
            began = clock.moved
            try:
                await can.run()
                raise AssertionError("no CanError")
            except CanError:
                pass
            assert clock.moved - began < 1000
            assert not can.is_up
        assert adapter.closed == adapter.opened == 2
        adapter.answers, adapter.refuse = True, b""
        task = asyncio.create_task(can.run())
        while not can.is_up:
            await asyncio.sleep_ms(10)
        assert can.counters()["reopened"] == 2
        task.cancel()

    virtual_run(main)


def test_open_fails():
    async def main(clock):
        for error in (OSError(111), asyncio.TimeoutError()):

            async def refuse(error=error):
                raise error

            can = Slcan(refuse, clock)
            try:
                await can.run()
                raise AssertionError("no CanError")
            except CanError as exc:
                assert str(exc).startswith("no adapter"), exc
            assert not can.is_up

    virtual_run(main)


def test_unknown_bitrate():
    try:
        Slcan(None, FakeClock(), bitrate=250_001)
    except ValueError:
        return
    raise AssertionError("accepted")


# -- receiving


def test_receive_all_kinds():
    async def check(it, clock):
        await it.hear(
            FRAME,
            b"T1806e5f480348012c00000000\r",  # lower case
            b"\nt7FF2A1b2\r\n",  # standard; line feeds are ignored
            b"T000000000\r",
            b"T1FFFFFFF1fF\r",
            b"t0000\rt1238FFFFFFFFFFFFFFFF\r",
            b"R18FF50E58\r",  # remote frames have no data, whatever their length digit
            b"r5F40\r",
            b"T0000\n00011\n07\r",  # line feeds inside too
        )
        expected = [
            GOT,
            GOT,
            (0x7FF, 0, b"\xa1\xb2"),
            (0, FLAG_EXT, b""),
            (0x1FFFFFFF, FLAG_EXT, b"\xff"),
            (0, 0, b""),
            (0x123, 0, b"\xff" * 8),
            (0x18FF50E5, FLAG_EXT | FLAG_RTR, b""),
            (0x5F4, FLAG_RTR, b""),
            (1, FLAG_EXT, b"\x07"),
        ]
        assert it.frames == expected, it.frames
        counters = it.can.counters()
        assert counters["rx"] == 10 and counters["bad"] == 0

    bench(check)


def test_receive_cut_anywhere():
    text = FRAME + b"t12321234\r\x07" + b"T000001001AB\r" + b"z\r"

    async def check(it, clock):
        whole = None
        for first in range(1, len(text)):
            for second in (first + 1, first + 7, len(text)):
                it.frames.clear()
                parts = [part for part in (text[:first], text[first:second], text[second:]) if part]
                await it.hear(*parts)
                whole = whole or list(it.frames)
                assert it.frames == whole and len(whole) == 3, (first, second, it.frames)
        it.frames.clear()
        for byte in text:
            await it.hear(bytes([byte]))
        assert it.frames == whole
        assert it.can.counters()["bad"] == 0

    bench(check)


def test_receive_malformed():
    lines = (
        b"T",
        b"T1806E5F4",
        b"T1806E5F48",
        b"T1806E5F480348012C000000",  # short
        b"T1806E5F480348012C0000000",  # odd
        b"T1806E5F480348012C0000000000",  # long
        b"T1806E5F480348012C000000001234",  # timestamp: never switched on
        b"T1806E5F490348012C0000000000",  # length 9
        b"T1806E5F4A0348012C0000000000",
        b"T1806E5F4G0348012C00000000",
        b"T200000000",  # beyond 29 bits
        b"T8000000000",
        b"TF806E5F480348012C00000000",
        b"T1806E5G480348012C00000000",
        b"T1806E5F480348012C0000000G",
        b"T1806E5F480348012C000000 0",
        b"T 806E5F480348012C00000000",
        b"t8001AA",  # beyond 11 bits
        b"t12",
        b"t1231A",
        b"t1231\xc3\x84",
        b"R18FF50E51AA",  # remote frame with data
        b"r5F49",
        b"r5F4",
        b"X1806E5F480348012C00000000",
        b" T1806E5F480348012C00000000",
        b"zz",
        b"F0",
        b"F0G",
        b"F000",
        b"V1013",
        b"\x00",
        b"\xff\xfe",
        b"T" + b"0" * 39,
        b"T" + b"0" * 40,
        b"\x00" * 300,
    )

    async def check(it, clock):
        for n, line in enumerate(lines):
            await it.hear(line + b"\r")
            assert not it.frames, line
            assert it.can.counters()["bad"] == n + 1, line
            assert it.can.is_up
        await it.hear(b"T1806E5\x07" + FRAME)  # BELL ends the line, too
        assert it.frames == [GOT]
        assert it.can.counters()["bad"] == len(lines) + 1
        assert it.can.counters()["refused"] == 1

    bench(check)


def test_receive_overlong_line_swallows_what_is_in_it():
    async def check(it, clock):
        for size in (41, 60, 150):
            bad = it.can.counters()["bad"]
            it.frames.clear()
            await it.hear(b"X" * (size - 5), b"X" * 5, FRAME)  # this frame is the rest of that line
            assert it.frames == [] and it.can.counters()["bad"] == bad + 1, size
            await it.hear(FRAME)
            assert it.frames == [GOT] and it.can.counters()["bad"] == bad + 1, size

    bench(check)


def test_receive_noise_is_bounded():
    async def check(it, clock):
        random.seed(20)
        noise = bytes([random.getrandbits(8) for _ in range(4000)])
        await it.hear(noise)
        await it.hear(b"\r")
        await it.hear(FRAME)
        assert it.frames[-1] == GOT
        rx = it.can.counters()["rx"]
        chunk = b"T1806E5F4802D000" * 64  # 1 kB, no line end
        gc.collect()
        before = gc.mem_alloc()
        bad = it.can.counters()["bad"]
        for _ in range(1024):
            await it.hear(chunk)
        gc.collect()
        assert gc.mem_alloc() - before < 2000, gc.mem_alloc() - before
        assert it.can.counters()["bad"] == bad + 1  # one line, however long
        await it.hear(b"\r" + FRAME)
        assert it.frames[-1] == GOT and it.can.counters()["rx"] == rx + 1

    bench(check)


def test_receive_allocates_nothing():
    seen = bytearray(8)
    count = [0]

    def take(can_id, flags, data):
        count[0] += 1
        for i in range(len(data)):
            seen[i] = data[i]

    async def check(it, clock):
        it.can.on_frame = take
        it.adapter.answers = False
        it.adapter.lock_heap = True
        garbage = b"T2000000000\rT1806E5F480348012C0000000G\r\x00\x01\x02\rF80\r\x07z\r" + b"U" * 50 + b"\r"
        # The text is cut by the size of the reads as well, so unfinished lines are kept on the way.
        await it.hear((FRAME + b"t1232AABB\rR18FF50E58\r" + garbage) * 40)
        it.adapter.lock_heap = False
        await it.hear(FRAME)
        assert count[0] == 3 * 40 + 1, count
        assert it.can.counters()["bad"] == 4 * 40
        assert bytes(seen) == GOT[2]

    bench(check)


def test_receive_callback_bug_reaches_the_supervisor():
    async def check(it, clock):
        def broken(can_id, flags, data):
            raise RuntimeError("bug")

        it.can.on_frame = broken
        it.adapter.say(FRAME)
        assert isinstance(await it.ends(), RuntimeError)
        assert it.adapter.closed == 1 and not it.can.is_up

    bench(check)


# -- sending


def test_send_encoding():
    async def check(it, clock):
        can = it.can
        assert can.send(0x1806E5F4, GOT[2])
        assert can.send(0x1806E5F4, memoryview(GOT[2]))
        assert can.send(0x7FF, b"\xa1\x0b", 0)
        assert can.send(0x1FFFFFFF, b"")
        assert can.send(0x18FF50E5, bytes(8), FLAG_EXT | FLAG_RTR)
        assert can.send(0x5F4, b"", FLAG_RTR)
        assert it.adapter.written() == FRAME + FRAME + b"t7FF2A10B\rT1FFFFFFF0\rR18FF50E58\rr5F40\r", (
            it.adapter.written()
        )
        assert can.counters()["tx"] == 6
        for can_id, data, flags in (
            (0x20000000, b"", FLAG_EXT),
            (0x800, b"", 0),
            (-1, b"", 0),
            (1, bytes(9), FLAG_EXT),
        ):
            try:
                can.send(can_id, data, flags)
                raise AssertionError("accepted %x" % can_id)
            except ValueError:
                pass

    bench(check)


def test_send_allocates_nothing():
    async def check(it, clock):
        it.adapter.answers = False
        can = it.can
        data = bytes(8)
        rooms = (None, 5, 0, None)
        micropython.heap_lock()
        try:
            for room in rooms:
                it.adapter.room = room
                for _ in range(20):
                    can.send(0x1806E5F4, data)
                can.send(0x068181FE, data, FLAG_EXT | FLAG_URGENT)
        finally:
            micropython.heap_unlock()
        assert can.counters()["tx"] > 20

    bench(check)


def test_send_partial_writes_keep_lines_whole_and_in_order():
    async def check(it, clock):
        can = it.can
        expected = b""
        for n in range(300):
            it.adapter.room = (3, 26, None, 1)[n % 4]
            it.adapter.budget = (30, 0, 7, 40, 1, 0, 20)[n % 7]
            if can.send(0x100 + n, bytes([n & 255, n >> 8]), FLAG_EXT if n & 1 else 0):
                start = b"T%08X" % (0x100 + n) if n & 1 else b"t%03X" % (0x100 + n)
                expected += start + b"2%02X%02X\r" % (n & 255, n >> 8)
            if n % 16 == 15:
                it.adapter.budget = 500
                await asyncio.sleep_ms(100)  # the service writes the rest
        it.adapter.room = it.adapter.budget = None
        await asyncio.sleep_ms(100)
        frames = b"".join([line + b"\r" for line in it.adapter.lines if line[:1] in b"tT"])
        assert frames == expected, (frames, expected)
        counters = can.counters()
        assert counters["tx"] + counters["tx_dropped"] == 300 and counters["tx"] > 150, counters

    bench(check)


def test_send_full_drops_the_new_frame():
    async def check(it, clock):
        it.adapter.room = 0
        taken = [it.can.send(n, b"") for n in range(12)]
        assert taken == [True] * 9 + [False] * 3, taken  # one being written and 8 waiting
        assert it.can.counters()["tx_dropped"] == 3
        it.adapter.room = None
        await asyncio.sleep_ms(50)
        assert it.adapter.written() == b"".join([b"T%08X0\r" % n for n in range(9)])
        assert it.can.send(77, b"")
        assert it.adapter.written().endswith(b"T0000004D0\r")

    bench(check)


def test_urgent_passes_a_full_queue():
    async def check(it, clock):
        can = it.can
        it.adapter.budget = 4
        can.send(0x11, b"")  # half written
        while can.send(0x12, b""):
            pass
        dropped = can.counters()["tx_dropped"]
        assert can.send(0x21, b"\x01", FLAG_EXT | FLAG_URGENT)
        assert can.send(0x22, b"\x02", FLAG_EXT | FLAG_URGENT)
        assert can.counters()["tx_dropped"] == dropped + 8
        can.send(0x13, b"")  # a later ordinary frame waits behind ...
        assert can.send(0x23, b"\x03", FLAG_EXT | FLAG_URGENT)  # ... and the next urgent one removes it
        assert can.send(0x14, b"")
        it.adapter.budget = None
        await asyncio.sleep_ms(50)
        expected = b"T000000110\rT00000021101\rT00000022102\rT00000023103\rT000000140\r"
        assert it.adapter.written() == expected, it.adapter.written()

    bench(check)


def test_urgent_repeated_into_a_jam():
    async def check(it, clock):
        can = it.can
        it.adapter.room = 0
        results = [can.send(0x21 + n % 2, b"", FLAG_EXT | FLAG_URGENT) for n in range(20)]
        assert results == [True] * 9 + [False] * 11, results
        can.send(0x13, b"")
        it.adapter.room = None
        await asyncio.sleep_ms(50)
        assert it.adapter.lines == [b"T000000%d0" % (21 + n % 2) for n in range(9)]
        assert can.send(0x13, b"")  # and then everything is as before
        assert it.adapter.lines[-1] == b"T000000130"

    bench(check)


def test_urgent_is_tried_during_a_bus_error():
    async def check(it, clock):
        await it.hear(b"F80\r")
        assert not it.can.is_up
        assert not it.can.send(0x11, b"")
        assert it.can.send(0x21, b"", FLAG_EXT | FLAG_URGENT)
        assert it.adapter.written() == b"T000000210\r"

    bench(check)


def test_uart_two_unanswered_sends():
    async def check(it, clock):
        can, adapter = it.can, it.adapter
        adapter.answers = False
        for n in range(5):
            assert can.send(n, b"")
        assert adapter.written() == b"T000000000\rT000000010\r", adapter.written()
        await it.hear(b"Z\r")
        assert adapter.written().endswith(b"T000000020\r")
        await it.hear(b"\x07")  # refused: counts as an answer
        assert adapter.written().endswith(b"T000000030\r")
        assert can.counters()["refused"] == 1
        assert can.send(0x21, b"", FLAG_EXT | FLAG_URGENT)  # does not wait for answers
        assert adapter.written().endswith(b"T000000210\r")
        assert can.send(9, b"")
        n = adapter.n
        await asyncio.sleep_ms(150)
        assert adapter.n == n
        await asyncio.sleep_ms(150)  # the answers were lost
        assert adapter.written().endswith(b"T000000090\r"), adapter.written()
        assert can.counters()["refused"] == 2

    bench(check, uart=True)


def test_uart_answered_traffic_flows():
    async def check(it, clock):
        sent = 0
        for n in range(100):
            sent += it.can.send(n, b"\x01")
            await asyncio.sleep_ms(5)
        assert sent == 100
        assert [line for line in it.adapter.lines if line[:1] == b"T"] == [b"T%08X101" % n for n in range(100)]
        assert it.can.counters()["refused"] == 0

    bench(check, uart=True, adapter=Adapter(frame=b"Z\r"))


# -- status and loss


def test_status_flags():
    async def check(it, clock):
        can, adapter = it.can, it.adapter
        await asyncio.sleep_ms(2100)
        assert adapter.lines.count(b"F") == 4
        adapter.status = b"F20\r"
        await asyncio.sleep_ms(600)
        assert can.error_passive and can.is_up and can.counters()["bus_off"] == 0
        adapter.status = b"F08\r"
        await asyncio.sleep_ms(500)
        assert not can.error_passive and can.counters()["overrun"] == 1
        adapter.status = b"FA0\r"
        await asyncio.sleep_ms(1100)
        assert not can.is_up and can.counters()["bus_off"] == 1  # once, not at each poll
        adapter.status = b"F00\r"
        await asyncio.sleep_ms(600)
        assert can.is_up
        adapter.status = b"f80\r"  # no status line
        await asyncio.sleep_ms(600)
        assert can.is_up

    bench(check)


def test_refused_frame_asks_for_the_status_at_once():
    async def check(it, clock):
        await asyncio.sleep_ms(1100)  # the adapter has shown that it knows F
        it.adapter.refuse, it.adapter.status = b"T", b"F80\r"
        began = clock.moved
        it.can.send(1, b"")
        while it.can.is_up:
            await asyncio.sleep_ms(1)
        assert clock.moved - began <= 120, clock.moved - began

    bench(check)


def test_lasting_bus_error_resets_the_controller():
    async def check(it, clock):
        it.adapter.status = b"F80\r"
        await asyncio.sleep_ms(3000)
        at = it.adapter.lines.index(b"C")
        assert it.adapter.lines[at : at + 3] == [b"C", b"S5", b"O"]
        assert it.can.counters()["reopened"] == 1 and it.adapter.opened == 1
        await it.hear(FRAME)  # frames are still taken
        assert it.frames == [GOT]
        it.adapter.status = b"F00\r"
        await asyncio.sleep_ms(600)
        assert it.can.is_up

    bench(check)


def test_adapter_without_status():
    async def check(it, clock):
        await asyncio.sleep_ms(20_000)
        assert it.can.is_up and not it.task.done()
        assert it.can.counters()["refused"] >= 39

    bench(check, adapter=Adapter(refuse=b"F"))


def test_adapter_falls_silent():
    async def check(it, clock):
        await asyncio.sleep_ms(1100)
        it.adapter.answers = False
        assert "answer" in str(await it.ends())
        assert it.adapter.closed == 1 and not it.can.is_up

    bench(check)


def test_stream_takes_nothing():
    async def check(it, clock):
        it.adapter.room = 0
        it.can.send(1, b"")
        began = clock.moved
        assert "no data" in str(await it.ends())
        assert 980 <= clock.moved - began < 1200, clock.moved - began
        it.adapter.say(FRAME)
        await asyncio.sleep_ms(100)
        assert it.adapter._input  # nobody reads on

    bench(check)


def test_stream_dies_on_write():
    async def check(it, clock):
        it.adapter.dead = True
        assert it.can.is_up
        assert it.can.send(1, b"") is False
        assert not it.can.is_up  # at once
        await it.ends()
        assert it.adapter.closed == 1

    bench(check)


def test_end_of_stream_and_read_error():
    for last in (b"", OSError(104)):

        async def check(it, clock, last=last):
            it.adapter.say(last)
            assert isinstance(await it.ends(), CanError)
            assert it.adapter.closed == 1 and not it.can.is_up
            assert it.can.send(1, b"") is False

        bench(check)


def test_next_life_starts_clean():
    async def check(it, clock):
        can, adapter = it.can, it.adapter
        adapter.budget = 5
        can.send(0x11, b"")  # half a line
        can.send(0x12, b"")
        await it.hear(b"T1806E5F4803", b"F80\r"[:2])
        adapter.say(b"")
        await it.ends()
        adapter._input.clear()
        adapter.lines.clear()
        adapter.budget, adapter._line, it.error = None, b"", None
        await it.__aenter__()
        assert it.setup_lines == [b"", b"", b"", b"C", b"S5", b"O"], it.setup_lines
        await it.hear(b"48012C00000000\r")  # the other half of the old line is noise
        assert it.frames == []
        await it.hear(FRAME)
        assert it.frames == [GOT]
        assert can.send(0x13, b"")
        assert adapter.written() == b"T000000130\r", adapter.written()
        assert can.counters()["reopened"] == 1 and can.counters()["bad"] == 1

    bench(check)
