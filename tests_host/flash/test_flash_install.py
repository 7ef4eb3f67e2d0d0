"""`make flash` against the virtual board: whatever happens to it, a whole program starts."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pexpect
import pytest

from tests_host.conftest import ROOT
from tests_host.flash import toy
from tools import manifest
from tools.board.chip import Chip, Faults
from tools.board.virtual import VirtualBoard
from tools.build_mpy import build
from tools.flash import board as device
from tools.flash.errors import FlashError
from tools.flash.install import Report, install
from tools.flash.link import Link

BLOCKS = 64
MARKER = "/slot.txt"


@dataclass
class Bench:
    """old, new -- builds; image -- a flash with the old one, from which the charger starts"""

    folder: Path
    old: Path
    new: Path
    image: Path


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    folder = tmp_path_factory.mktemp("bench")
    found = Bench(folder, toy.make(folder, "1.0.0"), toy.make(folder, "2.0.0"), folder / "old.img")
    with VirtualBoard(folder / "first", Chip(blocks=BLOCKS)) as board:
        put(board, found.old)
        board.wait_for(b"4 good")
    shutil.copyfile(folder / "first" / "flash.img", found.image)
    return found


@pytest.fixture
def board(bench: Bench, tmp_path: Path) -> Iterator[VirtualBoard]:
    """A board with the old program, running."""
    (tmp_path / "b").mkdir()
    shutil.copyfile(bench.image, tmp_path / "b" / "flash.img")
    with VirtualBoard(tmp_path / "b", Chip(blocks=BLOCKS)) as found:
        found.wait_for(b"4 good")
        yield found


def put(board: VirtualBoard, out: Path) -> Report:
    """What the command does, without its words."""
    with Link(board.port) as link:
        link.interrupt()
        who = device.identify(link)
        about = manifest.read(out / manifest.NAME)
        device.judge(who, about)
        report = install(link, who, out, about, lambda *_: None)
        link.restart()
    return report


def started(board: VirtualBoard, since: int) -> str:
    """The version that starts next, once its self-test has spoken."""
    end = board.wait_for(b"4 good", start=since)
    found = re.search(rb"version (\d)\.0\.0 toy /(slot_.)/main", bytes(board.said[since:end]))
    assert found, bytes(board.said[since:end])
    return found[1].decode()


def restarted(board: VirtualBoard) -> str:
    since = len(board.said)
    board.power_cycle()
    return started(board, since)


def command(board: VirtualBoard, out: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """The real program with the real mpremote."""
    words = ["install", "--board", "toy", "--out", str(out), "--port", board.port, "--wait", "10", *more]
    return subprocess.run(
        [sys.executable, "-m", "tools.flash", *words], cwd=ROOT, capture_output=True, text=True, timeout=60
    )


def test_fresh_then_unchanged_then_one_file(bench: Bench, tmp_path: Path) -> None:
    with VirtualBoard(tmp_path / "b", Chip(blocks=BLOCKS)) as board:
        fresh = command(board, bench.old)
        assert fresh.returncode == 0, fresh.stdout
        assert "toy 1.0.0: 3 files sent, 0 copied on the board" in fresh.stdout
        assert "switched to /slot_a; every hash is right" in fresh.stdout
        assert "self-test: 3 of 4 good" in fresh.stdout and "door contact 1: open: close it" in fresh.stdout
        writes, board.writes = board.writes, 0
        again = command(board, bench.old)
        assert again.returncode == 0, again.stdout
        assert "0 files sent, the board has them all" in again.stdout and "starts from /slot_a" in again.stdout
        assert writes and board.writes == 0  # not a block was written
        changed = command(board, bench.new)
        assert changed.returncode == 0, changed.stdout
        assert "toy 2.0.0: 1 files sent, 2 copied on the board, 0 were there" in changed.stdout
        assert "switched to /slot_b" in changed.stdout and "version 2.0.0 toy /slot_b/main.mpy" in changed.stdout
        back = command(board, bench.old)
        assert "0 files sent, the board has them all" in back.stdout and "switched to /slot_a" in back.stdout


def test_the_pins_are_safe_before_a_slot_is_looked_for(bench: Bench, tmp_path: Path) -> None:
    with VirtualBoard(tmp_path / "b", Chip(blocks=BLOCKS)) as board:
        put(board, bench.old)
        board.wait_for(b"4 good")
        assert board.pins == list(toy.SAFE_PINS)


def test_power_cut_at_every_write(bench: Bench, board: VirtualBoard) -> None:
    """Also in the middle of a block. The old program starts, or once the marker is over the new one, whole."""
    versions = []
    k = 0
    while True:
        k += 1
        board.load(bench.image)
        board.power_cycle(Faults(at_write=k, what="power"))
        board.struck = 0
        try:
            put(board, bench.new)
        except FlashError as exc:
            assert "was lost" in str(exc) and "Next: check cable" in str(exc)
        if not board.struck:
            break
        versions.append(restarted(board))
        if k % 4 == 0 or versions[-1:] != versions[-2:-1]:  # and from there the same command leads to the new one
            since = len(board.said)
            put(board, bench.new)
            assert started(board, since) == "2"
    assert len(versions) > 20 and "".join(versions) == "".join(sorted(versions))
    assert versions[0] == "1" and started(board, 0)


def test_cable_pulled_at_every_kth_byte(bench: Bench, board: VirtualBoard) -> None:
    """In every block of a transfer, and between them. The board goes on with power and no cable, then is switched off
    and on: the old version starts, and with the cable back the same command completes."""
    versions = []
    at = 40
    while True:
        board.load(bench.image)
        board.power_cycle(Faults(at_byte=at))
        try:
            put(board, bench.new)
        except FlashError as exc:
            assert "Next: " in str(exc)
        if not board.lost:
            break
        versions.append(restarted(board))
        since = len(board.said)
        put(board, bench.new)
        assert started(board, since) == "2", at
        at += 113  # less than a block: the window of the raw paste mode is 128 bytes
    assert len(versions) > 15 and "".join(versions) == "".join(sorted(versions)) and versions[0] == "1"


def test_a_program_that_grows_beyond_the_flash_is_refused_before_a_write(
    bench: Bench, board: VirtualBoard, tmp_path: Path
) -> None:
    large = toy.make(tmp_path, "3.0.0", bulk=(BLOCKS - 12) * 4096)
    done = command(board, large)
    assert done.returncode == 1
    assert "too little for a second copy of the program. Nothing was changed." in done.stdout
    assert board.writes == 0 and restarted(board) == "1"


_FILL = """
n = 0
while True:
    n += 1
    try:
        with open("/left%d" % n, "wb") as f:
            f.write(bytes(4000))
    except OSError:
        break
