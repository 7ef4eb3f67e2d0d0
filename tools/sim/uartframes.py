"""Requests and answers of JBD and Daly BMSs as bytes. Only coding: what the values are is decided in uart_bms.py."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_JBD_START, _JBD_END = 0xDD, 0x77
_DALY_START, _DALY_SIZE = 0xA5, 13
DALY_BOARD, DALY_HOST = 0x01, 0x40


@dataclass(frozen=True)
class Request:
    """What the charger asked for: register or data id; `is_write`: it wants to change the BMS."""

    command: int
    is_write: bool
    raw: bytes


@dataclass
class Pack:
    """What a BMS knows, in physical units; current is positive while charging."""

    volts: float
    amperes: float
    soc: float
    capacity_ah: float
    celsius: float
    cells: int = 20
    cycles: int = 12
    charge_fet: bool = True
    discharge_fet: bool = True
    protection: int = 0
    """JBD: the 16 protection bits. Daly: bytes 0 to 6 of id 0x98, byte 0 first, as a 56-bit number."""
    life: int = 0


def jbd_requests(buffer: bytearray) -> tuple[list[Request], int]:
    """Take all whole requests out of the buffer; return them, and how many bytes made no sense."""
    return _scan(buffer, _JBD_START, _jbd_request)


def daly_requests(buffer: bytearray) -> tuple[list[Request], int]:
    """As `jbd_requests`."""
    return _scan(buffer, _DALY_START, _daly_request)


def _scan(
    buffer: bytearray, start: int, read: Callable[[bytes], tuple[Request | None, int]]
) -> tuple[list[Request], int]:
    found, bad = [], 0
    while buffer:
        if buffer[0] != start:
            del buffer[0]
            bad += 1
            continue
        request, size = read(bytes(buffer))
        if size > len(buffer):
            break
        if request is None:
            bad += 1
            size = 1
        else:
            found.append(request)
        del buffer[:size]
    return found, bad


def _jbd_request(raw: bytes) -> tuple[Request | None, int]:
    """(request, its size); (None, size beyond the data): more is needed; (None, 0): wrong."""
    if len(raw) < 4:
        return None, 7
    size = 7 + raw[3]
    if len(raw) < size:
        return None, size
    (check,) = struct.unpack_from(">H", raw, size - 3)
    if raw[1] not in (0xA5, 0x5A) or raw[size - 1] != _JBD_END or (sum(raw[2 : size - 3]) + check) & 0xFFFF:
        return None, 0
    return Request(raw[2], raw[1] == 0x5A, raw[:size]), size


def _daly_request(raw: bytes) -> tuple[Request | None, int]:
    if len(raw) < _DALY_SIZE:
        return None, _DALY_SIZE
    frame = raw[:_DALY_SIZE]
    if frame[1] != DALY_HOST or frame[3] != 8 or sum(frame[:12]) & 0xFF != frame[12]:
        return None, 0
    return Request(frame[2], not 0x90 <= frame[2] <= 0x98, frame), _DALY_SIZE


def jbd_frame(register: int, data: bytes, status: int = 0) -> bytes:
    """An answer with its checksum."""
    body = bytes((status, len(data))) + data
    return struct.pack(">BB", _JBD_START, register) + body + struct.pack(">HB", -sum(body) & 0xFFFF, _JBD_END)


def daly_frame(data_id: int, data: bytes, address: int = DALY_BOARD) -> bytes:
    """An answer with its checksum."""
    head = struct.pack(">BBBB8s", _DALY_START, address, data_id, 8, data)
    return head + bytes((sum(head) & 0xFF,))


def jbd_answer(register: int, pack: Pack) -> bytes:
    """The answer to a read; a register that this board does not have is refused with status 0x80."""
    if register == 0x03:
        fets = pack.charge_fet | pack.discharge_fet << 1
        return jbd_frame(
            register,
            struct.pack(
                ">HhHHHHHHHBBBBBHHH",
                round(pack.volts * 100),
                round(pack.amperes * 100),
                round(pack.soc * pack.capacity_ah),
                round(pack.capacity_ah * 100),
                pack.cycles,
                (2026 - 2000) << 9 | 1 << 5 | 21,
                0,
                0,
                pack.protection & 0xFFFF,
                0x23,
                round(pack.soc),
                fets,
                pack.cells,
                2,
                round(pack.celsius * 10) + 2731,
                round(pack.celsius * 10) + 2721,
                0,  # flags and alarms of newer boards
            ),
        )
    if register == 0x04:
        return jbd_frame(register, struct.pack(f">{pack.cells}H", *_cells(pack)))
    if register == 0x05:
        return jbd_frame(register, b"SIM-20S100A-UART")
    return jbd_frame(register, b"", 0x80)


def daly_answer(data_id: int, pack: Pack) -> bytes | None:
    """The answer to a read, or None where this board is silent."""
    celsius = round(pack.celsius)
    charging = pack.amperes > 0.5
    if data_id == 0x90:
        # captures: above 30000 is discharging
        words = (round(pack.volts * 10), 0, round(-pack.amperes * 10) + 30_000, round(pack.soc * 10))
        data = struct.pack(">HHHH", *words)
    elif data_id == 0x91:
        cells = _cells(pack)
        data = struct.pack(">HBHBH", max(cells), 1, min(cells), 2, 0x1305)
    elif data_id == 0x92:
        data = bytes((celsius + 40, 1, celsius + 39, 2, 0x13, 5, 3, 0x38))
    elif data_id == 0x93:
        state = (1 if charging else 0, int(pack.charge_fet), int(pack.discharge_fet), pack.life & 0xFF)
        data = struct.pack(">BBBBI", *state, round(pack.soc * pack.capacity_ah * 10))
    elif data_id == 0x94:
        data = struct.pack(">BBBBBHB", pack.cells, 2, int(charging), 0, 0, pack.cycles, 0x43)
    elif data_id == 0x98:
        data = pack.protection.to_bytes(7, "big") + b"\x00"
    else:
        return None
    return daly_frame(data_id, data)


def _cells(pack: Pack) -> Sequence[int]:
    return [round(pack.volts * 1000 / pack.cells) + (-1) ** n for n in range(pack.cells)]
