"""RSASSA-PSS verification with SHA-256, MGF1-SHA-256 and a salt of 32 bytes. RFC 8017, sections 8.1.2, 9.1.2, B.2.1."""

import hashlib

from micropython import const

_HASH = const(32)
_SALT = const(32)


def verifier(modulus, exponent):
    """`verify` for that key. Made here, so that who reads keys can be forgotten meanwhile."""
    return lambda digest, signature: verify(modulus, exponent, digest, signature)


def verify(modulus, exponent, digest, signature):
    """Is this the signature of the message with that SHA-256 digest (32 bytes)? Never raises for a bad signature.

    modulus, exponent -- ints of the public key; signature -- bytes
    """
    bits = _bits(modulus)
    size = (bits + 7) // 8
    if len(digest) != _HASH or len(signature) != size:
        return False
    number = int.from_bytes(signature, "big")
    if number >= modulus:
        return False
    bits -= 1  # of the encoded message
    length = (bits + 7) // 8
    number = pow(number, exponent, modulus)
    if number >> (8 * length):
        return False
    return _encodes(number.to_bytes(length, "big"), bits, digest)


def _encodes(message, bits, digest):
    """EMSA-PSS-VERIFY, RFC 8017 section 9.1.2: message of `bits` bits."""
    unused = 8 * len(message) - bits
    split = len(message) - _HASH - 1
    if split < _SALT + 1 or message[-1] != 0xBC or message[0] >> (8 - unused):
        return False
    hashed = message[split:-1]
    block = bytearray(message[:split])
    _unmask(block, hashed)
    block[0] &= 0xFF >> unused
    zeros = split - _SALT - 1
    if block[zeros] != 1 or any(block[:zeros]):
        return False
    return hashlib.sha256(bytes(8) + digest + block[zeros + 1 :]).digest() == hashed


def _unmask(block, seed):
    """XOR a block in place with the mask that MGF1 makes of the seed."""
    for counter in range((len(block) + _HASH - 1) // _HASH):
        mask = hashlib.sha256(seed + counter.to_bytes(4, "big")).digest()
        start = counter * _HASH
        for i in range(min(_HASH, len(block) - start)):
            block[start + i] ^= mask[i]


def _bits(number):
    """Length of a positive number; MicroPython's int has no bit_length before 1.26."""
    size = 0
    while number >> (size + 32):
        size += 32
    number >>= size
    while number:
        number >>= 1
        size += 1
    return size
