"""lib/wsclient/frame: the codec with bytes alone."""

import gc
import random

from wsclient.closing import close_payload, is_close_code, parse_close
from wsclient.frame import BINARY, CLOSE, PING, PONG, TEXT, FrameError, Parser, mask, put_head


def frame(first, payload=b"", length=None):
    """One server frame from its first byte; length: None, or the bytes of the length field."""
    n = len(payload)
    if length is None:
        if n < 126:
            length = bytes((n,))
        elif n < 65536:
            length = b"\x7e" + n.to_bytes(2, "big")
        else:
            length = b"\x7f" + n.to_bytes(8, "big")
    return bytes((first,)) + length + payload


def feed(parser, data, sizes):
    """Push data in pieces; sizes: a function that gives the next size. Returns the events."""
    events = []
    at = 0
    while at < len(data):
        n = min(sizes(), len(data) - at)
        piece = memoryview(data)[at : at + n]
        at += n
        pos = 0
        while pos < n:
            pos = parser.parse(piece, pos, n)
            if parser.event is not None:
                events.append((parser.event, parser.payload))
    return events


def ways():
    """Ways to cut a stream: whole, byte by byte, and 20 random ones."""
    yield lambda: 1 << 30
    yield lambda: 1
    for seed in range(20):
        random.seed(seed)
        yield lambda: random.randint(1, 40)


def test_stream_of_everything():
    text = "h\u00e9llo \u20ac \U0001f50c" * 30
    raw = text.encode()
    stream = (
        frame(0x81, b"")
        + frame(0x81, b"Hello")
        + frame(0x82, b"")
        + frame(0x82, bytes(range(256)))
        + frame(0x01, raw[:1])  # cuts inside characters, controls in between
        + frame(0x89, b"")
        + frame(0x00, raw[1:9])
        + frame(0x8A, b"pong")
        + frame(0x00, b"")
        + frame(0x80, raw[9:])
        + frame(0x02, b"")
        + frame(0x80, b"")
        + frame(0x89, b"p" * 125)
        + frame(0x82, b"m" * 125)
        + frame(0x82, b"m" * 126)
        + frame(0x82, b"m" * 5000)
        + frame(0x88, b"\x03\xe8bye \xc3\xa9")
    )
    want = [
        (TEXT, ""),
        (TEXT, "Hello"),
        (BINARY, b""),
        (BINARY, bytes(range(256))),
        (PING, b""),
        (PONG, b"pong"),
        (TEXT, text),
        (BINARY, b""),
        (PING, b"p" * 125),
        (BINARY, b"m" * 125),
        (BINARY, b"m" * 126),
        (BINARY, b"m" * 5000),
        (CLOSE, (1000, "bye \u00e9")),
    ]
    for sizes in ways():
        got = feed(Parser(16384), stream, sizes)
        assert got == want
        for (_, a), (_, b) in zip(got, want):
            assert type(a) is type(b)


def test_lengths():
    for n in (0, 1, 125, 126, 127, 128, 511, 512, 513, 65535, 65536, 70000):
        data = b"\xa5" * n
        assert feed(Parser(70000), frame(0x82, data) + frame(0x81, b"x"), lambda: 997) == [(BINARY, data), (TEXT, "x")]


def failure(data, sizes, max_size=1000):
    """Close code that the data provokes, and how many bytes it took."""
    parser = Parser(max_size)
    at = 0
    while at < len(data):
        n = min(sizes(), len(data) - at)
        pos = 0
        while pos < n:
            try:
                pos = parser.parse(memoryview(data)[at : at + n], pos, n)
            except FrameError as exc:
                assert exc.args[1]
                return exc.args[0]
        at += n
    return None


def test_breaches():
    for data, code in (
        (frame(0xC1, b"x"), 1002),  # reserved bits
        (frame(0xA1, b"x"), 1002),
        (frame(0x91, b"x"), 1002),
        (frame(0xB1), 1002),
        (b"\x81\x81abcdx", 1002),  # masked
        (b"\x81\x80abcd", 1002),
        (frame(0x83), 1002),  # opcodes
        (frame(0x84), 1002),
        (frame(0x85), 1002),
        (frame(0x86), 1002),
        (frame(0x87), 1002),
        (frame(0x8B), 1002),
        (frame(0x8C), 1002),
        (frame(0x8D), 1002),
        (frame(0x8E), 1002),
        (frame(0x8F), 1002),
        (frame(0x09, b""), 1002),  # fragmented controls
        (frame(0x0A, b""), 1002),
        (frame(0x08, b""), 1002),
        (frame(0x89, b"x" * 126), 1002),  # long controls
        (frame(0x88, b"\x03\xe8" + b"x" * 124), 1002),
        (frame(0x8A, b"", b"\x7f" + bytes(8)), 1002),
        (frame(0x81, b"x" * 125, b"\x7e\x00\x7d"), 1002),  # lengths not minimal
        (frame(0x81, b"", b"\x7e\x00\x00"), 1002),
        (frame(0x81, b"x", b"\x7f\x00\x00\x00\x00\x00\x00\xff\xff"), 1002),
        (frame(0x81, b"x", b"\x7f\x80\x00\x00\x00\x00\x01\x00\x00"), 1002),  # 64th bit
        (frame(0x81, b"x", b"\x7f\x7f\xff\xff\xff\xff\xff\xff\xff"), 1009),
        (frame(0x81, b"x", b"\x7f\x00\x00\x00\x00\x00\x01\x00\x00"), 1009),
        (frame(0x80, b"x"), 1002),  # continuation of nothing
        (frame(0x00, b"x"), 1002),
        (frame(0x81, b"x") + frame(0x80, b"x"), 1002),
        (frame(0x01, b"x") + frame(0x81, b"x"), 1002),  # message inside a message
        (frame(0x01, b"x") + frame(0x82, b"x"), 1002),
        (frame(0x88, b"\x03"), 1002),  # close frames
        (frame(0x88, b"\x03\xe7"), 1002),
        (frame(0x88, b"\x03\xec"), 1002),
        (frame(0x88, b"\x03\xed"), 1002),
        (frame(0x88, b"\x03\xee"), 1002),
        (frame(0x88, b"\x03\xf7"), 1002),
        (frame(0x88, b"\x00\x00"), 1002),
        (frame(0x88, b"\xff\xff"), 1002),
        (frame(0x88, b"\x03\xe8\xff"), 1007),
        (frame(0x88, b"\x03\xe8\xe2\x82"), 1007),
        (frame(0x81, b"\xc3"), 1007),  # texts
        (frame(0x81, b"ab\xff"), 1007),
        (frame(0x01, b"\xc3") + frame(0x80, b"x"), 1007),
        (frame(0x01, b"\xc3") + frame(0x80, b""), 1007),
        (frame(0x01, b"\xed") + frame(0x00, b"\xa0"), 1007),  # before the message is whole
        (b"\x81\x03\xf8", 1007),  # before the frame is whole
    ):
        for sizes in ways():
            assert failure(data, sizes) == code, (data[:20], code)


