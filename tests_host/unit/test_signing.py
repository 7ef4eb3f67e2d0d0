# timeout: 100
"""Signatures on the device: the good ones of OpenSSL are taken, everything else is refused.

Vectors: vectors/signing.json, made by tests_host/test_signing_vectors.py, which also compares random keys.
"""

import binascii
import hashlib
import json

from signing import public_key

ROOT = __file__.rpartition("/")[0]


def vectors():
    with open(ROOT + "/vectors/signing.json") as f:
        return json.load(f)


def unhex(text):
    return binascii.unhexlify(text)


def test_vectors():
    kinds = set()
    for key in vectors():
        verify = public_key.load(key["pem"].encode())
        for case in key["cases"]:
            digest = hashlib.sha256(unhex(case["message"])).digest()
            assert verify(digest, unhex(case["signature"])) is case["valid"], (key["kind"], case["what"])
            kinds.add((key["kind"], case["valid"]))
    assert len(kinds) == 2 * len(vectors())


def test_der_and_pem_are_the_same_key():
    for key in vectors():
        body = "".join(key["pem"].strip().split("\n")[1:-1])
        verify = public_key.load(binascii.a2b_base64(body))
        case = key["cases"][0]
        assert verify(hashlib.sha256(unhex(case["message"])).digest(), unhex(case["signature"]))


def test_every_changed_byte_of_a_signature_is_seen():
    for key in vectors():
        verify = public_key.load(key["pem"].encode())
        good = key["cases"][0]
        digest = hashlib.sha256(unhex(good["message"])).digest()
        signature = bytearray(unhex(good["signature"]))
        for i in range(0, len(signature), 1 if key["kind"] == "ecdsa" else 16):
            signature[i] ^= 1 << i % 8
            assert not verify(digest, bytes(signature)), (key["kind"], i)
            signature[i] ^= 1 << i % 8
        assert verify(digest, bytes(signature))


def test_signatures_of_any_length_are_no_error():
    for key in vectors():
        verify = public_key.load(key["pem"].encode())
        for size in list(range(80)) + [255, 256, 257, 383, 384, 385, 512]:
            for byte in (0, 1, 0x30, 0xFF):
                assert verify(bytes(32), bytes([byte]) * size) is False
        assert verify(b"", unhex(key["cases"][0]["signature"])) is False


def test_damaged_keys():
    for key in vectors():
        der = binascii.a2b_base64("".join(key["pem"].strip().split("\n")[1:-1]))
        damaged = [der[:n] for n in range(len(der))]
        damaged += [der + b"\0", b"", b"\x30", bytes(300), b"\x30\x84\xff\xff\xff\xff"]
        damaged += [key["pem"].encode()[:40], b"-----END PUBLIC KEY----------BEGIN PUBLIC KEY-----"]
        for data in damaged:
            try:
                public_key.load(data)
            except ValueError:
                continue
            raise AssertionError(data)


def test_keys_of_other_kinds():
    for pem in (
        # Ed25519, P-384, RSA with 1024 bits, a point that is not on P-256: tests_host/test_signing_vectors.py has them
        "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=",
    ):
        try:
            public_key.load(binascii.a2b_base64(pem))
        except ValueError as exc:
            assert "neither RSA nor P-256" in str(exc)
        else:
            raise AssertionError(pem)
