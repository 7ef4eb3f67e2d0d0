"""The transmit side of an MCP2515: the chip's three buffers and four waiting frames, in the order they were given.

Source: data sheet DS20001801, section 3 and registers 3-1 to 3-8. Nothing allocates. Whoever calls what touches the
chip holds the SPI, see mcp2515.py; an urgent frame may come in the middle of everything but `urge`.
"""

from micropython import const

from drivers.can import FLAG_EXT, FLAG_RTR

NOTHING = const(0xFF)  # status of a chip that does not answer
COUNT = const(0x3FFFFFFF)  # counters wrap instead of growing beyond a small int

_TX_MS = const(50)  # an ordinary frame that is not acknowledged by then is taken back ...
_HOLD_MS = const(1000)  # ... and until a frame was heard only one a second is tried
_URGENT_MS = const(1000)  # urgent frames may try longer
_QUEUE = const(4)  # ordinary frames that wait for a transmit buffer
_URGENT = const(2)
_SLOT = const(16)  # bytes: also what the DMA of the ESP32 takes without a copy

_RTS = (b"\x81", b"\x82", b"\x84")
_CLEAR_SENT = b"\x05\x2c\x1c\x00"  # CANINTF.TX0IF to TX2IF
_abort = bytearray(b"\x05\x30\x08\x00")  # TXBnCTRL.TXREQ


def slots(count):
    """`count` buffers for one frame each, in one piece."""
    view = memoryview(bytearray(count * _SLOT))
    return [view[i * _SLOT : (i + 1) * _SLOT] for i in range(count)]


