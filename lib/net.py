"""Outgoing TCP and TLS connections that never block and end in time. A cold module (lib/cold.py).

Sockets are polled every few milliseconds instead of waited for in asyncio's I/O queue: during TLS a write may be
waiting for the peer and a read for room in the buffer, and no port tells which. Openings and transfers are short and
bounded, so a poll is good enough for them.
"""

import errno
import gc
import select
import socket
from asyncio import core

from cold import cold
from micropython import const

_NAP_MS = const(5)
_IPPROTO_TCP = const(6)
_TCP_NODELAY = const(1)


class Deadline:
    """A span of time that starts now; ms < 2**29."""

    def __init__(self, ms):
        self._end = core.ticks_add(core.ticks(), ms)

    def left(self):
        """Milliseconds left, negative when over."""
        return core.ticks_diff(self._end, core.ticks())

    async def nap(self):
        """Let other tasks run for 5 ms. OSError(ETIMEDOUT) when the time is over."""
        if self.left() <= 0:
            raise OSError(errno.ETIMEDOUT)
        await core.sleep_ms(_NAP_MS)


async def connect(host, port, deadline, cadata, name, resolve):
    """Return (socket, stream): connected, non-blocking; the same object twice without TLS.

    cadata -- None: plain TCP; else the accepted roots: bytes (one DER or one or more PEM certificates), or a tuple
    name   -- True: the certificate must name `host`; a str: it must name this instead (also SNI); False: any name will
              do, only the chain and the dates are checked
    resolve -- callable(host, port) -> getaddrinfo tuples; socket.getaddrinfo BLOCKS the whole program meanwhile
    The TLS handshake happens in the first reads and writes: OSError, or ValueError with the words of mbedTLS.
    """
    if cadata is not None and name is False:
        # MicroPython's tls checks no chain without a name (ValueError), and mbedTLS 3.6 none without having been given
        # one. So a first connection asks for a name that the certificate has; the chain is proved on the second.
        name = await _own_name(host, port, deadline, resolve)
    raw = await dial(host, port, deadline, resolve)
    if cadata is None:
        return raw, raw
    try:
        return raw, secure(raw, host if name is True else name, cadata)
    except BaseException:
        raw.close()
        raise


async def send(stream, data, deadline):
    """Write all of it. OSError."""
    while data:
        n = stream.write(data)
        if n is None:
            await deadline.nap()
        else:
            data = data[n:]


async def receive(stream, view, deadline):
    """Wait for bytes; return how many came into `view`, 0: the peer has closed. OSError."""
    while True:
        n = stream.readinto(view)
        if n is not None:
            return n
        await deadline.nap()


async def dial(host, port, deadline, resolve):
    """Connect to the first address of host that answers; return the socket. OSError."""
    addresses = resolve(host, port)
    error = OSError(errno.EHOSTUNREACH)
    while addresses:
        info = addresses.pop(0)
        part = Deadline(max(deadline.left(), 0) // (len(addresses) + 1))  # a dead address must not eat all the time
        try:
            return await _connect(info, part)
        except OSError as exc:
            error = exc
    raise error


async def _connect(info, deadline):
    """A connected non-blocking socket for one getaddrinfo tuple. OSError."""
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


def secure(sock, server_hostname, cadata):
    """Wrap a connected socket in TLS that verifies the chain, the validity dates and the name, and sends SNI."""
    import tls

    gc.collect()  # TLS needs some 40 kB beside the Python heap; give back what can be given
    context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
    context.verify_mode = tls.CERT_REQUIRED  # the default of tls, though not of ssl: say it
    for data in cadata if isinstance(cadata, (tuple, list)) else (cadata,):
        context.load_verify_locations(bytes(data))
    return context.wrap_socket(sock, server_hostname=server_hostname, do_handshake_on_connect=False)


async def _own_name(host, port, deadline, resolve):
    """A name that the certificate of this server carries. Nothing is proved by it and nothing else is sent there."""
    import tls

    raw = stream = await dial(host, port, deadline, resolve)
    try:
        context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
        context.verify_mode = tls.CERT_NONE
        stream = context.wrap_socket(raw, server_hostname=host, do_handshake_on_connect=False)
        scrap = bytearray(1)
        while True:
            n = stream.readinto(scrap)  # drives the handshake; a server of these protocols does not speak first
            der = stream.getpeercert(True)
            if der is not None:
                return cold("der").name_of(der)
            if n is not None:
                raise OSError(errno.ECONNRESET)
            await deadline.nap()
    finally:
        close(raw, stream)


def close(raw, stream):
    """Close both layers."""
    for layer in (stream, raw):
        try:
            layer.close()
        except OSError:
            pass
