"""Which serial port has a board."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import serial.tools.list_ports

from tools.flash.errors import FlashError

# Makers of the USB chips on boards with an ESP32, by their USB vendor id.
_MAKERS = {0x10C4: "CP210x", 0x1A86: "CH340", 0x0403: "FTDI", 0x303A: "Espressif"}


@dataclass(frozen=True)
class Port:
    """serial -- serial number of its USB chip, "" if it has none"""

    path: str
    serial: str
    chip: str

    def __str__(self) -> str:
        return f"{self.path} ({self.chip}{', serial number ' + self.serial if self.serial else ''})"


def attached() -> list[Port]:
    """The ports that could have a board, in the order of their paths."""
    found = sorted(serial.tools.list_ports.comports(), key=lambda port: port.device)
    return [Port(p.device, p.serial_number or "", _MAKERS[p.vid]) for p in found if p.vid in _MAKERS]


def find(wanted: str, ports: Sequence[Port] | None = None) -> str:
    """The path of the port: as it was given, by the serial number, or the only one that there is. FlashError: none."""
    if wanted and not wanted.startswith("id:"):
        return wanted
    found = attached() if ports is None else list(ports)
    if wanted:
        found = [port for port in found if port.serial == wanted[3:]]
    if len(found) == 1:
        return found[0].path
    if not found:
        raise FlashError(
            f"No board with {wanted[3:]} as serial number is attached." if wanted else "No board is attached.",
            "plug it in with a cable that carries data, or name its port: PORT=/dev/ttyUSB0 "
            "(on Linux you must be in the group dialout)",
        )
    raise FlashError(
        "There is more than one board:\n  " + "\n  ".join(map(str, found)),
        f"say which one: PORT={found[0].path}" + (f" or PORT=id:{found[0].serial}" if found[0].serial else ""),
    )
