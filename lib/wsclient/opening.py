"""From a URL to an open websocket: name resolution, TCP, TLS and the opening handshake. A cold module (lib/cold.py)."""

import errno
import gc
import select
import socket
from asyncio import core

from cold import cold
from micropython import const

import wsclient

from .client import WebSocket
from .errors import HandshakeError, in_words
from .link import Link

_NAP_MS = const(5)
_IPPROTO_TCP = const(6)
_TCP_NODELAY = const(1)
_HEAD_MAX = const(4096)  # bytes of the HTTP answer
_READ = const(512)


async def connect(
    url,
    subprotocols=(),
    user=None,
    password=None,
    cadata=None,
    check_hostname=True,
    headers=(),
    max_size=16384,
    timeout_ms=20_000,
    ping_interval_ms=0,
    pong_timeout_ms=15_000,
    allow_missing_subprotocol=False,
):
    """See wsclient.connect."""
    handshake = cold("wsclient.handshake")
    is_secure, host, port, name, target = handshake.parse_url(url)
    if check_hostname is False:
        raise ValueError("tls cannot check a chain without a name: give the expected name as check_hostname")
    key = handshake.new_key()
    rest = handshake.request(name, target, key, subprotocols, user, password, headers)
    if is_secure and not cadata:
        raise HandshakeError(0, "wss without CA certificates")
    deadline = Deadline(timeout_ms)
    raw = stream = None
    try:
        raw = stream = await dial(host, port, deadline)
        if is_secure:
            stream = secure(raw, host if check_hostname is True else check_hostname, cadata)
        while rest:
            n = stream.write(rest)
            if n is None:
                await deadline.nap()
            else:
                rest = rest[n:]
        buf = memoryview(bytearray(_READ))
        head, end = b"", -1
        while end < 0:
            n = stream.readinto(buf)
            if n is None:
                await deadline.nap()
                continue
            head += bytes(buf[: n or 0])
            end = head.find(b"\r\n\r\n")
            if end < 0 and (not n or len(head) > _HEAD_MAX):
                if b"\r\n" in head:
                    handshake.check_status(head)  # an error status says more than what follows here
                raise HandshakeError(0, "header above %d bytes" % _HEAD_MAX if n else "closed during the handshake")
        chosen = handshake.check_response(head[:end], key, subprotocols, allow_missing_subprotocol)
        ws = WebSocket(Link(raw, stream), chosen, max_size, pong_timeout_ms, head[end + 4 :])
        raw = stream = None
    except (OSError, ValueError) as exc:  # ValueError: a certificate that did not verify
        raise HandshakeError(0, in_words(exc))
    finally:
        if raw:
            Link(raw, stream).close()
    ws.set_ping(ping_interval_ms)
    return ws


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
    addresses = wsclient.resolve(host, port)
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
