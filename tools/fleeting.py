"""Let the short texts of cold modules go with them.

The compiler makes a name of every text of up to 10 characters, and names stay in RAM for as long as the program runs,
those of cold modules (lib/cold.py) too: "%s: %s", once loaded, is there for ever. A longer text is an object that goes
with its module. So the build writes such a text as the beginning of a longer one: "%s: %s     "[:6].

Left alone is what is a name anyway: of the program, of the port, a text of a module that stays; and what costs nothing:
texts in a tuple of constants, and single characters, which become names as soon as a text is looked at by letters.
"""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Collection, Iterator, Mapping

_NAMED = 10  # characters up to which mpy-cross makes a name of a text
_LOOKUPS = ("cold", "__import__", "getattr", "hasattr", "setattr", "const")  # what they are given becomes a name anyway


# Loaded inside each other while a CALL of the central system is answered: room at that moment counts more than names,
# and a text that is none needs 37 bytes of it.
NESTED = ("lib/inbound", "lib/rpc", "lib/ocpp16/profiles/", "lib/charging", "lib/journal", "lib/session", "lib/schema")


def fleeting(
    texts: Mapping[str, str],
    names_of: Mapping[str, str],
    words: Collection[str],
    before: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """The same sources (path -> text), short texts of cold modules rewritten. Line breaks stay where they are.

    names_of: path -> the name a module is imported by; words: texts that are names of the port; before: path -> the
    path it would have with a name of its own.
    """
    trees = {path: ast.parse(text) for path, text in texts.items()}
    cold = {path for path in _cold(trees, names_of) if not (before or {}).get(path, path).startswith(NESTED)}
    taken = set(words) | {name for text in texts.values() for name in _names(text)}
    taken |= {part for name in names_of.values() for part in (name, *name.split("."))}
    taken |= {value for path in trees.keys() - cold for _, value in _short(trees[path])}
    return {path: _rewritten(text, trees[path], taken) if path in cold else text for path, text in texts.items()}


def _cold(trees: Mapping[str, ast.Module], names_of: Mapping[str, str]) -> Iterator[str]:
    """Paths of modules that are loaded by a text: their whole name, or its beginning given to cold()."""
    whole: set[str] = set()
    begun: list[str] = []
    for tree in trees.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                whole.add(node.value)
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "cold":
                begun += [
                    part.left.value
                    for part in node.args
                    if isinstance(part, ast.BinOp)
                    and isinstance(part.left, ast.Constant)
                    and isinstance(part.left.value, str)
                ]
    return (path for path, name in names_of.items() if name in whole or name.startswith(tuple(begun)))


def _names(text: str) -> Iterator[str]:
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.NAME:
            yield token.string


def _short(tree: ast.Module) -> Iterator[tuple[ast.Constant, str]]:
    """Texts that would become names, and what they say."""
    silent: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr):
            silent.add(id(node.value))  # documentation
        elif isinstance(node, ast.Tuple) and _is_constant(node):
            silent.update(id(part) for part in ast.walk(node))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _LOOKUPS:
            silent.update(id(part) for part in node.args)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in silent:
            if 1 < len(node.value) <= _NAMED:
                yield node, node.value


def _is_constant(node: ast.expr) -> bool:
    if isinstance(node, ast.Tuple):
        return all(map(_is_constant, node.elts))
    return isinstance(node, ast.Constant)


def _rewritten(text: str, tree: ast.Module, taken: Collection[str]) -> str:
    lines = [line.encode() for line in text.splitlines(keepends=True)]  # ast counts bytes
    for node, value in sorted(_short(tree), key=lambda found: (found[0].lineno, found[0].col_offset), reverse=True):
        if value in taken or node.end_lineno != node.lineno:
            continue
        line = lines[node.lineno - 1]
        new = f"{value.ljust(_NAMED + 1)!r}[:{len(value)}]"
        lines[node.lineno - 1] = line[: node.col_offset] + new.encode() + line[node.end_col_offset :]
    return b"".join(lines).decode()
