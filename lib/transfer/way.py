"""How connections of transfers are made, and how long they may take. A cold module (lib/cold.py)."""

import asyncio
import errno
from asyncio import core

from cold import cold
from micropython import const

_BUFFER = const(1024)
_REPLY = const(128)  # only replies come in: what is sent needs the memory
_LINE = const(1024)  # longest line of a head or a reply
_NAP_MS = const(5)
_LOOK_MS = const(1000)


class Way:
    """Makes transfers.

    cadata         -- roots for https: bytes, or callable -> bytes or None (OSError); None: https is refused
    check_hostname -- False: any name will do, see net.connect
    quiet          -- callable: may the program be blocked now? Asked before what blocks it: the look-up of a host
                      name, and TLS with its arithmetic. Until it says yes, the transfer waits. None: always
    post           -- callable: are uploads over HTTP POST instead of PUT? None: PUT
    idle_ms        -- without any progress for so long, an attempt has failed
    total_ms       -- for the whole of an attempt, from the first connection on
    """

    def __init__(self, cadata=None, check_hostname=True, quiet=None, post=None, idle_ms=30_000, total_ms=3_600_000):
        self.cadata = cadata
        self.check_hostname = check_hostname
        self.quiet = quiet
        self.post = post
        self.idle_ms = idle_ms
        self.total_ms = total_ms
        self.room = _BUFFER  # of a connection, for what comes in
        self.end = None  # ticks

    async def download(self, url, sink):
        """One attempt to fetch a file into `sink`; returns when it is there as a whole. OSError says why not.

        sink -- `offset` and `tag`: how many bytes it has of an earlier attempt, and which version of the file they are
                of (text, empty: not known);
                `begin(offset, size, tag)`: what follows is from there on (0: anew), `size` in all (None: not known);
                `write(view)`: 1 to 1024 bytes, which counts them in `offset`.
                Both may raise OSError (no room) or ValueError (not wanted), which end the attempt.
        """
        await self._run(_room(url, "transfer.http_get"), url, sink)

    async def upload(self, url, source):
        """One attempt to bring a file to a server. OSError says why not.

        url    -- of the file itself, see address.join
        source -- callable -> iterable of texts, the same each time: HTTP goes through it once to count, then to send
        """
        self.room = _REPLY
        await self._run(_room(url, "transfer.http_put"), url, source)

    async def _run(self, name, url, what):
        self.end = None
        try:
            await cold(name).run(url, what, self)
        except (OSError, ValueError) as exc:  # ValueError: a certificate, an address, a receiver that says no
            if isinstance(exc.args[0] if exc.args else None, int):
                raise  # a number of the system
            raise OSError("; ".join(str(exc).strip().split("\n")))

    async def open(self, host, port, is_secure=False, is_second=False):
        """A new connection: Pipe. OSError, ValueError (of TLS).

        is_second -- the host was looked up a moment ago: do not wait for a quiet time in the middle of a transfer
        """
        if self.quiet is not None and (is_secure or not (is_second or _is_literal(host))):
            while not self.quiet():
                await asyncio.sleep_ms(_LOOK_MS)
        if self.end is None:
            self.end = core.ticks_add(core.ticks(), self.total_ms)
        cadata = None
        if is_secure:
            cadata = self.cadata() if callable(self.cadata) else self.cadata
            if not cadata:
                raise OSError("https without CA certificates")
        net = cold("net")
        return Pipe(
            self, await net.connect(host, port, net.Deadline(self.idle_ms), cadata, self.check_hostname, _look_up)
        )


class Pipe:
    """An open connection with one small buffer for what comes in. Whatever waits, waits at most `idle_ms`.

    Every wait lets the other tasks run, also when data is there at once.
    """

    def __init__(self, way, ends):
        self._way = way
        self._ends = ends
        self._view = memoryview(bytearray(way.room))
        self._from = self._to = 0

    async def _nap(self, since):
        """Let others run while nothing moves since those ticks."""
        now = core.ticks()
        if core.ticks_diff(now, since) >= self._way.idle_ms:
            raise OSError(errno.ETIMEDOUT)
        if core.ticks_diff(self._way.end, now) <= 0:
            raise OSError("takes too long")
        await asyncio.sleep_ms(_NAP_MS)

    async def send(self, data):
        """data -- bytes. OSError."""
        await asyncio.sleep_ms(0)
        since = core.ticks()
        while data:
            n = self._ends[1].write(data)
            if n is None:
                await self._nap(since)
            else:
                data = data[n:]
                since = core.ticks()

    async def read(self, most=_BUFFER):
        """A view of 1 to `most` bytes, good until the next read; empty at the end. OSError."""
        if self._from == self._to:
            await asyncio.sleep_ms(0)
            since = core.ticks()
            n = self._ends[1].readinto(self._view)
            while n is None:
                await self._nap(since)
                n = self._ends[1].readinto(self._view)
            self._from, self._to = 0, n
        begin = self._from
        self._from = min(self._to, begin + most)
        return self._view[begin : self._from]

    async def line(self):
        """The next line as bytes, without its end. OSError, also: too long, or the connection has ended."""
        line = b""
        while line[-1:] != b"\n":
            piece = bytes(await self.read(1))
            if not piece:
                raise OSError("connection closed")
            line += piece
            if len(line) > _LINE:
                raise OSError("line above %d bytes" % _LINE)
        return line.rstrip(b"\r\n")

    def close(self):
        """May be called twice."""
        for layer in (self._ends[1], self._ends[0]):
            try:
                layer.close()
            except OSError:
                pass


def _is_literal(host):
    """Is this an IP address, which needs no look-up?"""
    return ":" in host or (host.replace(".", "").isdigit() and host.count(".") == 3)


def _look_up(host, port):
    import socket

    return socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)


def _room(url, over_http):
    """The module that does it."""
    scheme = url.partition("://")[0].lower()
    if scheme in ("http", "https"):
        return over_http
    if scheme == "ftp":
        return "transfer.ftp"
    raise OSError("no way to transfer %s://" % scheme[:10])
