"""The simulated site: every address follows from one base port. Data only."""

NAME = "sim"
HAL = "unix"

_MAX_CONNECTORS = 16
_KEYS = (
    "sim", "connectors", "lock", "contactor", "contactor_feedback", "enable", "plug_switch", "sees_pack",
    "max_mv", "max_ma", "max_w", "bms",
)  # fmt: skip
_BMS = "rivot_can jbd_uart daly_uart"  # one text: names would stay in RAM


def describe(preset):
    """Return the board for the "board" object of the factory file.

    preset -- "sim": "host:port" of the simulator's control port P (required); "connectors" 1..16;
    "lock", "contactor", "contactor_feedback", "enable", "plug_switch", "sees_pack" -- bools;
    "max_mv", "max_ma", "max_w" -- ints > 0;
    "bms" -- "rivot_can", "jbd_uart" or "daly_uart".
    ValueError: says which of them is wrong. Shape of the result: boards/README.md.
    """
    for key in preset:
        if key not in _KEYS:
            raise ValueError("unknown key %s" % key)
    host, _, port = str(preset.get("sim", "")).rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65_000:
        raise ValueError('"sim" must be "host:port" of the simulator')
    base = int(port)
    count = _int(preset, "connectors", 1, 1, _MAX_CONNECTORS)
    kinds = _BMS.split(" ")
    bms = preset.get("bms", kinds[0])
    if bms not in kinds:
        raise ValueError("bms must be one of: %s" % _BMS)
    bms = ("slcan", 1) if bms == kinds[0] else (bms, 2)
    return {
        "name": NAME,
        "io": "%s:%d" % (host, base + 1),
        "limits": {
            "max_mv": _int(preset, "max_mv", 85_000, 1, 150_000),
            "max_ma": _int(preset, "max_ma", 90_000, 1, 400_000),
            "max_w": _int(preset, "max_w", 7_200, 1, 60_000),
        },
        "connectors": [
            {
                "module_bus": ("slcan", "tcp://%s:%d" % (host, base + 10 * n)),
                "bms_bus": (bms[0], "tcp://%s:%d" % (host, base + 10 * n + bms[1])),
                "contactor": _bool(preset, "contactor", True),
                "contactor_ms": 50,
                "contactor_feedback": _bool(preset, "contactor_feedback", False),
                "enable": _bool(preset, "enable", False),
                "lock": _bool(preset, "lock", False),
                "plug_switch": _bool(preset, "plug_switch", False),
                "sees_pack": _bool(preset, "sees_pack", True),
            }
            for n in range(1, count + 1)
        ],
    }


def _int(preset, key, default, low, high):
    value = preset.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError("%s must be a whole number from %d to %d" % (key, low, high))
    return value


def _bool(preset, key, default):
    value = preset.get(key, default)
    if not isinstance(value, bool):
        raise ValueError("%s must be true or false" % key)
    return value
