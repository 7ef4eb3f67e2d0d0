"""Makes bundles and keys on MicroPython, good ones and such as nobody should have to take.

The private key is the number below; it signs nothing but tests.
"""

import binascii
import hashlib
import json
import struct
import sys

from signing import ecdsa_p256

PRIVATE = 0x1D5C0FFEE0DDBA11C0DEC0DEC0DEC0DE1234567890ABCDEF1234567890ABCDEF
_K = 0x0BADCAB1E0BADCAB1E0BADCAB1E0BADCAB1E0BADCAB1E0BADCAB1E0BADCAB1E1  # one per digest would be wasted on tests
_HEAD = b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00\x04"
HEAD = {
    "arch": "",
    "board": "sim",
    "chip": "",
    "micropython": "1.25",
    "mpy": sys.implementation._mpy & 0xFF,
    "port": "unix",
    "version": "1.2.3",
}


def _affine(point):
    p = ecdsa_p256._P
    x, y, z = point
    inverse = pow(z, p - 2, p)
    return x * inverse * inverse % p, y * inverse * inverse * inverse % p


def public_key(private=PRIVATE):
    """PEM of SubjectPublicKeyInfo."""
    x, y = _affine(ecdsa_p256._both(private, 0, ecdsa_p256._G))
    der = _HEAD + x.to_bytes(32, "big") + y.to_bytes(32, "big")
    return b"-----BEGIN PUBLIC KEY-----\n" + binascii.b2a_base64(der) + b"-----END PUBLIC KEY-----\n"


def sign(data, private=PRIVATE):
    n = ecdsa_p256._N
    z = int.from_bytes(hashlib.sha256(data).digest(), "big")
    r = _affine(ecdsa_p256._both(_K, 0, ecdsa_p256._G))[0] % n
    s = pow(_K, n - 2, n) * (z + r * private) % n
    body = b""
    for number in (r, s):
        raw = number.to_bytes(33, "big")
        while raw[0] == 0 and raw[1] < 0x80:
            raw = raw[1:]
        body += bytes((2, len(raw))) + raw
    return bytes((0x30, len(body))) + body


def manifest(files, **changes):
    """Text of manifest.json for {path: content}; format: tools/manifest.py."""
    head = dict(HEAD)
    head.update(changes)
    rows = []
    for path in sorted(files):
        digest = str(binascii.hexlify(hashlib.sha256(files[path]).digest()), "utf-8")
        rows.append("%s: %s" % (json.dumps(path), json.dumps([len(files[path]), digest])))
    return (json.dumps(head)[:-1] + ',\n"files": {\n' + ",\n".join(rows) + "\n}}\n").encode()


def entry(name, data, kind=b"0", size=None, magic=b"ustar\x0000", link=b""):
    """One file of a tar archive, padded."""
    head = bytearray(512)

    def put(at, text):
        head[at : at + len(text)] = text

    put(0, name.encode())
    put(100, b"0000644\0" + b"0000000\0" * 2)
    put(124, b"%011o\0" % (len(data) if size is None else size))
    put(136, b"00000000000\0        " + kind + link)
    put(257, magic)
    put(148, b"%06o\0 " % sum(head))
    return bytes(head) + data + bytes(-len(data) % 512)


def pack(tar):
    """gzip without compression (MicroPython has none): RFC 1952, stored blocks of RFC 1951."""
    parts = [b"\x1f\x8b\x08\0\0\0\0\0\0\xff"]
    for at in range(0, len(tar), 32_768):
        block = tar[at : at + 32_768]
        parts.append(struct.pack("<BHH", at + len(block) == len(tar), len(block), len(block) ^ 0xFFFF) + block)
    parts.append(struct.pack("<II", binascii.crc32(tar), len(tar)))
    return b"".join(parts)


def tar(files, text=None, signature=None):
    """The archive of a bundle."""
    text = manifest(files) if text is None else text
    signature = sign(text) if signature is None else signature
    parts = [entry("manifest.json", text), entry("manifest.sig", signature)]
    parts += [entry(name, files[name]) for name in sorted(files)]
    return b"".join(parts) + bytes(1024)


def bundle(files, **changes):
    """A good one, but for the changes in its manifest."""
    return pack(tar(files, manifest(files, **changes)))
