"""SLCAN lines: one CAN frame as text, strict both ways. A line here has no CR."""

from __future__ import annotations

import re

import can

CR = b"\r"
BELL = b"\x07"

_FRAME = re.compile(rb"(?:([TR])([01][0-9A-Fa-f]{7})|([tr])([0-7][0-9A-Fa-f]{2}))([0-8])((?:[0-9A-Fa-f]{2})*)\Z")


def encode(frame: can.Message) -> bytes:
    """Return the line for `frame`, without CR, hex digits in upper case."""
    letter = "R" if frame.is_remote_frame else "T"
    data = "" if frame.is_remote_frame else frame.data.hex().upper()
    if frame.is_extended_id:
        return f"{letter}{frame.arbitration_id:08X}{frame.dlc}{data}".encode()
    return f"{letter.lower()}{frame.arbitration_id:03X}{frame.dlc}{data}".encode()


def decode(line: bytes) -> can.Message | None:
    """Return the frame in a `t T r R` line (no CR, no timestamp), or None when any digit of it is wrong."""
    match = _FRAME.match(line)
    if match is None:
        return None
    letter = match[1] or match[3]
    remote = letter in b"Rr"
    length = int(match[5])
    digits = match[6]
    if len(digits) != (0 if remote else 2 * length):
        return None
    return can.Message(
        arbitration_id=int(match[2] or match[4], 16),
        is_extended_id=letter in b"TR",
        is_remote_frame=remote,
        dlc=length,
        data=None if remote else bytes.fromhex(digits.decode()),
    )
