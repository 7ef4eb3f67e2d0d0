"""Arguments with shared names: the functions do the same, and what must keep its name keeps it."""

from __future__ import annotations

import ast

import pytest

from tools.parameters import by_keyword, places

WORDS = ("w0", "w1", "w2", "w3")


def renamed(source: str, keep: frozenset[str] = frozenset(), words: tuple[str, ...] = WORDS) -> str:
    tree = ast.parse(source)
    lines = source.splitlines(keepends=True)
    names = {
        (node.lineno, len(lines[node.lineno - 1].encode()[: node.col_offset].decode())): (
            node.id if isinstance(node, ast.Name) else node.arg
        )
        for node in ast.walk(tree)
        if isinstance(node, ast.Name | ast.arg)
    }
    for (row, column), word in sorted(places(tree, source, by_keyword([tree]) | keep, words).items(), reverse=True):
        line = lines[row - 1]
        lines[row - 1] = line[:column] + word + line[column + len(names[row, column]) :]
    return "".join(lines)


def test_arguments_share_words() -> None:
    assert renamed("def a(first, second):\n    return first - second\ndef b(third):\n    return third\n") == (
        "def a(w0, w1):\n    return w0 - w1\ndef b(w0):\n    return w0\n"
    )


def test_self_attributes_and_keywords_of_others_stay() -> None:
    source = "class A:\n    def f(self, ms):\n        self.ms = ms\n        return self.ms + g(ms=ms)\n"
    assert renamed(source) == source  # ms is passed by name
    assert renamed(source.replace("ms=ms", "ms")) == (
        "class A:\n    def f(self, w0):\n        self.ms = w0\n        return self.ms + g(w0)\n"
    )


def test_defaults_and_decorators_belong_outside() -> None:
    source = "def f(a, b):\n    @wrap(a)\n    def g(a, c=a):\n        return a, b, c\n    return g\n"
    assert renamed(source) == (
        "def f(w0, w1):\n    @wrap(w0)\n    def g(w2, w3=w0):\n        return w2, w1, w3\n    return g\n"
    )


def test_functions_inside_go_on_counting() -> None:
    assert renamed("def f(a):\n    return lambda b: lambda c: a + b + c\n") == (
        "def f(w0):\n    return lambda w1: lambda w2: w0 + w1 + w2\n"
    )


@pytest.mark.parametrize(
    "source",
    [
        "def f(a):\n    def g():\n        nonlocal a\n        a = 1\n    return g\n",
        'def f(a):\n    return f"{a}"\n',
    ],
)
def test_places_that_are_not_known_stay(source: str) -> None:
    assert renamed(source) == source


def test_kept_names_and_too_few_words() -> None:
    assert renamed("def f(a, b, c):\n    return a, b, c\n", frozenset("b"), ("w0",)) == (
        "def f(w0, b, c):\n    return w0, b, c\n"
    )


def test_a_variable_of_the_same_name_elsewhere_stays() -> None:
    assert renamed("def f(a):\n    return a\ndef g():\n    a = 1\n    return a\n") == (
        "def f(w0):\n    return w0\ndef g():\n    a = 1\n    return a\n"
    )


def test_columns_count_characters() -> None:
    assert renamed("def f(a): return 'ä', a, 'é', a\n") == "def f(w0): return 'ä', w0, 'é', w0\n"


def test_stars() -> None:
    assert renamed("def f(*rest, **more):\n    return g(*rest, **more)\n") == (
        "def f(*w0, **w1):\n    return g(*w0, **w1)\n"
    )
