"""lib/wsclient/handshake: URLs, the request, and every way the answer can be wrong."""

from binascii import a2b_base64

from wsclient.errors import HandshakeError, WsError
from wsclient.handshake import accept_for, check_response, new_key, parse_url, request

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # RFC 6455 section 1.3
GOOD = ("HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade", ACCEPT)


def test_urls():
    for url, want in (
        ("ws://host", (False, "host", 80, "host", "/")),
        ("WS://Host/", (False, "Host", 80, "Host", "/")),
        ("ws://host:80/a", (False, "host", 80, "host", "/a")),
        ("ws://host:8080/a/b%20c?x=1&y=/?", (False, "host", 8080, "host:8080", "/a/b%20c?x=1&y=/?")),
        ("ws://host?x=1", (False, "host", 80, "host", "/?x=1")),
        ("ws://host:81?x", (False, "host", 81, "host:81", "/?x")),
        ("wss://10.0.0.1/x", (True, "10.0.0.1", 443, "10.0.0.1", "/x")),
        ("wss://host:443", (True, "host", 443, "host", "/")),
        ("wss://host:80", (True, "host", 80, "host:80", "/")),
        ("ws://host:", (False, "host", 80, "host", "/")),
        ("ws://[::1]", (False, "::1", 80, "[::1]", "/")),
        ("ws://[2001:db8::7]:9000/x", (False, "2001:db8::7", 9000, "[2001:db8::7]:9000", "/x")),
        ("wss://[::1]:443/x", (True, "::1", 443, "[::1]", "/x")),
        ("ws://host/@:[]", (False, "host", 80, "host", "/@:[]")),
    ):
        assert parse_url(url) == want, (url, parse_url(url))


def test_bad_urls():
    for url in (
        "",
        "host",
        "http://host",
        "ws:/host",
        "ws://",
        "ws:///path",
        "ws://:80",
        "ws://?x",
        "ws://host:0",
        "ws://host:65536",
        "ws://host:99999999999",
        "ws://host:-1",
        "ws://host:8x",
        "ws://a:b:80",
        "ws://::1",
        "ws://[::1",
        "ws://[]",
        "ws://[host]",
        "ws://[::1]80",
        "ws://user:pw@host/",
        "ws://host/#part",
        "ws://host/a b",
        "ws://host/\r\nX: y",
        "ws://h\u00f6st/",
        "ws://host/\x7f",
    ):
        try:
            parse_url(url)
        except ValueError as exc:
            assert exc.args[0]
            continue
        assert False, url


def test_request():
    text = request("host:81", "/a?b", KEY, ("ocpp1.6", "x"), b"user", b"pass", (("X-A", "b"),))
    lines = text.split(b"\r\n")
    assert lines[0] == b"GET /a?b HTTP/1.1" and lines[-2:] == [b"", b""]
    assert sorted(lines[1:-2]) == [
        b"Authorization: Basic dXNlcjpwYXNz",
        b"Connection: Upgrade",
        b"Host: host:81",
        b"Sec-WebSocket-Key: " + KEY,
        b"Sec-WebSocket-Protocol: ocpp1.6, x",
        b"Sec-WebSocket-Version: 13",
        b"Upgrade: websocket",
        b"X-A: b",
    ]
    bare = request("h", "/", KEY, (), None, None, ())
    assert b"Authorization" not in bare and b"Protocol" not in bare
    assert b"Basic dXNlcjo=\r\n" in request("h", "/", KEY, (), b"user", None, ())


def test_credentials_are_bytes():
    everything = bytes(range(256))
    for user, password in ((everything, b"x"), (b"cp", everything), (b"cp", b"p" * 200), (b"", b"")):
        text = request("h", "/", KEY, (), user, password, ())
        line = next(line for line in text.split(b"\r\n") if line.startswith(b"Authorization: Basic "))
        assert a2b_base64(line[21:]) == user + b":" + password


def test_no_header_is_smuggled_in():
    for headers, offered in (((("X", "a\r\nY: b"),), ()), ((("X\n", "a"),), ()), ((), ("a\r\nb",))):
        try:
            request("h", "/", KEY, offered, None, None, headers)
        except ValueError:
            continue
        assert False, headers


