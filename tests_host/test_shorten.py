"""Shortened private names: the same program, and a finding wherever the rule that makes it safe is broken."""

from __future__ import annotations

import ast

import pytest

from tools.shorten import findings, shorten

SOURCE = '''\
"""Has _private in a text."""
_LIMIT = 3  # a comment about _private


class Box:
    """Holds."""

    def __init__(self, _a):
        self._private = _a
        self.text = "_private"

    def _grow(self, by=_LIMIT):
        self._private += by
        return self._private

    def grow(self):
        return self._grow() if self._private else str(self._private)
'''


def test_same_behaviour_and_lines() -> None:
    short = shorten(SOURCE)
    assert "self._private" not in short and "_grow" not in short and "_LIMIT" not in short
    assert '"_private"' in short and "# a comment about _private" in short
    assert short.count("\n") == SOURCE.count("\n")
    results = []
    for text in (SOURCE, short):
        space: dict[str, object] = {}
        exec(compile(text, "box", "exec"), space)  # noqa: S102 - our own text, to compare its behaviour
        box = space["Box"](4)  # type: ignore[operator]
        results.append((box.grow(), box.grow(), box.text))
    assert results[0] == results[1] == (7, 10, "_private")


def test_short_names_do_not_meet_names_that_are_there() -> None:
    names = {node.id for node in ast.walk(ast.parse(shorten("_a = 1\n_long = 2\n"))) if isinstance(node, ast.Name)}
    assert len(names) == 2 and "_a" in names


def test_same_source_same_names() -> None:
    assert shorten(SOURCE) == shorten(SOURCE)
    assert shorten(shorten(SOURCE)) == shorten(SOURCE)


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
        SOURCE,
        "import asyncio\nprint(asyncio.core._io_queue, __name__)\n",
        "from x import Base\nclass A(Base):\n    def f(self):\n        self.mine = 1\n",
        "class E(ValueError):\n    def f(self):\n        self._mine = 1\n",
    ],
)
def test_what_is_safe_is_not_found(text: str) -> None:
    assert findings(text) == []
