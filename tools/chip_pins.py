"""What each GPIO of the chips can do, as far as a board can get it wrong.

Sources: ESP32 Series Datasheet v4.7, sections 2.2 (pins), 2.4 (restrictions: input only, flash, PSRAM) and 3
(strapping pins); ESP32-S3 Series Datasheet v1.9, sections 2.2, 2.3.4 and 3; MicroPython's quick reference for ESP32,
"Pins and GPIO", "ADC", "Hardware SPI bus", "UART".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Chip:
    """exist: GPIO numbers bonded out; input_only: no output driver, no pull; strapping: sampled at reset, with what
    must hold there; flash: the flash, always taken; psram: taken when the module has PSRAM; console: UART 0; usb: the
    built-in USB; adc1: analogue inputs that work beside Wi-Fi; spis: SPI numbers of MicroPython."""

    exist: frozenset[int]
    input_only: frozenset[int]
    strapping: Mapping[int, str]
    flash: frozenset[int]
    psram: frozenset[int]
    console: frozenset[int]
    adc1: frozenset[int]
    usb: frozenset[int] = field(default_factory=frozenset)
    spis: frozenset[int] = frozenset({1, 2})


CHIPS = {
    "esp32": Chip(
        exist=frozenset(range(40)) - {20, 24, 28, 29, 30, 31},
        input_only=frozenset(range(34, 40)),
        strapping={
            0: "low at reset enters the boot loader",
            2: "high while flashing keeps the boot loader away",
            5: "timing of SDIO; high by default",
            12: "high at reset sets the flash to 1.8 V: the module does not start",
            15: "low at reset silences the boot messages",
        },
        flash=frozenset(range(6, 12)),
        psram=frozenset({16, 17}),
        console=frozenset({1, 3}),
        adc1=frozenset(range(32, 40)),
    ),
    "esp32s3": Chip(
        exist=frozenset(range(49)) - {22, 23, 24, 25},
        input_only=frozenset(),
        strapping={
            0: "low at reset enters the boot loader",
            3: "source of the JTAG signals",
            45: "voltage of the flash: high is 1.8 V",
            46: "must be low with GPIO 0 low to enter the boot loader",
        },
        flash=frozenset(range(26, 33)),
        psram=frozenset(range(33, 38)),  # octal PSRAM (R8); quad PSRAM shares the pins of the flash
        console=frozenset({43, 44}),
        adc1=frozenset(range(1, 11)),
        usb=frozenset({19, 20}),
    ),
}
