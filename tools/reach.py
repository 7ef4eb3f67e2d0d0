"""Which files a program can reach: what it cannot is not compiled for the device.

From its entry points, through every import statement and every text that names a module: `cold("a.b")`, or a text that
ends with a dot ("ocpp16.profiles.") completed by a word that stands alone as a text in firmware/ or a board. So a
feature profile that the firmware does not name is left out with its message and key tables.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

_NOT_DEVICE = ("manifest.py",)  # read by makemanifest on the computer
_COMPUTER = (  # left out of a board with a HAL of its own, although the program names them
    "firmware/arguments.py", "firmware/drivers/can/slcan.py", "firmware/drivers/can/slcan_open.py",
    "firmware/hal/unix.py", "firmware/hal/unix_system.py",
)  # fmt: skip
_ON_DEVICE = re.compile(r'^HAL = "(?!unix")', re.MULTILINE)  # in a board.py
ENTRIES = ("boot", "main", "board")  # modules that the device starts with, or looks for


def of_board(root: Path, board: str) -> list[Path]:
    """The .py files that may be on a board, relative to `root`, sorted: firmware/, lib/ and its own folder."""
    folders = (root / "firmware", root / "lib", root / "boards" / board)
    files = (path for folder in folders for path in folder.rglob("*.py") if path.name not in _NOT_DEVICE)
    about = root / "boards" / board / "board.py"
    is_device = about.is_file() and _ON_DEVICE.search(about.read_text(encoding="utf-8"))
    found = sorted(path.relative_to(root) for path in files)
    return [path for path in found if not is_device or path.as_posix() not in _COMPUTER]


def module_name(source: Path) -> str:
    """The dotted name a file is imported by. Tracebacks show it; unlike a path, the program has that name anyway."""
    parts = source.with_suffix("").parts[2 if source.parts[0] == "boards" else 1 :]
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def reachable(sources: Mapping[str, str], entries: tuple[str, ...], name_of: Callable[[str], str]) -> set[str]:
    """The paths among `sources` (path -> text) that can be reached from the modules `entries`.

    name_of: the dotted name a path is imported by. SyntaxError: a file cannot be read.
    """
    trees = {path: ast.parse(text) for path, text in sources.items()}
    paths: dict[str, list[str]] = {}
    for path in sources:
        paths.setdefault(name_of(path), []).append(path)
    words = {
        text
        for path, tree in trees.items()
        if path.split("/")[0] != "lib"
        for text in _texts(tree)
        if text.isidentifier()
    }
    found: set[str] = set()
    todo = [path for entry in entries for path in paths.get(entry, ())]
    while todo:
        path = todo.pop()
        if path in found:
            continue
        found.add(path)
        for name in _names(trees[path], name_of(path), path.endswith("/__init__.py")):
            ends = [name + word for word in words] if name.endswith(".") else [name]
            for end in ends:
                parts = end.split(".")
                for size in range(1, len(parts) + 1):
                    todo += paths.get(".".join(parts[:size]), ())
    return found


def _texts(tree: ast.Module) -> Iterator[str]:
    """Texts of the program; docstrings are none."""
    documents = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documents:
            yield node.value


def _names(tree: ast.Module, name: str, is_package: bool) -> Iterator[str]:
    """Dotted names of modules, or of things inside them, that a file mentions."""
    package = name.split(".") if is_package else name.split(".")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)
    yield from (text for text in _texts(tree) if "." in text or text.isidentifier())
