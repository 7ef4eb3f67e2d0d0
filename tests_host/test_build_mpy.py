"""The .mpy build: same bytes for the same source, only what changed, and bytecode that both ports load."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests_host.conftest import interpreter
from tools.build_mpy import BuildError, build, package_of
from tools.reach import module_name

WIDE = 0x7FFF_FFFF  # does not fit the 31-bit small ints of the device


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small repository with two boards."""
    files = {
        "firmware/main.py": "import fixed, drivers.can\nfrom boards.sim import board\n"
        "print(fixed.WIDE, drivers.can.NAME, board.NAME)\n",
        "firmware/drivers/can/__init__.py": "NAME = 'can'\n",
        "firmware/drivers/__init__.py": "",
        "lib/fixed.py": f"WIDE = {WIDE}\ndef fail():\n    return 1 // 0\n",
        "boards/sim/board.py": "NAME = 'sim'\n",
        "boards/sim/manifest.py": "freeze('.')\n",
        "boards/other/board.py": "NAME = 'other'\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def snapshot(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*.mpy"))}


def test_layout(tree: Path) -> None:
    sizes = build(tree, "sim", tree / "out")
    assert sorted(p.as_posix() for p in sizes) == [
        "boards/sim/board.mpy",
        "firmware/drivers/__init__.mpy",
        "firmware/drivers/can/__init__.mpy",
        "firmware/main.mpy",
        "lib/fixed.mpy",
    ]
    assert all((tree / "out" / path).stat().st_size == size for path, size in sizes.items())


def test_a_board_with_a_hal_of_its_own_has_nothing_that_is_for_computers(tree: Path) -> None:
    (tree / "firmware/main.py").write_text("import arguments, fixed\n")
    (tree / "firmware/arguments.py").write_text("USAGE = 'on a computer'\n")
    for hal, there in (("unix", True), ("esp32", False)):
        (tree / "boards/other/board.py").write_text(f'HAL = "{hal}"\n')
        assert (Path("firmware/arguments.mpy") in build(tree, "other", tree / hal)) == there
    assert all(Path("firmware/main.mpy") in build(tree, "other", tree / hal) for hal in ("unix", "esp32"))


def test_same_source_same_bytes_anywhere(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    build(tree, "sim", tree / "out")
    build(tree, "sim", elsewhere / "out")
    assert snapshot(tree / "out") == snapshot(elsewhere / "out")
    assert b"fixed\x00" in (elsewhere / "out/lib/fixed.mpy").read_bytes()
    assert b"drivers.can\x00" in (elsewhere / "out/firmware/drivers/can/__init__.mpy").read_bytes()
    assert str(tree).encode() not in b"".join(snapshot(elsewhere / "out").values())


def test_only_changes_are_compiled(tree: Path) -> None:
    out = tree / "out"
    build(tree, "sim", out)
    os.utime(out / "lib/fixed.mpy", (1, 1))
    os.utime(out / "boards/sim/board.mpy", (1, 1))
    (tree / "boards/sim/board.py").write_text("NAME = 'changed'\n")
    (tree / "firmware/drivers/__init__.py").unlink()
    build(tree, "sim", out)
    assert (out / "lib/fixed.mpy").stat().st_mtime == 1
    assert (out / "boards/sim/board.mpy").stat().st_mtime > 1
    assert not (out / "firmware/drivers/__init__.mpy").exists()


@pytest.mark.parametrize("bits", [64, 32])
def test_both_ports_load_it(tree: Path, bits: int) -> None:
    out = tree / "out"
    build(tree, "sim", out)
    environment = {**os.environ, "MICROPYPATH": f"{out}/firmware:{out}/lib:{out}:.frozen"}
    done = subprocess.run(
        [str(interpreter(bits)), "-X", "heapsize=112k", "-m", "main"],
        env=environment,
        cwd=out,
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{WIDE} can sim\n", "")


def test_tracebacks_name_the_module() -> None:
    names = {
        "firmware/main.py": "main",
        "firmware/charger/outlet.py": "charger.outlet",
        "lib/ocpp16/__init__.py": "ocpp16",
        "boards/sim/board.py": "board",
    }
    for path, name in names.items():
        assert module_name(Path(path)) == name


def test_errors_name_file_and_line_and_keep_what_is_there(tree: Path) -> None:
    build(tree, "sim", tree / "out")
    before = snapshot(tree / "out")
    (tree / "lib/fixed.py").write_text("\ndef (\n")
    with pytest.raises(BuildError, match=r'File "lib/fixed\.py", line 2'):
        build(tree, "sim", tree / "out")
    assert snapshot(tree / "out") == before
    (tree / "lib/fixed.py").write_text("WIDE = 1\n")
    assert Path("lib/fixed.mpy") in build(tree, "sim", tree / "out")


def test_unknown_board_is_refused_with_the_choice(tree: Path) -> None:
    with pytest.raises(BuildError, match="choose one of other, sim"):
        build(tree, "nothing", tree / "out")


def test_missing_folders_are_no_error(tmp_path: Path) -> None:
    assert build(tmp_path, "sim", tmp_path / "out") == {}


def test_package_of() -> None:
    assert package_of(Path("firmware/drivers/can/slcan.mpy")) == "firmware/drivers"
    assert package_of(Path("lib/fixed.mpy")) == "lib"
