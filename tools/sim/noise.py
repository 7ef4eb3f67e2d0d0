"""Frames and lines that must change nothing at a good charger, from a seeded generator: a run can be repeated."""

from __future__ import annotations

import math
import random
import struct
from collections import deque
from collections.abc import Callable, Sequence

import can
from cantools.database.can import Message

from .frames import KNOWN_IDS, TERMINAL_POWER


def foreign_frames(rng: random.Random, count: int) -> list[can.Message]:
    """Return frames with ids that neither bus uses: 29 and 11 bit, data and remote, all lengths."""
    frames: list[can.Message] = []
    while len(frames) < count:
        extended = rng.random() < 0.7
        frame_id = rng.getrandbits(29 if extended else 11)
        if extended and frame_id in KNOWN_IDS:
            continue
        length = rng.choice((0, 1, 2, 4, 8, 8, 8, 8))
        remote = rng.random() < 0.05
        frames.append(
            can.Message(
                arbitration_id=frame_id,
                is_extended_id=extended,
                is_remote_frame=remote,
                dlc=length,
                data=None if remote else rng.randbytes(length),
            )
        )
    return frames


def damage(rng: random.Random, frame: can.Message) -> can.Message:
    """Return `frame` with one defect for which it must be rejected: too short, remote, 11-bit id, id bit flipped."""
    data = bytes(frame.data)
    frame_id = frame.arbitration_id
    defect = rng.choice(("short", "remote", "standard", "id"))
    if defect == "short":
        return can.Message(arbitration_id=frame_id, is_extended_id=True, data=data[: rng.randrange(4)])
    if defect == "remote":
        return can.Message(arbitration_id=frame_id, is_extended_id=True, is_remote_frame=True, dlc=frame.dlc)
    if defect == "standard":
        return can.Message(arbitration_id=frame_id & 0x7FF, is_extended_id=False, data=data)
    while frame_id in KNOWN_IDS:
        frame_id = frame.arbitration_id ^ (1 << rng.randrange(29))
    return can.Message(arbitration_id=frame_id, is_extended_id=True, data=data)


def garbage_source(rng: random.Random, ours: Sequence[Message]) -> Callable[[], can.Message]:
    """Return a function that makes a bad frame per call: our ids with a defect, foreign ids, absurd terminal floats."""
    absurd = (math.nan, math.inf, -math.inf, -20.0, 1e9, 401.0, 3.4e38)

    def make() -> can.Message:
        kind = rng.random()
        if kind < 0.4:
            return foreign_frames(rng, 1)[0]
        if kind < 0.5 and TERMINAL_POWER in ours:
            volts, amperes = rng.choice(absurd), rng.choice(absurd)
            data = struct.pack(">ff", volts, amperes)
            return can.Message(arbitration_id=TERMINAL_POWER.frame_id, is_extended_id=True, data=data)
        message = rng.choice(ours)
        return damage(rng, can.Message(arbitration_id=message.frame_id, is_extended_id=True, data=rng.randbytes(8)))

    return make


def text_garbage(rng: random.Random, count: int) -> deque[bytes]:
    """Return malformed SLCAN lines, each ended by CR: bad digits, halves, odd lengths, unknown, binary, endless."""
    good = b"T1806E5F480348038400000000"
    texts: deque[bytes] = deque()
    while len(texts) < count:
        match rng.randrange(7):
            case 0:
                line = good[: rng.randrange(2, len(good) - 2)]
            case 1:
                position = rng.randrange(1, 26)
                line = good[:position] + rng.choice((b"G", b"x", b"-", b" ", b"\xff")) + good[position + 1 :]
            case 2:
                line = b"T1806E5F4" + rng.choice((b"9", b"A", b":", b"")) + b"0348038400000000"
            case 3:
                line = b"TFFFFFFFF8" + b"0348038400000000"
            case 4:
                line = rng.choice((b"Q", b"tFFF0", b"y", b"\x07\x07", b"Z123", b"{}"))
            case 5:
                line = bytes(byte for byte in rng.randbytes(rng.randrange(1, 40)) if byte not in b"\r\ntTrR")
            case _:
                line = good * rng.randrange(3, 6)
        texts.append(line + b"\r")
    return texts
