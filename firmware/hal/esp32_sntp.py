"""SNTP messages (RFC 4330, sections 4 and 5). A cold module: pure functions of bytes."""

from micropython import const

_SIZE = const(48)
_UNIX_1900 = 2_208_988_800  # seconds from 1900 to 1970
_ERA = 4_294_967_296  # the next one begins in 2036


def request(cookie):
    """A client's question; cookie -- 8 random bytes as its time stamp, which the answer must repeat."""
    return b"\x23" + bytes(39) + cookie  # version 4, client


def answer(data, cookie):
    """(Unix seconds, ms) of a server's answer; None: it is not the answer to this question, or not synchronised."""
    if len(data) < _SIZE or data[24:32] != cookie:
        return None
    if data[0] & 7 != 4 or data[0] >> 6 == 3 or not 0 < data[1] < 16:  # mode server, leap, stratum
        return None
    seconds = 0
    for byte in data[40:44]:
        seconds = seconds << 8 | byte
    if not seconds:
        return None
    if not data[40] & 0x80:
        seconds += _ERA
    return seconds - _UNIX_1900, (data[44] << 8 | data[45]) * 1000 >> 16
