"""The file of trusted certificates: what it says of them, what it refuses. Vectors: test_der."""

import binascii
import os

from test_der import CERTIFICATES

from charger import certificates
from ocpp16 import timeparse

path = None
DERS = [binascii.unhexlify(raw) for _, raw in CERTIFICATES]


def setup():
    global path
    path = "/tmp/ca-" + "".join(["%02x" % b for b in os.urandom(6)]) + ".pem"


def teardown():
    for name in (path, path + ".new"):
        try:
            os.remove(name)
        except OSError:
            pass


def refused(function, *arguments):
    try:
        function(*arguments)
    except ValueError as exc:
        return str(exc)
    raise AssertionError("taken")


def test_facts():
    since, until = timeparse.parse("2026-01-01T00:00:00Z"), timeparse.parse("2036-01-01T00:00:00Z")
    for der, subject in zip(DERS, ("common.example", "common.example", "(no name)", "c", "c")):
        assert certificates.facts(der) == (subject, "issuer.example", since, until)
    far = DERS[0].replace(
        b"\x30\x1e\x17\x0d260101000000Z\x17\x0d360101000000Z", b"\x30\x1e\x17\x0d510101000000Z\x17\x0d490101000000Z"
    )
    assert certificates.facts(far)[2:] == (
        timeparse.parse("1951-01-01T00:00:00Z", True),
        timeparse.parse("2049-01-01T00:00:00Z"),
    )


def test_every_cut_and_many_wrong_bytes_are_refused_or_read():
    for size in range(len(DERS[0])):
        refused(certificates.facts, DERS[0][:size])
    for at in range(0, len(DERS[1]), 3):
        for byte in (0, 0x30, 0x7F, 0x84, 0xFF):
            try:
                certificates.facts(DERS[1][:at] + bytes((byte,)) + DERS[1][at + 1 :])
            except ValueError:
                pass


def test_written_and_read():
    assert certificates.read(path) == []
    certificates.write(path, DERS)
    assert certificates.read(path) == DERS
    with open(path, "rb") as f:
        text = f.read()
    assert max([len(line) for line in text.split(b"\n")]) == 64 and text.endswith(b"-----END CERTIFICATE-----\n")
    with open(path, "wb") as f:
        f.write(b"comment\r\n" + text.replace(b"\n", b"\r\n"))
    assert certificates.read(path) == DERS
    with open(path, "wb") as f:
        f.write(DERS[0])
    assert certificates.read(path) == DERS[:1]


def test_broken_ones_are_named():
    certificates.write(path, DERS[:1])
    with open(path, "rb") as f:
        text = f.read()
    assert "no certificate" in refused(certificates.der_of, b"")
    assert "no certificate" in refused(certificates.der_of, text[:-10])
    assert "damaged" in refused(certificates.der_of, text[:100] + text[-26:])
    assert "damaged" in refused(certificates.der_of, text[:40] + b"*" + text[41:])
    with open(path, "wb") as f:
        f.write(text[:-30])
    refused(certificates.read, path)
