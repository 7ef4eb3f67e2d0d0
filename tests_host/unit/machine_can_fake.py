"""A machine.CAN as its documentation describes it (MicroPython 1.28, library/machine.CAN), with a bus behind it."""

from drivers.can import FLAG_EXT, FLAG_RTR


class FakeMachineCan:
    """One controller, initialised. It takes the strictest reading of the documentation wherever there is a choice.

    acked, occupied, broken -- as mcp2515_chip.Chip
    orders    -- False: frames with the same identifier may leave in any order, and do so backwards
    counts_tx -- False: it cannot tell how many frames wait
    dry       -- True: send() takes everything and does nothing, without allocation
    hook      -- called at the begin and the end of send, recv and cancel_send: where an interrupt could come
    """

    MODE_NORMAL = 0
    STATE_STOPPED, STATE_ACTIVE, STATE_WARNING, STATE_PASSIVE, STATE_BUS_OFF = 0, 1, 2, 3, 4
    FLAG_RTR, FLAG_EXT_ID, FLAG_UNORDERED = 2, 4, 8
    RECV_ERR_FULL, RECV_ERR_OVERRUN = 1, 2
    IRQ_RX, IRQ_TX, IRQ_STATE = 1, 2, 4
    FILTERS_MAX = 6
    TX_QUEUE_LEN = 3
    FIFO = 3

    def __init__(self, orders=False, counts_tx=True):
        self.orders = orders
        self.counts_tx = counts_tx
        self.acked = True
        self.occupied = self.broken = False
        self.edges_lost = self.dry = False
        self.hook = None
        self.frame_us = 524
        self.sent = []
        self._filters = ()  # nothing is received before set_filters
        self._handler = None
        self._fifo = []
        self._overrun = False
        self._lists = {}  # id of a list -> views of its buffer, by length
        self._buffers = [None] * self.TX_QUEUE_LEN
        self._state = self.STATE_ACTIVE
        self._tec = self._serial = 0
        self._flight = None
        self._flight_us = 0
        self._give_up = False

    # -- the documented members

    def set_filters(self, filters):
        if filters is not None:
            filters = list(filters)
            if len(filters) > self.FILTERS_MAX:
                raise ValueError("too many")
            for can_id, mask, flags in filters:
                if (can_id | mask) >> (29 if flags & self.FLAG_EXT_ID else 11):
                    raise ValueError("invalid id")
        self._filters = filters

    def send(self, id, data, flags=0):
        if self.dry:
            return 0
        self._hooked()
        index = self._send(id, data, flags)
        self._hooked()
        return index

    def _hooked(self):
        if self.hook:
            self.hook()

    def _send(self, id, data, flags):
        if self._state in (self.STATE_BUS_OFF, self.STATE_STOPPED):
            raise OSError(5)
        assert 0 <= id < 1 << (29 if flags & self.FLAG_EXT_ID else 11) and len(data) <= 8
        same = [b for b in self._buffers if b is not None and b[0] == id]
        if None not in self._buffers or (same and not self.orders and not flags & self.FLAG_UNORDERED):
            return None
        index = self._buffers.index(None)
        self._serial += 1
        self._buffers[index] = (id, bytes(data), flags, self._serial)
        self._start()
        return index

    def recv(self, arg=None):
        self._hooked()
        frame = self._recv(arg)
        self._hooked()
        return frame

    def _recv(self, arg):
        if not self._fifo:
            return None
        can_id, data, flags = self._fifo.pop(0)
        if arg is None:
            return [can_id, memoryview(bytearray(data)), flags, self._errors()]
        views = self._lists.get(id(arg))
        if views is None:
            assert len(arg) >= 4 and len(arg[1]) == 8
            views = self._lists[id(arg)] = [arg, [arg[1][:n] for n in range(9)]]
        for i in range(len(data)):
            views[1][8][i] = data[i]
        arg[0], arg[1], arg[2], arg[3] = can_id, views[1][len(data)], flags, self._errors()
        return arg

    def irq(self, handler=None, trigger=0, hard=False):
        self._handler = handler if trigger & self.IRQ_RX else None

    def cancel_send(self, index):
        self._hooked()
        if self._flight == index:
            self._give_up = True  # it goes on, but is not tried again
            return False
        if self._buffers[index] is None:
            return False
        self._buffers[index] = None
        return True

    def state(self):
        return self._state

    def get_counters(self, counts=None):
        counts = counts or [0] * 8
        counts[0] = self._tec
        counts[5] = 0 if self.counts_tx else None
        for waiting in self._buffers:
            if waiting is not None and self.counts_tx:
                counts[5] += 1
        counts[6] = len(self._fifo)
        return counts

    def restart(self):
        self._state = self.STATE_ACTIVE
        self._tec = 0
        self._flight = None
        self._buffers = [None] * self.TX_QUEUE_LEN

    # -- the bus

    def _errors(self):
        errors = self.RECV_ERR_OVERRUN if self._overrun else 0
        self._overrun = False
        return errors

    def arrive(self, can_id, flags, data):
        """A frame of another node. True if the controller now has it."""
        if self._state == self.STATE_BUS_OFF:
            return False
        own = (self.FLAG_EXT_ID if flags & FLAG_EXT else 0) | (self.FLAG_RTR if flags & FLAG_RTR else 0)
        if self._filters is not None and not [
            1
            for wanted, mask, kind in self._filters
            if not (wanted ^ can_id) & mask and kind & self.FLAG_EXT_ID == own & self.FLAG_EXT_ID
        ]:
            return False
        if len(self._fifo) == self.FIFO:
            self._overrun = True
            return False
        self._fifo.append((can_id, bytes(len(data)) if flags & FLAG_RTR else bytes(data[:8]), own))
        if self._handler and not self.edges_lost:
            self._handler(self)
        return True

    def _start(self):
        if self._flight is not None or self.occupied:
            return
        best = None
        for index, waiting in enumerate(self._buffers):
            if waiting is None:
                continue
            later = waiting[3] if self.orders else -waiting[3]
            if best is None or (waiting[0], later) < best[0]:
                best = ((waiting[0], later), index)
        if best is not None:
            self._flight = best[1]
            self._give_up = False
            self._flight_us = self.frame_us

    def elapse(self, us):
        """Time passes on the wire."""
        while us > 0:
            us -= 100
            self._start()
            if self._flight is None:
                continue
            self._flight_us -= 100
            if self._flight_us > 0 or self._state == self.STATE_STOPPED:
                continue
            index, self._flight = self._flight, None
            if self.acked and not self.broken:
                can_id, data, flags, _ = self._buffers[index]
                own = (FLAG_EXT if flags & self.FLAG_EXT_ID else 0) | (FLAG_RTR if flags & self.FLAG_RTR else 0)
                self.sent.append((can_id, data, own))
                self._buffers[index] = None
                self._tec = max(0, self._tec - 1)
            else:
                if self._give_up:
                    self._buffers[index] = None
                if self.broken or self._tec < 128:
                    self._tec += 8
            if self._tec > 255:
                self._state = self.STATE_BUS_OFF
            else:
                self._state = self.STATE_PASSIVE if self._tec >= 128 else self.STATE_ACTIVE

    def forget_sent(self):
        self.sent = []

    @property
    def waiting(self):
        return len([b for b in self._buffers if b is not None])
