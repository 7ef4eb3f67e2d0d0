"""DNS messages (RFC 1035, section 4). A cold module: pure functions of bytes."""

_A_IN = b"\x00\x01\x00\x01"  # type A, class IN


def query(ident, host):
    """The question for the IPv4 address of a name. ident -- 2 bytes. ValueError: no host name."""
    return ident + b"\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" + _name(host) + _A_IN  # recursion desired


def answer(data, ident, host):
    """First address in an answer as text; None: it has none, or is not the answer to this question."""
    question = _name(host) + _A_IN
    try:
        if data[:2] != ident or data[2] & 0xFA != 0x80 or data[3] & 0x0F or data[4:6] != b"\x00\x01":
            return None  # no answer, truncated, or an error
        at = 12 + len(question)
        if data[12:at].lower() != question.lower():
            return None
        for _ in range(data[6] << 8 | data[7]):
            at = _skip_name(data, at)
            size = data[at + 8] << 8 | data[at + 9]
            start = at + 10
            if start + size > len(data):
                return None
            if data[at : at + 4] == _A_IN and size == 4:
                return ".".join([str(byte) for byte in data[start : start + 4]])
            at = start + size
    except IndexError:
        pass  # cut off
    return None


def _name(host):
    labels = host.split(".")
    if labels[-1] == "":
        labels.pop()  # a dot at the end
    if not labels or len(host) > 253:
        raise ValueError("host name")
    out = b""
    for label in labels:
        data = label.encode()
        if not 0 < len(data) < 64:
            raise ValueError("host name")
        out += bytes([len(data)]) + data
    return out + b"\x00"


def _skip_name(data, at):
    """Where the name that begins at `at` ends. IndexError: nowhere."""
    while True:
        size = data[at]
        if size >= 0xC0:  # a pointer ends the name
            return at + 2
        at += 1 + size
        if size == 0:
            return at
