"""What the fuzz tests of the CAN path share: how much, which frames, and who may say "permitted".

10 million bytes or frames per driver with FUZZ=full in the environment (`make fuzz`). In an ordinary run: what is quick
whole on the 64-bit port and a tenth on the 32-bit port, the rest a tenth and a fiftieth. Code and seeds are the same,
so that share is the beginning of the whole.
"""

import gc
import os
import random
import struct
import sys

from fakes import FakeClock

from drivers.bms.rivot_can import RivotBms
from drivers.can import FLAG_EXT, FLAG_RTR
from drivers.can.rivot_ids import BMS, MODULE

FULL = 10_000_000
LIMITS = 0x1806E5F4
_STALE_MS = 3000

rand = random.getrandbits


def share(quick):
    """How many bytes or frames this run has; quick -- they take a microsecond each."""
    if os.getenv("FUZZ") == "full":
        return FULL
    wide = sys.maxsize > 1 << 40
    return (FULL if wide else FULL // 10) if quick else FULL // 10 if wide else FULL // 50


class Frames:
    """Random frames: ours, nearly ours, and noise. next() fills can_id, flags, size and the buffer `data`."""

    def __init__(self, seed, ids=BMS + MODULE):
        random.seed(seed)
        self.data = bytearray(8)
        self.views = [memoryview(self.data)[:n] for n in range(9)]
        self.can_id = self.flags = self.size = 0
        self._ids = ids

    def next(self):
        kind = rand(4)
        data = self.data
        struct.pack_into("<HHHH", data, 0, rand(16), rand(16), rand(16), rand(16))
        self.flags = FLAG_EXT
        self.size = 8
        self.can_id = self._ids[rand(8) % len(self._ids)]
        if kind < 6:  # plausible: small numbers, and what says "go"
            for i in range(8):
                if data[i] & 1:
                    data[i] = 0
        elif kind < 8:
            data[rand(3)] = rand(8) & 3
        elif kind < 10:  # all ones, all zeros: "not available", asleep
            for i in range(rand(4) & 7, 8):
                data[i] = 255 if kind & 1 else 0
        elif kind < 12:
            self.size = rand(4) % 9
        elif kind == 12:
            self.flags = rand(2)
            if not self.flags & FLAG_EXT:
                self.can_id &= 0x7FF
            if self.flags & FLAG_RTR and rand(1):
                self.size = 0
        elif kind == 13:
            self.can_id ^= 1 << rand(8) % 29
        elif kind == 14:
            self.can_id = rand(29)
            self.size = rand(4) % 9


class Permission:
    """A BMS driver that is fed with frames, and an independent opinion on whether it may say "permitted"."""

    def __init__(self, source="ah_counters"):
        self.clock = FakeClock()
        self.bms = RivotBms(None, self.clock, source)
        self._at = None  # uptime of the last frame that counts
        self._go = False
        self.permitted = self.refused = 0

    def feed(self, can_id, flags, data):
        """Offer a frame to the driver."""
        return self.bms.feed(can_id, flags, data)

    def heard(self, can_id, flags, data):
        """The frame was really on the bus."""
        if can_id == LIMITS and flags == FLAG_EXT and len(data) == 8:
            self._at = self.clock.uptime_ms()
            self._go = data[4] == 0

    def check(self):
        """The driver says what it has to say, no more and no less."""
        alive = self._at is not None and self.clock.uptime_ms() - self._at < _STALE_MS
        bms = self.bms
        permits = bms.permits()
        assert permits == (alive and self._go) and bms.is_alive() == alive, (permits, alive, self._go)
        assert (alive or bms.max_ma == bms.max_mv == 0) and 0 <= bms.max_mv <= 6_553_500
        soc = bms.soc
        assert soc is None or 0 <= soc <= 10_000
        if permits:
            self.permitted += 1
        else:
            self.refused += 1


class Memory:
    """Asserts that the memory in use does not grow."""

    def __init__(self, slack=1500):
        self._used = None
        self._slack = slack

    def check(self):
        gc.collect()
        used = gc.mem_alloc()
        if self._used is None:
            self._used = used
        assert used <= self._used + self._slack, (self._used, used)