"""


def test_a_flash_that_fills_up_meanwhile(bench: Bench, board: VirtualBoard) -> None:
    with Link(board.port) as link:
        link.interrupt()
        who = device.identify(link)
        link.run(_FILL)
        with pytest.raises(FlashError, match=r"full\. The program that ran before still starts\.\nNext: remove what"):
            install(link, who, bench.new, manifest.read(bench.new / manifest.NAME), lambda *_: None)
    assert restarted(board) == "1"


@pytest.mark.parametrize(
    ("chip", "words"),
    [
        (Chip("esp32s3", blocks=BLOCKS), "BOARD=toy needs the chip esp32, and this is: Generic ESP32S3 module"),
        (Chip("rp2040", blocks=BLOCKS), "BOARD=toy needs the chip esp32, and this is: Raspberry Pi Pico"),
        (Chip(version=(1, 24, 1), blocks=BLOCKS), "The board has MicroPython 1.24.1; 1.25 or later is needed."),
    ],
)
def test_a_board_that_is_not_fit_is_not_touched(chip: Chip, words: str, bench: Bench, tmp_path: Path) -> None:
    with VirtualBoard(tmp_path / "b", chip) as board:
        done = command(board, bench.old)
        assert done.returncode == 1 and words in done.stdout and "Next: " in done.stdout
        with Link(board.port) as link:
            link.interrupt()
            assert link.run("import os\nprint(os.listdir('/'))") == "['boot.py']\r\n"


def test_the_program_of_another_board_is_refused(bench: Bench, board: VirtualBoard) -> None:
    about = (bench.new / manifest.NAME).read_text()
    other = bench.folder / "other" / "build" / "rail"
    if not other.exists():
        shutil.copytree(bench.new, other)
        shutil.copytree(other / "boards" / "toy", other / "boards" / "rail")
        shutil.rmtree(other / "boards" / "toy")
        (other / manifest.NAME).write_text(about.replace('"toy"', '"rail"'))
    done = command(board, other, "--board", "rail")
    assert done.returncode == 1 and "This board runs the program for toy; with BOARD=rail its pins" in done.stdout
    assert restarted(board) == "1"
    assert command(board, other, "--board", "rail", "--other-board").returncode == 0


def test_a_port_that_is_none(bench: Bench, tmp_path: Path) -> None:
    nothing = tmp_path / "tty"
    words = ["install", "--board", "toy", "--out", str(bench.old), "--port", str(nothing)]
    done = subprocess.run([sys.executable, "-m", "tools.flash", *words], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1 and f"The port {nothing} cannot be opened" in done.stdout and "Next: " in done.stdout


@pytest.mark.parametrize(
    ("marker", "starts"),
    [
        (b"slot_a good\n", "1"),
        (b"slot_b good\n", "2"),
        (b"slot_b try 3\n", "2"),
        (b"slot_b try 0\n", "1"),
        (b"slot_c good\n", "1"),
        (b"slot_b goo", "1"),
        (b"slot_b good\nx", "1"),
        (b"slot_b try x\n", "1"),
        (b"", "1"),
        (b"\xff" * 64, "1"),
        (None, "1"),
    ],
)
def test_which_slot_starts(marker: bytes | None, starts: str, bench: Bench, board: VirtualBoard) -> None:
    put(board, bench.new)
    board.wait_for(b"version 2.0.0")
    with Link(board.port) as link:
        link.interrupt()
        if marker is None:
            link.run(f"import os\nos.remove({MARKER!r})")
        else:
            link.write(MARKER, marker)
    assert restarted(board) == starts


def test_a_new_slot_has_so_many_starts_and_then_the_old_one_comes_back(bench: Bench, board: VirtualBoard) -> None:
    """The way of an update over the air: boot.py counts down, the program confirms with "good"."""
    put(board, bench.new)
    board.wait_for(b"version 2.0.0")
    with Link(board.port) as link:
        link.interrupt()
        link.write(MARKER, b"slot_b try 2\n")
    assert [restarted(board) for _ in range(4)] == ["2", "2", "1", "1"]


def test_a_slot_without_a_manifest_does_not_start(bench: Bench, board: VirtualBoard) -> None:
    put(board, bench.new)
    board.wait_for(b"version 2.0.0")
    with Link(board.port) as link:
        link.interrupt()
        link.run("import os\nos.remove('/slot_b/manifest.json')")
    assert restarted(board) == "1"
    with Link(board.port) as link:
        link.interrupt()
        link.run("import os\nos.remove('/slot_a/manifest.json')")
    since = len(board.said)
    board.power_cycle()
    board.wait_for(b"There is no program on this board", start=since)
    board.wait_for(b">>> ", start=since)


def test_a_program_that_fails_is_said(bench: Bench, board: VirtualBoard, tmp_path: Path) -> None:
    bad = toy.make(tmp_path, "4.0.0")
    source = tmp_path / "4.0.0" / "lib" / "tongue.py"
    source.write_text("import nowhere\n")
    build(tmp_path / "4.0.0", "toy", bad)
    began = time.monotonic()
    done = command(board, bad)
    assert done.returncode == 1 and "ImportError: no module named 'nowhere'" in done.stdout
    assert "The program does not start: /slot_b has failed; again in 30 s, Ctrl-C: REPL" in done.stdout
    assert time.monotonic() - began < 10


def test_the_real_firmware_on_a_chip_that_is_played(tmp_path: Path) -> None:
    """The whole way: the build for the reference hardware, boot.py, the slot, the program up to its self-test."""
    out = tmp_path / "build" / "rivot_dcfc"
    build(ROOT, "rivot_dcfc", out)
    hardware = tmp_path / "hardware.py"
    levels = "\n_install = install\n\ndef install():\n    _install()\n    chip.levels.update({34: 1, 35: 1})\n"
    hardware.write_text((ROOT / "tests_host/unit/fake_esp32.py").read_text(encoding="utf-8") + levels)
    with VirtualBoard(tmp_path / "b", Chip(hardware=hardware)) as board:
        done = command(board, out, "--board", "rivot_dcfc", "--wait", "30")
        assert done.returncode == 0, done.stdout + done.stderr
        assert re.search(r"rivot_dcfc \d+\.\d+\.\d+: \d+ files sent", done.stdout)
        assert "W wifi: no network: wifi.ssid is not set" in done.stdout
        assert re.search(r"^self-test: \d+ of 13 good$", done.stdout, re.MULTILINE)
        assert "pm1: down: check the controller's supply and wiring" in done.stdout
        for fine in ("emergency stop", "door contact", "program start", "data storage"):
            assert not re.search(rf"W selftest: {fine}", done.stdout), fine
        again = command(board, out, "--board", "rivot_dcfc", "--wait", "0")
        assert again.returncode == 0 and "0 files sent, the board has them all" in again.stdout


def test_unit_tests_on_a_board(tmp_path: Path) -> None:
    """Those that fit; the others with the reason; the board is as it was."""
    with VirtualBoard(tmp_path / "b") as board:
        words = ["test", "--only", "ocpp_t", "--port", board.port]
        done = subprocess.run(
            [sys.executable, "-m", "tools.flash", *words], cwd=ROOT, capture_output=True, text=True, timeout=100
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert re.search(r"^test_ocpp_timestamp: ran \d+ failed 0$", done.stdout, re.MULTILINE)
        assert "1 files passed, 0 failed, 0 left out" in done.stdout
        words[2] = "esp32_charger"
        done = subprocess.run(
            [sys.executable, "-m", "tools.flash", *words], cwd=ROOT, capture_output=True, text=True, timeout=100
        )
        assert done.returncode == 1 and "test_esp32_charger: left out, needs 2 mB of RAM" in done.stdout
        with Link(board.port) as link:
            link.interrupt()
            assert link.run("import os\nprint(os.listdir('/'))") == "['boot.py']\r\n"


def test_logs_and_repl(board: VirtualBoard) -> None:
    """What make logs and make repl run. The first disturbs nothing."""
    starts = board.starts
    words = ["-m", "tools.flash", "logs", "--port", board.port]
    person = pexpect.spawn(sys.executable, words, cwd=str(ROOT), timeout=30, encoding="utf-8")
    person.expect_exact("Ctrl-C ends this, the board goes on")
    board.press_reset()
    person.expect_exact("version 1.0.0 toy")
    person.sendintr()
    person.expect(pexpect.EOF)
    assert board.starts == starts + 1
    words[2] = "repl"
    person = pexpect.spawn(sys.executable, words, cwd=str(ROOT), timeout=30, encoding="utf-8")
    person.expect_exact("Connected to MicroPython")
    person.send("\x03")
    person.expect_exact(">>> ")
    person.send("7*6\r")
    person.expect_exact("\r\n42\r\n")
    person.send("\x1d")
    person.expect(pexpect.EOF)
