"""Escaped surrogates in JSON text. A cold module (see lib/cold.py). Source: RFC 8259, section 7."""


def join(data):
    """Replace escaped surrogates in UTF-8 JSON by the character that a pair means, or by U+FFFD.

    MicroPython's json keeps each half as a code point of its own. Sent back in an answer (an unknown key, for one) that
    is not UTF-8, and the other side has to close the connection.
    Raises ValueError on an escape without four hex digits.
    """
    out = bytearray()
    start = 0  # what is before it, is in out
    at = data.find(b"\\")
    while at >= 0:
        if data[at + 1 : at + 2] != b"u":
            at = data.find(b"\\", at + 2)
            continue
        code = _hex4(data, at + 2)
        end = at + 6
        if 0xD800 <= code <= 0xDFFF:
            char = 0xFFFD
            if code < 0xDC00 and data[end : end + 2] == b"\\u":
                low = _hex4(data, end + 2)
                if 0xDC00 <= low <= 0xDFFF:
                    char = 0x10000 + (code - 0xD800 << 10) + low - 0xDC00
                    end += 6
            out += data[start:at]
            out += chr(char).encode()
            start = end
        at = data.find(b"\\", end)
    return out + data[start:] if start else data


def _hex4(data, at):
    digits = data[at : at + 4]
    for byte in digits:
        if byte not in b"0123456789abcdefABCDEF":  # int() would take blanks and signs
            raise ValueError
    return int(digits, 16)
