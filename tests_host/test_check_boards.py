"""The check of the boards: it finds what it is for, and the boards of this repository pass it and can be frozen."""

from __future__ import annotations

import runpy
import shutil
from pathlib import Path

import pytest

from tests_host.conftest import ROOT
from tools.build_mpy import build
from tools.check_boards import check, partitions
from tools.frozen import files

DEVICES = ("rivot_dcfc", "esp32_devkitc_mcp2515", "esp32_s3")
LARGEST = 240_000  # bytes of .mpy: with its folders it fits the 256 KiB of a ROMFS partition


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "boards", tmp_path / "boards")
    (tmp_path / "firmware/hal").mkdir(parents=True)
    shutil.copy(ROOT / "firmware/hal/presets.py", tmp_path / "firmware/hal")
    return tmp_path


def test_our_boards_pass() -> None:
    assert check(ROOT) == ([], len(DEVICES))


@pytest.mark.parametrize(
    ("board", "old", "new", "words"),
    [
        ("rivot_dcfc", '("lock", 13,', '("lock", 27,', "GPIO 27 is used 2 times"),
        ("rivot_dcfc", '("lock", 13,', '("contactor", 13,', "name contactor is used 2 times"),
        ("rivot_dcfc", '("lock", 13,', '("lock", 6,', "belongs to the flash"),
        ("rivot_dcfc", '("lock", 13,', '("lock", 3,', "belongs to the console"),
        ("rivot_dcfc", '("lock", 13,', '("lock", 24,', "has no such pin"),
        ("rivot_dcfc", '("lock", 13,', '("lock", 37,', "an output on a pin that can only read"),
        ("rivot_dcfc", '("lock", 13,', '("lock", 12,', "high at reset sets the flash to 1.8 V"),
        ("rivot_dcfc", '("lock", 13, OUT, 0, "")', '("lock", 13, OUT, 0, "why not")', "is no strapping pin"),
        ("rivot_dcfc", '("lock", 13, OUT, 0', '("lock", 13, OUT, 1', "lock: must rest low"),
        ("rivot_dcfc", '("lock", 13, OUT, 0', '("lock", 13, OUT, None', "level None of out"),
        ("rivot_dcfc", '("bms_cs", 5, OUT, 1', '("bms_cs", 5, OUT, 0', "a chip select rests high"),
        ("rivot_dcfc", '("temperature", 39, ADC', '("temperature", 14, ADC', "only ADC 1 works"),
        ("rivot_dcfc", '("estop", 34, IN', '("halt", 34, IN', "there is no estop"),
        ("rivot_dcfc", "direction in (OUT, BUS_OUT)", "direction == OUT", "SAFE_PINS are not the outputs"),
        ("rivot_dcfc", "SPI = {2:", "SPI = {3:", "there is no SPI 2"),
        ("rivot_dcfc", "10_000_000", "20_000_000", "at most 10 MHz"),
        ("rivot_dcfc", '"spi_mosi", "spi_miso")', '"spi_miso", "spi_mosi")', "spi_miso is no bus_out"),
        ("rivot_dcfc", '("led_fault", "fault")', '("led_fault", "faulty")', "nobody tells faulty"),
        ("rivot_dcfc", '("led_fault", "fault")', '("estop", "fault")', "light estop is no output"),
        ("rivot_dcfc", '"bms_cs", "bms_int"', '"module_cs", "bms_int"', "two devices with one chip select"),
        ("rivot_dcfc", '"bms_cs", "bms_int"', '"bms_cs", "bms_irq"', "bms_irq is no input"),
        ("rivot_dcfc", 'CHIP = "esp32"', 'CHIP = "esp8266"', "no table of the pins"),
        ("rivot_dcfc", 'NAME = "rivot_dcfc"', 'NAME = "rivot"', "calls itself rivot"),
        ("esp32_devkitc_mcp2515", '("uart_rx", 25,', '("uart_rx", 16,', "belongs to the PSRAM"),
        ("esp32_devkitc_mcp2515", '("mfrc522", 1,', '("mfrc522", 2,', "which use it in interrupts"),
        ("esp32_s3", '("lock", 5,', '("lock", 20,', "belongs to the USB"),
        ("esp32_s3", '("lock", 5,', '("lock", 35,', "belongs to the PSRAM"),
        ("esp32_s3", '("lock", 5,', '("lock", 45,', "voltage of the flash"),
    ],
)
def test_mistakes_are_found(tree: Path, board: str, old: str, new: str, words: str) -> None:
    path = tree / "boards" / board / "board.py"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    found, _ = check(tree)
    assert any(words in line for line in found), found


def test_a_wiring_table_that_differs_is_found(tree: Path) -> None:
    path = tree / "boards/rivot_dcfc/README.md"
    path.write_text(path.read_text().replace("| 27 | contactor", "| 12 | contactor"))
    assert check(tree)[0] == [
        "boards/rivot_dcfc: GPIO 12 is only in README.md",
        "boards/rivot_dcfc: GPIO 27 is only in board.py",
    ]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("0x350000, 704K", "0x350000, 708K", "partitions end at 0x401000, the flash at 0x400000"),
        ("0x190000, 1536K", "0x180000, 1536K", "partition ota_1 begins at 0x180000, inside"),
        ("0x190000, 1536K", "0x191000, 1536K", "is not aligned to 0x10000"),
        ("0x190000, 1536K", "0x190000, 1472K", "the two slots of the program differ in size"),
        ("otadata,  data, ota,", "other,    data, 0x40,", "ota_0 needs ota_1 and otadata"),
        ("romfs,    data, 0x8f,", "rom,      data, 0x8f,", "there is no partition romfs"),
    ],
)
def test_partition_tables(old: str, new: str, words: str) -> None:
    text = (ROOT / "boards/rivot_dcfc/partitions.csv").read_text()
    assert not list(partitions(text, 4 << 20)) and old in text
    assert any(words in line for line in partitions(text.replace(old, new), 4 << 20))


@pytest.mark.parametrize("board", DEVICES)
def test_a_build_has_all_that_the_board_names(board: str) -> None:
    """Also frozen: what makemanifest would call, with the files that exist."""
    sizes = build(ROOT, board, ROOT / "build" / board)
    assert sum(sizes.values()) <= LARGEST
    for path in ("firmware/boot.mpy", "firmware/main.mpy", f"boards/{board}/board.mpy"):
        assert Path(path) in sizes
    assert not [path for path in sizes if "unix" in path.name]
    included: list[str] = []
    frozen: list[str] = []

    def freeze(folder: str, path: str) -> None:
        assert (Path(folder) / path).is_file()
        frozen.append(path)

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT / "boards" / board)
        runpy.run_path("manifest.py", {"include": included.append, "freeze": freeze})
    assert included == ["$(PORT_DIR)/boards/manifest.py"]
    needed = "boot main board device charger.build_device drivers.can.mcp2515 hal.esp32 hal.esp32_system hal.esp32_wifi"
    assert {name.replace(".", "/") + ".py" for name in needed.split()} <= set(frozen)
    assert ("drivers/reader/mfrc522.py" in frozen) == (board != "rivot_dcfc")
    assert "hal/unix.py" not in frozen


def test_the_simulated_site_carries_nothing_of_a_device() -> None:
    modules = [path for _, path in files("sim")]
    assert not [path for path in modules if "esp32" in path or "mcp2515" in path or "mfrc522" in path]
