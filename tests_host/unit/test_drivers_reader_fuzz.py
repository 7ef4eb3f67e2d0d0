"""drivers/reader/mfrc522: random bytes on the wires (how many: can_fuzz.py). Only ReaderError comes out, and no tag."""
# heapsize: 1m
# timeout: 300

import gc
import random

from can_fuzz import share
from fakes import virtual_run

from drivers.reader import ReaderError
from drivers.reader.mfrc522 import Mfrc522

_VERSION = 0x92  # of a chip that is there: without it most reads end at once
_GROWTH = 2048


class Wires:
    """SPI and chip select; every second byte is what a sound chip could say."""

    def __init__(self):
        self.bytes = 0

    def value(self, level):
        pass

    def write(self, out):
        self.bytes += len(out)

    def write_readinto(self, out, into):
        self.bytes += len(out)
        kind = random.getrandbits(2)
        if kind > 1:
            into[1] = random.getrandbits(8)
        else:
            into[1] = random.choice((0x00, 0x21, 0x30, 0x31)) if kind else _VERSION


def test_random_bytes():
    async def main(clock):
        random.seed(522)
        wires = Wires()
        driver = Mfrc522(wires, wires)
        most, tags, polls, errors, used = share(True), 0, 0, 0, 0
        while wires.bytes < most:
            polls += 1
            try:
                if polls % 50 == 1:
                    await driver.set_up()
                tags += await driver.poll() is not None
            except ReaderError:
                errors += 1
            if polls == 1000:
                gc.collect()
                used = gc.mem_alloc()
        gc.collect()
        assert gc.mem_alloc() < used + _GROWTH, (used, gc.mem_alloc())
        assert 0 < errors < polls and tags == 0, (polls, errors, tags)

    virtual_run(main)
