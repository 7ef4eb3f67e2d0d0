"""Joined modules behave as they did apart, and what cannot be joined is said."""

from __future__ import annotations

import ast
import subprocess
from pathlib import Path

import pytest

from tests_host.conftest import interpreter
from tools.link import NAME, PATH, LinkError, link
from tools.reach import module_name

MAIN = """\
def main():
    from cold import cold

    cold("start").go()


main()
"""
START = """\
import sys

from app.shop import Shop, price
from cold import cold


def go():
    shop = Shop(3)
    cold("app.rare").grow(shop)
    print(shop.total(), price(2), shop.describe(), sorted(sys.modules)[:0])
"""
SOURCES = {
    "firmware/main.py": MAIN,
    "firmware/start.py": START,
    "firmware/app/__init__.py": "",
    "firmware/app/shop.py": '''\
"""A shop."""

from micropython import const

from .tax import LOW, TaxError, rate
from fixed import fixed

_FEE = const(7)
OPEN = const(1)
__all__ = ("Shop", "price")


def price(n):
    """In cents."""
    return n * _FEE + rate(n) + OPEN


class Shop:
    """Sells."""

    closed = False

    def __init__(self, stock):
        self._stock = stock
        self._log = []

    def _add(self, text):
        self._log.append(text)

    def total(self):
        try:
            rate(-1)
        except TaxError as exc:
            self._add(str(exc))
        return self._stock * LOW

    def describe(self):
        from app.late import late

        return fixed(self._stock) + late(",".join(self._log))
''',
    "firmware/app/tax.py": """\
from micropython import const

LOW = const(2)
_FEE = const(100)
_count = 0


class TaxError(Exception):
    pass


def rate(n):
    global _count
    _count += 1
    if n < 0:
        raise TaxError("negative %d" % _count)
    return n * LOW + _FEE
""",
    "firmware/app/late.py": "from fixed import fixed\n\n\ndef late(text):\n    return fixed(text)\n",
    "firmware/app/rare.py": """\
from .tax import (
    LOW,
    rate,
)


def grow(shop):
    for name in ("total",):
        getattr(shop, name)()
    shop.grown = rate(LOW)
""",
    "lib/fixed.py": 'def _add(text):\n    return "<%s>" % text\n\n\ndef fixed(value):\n    return _add(value)\n',
    "lib/cold.py": 'def cold(name):\n    return __import__(name, None, None, ("*",))\n',
}


def linked(sources: dict[str, str]) -> tuple[dict[str, str], list[str]]:
    return link(sources, ("main",), lambda path: module_name(Path(path)))[:2]


