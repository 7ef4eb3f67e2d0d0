"""ECDSA verification on P-256 with SHA-256 digests. FIPS 186-5, section 6.4.2; curve: SP 800-186, section 3.2.1.3.

Points are Jacobian, (X, Y, Z) for x = X/Z**2, y = Y/Z**3; None is the point at infinity.
"""

_P = 2**256 - 2**224 + 2**192 + 2**96 - 1
_N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
_G = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
    1,
)


def is_on_curve(x, y):
    """Is this pair of ints a point of the curve, other than infinity?"""
    return 0 <= x < _P and 0 <= y < _P and (y * y - (x * x - 3) * x - _B) % _P == 0


def verifier(x, y):
    """`verify` for that key. Made here, so that who reads keys can be forgotten meanwhile."""
    return lambda digest, signature: verify(x, y, digest, signature)


def verify(x, y, digest, signature):
    """Is this the signature of the message with that SHA-256 digest (32 bytes)? Never raises for a bad signature.

    x, y -- ints of the public point, which is on the curve; signature -- DER: SEQUENCE of INTEGER r and INTEGER s
    """
    pair = _parse(signature)
    if pair is None or len(digest) != 32:
        return False
    r, s = pair
    if not (0 < r < _N and 0 < s < _N):
        return False
    w = pow(s, _N - 2, _N)  # the inverse: N is prime
    point = _both(int.from_bytes(digest, "big") * w % _N, r * w % _N, (x, y, 1))
    if point is None:
        return False
    zz = point[2] * point[2] % _P
    # x = X / Z**2 without the division: x mod N is r for r and, where that is below P, for r + N
    return (r * zz - point[0]) % _P == 0 or (r + _N < _P and ((r + _N) * zz - point[0]) % _P == 0)


def _parse(data):
    """(r, s) of a strict DER signature, or None."""
    if not 8 <= len(data) <= 72 or data[0] != 0x30 or data[1] != len(data) - 2:
        return None
    r, at = _integer(data, 2)
    if r is None:
        return None
    s, at = _integer(data, at)
    return None if s is None or at != len(data) else (r, s)


def _integer(data, at):
    """(value, what follows it) of a positive INTEGER in its shortest form; (None, 0) for anything else."""
    if at + 3 > len(data) or data[at] != 0x02:
        return None, 0
    start, size = at + 2, data[at + 1]
    end = start + size
    if not 1 <= size <= 33 or end > len(data) or data[start] & 0x80:
        return None, 0
    if data[start] == 0 and (size == 1 or not data[start + 1] & 0x80):
        return None, 0
    return int.from_bytes(data[start:end], "big"), end


def _both(u, v, q):
    """u G + v Q, bit by bit from the top (Shamir's trick)."""
    table = (None, _G, q, _add(_G, q))
    point = None
    for bit in range(255, -1, -1):
        point = _double(point)
        which = (u >> bit & 1) | (v >> bit & 1) << 1
        if which:
            point = _add(point, table[which])
    return point


def _double(a):
    if a is None or not a[1]:
        return None
    x, y, z = a
    yy = y * y % _P
    zz = z * z % _P
    s = 4 * x * yy % _P
    m = 3 * (x - zz) * (x + zz) % _P  # the curve's a is -3
    x3 = (m * m - 2 * s) % _P
    return x3, (m * (s - x3) - 8 * yy * yy) % _P, 2 * y * z % _P


def _add(a, b):
    if a is None:
        return b
    if b is None:
        return a
    x1, y1, z1 = a
    x2, y2, z2 = b
    zz1, zz2 = z1 * z1 % _P, z2 * z2 % _P
    u1, u2 = x1 * zz2 % _P, x2 * zz1 % _P
    s1, s2 = y1 * z2 * zz2 % _P, y2 * z1 * zz1 % _P
    if u1 == u2:
        return _double(a) if s1 == s2 else None
    h, r = u2 - u1, s2 - s1
    hh = h * h % _P
    hhh = h * hh % _P
    v = u1 * hh % _P
    x3 = (r * r - hhh - 2 * v) % _P
    return x3, (r * (v - x3) - s1 * hhh) % _P, h * z1 * z2 % _P
