"""An MCP2515 at register level, on an SPI and with a CAN bus: instructions in, pins out.

Source: Microchip data sheet DS20001801 (register tables, figures 3-1 transmit and 4-3 receive flow, section 6 error
detection, section 12 SPI) and errata DS80179. Time passes only in `elapse`. The model allocates nothing, so it also
runs while the heap is locked. What the data sheet forbids is counted in `violations`.
"""

from fakes import FakeClock

from drivers.can import FLAG_EXT, FLAG_RTR

RX0IF, RX1IF, ERRIF, WAKIF, MERRF = 1, 2, 0x20, 0x40, 0x80
EWARN, RXWAR, TXWAR, RXEP, TXEP, TXBO, RX0OVR, RX1OVR = 1, 2, 4, 8, 0x10, 0x20, 0x40, 0x80
CNF3, CNF2, CNF1, CANINTE, CANINTF, EFLG, TEC, REC = 0x28, 0x29, 0x2A, 0x2B, 0x2C, 0x2D, 0x1C, 0x1D
RXB0CTRL, RXB1CTRL = 0x60, 0x70
NORMAL, SLEEP, LOOPBACK, LISTEN, CONFIGURATION = 0, 1, 2, 3, 4
TXREQ, TXERR, MLOA, ABTF = 8, 0x10, 0x20, 0x40

_FILTERS = (0x00, 0x04, 0x08, 0x10, 0x14, 0x18)
_MASKS = (0x20, 0x24)
_LOG = 1024  # frames that are kept
_RESET_US = 16  # 128 periods at 8 MHz
_JOIN_US = 44  # 11 bits
_RECOVER_US = 5632  # 128 x 11 bits


class Pin:
    """The chip's INT as the processor sees it: `pin()` is the level, irq() a soft interrupt on the falling edge."""

    IRQ_FALLING = 2

    def __init__(self):
        self.level = 1
        self.forced = None  # a line that is stuck at this level
        self.edges_lost = False  # the interrupt never comes
        self.edges = 0
        self._handler = None
        self._in_handler = self._again = False

    def __call__(self):
        return self.level if self.forced is None else self.forced

    def irq(self, handler, trigger):
        assert trigger == self.IRQ_FALLING
        self._handler = handler

    def set(self, level):
        fell = self.level and not level
        self.level = level
        if not fell or self._handler is None or self.edges_lost or self.forced is not None:
            return
        if self._in_handler:  # a soft interrupt does not interrupt another one
            self._again = True
            return
        self._in_handler = True
        try:
            while True:
                self._again = False
                self.edges += 1
                self._handler(self)
                if not self._again:
                    break
        finally:
            self._in_handler = False


class Spi:
    """machine.SPI in mode 0 with the chips of one bus behind it.

    hook   -- called at every place where an interrupt could come: before and after each transfer, each chip select
    floats -- what MISO reads while no chip is selected
    fails  -- an exception that every transfer raises
    """

    def __init__(self):
        self.chips = []
        self.hook = None
        self.floats = 0xFF
        self.fails = None
        self.transfers = 0
        self._one = bytearray(1)

    def write(self, buf):
        self._run(buf, None)

    def write_readinto(self, out, into):
        assert len(out) == len(into)
        self._run(out, into)

    def readinto(self, buf, write=0):
        for i in range(len(buf)):
            buf[i] = self._exchange(write)

    def _run(self, out, into):
        if self.hook:
            self.hook()
        if self.fails is not None:
            raise self.fails
        self.transfers += 1
        i = 0
        while i < len(out):
            byte = self._exchange(out[i])
            if into is not None:
                into[i] = byte
            i += 1
        if self.hook:
            self.hook()

    def _exchange(self, byte):
        found = None
        for chip in self.chips:
            if chip.selected:
                assert found is None, "two chips selected"
                found = chip
        return self.floats if found is None else found.exchange(byte)


