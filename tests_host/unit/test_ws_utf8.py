"""lib/wsclient/utf8: the whole table of well-formed sequences, from outside in."""

from wsclient.utf8 import Utf8


def is_valid(data):
    text = Utf8()
    return text.feed(memoryview(data)) and text.is_complete()


def decodes(data):
    """RFC 3629 section 3 in arithmetic, not in ranges of bytes: the other way to say the same."""
    at = 0
    while at < len(data):
        lead = data[at]
        at += 1
        if lead < 0x80:
            continue
        for count, marker, bits, least in ((1, 0xC0, 0x1F, 0x80), (2, 0xE0, 0x0F, 0x800), (3, 0xF0, 0x07, 0x10000)):
            if lead & ~bits & 0xFF == marker:
                break
        else:
            return False
        point = lead & bits
        for byte in data[at : at + count]:
            if byte & 0xC0 != 0x80:
                return False
            point = point << 6 | byte & 0x3F
        if at + count > len(data):
            return False
        at += count
        if not least <= point <= 0x10FFFF or 0xD800 <= point <= 0xDFFF:
            return False
    return True


def test_all_pairs():
    data = bytearray(2)
    for first in range(256):
        data[0] = first
        for second in range(256):
            data[1] = second
            assert is_valid(data) == decodes(data), bytes(data)


def test_all_leads_of_three_and_four():
    tails = (0x7F, 0x80, 0xBF, 0xC0)
    for lead in range(0xE0, 0x100):
        for second in range(256):
            for third in tails:
                data = bytes((lead, second, third))
                assert is_valid(data) == decodes(data), data
                if lead >= 0xF0 and 0x80 <= third <= 0xBF:
                    for fourth in tails:
                        four = data + bytes((fourth,))
                        assert is_valid(four) == decodes(four), four


def test_boundaries_by_hand():
    for text, want in (
        ("", True),
        ("00", True),
        ("7f", True),
        ("c280", True),
        ("dfbf", True),
        ("e0a080", True),
        ("ed9fbf", True),
        ("ee8080", True),
        ("efbfbf", True),
        ("f0908080", True),
        ("f48fbfbf", True),
        ("80", False),
        ("bf", False),
        ("c080", False),  # overlong
        ("c1bf", False),
        ("e09fbf", False),
        ("f08fbfbf", False),
        ("eda080", False),  # surrogates
        ("edbfbf", False),
        ("f4908080", False),  # beyond U+10FFFF
        ("f5808080", False),
        ("f888808080", False),
        ("fe", False),
        ("ff", False),
        ("c2", False),  # truncated
        ("e0a0", False),
        ("f09080", False),
        ("e282ac", True),
    ):
        assert is_valid(bytes.fromhex(text)) == want, text


def test_first_bad_byte_is_where_it_stops():
    for text, bad in (
        ("c0", 0),
        ("f5", 0),
        ("e080", 1),
        ("eda0", 1),
        ("f08f", 1),
        ("f490", 1),
        ("e28241", 2),
        ("f0908041", 3),
        ("41c241", 2),
    ):
        data = bytes.fromhex(text)
        text = Utf8()
        for at in range(len(data)):
            alive = text.feed(memoryview(data)[at : at + 1])
            assert alive == (at != bad), (data, at)


def test_every_split_of_a_long_text():
    # longer than the block that is checked for ASCII at once, characters of all lengths across its edges
    for shift in range(5):
        data = ("x" * (60 + shift) + "\u00e9\u20ac\U00010348" * 5 + "y" * 130 + "\U0010ffff").encode()
        assert is_valid(data)
        for cut in range(len(data) + 1):
            text = Utf8()
            assert text.feed(memoryview(data)[:cut]) and text.feed(memoryview(data)[cut:]) and text.is_complete()
            broken = data[:cut] + b"\xff" + data[cut:]
            assert not is_valid(broken)


def test_reset():
    text = Utf8()
    assert text.feed(memoryview(b"\xf4"))
    assert not text.is_complete()
    text.reset()
    assert text.is_complete() and text.feed(memoryview(b"ok"))
