"""Headers of a tar archive that holds nothing but files. A cold module (see lib/cold.py).

Source: IEEE Std 1003.1, pax, "ustar Interchange Format". Strict: no links, devices or folders, no extensions of GNU or
pax, no name that could lead out of the folder it is unpacked to.
"""

from micropython import const

BLOCK = const(512)  # bytes; files are padded to whole blocks
_CHECKSUM = const(148)  # where its eight bytes lie; they count as blanks


def header(block):
    """(name, size) of the file that follows this block of 512 bytes, or None for a block of zeros: the end.

    ValueError: anything else.
    """
    if len(block) != BLOCK:
        raise ValueError("tar: cut off")
    if not any(block):
        return None
    total = sum(block) - sum(block[_CHECKSUM : _CHECKSUM + 8]) + 8 * 32
    if total != _octal(block, _CHECKSUM, 8):
        raise ValueError("tar: checksum")
    if block[257:265] != b"ustar\x0000":
        raise ValueError("tar: not the format ustar")
    name = _text(block, 0, 100)
    folder = _text(block, 345, 155)
    if folder:
        name = folder + "/" + name
    if block[156] not in b"0\0":
        raise ValueError("tar: %s is not a file" % name)
    check_name(name)
    return name, _octal(block, 124, 12)


def check_name(name):
    """ValueError: not a path of plain letters below the folder it is unpacked to."""
    for part in name.split("/"):
        if part in ("", ".", "..") or not all(["a" <= c.lower() <= "z" or "0" <= c <= "9" or c in "_-." for c in part]):
            raise ValueError("tar: bad name %r" % name)


def padding(size):
    """Bytes between the end of a file of that size and the next block."""
    return -size % BLOCK


def _text(block, at, size):
    data = bytes(block[at : at + size])
    end = data.find(b"\0")
    data = data if end < 0 else data[:end]
    try:
        return str(data, "utf-8")
    except ValueError:
        raise ValueError("tar: bad name")


def _octal(block, at, size):
    digits = bytes(block[at : at + size]).rstrip(b" \0").lstrip(b" ")
    if not digits or not all([48 <= c <= 55 for c in digits]):
        raise ValueError("tar: bad number")
    return int(str(digits, "utf-8"), 8)
