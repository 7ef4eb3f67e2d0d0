"""What a virtual board is, and what goes wrong with it: data only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

BLOCK = 4096  # bytes of a block of the flash
# What sys.implementation._machine says on these chips (ports/esp32/boards/*/mpconfigboard.h).
MACHINES = {
    "esp32": "Generic ESP32 module with ESP32",
    "esp32s3": "Generic ESP32S3 module with ESP32S3",
    "rp2040": "Raspberry Pi Pico with RP2040",
}


@dataclass
class Faults:
    """What goes wrong, from the next start of the chip on; bytes count from the time they are set.

    at_write -- number of the flash write or erase (1: the first) at which it strikes, in the middle of it
    what -- then: "cable": the line is cut; "power": and the chip stops at once
    at_byte -- the line is cut when so many bytes have come from the computer
    """

    at_write: int = 0
    what: str = "power"
    at_byte: int = 0


@dataclass
class Chip:
    """What the board says it is."""

    name: str = "esp32"  # a key of MACHINES
    version: tuple[int, int, int] = (1, 25, 0)
    unique_id: bytes = b"\x24\x0a\xc4\x01\x02\xff"
    blocks: int = 512  # of the file system: ESP32_GENERIC has 2 MiB
    heap: str = "256k"  # the chip itself, its fakes and a 64-bit port need more than 160k
    hardware: Path | None = None  # a file with install(): more of the chip, in MicroPython

    @property
    def platform(self) -> str:
        return "esp32" if self.name.startswith("esp32") else "rp2"

    @property
    def banner(self) -> bytes:
        version = ".".join(map(str, self.version))
        text = f'MicroPython v{version} on 2025-04-15; {MACHINES[self.name]}\r\nType "help()" for more information.\r\n'
        return text.encode()
