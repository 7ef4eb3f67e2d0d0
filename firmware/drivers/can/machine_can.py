"""CAN over the processor's own controller, where the port has `machine.CAN`.

Source: MicroPython documentation, class machine.CAN (1.28: STM32, i.MX RT, Alif). ESP32 has none in stock builds; a
build with a TWAI module gives it the members used here: set_filters, send, recv, cancel_send, state, restart,
get_counters and the constants, irq if it can. Nothing allocates per frame.
"""

import asyncio

from micropython import const

from drivers.can import FLAG_EXT, FLAG_RTR, FLAG_URGENT, CanError

_POLL_MS = const(2)
_CHECK_MS = const(20)
_TX_MS = const(50)  # nothing was acknowledged for so long: take back what waits ...
_HOLD_MS = const(1000)  # ... and until a frame was heard only one a second is tried
_STEADY_MS = const(30_000)  # a life without bus-off this long makes the earlier ones forgotten
_PAUSE_MIN_MS = const(1000)  # wait before the restart after bus-off, doubled each time
_PAUSE_MAX_MS = const(30_000)
_RING = const(16)  # received frames between interrupt and task, one place stays empty
_QUEUE = const(4)  # ordinary frames that wait for room in the controller
_URGENT = const(2)  # urgent ones that came in the middle of other sending
_ALL_BITS = const(0x1FFFFFFF)
_TX_PENDING = const(5)  # places in get_counters()
_COUNT = const(0x3FFFFFFF)  # counters wrap instead of growing beyond a small int
_COUNTERS = "rx tx tx_dropped bad bus_off reopened overrun"
# What a controller must have. Also tells the build that these names are not ours to shorten
_MEMBERS = (
    "set_filters send recv cancel_send state restart get_counters FILTERS_MAX FLAG_RTR FLAG_EXT_ID FLAG_UNORDERED"
    " STATE_STOPPED STATE_PASSIVE STATE_BUS_OFF RECV_ERR_OVERRUN"
)
_INTERRUPT = "irq IRQ_RX"


