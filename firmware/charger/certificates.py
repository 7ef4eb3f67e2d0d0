"""The file of trusted certificates: what is in it, and changing it. A cold module. Sources: RFC 7468; RFC 5280, 4.1."""

import binascii
import os

from cold import cold
from micropython import const

LONGEST = const(6000)  # characters of one certificate
MOST = const(8)
_HEAD = b"-----BEGIN CERTIFICATE-----"
_TAIL = b"-----END CERTIFICATE-----"
_SEQUENCE = const(0x30)
_VERSION = const(0xA0)
_UTC_TIME = const(0x17)
_NAMES = (b"\x06\x03\x55\x04\x03", b"\x06\x03\x55\x04\x0b", b"\x06\x03\x55\x04\x0a")  # common name, unit, organisation


def read(path):
    """The certificates in a file (PEM, or one in DER): list of DER, [] if there is no file. ValueError: broken."""
    try:
        size = os.stat(path)[6]
    except OSError:
        return []
    if size > LONGEST * MOST:
        raise ValueError("%s is too long" % path)
    with open(path, "rb") as f:
        data = f.read(size)
    if data[:1] == b"\x30":
        return [data]
    found = []
    at = data.find(_HEAD)
    while at >= 0:
        end = data.find(_TAIL, at)
        found.append(der_of(data[at : end + len(_TAIL)] if end >= 0 else data[at:]))
        at = data.find(_HEAD, at + 1)
    return found


def der_of(pem):
    """A certificate in PEM (bytes) as DER. ValueError: it is none, or not whole."""
    start, end = pem.find(_HEAD), pem.find(_TAIL)
    if start < 0 or end < start:
        raise ValueError("This is no certificate in PEM.")
    try:
        der = binascii.a2b_base64(pem[start + len(_HEAD) : end])
    except ValueError:
        raise ValueError("The certificate is damaged: no base64.")
    try:
        tag, _, stop = cold("der").element(der, 0, len(der))
    except ValueError:
        tag = stop = 0
    if tag != _SEQUENCE or stop != len(der):
        raise ValueError("The certificate is damaged, or not whole.")
    return der


def write(path, ders):
    """Replace the file, by one rename: after a power cut it is the old one or the new one. OSError: nothing changed."""
    aside = path + ".new"
    with open(aside, "wb") as f:
        for der in ders:
            text = binascii.b2a_base64(der)[:-1]
            f.write(_HEAD + b"\n")
            for at in range(0, len(text), 64):
                f.write(text[at : at + 64])
                f.write(b"\n")
            f.write(_TAIL + b"\n")
    os.rename(aside, path)


def facts(der):
    """(subject, issuer, Unix seconds of its first and of its last moment). ValueError: this is no certificate."""
    x509 = cold("der")
    _, start, end = x509.element(der, 0, len(der))  # Certificate
    _, at, end = x509.element(der, start, end)  # TBSCertificate
    tag, _, stop = x509.element(der, at, end)
    if tag == _VERSION:
        at = stop
    for _ in range(2):  # serialNumber, signature
        at = x509.element(der, at, end)[2]
    _, issuer, at = x509.element(der, at, end)
    issuer = _name(x509, der, issuer, at)
    _, validity, at = x509.element(der, at, end)
    since, validity = _time(x509, der, validity, at)
    until, _ = _time(x509, der, validity, at)
    _, subject, at = x509.element(der, at, end)
    return _name(x509, der, subject, at), issuer, since, until


def _name(x509, der, start, end):
    """What a person would call it, as printable text."""
    for kind in _NAMES:
        at = der.find(kind, start, end)
        if at >= 0:
            _, at, stop = x509.element(der, at + len(kind), end)
            return "".join([chr(byte) if 32 <= byte < 127 else "?" for byte in der[at:stop]])
    return "(no name)"


def _time(x509, der, at, end):
    """(Unix seconds, where it ends)."""
    tag, start, end = x509.element(der, at, end)
    text = str(der[start:end], "utf-8")
    if tag == _UTC_TIME:
        text = ("19" if text[:2] >= "50" else "20") + text
    if len(text) != 15 or text[14] != "Z":
        raise ValueError("certificate: time")
    form = "%s-%s-%sT%s:%s:%sZ" % (text[:4], text[4:6], text[6:8], text[8:10], text[10:12], text[12:14])
    return cold("ocpp16.timeparse").parse(form, True), end