def test_fine_lookalikes():
    for data in (
        frame(0x01, b"\xc3") + frame(0x80, b"\xa9"),
        frame(0x82, b"\xff\xff"),
        frame(0x88, b""),
        frame(0x88, b"\x03\xf4"),
        frame(0x88, b"\x0b\xb8"),
        frame(0x88, b"\x13\x87" + b"x" * 123),
        frame(0x82, b"x" * 1000),
        frame(0x02, b"x" * 500) + frame(0x80, b"x" * 500),
    ):
        for sizes in ways():
            assert failure(data, sizes) is None, data


def test_too_long_is_refused_at_the_header():
    assert failure(b"\x82\x7e\x03\xe9", lambda: 1) == 1009  # 1001 of 1000, and not one byte of it
    assert failure(b"\x82\x7e\x03\xe8", lambda: 1) is None
    assert failure(frame(0x02, b"x" * 1000) + b"\x00\x01", lambda: 100) == 1009
    assert failure(frame(0x02, b"x" * 1000) + b"\x00\x00" + b"\x80\x00", lambda: 100) is None


def test_close_codes():
    valid = [code for code in range(65536) if is_close_code(code)]
    assert valid == [1000, 1001, 1002, 1003] + list(range(1007, 1015)) + list(range(3000, 5000))


def test_close_payloads():
    assert parse_close(b"") == (1005, "")
    assert parse_close(close_payload(4000, "caf\u00e9")) == (4000, "caf\u00e9")
    assert close_payload(1000) == b"\x03\xe8"
    for reason, want in (
        ("x" * 123, "x" * 123),
        ("x" * 124, "x" * 123),
        ("x" * 122 + "\u00e9", "x" * 122),
        ("x" * 121 + "\u00e9", "x" * 121 + "\u00e9"),
        ("x" * 120 + "\U0001f50c", "x" * 120),
        ("\u20ac" * 42, "\u20ac" * 41),
    ):
        assert parse_close(close_payload(1000, reason)) == (1000, want)
    for code in (0, 999, 1004, 1005, 1006, 1015, 2999, 5000):
        try:
            close_payload(code)
        except ValueError:
            continue
        assert False, code


def test_mask():
    key = b"\x00\x7f\x80\xfe"
    for n in list(range(140)) + [255, 256, 257, 1000]:
        plain = bytes([(i * 7 + n) & 0xFF for i in range(n)])
        data = bytearray(b"<" + plain + b">")
        mask(memoryview(data)[1:-1], key)
        assert data == b"<" + bytes([byte ^ key[i & 3] for i, byte in enumerate(plain)]) + b">"
        mask(memoryview(data)[1:-1], key)
        assert data == b"<" + plain + b">"


def test_heads():
    key = b"KEY!"
    for size, want in (
        (0, b"\x81\x80"),
        (125, b"\x81\xfd"),
        (126, b"\x81\xfe\x00\x7e"),
        (65535, b"\x81\xfe\xff\xff"),
        (65536, b"\x81\xff\x00\x00\x00\x00\x00\x01\x00\x00"),
    ):
        buf = bytearray(20)
        n = put_head(buf, TEXT, size, key)
        assert bytes(buf[:n]) == want + key and not any(buf[n:])
    buf = bytearray(20)
    put_head(memoryview(buf), PONG, 3, key)
    assert buf[:2] == b"\x8a\x83"


def test_a_small_message_costs_little():
    parser = Parser(16384)
    data = memoryview(frame(0x81, b"x" * 200) + frame(0x01, b"x" * 100) + frame(0x80, b"x" * 100))
    gc.collect()
    gc.disable()
    try:
        before = gc.mem_alloc()
        pos = 0
        while pos < len(data):
            pos = parser.parse(data, pos, len(data))
        used = gc.mem_alloc() - before
    finally:
        gc.enable()
    assert used < 4000, used


def test_a_large_buffer_is_given_back():
    parser = Parser(16384)
    big = frame(0x82, b"x" * 16384)
    small = frame(0x82, b"x")
    feed(parser, small, lambda: 512)
    gc.collect()
    before = gc.mem_alloc()
    feed(parser, big, lambda: 512)
    feed(parser, small, lambda: 512)
    gc.collect()
    assert gc.mem_alloc() - before < 2000
