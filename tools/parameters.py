"""Give the arguments of all functions a few words in common, before compiling: MicroPython keeps their names.


An argument that nobody in the program passes by its name can be called anything. So the first argument of every such
function gets one word, the second another, and so on; functions inside functions go on counting, as they may use both.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping, Sequence

Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
Places = dict[tuple[int, int], str]  # (line from 1, column in characters) -> new name


def by_keyword(trees: Iterable[ast.Module]) -> set[str]:
    """Names that some call of the program passes by name."""
    return {
        node.arg for tree in trees for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg is not None
    }


def most(tree: ast.AST, outside: int = 0) -> int:
    """How many words the functions of a file can use at most, each with those around it."""
    inside = outside + (len(_arguments(tree)) if isinstance(tree, Function) else 0)
    return max([inside, *(most(child, inside) for child in ast.iter_child_nodes(tree))])


def places(tree: ast.Module, source: str, keep: set[str], words: Sequence[str]) -> Places:
    """Where the arguments of a file's functions stand, with their new names.

    keep: arguments that must not be renamed; words: new names, which nothing in the program uses; when they run out,
    the rest keep their names.
    """
    lines = [line.encode() for line in source.splitlines()]
    found: Places = {}

    def at(line: int, offset: int) -> tuple[int, int]:
        return line, len(lines[line - 1][:offset].decode())

    def visit(node: ast.AST, names: Mapping[str, str]) -> None:
        if isinstance(node, Function):
            enter(node, names)
            return
        if isinstance(node, ast.Name) and node.id in names:
            found[at(node.lineno, node.col_offset)] = names[node.id]
        for child in ast.iter_child_nodes(node):
            visit(child, names)

    def enter(node: Function, outer: Mapping[str, str]) -> None:
        """Defaults and decorators belong to the scope outside."""
        for outside in [*node.args.defaults, *node.args.kw_defaults, *getattr(node, "decorator_list", [])]:
            if outside is not None:
                visit(outside, outer)
        arguments = _arguments(node)
        fixed = keep | _untouchable(node)
        names = {name: word for name, word in outer.items() if name not in {arg.arg for arg in arguments}}
        free = iter(words[len(outer) :])
        for arg in arguments:
            if arg.arg != "self" and arg.arg not in fixed and (word := next(free, None)) is not None:
                names[arg.arg] = word
                found[at(arg.lineno, arg.col_offset)] = word
        for child in node.body if isinstance(node.body, list) else [node.body]:
            visit(child, names)

    visit(tree, {})
    return found


def _arguments(node: Function) -> list[ast.arg]:
    args = node.args
    more = [arg for arg in (args.vararg, args.kwarg) if arg is not None]
    return [*args.posonlyargs, *args.args, *args.kwonlyargs, *more]


def _untouchable(node: Function) -> set[str]:
    """Names inside a function whose places are not known: of `nonlocal`, and in the braces of an f-string."""
    names: set[str] = set()
    for inner in ast.walk(node):
        if isinstance(inner, ast.Nonlocal):
            names.update(inner.names)
        elif isinstance(inner, ast.JoinedStr):
            names.update(part.id for part in ast.walk(inner) if isinstance(part, ast.Name))
    return names
