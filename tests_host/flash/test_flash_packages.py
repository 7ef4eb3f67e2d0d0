"""The libraries for other projects: mip brings all they need, and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests_host.conftest import ROOT
from tools.board.chip import Chip
from tools.board.virtual import VirtualBoard
from tools.flash.link import Link
from tools.packages import PACKAGES, files, old

_LOAD = """
import sys, gc
for name in %r:
    __import__(name)
    gc.collect()
print("loaded", len([m for m in sys.modules if m.startswith(%r)]) > 0)
"""


def test_the_lists_are_new() -> None:
    """`make packages` makes them so."""
    assert old() == []


@pytest.mark.parametrize("name", PACKAGES)
def test_every_file_is_there_once_and_none_of_the_charger(name: str) -> None:
    rows = json.loads((ROOT / "lib" / f"{name}.json").read_text())["urls"]
    assert len({target for target, _ in rows}) == len(rows)
    for target, source in rows:
        assert target == source and (ROOT / "lib" / source).is_file()
    own = {path.relative_to(ROOT / "lib").as_posix() for path in (ROOT / "lib" / name).rglob("*.py")}
    assert own <= {target for target, _ in rows}
    if name == "wsclient":
        assert not [target for target, _ in rows if target.startswith(("ocpp16", "journal", "supervisor"))]


def test_a_missing_file_is_seen(tmp_path: Path) -> None:
    (tmp_path / "lib" / "wsclient").mkdir(parents=True)
    (tmp_path / "lib" / "wsclient" / "__init__.py").write_text("import base\n")
    (tmp_path / "lib" / "base.py").write_text("")
    (tmp_path / "lib" / "other.py").write_text("")
    assert files("wsclient", tmp_path) == ["base.py", "wsclient/__init__.py"]
    assert old(tmp_path) == ["lib/ocpp16.json", "lib/wsclient.json"]


@pytest.mark.parametrize("name", PACKAGES)
def test_mpremote_installs_it_on_an_empty_board_where_all_of_it_loads(name: str, tmp_path: Path) -> None:
    with VirtualBoard(tmp_path / "b", Chip(heap="4m")) as board:
        words = ["mip", "install", "--no-mpy", "--target", "/lib", f"lib/{name}.json"]
        done = subprocess.run(
            [sys.executable, "-m", "mpremote", "connect", board.port, *words],
            cwd=ROOT, capture_output=True, text=True, timeout=100,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr + done.stdout
        modules = [path.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for path in files(name)]
        with Link(board.port) as link:
            link.interrupt()
            assert link.run(_LOAD % (modules, name), silence=60).strip() == "loaded True"
