"""The device's check of signatures against OpenSSL's: random keys, and signatures that are wrong in every known way."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from tests_host.conftest import ROOT, interpreter

_VECTORS = ROOT / "tests_host" / "unit" / "vectors" / "signing.json"
_N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_CHECK = """\
import binascii, hashlib, json, sys
from signing import public_key
for line in sys.stdin:
    pem, message, signature = json.loads(line)
    try:
        verify = public_key.load(pem.encode())
    except ValueError as exc:
        print(json.dumps(str(exc)))
        continue
    print(json.dumps(verify(hashlib.sha256(binascii.unhexlify(message)).digest(), binascii.unhexlify(signature))))
"""
Private = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@dataclass(frozen=True)
class Case:
    """One signature of a message, and whether it is good."""

    what: str
    message: bytes
    signature: bytes
    valid: bool


def pem(key: Any) -> str:
    data: bytes = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return data.decode()


def pss(key: rsa.RSAPrivateKey, message: bytes, salt: int = 32, mask: Any = None, digest: Any = None) -> bytes:
    digest = digest or hashes.SHA256()
    return key.sign(message, padding.PSS(padding.MGF1(mask or hashes.SHA256()), salt), digest)


def rsa_cases(key: rsa.RSAPrivateKey) -> list[Case]:
    """A good signature first; then what a forger or a slip makes."""
    size = (key.key_size + 7) // 8
    numbers = key.private_numbers()
    modulus = numbers.public_numbers.n
    message = b"manifest"
    good = pss(key, message)
    encoded = pow(int.from_bytes(good, "big"), numbers.public_numbers.e, modulus)

    def raw(number: int) -> bytes:
        return pow(number, numbers.d, modulus).to_bytes(size, "big")

    cases = [
        ("good", message, good, True),
        ("good, other salt", message, pss(key, message), True),
        ("good, empty message", b"", pss(key, b""), True),
        ("other message", b"manifesT", good, False),
        ("salt of 0", message, pss(key, message, 0), False),
        ("salt of 20", message, pss(key, message, 20), False),
        ("longest salt", message, pss(key, message, (key.key_size + 6) // 8 - 34), False),
        ("MGF1 with SHA-1", message, pss(key, message, mask=hashes.SHA1()), False),
        ("SHA-512", message, pss(key, message, digest=hashes.SHA512()), False),
        ("PKCS #1 v1.5", message, key.sign(message, padding.PKCS1v15(), hashes.SHA256()), False),
        ("signature + modulus", message, (int.from_bytes(good, "big") + modulus).to_bytes(size + 1, "big"), False),
        ("leading zero", message, b"\0" + good, False),
        ("trailing zero", message, good + b"\0", False),
        ("cut off", message, good[:-1], False),
        ("empty", message, b"", False),
        ("zero", message, bytes(size), False),
        ("one", message, bytes(size - 1) + b"\1", False),
        ("modulus", message, modulus.to_bytes(size, "big"), False),
        ("modulus - 1", message, (modulus - 1).to_bytes(size, "big"), False),
        ("wrong trailer", message, raw(encoded ^ 0x01), False),
        ("top bit set", message, raw((encoded | 1 << (key.key_size - 1)) % modulus), False),
        ("hash changed", message, raw(encoded ^ 0x0100), False),
        ("padding changed", message, raw(encoded ^ 1 << (key.key_size - 9)), False),
    ]
    return [Case(*case) for case in cases]


def ecdsa_cases(key: ec.EllipticCurvePrivateKey) -> list[Case]:
    """As rsa_cases; DER that is not the shortest, and numbers out of range."""
    message = b"manifest"
    good = key.sign(message, ec.ECDSA(hashes.SHA256()))
    r, s = decode_dss_signature(good)

    def der(*numbers: bytes) -> bytes:
        body = b"".join(b"\x02" + bytes([len(number)]) + number for number in numbers)
        return b"\x30" + bytes([len(body)]) + body

    def short(number: int) -> bytes:
        return number.to_bytes(number.bit_length() // 8 + 1, "big")

    cases = [
        ("good", message, good, True),
        ("good, other nonce", message, key.sign(message, ec.ECDSA(hashes.SHA256())), True),
        ("good, empty message", b"", key.sign(b"", ec.ECDSA(hashes.SHA256())), True),
        ("good, other s", message, encode_dss_signature(r, _N - s), True),  # ECDSA allows it
        ("other message", b"manifesT", good, False),
        ("SHA-512", message, key.sign(message, ec.ECDSA(hashes.SHA512())), False),
        ("swapped", message, encode_dss_signature(s, r), False),
        *(
            (f"r = {name}", message, encode_dss_signature(value, s), False)
            for name, value in (("0", 0), ("1", 1), ("n", _N), ("n - 1", _N - 1), ("r + n", r + _N))
        ),
        *(
            (f"s = {name}", message, encode_dss_signature(r, value), False)
            for name, value in (("0", 0), ("1", 1), ("n", _N), ("n - 1", _N - 1), ("s + n", s + _N))
        ),
        ("both 0", message, encode_dss_signature(0, 0), False),
        ("padded r", message, der(b"\0" + short(r), short(s)), False),
        ("padded s", message, der(short(r), b"\0" + short(s)), False),
        ("negative r", message, der((r | 1 << 255).to_bytes(32, "big"), short(s)), False),
        ("long form of the length", message, b"\x30\x81" + good[1:], False),
        ("indefinite length", message, b"\x30\x80" + good[2:] + b"\0\0", False),
        ("something follows", message, good + b"\0", False),
        ("something follows inside", message, b"\x30" + bytes([good[1] + 2]) + good[2:] + b"\5\0", False),
        ("three numbers", message, der(short(r), short(s), b"\1"), False),
        ("one number", message, der(short(r)), False),
        ("raw, 64 bytes", message, r.to_bytes(32, "big") + s.to_bytes(32, "big"), False),
        ("cut off", message, good[:-1], False),
        ("empty", message, b"", False),
    ]
    return [Case(*case) for case in cases]


def check(questions: list[tuple[str, bytes, bytes]]) -> list[Any]:
    """The device's answers: True, False, or why the key was refused."""
    text = "".join(json.dumps([key, message.hex(), signature.hex()]) + "\n" for key, message, signature in questions)
    done = subprocess.run(
        [interpreter(64), "-c", _CHECK],
        input=text,
        env={"MICROPYPATH": f"{ROOT}/lib:.frozen"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


KEYS: dict[str, Callable[[], Private]] = {
    "rsa2048": lambda: rsa.generate_private_key(65537, 2048),
    "rsa3072": lambda: rsa.generate_private_key(65537, 3072),
    "rsa3071": lambda: rsa.generate_private_key(65537, 3071),
    "rsa3073": lambda: rsa.generate_private_key(3, 3073),
    "ecdsa": lambda: ec.generate_private_key(ec.SECP256R1()),
}


@pytest.mark.parametrize("kind", KEYS)
def test_random_keys(kind: str) -> None:
    """The device says what is expected, and OpenSSL the same of the message's own cases."""
    for _ in range(20 if kind == "ecdsa" else 1):
        key = KEYS[kind]()
        cases = ecdsa_cases(key) if isinstance(key, ec.EllipticCurvePrivateKey) else rsa_cases(key)
        answers = check([(pem(key.public_key()), case.message, case.signature) for case in cases])
        assert {case.what: answer for case, answer in zip(cases, answers, strict=True)} == {
            case.what: case.valid for case in cases
        }


def test_keys_that_are_refused() -> None:
    point = ec.generate_private_key(ec.SECP256R1()).public_key()
    off = point.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    off_curve = off[:-1] + bytes([off[-1] ^ 1])
    keys = [
        pem(rsa.generate_private_key(65537, 1024).public_key()),
        pem(ec.generate_private_key(ec.SECP384R1()).public_key()),
        pem(ed25519.Ed25519PrivateKey.generate().public_key()),
        f"-----BEGIN PUBLIC KEY-----\n{base64.b64encode(off_curve).decode()}\n-----END PUBLIC KEY-----\n",
    ]
    answers = check([(key, b"", b"") for key in keys])
    assert [answer.partition(": ")[2] for answer in answers] == [
        "RSA needs 2048 to 4096 bits",
        "neither RSA nor P-256",
        "neither RSA nor P-256",
        "not on the curve",
    ]


def test_stored_vectors_are_as_openssl_has_them() -> None:
    """What the unit test on both ports uses. To renew the file: python -m tests_host.test_signing_vectors."""
    for entry in json.loads(_VECTORS.read_text(encoding="utf-8")):
        key = serialization.load_pem_public_key(entry["pem"].encode())
        for case in entry["cases"]:
            message, signature = bytes.fromhex(case["message"]), bytes.fromhex(case["signature"])
            try:
                if isinstance(key, rsa.RSAPublicKey):
                    key.verify(signature, message, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())
                else:
                    assert isinstance(key, ec.EllipticCurvePublicKey)
                    key.verify(signature, message, ec.ECDSA(hashes.SHA256()))
                valid = True
            except Exception:  # noqa: BLE001 - InvalidSignature, or what OpenSSL says of bad DER
                valid = False
            assert valid is case["valid"], case["what"]


def main() -> None:
    """Write the vectors anew."""
    entries = []
    for kind in ("rsa3072", "ecdsa"):
        key = KEYS[kind]()
        cases = ecdsa_cases(key) if isinstance(key, ec.EllipticCurvePrivateKey) else rsa_cases(key)
        entries.append(
            {
                "kind": kind.rstrip("0123456789"),
                "pem": pem(key.public_key()),
                "cases": [
                    {"what": c.what, "message": c.message.hex(), "signature": c.signature.hex(), "valid": c.valid}
                    for c in cases
                ],
            }
        )
    _VECTORS.write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
