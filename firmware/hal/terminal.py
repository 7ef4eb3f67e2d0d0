"""The console's stream: standard input and output, byte by byte and without ever waiting for the other side.

Loaded while somebody is there. Bytes are raw: no echo, no line discipline, Ctrl-C is byte 3.
"""

import asyncio
import select
import sys

from cold import cold
from micropython import const

_SYSTEM = "hal.unix_system"
_CHUNK = const(64)  # bytes until others get their turn
_PACE_MS = const(6)  # of a chunk at 115,200 bit/s: the port's write waits for the line
_LOOK_MS = const(10)
_STUCK_MS = const(2000)


class Terminal:
    """streams -- list of a computer's open streams, to which it is added; None: a device

    is_device -- not a computer; is_shared -- the log is shown on the same screen
    """

    def __init__(self, streams):
        self.is_device = self.is_shared = streams is None
        self._streams = streams
        self._reader = asyncio.StreamReader(sys.stdin.buffer)
        self._in = _poll(sys.stdin, select.POLLIN)
        self._out = _poll(sys.stdout, select.POLLOUT)
        self._open = True
        self._stuck = False
        self._mode = None  # of a computer's terminal, to be put back
        if streams is not None:
            streams.append(self)
            self._mode, self.is_shared = cold(_SYSTEM).make_raw()

    async def readinto(self, buf):
        """Bytes read into buf, 0 at the end. One reader."""
        if not self._open:
            return 0
        view = memoryview(buf)
        try:
            n = await self._reader.readinto(view[:1])  # more could make the port wait for all of it
            while n and n < len(buf) and _ready(self._in) and sys.stdin.buffer.readinto(view[n : n + 1]):
                n += 1
        except OSError:  # the terminal is gone
            return 0
        return n

    async def write(self, text):
        """Send a text. What nobody takes within 2 s is lost, and then what follows at once. OSError: closed, gone."""
        data = memoryview(text.encode())
        step = _CHUNK if self.is_device else 1  # one byte is what a ready pipe or terminal takes for sure
        for at in range(0, len(data), _CHUNK):
            for start in range(at, min(at + _CHUNK, len(data)), step):
                waited = 0
                while not _ready(self._out):
                    if self._stuck or waited >= _STUCK_MS:
                        self._stuck = True
                        return
                    await asyncio.sleep_ms(_LOOK_MS)
                    waited += _LOOK_MS
                self._stuck = False
                sys.stdout.buffer.write(data[start : start + step])
            await asyncio.sleep_ms(_PACE_MS if self.is_device else 0)

    def close(self):
        """Put the terminal back as it was; may be called twice."""
        self._open = False
        mode, self._mode = self._mode, None
        if mode is not None:
            cold(_SYSTEM).put_back(mode)
        streams, self._streams = self._streams, None
        if streams is not None and self in streams:
            streams.remove(self)


def _poll(stream, events):
    poll = select.poll()
    poll.register(stream, events)
    return poll


def _ready(poll):
    return any(True for _ in poll.ipoll(0))
