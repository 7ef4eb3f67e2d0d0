"""ocpp16.url. Source: OCPP-J 1.6, section 3.1; RFC 3986 section 2.3."""

from ocpp16 import url


def test_examples():
    for address, identity, want in (
        ("ws://csms.example", "CP1", "ws://csms.example/CP1"),
        ("ws://csms.example/", "CP1", "ws://csms.example/CP1"),
        ("ws://csms.example///", "CP1", "ws://csms.example/CP1"),
        ("WSS://csms.example:8443/ocpp/16/", "CP1", "wss://csms.example:8443/ocpp/16/CP1"),
        ("wss://csms.example/ocpp", "RDAM 123", "wss://csms.example/ocpp/RDAM%20123"),  # the specification's
        ("ws://[2001:db8::1]:9000/a%20b", "x", "ws://[2001:db8::1]:9000/a%20b/x"),
        ("ws://127.0.0.1:9000", "a/b?c#d%20e:f", "ws://127.0.0.1:9000/a%2Fb%3Fc%23d%2520e%3Af"),
        ("ws://h", "é😀", "ws://h/%C3%A9%F0%9F%98%80"),
        ("ws://h", "-._~09azAZ", "ws://h/-._~09azAZ"),
        ("ws://h", '\x00\n\x7f"\\@+&=', "ws://h/%00%0A%7F%22%5C%40%2B%26%3D"),
        ("ws://h", "...", "ws://h/..."),
    ):
        assert url.endpoint(address, identity) == want, want


def test_each_byte():
    plain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
    for code in range(1, 128):
        char = chr(code)
        assert url.encode("a" + char) == "a" + (char if char in plain else "%%%02X" % code)


def test_bad():
    for address, identity in (
        ("", "CP1"),
        ("csms.example", "CP1"),
        ("http://csms.example", "CP1"),
        ("https://csms.example", "CP1"),
        ("ws:/csms.example", "CP1"),
        ("ws://", "CP1"),
        ("ws:///", "CP1"),
        ("ws:///path", "CP1"),
        ("ws://:9000", "CP1"),
        ("ws://csms.example/ocpp?token=1", "CP1"),
        ("ws://csms.example/ocpp#x", "CP1"),
        ("ws://user:secret@csms.example", "CP1"),
        ("ws://csms .example", "CP1"),
        ("ws://csms.example/a\r\nX: y", "CP1"),
        (" ws://csms.example", "CP1"),
        ("ws://csms.example\n", "CP1"),
        ("ws://csms.example", ""),
        ("ws://csms.example", "."),
        ("ws://csms.example", ".."),
    ):
        try:
            made = url.endpoint(address, identity)
        except ValueError as exc:
            assert "secret" not in str(exc)
            continue
        raise AssertionError((address, identity, made))
