"""CAN over an MCP2515 controller on SPI.

Source: Microchip data sheet DS20001801 (MCP2515), errata DS80179. Interrupts, the control loop and the last "off" of a
dying program may all come in the middle of each other: whoever uses the SPI holds `spi_lock`, who finds it taken leaves
his work to the holder. Nothing allocates per frame. Here are the SPI, receiving and the state of the chip; sending is
mcp2515_transmit.py, set-up and bit timing mcp2515_setup.py (cold).
"""

import asyncio

from cold import cold
from micropython import const

from drivers.can import FLAG_EXT, FLAG_RTR, FLAG_URGENT, CanError

from .mcp2515_transmit import COUNT, NOTHING, Transmitter, slots

_SETUP = "drivers.can.mcp2515_setup"
_POLL_MS = const(5)
_CHECK_MS = const(100)  # a chip that lost its supply is found after this
_STEADY_MS = const(30_000)  # a life without bus-off this long makes the earlier ones forgotten
_PAUSE_MIN_MS = const(1000)  # wait before the set-up after bus-off, doubled each time
_PAUSE_MAX_MS = const(30_000)
_STALE_LOCK_MS = const(20)  # no transaction takes so long: its holder was killed
_RING = const(16)  # received frames between interrupt and task, one place stays empty
_ROUNDS = const(8)
_TRIES = const(3)  # readings before a strange one is believed
_COUNTERS = "rx tx tx_dropped bad bus_off reopened overrun int_faults"

# SPI instructions, section 12. In RAM and not longer than 4 bytes, or a multiple of 4: no hidden copies on the ESP32
_STATUS = bytearray(b"\xa0\x00\x00")  # the answer repeats: both must agree
_READ_RX = (bytearray(b"\x90" + bytes(15)), bytearray(b"\x94" + bytes(15)))  # two bytes more than the buffer has
_READ_STATE = bytearray(b"\x03\x28" + bytes(10))  # CNF3 CNF2 CNF1 CANINTE CANINTF EFLG CANSTAT CANCTRL, 2 unused
_CLEAR_ERROR = b"\x05\x2c\x20\x00"  # CANINTF.ERRIF
_CLEAR_OVERRUN = b"\x05\x2d\xc0\x00"  # EFLG.RX0OVR, RX1OVR

_in = bytearray(12)
_IN_STATUS = memoryview(_in)[:3]
_data = bytearray(8)  # of the frame that is being delivered: one for all buses, as nothing outlives the call
_VIEWS = tuple([memoryview(_data)[:_i] for _i in range(9)])

# For all controllers, as they may share an SPI: [who uses it now, the first of those who wait until it is free]
spi_lock = [None, None]  # type: list


