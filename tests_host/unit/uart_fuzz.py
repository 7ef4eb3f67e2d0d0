"""Ten million bytes of noise and damaged frames for a UART BMS driver; a tenth of that on the 32-bit port.

What is checked after every piece: the driver says what the last checked frames mean to an independent reader (a frame
whose checksum is right by chance counts as seen), what is too old counts for nothing, a good frame is found at once
whatever was in front of it, and the memory in use stays the same.
"""

import gc
import random
import struct
import sys

BYTES = 10_000_000 if sys.maxsize > 1 << 40 else 1_000_000
STEP_MS = 40
CHECKED_MS = 3000


class Fuzz:
    """line -- uart_bench.Line; read -- callable(frame) -> {name: value} as the frame means, raises for a wrong frame;
    good -- callable(random number) -> a good frame, at this moment; before -- called before each piece;
    swallows -- a chance frame may take bytes of a good one (weak checksum)
    """

    def __init__(self, line, seed, read, good, before, swallows):
        self._line = line
        self._bms = line.bms
        self._random = random.getrandbits
        random.seed(seed)
        self._read, self._good, self._before = read, good, before
        self._swallows = swallows
        self._last = None  # the last frame handed over
        self._values = {}  # name -> (value, uptime)
        self.frames = self.goods = self.lost = self.permitted = self.expired = self.fed = 0
        line.bms.on_frame = self._frame

    def _frame(self, at, size, data):
        frame = bytes(data[at : at + size])
        read = self._read(frame)
        self._bms.feed(at, size, data)
        now = self._line.clock.uptime_ms()
        for name, value in read.items():
            self._values[name] = value, now
        self.frames += 1
        self._last = frame

    def expect(self, name):
        value, at = self._values.get(name, (None, 0))
        return value if self._line.clock.uptime_ms() - at < CHECKED_MS else None

    def check(self):
        bms, expect = self._bms, self.expect
        alive = bool(expect("seen"))
        mv = expect("mv")
        permits = bool(alive and expect("fet") and expect("clear") and mv is not None)
        assert bms.permits() == permits and bms.is_alive() == alive, (bms.permits(), permits, self._values, self._last)
        assert bms.pack_mv == mv and bms.soc == expect("soc") and bms.temperature_dc == expect("dc")
        assert bms.max_mv == (84_000 if alive else 0) and bms._kept < bms._keep
        self.permitted += permits
        self.expired += not alive

    def run(self):
        rand, line, bms = self._random, self._line, self._bms
        view = bms._view
        gc.collect()
        used = 0
        quiet = 0  # pieces without a good frame that are still to come
        turn = 0
        while self.fed < BYTES:
            line.clock.advance(STEP_MS)
            self._before(bms)
            kind = rand(8)
            if quiet:
                quiet -= 1
            elif kind == 255:
                quiet = 100
            if kind < 120 or quiet:
                n = 1 + rand(6)
                for i in range(0, n - 3, 3):
                    struct.pack_into("<I", view, i, rand(24))
                view[n - 1] = kind
                self.fed += n
                bms._parse(n)
            else:
                good = self._good(rand(16))
                if kind < 220:
                    self._feed(self._damaged(good))
                else:
                    garbage = bytes([rand(8) for _ in range(rand(4))])
                    head = good[: rand(4)] if kind & 1 else b""
                    self._last = None
                    self._feed(garbage + head + good)
                    self.goods += 1
                    if self._last != good:
                        self.lost += 1
                        assert self._swallows and self._last is not None, (garbage, head, good)
            self.check()
            turn += 1
            if turn % 20_000 == 0:
                gc.collect()
                if not used:
                    used = gc.mem_alloc()
                assert gc.mem_alloc() <= used + 1000, (used, gc.mem_alloc())
        print(
            "%d bytes: %d frames, %d good ones of which %d were swallowed; permitted %d of %d times, silent %d"
            % (self.fed, self.frames, self.goods, self.lost, self.permitted, turn, self.expired)
        )
        assert self.frames >= self.goods - self.lost > BYTES // 2000
        assert 0 < self.permitted < turn and 0 < self.expired < turn
        assert self.lost * 500 <= self.goods

    def _feed(self, data):
        self.fed += len(data)
        while data:
            n = min(1 + self._random(6), len(data))
            self._bms._view[:n] = data[:n]
            self._bms._parse(n)
            data = data[n:]

    def _damaged(self, frame):
        """A good frame with one to three defects."""
        rand = self._random
        frame = bytearray(frame)
        for _ in range(1 + rand(2)):
            at = rand(8) % len(frame)
            what = rand(3)
            if what < 3:
                frame[at] ^= 1 << rand(3)
            elif what == 3:
                frame[at] = rand(8)
            elif what == 4:
                del_from(frame, at, 1)
            elif what == 5:
                frame = frame[:at] + bytes((rand(8),)) + frame[at:]
            elif what == 6:
                frame = frame[: at + 1]
            else:
                other = rand(8) % len(frame)
                frame[at], frame[other] = frame[other], frame[at]
        return frame


def del_from(frame, at, n):
    """Take n bytes out, but never the last one."""
    if len(frame) > n:
        frame[at : at + n] = b""
