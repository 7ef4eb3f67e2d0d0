"""Renamed programs: same behaviour, cheaper names, and a finding wherever the rules that make it safe are broken."""

from __future__ import annotations

import ast
import types

import pytest

from tests_host.conftest import ROOT, interpreter
from tools.shorten import Program, Stock, findings

BOX = '''\
"""Has _private in a text."""
_LIMIT = 3  # a comment about _private
NAME = "box"


class Box:
    """Holds."""

    def __init__(self, first):
        self._private = first
        self.text = "_private"
        self.visible = first

    def _grow(self, amount=_LIMIT):
        self._private += amount
        return self._private

    def grow_by(self, amount):
        return self._grow(amount=amount) if self._private else str(self._private)

    def on_Reset(self):
        return self.visible, getattr(self, "visible"), abs(-1)
'''
USE = """\
import box

_private = 40


def run_all(action):
    thing = box.Box(4)
    return thing.grow_by(amount=3), thing.text, getattr(thing, "on_" + action)(), box.NAME, _private
"""
STOCK = Stock(frozenset({"abs", "append", "amount_of"}), ("append", "mktime", "rjust", "settrace", "uname"))


def program() -> Program:
    return Program({"lib/box.py": BOX, "lib/use.py": USE}, STOCK)


def run(box: str, use: str, entry: str) -> object:
    """What the two files, as modules, return."""
    modules = {"box": types.ModuleType("box")}
    exec(compile(box, "box", "exec"), modules["box"].__dict__)  # noqa: S102 - our own text, to compare its behaviour
    space: dict[str, object] = {}
    text = use.replace("import box\n", "")
    space["box"] = modules["box"]
    exec(compile(text, "use", "exec"), space)  # noqa: S102
    return space[entry]("Reset")  # type: ignore[operator]


def test_same_behaviour_and_lines() -> None:
    made = program()
    box, use = made.rename("lib/box.py"), made.rename("lib/use.py")
    for name in ("self._private", "_grow", "_LIMIT", "grow_by", "run_all", "amount"):
        assert name not in box + use, name
    assert '"_private"' in box and "# a comment about _private" in box and "on_Reset" in box
    assert box.count("\n") == BOX.count("\n") and use.count("\n") == USE.count("\n")
    assert run(BOX, USE, "run_all") == run(box, use, made.public["run_all"]) == (7, "_private", (4, 4, 1), "box", 40)


def test_words_of_the_port_are_used_first_and_private_ones_are_shared() -> None:
    made = program()
    words = set(STOCK.words)
    names = {node.attr for node in ast.walk(ast.parse(made.rename("lib/box.py"))) if isinstance(node, ast.Attribute)}
    assert names & words
    assert len(set(made.public.values())) == len(made.public)  # one word, one name
    private = made.rename("lib/use.py").split(" = 40")[0].split("\n")[-1]
    assert private in words and private in made.rename("lib/box.py") and private not in made.public.values()


def test_names_at_the_border_stay() -> None:
    made = program()
    for name in ("visible", "on_Reset", "box", "abs"):
        assert name not in made.public, name


def test_a_sentence_keeps_no_name_but_a_list_of_names_does() -> None:
    text = (
        '_LISTED = "listed other"\n\n\nclass Box:\n'
        "    def spoken(self):\n        return 'is spoken here'\n"
        "    def listed(self):\n        return _LISTED\n"
        "    def picked(self):\n        return [getattr(self, n) for n in 'picked spread'.split()]\n"
        "    def spread(self):\n        return 'spread'\n"
    )
    assert set(Program({"lib/box.py": text}, STOCK).public) == {"spoken"}


def test_names_of_the_files_that_come_first_get_the_free_words() -> None:
    often = "def used(x):\n    return x\n\n\n" + "used(used(1))\n" * 5
    texts = {"a/rare.py": often, "b/always.py": "def resident():\n    return 1\n"}
    words = {first: Program(texts, STOCK, first).public for first in ((), ("b/",))}
    assert words[()]["used"] < words[()]["resident"] and words["b/",]["resident"] < words["b/",]["used"]


def test_what_stands_in_most_files_gets_the_word_that_is_cheapest_in_a_file() -> None:
    many = {f"a/{n}.py": "def common():\n    return 1\n" for n in range(3)}
    texts = {"a/0rare.py": "def used():\n    return 1\n\n\n" + "used()\n" * 9, **many}
    assert Program(texts, STOCK).public == {"common": "append", "used": "mktime"}


def test_same_sources_same_names() -> None:
    assert program().public == program().public
    assert program().listing() == "".join(
        f"{new} {old}\n" for old, new in sorted(program().public.items(), key=lambda p: p[1])
    )


def test_words_come_from_the_interpreter() -> None:
    stock = Stock.of(ROOT / ".venv" / "stubs", interpreter(64), lambda words: [-len(word) for word in words])
    assert list(stock.words) == sorted(stock.words, key=lambda word: (-len(word), word))
    assert {"ValueError", "append", "bytearray"} <= set(stock.words) and "first_word_is_new" not in stock.words
    assert {"PULL_UP", "idf_heap_info"} <= stock.names and "idf_heap_info" not in stock.words  # only on the device


@pytest.mark.parametrize(
    ("text", "line", "word"),
    [
        ("from other import _secret\n", 1, "_secret"),
        ("def f(x):\n    return x._secret\n", 2, "_secret"),
        ("def f(x):\n    x._secret = 1\n", 2, "_secret"),
        ("from x import Base\nclass A(Base):\n    def f(self):\n        self._mine = 1\n", 2, "base class"),
        ("_mine = 1\nprint(f'{_mine}')\n", 2, "f-string"),
    ],
)
def test_broken_rules_are_found(text: str, line: int, word: str) -> None:
    found = findings(text)
    assert [where for where, _ in found] == [line] and word in found[0][1]


@pytest.mark.parametrize(
    "text",
    [
        BOX,
        "import asyncio\nprint(asyncio.core._io_queue, __name__)\n",
        "from x import Base\nclass A(Base):\n    def f(self):\n        self.mine = 1\n",
        "class E(ValueError):\n    def f(self):\n        self._mine = 1\n",
    ],
)
def test_what_is_safe_is_not_found(text: str) -> None:
    assert findings(text) == []


def test_constants_keep_their_names() -> None:
    """mpy-cross drops the name of a `const` because of its underscore: a word in its place would become a global."""
    text = "from micropython import const\n\n_SIZE = const(4)\n_kept = 5\n\n\ndef size():\n    return _SIZE + _kept\n"
    renamed = Program({"lib/box.py": text}, STOCK).rename("lib/box.py")
    assert "_SIZE = const(4)" in renamed
    assert "return _SIZE + " in renamed
    assert "_kept" not in renamed
