"""A UART as a stream of the HAL (README.md). Loaded only by boards that use one."""

import asyncio
import errno

import machine
from cold import cold
from micropython import const

_RING = const(512)  # bytes, each way: a burst must survive a garbage collection


class UartStream:
    """uart -- machine.UART with timeout 0 and a send buffer of `room` bytes; baud -- bit/s"""

    def __init__(self, uart, baud, room, clock):
        self._uart = uart
        self._stream = asyncio.StreamReader(uart)
        self._baud = baud
        self._room = room
        self._clock = clock
        self._queued = 0  # bytes that may not have left yet ...
        self._at = clock.ticks_ms()  # ... as of then

    async def readinto(self, buf):
        """Bytes read into buf, at least one: a UART has no end. OSError: closed."""
        while True:
            if self._uart is None:
                raise OSError(errno.EBADF)
            n = await self._stream.readinto(buf)
            if n:
                return n

    def write(self, buf, start, size):
        """How many of these bytes are taken; never waits.

        The port's write waits while its buffer is full and never says so, so what the line has sent is counted here.
        """
        if self._uart is None:
            raise OSError(errno.EBADF)
        now = self._clock.ticks_ms()
        passed = self._clock.ticks_diff(now, self._at)
        gone = passed * self._baud // 10_000 if 0 <= passed < 10_000 else self._queued  # 10 bits per byte
        if gone or not self._queued:
            self._queued = max(0, self._queued - gone)
            self._at = now
        size = min(size, self._room - self._queued)
        if size <= 0:
            return 0
        n = self._uart.write(memoryview(buf)[start : start + size]) or 0
        self._queued += n
        return n

    def close(self):
        uart, self._uart = self._uart, None
        if uart is not None:
            uart.deinit()


def open_uart(spec, pins, clock):
    """Stream for ("uart", number, baud, rx pin name, tx pin name). ValueError: no such stream."""
    if not isinstance(spec, tuple) or len(spec) != 5 or spec[0] != "uart":
        raise ValueError('a stream of this board is ("uart", number, baud, rx, tx), not %r' % (spec,))
    _, number, baud, rx, tx = spec
    number_of = cold("hal.esp32_system").number_of
    uart = machine.UART(
        number,
        baudrate=baud,
        rx=machine.Pin(number_of(pins, rx)),
        tx=machine.Pin(number_of(pins, tx)),
        rxbuf=_RING,
        txbuf=_RING,
        timeout=0,
    )
    return UartStream(uart, baud, _RING, clock)
