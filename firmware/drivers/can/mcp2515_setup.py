"""Sets up an MCP2515: bit timing, filters, a verified configuration. A cold module, see mcp2515.Mcp2515.

Source: Microchip data sheet DS20001801: registers in section 12.1 and the register tables, start-up in section 10, bit
timing in section 5, filters in section 4.5.
"""

import asyncio

from micropython import const

from drivers.can import CanError

_RESET = b"\xc0"
_RESET_MS = const(10)  # 128 periods of the oscillator, and the time it needs to start
_JOIN_MS = const(100)  # normal mode needs 11 recessive bits
_CONFIGURATION = const(0x80)  # CANSTAT, with no interrupt
_CANCTRL_AFTER_RESET = const(0x87)
_INTERRUPTS = const(0x23)  # CANINTE: RX0, RX1, ERR. Not MERR: it comes with every frame that nobody acknowledges
_RXM = const(0x20)  # masks; filters 0 to 5:
_RXF = (0x00, 0x04, 0x08, 0x10, 0x14, 0x18)
_ALL_BITS = const(0x1FFFFFFF)
_EXIDE = const(0x08)  # in SIDL of a filter: only frames of 29 bits

# Crystal Hz, bit/s, CNF1, CNF2, CNF3: sample point 81.25 %, synchronisation jump 2 of 16 time quanta (tolerates peers
# sampling at 75 to 87.5 %); 8 MHz with 500 kbit/s has only 8 quanta: 75 %, jump 1
TIMINGS = (
    (8_000_000, 125_000, 0x41, 0xAD, 0x02),
    (8_000_000, 250_000, 0x40, 0xAD, 0x02),
    (8_000_000, 500_000, 0x00, 0x8A, 0x01),
    (16_000_000, 125_000, 0x43, 0xAD, 0x02),
    (16_000_000, 250_000, 0x41, 0xAD, 0x02),
    (16_000_000, 500_000, 0x40, 0xAD, 0x02),
)


def registers(oscillator, bitrate):
    """CNF3, CNF2, CNF1, CANINTE as they lie in the chip. ValueError: no timing for this pair."""
    for crystal, rate, cnf1, cnf2, cnf3 in TIMINGS:
        if (crystal, rate) == (oscillator, bitrate):
            return bytes((cnf3, cnf2, cnf1, _INTERRUPTS))
    raise ValueError("no bit timing for %s bit/s with a crystal of %s Hz" % (bitrate, oscillator))


def filters(ids):
    """(mask 0, mask 1, six filters) as 29-bit numbers that let these identifiers pass.

    Mask 0 is for filters 0 and 1, whose frames may use both receive buffers; so the first two ids should be the
    busiest. Up to six ids are matched exactly. From the seventh on those behind the first two share a mask without the
    bits in which they differ: more than these ids may pass. ValueError: no 29-bit identifier.
    """
    for can_id in ids:
        if not 0 <= can_id <= _ALL_BITS:
            raise ValueError("no 29-bit identifier: %s" % can_id)
    rest = ids[2:] or ids[-1:]
    mask = _ALL_BITS
    if len(rest) > 4:
        for can_id in rest:
            mask &= ~(can_id ^ rest[0])
    wanted = [ids[0], ids[min(1, len(ids) - 1)]]
    for i in range(4):  # a filter that is not needed repeats a wanted id
        wanted.append(rest[min(i, len(rest) - 1)])
    return _ALL_BITS, mask, wanted


def _packed(can_id):
    """SIDH, SIDL, EID8, EID0 of a filter or a mask."""
    return bytes((can_id >> 21, can_id >> 13 & 0xE0 | _EXIDE | can_id >> 16 & 3, can_id >> 8 & 255, can_id & 255))


async def set_up(transfer, wanted, ids):
    """Reset, configure, read back, join the bus. CanError says what a technician can do.

    transfer -- callable(out, into), one SPI transaction; wanted -- registers(...); ids -- see Mcp2515
    """

    def read(address, count):
        buf = bytearray(2 + count)
        transfer(b"\x03" + bytes((address,)) + bytes(count), buf)
        return bytes(buf[2:])

    def write(address, values, mask=None):
        """Write registers and read them back; mask -- bits that must agree."""
        transfer(b"\x02" + bytes((address,)) + values)
        got = read(address, len(values))
        for i in range(len(values)):
            if (got[i] ^ values[i]) & (mask[i] if mask else 255):
                raise CanError("register 0x%02X reads 0x%02X, not 0x%02X: SPI disturbed, slower clock or shorter wires"
                               % (address + i, got[i], values[i]))  # fmt: skip

    transfer(_RESET)
    await asyncio.sleep_ms(_RESET_MS)
    state = read(0x0E, 2)
    if state[0] != _CONFIGURATION or state[1] != _CANCTRL_AFTER_RESET:
        silent = state[0] == state[1] and state[0] in (0, 255)
        raise CanError("no MCP2515 (reads 0x%02X 0x%02X): check %s" % (
            state[0], state[1],
            "its supply, MISO and chip select" if silent else "the SPI wires and the crystal"))  # fmt: skip
    write(0x28, wanted[:3])
    if ids:
        mask0, mask1, six = filters(ids)
        exact = b"\xff\xe3\xff\xff"  # a mask has no bit EXIDE
        write(_RXM, _packed(mask0) + _packed(mask1), exact + exact)
        for i in range(6):
            write(_RXF[i], _packed(six[i]), b"\xff\xeb\xff\xff")
    every = 0 if ids else 0x60  # RXM: filters on, or everything
    write(0x60, bytes((0x04 | every,)), b"\x64")  # BUKT: RXB0 full, then RXB1
    write(0x70, bytes((every,)), b"\x60")
    write(0x2B, wanted[3:] + b"\x00", b"\xff\x00")  # CANINTE; CANINTF: no flags
    transfer(b"\x02\x0f\x00")  # normal mode, no one-shot, no clock output
    for _ in range(_JOIN_MS // 5):
        await asyncio.sleep_ms(5)
        if read(0x0E, 1)[0] & 0xE0 == 0:
            return
    raise CanError("the bus is never idle: check CAN H and CAN L for a short circuit, and the bit rate")
