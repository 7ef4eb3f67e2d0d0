"""From a public key to a check of signatures. SubjectPublicKeyInfo: RFC 5280 section 4.1.2.7; RFC 8017; RFC 5480."""

import binascii

from cold import cold

_RSA = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01"  # rsaEncryption
_RSA_PSS = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a"  # id-RSASSA-PSS; its parameters are not looked at
_P256 = b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07"  # ecPublicKey, secp256r1
_HEAD = b"-----BEGIN PUBLIC KEY-----"
_TAIL = b"-----END PUBLIC KEY-----"


def load(data):
    """Return verify(digest, signature) -> bool for a public key in PEM or DER (bytes). Both arguments are bytes.

    ValueError: not a key, or none of the kinds and sizes in README.md.
    """
    if data.lstrip()[:1] != b"\x30":
        data = _from_pem(data)
    start, end = _inside(data, 0, 0x30)
    if end != len(data):
        raise ValueError("public key: something follows it")
    kind, at = _inside(data, start, 0x30)
    algorithm = data[kind:at]
    start, stop = _inside(data, at, 0x03)
    if stop != end or data[start] != 0:
        raise ValueError("public key: bit string")
    if algorithm == _P256:
        return _elliptic(data[start + 1 : stop])
    if algorithm[:11] in (_RSA, _RSA_PSS):
        return _rsa(data, start + 1, stop)
    raise ValueError("public key: neither RSA nor P-256")


def _elliptic(point):
    ecdsa = cold("signing.ecdsa_p256")
    if len(point) != 65 or point[0] != 4:
        raise ValueError("public key: not an uncompressed point")
    x, y = int.from_bytes(point[1:33], "big"), int.from_bytes(point[33:], "big")
    if not ecdsa.is_on_curve(x, y):
        raise ValueError("public key: not on the curve")
    return ecdsa.verifier(x, y)


def _rsa(data, at, end):
    rsa = cold("signing.rsa_pss")
    start, stop = _inside(data, at, 0x30)
    if stop != end:
        raise ValueError("public key: something follows the RSA key")
    modulus, at = _number(data, start)
    exponent, at = _number(data, at)
    if at != end or not modulus & exponent & 1 or not 3 <= exponent < 1 << 32:
        raise ValueError("public key: RSA numbers")
    if not modulus >> 2047 or modulus >> 4096:  # the other way round both numbers would be written out
        raise ValueError("public key: RSA needs 2048 to 4096 bits")
    return rsa.verifier(modulus, exponent)


def _number(data, at):
    """(value, what follows) of a positive INTEGER."""
    start, end = _inside(data, at, 0x02)
    if start == end or data[start] & 0x80:
        raise ValueError("public key: number")
    return int.from_bytes(data[start:end], "big"), end


def _inside(data, at, tag):
    """(start, end) of the content of the DER element at `at`, which must have this tag."""
    if at + 2 > len(data) or data[at] != tag:
        raise ValueError("public key: no element 0x%02x" % tag)
    size = data[at + 1]
    at += 2
    if size & 0x80:
        count = size & 0x7F
        size = int.from_bytes(data[at : at + count], "big")
        if not 1 <= count <= 2 or at + count > len(data) or size < (0x80, 0x100)[count - 1]:
            raise ValueError("public key: length")
        at += count
    if at + size > len(data):
        raise ValueError("public key: cut off")
    return at, at + size


def _from_pem(data):
    start, end = data.find(_HEAD), data.find(_TAIL)
    if start < 0 or end < start:
        raise ValueError("public key: neither DER nor PEM")
    return binascii.a2b_base64(data[start + len(_HEAD) : end])
