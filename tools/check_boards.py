"""Prove that the boards can be built: pins, buses, wiring, partitions. `python -m tools.check_boards [ROOT]`.

A board with a PINS table (see boards/README.md) is held against the tables of its chip in chip_pins.py: no GPIO twice,
none that does not exist or belongs to the flash, the PSRAM, the console or the USB; no output on a pin that only reads;
a strapping pin only with the reason why it may be; analogue inputs on ADC 1. Every output has a safe level, and boot.py
gets all of them. Buses, lights and the reader name pins of the right kind. README.md has a row for every GPIO.
partitions.csv fits the flash. Prints one line per violation; exit status 1 if there is any.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from tools.chip_pins import CHIPS, Chip

DIRECTIONS = ("in", "out", "adc", "bus_in", "bus_out")
OUTPUTS = ("out", "bus_out")
STATES = {"idle", "plugged", "charging", "fault", "online"}
NEEDED = {"estop": "in", "contactor": "out"}  # without them a board is no charger
_UNITS = {"K": 1024, "M": 1024 * 1024}
_FIRST = 0x9000  # behind the boot loader and the partition table itself
_APP_ALIGN = 0x10000
_ALIGN = 0x1000


def load(folder: Path, firmware: Path) -> ModuleType:
    """The board's module, loaded by CPython: it is data. firmware -- where its helper in hal/ is."""
    spec = importlib.util.spec_from_file_location(f"board_{folder.name}", folder / "board.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    helper = importlib.util.spec_from_file_location("hal.presets", firmware / "hal" / "presets.py")
    assert helper and helper.loader
    presets = importlib.util.module_from_spec(helper)
    helper.loader.exec_module(presets)
    sys.modules["hal.presets"] = presets
    return module


def _pins(board: Any, chip: Chip) -> Iterator[str]:
    """Violations of the table of pins alone."""
    rows = board.PINS
    for what, column in (("name", 0), ("GPIO", 1)):
        for value, count in Counter(row[column] for row in rows).items():
            if count > 1:
                yield f"{what} {value} is used {count} times"
    forbidden = {"the flash": chip.flash, "the console": chip.console, "the USB": chip.usb}
    if board.PSRAM:
        forbidden["the PSRAM"] = chip.psram
    for name, number, direction, level, why in rows:
        pin = f"{name} on GPIO {number}"
        if number not in chip.exist:
            yield f"{pin}: the {board.CHIP} has no such pin"
        for owner, numbers in forbidden.items():
            if number in numbers:
                yield f"{pin}: belongs to {owner}"
        if direction not in DIRECTIONS:
            yield f"{pin}: unknown direction {direction}"
        if direction in OUTPUTS and number in chip.input_only:
            yield f"{pin}: an output on a pin that can only read"
        if direction == "adc" and number not in chip.adc1:
            yield f"{pin}: only ADC 1 works beside Wi-Fi"
        if number in chip.strapping and not why:
            yield f"{pin}: a strapping pin ({chip.strapping[number]}) without a reason why it may be used"
        if why and number not in chip.strapping:
            yield f"{pin}: has a reason, but is no strapping pin"
        wanted = (0, 1) if direction in ("in", "out", "bus_out") else (None,)
        if level not in wanted:
            yield f"{pin}: level {level} of {direction} must be one of {wanted}"
    directions = {row[0]: row[2] for row in rows}
    for name, direction in NEEDED.items():
        if directions.get(name) != direction:
            yield f"there is no {name} ({direction})"
    safe = [(number, level) for _, number, direction, level, _ in rows if direction in OUTPUTS]
    if list(board.SAFE_PINS) != safe:
        yield "SAFE_PINS are not the outputs with their levels"
    levels = {row[0]: row[3] for row in rows}
    for name in ("contactor", "enable", "lock"):
        if levels.get(name, 0) != 0:
            yield f"{name}: must rest low, as it does while the chip is in reset"
    for name in directions:
        if name.endswith("_cs") and levels[name] != 1:
            yield f"{name}: a chip select rests high"


def _uses(board: Any, chip: Chip) -> Iterator[str]:
    """Violations of what names pins: SPI, lights, buses, reader."""
    directions = {row[0]: row[2] for row in board.PINS}
    for number, (hertz, *names) in board.SPI.items():
        if number not in chip.spis or not 100_000 <= hertz <= 10_000_000:
            yield f"SPI {number} at {hertz} Hz: MCP2515 and MFRC522 take at most 10 MHz, SPIs are {sorted(chip.spis)}"
        for name, direction in zip(names, ("bus_out", "bus_out", "bus_in"), strict=True):
            if directions.get(name) != direction:
                yield f"SPI {number}: {name} is no {direction}"
    for name, states in board.LEDS:
        if directions.get(name) != "out":
            yield f"light {name} is no output"
        for state in states.split():
            if state.rstrip("*") not in STATES:
                yield f"light {name}: nobody tells {state}"
    described = board.describe({})
    devices = [c[key] for c in described["connectors"] for key in ("module_bus", "bms_bus")]
    if "reader_cs" in directions:
        reader = board.describe({"reader": True})["reader"]
        if reader[1] in [device[1] for device in devices if device[0] == "mcp2515"]:
            yield f"{reader}: the SPI of the MCP2515, which use it in interrupts"
        devices.append(reader)
    selects = [device[2] for device in devices if device[0] in ("mcp2515", "mfrc522")]
    wired = board.describe({"bms": "jbd_uart"})["connectors"][0]["bms_bus"][1]
    for name, direction in zip(wired[3:], ("bus_in", "bus_out"), strict=True):
        if directions.get(name) != direction:
            yield f"UART {wired[1]}: {name} is no {direction}"
    for device in devices:
        if device[0] in ("mcp2515", "mfrc522"):
            if device[1] not in board.SPI:
                yield f"{device}: there is no SPI {device[1]}"
            if directions.get(device[2]) != "out":
                yield f"{device}: {device[2]} is no output"
        if device[0] == "mcp2515" and directions.get(device[3]) != "in":
            yield f"{device}: {device[3]} is no input"
    if len(set(selects)) != len(selects):
        yield f"two devices with one chip select: {selects}"
    for connector in described["connectors"]:
        for key, pin in (("contactor", "contactor"), ("lock", "lock"), ("plug_switch", "plug"), ("enable", "enable")):
            if connector[key] and pin not in directions:
                yield f"{key} without a pin {pin}"
    everything = dict.fromkeys(("door", "plug_switch", "contactor_feedback", "lock_feedback"), True)
    known = {key: value for key, value in everything.items() if key.removesuffix("_switch") in directions}
    for name in board.describe(known)["inputs"]:
        if name not in directions and f"{name}_feedback" not in directions:
            yield f"input {name} without a pin"


def _wiring(board: Any, readme: str) -> Iterator[str]:
    told: set[int] = set()
    for line in readme.splitlines():
        cells = line.split("|")
        if len(cells) > 2 and re.fullmatch(r"[ 0-9,]+", cells[1]):
            told |= {int(n) for n in cells[1].replace(" ", "").split(",")}
    pins = {row[1] for row in board.PINS}
    for number in sorted(pins ^ told):
        yield f"GPIO {number} is only in " + ("board.py" if number in pins else "README.md")


def _number(text: str) -> int:
    text = text.strip()
    return int(text[:-1], 0) * _UNITS[text[-1]] if text[-1:] in _UNITS else int(text, 0)


def partitions(text: str, flash: int) -> Iterator[str]:
    """Violations of an ESP-IDF partition table (ESP-IDF Programming Guide, "Partition Tables"). flash -- bytes."""
    end = _FIRST
    found: Counter[str] = Counter()
    sizes: dict[str, set[int]] = {}
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, kind, subtype, offset, size = [cell.strip() for cell in line.split(",")][:5]
        at, length = _number(offset), _number(size)
        align = _APP_ALIGN if kind == "app" else _ALIGN
        if at % align or length % _ALIGN or length <= 0:
            yield f"partition {name}: {offset} + {size} is not aligned to {align:#x}"
        if at < end:
            yield f"partition {name} begins at {at:#x}, inside what ends at {end:#x}"
        end = at + length
        found[name] += 1
        found[subtype] += 1
        sizes.setdefault(kind, set()).add(length)
    if end > flash:
        yield f"partitions end at {end:#x}, the flash at {flash:#x}"
    for name in ("nvs", "phy_init", "vfs", "romfs"):
        if found[name] < 1:
            yield f"there is no partition {name}"
    if found["ota_0"] and not (found["ota_1"] and found["otadata"]):
        yield "ota_0 needs ota_1 and otadata"
    if found["ota_0"] and len(sizes["app"]) > 1:
        yield "the two slots of the program differ in size"


def check(root: Path) -> tuple[list[str], int]:
    """Return the violations of all boards below `root`, and how many boards have pins."""
    found: list[str] = []
    count = 0
    for folder in sorted(p for p in (root / "boards").iterdir() if (p / "board.py").is_file()):
        board: Any = load(folder, root / "firmware")
        path = f"boards/{folder.name}"
        if folder.name != board.NAME:
            found.append(f"{path}: calls itself {board.NAME}")
        if not hasattr(board, "PINS"):
            continue
        count += 1
        if board.CHIP not in CHIPS:
            found.append(f"{path}: no table of the pins of {board.CHIP}")
            continue
        chip = CHIPS[board.CHIP]
        readme = (folder / "README.md").read_text(encoding="utf-8")
        found += [f"{path}: {text}" for text in (*_pins(board, chip), *_uses(board, chip), *_wiring(board, readme))]
        table = (folder / "partitions.csv").read_text(encoding="utf-8")
        found += [f"{path}: {text}" for text in partitions(table, board.FLASH_MB * _UNITS["M"])]
        if not (folder / "manifest.py").is_file():
            found.append(f"{path}: there is no manifest.py")
    return found, count


def main() -> int:
    """Return the exit status."""
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent
    violations, count = check(root)
    for line in violations:
        print(line)
    print(f"boards: {count} with pins, {len(violations) or 'no'} violation{'' if len(violations) == 1 else 's'}")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
