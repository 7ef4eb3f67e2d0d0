"""Where charge points come in: listening, the websocket handshake with its checks, and a network that can fail."""

import asyncio
import base64
import binascii
import http
import ssl as ssl_module
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Literal
from urllib.parse import quote, unquote, urlsplit

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

SUBPROTOCOL = "ocpp1.6"
PREFIX = "/ocpp"

Handshake = Literal["normal", "no subprotocol", "wrong subprotocol"] | int
Down = Literal["refuse", "black hole"]


class Network:
    """Listens; for each connection that passes the checks `serve_one(identity, socket)` runs.

    Arguments as for `BenchCsms`. `port` is the real one once `up()` has run, and stays the same afterwards.
    `tls` (the context or None) may be changed while the network is down."""

    def __init__(
        self,
        serve_one: Callable[[str, ServerConnection], Awaitable[None]],
        host: str,
        port: int,
        ssl: ssl_module.SSLContext | None,
        basic_auth: bytes | Mapping[str, bytes] | None,
        identities: Iterable[str] | None,
        ping_interval: float | None,
        max_size: int,
    ) -> None:
        self.host, self.port = host, port
        self.identities = None if identities is None else set(identities)
        self.basic_auth = basic_auth
        self.handshake: Handshake = "normal"
        self._serve_one = serve_one
        self.tls = ssl
        self._ping_interval = ping_interval
        self._max_size = max_size
        self._server: Server | None = None
        self._hole: asyncio.Event | None = None  # set when the black hole ends
        self._sockets: set[ServerConnection] = set()

    @property
    def url(self) -> str:
        """What a charge point is configured with; it appends "/" and its identity."""
        return f"{'wss' if self.tls else 'ws'}://{self.host}:{self.port}{PREFIX}"

    def url_of(self, identity: str) -> str:
        """The complete URL of one charge point, percent-encoded (OCPP-J 1.6 section 3.1.1)."""
        return f"{self.url}/{quote(identity, safe='')}"

    async def up(self) -> None:
        """Listen; what was held back in a black hole arrives now, as TCP does it."""
        self._leave_hole()
        if self._server is None:
            self._server = await serve(
                self._serve,
                self.host,
                self.port,
                ssl=self.tls,
                subprotocols=[Subprotocol(SUBPROTOCOL)],
                select_subprotocol=self._select_subprotocol,
                process_request=self._check_request,
                compression=None,
                ping_interval=self._ping_interval,
                max_size=self._max_size,
                close_timeout=2,
            )
            self.port = next(iter(self._server.sockets)).getsockname()[1]

    async def down(self, how: Down = "refuse") -> None:
        """ "refuse": reset all connections, refuse new ones. "black hole": read and answer nothing until `up()`."""
        if how == "black hole":
            self._hole = self._hole or asyncio.Event()
            for socket in self._sockets:
                socket.transport.pause_reading()
            return
        server, self._server = self._server, None
        if server is not None:
            server.close(close_connections=False)
        for socket in list(self._sockets):
            socket.transport.abort()
        self._leave_hole()
        if server is not None:
            await server.wait_closed()

    async def passable(self) -> None:
        """Return at once, or when the black hole ends."""
        while self._hole is not None:
            await self._hole.wait()

    def _leave_hole(self) -> None:
        if self._hole is not None:
            self._hole.set()
            self._hole = None
            for socket in self._sockets:
                if not socket.transport.is_closing():
                    socket.transport.resume_reading()

    async def _check_request(self, socket: ServerConnection, request: Request) -> Response | None:
        self._sockets.add(socket)
        if self._hole is not None:
            socket.transport.pause_reading()
            await self.passable()
        if isinstance(self.handshake, int):
            return socket.respond(http.HTTPStatus(self.handshake), "The bench was told to refuse.\n")
        identity = _identity(request.path)
        if identity is None or (self.identities is not None and identity not in self.identities):
            return socket.respond(http.HTTPStatus.NOT_FOUND, "No such charge point.\n")
        if self.basic_auth is not None:
            wanted = self.basic_auth.get(identity) if isinstance(self.basic_auth, Mapping) else self.basic_auth
            if wanted is None or _credentials(request.headers.get("Authorization")) != (identity.encode(), wanted):
                response = socket.respond(http.HTTPStatus.UNAUTHORIZED, "Wrong credentials.\n")
                response.headers["WWW-Authenticate"] = 'Basic realm="ocpp"'
                return response
        return None

    def _select_subprotocol(self, _protocol: Any, offered: Sequence[Subprotocol]) -> Subprotocol | None:
        if self.handshake == "wrong subprotocol":
            return Subprotocol("ocpp2.0.1")
        if self.handshake == "no subprotocol" or SUBPROTOCOL not in offered:
            return None
        return Subprotocol(SUBPROTOCOL)

    async def _serve(self, socket: ServerConnection) -> None:
        request = socket.request
        identity = _identity(request.path) if request else None
        try:
            if socket.subprotocol != SUBPROTOCOL and self.handshake == "normal":
                await socket.close(1002, "ocpp1.6 was not offered")  # OCPP-J 1.6 section 3.1.2
            elif identity is not None:
                await self._serve_one(identity, socket)
        finally:
            self._sockets.discard(socket)


def _identity(path: str) -> str | None:
    """The identity at the end of /ocpp/<identity>, decoded; None for any other path."""
    head, _, last = urlsplit(path).path.rpartition("/")
    return unquote(last) if head == PREFIX and last else None


def _credentials(header: str | None) -> tuple[bytes, bytes] | None:
    """User and password of an Authorization header, as bytes: a key may hold any byte (OCPP-J 1.6 section 6.2.1)."""
    scheme, _, coded = (header or "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(coded.strip(), validate=True).partition(b":")
    except (binascii.Error, ValueError):
        return None
    return (user, password) if colon else None
