"""An MFRC522 at register level with cards in its field: SPI bytes in, ISO/IEC 14443 A frames between.

Sources: NXP MFRC522 data sheet rev. 3.9, sections 8.1.2, 9, 10; ISO/IEC 14443-3. Time is counted in readings of the
interrupt register: an answer is there at the first, the timer ends at the third.
"""


def crc(data):
    """CRC_A, bit by bit (the driver does it another way)."""
    register = 0x6363
    for byte in data:
        for bit in range(8):
            feedback = (register ^ byte >> bit) & 1
            register >>= 1
            if feedback:
                register ^= 0x8408
    return bytes([register & 255, register >> 8])


class Card:
    """A card with an uid of 4, 7 or 10 bytes. State: idle, ready (level 0 to 2), active, halted."""

    def __init__(self, uid):
        self.uid = uid
        parts = []
        rest = uid
        while len(rest) > 4:
            parts.append(b"\x88" + rest[:3])
            rest = rest[3:]
        parts.append(rest)
        self._parts = [part + bytes([part[0] ^ part[1] ^ part[2] ^ part[3]]) for part in parts]
        self.state = "idle"
        self._level = 0

    def hear(self, data, bits):
        """The answer to a frame, or None."""
        if bits == 7:
            if data == b"\x52" or (data == b"\x26" and self.state != "halted"):
                if self.state in ("idle", "halted"):
                    self.state, self._level = "ready", 0
                    return b"\x44\x00" if len(self.uid) > 4 else b"\x04\x00"
                self.state = "idle"  # an unexpected command: back, without an answer
            return None
        if self.state == "ready" and self._level < len(self._parts):
            part = self._parts[self._level]
            if data == bytes((0x93, 0x95, 0x97))[self._level : self._level + 1] + b"\x20":
                return part
            select = bytes((0x93, 0x95, 0x97))[self._level : self._level + 1] + b"\x70" + part
            if data == select + crc(select):
                self._level += 1
                last = self._level == len(self._parts)
                if last:
                    self.state = "active"
                sak = b"\x08" if last else b"\x04"
                return sak + crc(sak)
        if self.state == "active" and data == b"\x50\x00" + crc(b"\x50\x00"):
            self.state = "halted"
            return None
        self.state = "idle"
        return None


class Reader:
    """The chip on its SPI: write() and write_readinto() of machine.SPI, `select` a pin.

    cards -- in the field; dead -- what a chip without supply shows; noise -- callable(answer) -> answer of the air
    hangs -- the transmitter never ends; selects, bad_selects -- transfers with and without the chip select
    """

    def __init__(self):
        self.cards = []
        self.dead = self.noise = None
        self.hangs = False
        self.resets = 0
        self.unselected = 0
        self._selected = False
        self.reset()

    def reset(self):
        self.registers = bytearray(64)
        self.registers[0x37] = 0x92
        self.registers[0x14] = 0x80
        self._fifo = b""
        self._asks = 0

    # the chip select, as machine.Pin

    def value(self, level):
        self._selected = not level

    # SPI

    def write(self, out):
        if self._ready() and not out[0] & 0x80:
            register = out[0] >> 1 & 0x3F
            for byte in out[1:]:
                self._set(register, byte)

    def write_readinto(self, out, into):
        into[0] = 0
        for i in range(1, len(out)):
            into[i] = self.dead if not self._ready() else self._get(out[i - 1] >> 1 & 0x3F)

    def _ready(self):
        if not self._selected:
            self.unselected += 1
        return self._selected and self.dead is None

    def _set(self, register, value):
        r = self.registers
        if register == 0x01 and value == 0x0F:
            self.resets += 1
            self.reset()
        elif register == 0x04:
            r[4] = r[4] | value & 0x7F if value & 0x80 else r[4] & ~value & 0x7F
        elif register == 0x09:
            self._fifo = (self._fifo + bytes([value]))[:64]
        elif register == 0x0A:
            if value & 0x80:
                self._fifo = b""
        elif register == 0x0D:
            r[0x0D] = value & 0x7F
            if value & 0x80 and r[1] & 15 == 0x0C:
                self._send(value & 7)
        elif register != 0x37:
            r[register] = value

    def _get(self, register):
        if register == 0x04 and self._asks:
            self._asks -= 1
            if not self._asks and not self.hangs:
                self.registers[4] |= 0x01
        if register == 0x09:
            first, self._fifo = self._fifo[:1], self._fifo[1:]
            return first[0] if first else 0
        if register == 0x0A:
            return len(self._fifo)
        return self.registers[register]

    def _send(self, bits):
        r = self.registers
        data, self._fifo = self._fifo, b""
        r[0x06] = r[0x0C] = 0
        self._asks = 3
        if self.hangs or r[0x14] & 3 != 3:
            return
        heard = [card.hear(data, bits) for card in self.cards]
        answers = [answer for answer in heard if answer is not None]
        if len(answers) > 1 and len(set(answers)) > 1:
            r[0x06] |= 0x08  # collision
            r[4] |= 0x22
            return
        answer = answers[0] if answers else None
        if self.noise is not None:
            answer = self.noise(answer)
        if answer is not None:
            self._fifo = answer[:64]
            r[4] |= 0x20
