"""Files to and from servers: HTTP(S) and FTP, a piece at a time. See README.md."""

import asyncio

from cold import cold
from micropython import const

_BUFFER = const(1024)
_LINE = const(1024)  # longest line of a head or a reply


class TransferError(Exception):
    """Raised when an attempt came to nothing; the text says why, without credentials."""


class Way:
    """How connections are made, and how long they may take.

    cadata         -- roots for https: bytes, or callable -> bytes or None (OSError); None: https is refused
    check_hostname -- False: any name will do, see net.connect
    quiet          -- callable: may the program be blocked now? Asked before what blocks it: the look-up of a host
                      name, and TLS with its arithmetic. Until it says yes, the transfer waits. None: always
    resolve        -- callable(host, port) -> getaddrinfo tuples; None: socket.getaddrinfo
    idle_ms        -- without any progress for so long, an attempt has failed
    total_ms       -- for the whole of an attempt, from the first connection on
    post           -- uploads over HTTP are POST instead of PUT
    """

    def __init__(
        self,
        cadata=None,
        check_hostname=True,
        quiet=None,
        resolve=None,
        idle_ms=30_000,
        total_ms=3_600_000,
        post=False,
    ):
        self.cadata = cadata
        self.check_hostname = check_hostname
        self.quiet = quiet
        self.resolve = resolve
        self.idle_ms = idle_ms
        self.total_ms = total_ms
        self.post = post
        self.end = None

    async def open(self, host, port, is_secure=False, is_second=False):
        """A new connection. TransferError, OSError, ValueError (of TLS).

        is_second -- the host was looked up a moment ago: do not wait for a quiet time in the middle of a transfer
        """
        if self.quiet is not None and (is_secure or not (is_second or is_literal(host))):
            while not self.quiet():
                await asyncio.sleep_ms(1000)
        net = cold("net")
        if self.end is None:
            self.end = net.Deadline(self.total_ms)
        cadata = None
        if is_secure:
            cadata = self.cadata() if callable(self.cadata) else self.cadata
            if not cadata:
                raise TransferError("https without CA certificates")
        ends = await net.connect(
            host, port, net.Deadline(self.idle_ms), cadata, self.check_hostname, self.resolve or _resolve
        )
        return Pipe(self, ends)


class Pipe:
    """An open connection with one small buffer for what comes in. Whatever waits, waits at most `idle_ms`.

    Every wait lets the other tasks run, also when data is there at once.
    """

    def __init__(self, way, ends):
        self._way = way
        self._ends = ends
        self._view = memoryview(bytearray(_BUFFER))
        self._from = self._to = 0

    def _deadline(self):
        way = self._way
        left = way.end.left()
        if left <= 0:
            raise TransferError("takes too long")
        return cold("net").Deadline(min(way.idle_ms, left))

    async def send(self, data):
        """data -- bytes. OSError."""
        await cold("net").send(self._ends[1], data, self._deadline())
        await asyncio.sleep_ms(0)

    async def read(self, most=_BUFFER):
        """A view of 1 to `most` bytes, good until the next read; empty at the end. OSError."""
        if self._from == self._to:
            await asyncio.sleep_ms(0)
            self._to = await cold("net").receive(self._ends[1], self._view, self._deadline())
            self._from = 0
        begin = self._from
        self._from = min(self._to, begin + most)
        return self._view[begin : self._from]

    async def line(self):
        """The next line as bytes, without its end. TransferError: too long, or the connection has ended. OSError."""
        line = b""
        while line[-1:] != b"\n":
            piece = bytes(await self.read(1))
            if not piece:
                raise TransferError("connection closed")
            line += piece
            if len(line) > _LINE:
                raise TransferError("line above %d bytes" % _LINE)
        return line.rstrip(b"\r\n")

    def close(self):
        """May be called twice."""
        cold("net").close(*self._ends)


def is_literal(host):
    """Is this an IP address, which needs no look-up?"""
    return ":" in host or (host.replace(".", "").isdigit() and host.count(".") == 3)


def _resolve(host, port):
    import socket

    return socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)


async def download(url, sink, way):
    """One attempt to fetch a file into `sink`; returns when it is there as a whole. TransferError says why not.

    sink -- `offset` and `tag`: how many bytes it has of an earlier attempt, and which version of the file they are of
            (text, empty: not known);
            `begin(offset, size, tag)`: what follows is from there on (0: anew), `size` in all (None: not known);
            `write(view)`: 1 to 1024 bytes, which counts them in `offset`.
            Both may raise OSError (no room) or ValueError (not wanted), which end the attempt.
    """
    await _run(cold(_module(url)).get, url, sink, way)


async def upload(url, source, way):
    """One attempt to bring a file to a server. TransferError says why not.

    url    -- of the file itself, see address.join
    source -- callable -> iterable of texts, the same each time: one time through to count (HTTP), another to send
    """
    await _run(cold(_module(url)).put, url, source, way)


def _module(url):
    scheme = url.partition("://")[0].lower()
    if scheme in ("http", "https"):
        return "transfer.http"
    if scheme == "ftp":
        return "transfer.ftp"
    raise TransferError("no way to transfer %s://" % scheme[:10])


async def _run(function, *arguments):
    try:
        await function(*arguments)
    except (OSError, ValueError) as exc:
        raise TransferError("; ".join(str(exc).strip().split("\n")) or repr(exc))
    finally:
        arguments[2].end = None
