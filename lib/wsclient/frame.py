"""Frames of RFC 6455 section 5, from the client's side. Bytes in, bytes out: no sockets, no asyncio."""

from micropython import const

from .utf8 import Utf8

TEXT = const(1)
BINARY = const(2)
CLOSE = const(8)
PING = const(9)
PONG = const(10)

HEAD_MAX = const(14)  # 2 + 8 for the length + 4 for the mask
_KEEP = const(512)  # message buffer that stays; a larger one is dropped with its message
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


def is_close_code(code):
    """True for codes that may be on the wire (section 7.4; 1012 to 1014 are from the IANA registry)."""
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999


def close_payload(code, reason=""):
    """Payload of a close frame; the reason is cut to 123 bytes between characters. ValueError for a bad code."""
    if not is_close_code(code):
        raise ValueError("close code")
    text = reason.encode()
    if len(text) > 123:
        cut = 123
        while text[cut] & 0xC0 == 0x80:
            cut -= 1
        text = text[:cut]
    return code.to_bytes(2, "big") + text


def parse_close(data):
    """(code, reason) of a received close payload; (1005, "") if empty. FrameError if it breaks section 5.5.1 or 7.4."""
    if not data:
        return 1005, ""
    if len(data) < 2:
        raise FrameError(1002, "close frame of one byte")
    code = data[0] << 8 | data[1]
    if not is_close_code(code):
        raise FrameError(1002, "close code %d" % code)
    text = Utf8()
    if not text.feed(memoryview(data)[2:]) or not text.is_complete():
        raise FrameError(1007, "close reason is not UTF-8")
    return code, str(data[2:], "utf-8")


class Parser:
    """Push parser for what a server sends.

    After parse(), `event` is None (more bytes wanted) or the opcode of what is complete, with `payload`:
    TEXT str, BINARY bytes (whole messages, fragments joined), PING and PONG bytes, CLOSE (code, reason).
    Memory: a buffer of 512 bytes; messages above that get a buffer of their own up to max_size.
    """

    def __init__(self, max_size):
        self._max = max_size
        self._head = bytearray(10)
        self._have = 0  # header bytes here
        self._need = 2  # header bytes it has
        self._left = 0  # payload bytes to come, once the header is whole
        self._opcode = 0  # of this frame
        self._control = bytearray(125)
        self._buf = memoryview(bytearray(_KEEP))
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
        if first & 0x70:
            raise FrameError(1002, "reserved bit")
        if second & 0x80:
            raise FrameError(1002, "masked frame")
        if opcode >= CLOSE:
            if opcode > PONG:
                raise FrameError(1002, "opcode %d" % opcode)
            if not first & 0x80 or second > 125:
                raise FrameError(1002, "control frame fragmented or too long")
        elif opcode > BINARY:
            raise FrameError(1002, "opcode %d" % opcode)
        elif not opcode and not self._type:
            raise FrameError(1002, "continuation of nothing")
        elif opcode and self._type:
            raise FrameError(1002, "message inside a message")
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
            return
        if self._opcode:
            self._type = self._opcode
            self._size = 0
            self._utf8.reset()
        n += self._size
        if n > self._max:
            raise FrameError(1009, "message above %d bytes" % self._max)
        if n > len(self._buf):
            if not head[0] & 0x80:  # more fragments follow: grow in few steps
                n = max(n, min(2 * len(self._buf), self._max))
            buf = memoryview(bytearray(n))
            buf[: self._size] = self._buf[: self._size]
            self._buf = buf

    def _take(self, part):
        """Bytes of the payload."""
        n = len(part)
        if self._opcode >= CLOSE:
            at = self._head[1] - self._left
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
            data = bytes(memoryview(self._control)[: self._head[1]])
            self.payload = parse_close(data) if opcode == CLOSE else data
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
        if len(self._buf) > _KEEP:
            self._buf = memoryview(bytearray(_KEEP))
