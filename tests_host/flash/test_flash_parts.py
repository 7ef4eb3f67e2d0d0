"""The parts of `make flash` that need no board: which port, what to do, what was said."""

from __future__ import annotations

import pytest

from tools.flash import plan
from tools.flash.board import has_chip
from tools.flash.errors import FlashError
from tools.flash.plan import shortage
from tools.flash.ports import Port, find
from tools.flash.watch import watch
from tools.manifest import NAME, Manifest

ONE, TWO = Port("/dev/ttyUSB0", "A1", "CP210x"), Port("/dev/ttyUSB1", "", "CH340")


def test_the_port() -> None:
    assert find("/dev/ttyACM3", []) == "/dev/ttyACM3"
    assert find("", [TWO]) == "/dev/ttyUSB1"
    assert find("id:A1", [ONE, TWO]) == "/dev/ttyUSB0"
    with pytest.raises(FlashError, match=r"more than one board:\n  /dev/ttyUSB0 \(CP210x, serial number A1\)\n.*CH340"):
        find("", [ONE, TWO])
    with pytest.raises(FlashError, match=r"No board is attached\.\nNext: plug it in"):
        find("", [])
    with pytest.raises(FlashError, match="No board with B2 as serial number"):
        find("id:B2", [ONE])


def entry(digit: str, size: int = 5000) -> tuple[int, str]:
    return size, digit * 64


BUILD = Manifest("toy", "esp32", "esp32", "1.0.0", 6, "", {"main.mpy": entry("1"), "lib/x/a.mpy": entry("2")})


def test_a_plan_for_an_empty_board() -> None:
    made = plan.make(BUILD, {}, "", 4096)
    assert (made.slot, made.sends, made.copies, made.removes) == ("slot_a", ["main.mpy", "lib/x/a.mpy"], {}, [])
    assert made.folders == ["", "lib", "lib/x"] and made.blocks == 2 * 2 + 2 * 3
    assert shortage(made, 26) == 0 and shortage(made, 20) == 6


def test_a_plan_takes_what_is_there() -> None:
    there = {
        "/slot_b": (0, "-"), "/slot_b/main.mpy": entry("1"), f"/slot_b/{NAME}": entry("9"),
        "/slot_a": (0, "-"), "/slot_a/lib": (0, "-"), "/slot_a/lib/x": (0, "-"), "/slot_a/lib/x/a.mpy": entry("2"),
        "/slot_a/old.mpy": entry("3"), "/slot_a/lib/x/b.mpy": (0, "?"),
    }  # fmt: skip
    made = plan.make(BUILD, there, "slot_b", 4096)
    assert (made.slot, made.keeps, made.copies, made.sends) == (
        "slot_a", ["lib/x/a.mpy"], {"main.mpy": "/slot_b/main.mpy"}, [],
    )  # fmt: skip
    assert made.removes == ["lib/x/b.mpy", "old.mpy"] and made.folders == [] and made.blocks == 0


def test_a_build_for_a_computer_is_refused() -> None:
    with pytest.raises(FlashError, match=r"BOARD=sim runs on a computer, not on a chip\.\nNext: name a board"):
        has_chip(Manifest("sim", "", "unix", "1.0.0", 6, "", {}))


def test_what_runs_is_replaced_when_its_manifest_is_another() -> None:
    there = {f"/slot_a/{path}": value for path, value in BUILD.files.items()} | {f"/slot_a/{NAME}": entry("9")}
    made = plan.make(BUILD, there, "slot_a", 4096)
    assert made.slot == "slot_b" and not made.sends and len(made.copies) == 2


@pytest.mark.parametrize(
    ("pieces", "good", "tests", "dead", "failures"),
    [
        ([b"1.0 I selftest: 7 of 9 go", b"od\r\nmore\r\n"], 7, 9, "", []),
        ([b"1.0 W selftest: can: no answer\r\n1.0 I selftest: 1 of 2 good\r\n"], 1, 2, "", ["can: no answer"]),
        ([b"/slot_b has failed; again in 30 s\r\n"], -1, -1, "/slot_b has failed; again in 30 s", []),
        ([b"There is no program on this board: ...\r\n"], -1, -1, "There is no program on this board: ...", []),
        ([b"\xff\xfe noise \r\n", b"no line end"], -1, -1, "", []),
    ],
)  # fmt: skip
def test_what_the_board_says(pieces: list[bytes], good: int, tests: int, dead: str, failures: list[str]) -> None:
    shown: list[str] = []
    seen = watch(iter(pieces), shown.append)
    assert (seen.good, seen.tests, seen.dead, seen.failures) == (good, tests, dead, failures)
    assert shown == seen.lines
