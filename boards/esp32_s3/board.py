"""An ESP32-S3-DevKitC-1 with two MCP2515 modules: pins, buses and limits. Data only; README.md has the wiring."""

NAME = "esp32_s3"
HAL = "esp32"
CHIP = "esp32s3"  # its pins: tools/chip_pins.py
FLASH_MB = 8
PSRAM = True  # N8R8: octal PSRAM takes 33 to 37

IN = "in"
OUT = "out"
BUS_IN = "bus_in"  # belongs to an SPI or UART
BUS_OUT = "bus_out"

# name, GPIO, direction, level while safe (outputs) or while active (inputs), why a strapping pin may be used
PINS = (
    ("spi_sck", 12, BUS_OUT, 0, ""),
    ("spi_mosi", 11, BUS_OUT, 0, ""),
    ("spi_miso", 13, BUS_IN, None, ""),
    ("bms_cs", 10, OUT, 1, ""),
    ("bms_int", 9, IN, 0, ""),
    ("module_cs", 14, OUT, 1, ""),
    ("module_int", 21, IN, 0, ""),
    ("reader_sck", 39, BUS_OUT, 0, ""),
    ("reader_mosi", 40, BUS_OUT, 0, ""),
    ("reader_miso", 41, BUS_IN, None, ""),
    ("reader_cs", 38, OUT, 1, ""),
    ("contactor", 4, OUT, 0, ""),
    ("lock", 5, OUT, 0, ""),
    ("estop", 6, IN, 0, ""),
    ("door", 7, IN, 0, ""),
    ("contactor_feedback", 47, IN, 0, ""),
    ("lock_feedback", 8, IN, 0, ""),
    ("plug", 15, IN, 0, ""),
    ("enable", 16, OUT, 0, ""),
    ("led_charging", 1, OUT, 0, ""),
    ("led_fault", 2, OUT, 0, ""),
    ("led_network", 42, OUT, 0, ""),
    ("uart_rx", 18, BUS_IN, None, ""),
    ("uart_tx", 17, BUS_OUT, 1, ""),
)

# boot.py drives these before anything else runs: (GPIO, level)
SAFE_PINS = tuple([(number, level) for _, number, direction, level, _ in PINS if direction in (OUT, BUS_OUT)])

# SPI number: clock Hz, and the names of its pins
SPI = {
    1: (10_000_000, "spi_sck", "spi_mosi", "spi_miso"),
    2: (4_000_000, "reader_sck", "reader_mosi", "reader_miso"),
}

# pin, and when it is lit: states of the charger, "*" blinks
LEDS = (
    ("led_charging", "plugged* charging"),
    ("led_fault", "fault"),
    ("led_network", "online"),
)


def describe(preset):
    """Return the board; shape: boards/README.md.

    preset -- bools by the names below, which have the defaults; "bms": "rivot_can" (default), "jbd_uart", "daly_uart".
    ValueError: says what is wrong.
    """
    from hal.presets import bms_bus, booleans, inputs

    fitted = booleans(
        preset,
        reader=False,
        lock=False,
        door=True,
        plug_switch=False,
        contactor=True,
        sees_pack=True,
        contactor_feedback=False,
        lock_feedback=False,
    )
    return {
        "name": NAME,
        "io": None,
        "limits": {"max_mv": 85_000, "max_ma": 33_000, "max_w": 2_800},
        "inputs": inputs(fitted),
        # ("mfrc522", SPI, chip select)
        "reader": ("mfrc522", 2, "reader_cs") if fitted["reader"] else None,
        "connectors": [
            {
                # ("mcp2515", SPI, chip select, interrupt, crystal Hz)
                "module_bus": ("mcp2515", 1, "module_cs", "module_int", 8_000_000),
                "bms_bus": bms_bus(preset, ("mcp2515", 1, "bms_cs", "bms_int", 8_000_000), 1),
                "contactor": fitted["contactor"],
                "contactor_ms": 100,
                "contactor_feedback": fitted["contactor_feedback"],
                "enable": True,
                "lock": fitted["lock"],
                "plug_switch": fitted["plug_switch"],
                "sees_pack": fitted["sees_pack"],
            }
        ],
    }
