"""What a build puts on a board: manifest.json in the build's folder, one line per file.

    {"arch": "", "board": "x", "chip": "esp32", "micropython": "1.25", "mpy": 6, "port": "esp32", "version": "0.1",
    "files": {
    "arguments.mpy": [1702, "<sha256, 64 hex digits>"],
    ...
    }}

It is JSON, and the line breaks are part of the format: a board reads it a line at a time and never holds it whole. The
paths are those on the device, below the folder of its slot. arch -- "" for bytecode that every chip runs, otherwise the
architecture of the native code; mpy -- version of the .mpy format (MicroPython documentation, ".mpy files").
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

NAME = "manifest.json"
OLDEST = (1, 25)  # the oldest MicroPython that the firmware runs on
VERSION_FILE = Path("firmware/charger/version.py")
# boot.py and main.py lie outside the slots, as sources: MicroPython starts nothing else.
_OUTSIDE = frozenset({Path("firmware/boot.mpy")})
_ARCHS = tuple(" x86 x64 armv6 armv6m armv7m armv7em armv7emsp armv7emdp xtensa xtensawin rv32imc".split(" "))


class ManifestError(Exception):
    """There is no manifest, or not one of ours; the text is for the user."""


@dataclass(frozen=True)
class Manifest:
    """files -- path on the device -> (bytes, sha256 in hex)"""

    board: str
    chip: str
    port: str
    version: str
    mpy: int
    arch: str
    files: dict[str, tuple[int, str]]
    micropython: str = ".".join(map(str, OLDEST))

    def text(self) -> str:
        head = {key: value for key, value in vars(self).items() if key != "files"}
        rows = (f"{json.dumps(path)}: {json.dumps(self.files[path])}" for path in sorted(self.files))
        return json.dumps(head, sort_keys=True)[:-1] + ',\n"files": {\n' + ",\n".join(rows) + "\n}}\n"

    @property
    def total(self) -> int:
        """Bytes of all files."""
        return sum(size for size, _ in self.files.values())


def device_path(built: Path) -> str:
    """Where a file of the build lies in its slot: firmware/x and boards/B/x at the top, lib/x in lib."""
    skip = {"firmware": 1, "boards": 2}.get(built.parts[0], 0)
    return "/".join(built.parts[skip:])


def on_device(built: Iterable[Path]) -> dict[str, Path]:
    """{path in the slot: path in the build} of those that belong into a slot."""
    return {device_path(path): path for path in sorted(built) if path not in _OUTSIDE}


def make(root: Path, board: str, out: Path, built: Iterable[Path]) -> Manifest:
    """The manifest of the files `built` (relative to `out`), made from the sources below `root`."""
    files: dict[str, tuple[int, str]] = {}
    mpy, arch = 0, ""
    for path, source in on_device(built).items():
        data = (out / source).read_bytes()
        files[path] = (len(data), hashlib.sha256(data).hexdigest())
        mpy, arch = data[1], arch or _ARCHS[data[2] >> 2 & 0xF]
    about = constants(root / "boards" / board / "board.py")
    return Manifest(
        board=board,
        chip=about.get("CHIP", ""),
        port=about.get("HAL", ""),
        version=constants(root / VERSION_FILE).get("VERSION", ""),
        mpy=mpy,
        arch=arch,
        files=files,
    )


def read(path: Path) -> Manifest:
    """ManifestError: see there."""
    try:
        return parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ManifestError(f"{path} is missing: run `make build BOARD={path.parent.name}`") from None


def parse(text: str) -> Manifest:
    """ManifestError: see there."""
    try:
        raw = json.loads(text)
        files = {str(path): (int(size), str(digest)) for path, (size, digest) in raw.pop("files").items()}
        return Manifest(files=files, **raw)
    except (ValueError, TypeError, KeyError, AttributeError) as exc:
        raise ManifestError(f"not a manifest: {exc}") from None


def constants(path: Path) -> dict[str, str]:
    """The texts that a module's top level gives names to; {} where there is no such file."""
    if not path.is_file():
        return {}
    return {
        target.id: node.value.value
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
