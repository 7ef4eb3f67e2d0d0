"""Keeps a new firmware image once it has shown that it works; else the next reset returns to the old one.

Source: ESP-IDF "App rollback"; MicroPython esp32.Partition. Where there is one image only, nothing happens.
"""

import asyncio

from esp32 import Partition
from micropython import const

_LOOK_MS = const(5000)
_PROOF_MS = const(60_000)  # with the central system this long ...
_ALONE_MS = const(900_000)  # ... or alive this long, for a site without network


class Image:
    """hal -- is_online; kept -- None until the image was confirmed, then whether there was anything to confirm"""

    def __init__(self, hal, clock, log):
        self._hal = hal
        self._clock = clock
        self._log = log
        self.kept = None

    async def run(self):
        """Wait for the proof, confirm once, and stay."""
        online_since = None
        while True:
            await asyncio.sleep_ms(_LOOK_MS)
            if self.kept is not None:
                continue
            now = self._clock.uptime_ms()
            if self._hal.is_online is None or not self._hal.is_online():
                online_since = None
            elif online_since is None:
                online_since = now
            if now >= _ALONE_MS or (online_since is not None and now - online_since >= _PROOF_MS):
                self._confirm()

    def _confirm(self):
        try:
            Partition.mark_app_valid_cancel_rollback()
            self.kept = True
        except OSError as exc:  # -261: this bootloader cannot roll back
            self.kept = False
            self._log.info("image", "no rollback here (%s)" % exc.errno)