def test_keys():
    keys = [new_key() for _ in range(20)]
    assert len(set(keys)) == 20
    for key in keys:
        assert len(key) == 24 and len(a2b_base64(key)) == 16
    assert accept_for(KEY) == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def head(*lines):
    return "\r\n".join(lines).encode()


def test_good_answers():
    for lines, offered, want in (
        (GOOD, (), None),
        (GOOD + ("Sec-WebSocket-Protocol: ocpp1.6",), ("ocpp1.6",), "ocpp1.6"),
        (GOOD + ("sec-websocket-protocol:b  ",), ("a", "b"), "b"),
        (
            ("HTTP/1.1 101", "UPGRADE: WebSocket", "connection:keep-alive, UPGRADE", ACCEPT.upper()[:22] + ACCEPT[22:]),
            (),
            None,
        ),
        (GOOD + ("Connection: keep-alive", "Server: x", "X-Empty:", "X: a:b", "Sec-WebSocket-Extensions:"), (), None),
        (GOOD + ("Set-Cookie: a", "Set-Cookie: b", "X-Bytes: \xff"), (), None),
    ):
        assert check_response(head(*lines), KEY, offered) == want, lines
    assert check_response(head(*GOOD), KEY, ("ocpp1.6",), True) is None


def test_bad_answers():
    first, upgrade, connection, accept = GOOD
    protocol = "Sec-WebSocket-Protocol: "
    for lines, status, word in (
        (("",), 0, "HTTP"),
        (("\x00\xff garbage",), 0, "HTTP"),
        (("SSH-2.0-x",), 0, "HTTP"),
        (("HTTP/1.1 abc",), 0, "HTTP"),
        (("HTTP/1.1 1010 x",), 0, "HTTP"),
        (("HTTP/2 101 x",), 0, "HTTP"),
        (("HTTP/1.1 401 Unauthorized", "WWW-Authenticate: Basic"), 401, "Unauthorized"),
        (("HTTP/1.1 404 Not Found",), 404, "404 Not Found"),
        (("HTTP/1.0 502 Bad Gateway",), 502, "502"),
        (("HTTP/1.1 302 Found", "Location: ws://elsewhere/"), 302, "302"),
        (("HTTP/1.1 200",), 200, "200"),
        (("HTTP/1.1 400 B\x07d\xff",), 400, "B?d"),
        (("HTTP/1.0 101 x", upgrade, connection, accept), 101, "version"),
        ((first, connection, accept), 101, "Upgrade: websocket"),
        ((first, "Upgrade: websockets", connection, accept), 101, "Upgrade: websocket"),
        ((first, upgrade, accept), 101, "Connection"),
        ((first, upgrade, "Connection: close", accept), 101, "Connection"),
        ((first, upgrade, connection), 101, "Accept"),
        ((first, upgrade, connection, accept + "x"), 101, "Accept"),
        ((first, upgrade, connection, accept.lower()), 101, "Accept"),
        (GOOD + (accept,), 101, "twice"),
        (GOOD + ("Sec-WebSocket-Extensions: permessage-deflate",), 101, "extension"),
        (GOOD, 101, "no subprotocol"),
        (GOOD + (protocol + "ocpp2.0.1",), 101, "not offered: ocpp2.0.1"),
        (GOOD + (protocol + "OCPP1.6",), 101, "not offered"),
        (GOOD + (protocol,), 101, "not offered"),
        (GOOD + (protocol + "ocpp1.6, x",), 101, "not offered"),
        (GOOD + (protocol + "ocpp1.6", protocol + "ocpp1.6"), 101, "twice"),
        (GOOD + (" folded: x",), 101, "malformed"),
        (GOOD + ("no colon",), 101, "malformed"),
        (GOOD + ("Space : x",), 101, "malformed"),
        (GOOD + (": x",), 101, "malformed"),
    ):
        try:
            check_response(head(*lines), KEY, ("ocpp1.6",))
        except HandshakeError as exc:
            assert exc.status == status and word in exc.reason, (lines, exc.status, exc.reason)
            assert isinstance(exc, WsError)
            continue
        assert False, lines
    for allow in (False, True):  # an answer to a question that was not asked
        try:
            check_response(head(*GOOD, protocol + "x"), KEY, (), allow)
        except HandshakeError:
            continue
        assert False
