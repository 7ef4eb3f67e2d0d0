"""Board data: pins that can do what they are for, presets that are checked, and the command line that picks a board."""

import sys

import arguments
import factory

DEVICES = ("rivot_dcfc", "esp32_devkitc_mcp2515", "esp32_s3")


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


# -- devices (their pins, buses and wiring tables: python -m tools.check_boards)


def test_safe_levels_of_all_outputs():
    for name in DEVICES:
        board = load(name)
        levels = dict(board.SAFE_PINS)
        numbers = {row[0]: row[1] for row in board.PINS}
        assert levels[numbers["contactor"]] == 0, name
        assert levels[numbers["bms_cs"]] == 1 and levels[numbers["module_cs"]] == 1, name


def test_buses_name_their_pins():
    for name in DEVICES:
        board = load(name)
        connector = board.describe({})["connectors"][0]
        for role, bus in (("bms", connector["bms_bus"]), ("module", connector["module_bus"])):
            assert bus == ("mcp2515", bus[1], role + "_cs", role + "_int", 8_000_000), name
            assert board.SPI[bus[1]][1:] == ("spi_sck", "spi_mosi", "spi_miso"), name


def test_presets_of_devices():
    for name in DEVICES:
        board = load(name)
        assert board.describe({})["connectors"][0]["plug_switch"] is False
        assert board.describe({"plug_switch": True})["connectors"][0]["plug_switch"] is True
        assert board.describe({})["inputs"] in (("estop",), ("estop", "door"))
        assert board.describe({"door": True, "contactor_feedback": True})["inputs"] == ("estop", "door", "contactor")
        assert "unknown key sim" in refused(board.describe, {"sim": "x"})
        assert "door must be" in refused(board.describe, {"door": 1})
        bus = board.describe({"bms": "daly_uart"})["connectors"][0]["bms_bus"]
        assert bus[0] == "daly_uart" and bus[1][0] == "uart" and bus[1][3:] == ("uart_rx", "uart_tx")
        assert "bms must be" in refused(board.describe, {"bms": "smoke signals"})
    for name in DEVICES[1:]:
        board = load(name)
        assert board.describe({})["reader"] is None
        assert board.describe({"reader": True})["reader"][0] == "mfrc522"


# -- simulated site


def test_sim_addresses_follow_from_one_port():
    board = load("sim").describe({"sim": "127.0.0.1:21000", "connectors": 2})
    assert board["io"] == "127.0.0.1:21001"
    assert [c["module_bus"] for c in board["connectors"]] == [
        ("slcan", "tcp://127.0.0.1:21010"),
        ("slcan", "tcp://127.0.0.1:21020"),
    ]
    assert [c["bms_bus"][1] for c in board["connectors"]] == ["tcp://127.0.0.1:21011", "tcp://127.0.0.1:21021"]


def test_all_boards_have_the_same_shape():
    sim = load("sim").describe({"sim": "h:1"})
    for name in DEVICES:
        real = load(name).describe({})
        assert sorted(list(sim) + ["inputs", "reader"]) == sorted(real), name
        assert sorted(sim["limits"]) == sorted(real["limits"]), name
        assert sorted(sim["connectors"][0]) == sorted(real["connectors"][0]), name


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
        ({"sim": "h:1", "bms": "lin"}, "bms"),
        ({"sim": "h:1", "bms": 1}, "bms"),
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
    for name in DEVICES:
        text = refused(arguments.describe_board, load(name), {})
        assert name in text and "ESP32" in text and "--board sim" in text


def test_boards_are_found():
    assert arguments.find_board("sim").NAME == "sim"
    for name in DEVICES:
        assert arguments.find_board(name).NAME == name  # not the one found before


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
            assert words in refused(factory.read, path), content
        with open(path, "w") as f:
            f.write('{"ocpp": {"HeartbeatInterval": "60"}}')
        assert factory.read(path) == {"ocpp": {"HeartbeatInterval": "60"}}
        assert factory.read(None) == {}
    finally:
        remove(path)
    assert factory.read(path, True) == {} and "cannot read" in refused(factory.read, path)


def path_owner():
    """Only its id is used, to name a file that no parallel run has."""
