"""drivers/can/slcan: random bytes, damaged and good lines (how many: can_fuzz.py), against an independent reader."""
# heapsize: 1m
# timeout: 300

from can_fuzz import LIMITS, Frames, Memory, Permission, rand, share

from drivers.can import FLAG_EXT, FLAG_RTR
from drivers.can.slcan import Slcan

ALPHABET = b"tTrRtTrRtTFzZVsSO0123456789abcdefABCDEF00112233\r\r\r\r\n\n\x07\x00\xff -+_x."
HEX = "0123456789abcdefABCDEF"
LONGEST = 40


class Stream:
    """Takes what the driver writes: some of it, all of it, nothing."""

    def write(self, buf, start, size):
        return min(size, rand(6)) if rand(1) else size


class Reader:
    """Lines and their meaning, written from the SLCAN page, not from the driver."""

    def __init__(self):
        self.frames = []
        self.bad = 0
        self._line = b""

    def take(self, data):
        text = (self._line + data.replace(b"\n", b"")).replace(b"\x07", b"\r")
        *lines, self._line = text.split(b"\r")
        if len(self._line) > 2 * LONGEST:
            self._line = b"?" * (LONGEST + 1)  # noise up to its end, however long
        for line in lines:
            if line and not self._meaning(line):
                self.bad += 1

    def _meaning(self, line):
        kind = line[:1]
        if kind == b"F":
            return len(line) == 3 and all_hex(line[1:])
        if kind in (b"z", b"Z"):
            return len(line) == 1
        if kind not in (b"t", b"T", b"r", b"R"):
            return False
        digits = 8 if kind in b"TR" else 3
        if len(line) < digits + 2 or not all_hex(line[1 : digits + 1]) or line[digits + 1] not in b"012345678":
            return False
        can_id, size = int(line[1 : digits + 1].decode(), 16), line[digits + 1] - 48
        if can_id >> (29 if digits == 8 else 11):
            return False
        flags = (FLAG_EXT if digits == 8 else 0) | (FLAG_RTR if kind in b"rR" else 0)
        rest = line[digits + 2 :]
        if kind in b"rR":
            size = 0
        if len(rest) != 2 * size or not all_hex(rest):
            return False
        self.frames.append((can_id, flags, bytes([int(rest[2 * i : 2 * i + 2].decode(), 16) for i in range(size)])))
        return True


def all_hex(data):
    for byte in data:
        if chr(byte) not in HEX:
            return False
    return True


def line_of(frames):
    """A good line for the next random frame."""
    frames.next()
    flags = frames.flags
    kind = ("t", "T", "r", "R")[(1 if flags & FLAG_EXT else 0) + (2 if flags & FLAG_RTR else 0)]
    line = ("%s%08X%d" if flags & FLAG_EXT else "%s%03X%d") % (kind, frames.can_id, frames.size)
    if not flags & FLAG_RTR:
        line += "".join(["%02X" % byte for byte in frames.views[frames.size]])
    return (line if rand(3) else line[0] + line[1:].lower()).encode()


def damaged(line):
    """The same with one to four defects."""
    line = bytearray(line)
    for _ in range(1 + rand(2)):
        at = rand(8) % len(line)
        kind = rand(3)
        if kind < 3:
            line[at] = ALPHABET[rand(8) % len(ALPHABET)]
        elif kind == 3:
            line[at] = rand(8)
        elif kind == 4:
            line = line[:at] + line[at + 1 :] or bytearray(b"T")
        elif kind == 5:
            line = line[:at] + bytes((ALPHABET[rand(8) % len(ALPHABET)],)) + line[at:]
        elif kind == 6:
            line = line[: at + 1]
        else:
            line = line + line[at:]
    return line


def piece(frames):
    """Some bytes of an adapter that is good, bad or mad."""
    kind = rand(6)
    if kind < 8:
        return bytes([rand(8) for _ in range(1 + rand(6))])
    if kind < 16:
        return bytes([ALPHABET[rand(8) % len(ALPHABET)] for _ in range(1 + rand(6))])
    if kind < 28:
        return damaged(line_of(frames)) + (b"\r" if rand(3) else b"\x07")
    if kind == 28:
        return bytes((ALPHABET[rand(8) % len(ALPHABET)],)) * rand(9)
    if kind == 29:  # more data than a frame has, and a length that fits it
        size = 9 + rand(8) % 7
        return b"t%03X%X" % (rand(11), size) + b"5A" * size + b"\r"
    if kind < 32:
        return (b"F00\r", b"F80\r", b"F%02x\r" % rand(8), b"z\rZ\r\x07")[rand(2)]
    return line_of(frames) + (b"\n\r" if rand(1) else b"\r")


def test_bytes():
    total = share(True)
    it = Permission()
    can = Slcan(None, it.clock, uart=True)
    got = []
    reader = Reader()

    def take(can_id, flags, data):
        got.append((can_id, flags, bytes(data)))
        it.feed(can_id, flags, data)

    can.on_frame = take
    can._begin(Stream())
    can._open = True
    frames = Frames(300, (LIMITS, LIMITS, 0x160B8001, 0x160D8001, 0x18FF50E5))
    memory = Memory()
    view = can._rx_view
    fed = turn = received = 0
    while fed < total:
        data = piece(frames)
        fed += len(data)
        reader.take(bytes(data))
        while data:
            n = min(len(data), 1 + rand(7), len(view))
            view[:n] = data[:n]
            can._parse(n)
            data = data[n:]
        if reader.frames or got:
            assert got == reader.frames, (got, reader.frames)
            received += len(got)
            for frame in got:
                it.heard(*frame)
            got.clear()
            reader.frames.clear()
        if turn & 0xFF == 0:  # a line that is too long counts at once
            assert can.counters()["bad"] == reader.bad + can._skipping, (can.counters(), reader.bad)
        assert can._kept <= LONGEST and can._count <= 9
        turn += 1
        it.clock.advance(rand(6))
        if turn & 0x3FF == 0:
            it.clock.advance(rand(12))
        it.check()
        if turn & 15 == 0:
            can.send(0x18FF50E5, b"\x01\x02\x03\x04", FLAG_EXT | (rand(3) == 0) * 4)
            can._failed = None
        if turn & 0x3FFF == 0:
            memory.check()
    assert received > total // 100 and it.permitted > turn // 50 and it.refused > turn // 50, (received, it.permitted)
    assert can.counters()["rx"] == received and reader.bad > total // 200