class Transmitter:
    """chip -- move(out) and status() of the controller; clock -- ticks.

    pending, urgent, avoid -- transmit buffers as bits: loaded; with an urgent frame; not to be touched until served
    count, n_urgent -- ordinary frames that wait; urgent ones that wait for the SPI
    late -- ticks, since when an urgent frame waits for the SPI, or None
    held -- ticks of the last frame that nobody acknowledged, None: the bus has somebody
    sent, dropped -- counts since boot
    """

    def __init__(self, chip, clock):
        self._chip = chip
        self._clock = clock
        self._slots = slots(_QUEUE + _URGENT)  # as sent: WRITE, address, TXBnCTRL, and the frame
        for slot in self._slots:
            slot[0] = 2
        self._since = [0, 0, 0]  # ticks, when each transmit buffer was loaded
        self._ranks = [0, 0, 0]  # and its place in the order: 3 * priority + number, the highest leaves first
        self.sent = self.dropped = 0
        self.forget()

    def forget(self):
        """After a reset of the chip nothing of before is left in it."""
        self._first = self.count = 0
        self.n_urgent = 0
        self.pending = self.urgent = self.avoid = 0
        self.held = None
        self.late = None

    def is_busy(self):
        """Something has to be served."""
        return bool(self.pending or self.count or self.avoid)

    def is_held(self):
        """Nobody acknowledged, nothing was heard since: one frame a second tries."""
        if self.held is None:
            return False
        now = self._clock.ticks_ms()
        if 0 <= self._clock.ticks_diff(now, self.held) < _HOLD_MS:
            return True
        self.held = now
        return False

    def add(self, can_id, data, flags):
        """Send an ordinary frame behind the others. False: there is no room for it."""
        if self.count == _QUEUE:
            self.pump()
            if self.count == _QUEUE:
                return False
        self._encode((self._first + self.count) % _QUEUE, can_id, data, flags)
        self.count += 1
        return self.pump()

    def urge(self, can_id, data, flags):
        """Load an urgent frame into the chip, now. False: the chip did not take it, and none of it leaves later."""
        try:
            self._encode(_QUEUE, can_id, data, flags)
            self.n_urgent = 1
            return self.pump()
        finally:
            self.n_urgent = 0

    def urge_later(self, can_id, data, flags):
        """Keep an urgent frame for the next pump(), as somebody else has the SPI. Touches only memory. False: full."""
        if self.n_urgent == _URGENT:
            return False
        self._encode(_QUEUE + self.n_urgent, can_id, data, flags)
        self.n_urgent += 1
        return True

    def give_up(self):
        """The bus is off: drop everything that is not urgent."""
        self._drop_waiting()
        self._take_back(self.pending & ~self.urgent)

    def serve(self, now):
        """Take back what nobody acknowledges; send what waits."""
        self.avoid = 0
        old = 0
        number = 0
        while number < 3:
            bit = 1 << number
            if self.pending & bit:
                age = self._clock.ticks_diff(now, self._since[number])
                if age >= _URGENT_MS or (age >= _TX_MS and not self.urgent & bit):
                    old |= bit
            number += 1
        if old:
            self.pump()  # what is done is done
            old &= self.pending
        if old & ~self.urgent:
            old |= self.pending & ~self.urgent
            self._drop_waiting()
            self.held = now
        if old:
            self._take_back(old)
        self.pump()

    def pump(self):
        """Load what waits into free transmit buffers. False: the last one given was not taken.

        The chip sends the highest priority first, and the highest buffer number among equals (data sheet 3.3), so
        each frame gets a place below those before it: urgent ones priority 3 and 2, ordinary ones 1 and 0.
        """
        taken = True
        urgent = self.n_urgent
        if urgent:
            self._take_back(self.pending & ~self.urgent)
            self._drop_waiting()
        bits = self._chip.status()
        busy = bits >> 2 & 1 | bits >> 3 & 2 | bits >> 4 & 4
        if bits == NOTHING:
            busy = self.pending if urgent else 7  # it cannot be heard, but perhaps it hears
        elif bits & 0xA8:
            self._chip.move(_CLEAR_SENT)  # so that 0xFF, all flags and all requests at once, can never be true
        done = self.pending & ~busy
        if done:
            self.sent = (self.sent + (done & 1) + (done >> 1 & 1) + (done >> 2)) & COUNT
            self.pending &= busy
            self.urgent &= busy
            self.held = None
        busy |= self.avoid
        i = 0
        while i < urgent:
            number = self._load(_QUEUE + i, self._lowest(self.urgent, 12), 6, busy)
            i += 1
            taken = number >= 0
            if taken:
                self.urgent |= 1 << number
                self.avoid |= 1 << number  # whatever the status says next
                busy |= 1 << number
        if urgent:
            self.n_urgent = 0
            self.late = None
        while self.count and not self.n_urgent:  # it may come in between: then _leave() brings us here again
            number = self._load(self._first, self._lowest(self.pending & ~self.urgent, 6), 0, busy)
            if number < 0:
                break
            busy |= 1 << number
            self._first = (self._first + 1) % _QUEUE
            self.count -= 1
        return taken

    def _lowest(self, buffers, otherwise):
        """The lowest place in the order that one of these transmit buffers has."""
        number = 0
        while buffers:
            if buffers & 1:
                otherwise = min(otherwise, self._ranks[number])
            buffers >>= 1
            number += 1
        return otherwise

    def _load(self, slot, rank, floor, busy):
        """Load one frame into a free transmit buffer at a place below `rank`; its number, or -1."""
        while rank > floor:
            rank -= 1
            number = rank % 3
            if not busy >> number & 1:
                slot = self._slots[slot]
                slot[1] = 0x30 + 16 * number
                slot[2] = rank // 3
                self._chip.move(slot)
                self._chip.move(_RTS[number])
                self.pending |= 1 << number
                self._ranks[number] = rank
                self._since[number] = self._clock.ticks_ms()
                return number
        return -1

    def _take_back(self, buffers):
        """Abort these. The first in the order may be on the wire: its buffer is left alone until the next poll."""
        first = -1
        number = 2
        while number >= 0:
            if buffers >> number & 1:
                _abort[1] = 0x30 + 16 * number
                self._chip.move(_abort)
                self.dropped += 1
                if first < 0 or self._ranks[number] > self._ranks[first]:
                    first = number
            number -= 1
        if first >= 0:
            self.avoid |= 1 << first
            self.pending &= ~buffers
            self.urgent &= ~buffers

    def _drop_waiting(self):
        self.dropped += self.count
        self.count = 0

    def _encode(self, number, can_id, data, flags):
        """Identifier registers: data sheet, registers 3-3 to 3-8."""
        slot = self._slots[number]
        if flags & FLAG_EXT:
            slot[3] = can_id >> 21
            slot[4] = can_id >> 13 & 0xE0 | 8 | can_id >> 16 & 3
            slot[5] = can_id >> 8 & 255
            slot[6] = can_id & 255
        else:
            slot[3] = can_id >> 3
            slot[4] = (can_id & 7) << 5
        size = len(data)
        slot[7] = size | (0x40 if flags & FLAG_RTR else 0)
        i = 0
        while i < size:
            slot[8 + i] = data[i]
            i += 1
