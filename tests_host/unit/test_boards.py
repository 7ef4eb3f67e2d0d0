"""Board data: pins that can do what they are for, presets that are checked, and the command line that picks a board."""

import sys

import arguments

FLASH = (6, 7, 8, 9, 10, 11)
INPUT_ONLY = (34, 35, 36, 37, 38, 39)
STRAPPING = (0, 2, 5, 12, 15)
CONSOLE = (1, 3)
ON_CHIP = [n for n in range(40) if n not in (20, 24, 28, 29, 30, 31)]
ADC1 = (32, 33, 34, 35, 36, 37, 38, 39)  # ADC2 does not work beside Wi-Fi


def load(name):
    sys.path.insert(0, "boards/" + name)
    try:
        return __import__("board")
    finally:
        sys.path.pop(0)
        sys.modules.pop("board", None)


def refused(call, *values):
    """The text of the error that the call ends in."""
    try:
        call(*values)
    except (ValueError, arguments.UsageError) as exc:
        return str(exc)
    raise AssertionError("was accepted")


# -- reference hardware


def test_no_pin_twice():
    pins = load("rivot_dcfc").PINS
    assert len({row[1] for row in pins}) == len(pins)
    assert len({row[0] for row in pins}) == len(pins)


def test_pins_exist_and_are_free():
    for name, number, _, _, _ in load("rivot_dcfc").PINS:
        assert number in ON_CHIP, name
        assert number not in FLASH, name
        assert number not in CONSOLE, name


def test_input_only_pins_are_inputs():
    board = load("rivot_dcfc")
    for name, number, direction, _, _ in board.PINS:
        assert direction in (board.IN, board.OUT, board.ADC), name
        if number in INPUT_ONLY:
            assert direction != board.OUT, name
        if direction == board.ADC:
            assert number in ADC1, name


def test_strapping_pins_say_why():
    for name, number, _, _, why in load("rivot_dcfc").PINS:
        assert bool(why) == (number in STRAPPING), name


def test_safe_levels_of_all_outputs():
    board = load("rivot_dcfc")
    outputs = [(row[1], row[3]) for row in board.PINS if row[2] == board.OUT]
    assert list(board.SAFE_PINS) == outputs
    assert all(level in (0, 1) for _, level in outputs)
    assert (board.pin("contactor"), 0) in board.SAFE_PINS
    assert (board.pin("bms_cs"), 1) in board.SAFE_PINS and (board.pin("module_cs"), 1) in board.SAFE_PINS


def test_buses_use_their_pins():
    board = load("rivot_dcfc")
    connector = board.describe({})["connectors"][0]
    for name, bus in (("bms", connector["bms_bus"]), ("module", connector["module_bus"])):
        assert bus[0] == "mcp2515" and bus[5] == 8_000_000
        assert bus[3] == board.pin(name + "_cs") and bus[4] == board.pin(name + "_int")
    assert "unknown key sim" in refused(board.describe, {"sim": "x"})


def test_readme_names_every_pin():
    with open("boards/rivot_dcfc/README.md") as f:
        rows = [line for line in f.read().split("\n") if line.startswith("| ") and line[2].isdigit()]
    told = set()
    for line in rows:
        told |= {int(n) for n in line.split("|")[1].replace(" ", "").split(",")}
    assert told == {row[1] for row in load("rivot_dcfc").PINS}


# -- simulated site


def test_sim_addresses_follow_from_one_port():
    board = load("sim").describe({"sim": "127.0.0.1:21000", "connectors": 2})
    assert board["io"] == "127.0.0.1:21001"
    assert [c["module_bus"] for c in board["connectors"]] == [
        ("slcan", "tcp://127.0.0.1:21010"),
        ("slcan", "tcp://127.0.0.1:21020"),
    ]
    assert [c["bms_bus"][1] for c in board["connectors"]] == ["tcp://127.0.0.1:21011", "tcp://127.0.0.1:21021"]


