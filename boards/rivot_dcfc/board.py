"""The reference hardware on an ESP32 module: pins, buses and limits. Data only; README.md has the wiring."""

NAME = "rivot_dcfc"
HAL = "esp32"

IN = "in"
OUT = "out"
ADC = "adc"

# name, GPIO, direction, level while safe (outputs) or while active (inputs), why a strapping pin may be used
PINS = (
    ("spi_sck", 18, OUT, 0, ""),
    ("spi_mosi", 23, OUT, 0, ""),
    ("spi_miso", 19, IN, None, ""),
    ("bms_cs", 5, OUT, 1, "needs to be high at reset: chip select with a pull-up of 10 k is"),
    ("bms_int", 4, IN, 0, ""),
    ("module_cs", 21, OUT, 1, ""),
    ("module_int", 22, IN, 0, ""),
    ("contactor", 27, OUT, 0, ""),
    ("lock", 13, OUT, 0, ""),
    ("estop", 34, IN, 0, ""),
    ("door", 35, IN, 0, ""),
    ("plug", 36, IN, 0, ""),
    ("temperature", 39, ADC, None, ""),
    ("led_power", 2, OUT, 0, "must be low or open while flashing: an LED to ground is"),
    ("led_plugged", 25, OUT, 0, ""),
    ("led_charging", 26, OUT, 0, ""),
    ("led_fault", 32, OUT, 0, ""),
    ("led_network", 33, OUT, 0, ""),
    ("modem_rx", 16, IN, None, ""),
    ("modem_tx", 17, OUT, 1, ""),
)

# boot.py drives these before anything else runs: (GPIO, level)
SAFE_PINS = tuple([(number, level) for _, number, direction, level, _ in PINS if direction == OUT])


def pin(name):
    """GPIO number of a pin. KeyError: no such pin."""
    for row in PINS:
        if row[0] == name:
            return row[1]
    raise KeyError(name)


def describe(preset):
    """Return the board; shape: boards/README.md. ValueError: this board has nothing to preset."""
    for key in preset:
        raise ValueError("unknown key %s" % key)
    return {
        "name": NAME,
        "io": None,
        "limits": {"max_mv": 85_000, "max_ma": 33_000, "max_w": 2_800},
        "connectors": [
            {
                # ("mcp2515", SPI, clock Hz of the SPI, chip select, interrupt, crystal Hz)
                "module_bus": ("mcp2515", 2, 10_000_000, pin("module_cs"), pin("module_int"), 8_000_000),
                "bms_bus": ("mcp2515", 2, 10_000_000, pin("bms_cs"), pin("bms_int"), 8_000_000),
                "contactor": True,
                "contactor_ms": 100,
                "lock": False,
                "plug_switch": False,
                "sees_pack": True,
            }
        ],
    }
