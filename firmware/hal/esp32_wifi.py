"""Wi-Fi station: carries out what the ladder says, and tells what it sees."""

import asyncio

import network
from micropython import const

from .esp32_ladder import ACTIONS, NOTHING, RADIO, RESTART, Ladder

_LOOK_MS = const(1000)
_OFF_MS = const(500)
_WRONG_PASSWORD = const(202)  # network.STAT_WRONG_PASSWORD; the other numbers have no names on every version


class Wifi:
    """One run is one life.

    hal -- is_idle, is_online, online(), request_restart(); errors -- calls that the driver refused
    """

    def __init__(self, hal, clock, log, ssid, password, hostname, country):
        self._hal = hal
        self._clock = clock
        self._log = log
        self._ssid = ssid
        self._password = password
        self._hostname = hostname
        self._country = country
        self._wlan = None
        self.errors = 0
        self.address = None  # our own, as text, while there is one

    def server(self):
        """Address of the name server that DHCP told, or None."""
        return self._wlan.ifconfig()[3] if self.address else None

    def rssi(self):
        """Signal in dBm, or None."""
        try:
            return self._wlan.status("rssi") if self.address else None
        except OSError:
            return None

    async def run(self):
        """Keep the station connected. OSError: the driver cannot be started at all."""
        if self._country:
            network.country(self._country)
        network.hostname(self._hostname)
        self._wlan = network.WLAN(network.STA_IF)
        hal, seconds = self._hal, self._clock.uptime_ms
        ladder = Ladder(seconds() // 1000)
        told = None
        try:
            while True:
                self._look()
                status = self._status()
                served = None if hal.is_online is None else bool(hal.is_online())
                action = ladder.step(
                    seconds() // 1000, self.address is not None, served, hal.is_idle(), status == _WRONG_PASSWORD
                )
                if (self.address, status) != told:
                    told = (self.address, status)
                    self._log.info("wifi", self.address or _words(status))
                hal.online(self.address is not None and served is not False)
                if action != NOTHING:
                    await self._do(action)
                await asyncio.sleep_ms(_LOOK_MS)
        finally:
            self.address = None
            hal.online(False)

    def _look(self):
        self.address = self._wlan.ifconfig()[0] if self._wlan.isconnected() else None

    def _status(self):
        return self._wlan.status()

    async def _do(self, action):
        self._log.info("wifi", ACTIONS[action])
        if action == RESTART:
            self._hal.request_restart()
            return
        wlan = self._wlan
        if wlan.active():
            self._try(wlan.disconnect)  # connect() while the driver retries is an error
        if action == RADIO:
            self._try(wlan.active, False)
            await asyncio.sleep_ms(_OFF_MS)
            self._try(wlan.active, True)
            try:
                wlan.config(pm=0)  # WLAN.PM_NONE: the sleeping modem costs up to 300 ms per answer
            except (OSError, ValueError):
                self.errors += 1
        self._try(wlan.connect, self._ssid, self._password)

    def _try(self, call, *values):
        try:
            call(*values)
        except OSError as exc:  # the next rung is harder
            self.errors += 1
            self._log.warn("wifi", exc)


def _words(status):
    """What a technician can do something with; numbers: esp_wifi_types.h, wifi_err_reason_t."""
    if status == 201:
        return "no such network in reach"
    if status == _WRONG_PASSWORD or status == 204:
        return "wrong password?"
    if status == 200:
        return "signal lost"
    return "not connected (status %d)" % status
