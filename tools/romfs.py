"""A read-only file system with the build, for boards whose MicroPython has a partition for it.

`python -m tools.romfs --board NAME` writes build/NAME/NAME.romfs with mpremote; the board mounts it at /rom, where
bytecode runs without a copy in RAM. The same build gives the same bytes.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tools import manifest
from tools.build_mpy import ROOT, BuildError, build


def image(out: Path, target: Path) -> int:
    """Write the image of the build in `out`; return its bytes. ManifestError: no build there; BuildError: mpremote."""
    about = manifest.read(out / manifest.NAME)
    with tempfile.TemporaryDirectory() as name:
        room = Path(name)
        sources = manifest.on_device(path.relative_to(out) for path in out.rglob("*.mpy"))
        for path in about.files:
            (room / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(out / sources[path], room / path)
        shutil.copyfile(out / manifest.NAME, room / manifest.NAME)
        return pack(room, target)


def pack(room: Path, target: Path) -> int:
    """Write the image of all below `room`, as it is; return its bytes. BuildError: what mpremote says."""
    command = [sys.executable, "-m", "mpremote", "romfs", "--no-mpy", "-o", str(target), "build", str(room)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise BuildError((done.stderr or done.stdout).strip())
    return target.stat().st_size


def room_on(board: str, root: Path = ROOT) -> int | None:
    """Bytes of the partition `romfs` in the board's own table, or None without one."""
    table = root / "boards" / board / "partitions.csv"
    if table.is_file():
        for row in csv.reader(table.read_text(encoding="utf-8").splitlines(), skipinitialspace=True):
            if row and row[0].strip() == "romfs":
                return int(row[4].strip().removesuffix("K")) * 1024
    return None


def main() -> int:
    """Return the exit status."""
    parser = argparse.ArgumentParser(prog="make romfs", description="Pack the build into a ROMFS image.")
    parser.add_argument("--board", default="sim", help="a folder of boards/ (default sim)")
    options = parser.parse_args()
    out = ROOT / "build" / options.board
    target = out / f"{options.board}.romfs"
    try:
        build(ROOT, options.board, out)
        size = image(out, target)
    except (BuildError, manifest.ManifestError) as exc:
        print(exc, file=sys.stderr)
        return 1
    room = room_on(options.board)
    print(f"{target.relative_to(ROOT)}: {size:,} bytes" + (f" of {room:,} in the partition" if room else ""))
    if room is not None and size > room:
        print(f"It does not fit: give romfs more room in boards/{options.board}/partitions.csv.", file=sys.stderr)
        return 1
    print(f"Onto a board that has the partition: mpremote romfs deploy {target.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
