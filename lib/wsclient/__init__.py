"""A strict RFC 6455 websocket client on MicroPython's asyncio. See README.md."""

import socket

from cold import cold

from .client import WebSocket
from .errors import HandshakeError, WsClosed, WsError

__all__ = ("HandshakeError", "WebSocket", "WsClosed", "WsError", "connect", "resolve")


def resolve(host, port):
    """getaddrinfo tuples for a host name or literal. Replaceable.

    It BLOCKS the whole program, for seconds if the name server is out of reach: MicroPython has no other resolver.
    Give it a cached address, or assign another function here, where that matters.
    """
    return socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)


async def connect(url, **options):
    """Open a websocket; return a WebSocket.

    url            -- ws:// or wss://, percent-encoded; IPv6 literals in brackets
    subprotocols   -- offered, in order of preference; the server must select one of them
    user, password -- bytes for HTTP Basic, or None
    cadata         -- bytes (PEM or DER) or a tuple of bytes: the roots that wss trusts; there are no others
    check_hostname -- True: the certificate must name the host of the URL; a str: it must name this instead (also SNI);
                      False: any name will do, only the chain and the dates are checked. That takes a second handshake
    headers        -- further request headers, (name, value) pairs
    max_size       -- bytes of an inbound message; above it the connection is closed with 1009
    timeout_ms     -- for everything up to the checked answer, except name resolution, which blocks (wsclient.resolve)
    ping_interval_ms, pong_timeout_ms -- see WebSocket.set_ping; pong_timeout_ms runs from the moment a ping is queued
    The defaults are those of opening.connect. Raises HandshakeError, or ValueError for arguments that cannot be meant.
    """
    return await cold("wsclient.opening").connect(url, **options)
