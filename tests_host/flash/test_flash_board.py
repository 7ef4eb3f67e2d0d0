"""The virtual board behaves as a board, for the real mpremote and for a person at a terminal."""

from __future__ import annotations

import hashlib
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from tests_host.conftest import ROOT
from tools.board.repl import WINDOW, Repl, Run, SoftReset
from tools.board.virtual import VirtualBoard
from tools.flash.errors import FlashError
from tools.flash.link import CHUNK, Link


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VirtualBoard]:
    with VirtualBoard(tmp_path_factory.mktemp("board")) as found:
        yield found


def mpremote(board: VirtualBoard, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "mpremote", "connect", board.port, *words], capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def test_mpremote_copies_lists_hashes_and_runs(board: VirtualBoard, tmp_path: Path) -> None:
    data = bytes(range(256)) * 40
    (tmp_path / "all.bin").write_bytes(data)
    (tmp_path / "tree" / "sub").mkdir(parents=True)
    (tmp_path / "tree" / "sub" / "m.py").write_text("NAME = 'été'\n")
    out = mpremote(
        board, "fs", "cp", str(tmp_path / "all.bin"), ":x.bin", "+", "cp", "-r", str(tmp_path / "tree"), ":", "+",
        "sha256sum", ":x.bin", "+", "ls", "+", "cp", ":x.bin", str(tmp_path / "back.bin"), "+",
        "exec", "from tree.sub.m import NAME; print(NAME)", "+", "eval", "__import__('os').statvfs('/')[0]", "+",
        "mkdir", ":empty", "+", "rmdir", ":empty", "+", "rm", ":x.bin", "+", "ls",
    )  # fmt: skip
    assert hashlib.sha256(data).hexdigest() in out
    assert (tmp_path / "back.bin").read_bytes() == data
    assert "10240 x.bin" in out and "tree/" in out and "été" in out and "\n4096\n" in out
    assert "x.bin" not in out.rpartition("ls :")[2]


def test_what_goes_wrong_comes_back(board: VirtualBoard) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mpremote", "connect", board.port, "exec", "1/0"], capture_output=True, text=True
    )
    assert done.returncode == 1 and "ZeroDivisionError" in done.stdout + done.stderr
    done = subprocess.run(
        [sys.executable, "-m", "mpremote", "connect", board.port, "cat", ":nothing"], capture_output=True, text=True
    )
    assert done.returncode == 1 and "No such file" in done.stderr


def test_boot_and_main_run_in_their_order_and_as_the_repl_asks(board: VirtualBoard) -> None:
    with Link(board.port) as link:
        link.interrupt()
        link.write("/boot.py", b"print('boot', __file__)\nx = 1\n")
        link.write("/main.py", b"import sys\nprint('main', x, __name__, sys.path)\nwhile True: pass\n")
        since = len(board.said)
        link.interrupt()  # the raw REPL starts boot.py only
        assert b"boot boot.py\r\n" in bytes(board.said[since:]) and b"main" not in bytes(board.said[since:])
        since = len(board.said)
        link.restart()
        board.wait_for(b"boot boot.py\r\nmain 1 __main__ ['', '.frozen', '/lib']\r\n", start=since)
        since = len(board.said)
        link.interrupt()
        assert b"KeyboardInterrupt" in bytes(board.said[since:])
        link.run("import os\nfor n in ('boot.py', 'main.py'): os.remove(n)")


def test_a_person_at_the_prompt(board: VirtualBoard) -> None:
    person = pexpect.spawn(sys.executable, ["-m", "mpremote", "connect", board.port], timeout=10, encoding="utf-8")
    try:
        person.send("\r")
        person.expect_exact("\r\n>>> ")
        person.send("6*78\x087\r")
        person.expect_exact("\r\n462\r\n>>> ")
        person.send("nothing\r")
        person.expect_exact("NameError")
        person.send("while True: pass\r")
        person.send("\x03")
        person.expect_exact("KeyboardInterrupt")
        person.expect_exact(">>> ")
        person.send("import sys; print('<' + sys.stdin.readline().strip() + '>')\r")
        person.send("word\n'left' + ' over'\r")  # what the program does not read is for the prompt
        person.expect_exact("<word>")
        person.expect_exact("left over")
        person.send("\x04")
        person.expect_exact("MPY: soft reboot")
        person.expect_exact("Generic ESP32 module with ESP32")
        person.send("__import__('machine').reset()\r")
        person.expect_exact("rst:0xc")
        person.expect_exact(">>> ")
    finally:
        person.close(force=True)


