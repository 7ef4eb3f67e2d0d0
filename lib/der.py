"""Reading X.509 certificates in DER. Pure, and a cold module (lib/cold.py). Sources: X.690 section 8; RFC 5280."""

from micropython import const

_EXTENSIONS = const(0xA3)
_VERSION = const(0xA0)
_ALT_NAME = b"\x06\x03\x55\x1d\x11"  # subjectAltName
_COMMON_NAME = b"\x06\x03\x55\x04\x03"
_DNS = const(0x82)
_IP = const(0x87)


def element(data, at, end):
    """(tag, start, end) of the element at `at`; its content is data[start:end]. ValueError when it is not whole."""
    if at + 2 > end:
        raise ValueError("certificate: cut off")
    tag, size = data[at], data[at + 1]
    at += 2
    if size & 0x80:
        count = size & 0x7F
        if not 1 <= count <= 3 or at + count > end:
            raise ValueError("certificate: length")
        size = int.from_bytes(data[at : at + count], "big")
        at += count
    if at + size > end:
        raise ValueError("certificate: cut off")
    return tag, at, at + size


def name_of(der):
    """A host name (or address) for which this certificate (bytes) is good: of subjectAltName, else the common name.

    The star of a wildcard is replaced by a label it stands for. ValueError: it has none, or is no certificate.
    """
    _, start, end = element(der, 0, len(der))  # Certificate
    _, at, end = element(der, start, end)  # TBSCertificate
    tag, _, stop = element(der, at, end)
    if tag == _VERSION:
        at = stop
    for _ in range(4):  # serialNumber, signature, issuer, validity
        at = element(der, at, end)[2]
    _, subject, subject_end = element(der, at, end)
    at = element(der, subject_end, end)[2]  # subjectPublicKeyInfo
    while at < end:
        tag, start, at = element(der, at, end)
        if tag == _EXTENSIONS:
            name = _alternative(der, start, at)
            if name:
                return name
    place = der.find(_COMMON_NAME, subject, subject_end)
    if place >= 0:
        _, start, stop = element(der, place + len(_COMMON_NAME), subject_end)
        return _label(str(der[start:stop], "utf-8"))
    raise ValueError("certificate: no name")


def _alternative(der, at, end):
    """The first DNS name or address of the subjectAltName among the extensions, or None."""
    _, at, end = element(der, at, end)
    while at < end:
        _, start, at = element(der, at, end)
        if der[start : start + len(_ALT_NAME)] != _ALT_NAME:
            continue
        _, value, stop = element(der, start + len(_ALT_NAME), at)
        if stop < at:  # that was `critical`
            _, value, stop = element(der, stop, at)
        _, value, stop = element(der, value, stop)
        while value < stop:
            tag, start, value = element(der, value, stop)
            if tag == _DNS:
                return _label(str(der[start:value], "utf-8"))
            if tag == _IP:
                return _address(der[start:value])
    return None


def _label(name):
    return "any" + name[1:] if name[:1] == "*" else name


def _address(raw):
    if len(raw) == 4:
        return "%d.%d.%d.%d" % tuple(raw)
    if len(raw) != 16:
        raise ValueError("certificate: address")
    return ":".join(["%x" % (raw[i] << 8 | raw[i + 1]) for i in range(0, 16, 2)])
