"""The socket: name resolution, TCP connect, TLS, and reads and writes that never block.

asyncio.Stream is not used on purpose. A cancelled drain() sends bytes twice, a cancelled readexactly() loses some, its
write buffer has no bound, and its TLS wait asks the TLS object for readiness, which answers for one direction only.
"""

import errno
import gc
import select
import socket
from asyncio import core

from micropython import const

from .errors import HandshakeError

_NAP_MS = const(5)
_IPPROTO_TCP = const(6)
_TCP_NODELAY = const(1)


def resolve(host, port):
    """getaddrinfo tuples for a host name or literal. Replaceable.

    It BLOCKS the whole program, for seconds if the name server is out of reach: MicroPython has no other resolver.
    Give it a cached address, or assign another function here, where that matters.
    """
    return socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)


class Deadline:
    """A span of time that starts now; ms < 2**29."""

    def __init__(self, ms):
        self._end = core.ticks_add(core.ticks(), ms)

    def left(self):
        """Milliseconds left, negative when over."""
        return core.ticks_diff(self._end, core.ticks())

    async def nap(self):
        """Let other tasks run for 5 ms. HandshakeError when the time is over.

        The handshake polls instead of waiting in the I/O queue: during TLS a write may be waiting for the peer and a
        read for room in the buffer, and no port tells which. It is short and bounded, so a poll is good enough.
        """
        if self.left() <= 0:
            raise HandshakeError(0, "timeout")
        await core.sleep_ms(_NAP_MS)


async def _connect(info, deadline):
    """A connected non-blocking socket for one getaddrinfo tuple. OSError or HandshakeError (timeout)."""
    sock = socket.socket(info[0], info[1], info[2])
    try:
        sock.setblocking(False)
        try:
            sock.connect(info[-1])
        except OSError as exc:
            if exc.errno != errno.EINPROGRESS:
                raise
        poll = select.poll()
        poll.register(sock, select.POLLOUT)
        events = poll.poll(0)
        while not events:
            await deadline.nap()
            events = poll.poll(0)
        if events[0][1] & (select.POLLERR | select.POLLHUP):
            sock.recv(1)  # raises the error of the connect
            raise OSError(errno.ECONNABORTED)
        try:
            sock.setsockopt(_IPPROTO_TCP, _TCP_NODELAY, 1)
        except (OSError, ValueError, TypeError):
            pass  # not on every port; a small message is one write, so Nagle's rule costs little
        poll = None
        return sock
    except BaseException:
        sock.close()
        raise


async def dial(host, port, deadline):
    """Connect to the first address of host that answers; return the socket. OSError or HandshakeError (timeout)."""
    addresses = resolve(host, port)
    error = OSError(errno.EHOSTUNREACH)
    while addresses:
        info = addresses.pop(0)
        part = Deadline(max(deadline.left(), 0) // (len(addresses) + 1))  # a dead address must not eat all the time
        try:
            return await _connect(info, part)
        except (OSError, HandshakeError) as exc:
            error = exc
    raise error


def secure(sock, server_hostname, cadata):
    """Wrap a connected socket in TLS that verifies the chain, the validity dates and the name, and sends SNI.

    cadata -- one DER certificate, one or more PEM certificates, or a tuple of such bytes
    The handshake happens in the first reads and writes. ValueError or OSError with the text of mbedTLS.
    """
    import tls

    gc.collect()  # TLS needs some 40 kB beside the Python heap; give back what can be given
    context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
    context.verify_mode = tls.CERT_REQUIRED  # the default of tls, though not of ssl: say it
    for data in cadata if isinstance(cadata, (tuple, list)) else (cadata,):
        context.load_verify_locations(bytes(data))
    return context.wrap_socket(sock, server_hostname=server_hostname, do_handshake_on_connect=False)


class Link:
    """A connected stream. One task may wait for readable, one for writable."""

    def __init__(self, raw, stream):
        self._raw = raw
        self._stream = stream  # the same, or its TLS wrapper
        self.read = stream.readinto  # (buf) -> bytes read, 0 at the end, None: not now. OSError
        self.write = stream.write  # (buf) -> bytes taken, None: not now, try again with the SAME buffer (TLS). OSError

    # Both wait on the raw socket. TLS has handed out all it holds when a read returns None, and it takes one record at
    # a time from the socket, so readiness of the raw socket is exactly what is missing.

    def readable(self):
        yield core._io_queue.queue_read(self._raw)

    def writable(self):
        yield core._io_queue.queue_write(self._raw)

    def close(self):
        """Close both layers. No task may be waiting any more."""
        for layer in (self._stream, self._raw):
            try:
                layer.close()
            except OSError:
                pass
