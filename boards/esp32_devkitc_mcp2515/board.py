"""An ESP32-DevKitC with two MCP2515 modules, for the bench. Data only; README.md has the wiring."""

NAME = "esp32_devkitc_mcp2515"
HAL = "esp32"
CHIP = "esp32"  # its pins: tools/chip_pins.py
FLASH_MB = 4
PSRAM = True  # WROVER modules fit too: 16 and 17 stay free

IN = "in"
OUT = "out"
BUS_IN = "bus_in"  # belongs to an SPI or UART
BUS_OUT = "bus_out"

# name, GPIO, direction, level while safe (outputs) or while active (inputs), why a strapping pin may be used
PINS = (
    ("spi_sck", 18, BUS_OUT, 0, ""),
    ("spi_mosi", 23, BUS_OUT, 0, ""),
    ("spi_miso", 19, BUS_IN, None, ""),
    ("bms_cs", 5, OUT, 1, "needs to be high at reset: chip select with a pull-up of 10 k is"),
    ("bms_int", 4, IN, 0, ""),
    ("module_cs", 21, OUT, 1, ""),
    ("module_int", 22, IN, 0, ""),
    ("reader_sck", 14, BUS_OUT, 0, ""),
    ("reader_mosi", 13, BUS_OUT, 0, ""),
    ("reader_miso", 32, BUS_IN, None, ""),
    ("reader_cs", 15, OUT, 1, "low at reset would only silence the boot messages: chip select with a pull-up of 10 k"),
    ("contactor", 27, OUT, 0, ""),
    ("enable", 26, OUT, 0, ""),
    ("estop", 34, IN, 0, ""),
    ("door", 35, IN, 0, ""),
    ("contactor_feedback", 39, IN, 0, ""),
    ("plug", 36, IN, 0, ""),
    ("led", 2, OUT, 0, "must be low or open while flashing: an LED to ground is"),
    ("uart_rx", 25, BUS_IN, None, ""),
    ("uart_tx", 33, BUS_OUT, 1, ""),
)

# boot.py drives these before anything else runs: (GPIO, level)
SAFE_PINS = tuple([(number, level) for _, number, direction, level, _ in PINS if direction in (OUT, BUS_OUT)])

# SPI number: clock Hz, and the names of its pins
SPI = {
    1: (4_000_000, "reader_sck", "reader_mosi", "reader_miso"),
    2: (10_000_000, "spi_sck", "spi_mosi", "spi_miso"),
}

# pin, and when it is lit: states of the charger, "*" blinks
LEDS = (("led", "plugged charging fault*"),)


def describe(preset):
    """Return the board; shape: boards/README.md.

    preset -- bools by the names below, which have the defaults; "bms": "rivot_can" (default), "jbd_uart", "daly_uart".
    ValueError: says what is wrong.
    """
    from hal.presets import bms_bus, booleans, inputs

    fitted = booleans(
        preset, reader=False, door=False, plug_switch=False, contactor=True, sees_pack=True, contactor_feedback=False
    )
    return {
        "name": NAME,
        "io": None,
        "limits": {"max_mv": 85_000, "max_ma": 33_000, "max_w": 2_800},
        "inputs": inputs(fitted),
        # ("mfrc522", SPI, chip select)
        "reader": ("mfrc522", 1, "reader_cs") if fitted["reader"] else None,
        "connectors": [
            {
                # ("mcp2515", SPI, chip select, interrupt, crystal Hz)
                "module_bus": ("mcp2515", 2, "module_cs", "module_int", 8_000_000),
                "bms_bus": bms_bus(preset, ("mcp2515", 2, "bms_cs", "bms_int", 8_000_000), 2),
                "contactor": fitted["contactor"],
                "contactor_ms": 100,
                "contactor_feedback": fitted["contactor_feedback"],
                "enable": True,
                "lock": False,
                "plug_switch": fitted["plug_switch"],
                "sees_pack": fitted["sees_pack"],
            }
        ],
    }
