"""Frames of RFC 6455 section 5, from the client's side. Bytes in, bytes out: no sockets, no asyncio."""

from cold import cold
from micropython import const

from .utf8 import Utf8

TEXT = const(1)
BINARY = const(2)
CLOSE = const(8)
PING = const(9)
PONG = const(10)

HEAD_MAX = const(14)  # 2 + 8 for the length + 4 for the mask
_FIRST = const(64)  # smallest buffer of a message in several frames
_MASK_STEP = const(128)


class FrameError(Exception):
    """The peer broke the protocol. args: (close code to fail the connection with, text)."""


def mask(view, key):
    """XOR a memoryview in place with the 4 bytes of key, repeated (section 5.3).

    As big integers of 128 bytes: some 20 times fewer bytecodes than a loop, and no native code that would tie the
    .mpy to one architecture.
    """
    size = len(view)
    number = int.from_bytes(key * (_MASK_STEP // 4), "little")
    for at in range(0, size, _MASK_STEP):
        block = view[at : at + _MASK_STEP]
        n = len(block)
        if n < _MASK_STEP:
            number &= (1 << 8 * n) - 1
        block[:] = (int.from_bytes(block, "little") ^ number).to_bytes(n, "little")


def put_head(buf, opcode, size, key):
    """Write the header of an unfragmented masked frame to buf[0:]; return its length, 6, 8 or 14."""
    buf[0] = 0x80 | opcode
    if size < 126:
        buf[1] = 0x80 | size
        at = 2
    elif size < 65536:
        buf[1] = 0xFE
        buf[2] = size >> 8
        buf[3] = size & 0xFF
        at = 4
    else:
        buf[1] = 0xFF
        buf[2:10] = size.to_bytes(8, "big")
        at = 10
    buf[at : at + 4] = key
    return at + 4


class Parser:
    """Push parser for what a server sends.

    After parse(), `event` is None (more bytes wanted) or the opcode of what is complete, with `payload`:
    TEXT str, BINARY bytes (whole messages, fragments joined), PING and PONG bytes, CLOSE (code, reason).
    Memory: each message and control frame gets a buffer of its size, up to max_size, and gives it back.
    """

    def __init__(self, max_size):
        self._max = max_size
        self._head = bytearray(10)
        self._have = 0  # header bytes here
        self._need = 2  # header bytes it has
        self._left = 0  # payload bytes to come, once the header is whole
        self._opcode = 0  # of this frame
        self._control = None  # payload of a control frame
        self._buf = None  # memoryview, of the message
        self._type = 0  # opcode of the message in the buffer, 0: none has begun
        self._size = 0  # its bytes so far
        self._utf8 = Utf8()
        self.event = None
        self.payload = None

    def parse(self, view, pos, end):
        """Take view[pos:end] up to the end of the next event; return the new pos. FrameError ends the connection."""
        self.event = self.payload = None
        while pos < end:
            if self._have < self._need:
                self._head[self._have] = view[pos]
                self._have += 1
                pos += 1
                if self._have == 2:
                    self._check()
                if self._have < self._need:
                    continue
                self._begin()
            n = min(self._left, end - pos)
            if n:
                self._take(view[pos : pos + n])
                pos += n
                self._left -= n
            if not self._left:
                self._have = 0
                self._need = 2
                self._finish()
                if self.event is not None:
                    break
        return pos

    def _check(self):
        """The first two bytes of the header (section 5.2)."""
        first, second = self._head[0], self._head[1]
        opcode = self._opcode = first & 0x0F
        if (
            (first & 0x70 or second & 0x80 or BINARY < opcode < CLOSE or opcode > PONG)
            or (opcode >= CLOSE and (not first & 0x80 or second > 125))
            or (opcode < CLOSE and (not opcode) == (not self._type))
        ):
            raise FrameError(1002, cold("wsclient.breach").in_words(first, second))
        if second >= 126:
            self._need = 4 if second == 126 else 10

    def _begin(self):
        """The header is whole: length and room for it."""
        head = self._head
        n = head[1]
        if n == 126:
            n = head[2] << 8 | head[3]
            if n < 126:
                raise FrameError(1002, "length not minimal")
        elif n == 127:
            if head[2] & 0x80:
                raise FrameError(1002, "length above 63 bits")
            n = int.from_bytes(head[2:10], "big")
            if n < 65536:
                raise FrameError(1002, "length not minimal")
        self._left = n
        if self._opcode >= CLOSE:
            self._control = bytearray(n)
            return
        if self._opcode:
            self._type = self._opcode
            self._size = 0
            self._utf8.reset()
        n += self._size
        if n > self._max:
            raise FrameError(1009, "message above %d bytes" % self._max)
        had = self._buf
        room = len(had) if had else 0
        if n > room or not had:
            if not head[0] & 0x80:  # more fragments follow: grow in few steps
                n = max(n, min(max(2 * room, _FIRST), self._max))
            self._buf = memoryview(bytearray(n))
            if had:
                self._buf[: self._size] = had[: self._size]

    def _take(self, part):
        """Bytes of the payload."""
        n = len(part)
        if self._opcode >= CLOSE:
            at = len(self._control) - self._left
            self._control[at : at + n] = part
            return
        if self._type == TEXT and not self._utf8.feed(part):
            raise FrameError(1007, "text is not UTF-8")
        self._buf[self._size : self._size + n] = part
        self._size += n

    def _finish(self):
        """The frame is whole."""
        opcode = self._opcode
        if opcode >= CLOSE:
            data, self._control = bytes(self._control), None
            self.payload = cold("wsclient.closing").parse_close(data) if opcode == CLOSE else data
            self.event = opcode
            return
        if not self._head[0] & 0x80:
            return
        data = self._buf[: self._size]
        if self._type == TEXT:
            if not self._utf8.is_complete():
                raise FrameError(1007, "text ends inside a character")
            self.payload = str(data, "utf-8")
        else:
            self.payload = bytes(data)
        self.event = self._type
        self._type = 0
        self._buf = None
