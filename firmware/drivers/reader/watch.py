"""Turns what a reader sees into swipes: a card counts once for as long as it lies there."""

import asyncio

from micropython import const

from . import ReaderError

_POLL_MS = const(100)
_GONE_POLLS = const(5)  # a card that was not seen this often has been taken away; one missed poll is noise
_RETRY_MIN_MS = const(500)
_RETRY_MAX_MS = const(30_000)


class Watch:
    """reader -- await set_up(), await poll() -> uid bytes or None, both ReaderError; on_card -- callable(hex text)

    is_up -- the reader answers; lost -- how often it did not; cards -- swipes told
    """

    def __init__(self, reader, clock, log, on_card):
        self._reader = reader
        self._clock = clock
        self._log = log
        self._on_card = on_card
        self.is_up = False
        self.lost = self.cards = 0

    async def run(self):
        """Watch for ever. A reader that vanishes is set up again, at growing intervals up to 30 s."""
        wait = _RETRY_MIN_MS
        while True:
            try:
                await self._reader.set_up()
                self.is_up = True
                self._log.info("reader", "ready")
                wait = _RETRY_MIN_MS
                await self._look()
            except ReaderError as exc:
                if self.is_up or not self.lost:
                    self._log.warn("reader", "no answer: %s" % exc)
                self.lost += 1
            finally:
                self.is_up = False
            await asyncio.sleep_ms(wait)
            wait = min(wait * 2, _RETRY_MAX_MS)

    async def _look(self):
        lying, missed = None, 0
        while True:
            uid = await self._reader.poll()
            if uid is None:
                missed += 1
                if missed >= _GONE_POLLS:
                    lying, missed = None, _GONE_POLLS
            else:
                missed = 0
                if uid != lying:
                    lying = uid
                    self.cards += 1
                    self._on_card("".join(["%02X" % byte for byte in uid]))
            await asyncio.sleep_ms(_POLL_MS)