def test_both_boards_have_the_same_shape():
    sim = load("sim").describe({"sim": "h:1"})
    real = load("rivot_dcfc").describe({})
    assert sorted(sim) == sorted(real)
    assert sorted(sim["limits"]) == sorted(real["limits"])
    assert sorted(sim["connectors"][0]) == sorted(real["connectors"][0])


def test_wrong_presets_are_named():
    describe = load("sim").describe
    for preset, word in (
        ({}, "sim"),
        ({"sim": 5}, "sim"),
        ({"sim": "127.0.0.1"}, "sim"),
        ({"sim": "127.0.0.1:0"}, "sim"),
        ({"sim": "127.0.0.1:70000"}, "sim"),
        ({"sim": "h:1", "connectors": 0}, "connectors"),
        ({"sim": "h:1", "connectors": 17}, "connectors"),
        ({"sim": "h:1", "connectors": True}, "connectors"),
        ({"sim": "h:1", "connectors": "2"}, "connectors"),
        ({"sim": "h:1", "lock": 1}, "lock"),
        ({"sim": "h:1", "max_ma": -1}, "max_ma"),
        ({"sim": "h:1", "colour": 1}, "colour"),
    ):
        assert word in refused(describe, preset), preset


# -- command line


def test_arguments():
    assert arguments.parse(["--board", "sim", "--data", "d"]) == {"board": "sim", "data": "d"}
    assert arguments.parse(["--data=d", "--board=sim", "--on-reset", "exit", "--factory", "f"])["factory"] == "f"
    assert arguments.parse(["--help"]) is None
    assert arguments.parse(["--board", "sim", "-h"]) is None


def test_wrong_arguments_are_named():
    good = ["--board", "sim", "--data", "d"]
    for line, words in (
        ([], "--board is missing"),
        (["--board", "sim"], "--data is missing"),
        (good + ["--colour", "red"], "unknown argument --colour"),
        (good + ["red"], "unknown argument red"),
        (good + ["--data", "e"], "--data is given twice"),
        (["--data", "d", "--board"], "--board needs a value"),
        (["--data", "--board", "sim"], "--data needs a value"),
        (["--data=", "--board", "sim"], "--data needs a value"),
        (["--data", "d", "--board", "../evil"], "--board is a name"),
        (good + ["--on-reset", "explode"], "--on-reset is exit or restart"),
    ):
        assert words in refused(arguments.parse, line), line


def test_board_of_other_hardware_says_so():
    text = refused(arguments.describe_board, load("rivot_dcfc"), {})
    assert "rivot_dcfc" in text and "ESP32" in text and "--board sim" in text


def test_boards_are_found():
    assert arguments.find_board("sim").NAME == "sim"
    assert arguments.find_board("rivot_dcfc").NAME == "rivot_dcfc"  # not the one found before


def test_unknown_board():
    assert "there is no board nowhere" in refused(arguments.find_board, "nowhere")


def test_factory_file():
    from os import remove

    path = "/tmp/factory-%x.json" % id(path_owner)
    try:
        for content, words in (
            (None, "cannot read"),
            ("{", "is not whole JSON"),
            ('{"settings": {"power.max_ma": 30', "is not whole JSON"),
            ('{"settings": {"power.max_ma": 30}', "is not whole JSON"),
            ("hello", "is not whole JSON"),
            ("[1]", "one JSON object"),
            ('{"colour": {}}', "unknown part colour"),
            ('{"settings": 5}', "settings in the factory file"),
        ):
            if content is not None:
                with open(path, "w") as f:
                    f.write(content)
            assert words in refused(arguments.read_factory, path), content
        with open(path, "w") as f:
            f.write('{"ocpp": {"HeartbeatInterval": "60"}}')
        assert arguments.read_factory(path) == {"ocpp": {"HeartbeatInterval": "60"}}
        assert arguments.read_factory(None) == {}
    finally:
        remove(path)


def path_owner():
    """Only its id is used, to name a file that no parallel run has."""
