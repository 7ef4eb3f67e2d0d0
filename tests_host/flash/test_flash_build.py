"""What a build says about itself, and its image: the manifest, the ROMFS, what a board's manifest.py freezes."""

from __future__ import annotations

import hashlib
import json
import runpy
import shutil
import subprocess
from pathlib import Path

import pytest

from tests_host.conftest import ROOT
from tools import manifest
from tools.build_mpy import build
from tools.manifest import Manifest, ManifestError, constants, parse
from tools.romfs import image, room_on

BOARDS = sorted(path.parent.name for path in (ROOT / "boards").glob("*/partitions.csv"))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("rivot_dcfc")
    build(ROOT, "rivot_dcfc", out)
    return out


def test_the_manifest_is_what_lies_there(built: Path) -> None:
    found = manifest.read(built / manifest.NAME)
    assert (found.board, found.chip, found.port) == ("rivot_dcfc", "esp32", "esp32")
    assert (found.mpy, found.arch, found.micropython) == (6, "", "1.25")
    assert found.version == constants(ROOT / manifest.VERSION_FILE)["VERSION"]
    assert {"main.mpy", "board.mpy", "hal/esp32.mpy", "lib/ocpp16/profiles/core.mpy"} <= set(found.files)
    assert "boot.mpy" not in found.files
    sources = manifest.on_device(path.relative_to(built) for path in built.rglob("*.mpy"))
    assert set(sources) == set(found.files)
    for path, (size, digest) in found.files.items():
        data = (built / sources[path]).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (size, digest)
    assert found.total == sum(len((built / path).read_bytes()) for path in sources.values())


def test_it_can_be_read_a_line_at_a_time(built: Path) -> None:
    """As a board does, which has no room for the whole of it."""
    text = (built / manifest.NAME).read_text()
    head, title, *rows, end = text.splitlines()
    about = json.loads(head.rstrip(",") + "}")
    files = {path: tuple(value) for row in rows for path, value in json.loads("{" + row.rstrip(",") + "}").items()}
    assert (title, end) == ('"files": {', "}}")
    assert Manifest(files=files, **about) == parse(text)
    assert max(len(row) for row in rows) < 160


def test_it_is_the_same_for_the_same_source(built: Path, tmp_path: Path) -> None:
    build(ROOT, "rivot_dcfc", tmp_path)
    assert (tmp_path / manifest.NAME).read_bytes() == (built / manifest.NAME).read_bytes()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"files": {}}', '{"files": {"a": 1}}', '{"files": {"a": [1, "b"]}}'])
def test_what_is_no_manifest_is_refused(text: str) -> None:
    with pytest.raises(ManifestError, match="not a manifest"):
        parse(text)


def test_no_build_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="run `make build BOARD="):
        manifest.read(tmp_path / manifest.NAME)


@pytest.mark.parametrize("board", BOARDS)
def test_manifest_py_is_for_makemanifest(board: str) -> None:
    """All that makemanifest offers is there; each file that is frozen exists, and nothing is frozen twice."""
    frozen: list[str] = []

    def freeze(folder: str, path: str, opt: int | None = None) -> None:
        assert (Path(folder) / path).is_file(), path
        frozen.append(path)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the firmware is frozen file by file")

    included: list[str] = []
    offered = {"include": included.append, "freeze": freeze, "module": refuse, "package": refuse, "require": refuse}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT / "boards" / board)
        runpy.run_path("manifest.py", offered)
    assert included == ["$(PORT_DIR)/boards/manifest.py"]
    assert len(frozen) == len(set(frozen)) > 50
    assert {"boot.py", "main.py", "board.py", "charger/app.py"} <= set(frozen)


def test_the_romfs_holds_the_build_and_fits(built: Path, tmp_path: Path) -> None:
    sizes = [image(built, tmp_path / name) for name in ("one.romfs", "two.romfs")]
    data = (tmp_path / "one.romfs").read_bytes()
    assert data == (tmp_path / "two.romfs").read_bytes() and sizes == [len(data)] * 2
    room = room_on("rivot_dcfc")
    assert room is not None and manifest.read(built / manifest.NAME).total < len(data) < room
    assert room_on("sim") is None


_MOUNT = """
import sys, vfs
with open(sys.argv[1], "rb") as f:
    image = f.read()
vfs.mount(vfs.VfsRom(memoryview(image)), "/rom")
sys.path[:] = ["/rom", "/rom/lib", ".frozen"]
import os, json, board, transfer
print(board.__file__, transfer.__file__)
with open("/rom/manifest.json") as f:
    files = json.load(f)["files"]
print(sum([os.stat("/rom/" + path)[6] for path in files]))
print(os.statvfs("/rom")[0] > 0)
try:
    open("/rom/main.mpy", "wb")
except OSError as exc:
    print("read-only", exc.errno)
"""


def test_micropython_mounts_the_romfs_and_imports_from_it(built: Path, tmp_path: Path, micropython: Path) -> None:
    image(built, tmp_path / "x.romfs")
    (tmp_path / "mount.py").write_text(_MOUNT)
    command = [str(micropython), "-X", "heapsize=2m", str(tmp_path / "mount.py"), str(tmp_path / "x.romfs")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "/rom/board.mpy /rom/lib/transfer/__init__.mpy",
        str(manifest.read(built / manifest.NAME).total),
        "True",
        "read-only 30",
    ]


def test_make_romfs(tmp_path: Path) -> None:
    """The target that a person types, for the smallest board."""
    assert shutil.which("make")
    done = subprocess.run(["make", "romfs", "BOARD=sim"], cwd=ROOT, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stderr
    assert "build/sim/sim.romfs:" in done.stdout and (ROOT / "build/sim/sim.romfs").is_file()