def output(folder: Path, sources: dict[str, str]) -> str:
    """What the program prints on MicroPython."""
    for path, text in sources.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    done = subprocess.run(
        [interpreter(64), "firmware/main.py"],
        cwd=folder,
        env={"MICROPYPATH": "firmware:lib:.frozen"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_joined_program_does_the_same(tmp_path: Path) -> None:
    texts, joined = linked(SOURCES)
    assert (
        output(tmp_path / "apart", SOURCES)
        == output(tmp_path / "joined", texts)
        == "6 119 <3><negative 1,negative 3> []\n"
    )
    assert "app.tax" in joined
    assert set(texts) < {*SOURCES, PATH, "firmware/rare.py"}


def test_what_is_joined() -> None:
    texts, joined = linked(SOURCES)
    assert set(joined) == {"cold", "app.tax", "fixed", "app.shop"}
    assert joined.index("app.tax") < joined.index("app.shop")
    # started, imported only inside a function, and named by a text: these stay
    assert {"firmware/main.py", "firmware/start.py", "firmware/app/late.py", "firmware/rare.py"} <= set(texts)


def test_a_module_that_is_imported_whole_stays() -> None:
    _, joined = linked({**SOURCES, "firmware/app/rare.py": "import fixed\n"})
    assert "fixed" not in joined


def test_names_that_meet_are_told_apart() -> None:
    texts, _ = linked(SOURCES)
    tree = ast.parse(texts[PATH])
    names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    targets = [node.targets[0] for node in tree.body if isinstance(node, ast.Assign)]
    names += [target.id for target in targets if isinstance(target, ast.Name)]
    assert len(names) == len(set(names))
    assert sum(name.startswith("_FEE") for name in names) == 2


def test_constants_that_nobody_asks_for_vanish() -> None:
    text = linked(SOURCES)[0][PATH]
    assert "_OPEN = const(1)" in text  # hidden: mpy-cross leaves no name
    assert "\nLOW = const(2)" in text  # app.rare asks for it


def test_private_attributes_share_their_names() -> None:
    text = linked(SOURCES)[0][PATH]
    assert "_stock" not in text and "_a0" in text


def test_cold_modules_move_to_a_name_of_one_part() -> None:
    texts, _ = linked(SOURCES)
    assert "firmware/app/rare.py" not in texts and "cold('rare')" in texts["firmware/start.py"]
    texts, _, _ = link(SOURCES, ("main",), lambda path: module_name(Path(path)), frozenset({"rare"}))
    assert "firmware/app/rare.py" in texts and 'cold("app.rare")' in texts["firmware/start.py"]  # the port has a rare
    other = {**SOURCES, "firmware/other/rare.py": "", "firmware/app/late.py": "import other.rare\nlate = str\n"}
    assert "firmware/app/rare.py" in linked(other)[0]  # there are two


def test_cold_modules_take_words_that_cost_nothing() -> None:
    """The same ones whatever modules there are beside, and never the name of a module."""

    def moved(sources: dict[str, str], words: tuple[str, ...]) -> dict[str, str]:
        texts, _, names = link(sources, ("main",), lambda path: module_name(Path(path)), frozenset({"taken"}), words)
        for name, word in names.items():
            assert f"firmware/{word}.py" in texts and f"cold('{word}')" in "".join(texts.values()), name
        return names

    words = ("append", "taken", "read", "fixed", "write")
    names = moved(SOURCES, words)
    assert names.keys() == {"app.rare", "start"} and set(names.values()) < {"append", "read", "write"}
    more = {**SOURCES, "firmware/app/other.py": "", "firmware/late.py": 'from cold import cold\n\ncold("app.other")\n'}
    assert moved(more, (*words, "strip", "keys", "get"))["app.rare"] in (names["app.rare"], "strip", "keys", "get")
    assert moved(SOURCES, ()) == {"app.rare": "rare"}
    said = {**SOURCES, "firmware/app/late.py": 'def late():\n    print("start")\n'}
    assert "start" not in moved(said, words)  # a text that may mean something else


def test_a_module_that_a_text_is_completed_to_keeps_its_name() -> None:
    texts, _ = linked({**SOURCES, "firmware/app/pick.py": 'def pick(name):\n    return __import__("app." + name)\n'})
    assert "firmware/app/rare.py" in texts and "firmware/rare.py" not in texts


def test_lines_of_the_others_stay() -> None:
    rare = linked(SOURCES)[0]["firmware/rare.py"]
    assert rare.splitlines()[0] == f"from {NAME} import LOW, rate"
    assert rare.splitlines().index("def grow(shop):") == SOURCES["firmware/app/rare.py"].splitlines().index(
        "def grow(shop):"
    )


def test_a_re_export_leads_to_its_source() -> None:
    sources = {
        **SOURCES,
        "firmware/app/__init__.py": "from .shop import Shop\n",
        "firmware/app/rare.py": "from app import Shop\n\n\ndef grow(shop):\n    assert Shop\n",
    }
    texts, joined = linked(sources)
    assert "app" in joined and "firmware/app/__init__.py" not in texts
    assert texts["firmware/rare.py"].startswith(f"from {NAME} import Shop")


@pytest.mark.parametrize(
    ("path", "text", "says"),
    [
        ("lib/fixed.py", "from app.shop import Shop\n\n\ndef fixed(value):\n    return Shop\n", "import each other"),
        ("firmware/app/rare.py", "from .tax import nothing\n", "app.tax does not define nothing"),
        (
            "lib/fixed.py",
            "_FEE = 1\n\n\ndef fixed(value):\n    _FEE = value\n    return _FEE\n",
            "a local name hides",
        ),
    ],
)
def test_what_cannot_be_joined_is_said(path: str, text: str, says: str) -> None:
    sources = {**SOURCES, path: text}
    if "each other" in says:
        sources["firmware/app/tax.py"] = "from fixed import fixed\n" + SOURCES["firmware/app/tax.py"]
    with pytest.raises(LinkError, match=says):
        linked(sources)


def test_different_things_under_one_name_are_said() -> None:
    sources = {
        **SOURCES,
        "lib/fixed.py": "import json as const\n\n\ndef fixed(value):\n    return const.dumps(value)\n",
    }
    with pytest.raises(LinkError, match="const is another import elsewhere"):
        linked(sources)
