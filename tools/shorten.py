"""Shorten private names before compiling: on the device every name costs RAM for as long as the program runs.

Each distinct name of a program is kept in RAM (its text and 7 to 9 bytes of table), and a third of ours are private:
`_name` at module level, or an attribute or method used inside one file only. Those are renamed file by file to `_a`,
`_b`, ..., so that all files share a few short names. Line numbers stay, so a traceback still leads to the source.

The rule that makes this safe is the usual one: a private name belongs to one file. `findings` tells where it is broken.
"""

from __future__ import annotations

import ast
import builtins
import io
import itertools
import string
import tokenize
from collections import Counter
from collections.abc import Iterator

KEEP = frozenset({"_io_queue", "_task_queue", "_asyncio"})  # names of MicroPython itself


def is_private(name: str) -> bool:
    """A name of ours that may be shortened: `_x...`, not `__x__`, and longer than what would replace it."""
    return len(name) > 2 and name[0] == "_" and name[1] != "_" and name not in KEEP


def _short_names() -> Iterator[str]:
    for length in itertools.count(1):
        for letters in itertools.product(string.ascii_lowercase, repeat=length):
            yield "_" + "".join(letters)


def shorten(source: str) -> str:
    """The same program with its private names shortened, the most used ones first. Line breaks stay where they are."""
    tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    names = [token for token in tokens if token.type == tokenize.NAME]
    taken = {token.string for token in names}
    count = Counter(token.string for token in names if is_private(token.string))
    free = (name for name in _short_names() if name not in taken)
    new = {name: next(free) for name, _ in sorted(count.items(), key=lambda item: (-item[1], item[0]))}
    lines = source.splitlines(keepends=True)
    for token in reversed(names):
        if token.string in new:
            row, column = token.start
            line = lines[row - 1]
            lines[row - 1] = line[:column] + new[token.string] + line[column + len(token.string) :]
    return "".join(lines)


def findings(source: str) -> list[tuple[int, str]]:
    """(line, what is wrong) wherever shortening this file could change what it does. SyntaxError: it cannot be read."""
    tree = ast.parse(source)
    return sorted(_of_other_files(tree) + _inherited(tree) + _in_texts(tree))


def _of_other_files(tree: ast.Module) -> list[tuple[int, str]]:
    """Private names that the file uses but does not define."""
    defined: set[str] = set()
    used: list[tuple[int, str]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            defined.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            defined.add(node.id)
        elif isinstance(node, ast.arg):
            defined.add(node.arg)
        elif isinstance(node, ast.Attribute):
            if (
                isinstance(node.ctx, ast.Store)
                and isinstance(node.value, ast.Name)
                and node.value.id in ("self", "cls")
            ):
                defined.add(node.attr)
            used.append((node.lineno, node.attr))
        elif isinstance(node, ast.Import | ast.ImportFrom):
            used += [(node.lineno, alias.name) for alias in node.names]
    return [
        (line, f"{name} is a private name of another file")
        for line, name in used
        if is_private(name) and name not in defined
    ]


def _inherited(tree: ast.Module) -> list[tuple[int, str]]:
    """Classes with private attributes whose base, in another file, may have others that get the same short name."""
    local = {node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.ClassDef):
            continue
        foreign = [
            b for b in node.bases if not (isinstance(b, ast.Name) and (b.id in local or hasattr(builtins, b.id)))
        ]
        private = [n for n in ast.walk(node) if isinstance(n, ast.Attribute) and is_private(n.attr)]
        if foreign and private:
            found.append((node.lineno, f"{node.name} has private names and a base class of another file"))
    return found


def _in_texts(tree: ast.Module) -> list[tuple[int, str]]:
    """Private names inside f-strings: older Pythons do not see them as names."""
    found = []
    for text in ast.walk(tree):
        if isinstance(text, ast.JoinedStr):
            for node in ast.walk(text):
                name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
                if is_private(name):
                    found.append((text.lineno, f"{name} stands inside an f-string"))
    return found
