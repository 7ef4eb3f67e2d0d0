"""From a URL to an open websocket: name resolution, TCP, TLS and the opening handshake. A cold module (lib/cold.py)."""

import errno

from cold import cold
from micropython import const

import wsclient

from .client import WebSocket
from .errors import HandshakeError, in_words
from .link import Link

_HEAD_MAX = const(4096)  # bytes of the HTTP answer
_READ = const(512)
_TLS_EOF = const(-0x7280)  # MBEDTLS_ERR_SSL_CONN_EOF


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
    key = handshake.new_key()
    request = handshake.request(name, target, key, subprotocols, user, password, headers)
    handshake = None  # TLS needs the room
    if is_secure and not cadata:
        raise HandshakeError(0, "wss without CA certificates")
    net = cold("net")
    deadline = net.Deadline(timeout_ms)
    raw = stream = None
    try:
        raw, stream = await net.connect(
            host, port, deadline, cadata if is_secure else None, check_hostname, wsclient.resolve
        )
        await net.send(stream, request, deadline)
        buf = memoryview(bytearray(_READ))
        head, end = b"", -1
        while end < 0:
            n = await net.receive(stream, buf, deadline)
            head += bytes(buf[:n])
            end = head.find(b"\r\n\r\n")
            if end < 0 and (not n or len(head) > _HEAD_MAX):
                if b"\r\n" in head:
                    cold("wsclient.handshake").check_status(head)  # an error status says more than what follows here
                raise HandshakeError(0, "header above %d bytes" % _HEAD_MAX if n else "closed during the handshake")
        chosen = cold("wsclient.handshake").check_response(head[:end], key, subprotocols, allow_missing_subprotocol)
        ws = WebSocket(Link(raw, stream), chosen, max_size, pong_timeout_ms, head[end + 4 :])
        raw = None
    except (OSError, ValueError) as exc:  # ValueError: a certificate that did not verify
        code = exc.args[0] if exc.args else None
        if code == errno.ETIMEDOUT:
            raise HandshakeError(0, "timeout")
        if code == _TLS_EOF:
            raise HandshakeError(0, "closed during TLS; does this port speak it?")
        raise HandshakeError(0, in_words(exc))
    finally:
        if raw:
            net.close(raw, stream)
    ws.set_ping(ping_interval_ms)
    return ws
