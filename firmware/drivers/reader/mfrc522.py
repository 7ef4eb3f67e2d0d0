"""MFRC522 id-tag reader on SPI: the uid of one ISO/IEC 14443 A card.

Sources: NXP MFRC522 data sheet rev. 3.9, sections 8.1.2 (SPI), 9 (registers), 10 (commands); ISO/IEC 14443-3, clause 6
(type A: REQA, anticollision, select) and annex A; NXP AN10927 (uids of 4, 7 and 10 bytes).
"""

import asyncio

from micropython import const

from . import ReaderError

# Registers (section 9.2)
_COMMAND = const(0x01)
_COM_IRQ = const(0x04)
_ERROR = const(0x06)
_FIFO_DATA = const(0x09)
_FIFO_LEVEL = const(0x0A)
_CONTROL = const(0x0C)
_BIT_FRAMING = const(0x0D)
_COLL = const(0x0E)
_MODE = const(0x11)
_TX_CONTROL = const(0x14)
_TX_ASK = const(0x15)
_T_MODE = const(0x2A)
_T_PRESCALER = const(0x2B)
_T_RELOAD_H = const(0x2C)
_T_RELOAD_L = const(0x2D)
_VERSION = const(0x37)

_IDLE = const(0x00)
_TRANSCEIVE = const(0x0C)
_SOFT_RESET = const(0x0F)

_IRQ_RX = const(0x20)
_IRQ_ERROR = const(0x02)
_IRQ_TIMER = const(0x01)
_ERRORS = const(0x1B)  # buffer overflow, collision, parity, protocol; CRC is ours

_WUPA = const(0x52)  # 7 bits: wakes halted cards too
_HALT = const(0x50)
_CASCADE = b"\x93\x95\x97"
_TAG = const(0x88)  # first byte of an uid that goes on in the next level
_VERSIONS = (0x88, 0x90, 0x91, 0x92, 0xB2, 0x12)  # NXP 0.0 to 2.0, and copies sold as modules
_TICKS = const(200)  # of 25 us: an answer takes 1 ms at most, 5 ms with a slow card
_STEPS = const(12)  # of 1 ms, then the chip hangs


class Mfrc522:
    """spi -- machine.SPI, mode 0, at most 10 MHz, not one that others use in interrupts; select -- machine.Pin, high

    bad -- answers that were noise: wrong check byte or checksum, collision, wrong length
    """

    def __init__(self, spi, select):
        self._spi = spi
        self._select = select
        self._two = bytearray(2)
        self._answer = bytearray(2)
        self.bad = 0

    async def set_up(self):
        """Reset and configure. ReaderError: no such chip answers."""
        self._write(_COMMAND, _SOFT_RESET)
        await asyncio.sleep_ms(50)  # the oscillator starts within 38 ms (section 8.8.2)
        self._check()
        for register, value in (
            (_T_MODE, 0x80),  # the timer starts by itself after sending
            (_T_PRESCALER, 0xA9),  # 13.56 MHz / (2 * 169 + 1): 25 us
            (_T_RELOAD_H, 0),
            (_T_RELOAD_L, _TICKS),
            (_TX_ASK, 0x40),  # 100 % ASK
            (_MODE, 0x3D),
            (_COLL, 0x80),
            (_TX_CONTROL, 0x83),  # antenna on
        ):
            self._write(register, value)
        if self._read(_T_RELOAD_L) != _TICKS or self._read(_TX_CONTROL) & 3 != 3:
            raise ReaderError("does not keep its settings")

    async def poll(self):
        """Uid of the card in the field, 4, 7 or 10 bytes; None: no card, or not readable now. ReaderError: no chip."""
        self._check()
        if not self._read(_TX_CONTROL) & 3:
            raise ReaderError("has lost its settings")  # a brown-out of the chip alone
        answer = await self._exchange(bytes([_WUPA]), 7)
        if answer is None:
            return None
        if len(answer) != 2:
            self.bad += 1
            return None
        uid = b""
        for level in _CASCADE:
            part = await self._exchange(bytes([level, 0x20]), 0)
            if part is None or len(part) != 5 or part[0] ^ part[1] ^ part[2] ^ part[3] != part[4]:
                self.bad += 1
                return None
            more = part[0] == _TAG
            uid += part[1:4] if more else part[:4]
            selected = await self._exchange(_with_crc(bytes([level, 0x70]) + part), 0)
            if selected is None or len(selected) != 3 or _with_crc(selected[:1]) != selected:
                self.bad += 1
                return None
            if bool(selected[0] & 4) != more:  # SAK, bit 3: the uid goes on
                self.bad += 1
                return None
            if not more:
                await self._exchange(_with_crc(bytes([_HALT, 0])), 0)  # silent until the next WUPA; never answered
                return uid
        self.bad += 1  # a fourth level does not exist
        return None

    async def _exchange(self, data, bits):
        """Send data, of the last byte so many bits (0: all). The answer, or None. ReaderError: the chip hangs."""
        self._write(_COMMAND, _IDLE)
        self._write(_COM_IRQ, 0x7F)
        self._write(_FIFO_LEVEL, 0x80)  # empty it
        for byte in data:
            self._write(_FIFO_DATA, byte)
        self._write(_COMMAND, _TRANSCEIVE)
        self._write(_BIT_FRAMING, 0x80 | bits)
        for _ in range(_STEPS):
            await asyncio.sleep_ms(1)
            irq = self._read(_COM_IRQ)
            if irq & (_IRQ_RX | _IRQ_ERROR | _IRQ_TIMER):
                break
        else:
            raise ReaderError("hangs while sending")
        self._write(_BIT_FRAMING, 0)
        if not irq & _IRQ_RX:
            return None
        if self._read(_ERROR) & _ERRORS:
            self.bad += 1
            return None
        count = self._read(_FIFO_LEVEL) & 0x7F
        if count > 16 or self._read(_CONTROL) & 7:  # more than any answer, or bits that are no byte
            self.bad += 1
            return None
        return bytes([self._read(_FIFO_DATA) for _ in range(count)])

    def _check(self):
        version = self._read(_VERSION)
        if version not in _VERSIONS:
            raise ReaderError("version 0x%02x: wiring or supply" % version)

    def _write(self, register, value):
        two = self._two
        two[0], two[1] = register << 1, value
        self._select.value(0)
        try:
            self._spi.write(two)
        finally:
            self._select.value(1)

    def _read(self, register):
        two = self._two
        two[0], two[1] = 0x80 | register << 1, 0
        self._select.value(0)
        try:
            self._spi.write_readinto(two, self._answer)
        finally:
            self._select.value(1)
        return self._answer[1]


def _with_crc(data):
    """data and its CRC_A (ISO/IEC 14443-3, annex B), low byte first.

    >>> _with_crc(b"\\x50\\x00")
    b'P\\x00W\\xcd'
    """
    crc = 0x6363
    for byte in data:
        byte ^= crc & 0xFF
        byte = (byte ^ byte << 4) & 0xFF
        crc = crc >> 8 ^ byte << 8 ^ byte << 3 ^ byte >> 4
    return data + bytes([crc & 0xFF, crc >> 8 & 0xFF])
