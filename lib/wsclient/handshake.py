"""Opening handshake of RFC 6455 section 4.1, from the client's side. Text in, text out: no sockets, no asyncio."""

import os
from binascii import b2a_base64
from hashlib import sha1

from .errors import HandshakeError

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def parse_url(url):
    """(secure, host, port, Host header, request target) of a ws or wss URL (RFC 6455 section 3).

    An IPv6 literal comes out without its brackets. The path and query are kept as they are, so they must be
    percent-encoded already. ValueError for anything that is not such a URL, a user name or a fragment in it included.
    """
    scheme, found, rest = url.partition("://")
    scheme = scheme.lower()
    if scheme not in ("ws", "wss") or not found:
        raise ValueError("URL is not ws:// or wss://")
    cut = 0
    while cut < len(rest) and rest[cut] not in "/?":
        cut += 1
    authority, target = rest[:cut], rest[cut:]
    for char in rest:
        if not "!" <= char <= "~" or char == "#":
            raise ValueError("URL has a character that must be encoded")
    if authority[:1] == "[":
        host, found, port = authority[1:].partition("]")
        valid = found and ":" in host and port[:1] in ("", ":")
        port = port[1:]
        name = "[" + host + "]"
    else:
        host, _, port = authority.partition(":")
        valid = ":" not in port
        name = host
    if not host or not valid or "@" in authority:
        raise ValueError("URL has no valid host")
    default = 443 if scheme == "wss" else 80
    if port and not (port.isdigit() and len(port) < 6 and 0 < int(port) < 65536):
        raise ValueError("URL has no valid port")
    number = int(port or default)
    if number != default:
        name += ":%d" % number
    return scheme == "wss", host, number, name, target if target[:1] == "/" else "/" + target


def new_key():
    """A Sec-WebSocket-Key: 16 random bytes in base64, as bytes."""
    return b2a_base64(os.urandom(16))[:-1]


def accept_for(key):
    """The Sec-WebSocket-Accept that proves the server read this key."""
    return b2a_base64(sha1(key + _GUID).digest())[:-1]


def request(name, target, key, subprotocols, user, password, headers):
    """The request as bytes.

    user, password -- bytes or None; any byte is allowed (RFC 7617), a colon in user cannot be told from the separator
    headers        -- further (name, value) pairs of str
    ValueError if a line break is hidden in any of it.
    """
    lines = [
        "GET " + target + " HTTP/1.1",
        "Host: " + name,
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: " + str(key, "utf-8"),
    ]
    if subprotocols:
        lines.append("Sec-WebSocket-Protocol: " + ", ".join(subprotocols))
    if user is not None:
        token = b2a_base64(user + b":" + (password or b""))[:-1]
        lines.append("Authorization: Basic " + str(token, "utf-8"))
    for pair in headers:
        lines.append("%s: %s" % pair)
    for line in lines:
        if "\r" in line or "\n" in line:
            raise ValueError("line break in a header")
    lines.append("\r\n")
    return "\r\n".join(lines).encode()


def _printable(data):
    return "".join([chr(byte) if 32 <= byte < 127 else "?" for byte in data])


def _tokens(value):
    return [token.strip().lower() for token in value.split(b",")]


def check_status(head):
    """Return the HTTP version (bytes) of an answer whose first line is here; HandshakeError unless that says 101."""
    line, _, _ = head.partition(b"\r\n")
    version, _, line = line.partition(b" ")
    status, _, _ = line.partition(b" ")
    if version[:7] != b"HTTP/1." or len(status) != 3 or not status.isdigit():
        raise HandshakeError(0, "answer is not HTTP")
    if status != b"101":
        raise HandshakeError(int(status), _printable(line))
    return version


def check_response(head, key, subprotocols, allow_missing_subprotocol=False):
    """Check the whole answer up to its empty line; return the selected subprotocol (str) or None.

    HandshakeError with the HTTP status if it is not the 101 that section 4.1 wants.
    """
    version = check_status(head)
    status = 101
    fields = {}
    for line in head.split(b"\r\n")[1:]:
        if not line:
            continue
        name, found, value = line.partition(b":")
        if not found or not name or name.strip() != name:
            raise HandshakeError(status, "malformed header")
        name = name.lower()
        value = value.strip()
        if name in fields:
            if name[:14] == b"sec-websocket-" and name != b"sec-websocket-extensions":
                raise HandshakeError(status, _printable(name) + " twice")
            value = fields[name] + b"," + value
        fields[name] = value

    if version != b"HTTP/1.1":
        raise HandshakeError(status, "HTTP version is not 1.1")
    if b"websocket" not in _tokens(fields.get(b"upgrade", b"")):
        raise HandshakeError(status, "no Upgrade: websocket")
    if b"upgrade" not in _tokens(fields.get(b"connection", b"")):
        raise HandshakeError(status, "no Connection: Upgrade")
    if fields.get(b"sec-websocket-accept") != accept_for(key):
        raise HandshakeError(status, "Sec-WebSocket-Accept is wrong")
    if fields.get(b"sec-websocket-extensions"):
        raise HandshakeError(status, "extension that was not offered")
    chosen = fields.get(b"sec-websocket-protocol")
    if chosen is None:
        if subprotocols and not allow_missing_subprotocol:
            raise HandshakeError(status, "no subprotocol selected")
        return None
    for name in subprotocols:
        if name.encode() == chosen:
            return name
    raise HandshakeError(status, "subprotocol that was not offered: " + _printable(chosen))
