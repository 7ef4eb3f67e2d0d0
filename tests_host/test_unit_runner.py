"""The runner that judges all unit tests is tested itself: it must see every way in which a test can fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests_host.test_unit import run_file, with_source

GOOD = """
import asyncio
order = []
def setup(): order.append("setup")
async def teardown(): order.append("teardown")
async def test_b():
    await asyncio.sleep_ms(1)
    assert order == ["setup", "teardown", "setup"], order
def test_a(): assert order == ["setup"], order
def helper(): raise RuntimeError
"""


@pytest.mark.parametrize("bits", [64, 32])
def test_good_file(tmp_path: Path, bits: int) -> None:
    path = tmp_path / "test_good.py"
    path.write_text(GOOD)
    assert run_file(path, bits) == (0, "ok test_a\nok test_b\nran 2 failed 0\n")
    assert run_file(path, bits, "--only", "test_a") == (0, "ok test_a\nran 1 failed 0\n")
    assert run_file(path, bits, "--only", "test_c") == (1, "ran 0 failed 0\n")


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        ("def test_x(): assert 1 == 2", "AssertionError"),
        ("async def test_x(): assert 1 == 2", "AssertionError"),
        ("def test_x():\n    import sys\n    sys.exit(0)", "SystemExit"),
        (
            "import asyncio\nasync def die(): raise ValueError('lost')\n"
            "async def test_x():\n    asyncio.create_task(die())\n    await asyncio.sleep_ms(20)",
            "ValueError: lost",
        ),
        ("def test_x(): bytearray(2_000_000)", "MemoryError"),
    ],
)
def test_failure_is_seen(tmp_path: Path, body: str, shown: str) -> None:
    path = tmp_path / "test_bad.py"
    path.write_text(body + "\n\ndef test_y(): pass\n")
    status, output = run_file(path, 64)
    assert status == 1
    assert "FAIL test_x\nok test_y\nran 2 failed 1\n" in output
    assert shown in output


@pytest.mark.parametrize("around", ["setup", "teardown"])
def test_failing_setup_and_teardown_fail_each_test(tmp_path: Path, around: str) -> None:
    path = tmp_path / "test_bad.py"
    path.write_text(f"def {around}(): 1 // 0\ndef test_x(): pass\ndef test_y(): pass\n")
    status, output = run_file(path, 64)
    assert status == 1
    assert output.count("ZeroDivisionError") == 2
    assert output.endswith("FAIL test_y\nran 2 failed 2\n")


def test_file_without_tests_fails(tmp_path: Path) -> None:
    path = tmp_path / "test_empty.py"
    path.write_text("def helper(): pass\n")
    assert run_file(path, 64) == (1, "ran 0 failed 0\n")


def test_broken_import_fails(tmp_path: Path) -> None:
    path = tmp_path / "test_broken.py"
    path.write_text("import no_such_module\n")
    status, output = run_file(path, 64)
    assert status == 1
    assert "ImportError" in output and "ran" not in output


def test_hanging_file_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "test_hang.py"
    path.write_text("# timeout: 1\ndef test_x():\n    while True: pass\n")
    status, output = run_file(path, 64)
    assert status == -9
    assert "still running after 1 s" in output


def test_heap_size_of_the_file_is_used(tmp_path: Path) -> None:
    path = tmp_path / "test_heap.py"
    path.write_text("# heapsize: 4m\ndef test_x(): bytearray(2_000_000)\n")
    assert run_file(path, 64)[0] == 0


def test_source_line_is_added(tmp_path: Path) -> None:
    path = tmp_path / "test_bad.py"
    path.write_text("def test_x():\n    assert 6 * 7 == 54  # how many?\n")
    assert "assert 6 * 7 == 54  # how many?" in with_source(run_file(path, 64)[1])
