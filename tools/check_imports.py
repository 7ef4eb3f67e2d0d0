"""Prove the import directions of the device code, from its syntax trees.

    python -m tools.check_imports [ROOT]

Rooms and what they may import (beside the modules of stock MicroPython in STOCK):

    lib               lib
    firmware/drivers  drivers, lib
    firmware/hal      hal, lib, and the modules of the hardware and of the unix port
    firmware/charger  charger, drivers, lib
    firmware/*.py     everything of the device: main picks the board
    boards            drivers, hal, lib, and the modules of the hardware
    tools/sim, tools/csms, tools/demo   nothing of the device: they are the witnesses against it

An import is judged wherever it stands, also inside a function; only `if TYPE_CHECKING:` is left out. LAZY names
packages that stay loadable without each other: there an import is allowed in one module and inside functions only.
Prints one line per violation (`path:line: ...`); exit status 1 if there is any.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

# Modules of stock MicroPython >= 1.25 for ESP32 that any device code may use (documentation: "MicroPython libraries").
STOCK = frozenset(
    "array asyncio binascii builtins cmath collections cryptolib deflate errno gc hashlib heapq io json math "
    "micropython os platform random re requests select socket ssl struct sys time tls uctypes vfs".split()
)
# Modules of the hardware (stock on ESP32) and of the unix port: hal and boards only.
HARDWARE = frozenset(
    "_thread aioespnow bluetooth btree dht ds18x20 esp esp32 espnow ffi framebuf machine mip neopixel network ntptime "
    "onewire termios webrepl websocket".split()
)
# Time comes from the clock that is passed in, the network through asyncio or the HAL.
RESERVED = {"time": ("hal", "boards", "lib"), "socket": ("hal", "lib"), "ssl": ("hal", "lib"), "tls": ("hal", "lib")}
ALLOWED = {
    "lib": {"lib"},
    "drivers": {"drivers", "lib"},
    "hal": {"hal", "lib"},
    "charger": {"charger", "drivers", "lib"},
    "main": {"main", "charger", "drivers", "hal", "lib", "boards"},
    "boards": {"boards", "drivers", "hal", "lib"},
}
WITNESSES = ("tools/sim", "tools/csms", "tools/demo")
LAZY = {("lib/ocpp16", "wsclient"): "lib/ocpp16/dial.py"}
# boot.py makes the outputs safe before anything else is loaded, the HAL included; launch.py runs when nothing can be.
EXCEPTIONS = {("firmware/boot.py", "machine"), ("firmware/launch.py", "machine"), ("firmware/launch.py", "time")}
# First part of an imported name -> its room; the modules of lib and those at the top of firmware are found by looking.
_PACKAGES = {"charger": "charger", "drivers": "drivers", "hal": "hal"}
_PACKAGES.update({"boards": "boards", "board": "boards"})  # the chosen board's folder is on the path: `import board`


@dataclass(frozen=True)
class Import:
    """One imported module as written, `from a.b import c` giving `a.b` (or its parent `a` when relative)."""

    name: str
    line: int
    in_function: bool


def _is_type_checking(test: ast.expr) -> bool:
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )


def imports(nodes: Iterable[ast.AST], package: tuple[str, ...] = (), in_function: bool = False) -> Iterator[Import]:
    """Every import in and below `nodes`. package -- the dotted path of the folder, for relative imports."""
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, node.lineno, in_function)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                base = package[: max(0, len(package) - node.level + 1)]
                name = ".".join([*base, *([node.module] if node.module else [])])
                yield Import(name if base else "." + name, node.lineno, in_function)
            else:
                yield Import(node.module or "", node.lineno, in_function)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("__import__", "cold"):
            argument = node.args[0] if node.args else None
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                yield Import(argument.value, node.lineno, in_function)
        elif isinstance(node, ast.If) and _is_type_checking(node.test):
            yield from imports(node.orelse, package, in_function)
            continue
        inside = in_function or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        yield from imports(ast.iter_child_nodes(node), package, inside)


def room_of(path: str) -> str | None:
    """The room of a file, by its path in the repository with forward slashes; None for tools and tests."""
    parts = path.split("/")
    if parts[0] in ("lib", "boards"):
        return parts[0]
    if parts[0] == "firmware":
        return parts[1] if len(parts) > 2 and parts[1] in ALLOWED else "main"
    return None


def _judge_device(path: str, room: str, item: Import, rooms: dict[str, str]) -> str | None:
    top = item.name.split(".")[0]
    if not top:
        return f"imports beyond its root ({item.name[1:]})"
    target = _PACKAGES.get(top) or rooms.get(top)
    verdict = None
    if target is not None:
        if target not in ALLOWED[room]:
            verdict = f"{room} must not import {target} ({item.name})"
        for (folder, name), home in LAZY.items():
            if path.startswith(folder + "/") and top == name and (path != home or not item.in_function):
                verdict = f"{folder} may import {name} only inside a function of {home} ({item.name})"
    elif (path, top) in EXCEPTIONS:
        pass
    elif top in HARDWARE:
        if room not in ("hal", "boards"):
            verdict = f"{room} must not import {top}: hardware and unix-only modules belong to hal"
    elif top not in STOCK:
        verdict = f"{room} imports {item.name}, which stock MicroPython for ESP32 does not have"
    elif room not in RESERVED.get(top, (room,)):
        verdict = f"{room} must not import {top}: " + ("ask the clock" if top == "time" else "the link is passed in")
    return verdict


def check(root: Path) -> tuple[list[str], int]:
    """Return the violations below `root`, sorted, and the number of files that were read."""
    lib_names = {p.stem for p in (root / "lib").glob("*.py")} | {
        p.name for p in (root / "lib").glob("*") if p.is_dir() and any(p.glob("*.py"))
    }
    rooms = dict.fromkeys(lib_names, "lib") | {p.stem: "main" for p in (root / "firmware").glob("*.py")}
    found: list[tuple[str, int, str]] = []
    count = 0
    for folder in ("lib", "firmware", "boards", *WITNESSES):
        for file in sorted((root / folder).rglob("*.py")):
            path = file.relative_to(root).as_posix()
            if file.name == "manifest.py":  # read by makemanifest on the computer, not by the device
                continue
            count += 1
            try:
                tree = ast.parse(file.read_text(encoding="utf-8"), filename=path)
            except SyntaxError as exc:
                found.append((path, exc.lineno or 1, f"does not parse: {exc.msg}"))
                continue
            room = room_of(path)
            inside = file.relative_to(root / folder).parts[:-1] if room else file.relative_to(root).parts[:-1]
            package = ("boards", *inside) if room == "boards" else tuple(inside)
            for item in imports(tree.body, package):
                top = item.name.split(".")[0]
                if room:
                    verdict = _judge_device(path, room, item, rooms)
                elif top in _PACKAGES or (top in lib_names and top not in sys.stdlib_module_names):
                    verdict = f"{folder} must import nothing of the device ({item.name})"
                else:
                    verdict = None
                if verdict:
                    found.append((path, item.line, verdict))
    return [f"{path}:{line}: {text}" for path, line, text in sorted(set(found))], count


def main() -> int:
    """Return the exit status."""
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent
    violations, count = check(root)
    for line in violations:
        print(line)
    print(f"imports: {count} files, {len(violations) or 'no'} violation{'' if len(violations) == 1 else 's'}")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
