"""Close frames of RFC 6455 section 5.5.1. A cold module (see lib/cold.py)."""

from .frame import FrameError
from .utf8 import Utf8


def is_close_code(code):
    """True for codes that may be on the wire (section 7.4; 1012 to 1014 are from the IANA registry)."""
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999


def close_payload(code, reason=""):
    """Payload of a close frame; the reason is cut to 123 bytes between characters. ValueError for a bad code."""
    if not is_close_code(code):
        raise ValueError("close code")
    text = reason.encode()
    if len(text) > 123:
        cut = 123
        while text[cut] & 0xC0 == 0x80:
            cut -= 1
        text = text[:cut]
    return code.to_bytes(2, "big") + text


def parse_close(data):
    """(code, reason) of a received close payload; (1005, "") if empty. FrameError if it breaks section 5.5.1 or 7.4."""
    if not data:
        return 1005, ""
    if len(data) < 2:
        raise FrameError(1002, "close frame of one byte")
    code = data[0] << 8 | data[1]
    if not is_close_code(code):
        raise FrameError(1002, "close code %d" % code)
    text = Utf8()
    if not text.feed(memoryview(data)[2:]) or not text.is_complete():
        raise FrameError(1007, "close reason is not UTF-8")
    return code, str(data[2:], "utf-8")
