"""Frames as a server writes them, good and bad, and as it must read them from a client (RFC 6455 section 5)."""

from __future__ import annotations

import asyncio
import struct
from dataclasses import dataclass

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0) -> bytes:
    """One unmasked frame with the shortest length field. Nothing is checked: bad frames are wanted too."""
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    size = len(payload)
    if size < 126:
        return head + bytes([size]) + payload
    if size < 1 << 16:
        return head + b"\x7e" + struct.pack("!H", size) + payload
    return head + b"\x7f" + struct.pack("!Q", size) + payload


def close(code: int | None = None, reason: bytes = b"") -> bytes:
    """A close frame; None: without a payload."""
    return frame(CLOSE, b"" if code is None else struct.pack("!H", code & 0xFFFF) + reason)


class ClientError(Exception):
    """The client sent what no client may send."""


@dataclass(frozen=True)
class Received:
    """One frame of the client, unmasked."""

    opcode: int
    fin: bool
    payload: bytes
    mask: bytes


async def read_frame(reader: asyncio.StreamReader) -> Received | None:
    """The next frame; None at the end of the stream. ClientError for every breach of section 5."""
    try:
        head = await reader.readexactly(2)
        if head[0] & 0x70:
            raise ClientError("reserved bit set")
        opcode, size = head[0] & 15, head[1] & 0x7F
        if opcode not in (CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG):
            raise ClientError(f"opcode {opcode}")
        if not head[1] & 0x80:
            raise ClientError("frame is not masked")
        if opcode >= CLOSE and (size > 125 or not head[0] & 0x80):
            raise ClientError("control frame too long or fragmented")
        if size == 126:
            (size,) = struct.unpack("!H", await reader.readexactly(2))
            if size < 126:
                raise ClientError("length not minimal")
        elif size == 127:
            (size,) = struct.unpack("!Q", await reader.readexactly(8))
            if size < 1 << 16 or size >> 63:
                raise ClientError("length not minimal or above 63 bits")
        mask = await reader.readexactly(4)
        payload = await reader.readexactly(size)
    except asyncio.IncompleteReadError as exc:
        if exc.partial:
            raise ClientError("stream ends inside a frame") from exc
        return None
    except ConnectionError:
        return None
    key = int.from_bytes((mask * (size // 4 + 1))[:size], "big")
    plain = (int.from_bytes(payload, "big") ^ key).to_bytes(size, "big")
    return Received(opcode, bool(head[0] & 0x80), plain, mask)