class Mcp2515:
    """One CAN bus behind an MCP2515 (face: drivers/README.md).

    spi -- machine.SPI or the like, mode 0, at most 10 MHz; no other device on it
    cs, int_pin -- machine.Pin or the like: an output, high; an input, low-active, with irq(handler, trigger)
    bitrate, oscillator -- bit/s, Hz of the crystal; a pair of mcp2515_setup's table, else ValueError
    ids -- 29-bit identifiers to receive, the busiest first; up to six are filtered exactly. (): every frame is received

    Three transmit buffers and four waiting frames, sent in the order of send(). An urgent frame (FLAG_URGENT) takes
    back every ordinary one and goes straight into a transmit buffer: when send() returns, the controller needs nobody
    to send it. It is also taken while run() does not run, once the controller was set up.
    """

    def __init__(self, spi, cs, int_pin, clock, bitrate=250_000, oscillator=8_000_000, ids=()):
        self.on_frame = None  # on_frame(can_id, flags, data), data is valid only during the call
        self.is_up = False  # set up, on the bus, no bus-off
        self.error_passive = False
        self._spi = spi
        self._cs = cs
        self._int = int_pin
        self._clock = clock
        self._registers = cold(_SETUP).registers(oscillator, bitrate)  # as _READ_STATE shows the first four
        self._ids = ids
        self._ring = slots(_RING)
        self._lives = -1
        self._n_rx = self._n_bad = 0
        self._n_bus_off = self._n_overrun = self._n_int = 0
        self._pause_ms = self._wait_ms = 0  # after the last bus-off; what is left of it
        self._stuck = None  # level at which the interrupt line is stuck
        self._alarm = False  # the chip has an error to tell
        self._ready = False  # set up: urgent frames can be sent
        self._urging = False  # send() of an urgent frame is at work
        self._next = False  # in the queue for the SPI: who is behind us, or None; False: we are not in it
        self._tx = Transmitter(self, clock)
        self._forget()
        cs(1)

    def _forget(self):
        """After a reset of the chip nothing of before is left in it."""
        self._head = self._tail = 0  # of the ring: written by the receiving, by the delivering side only
        self._tx.forget()

    def counters(self):
        """Counts since boot; rx, tx, tx_dropped, bad, bus_off, reopened, overrun, int_faults."""
        counts = (
            self._n_rx, self._tx.sent, self._tx.dropped, self._n_bad, self._n_bus_off,
            max(self._lives, 0), self._n_overrun, self._n_int,
        )  # fmt: skip
        return dict(zip(_COUNTERS.split(" "), counts))

    # -- SPI

    def transfer(self, out, into=None):
        """One SPI transaction; into -- buffer of the same length, for what the chip says. Only from tasks."""
        spi_lock[0] = self
        try:
            self.move(out, into)
        finally:
            self._leave()

    def move(self, out, into=None):
        """As transfer(), with the lock held. CS goes high whatever happens: errata 4, and the next transaction."""
        cs = self._cs
        try:
            cs(0)
            if into is None:
                self._spi.write(out)
            else:
                self._spi.write_readinto(out, into)
        finally:
            cs(1)

    def _leave(self):
        """Give the SPI back; do what was left to us meanwhile."""
        spi_lock[0] = None
        other = spi_lock[1]
        if other is not None:
            spi_lock[1] = other._next
            other._next = False
            other._edge(None)  # which ends here again: for the next one

    def _queue(self):
        """The SPI is taken: ask its holder to come back to us."""
        if self._next is False:
            self._next = spi_lock[1]
            spi_lock[1] = self

    def _edge(self, _pin):
        """Interrupt of the chip, between two bytecodes of whatever runs: empty the receive buffers into the ring."""
        if _pin is not None:
            self._stuck = None
        if spi_lock[0] is not None:
            self._queue()
            return
        if not self._ready:
            return
        spi_lock[0] = self
        try:
            if self.is_up:
                self._drain()
            if self._tx.n_urgent:
                self._urging = True
                self._tx.pump()
        except OSError:
            self._tx.n_urgent = 0  # the next check of run() meets it, too
        finally:
            self._urging = False
            self._leave()

    def status(self):
        """READ STATUS; 0xFF when the chip gives no clear answer."""
        tries = _TRIES
        while tries:
            self.move(_STATUS, _IN_STATUS)
            if _in[1] == _in[2]:
                return _in[1]
            tries -= 1
        return NOTHING

    # -- receiving

    def _drain(self):
        """Move what was received into the ring until the chip has nothing, or the ring no room (then it stays there).

        RXB1 first when RXB0 was the last one read: a frame that rolled over is older than the next one in RXB0.
        """
        rounds = _ROUNDS
        first = 0
        while rounds:
            rounds -= 1
            bits = self.status()
            if bits == NOTHING:
                return
            if not bits & 3:
                if self._int() or self._alarm:
                    return
                self.move(_CLEAR_ERROR)  # else no edge would come any more; the check looks at its reason
                self._alarm = True
            number = first
            turns = 2
            while turns:
                turns -= 1
                if bits >> number & 1:
                    head = self._head
                    following = (head + 1) % _RING
                    if following == self._tail:
                        return
                    self.move(_READ_RX[number], self._ring[head])
                    self._head = following
                    first = number ^ 1
                number ^= 1

    def _deliver(self):
        """Hand out what lies in the ring."""
        data = _data
        while self._tail != self._head:
            slot = self._ring[self._tail]
            low = slot[2]
            if low & 8:
                can_id = slot[1] << 21 | (low & 0xE0) << 13 | (low & 3) << 16 | slot[3] << 8 | slot[4]
                flags = FLAG_EXT | (FLAG_RTR if slot[5] & 0x40 else 0)
            else:
                can_id = slot[1] << 3 | low >> 5
                flags = FLAG_RTR if low & 0x10 else 0
            size = 0 if flags & FLAG_RTR else min(slot[5] & 15, 8)
            i = 0
            while i < size:
                data[i] = slot[6 + i]
                i += 1
            self._tail = (self._tail + 1) % _RING
            if self._ids and (not flags & FLAG_EXT or can_id not in self._ids):
                self._n_bad = (self._n_bad + 1) & COUNT  # the filters cannot let it pass: misread, or a wide filter
                continue
            self._n_rx = (self._n_rx + 1) & COUNT
            self._tx.held = None
            if self.on_frame:
                self.on_frame(can_id, flags, _VIEWS[size])

    # -- sending

    def send(self, can_id, data, flags=FLAG_EXT):
        """Send a frame now, or as soon as the bus takes it; True if it was taken.

        data -- up to 8 bytes. Does not wait; allocates nothing. False: not up, or full, or nobody on the bus (counted).
        Raises ValueError for an identifier or a length that does not exist.
        """
        if len(data) > 8 or can_id < 0 or can_id >> (29 if flags & FLAG_EXT else 11):
            raise ValueError("CAN frame")
        if flags & FLAG_URGENT:
            taken = self._ready and self._send_urgent(can_id, data, flags)
        else:
            taken = self.is_up and spi_lock[0] is None and not self._tx.is_held() and self._send(can_id, data, flags)
        if not taken:
            self._tx.dropped += 1
        return taken

    def _send(self, can_id, data, flags):
        spi_lock[0] = self
        try:
            return self._tx.add(can_id, data, flags)
        except OSError:
            return False
        finally:
            self._leave()

    def _send_urgent(self, can_id, data, flags):
        tx = self._tx
        now = self._clock.ticks_ms()
        holder = spi_lock[0]
        if holder is not None:  # we have interrupted somebody's transaction: he goes on when we return
            if self._urging:
                return True  # with the same safe state
            if tx.late is None:
                tx.late = now
            if self._clock.ticks_diff(now, tx.late) < _STALE_LOCK_MS:
                if not tx.urge_later(can_id, data, flags):
                    return False
                self._queue()
                return True
            holder._cs(1)  # he never will
        spi_lock[0] = self
        self._urging = True
        try:
            if not self.is_up:
                tx.avoid = 0  # nobody polls
            return tx.urge(can_id, data, flags)
        except OSError:
            return False
        finally:
            self._urging = False
            self._leave()

    # -- service

    async def run(self):
        """One life of the bus: set up, receive. Raises CanError when the chip or the bus is lost."""
        clock = self._clock
        await asyncio.sleep_ms(self._wait_ms)
        self._wait_ms = 0
        self._ready = False  # what run() left on its way out may be sent until now
        await cold(_SETUP).set_up(self.transfer, self._registers, self._ids)
        self._forget()
        self._lives += 1
        began = checked = clock.ticks_ms()
        if self._pause_ms:
            self._tx.held = began  # careful after bus-off
        self._ready = self.is_up = True
        self._int.irq(self._edge, self._int.IRQ_FALLING)
        try:
            while True:
                if not self._int() or self._stuck:
                    self._edge(None)
                now = clock.ticks_ms()
                spi_lock[0] = self
                try:
                    if self._tx.is_busy():
                        self._tx.serve(now)
                    if self._alarm or clock.ticks_diff(now, checked) >= _CHECK_MS:
                        checked = now
                        self._alarm = False
                        self._check()
                finally:
                    self._leave()
                self._deliver()
                if self._pause_ms and clock.ticks_diff(now, began) >= _STEADY_MS:
                    self._pause_ms = 0
                await asyncio.sleep_ms(_POLL_MS)
        finally:
            self.is_up = False

    def _check(self):
        """Is it still the chip that was set up, and what does it say about the bus? Raises CanError."""
        registers = self._registers
        tries = _TRIES
        while True:
            before = self._int()
            self.move(_READ_STATE, _in)
            if (_in[8] | _in[9]) & 0xE0 == 0:
                i = 0
                while i < 4 and _in[2 + i] == registers[i]:
                    i += 1
                if i == 4:
                    break
            tries -= 1
            if not tries:
                silent = _in[2] in (0, 255) and _in[2] == _in[3] == _in[4] == _in[5] == _in[8]
                raise CanError("no answer: check SPI and supply" if silent else "lost its set-up: check its supply")
        flags = _in[6] & registers[3]
        after = self._int()
        stuck = 0 if not flags and not before else 1 if flags and after else None
        if stuck is not None:
            if self._stuck is None:
                self._n_int += 1
            self._stuck = stuck
        errors = _in[7]
        self.error_passive = bool(errors & 0x18)
        if errors & 0xC0:
            self._n_overrun += (errors >> 6 & 1) + (errors >> 7)
            self.move(_CLEAR_OVERRUN)
        if flags & 0x20:
            self.move(_CLEAR_ERROR)
        if errors & 0x20:
            self._n_bus_off += 1
            self._wait_ms = self._pause_ms = min(_PAUSE_MAX_MS, self._pause_ms * 2 or _PAUSE_MIN_MS)
            self._tx.give_up()
            raise CanError("bus-off: check CAN H, CAN L and the terminators")
