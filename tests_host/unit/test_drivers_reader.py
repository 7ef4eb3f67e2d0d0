"""The id-tag reader on its register-level model: uids, a card that lies there, noise, a chip that goes."""

import asyncio
import random

from fakes import FakeLog, virtual_run
from mfrc522_chip import Card, Reader, crc

from drivers.reader import ReaderError, mfrc522
from drivers.reader.mfrc522 import Mfrc522
from drivers.reader.watch import Watch

FOUR = b"\x04\xa1\xb2\xc3"
SEVEN = b"\x04\x52\xf8\x9a\x37\x5c\x80"
TEN = b"\x04\x11\x22\x33\x44\x55\x66\x77\x88\x99"


def watched(script):
    """Run `await script(chip, watch, swipes, log)` beside the reader, under a virtual clock."""

    async def main(clock):
        chip, log, swipes = Reader(), FakeLog(), []
        watch = Watch(Mfrc522(chip, chip), clock, log, swipes.append)
        task = asyncio.create_task(watch.run())
        await asyncio.sleep_ms(200)
        await script(chip, watch, swipes, log)
        assert not chip.unselected, "a transfer without chip select"
        assert not task.done(), "the service ended"
        task.cancel()

    virtual_run(main)


def test_checksum_of_the_standard():
    # ISO/IEC 14443-3, annex B.1: 00 00 gives A0 1E, 12 34 gives 26 CF; HLTA as every card knows it
    for data, want in ((b"\x00\x00", b"\xa0\x1e"), (b"\x12\x34", b"\x26\xcf"), (b"\x50\x00", b"\x57\xcd")):
        assert mfrc522._with_crc(data) == data + want and crc(data) == want


def test_uids_of_every_length():
    async def script(chip, watch, swipes, log):
        assert watch.is_up
        for uid in (FOUR, SEVEN, TEN):
            swipes.clear()
            chip.cards = [Card(uid)]
            await asyncio.sleep_ms(400)
            assert swipes == ["".join("%02X" % byte for byte in uid)]
            chip.cards = []
            await asyncio.sleep_ms(1000)
        assert watch.cards == 3 and watch.lost == 0

    watched(script)


def test_a_card_left_lying_counts_once():
    async def script(chip, watch, swipes, log):
        chip.cards = [Card(FOUR)]
        await asyncio.sleep_ms(300_000)
        assert swipes == ["04A1B2C3"]

    watched(script)


def test_a_card_presented_again_counts_again():
    async def script(chip, watch, swipes, log):
        for _ in range(3):
            chip.cards = [Card(FOUR)]
            await asyncio.sleep_ms(500)
            chip.cards = []
            await asyncio.sleep_ms(1000)
        assert len(swipes) == 3

    watched(script)


def test_a_short_gap_is_the_same_presentation():
    async def script(chip, watch, swipes, log):
        card = Card(FOUR)
        for _ in range(20):
            chip.cards = [card]
            await asyncio.sleep_ms(250)
            chip.cards = []
            card.state = "idle"
            await asyncio.sleep_ms(250)
        assert len(swipes) == 1

    watched(script)


def test_another_card_in_its_place_is_another_swipe():
    async def script(chip, watch, swipes, log):
        chip.cards = [Card(FOUR)]
        await asyncio.sleep_ms(500)
        chip.cards = [Card(SEVEN)]
        await asyncio.sleep_ms(500)
        assert swipes == ["04A1B2C3", "0452F89A375C80"]

    watched(script)


def test_two_cards_at_once_are_none():
    async def script(chip, watch, swipes, log):
        chip.cards = [Card(FOUR), Card(b"\x11\x22\x33\x44")]
        await asyncio.sleep_ms(2000)
        assert swipes == [] and watch._reader.bad > 3 and watch.is_up

    watched(script)


def test_a_chip_that_goes_is_set_up_again():
    async def script(chip, watch, swipes, log):
        for level in (0xFF, 0x00):
            lost = watch.lost
            chip.dead = level
            await asyncio.sleep_ms(10_000)
            assert not watch.is_up and lost < watch.lost <= lost + 8
            chip.dead = None
            chip.reset()
            chip.cards = [Card(FOUR)]
            await asyncio.sleep_ms(31_000)
            assert watch.is_up and swipes[-1] == "04A1B2C3"
            chip.cards = []
            await asyncio.sleep_ms(1000)
        assert len([line for line in log.lines if "no answer" in line[2]]) == 2  # told once each

    watched(script)


def test_a_dip_of_the_supply_is_noticed():
    async def script(chip, watch, swipes, log):
        resets = chip.resets
        chip.reset()  # the antenna is off: no card would ever be seen
        await asyncio.sleep_ms(2000)
        assert chip.resets == resets + 1 and watch.is_up

    watched(script)


def test_a_transmitter_that_hangs_is_an_error():
    async def script(chip, watch, swipes, log):
        chip.hangs = True
        await asyncio.sleep_ms(2000)
        assert watch.lost
        chip.hangs = False
        await asyncio.sleep_ms(31_000)
        assert watch.is_up

    watched(script)


def test_a_missing_chip_is_told_once_and_looked_for_for_ever():
    async def main(clock):
        chip, log, swipes = Reader(), FakeLog(), []
        chip.dead = 0xFF
        watch = Watch(Mfrc522(chip, chip), clock, log, swipes.append)
        task = asyncio.create_task(watch.run())
        await asyncio.sleep_ms(3_600_000)
        assert len(log.lines) == 1 and "version 0xff: wiring or supply" in log.lines[0][2]
        assert 100 < watch.lost < 140  # every 30 s
        chip.dead = None
        await asyncio.sleep_ms(31_000)
        assert watch.is_up
        task.cancel()

    virtual_run(main)


def test_noise_in_the_air_gives_no_swipe_and_no_exception():
    """No answer of random bytes may become a tag: each part has a check byte and each selection a checksum."""

    async def script(chip, watch, swipes, log):
        random.seed(522)

        def noise(answer):
            kind = random.getrandbits(2)
            if kind == 0:
                return None
            if kind == 1:
                return answer
            data = bytes([random.getrandbits(8) for _ in range(random.getrandbits(5))])
            if kind == 2 or not answer:
                return data
            at = random.randrange(len(answer))
            return answer[:at] + bytes([answer[at] ^ 1 << random.getrandbits(3) & 7]) + answer[at + 1 :]

        chip.noise = noise
        chip.cards = [Card(SEVEN)]
        for _ in range(100):
            await asyncio.sleep_ms(1000)
        assert set(swipes) <= {"0452F89A375C80"}, set(swipes)
        assert watch.is_up and watch.lost == 0 and watch._reader.bad > 30

    watched(script)


def test_noise_on_the_wires_gives_no_exception_but_an_error():
    """Whatever bytes the SPI delivers, only ReaderError comes out."""

    class Wires:
        def value(self, level):
            pass

        def write(self, out):
            pass

        def write_readinto(self, out, into):
            into[1] = random.choice((0x92, random.getrandbits(8)))

    async def main(clock):
        random.seed(1)
        driver = Mfrc522(Wires(), Wires())
        found = errors = 0
        for _ in range(400):
            try:
                found += await driver.poll() is not None
            except ReaderError:
                errors += 1
        assert errors > 100 and found == 0

    virtual_run(main)
