"""A strict RFC 6455 websocket client on MicroPython's asyncio. See README.md."""

from .client import WebSocket, connect
from .errors import HandshakeError, WsClosed, WsError

__all__ = ("HandshakeError", "WebSocket", "WsClosed", "WsError", "connect")
