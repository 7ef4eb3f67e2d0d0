"""Every name that device code takes from a module of MicroPython exists in the oldest version we support.

The type check cannot show this: the published stubs also declare names of CPython. So the interpreter is asked.
"""

from __future__ import annotations

import ast
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests_host.conftest import ROOT
from tools.check_imports import HARDWARE, STOCK

# On the unix port, but not on ESP32: for hal/unix.py only.
UNIX_NAMES = {("os", "getenv"), ("os", "putenv"), ("os", "unsetenv"), ("os", "system"), ("sys", "executable")}
# On ESP32, but not on the unix port of 1.25, so the interpreter cannot be asked.
NOT_ON_UNIX = {
    "ssl",
    "network",
    "esp",
    "esp32",
    "machine",
    "btree",
    "bluetooth",
    "neopixel",
    "onewire",
    "dht",
    "ds18x20",
}
_ASK = """
import sys, json
missing = []
for module, name in json.loads(sys.stdin.readline()):
    if not hasattr(__import__(module), name):
        missing.append(module + "." + name)
print(json.dumps(missing))
"""


def names_used(tree: ast.AST) -> Iterator[tuple[str, str, int]]:
    """(module, name, line) for `module.name` and `from module import name` of MicroPython's own modules."""
    known = (STOCK | HARDWARE) - NOT_ON_UNIX
    aliases: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            aliases.update({a.asname or a.name: a.name for a in node.names if a.name in known})
        elif isinstance(node, ast.ImportFrom) and node.module in known and not node.level:
            yield from ((node.module, a.name, node.lineno) for a in node.names)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in aliases:
            yield aliases[node.value.id], node.attr, node.lineno


def missing(interpreter: Path, names: set[tuple[str, str]]) -> set[str]:
    """Ask MicroPython which of the names it lacks."""
    done = subprocess.run(
        [str(interpreter), "-c", _ASK], input=json.dumps(sorted(names)), capture_output=True, text=True, timeout=20
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


def test_a_missing_name_is_found(micropython: Path) -> None:
    text = "import os, time as t\nfrom asyncio import sleep_ms, timeout\nos.walk('/')\nt.ticks_ms()\nt.monotonic()\n"
    used = set(names_used(ast.parse(text)))
    assert ("os", "walk", 3) in used and ("time", "monotonic", 5) in used
    found = missing(micropython, {(module, name) for module, name, _ in used})
    assert found == {"os.walk", "time.monotonic", "asyncio.timeout"}


@pytest.mark.parametrize("room", ["lib", "firmware", "boards"])
def test_names_exist(micropython: Path, room: str) -> None:
    used: dict[tuple[str, str], list[str]] = {}
    for path in sorted((ROOT / room).rglob("*.py")):
        where = path.relative_to(ROOT).as_posix()
        if path.name == "manifest.py" or where == "firmware/hal/esp32.py":
            continue
        for module, name, line in names_used(ast.parse(path.read_text(encoding="utf-8"), where)):
            used.setdefault((module, name), []).append(f"{where}:{line}")
            assert (module, name) not in UNIX_NAMES or where == "firmware/hal/unix.py", (
                f"{where}:{line}: {module}.{name} exists on the unix port only"
            )
    lacking = missing(micropython, set(used))
    assert not lacking, {name: used[module, attribute] for name in lacking for module, attribute in [name.split(".")]}
