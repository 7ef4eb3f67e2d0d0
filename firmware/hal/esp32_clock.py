"""The order of clocks: the chip's own, the last time that was certain, NTP, and above all the central system.

Messages carry a time only if somebody told it (lib/clock.py). Certificates need one earlier: without any, the chip's
clock starts from the last certain time, which is a lower bound. NTP is not authenticated, so it never leads back below
that; the central system, behind TLS, may.
"""

import asyncio
import os

from cold import cold
from micropython import const

_FLOOR = 1_767_225_600  # 2026-01-01, before the first release: no clock that is earlier has been set
_EPOCH_2000 = const(946_684_800)
_KEY = "time"  # NVS: seconds since 2000, so that 32 bits last until 2068
_LOOK_MS = const(1000)
_RETRY_MIN_MS = const(10_000)
_RETRY_MAX_MS = const(600_000)
_AGAIN_MS = const(21_600_000)  # 6 hours
_SAVE_MS = const(86_400_000)  # flash wear: once a day
_DRIFT_S = const(2)
_WAIT_MS = const(2000)
_NTP_PORT = const(123)


class TimeKeeper:
    """clock -- lib/clock.Clock; system, store -- cold modules' parts; names -- Names; host -- of the NTP server, or ""

    source -- "" until somebody told the time, then "rtc", "ntp" or "csms"
    """

    def __init__(self, clock, log, names, host, port=_NTP_PORT):
        self._clock = clock
        self._log = log
        self._names = names
        self._host = host
        self._port = port
        self._steps = clock.steps
        self._saved_at = None  # uptime of the last save
        self.source = ""
        self.bound = self._bound()
        self._begin()

    def _bound(self):
        try:
            seconds = cold("hal.esp32_nvs").Numbers().get(_KEY)
        except OSError as exc:
            self._log.error("time", exc)
            seconds = None
        return _FLOOR if seconds is None else max(_FLOOR, seconds + _EPOCH_2000)

    def _begin(self):
        """Take the chip's clock if it can be right; else set it to the lower bound, for the certificates' sake."""
        system = cold("hal.esp32_system")
        now = system.from_rtc()
        if now >= self.bound:
            self._set(now, 0, "rtc")
        else:
            system.to_rtc(self.bound)

    def _set(self, unix_s, ms, source):
        self._clock.set_utc(unix_s, ms)
        self._steps = self._clock.steps
        self.source = source
        self._log.info("time", "%d from %s" % (unix_s, source))

    async def run(self):
        """Ask NTP until the central system tells the time; keep the chip's clock and the lower bound up to date."""
        clock = self._clock
        due = clock.uptime_ms()
        wait = _RETRY_MIN_MS
        while True:
            await asyncio.sleep_ms(_LOOK_MS)
            if clock.steps != self._steps:
                self._steps = clock.steps
                self.source = "csms"
                self._saved_at = None
            self._keep()
            if self._host and self.source != "csms" and clock.uptime_ms() >= due:
                if await self._ask():
                    due, wait = clock.uptime_ms() + _AGAIN_MS, _RETRY_MIN_MS
                else:
                    due, wait = clock.uptime_ms() + wait, min(wait * 2, _RETRY_MAX_MS)

    async def _ask(self):
        """One question to the NTP server; True: its answer was used or agrees."""
        address = self._names.find(self._host)
        if address is None:
            return False
        from .esp32_names import exchange

        sntp = cold("hal.esp32_sntp")
        cookie = os.urandom(8)
        clock = self._clock
        began = clock.uptime_ms()
        try:
            data = await exchange(address, self._port, sntp.request(cookie), cookie, _WAIT_MS)
        except OSError:
            return False
        told = sntp.answer(data or b"", cookie)
        if told is None or self.source == "csms":
            return False
        seconds, ms = told
        ms += (clock.uptime_ms() - began) // 2  # the answer is half a round trip old
        seconds, ms = seconds + ms // 1000, ms % 1000
        if seconds < self.bound:
            self._log.warn("time", "NTP is refused: %d is before %d" % (seconds, self.bound))
            return False
        known = clock.utc()
        if known is None or abs(known - seconds) > _DRIFT_S:
            self._set(seconds, ms, "ntp")
            self._saved_at = None
        elif self.source == "rtc":
            self.source = "ntp"
        return True

    def _keep(self):
        now = self._clock.utc()
        if now is None or now < _FLOOR:
            return
        uptime = self._clock.uptime_ms()
        if self._saved_at is not None and uptime - self._saved_at < _SAVE_MS:
            return
        self._saved_at = uptime
        system = cold("hal.esp32_system")
        if abs(system.from_rtc() - now) > _DRIFT_S:
            system.to_rtc(now)
        if self.source != "rtc":
            self.bound = now
            try:
                cold("hal.esp32_nvs").Numbers().put(_KEY, now - _EPOCH_2000)
            except OSError as exc:
                self._log.error("time", exc)
