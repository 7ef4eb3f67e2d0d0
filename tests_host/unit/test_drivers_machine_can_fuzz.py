"""drivers/can/machine_can: a controller that gives noise and breaks its promises (how many: can_fuzz.py)."""
# heapsize: 1m
# timeout: 300

from can_fuzz import LIMITS, Frames, Memory, Permission, rand, share

from drivers.can import FLAG_EXT, FLAG_RTR, FLAG_URGENT, CanError
from drivers.can.machine_can import MachineCan

IDS = (LIMITS, 0x160B8001, 0x160D8001)


class MadCan:
    """Members of machine.CAN. Frames of any kind and length, states at random, answers that contradict each other."""

    STATE_STOPPED, STATE_ACTIVE, STATE_WARNING, STATE_PASSIVE, STATE_BUS_OFF = 0, 1, 2, 3, 4
    FLAG_RTR, FLAG_EXT_ID, FLAG_UNORDERED = 2, 4, 8
    RECV_ERR_FULL, RECV_ERR_OVERRUN = 1, 2
    IRQ_RX = 1
    FILTERS_MAX = 2

    def __init__(self, frames):
        self.frames = frames
        self.expected = []
        self.given = 0  # bytes
        self.long = bytes(64)

    def _fail(self):
        if rand(10) == 0:
            raise OSError(5)

    def set_filters(self, filters):
        self._fail()

    def send(self, id, data, flags=0):
        self._fail()
        return None if rand(1) else rand(5)

    def recv(self, arg):
        self._fail()
        if rand(1):
            return None
        frames = self.frames
        frames.next()
        data, flags = frames.views[frames.size], frames.flags
        kind = rand(5)
        if kind == 0:
            data = memoryview(self.long)[: rand(6)]
        elif kind == 1:
            frames.can_id = rand(30)
        self.given += 5 + len(data)
        arg[0], arg[1] = frames.can_id, memoryview(bytes(data))
        arg[2] = (4 if flags & FLAG_EXT else 0) | (2 if flags & FLAG_RTR else 0) | (rand(2) << 4)
        arg[3] = rand(2) if kind == 2 else 0
        if len(data) <= 8 and frames.can_id in IDS and flags & FLAG_EXT:
            self.expected.append((frames.can_id, flags, b"" if flags & FLAG_RTR else bytes(data)))
        return arg

    def cancel_send(self, index):
        self._fail()
        return bool(rand(1))

    def state(self):
        self._fail()
        return rand(3)

    def get_counters(self, counts):
        counts[5] = (None, rand(2), rand(8), 0)[rand(2)]
        return counts

    def restart(self):
        self._fail()

    def irq(self, handler, trigger):
        self._fail()


def test_bytes():
    total = share(False)
    it = Permission()
    mad = MadCan(Frames(500, IDS))
    can = MachineCan(mad, it.clock, IDS)
    got = []

    def take(can_id, flags, data):
        got.append((can_id, flags, bytes(data)))
        it.feed(can_id, flags, data)

    can.on_frame = take
    can._ready = can.is_up = True
    memory = Memory(3000)
    turn = received = ended = 0
    full = bytes(8)
    while mad.given < total:
        kind = rand(4)
        try:
            if kind < 8:
                can._drain(mad if kind & 1 else None)
            elif kind < 10:
                can._serve_sending(it.clock.ticks_ms())
            elif kind == 10:
                can._check()
            elif kind == 11:
                can._begin()
            else:
                assert can.send(0x18FF50E5, full, FLAG_EXT | (FLAG_URGENT if kind == 15 else 0)) in (True, False)
        except CanError:
            ended += 1
        except OSError:
            assert kind == 10  # its state: run() ends with it
        if kind == 11:
            got.clear()
            mad.expected.clear()
        assert not can._sending and not can._receiving and can._count <= 4 and can._n_urgent == 0
        can._deliver()
        assert got == mad.expected, (got, mad.expected)
        for frame in got:
            it.heard(*frame)
        received += len(got)
        got.clear()
        mad.expected.clear()
        it.clock.advance(rand(6))
        turn += 1
        if turn & 0xFFF == 0:
            it.clock.advance(rand(12))
            if turn & 0xFFFF == 0:
                memory.check()
        it.check()
    assert received > total // 50 and ended > turn // 100, (received, ended)
    assert it.permitted > turn // 50 and it.refused > turn // 50, (it.permitted, it.refused)