def test_nvs_and_rtc_survive_what_they_should(board: VirtualBoard) -> None:
    def ask() -> str:
        with Link(board.port) as link:
            link.interrupt()
            return link.run(
                "import machine, esp32\nn = esp32.NVS('x')\nb = bytearray(9)\n"
                "print(machine.RTC().memory(), machine.reset_cause(), n.get_blob('k', b), bytes(b[:3]), n.get_i32('i'))"
            )

    with Link(board.port) as link:
        link.interrupt()
        link.run("import machine, esp32\nn = esp32.NVS('x')\nn.set_blob('k', b'abc')\nn.set_i32('i', -5)\nn.commit()\n"
                 "n.set_i32('i', 9)\nmachine.RTC().memory(b'kept')")  # fmt: skip
    assert ask() == "b'kept' 5 3 b'abc' -5\r\n"
    board.power_cycle()
    assert ask() == "b'' 5 3 b'abc' -5\r\n"


def test_a_line_that_is_cut_ends_in_a_sentence(board: VirtualBoard) -> None:
    with Link(board.port) as link:
        link.interrupt()
        board.power_cycle()
        with pytest.raises(FlashError, match=r"The connection to /dev/\S+ was lost .*\nNext: check cable and supply"):
            link.run("print(1)")


def test_files_of_every_size_arrive(board: VirtualBoard) -> None:
    with Link(board.port) as link:
        link.interrupt()
        for size in (0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 7):
            data = bytes(97 + n * 7 % 26 for n in range(size))
            link.write("/f", data)
            assert link.run("with open('/f','rb') as f: d=f.read()\nprint(len(d), d)") == f"{size} {data!r}\r\n"


# -- the protocol alone


def feed(repl: Repl, data: bytes) -> list[Run | SoftReset]:
    return [action for c in data if (action := repl.byte(c)) is not None]


def raw() -> Repl:
    repl = Repl(b"banner\r\n")
    assert feed(repl, b"\r\x01") == []
    assert repl.take() == b"\r\n>>> \r\nraw REPL; CTRL-B to exit\r\n>"
    return repl


def test_raw_repl() -> None:
    repl = raw()
    assert feed(repl, b"lost\x03print(1)\x04") == [Run(b"print(1)")]
    assert repl.take() == b"OK"
    repl.ran(b"Trace", single=False)
    assert repl.take() == b"\x04Trace\x04>"
    assert feed(repl, b"\x04") == [SoftReset()]
    assert repl.take() == b"OK\r\n"
    assert feed(repl, b"\x02") == [] and repl.take() == b"\r\nbanner\r\n>>> "


def test_raw_paste_keeps_its_window() -> None:
    repl = raw()
    feed(repl, b"\x05A\x01")
    assert repl.take() == b"R\x01" + bytes([WINDOW, 0]) + b"\x01"
    feed(repl, b"#" * (WINDOW - 1))
    assert repl.take() == b""
    feed(repl, b"#")
    assert repl.take() == b"\x01"
    assert feed(repl, b"\x04") == [Run(b"#" * WINDOW)] and repl.take() == b"\x04" and not repl.overruns
    feed(repl, b"\x05B\x01")
    assert repl.take() == b"R\x00>"


def test_raw_paste_can_be_given_up() -> None:
    repl = raw()
    feed(repl, b"\x05A\x01half a li\x03")
    assert repl.take().endswith(b"\x04\x04KeyboardInterrupt: \r\n\x04>")
    assert feed(repl, b"1\x04") == [Run(b"1")]


def test_the_program_itself(tmp_path: Path) -> None:
    """As a person starts it."""
    words = ["--link", str(tmp_path / "tty"), "--chip", "esp32s3"]
    command = [sys.executable, "-m", "tools.board", str(tmp_path / "b"), *words]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True) as program:
        try:
            assert program.stdout and program.stdin
            assert select.select([program.stdout], [], [], 20)[0]
            assert program.stdout.readline().startswith("port /dev/")
            with Link(str(tmp_path / "tty")) as link:
                link.interrupt()
                assert "ESP32S3" in link.run("import sys\nprint(sys.implementation._machine)")
            program.stdin.write("\n")
            program.stdin.flush()
            assert program.stdout.readline().startswith("port /dev/")
        finally:
            program.terminate()
        assert program.wait(10) == 0
    assert not (tmp_path / "tty").exists()