class MachineCan:
    """One CAN bus on a machine.CAN (face: drivers/README.md).

    controller -- machine.CAN or the like, initialised with its bit rate; nobody else uses it. ValueError: says which of
    the members it needs is missing
    ids -- 29-bit identifiers to receive; more than the controller has filters for are sorted out here. (): every frame

    An urgent frame (FLAG_URGENT) cancels the ordinary ones; with the bus off, it restarts the controller at once. It is
    also taken while run() does not run, once it ran.
    """

    def __init__(self, controller, clock, ids=()):
        self.on_frame = None  # on_frame(can_id, flags, data), data is valid only during the call
        self.is_up = False  # running, no bus-off
        self.error_passive = False
        for name in _MEMBERS.split():
            if not hasattr(controller, name):
                raise ValueError("the CAN controller has no " + name)
        self._has_irq = all([hasattr(controller, name) for name in _INTERRUPT.split()])
        self._can = controller
        self._clock = clock
        self._ids = ids
        self._ring = [[0, memoryview(bytearray(8)), 0, 0] for _ in range(_RING)]  # type: list
        self._head = self._tail = 0  # of the ring: written by the receiving, by the delivering side only
        self._ids_flags = [0, 0] * (_QUEUE + _URGENT)  # of the waiting frames
        self._data = [bytearray(8) for _ in range(_QUEUE + _URGENT)]
        self._sizes = bytearray(_QUEUE + _URGENT)
        self._first = self._count = self._n_urgent = 0
        self._sending = False  # somebody is giving frames to the controller
        self._counts = [0] * 8
        self._receiving = False  # somebody is in _drain()
        self._lives = -1
        self._n_rx = self._n_tx = self._n_dropped = self._n_bad = self._n_bus_off = self._n_overrun = 0
        self._pause_ms = self._wait_ms = 0  # after the last bus-off; what is left of it
        self._ready = False  # urgent frames can be sent
        self._pending = self._urgent = 0  # transmit buffers, as bits: ordinary, urgent
        self._loaded = 0  # frames that the controller has and did not report as sent
        self._moved = 0  # ticks of the last one that was sent
        self._held = None  # ticks of the last frame that nobody acknowledged

    def counters(self):
        """Counts since boot; rx, tx, tx_dropped, bad, bus_off, reopened, overrun."""
        counts = (
            self._n_rx, self._n_tx, self._n_dropped, self._n_bad, self._n_bus_off, max(self._lives, 0), self._n_overrun,
        )  # fmt: skip
        return dict(zip(_COUNTERS.split(" "), counts))

    # -- receiving

    def _drain(self, _can=None):
        """Move what was received into the ring; also called as an interrupt, in the middle of itself."""
        if self._receiving:
            return
        self._receiving = True
        try:
            while True:
                following = (self._head + 1) % _RING
                if following == self._tail or self._can.recv(self._ring[self._head]) is None:
                    return
                self._head = following
        except OSError:
            pass  # its state is looked at by run()
        finally:
            self._receiving = False

    def _deliver(self):
        can = self._can
        while self._tail != self._head:
            frame = self._ring[self._tail]
            can_id, data, flags, errors = frame[0], frame[1], frame[2], frame[3]
            flags = (FLAG_EXT if flags & can.FLAG_EXT_ID else 0) | (FLAG_RTR if flags & can.FLAG_RTR else 0)
            if errors & can.RECV_ERR_OVERRUN:
                self._n_overrun += 1
            if len(data) > 8 or (self._ids and (not flags & FLAG_EXT or can_id not in self._ids)):
                self._n_bad = (self._n_bad + 1) & _COUNT
            else:
                self._n_rx = (self._n_rx + 1) & _COUNT
                self._held = None
                if self.on_frame:
                    self.on_frame(can_id, flags, b"" if flags & FLAG_RTR else data)
            self._tail = (self._tail + 1) % _RING

    # -- sending

    def send(self, can_id, data, flags=FLAG_EXT):
        """Send a frame now, or as soon as the bus takes it; True if it was taken.

        data -- up to 8 bytes. Does not wait; allocates nothing for 8 bytes of data. False: not up, or full, or nobody
        on the bus (counted). Raises ValueError for an identifier or a length that does not exist.
        """
        if len(data) > 8 or can_id < 0 or can_id >> (29 if flags & FLAG_EXT else 11):
            raise ValueError("CAN frame")
        if flags & FLAG_URGENT:
            taken = self._ready and self._send_urgent(can_id, data, flags)
        else:
            taken = self.is_up and not self._is_held() and self._send(can_id, data, flags)
        if not taken:
            self._n_dropped += 1
        return taken

    def _send(self, can_id, data, flags):
        if self._sending:  # we are an interrupt
            return False
        self._sending = True
        try:
            self._pump()
            if not self._count and self._load(can_id, data, flags, 0):
                return True
            if self._count == _QUEUE:
                return False
            self._keep((self._first + self._count) % _QUEUE, can_id, data, flags)
            self._count += 1
            return True
        finally:
            self._done()

    def _send_urgent(self, can_id, data, flags):
        if self._sending and self._n_urgent < _URGENT:
            self._keep(_QUEUE + self._n_urgent, can_id, data, flags)  # for him whom we have interrupted
            self._n_urgent += 1
            return True
        self._sending = True  # or he was killed
        self._n_urgent = 0
        try:
            return self._now(can_id, data, flags)
        finally:
            self._done()

    def _done(self):
        """Sending ends; send what came meanwhile."""
        self._sending = False
        slot = _QUEUE
        while self._n_urgent > slot - _QUEUE:
            size = self._sizes[slot]
            data = self._data[slot] if size == 8 else self._data[slot][:size]
            if not self._now(self._ids_flags[2 * slot], data, self._ids_flags[2 * slot + 1]):
                self._n_dropped += 1
            slot += 1
        self._n_urgent = 0

    def _now(self, can_id, data, flags):
        """Send an urgent frame at the cost of the ordinary ones, and of a controller that is off the bus."""
        self._settle()
        self._take_back(False)
        unordered = self._can.FLAG_UNORDERED  # the order among urgent frames does not matter
        if self._load(can_id, data, flags, 0) or self._load(can_id, data, flags, unordered):
            return True
        try:
            if self._can.state() == self._can.STATE_BUS_OFF:
                self._can.restart()  # cancels everything
                self._loaded = self._pending = self._urgent = 0
        except OSError:
            pass
        return self._load(can_id, data, flags, unordered)

    def _keep(self, slot, can_id, data, flags):
        self._ids_flags[2 * slot] = can_id
        self._ids_flags[2 * slot + 1] = flags
        size = self._sizes[slot] = len(data)
        i = 0
        while i < size:
            self._data[slot][i] = data[i]
            i += 1

    def _load(self, can_id, data, flags, more):
        """Give a frame to the controller; False: it does not take it."""
        can = self._can
        more |= (can.FLAG_EXT_ID if flags & FLAG_EXT else 0) | (can.FLAG_RTR if flags & FLAG_RTR else 0)
        try:
            index = can.send(can_id, data, more)
        except OSError:  # bus-off
            return False
        if index is None:
            return False
        if not self._loaded:
            self._moved = self._clock.ticks_ms()
        self._loaded += 1
        if flags & FLAG_URGENT:
            self._urgent |= 1 << index
            self._pending &= ~(1 << index)
        else:
            self._pending |= 1 << index
            self._urgent &= ~(1 << index)
        return True

    def _is_held(self):
        """Nobody acknowledged, nothing was heard since: one frame a second tries."""
        if self._held is None:
            return False
        now = self._clock.ticks_ms()
        if 0 <= self._clock.ticks_diff(now, self._held) < _HOLD_MS:
            return True
        self._held = now
        return False

    def _pump(self):
        """Give the controller what waits, as far as it has room."""
        self._settle()
        while self._count and not self._n_urgent:
            slot = self._first
            size = self._sizes[slot]
            data = self._data[slot] if size == 8 else self._data[slot][:size]
            if not self._load(self._ids_flags[2 * slot], data, self._ids_flags[2 * slot + 1], 0):
                return
            self._first = (slot + 1) % _QUEUE
            self._count -= 1

    def _settle(self):
        """How many of the frames that the controller has are sent? One that cannot tell has sent them all."""
        if not self._loaded:
            return
        left = self._can.get_counters(self._counts)[_TX_PENDING] or 0
        if left < self._loaded:
            self._n_tx = (self._n_tx + self._loaded - left) & _COUNT
            self._loaded = left
            self._moved = self._clock.ticks_ms()
            self._held = None
        if not left:
            self._pending = self._urgent = 0

    def _take_back(self, all_of_them):
        """Cancel the ordinary frames, the waiting ones included; or the urgent ones, too."""
        self._n_dropped += self._count
        self._count = 0
        buffers = self._pending | (self._urgent if all_of_them else 0)
        index = 0
        try:
            while buffers >> index:
                if buffers >> index & 1:  # one that is on the wire is at least not tried again
                    self._can.cancel_send(index)
                    self._loaded = max(0, self._loaded - 1)
                    self._n_dropped += 1
                index += 1
        except OSError:
            pass
        self._pending = 0
        if all_of_them:
            self._urgent = 0

    # -- service

    async def run(self):
        """One life of the bus. Raises CanError when the bus is lost."""
        can, clock = self._can, self._clock
        await asyncio.sleep_ms(self._wait_ms)
        self._wait_ms = 0
        self._begin()
        began = checked = clock.ticks_ms()
        if self._pause_ms:
            self._held = began  # careful after bus-off
        self._ready = self.is_up = True
        try:
            while True:
                self._drain()
                self._deliver()
                now = clock.ticks_ms()
                if clock.ticks_diff(now, checked) >= _CHECK_MS:
                    checked = now
                    self._check()
                if self._loaded or self._count:
                    self._serve_sending(now)
                if self._pause_ms and clock.ticks_diff(now, began) >= _STEADY_MS:
                    self._pause_ms = 0
                await asyncio.sleep_ms(_POLL_MS)
        finally:
            self.is_up = False
            if self._has_irq:
                can.irq(None, 0)

    def _serve_sending(self, now):
        """Send what waits; take back what nobody acknowledges."""
        self._sending = True
        try:
            self._pump()
            age = self._clock.ticks_diff(now, self._moved)
            if self._loaded and age >= _TX_MS:
                self._take_back(age >= _HOLD_MS)
                if self._held is None:
                    self._held = now
        finally:
            self._done()

    def _begin(self):
        can = self._can
        self._tail = self._head
        self._count = self._loaded = self._pending = self._urgent = 0
        self._held = None
        try:
            can.restart()  # cancels what an earlier life has left, too
            if len(self._ids) > can.FILTERS_MAX:
                can.set_filters(None)
            else:
                can.set_filters([(can_id, _ALL_BITS, can.FLAG_EXT_ID) for can_id in self._ids] or None)
            while can.recv(self._ring[0]) is not None:  # of before
                pass
            self._check()
            if self._has_irq:
                can.irq(self._drain, can.IRQ_RX)
        except OSError as exc:
            raise CanError("controller does not start: %s" % exc)
        self._lives += 1

    def _check(self):
        """What does the controller say about the bus? Raises CanError."""
        can = self._can
        state = can.state()
        self.error_passive = state == can.STATE_PASSIVE
        if state == can.STATE_STOPPED:
            raise CanError("controller is stopped: the board has to initialise it")
        if state == can.STATE_BUS_OFF:
            self._n_bus_off += 1
            self._wait_ms = self._pause_ms = min(_PAUSE_MAX_MS, self._pause_ms * 2 or _PAUSE_MIN_MS)
            self._take_back(True)
            raise CanError("bus-off: check CAN H, CAN L and the terminators")