class Chip:
    """One MCP2515.

    acked    -- another node acknowledges what we send
    broken   -- every transmission ends in a bit error
    dominant -- the bus is never recessive: nothing is received, sent or joined
    occupied -- others have the bus all the time; what we send has to wait
    dead     -- MISO of a chip that has no supply: 0x00 or 0xFF, None: it works
    corrupt  -- callable(byte) -> byte for what the chip says, None: clean lines
    forgets  -- TXREQ of an aborted frame reads 0 although the frame is still on the wire
    frame_us -- duration of a frame on the wire
    """

    def __init__(self, spi=None):
        self.spi = spi or Spi()
        self.spi.chips.append(self)
        self.int_pin = Pin()
        self.registers = bytearray(128)
        self.selected = False
        self.acked = True
        self.broken = self.dominant = self.occupied = False
        self.dead = self.corrupt = None
        self.forgets = False
        self.frame_us = 524
        self.log = bytearray(_LOG * 14)  # what was sent: flags, 4 bytes of id, length, data
        self.n_sent = 0
        self.n_lost = 0  # accepted by a filter, but no room
        self.violations = 0
        self.resets = 0
        self._in_flight = -1
        self._give_up = False  # do not try the frame in flight again
        self._flight_us = self._busy_us = self._join_us = self._recover_us = 0
        self.reset()

    # -- pins

    def cs(self, level):
        """The chip select."""
        if self.spi.hook:
            self.spi.hook()
        if self.selected and level:
            self._deselect()
        self.selected = not level
        self._count = 0
        if self.spi.hook:
            self.spi.hook()

    def _update(self):
        r = self.registers
        self.int_pin.set(0 if self.dead is None and r[CANINTF] & r[CANINTE] else 1)

    # -- SPI

    def reset(self):
        """The RESET instruction; also what a dip of the supply does."""
        r = self.registers
        for i in range(128):
            r[i] = 0
        self._mode = self._wanted = CONFIGURATION
        self._ctrl = 0x87
        self._opcode = self._address = self._count = self._mask = 0
        self._tec = self._rec = 0
        self._in_flight = -1
        self._join_us = 0
        self._busy_us = _RESET_US
        self._update()

    def exchange(self, byte):
        """One byte in, one byte out, while the chip is selected."""
        if self.dead is not None:
            return self.dead
        answer = self._step(byte)
        return answer if self.corrupt is None else self.corrupt(answer)

    def _step(self, byte):
        count = self._count
        self._count = count + 1
        if self._busy_us:
            self._opcode = -1
            return 0
        if count == 0:
            self._opcode = byte
            if byte == 0xC0:
                self.resets += 1
                self.reset()
                self._opcode = -1
            elif byte & 0xF9 == 0x90:  # READ RX BUFFER
                self._address = (0x61, 0x66, 0x71, 0x76)[byte >> 1 & 3]
            elif byte & 0xF8 == 0x40:  # LOAD TX BUFFER
                self._address = (0x31, 0x36, 0x41, 0x46, 0x51, 0x56)[min(byte & 7, 5)]
            elif byte & 0xF8 == 0x80:  # RTS
                for number in range(3):
                    if byte >> number & 1:
                        self._request(number)
            return 0xFF
        opcode = self._opcode
        if opcode == 0xA0:
            return self._status()
        if opcode == 0xB0:
            return self._rx_status()
        if opcode & 0xF9 == 0x90:
            return self._next_read()
        if opcode & 0xF8 == 0x40:
            self._write(self._address, byte)
            self._address = self._address + 1 & 127
        elif opcode in (2, 3, 5):
            if count == 1:
                self._address = byte & 127
            elif opcode == 3:
                return self._next_read()
            elif opcode == 2:
                if self._address in (0x30, 0x40, 0x50) and byte & TXREQ:
                    self.violations += 1  # errata: only RTS is safe
                self._write(self._address, byte)
                self._address = self._address + 1 & 127
            elif count == 2:
                self._mask = byte
            elif count == 3:
                self._modify(self._address, self._mask, byte)
        return 0xFF

    def _deselect(self):
        opcode = self._opcode
        if opcode & 0xF9 == 0x90 and opcode > 0 and self._count and self.dead is None:
            self.registers[CANINTF] &= ~(RX1IF if opcode & 4 else RX0IF)
            self._update()
        self._opcode = -1

    def _next_read(self):
        value = self.read(self._address)
        self._address = self._address + 1 & 127
        return value

    def _status(self):
        r = self.registers
        flags = r[CANINTF]
        status = flags & 3
        for number in range(3):
            status |= (r[0x30 + 16 * number] & TXREQ) >> 3 << (2 + 2 * number)
            status |= (flags >> (2 + number) & 1) << (3 + 2 * number)
        return status

    def _rx_status(self):
        flags = self.registers[CANINTF] & 3
        kind = 0
        if flags:
            base = 0x61 if flags & 1 else 0x71
            kind = (2 if self.registers[base + 1] & 8 else 0) | (1 if self.registers[base + 4] & 0x40 else 0)
        return flags << 6 | kind << 3

    def read(self, address):
        """A register as the SPI sees it."""
        if address & 15 == 14:
            return self._mode << 5
        if address & 15 == 15:
            return self._ctrl
        if address == TEC:
            return min(self._tec, 255)
        if address == REC:
            return min(self._rec, 255)
        if (address < 0x1C or 0x20 <= address < 0x28) and self._mode != CONFIGURATION:
            return 0  # filters and masks
        return self.registers[address]

    def _write(self, address, value):
        r = self.registers
        if address & 15 == 15:
            self._ctrl = value
            if value & 0x10:  # ABAT
                for number in range(3):
                    self._abort(number)
            self._request_mode(value >> 5)
        elif address & 15 == 14 or address in (0x1C, 0x1D) or 0x61 <= address <= 0x6D or 0x71 <= address <= 0x7D:
            pass  # read only
        elif address < 0x1C or 0x20 <= address <= CNF1:
            if self._mode == CONFIGURATION:
                r[address] = value & 0xEB if address & 3 == 1 and address < 0x20 else value
                if 0x20 <= address < CNF3 and address & 3 == 1:
                    r[address] = value & 0xE3
            else:
                self.violations += 1
        elif address in (0x30, 0x40, 0x50):
            number = (address >> 4) - 3
            if r[address] & TXREQ and not value & TXREQ:
                self._abort(number)
            r[address] = r[address] & 0x78 | value & 3
            if value & TXREQ:
                self._request(number)
        elif 0x30 < address < 0x5E and address & 15 <= 13:
            if r[address & 0x70] & TXREQ or self._in_flight == (address >> 4) - 3:
                self.violations += 1  # in use
            r[address] = value
        elif address == RXB0CTRL:
            r[address] = value & 0x64
        elif address == RXB1CTRL:
            r[address] = value & 0x60
        elif address == EFLG:
            r[address] = r[address] & 0x3F | r[address] & value & 0xC0
        else:
            r[address] = value
        self._update()

    def _modify(self, address, mask, value):
        allowed = address & 15 == 15 or CNF3 <= address <= EFLG or address in (0x0C, 0x0D)
        if not allowed and address not in (0x30, 0x40, 0x50, 0x60, 0x70):
            self.violations += 1
            mask = 255
        self._write(address, self.read(address) & ~mask | value & mask)

    def _request_mode(self, wanted):
        self._wanted = wanted
        if wanted == CONFIGURATION or wanted == LOOPBACK:
            if self._in_flight < 0:
                self._mode = wanted
        elif wanted != self._mode:
            self._join_us = _JOIN_US

    # -- the bus

    def arrive(self, can_id, flags, data):
        """A frame of another node. True if this chip now has it."""
        if self.dead is not None or self.dominant or self.registers[EFLG] & TXBO:
            return False
        if self._mode == SLEEP:
            self._mode = LISTEN
            self.registers[CANINTF] |= WAKIF
            self._update()
            return False
        if self._mode != NORMAL and self._mode != LISTEN:
            return False
        if self._mode == NORMAL and self._rec:
            self._rec = min(self._rec - 1, 127)
            self._grade()
        return self._receive(can_id, flags, data)

    def _receive(self, can_id, flags, data):
        r = self.registers
        if self._accepts(0, can_id, flags):
            if not r[CANINTF] & RX0IF:
                return self._store(0x61, RX0IF, can_id, flags, data)
            if not r[RXB0CTRL] & 4:
                return self._overrun(RX0OVR)
        elif not self._accepts(1, can_id, flags):
            return False
        if r[CANINTF] & RX1IF:
            return self._overrun(RX1OVR)
        return self._store(0x71, RX1IF, can_id, flags, data)

    def _accepts(self, buffer, can_id, flags):
        r = self.registers
        if r[RXB1CTRL if buffer else RXB0CTRL] & 0x60 == 0x60:
            return True
        mask = self._identifier(_MASKS[buffer], True)
        for number in range(2 if buffer else 0, 6 if buffer else 2):
            extended = r[_FILTERS[number] + 1] & 8
            if bool(extended) != bool(flags & FLAG_EXT):
                continue
            wanted = self._identifier(_FILTERS[number], True)
            got = can_id if extended else can_id << 18
            if not (got ^ wanted) & (mask if extended else mask & 0x1FFC0000):
                return True
        return False

    def _identifier(self, base, extended):
        r = self.registers
        high, low = r[base], r[base + 1]
        if not extended:
            return high << 3 | low >> 5
        return high << 21 | (low & 0xE0) << 13 | (low & 3) << 16 | r[base + 2] << 8 | r[base + 3]

    def _store(self, base, flag, can_id, flags, data):
        r = self.registers
        if flags & FLAG_EXT:
            r[base] = can_id >> 21
            r[base + 1] = can_id >> 13 & 0xE0 | 8 | can_id >> 16 & 3
            r[base + 2] = can_id >> 8 & 255
            r[base + 3] = can_id & 255
        else:
            r[base] = can_id >> 3
            r[base + 1] = (can_id & 7) << 5 | (0x10 if flags & FLAG_RTR else 0)
        r[base + 4] = len(data) | (0x40 if flags & FLAG_EXT and flags & FLAG_RTR else 0)
        i = 0
        while i < len(data) and i < 8:
            r[base + 5 + i] = data[i]
            i += 1
        r[CANINTF] |= flag
        self._update()
        return True

    def _overrun(self, flag):
        self.n_lost += 1
        self.registers[EFLG] |= flag
        self.registers[CANINTF] |= ERRIF
        self._update()
        return False

    def disturb(self, errors=1):
        """Receive errors."""
        self._rec = min(self._rec + errors, 255)
        self.registers[CANINTF] |= MERRF
        self._grade()

    def _grade(self):
        """Error flags from the counters; a change for the worse sets ERRIF."""
        r = self.registers
        tec, rec = self._tec, self._rec
        flags = (EWARN | TXWAR if tec >= 96 else 0) | (EWARN | RXWAR if rec >= 96 else 0)
        flags |= (TXEP if tec >= 128 else 0) | (RXEP if rec >= 128 else 0) | (TXBO if tec > 255 else 0)
        if flags & ~r[EFLG]:
            r[CANINTF] |= ERRIF
        r[EFLG] = r[EFLG] & 0xC0 | flags
        self._update()

    def _request(self, number):
        r = self.registers
        base = 0x30 + 16 * number
        r[base] = r[base] & 3 | TXREQ
        self._start()

    def _abort(self, number):
        """A frame that is on the wire goes on; it is only not tried again (data sheet 3.6)."""
        if self._in_flight == number:
            self._give_up = True
            if self.forgets:
                self.registers[0x30 + 16 * number] &= ~TXREQ
        elif self.registers[0x30 + 16 * number] & TXREQ:
            base = 0x30 + 16 * number
            self.registers[base] = self.registers[base] & 3 | ABTF

    def _start(self):
        """Begin to send what has the highest priority, if the bus is free."""
        r = self.registers
        if self._in_flight >= 0 or self.occupied or self.dominant or self._mode not in (0, 2):  # NORMAL, LOOPBACK
            return
        if r[EFLG] & TXBO or self.dead is not None:
            return
        best = -1
        for number in range(3):
            base = 0x30 + 16 * number
            if r[base] & TXREQ and (best < 0 or r[base] & 3 >= r[0x30 + 16 * best] & 3):
                best = number
        self._in_flight = best
        self._give_up = False
        self._flight_us = self.frame_us

    def elapse(self, us):
        """Time passes on the wire."""
        while us > 0:
            step = min(us, 100)
            us -= step
            self._busy_us = max(0, self._busy_us - step)
            if self._wanted != self._mode and not self.dominant:
                self._join_us -= step
                if self._join_us <= 0 and self._in_flight < 0:
                    self._mode = self._wanted
            if self.registers[EFLG] & TXBO and not self.dominant:
                self._recover_us -= step
                if self._recover_us <= 0:
                    self._tec = self._rec = 0
                    self._grade()
            self._start()
            if self._in_flight >= 0:
                self._flight_us -= step
                if self._flight_us <= 0:
                    self._finish()
                    self._start()

    def _finish(self):
        r = self.registers
        number = self._in_flight
        base = 0x30 + 16 * number
        self._in_flight = -1
        if self._mode == LOOPBACK or (self.acked and not self.broken):
            r[base] &= 3
            r[CANINTF] |= 4 << number
            self._tec = max(0, self._tec - 1)
            if self._mode == LOOPBACK:
                self._receive(self._identifier(base + 1, r[base + 2] & 8), *self._content(base))
            else:
                self._record(base)
        else:
            r[base] |= TXERR
            r[CANINTF] |= MERRF
            if self.broken or self._tec < 128:  # error passive: a missing acknowledgement counts no more
                self._tec += 8
            if self._ctrl & 8 or self._give_up:  # one-shot
                r[base] = r[base] & ~TXREQ | ABTF
            if self._tec > 255:
                self._recover_us = _RECOVER_US
        self._grade()

    def _content(self, base):
        r = self.registers
        extended = r[base + 2] & 8
        flags = (FLAG_EXT if extended else 0) | (FLAG_RTR if r[base + 5] & 0x40 else 0)
        return flags, bytes(r[base + 6 : base + 6 + min(r[base + 5] & 15, 8)])

    def _record(self, base):
        at = self.n_sent % _LOG * 14
        i = 0
        while i < 13:
            self.log[at + i] = self.registers[base + 1 + i]
            i += 1
        self.n_sent += 1

    # -- questions of a test

    @property
    def sent(self):
        """What other nodes have acknowledged: [(id, data, flags)] in the order of the wire; a remote frame's length
        is that of its data."""
        frames = []
        for n in range(max(0, self.n_sent - _LOG), self.n_sent):
            b = self.log[n % _LOG * 14 : n % _LOG * 14 + 14]
            remote = FLAG_RTR if b[4] & 0x40 else 0
            size = min(b[4] & 15, 8)
            if b[1] & 8:
                can_id = b[0] << 21 | (b[1] & 0xE0) << 13 | (b[1] & 3) << 16 | b[2] << 8 | b[3]
            else:
                can_id = b[0] << 3 | b[1] >> 5
            frames.append((can_id, bytes(size) if remote else bytes(b[5 : 5 + size]), (1 if b[1] & 8 else 0) | remote))
        return frames

    def forget_sent(self):
        self.n_sent = 0

    @property
    def mode(self):
        return self._mode

    @property
    def waiting(self):
        """Transmit buffers that are requested."""
        return sum([1 for base in (0x30, 0x40, 0x50) if self.registers[base] & TXREQ])

    def brown_out(self):
        """The chip alone loses its supply for a moment."""
        self.reset()

    def vanish(self, level=0xFF):
        """The chip is gone: its MISO reads `level`, its INT is pulled up."""
        self.dead = level
        self._update()


class WireClock(FakeClock):
    """A clock that moves the wires along: every millisecond `chips` elapse and `traffic(ms)` may put frames on them."""

    def __init__(self, **options):
        self.chips = []
        self.traffic = None
        super().__init__(**options)

    def advance(self, ms):
        while ms > 0:
            ms -= 1
            super().advance(1)
            for chip in self.chips:
                chip.elapse(1000)
            if self.traffic:
                self.traffic(self.moved)


class PlainClock(WireClock):
    """One that never wraps: its arithmetic stays in small ints, so it works while the heap is locked."""

    def __init__(self):
        super().__init__(start=0)

    def ticks_diff(self, later, earlier):
        return later - earlier
