"""What a board's manifest.py freezes: the same files that `make build` compiles, from their sources.

Frozen code runs from flash, so names and line numbers cost no RAM and stay. Standard library only: makemanifest runs in
the Python of the ESP-IDF.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tools.reach import ENTRIES, module_name, of_board, reachable

ROOT = Path(__file__).resolve().parent.parent


def files(board: str, root: Path = ROOT) -> list[tuple[Path, str]]:
    """(folder, path below it) of every file, sorted: the path is what the device imports it by."""
    folders = (root / "firmware", root / "lib", root / "boards" / board)
    texts = {path.as_posix(): (root / path).read_text(encoding="utf-8") for path in of_board(root, board)}
    found = reachable(texts, ENTRIES, lambda path: module_name(Path(path)))
    return sorted(
        (folder, (root / path).relative_to(folder).as_posix())
        for path in found
        for folder in folders
        if (root / path).is_relative_to(folder)
    )


def freeze_board(board: str, include: Callable[..., object], freeze: Callable[..., object]) -> None:
    """Call makemanifest's `include` and `freeze` for the port's own modules and for this board."""
    include("$(PORT_DIR)/boards/manifest.py")
    for folder, path in files(board):
        freeze(str(folder), path)
