"""Join the modules that stay in RAM into one, before names are shortened.

On the device every module costs RAM beside its code: its path, its dotted name, an object, a table of its globals with
room to spare, and its own list of the names it uses. A charger has fifty that stay for ever: joined they need 8 kB
less. The sources stay as they are; a traceback of the built firmware names the functions (see names.txt of the build).

Cold modules (lib/cold.py) stay apart, but move: a module's dotted name and its last part are names that stay, too, so
`ocpp16.session` becomes `session` in the same root folder, where that is free and no text of the program is completed
to the dotted name ("hal." + board.HAL). Given words that cost nothing, it becomes one of them: `append`, as far as they
go; modules without a dot, too.

Joined is what others import by `from x import y` at their top level. Left alone are the program's entry points, modules
that somebody imports whole (`import x`), that are imported only inside functions (so not always), and those whose name
stands in a text: cold modules, and what a board picks by name.

What would change the meaning of a module is not joined but reported: see `LinkError`.
"""

from __future__ import annotations

import ast
import builtins
import io
import tokenize
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tools.shorten import is_private

NAME = "resident"  # the module that all are joined into
PATH = f"firmware/{NAME}.py"


class LinkError(Exception):
    """The modules cannot be joined; the text names file and line, and what to change."""


@dataclass
class _Module:
    """One source file. imports: local name -> (module, name) for each `from module import name` at any level."""

    name: str
    path: str
    tree: ast.Module
    is_package: bool
    defined: set[str] = field(default_factory=set)  # by the module itself, at the top level
    needs: list[str] = field(default_factory=list)  # modules that its top level imports from

    def origin(self, node: ast.ImportFrom) -> str:
        """The absolute name of the module that a statement imports from."""
        if not node.level:
            return node.module or ""
        parts = self.name.split(".")
        base = parts[: len(parts) - node.level + (1 if self.is_package else 0)]
        return ".".join([*base, *([node.module] if node.module else [])])


def link(
    sources: Mapping[str, str],
    entries: tuple[str, ...],
    name_of: Callable[[str], str],
    taken: frozenset[str] = frozenset(),
    words: Sequence[str] = (),
) -> tuple[dict[str, str], list[str], dict[str, str]]:
    """Return (texts by path, the modules that were joined, {module: name it has moved to}).

    One text is new, at PATH; those of the joined modules are gone.

    sources: path -> text of all files of the program; entries: modules that are started, so stay; name_of: the dotted
    name a path is imported by; taken: names of modules that the port has; words: names that cost nothing, for modules
    that move. LinkError: see there. SyntaxError: a file cannot be read.
    """
    modules = {
        name_of(path): _Module(name_of(path), path, ast.parse(text), path.endswith("/__init__.py"))
        for path, text in sources.items()
    }
    for module in modules.values():
        module.defined = _top_names(module.tree)
        module.needs = [module.origin(node) for node in module.tree.body if isinstance(node, ast.ImportFrom)]
    joined = [modules[name] for name in _in_order(_candidates(modules, entries), modules)]
    if not joined:
        return dict(sources), [], {}
    inside = {module.name for module in joined}
    new = _new_names(joined, modules, inside)
    moved = _moved(modules, inside | set(entries), taken, words)
    body = _body(joined, inside, new, moved)
    texts = {PATH: ast.unparse(ast.Module(body, [])) + "\n"}
    for module in modules.values():
        if module.name not in inside:
            path = module.path
            if module.name in moved:
                path = f"{path.partition('/')[0]}/{moved[module.name]}.py"
            texts[path] = _redirected(module, sources[module.path], inside, new, moved)
    return texts, [module.name for module in joined], moved


# -- which


def _candidates(modules: Mapping[str, _Module], entries: tuple[str, ...]) -> set[str]:
    """Names of modules that are always loaded, by statements that name what they take, and in no other way."""
    whole: set[str] = set(entries)
    for module in modules.values():
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Import):
                whole.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                whole.update(
                    f"{module.origin(node)}.{alias.name}" for alias in node.names
                )  # from package import module
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                whole.add(node.value)
    loaded = whole & set(modules)
    while more := {need for name in loaded for need in modules[name].needs if need in modules} - loaded:
        loaded |= more
    return loaded - whole


def _in_order(wanted: set[str], modules: Mapping[str, _Module]) -> list[str]:
    """What a module needs stands before it."""
    order: list[str] = []
    open_: list[str] = []

    def visit(name: str) -> None:
        if name in order or name not in wanted:
            return
        if name in open_:
            raise LinkError(f"{' -> '.join([*open_, name])}: these modules import each other")
        open_.append(name)
        for need in modules[name].needs:
            visit(need)
        open_.pop()
        order.append(name)

    for name in sorted(wanted):
        visit(name)
    return order


def _moved(
    modules: Mapping[str, _Module], fixed: set[str], taken: frozenset[str], words: Sequence[str]
) -> dict[str, str]:
    """Names of modules that are loaded by a text -> the one part that is enough. fixed: modules that do not move."""
    texts: Counter[str] = Counter()
    cold: Counter[str] = Counter()  # texts in cold("...")
    whole: set[str] = set()
    for module in modules.values():
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts[node.value] += 1
            elif isinstance(node, ast.Import):
                whole.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                whole.update(f"{module.origin(node)}.{alias.name}" for alias in node.names)
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "cold":
                cold.update(str(arg.value) for arg in node.args if isinstance(arg, ast.Constant))
    begun = tuple(text for text in texts if text.endswith("."))  # the program completes them: "hal." + name
    used = Counter(name.rpartition(".")[2] for name in modules)
    used.update(taken | {NAME} | {name.partition(".")[0] for name in modules if "." in name})
    moved: dict[str, str] = {}
    free = {word for word in words if not used[word]}
    for name, module in sorted(modules.items()):
        # A text without a dot may mean something else.
        is_name = texts[name] and ("." in name or texts[name] == cold[name])
        if not is_name or name in fixed | whole or module.is_package or name.startswith(begun):
            continue
        leaf = name.rpartition(".")[2]
        if free:  # the same for a module whatever modules there are beside it, as far as that goes
            moved[name] = max(free, key=lambda word: zlib.crc32(f"{name} {word}".encode()))
            free.remove(moved[name])
        elif leaf != name and used[leaf] == 1:
            moved[name] = leaf
    return moved


# -- names


def _top_names(tree: ast.Module) -> set[str]:
    """What the statements at the top level define; imports do not count."""
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif not isinstance(node, ast.Import | ast.ImportFrom):
            names.update(n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store))
    return names


def _local_names(tree: ast.Module) -> set[str]:
    """Names that functions and classes bind for themselves: arguments, variables, methods apart."""
    names: set[str] = set()
    for scope in ast.walk(tree):
        if isinstance(scope, ast.arg):
            names.add(scope.arg)
        elif isinstance(scope, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda | ast.GeneratorExp):
            free = {name for n in ast.walk(scope) if isinstance(n, ast.Global) for name in n.names}
            names |= {n.id for n in ast.walk(scope) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)} - free
    return names


def _new_names(joined: list[_Module], modules: Mapping[str, _Module], inside: set[str]) -> dict[tuple[str, str], str]:
    """(module, top-level name) -> its name in the joined module: unlike every other name that is used there."""
    count = Counter(name for module in joined for name in module.defined)
    asked_from_outside = {
        (module.origin(node), alias.name)
        for module in modules.values()
        if module.name not in inside
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    foreign = set(dir(builtins)) | {name for module in joined for name in _imported(module, inside)}
    new: dict[tuple[str, str], str] = {}
    used: set[str] = set()
    for module in joined:
        constants = _constants(module.tree)
        for name in sorted(module.defined):
            chosen = name
            if name in constants and not is_private(name) and (module.name, name) not in asked_from_outside:
                chosen = "_" + name  # nobody sees it: mpy-cross puts the value in its place
            while chosen in used or chosen in foreign or (chosen == name and count[name] > 1 and chosen in used):
                chosen += "_" + module.name.replace(".", "_")
            used.add(chosen)
            new[module.name, name] = chosen
        for node in module.tree.body:  # what it imports can be imported from it
            if isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    if (origin := (module.origin(node), alias.name)) in new:
                        new[module.name, alias.asname or alias.name] = new[origin]
    return new


def _place(module: _Module, node: ast.ImportFrom, alias: ast.alias, new: Mapping[tuple[str, str], str]) -> str:
    """The new name of something that a statement imports from a joined module."""
    origin = module.origin(node)
    if (origin, alias.name) not in new:
        raise LinkError(f"{module.path}:{node.lineno}: {origin} does not define {alias.name}")
    return new[origin, alias.name]


def _imported(module: _Module, inside: set[str]) -> Iterator[str]:
    """Names that a module imports from outside of the joined ones."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from ((alias.asname or alias.name).partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and module.origin(node) not in inside:
            yield from (alias.asname or alias.name for alias in node.names)


def _constants(tree: ast.Module) -> set[str]:
    """Names of `X = const(...)` at the top level."""
    return {
        node.targets[0].id
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.Call)
        and isinstance(node.value.func, ast.Name)
        and node.value.func.id == "const"
    }


# -- texts


class _Rewriter(ast.NodeTransformer):
    """Gives one module's top-level names, and those it imports from joined modules, their new names; drops the
    imports that are not needed any more, and gives private attributes names that all modules share."""

    def __init__(
        self, module: _Module, inside: set[str], new: Mapping[tuple[str, str], str], moved: Mapping[str, str]
    ) -> None:
        self._module = module
        self._moved = moved
        self._inside = inside
        self._names = {name: new[module.name, name] for name in module.defined}
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ImportFrom) and module.origin(node) in inside:
                for alias in node.names:
                    self._names[alias.asname or alias.name] = _place(module, node, alias, new)
        changed = {old for old, name in self._names.items() if old != name}
        hidden = sorted(changed & _local_names(module.tree))
        if hidden:
            raise LinkError(f"{module.path}: {', '.join(hidden)}: a local name hides a name of the module; rename it")
        self._attributes = _shared_attributes(module.tree)

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if isinstance(node.value, str):
            node.value = self._moved.get(node.value, node.value)
        return node

    def visit_Name(self, node: ast.Name) -> ast.AST:
        node.id = self._names.get(node.id, node.id)
        return node

    def visit_Global(self, node: ast.Global) -> ast.AST:
        node.names = [self._names.get(name, name) for name in node.names]
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        node.attr = self._attributes.get(node.attr, node.attr)
        return node

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | None:
        if self._module.origin(node) in self._inside:
            return None
        origin = self._module.origin(node)
        node.module, node.level = self._moved.get(origin, origin), 0
        return node

    def _visit_definition(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node, ast.ClassDef):
            for member in node.body:
                if isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef):
                    member.name = self._attributes.get(member.name, member.name)
        if not node.body:  # nothing but an import
            node.body = [ast.Pass()]
        return node

    visit_FunctionDef = visit_AsyncFunctionDef = visit_ClassDef = _visit_definition


def _shared_attributes(tree: ast.Module) -> dict[str, str]:
    """Private attributes and methods of the classes -> `_a0`, `_a1` ...: the same few for every module, as the objects
    are different ones. What is also used without a dot keeps its name."""
    bare = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    bare |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    methods = [
        member.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        for member in node.body
        if isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    used = [node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    private = Counter(name for name in used + methods if is_private(name) and name not in bare)
    by_use = sorted(private, key=lambda name: (-private[name], name))
    return {name: f"_a{index}" for index, name in enumerate(by_use)}


def _body(
    joined: list[_Module], inside: set[str], new: Mapping[tuple[str, str], str], moved: Mapping[str, str]
) -> list[ast.stmt]:
    """All statements of the joined modules, every import of something else once and first."""
    imports: dict[str, ast.stmt] = {}
    bound: dict[str, str] = {}
    body: list[ast.stmt] = []
    for module in joined:
        rewritten = _Rewriter(module, inside, new, moved).visit(module.tree)
        for node in rewritten.body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                for one in _single(node):
                    text = ast.unparse(one)
                    name = (one.names[0].asname or one.names[0].name).partition(".")[0]
                    if bound.setdefault(name, text) != text:
                        raise LinkError(f"{module.path}:{node.lineno}: {name} is another import elsewhere")
                    imports[text] = one
            elif not _is_documentation(node):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                    node.name = new[module.name, node.name]
                body.append(node)
    return [*imports.values(), *body]


def _single(node: ast.Import | ast.ImportFrom) -> Iterator[ast.Import | ast.ImportFrom]:
    for alias in node.names:
        if isinstance(node, ast.Import):
            yield ast.Import([alias])
        else:
            yield ast.ImportFrom(node.module, [alias], node.level)


def _is_documentation(node: ast.stmt) -> bool:
    if isinstance(node, ast.Assign):
        return isinstance(node.targets[0], ast.Name) and node.targets[0].id == "__all__"
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _redirected(
    module: _Module,
    text: str,
    inside: set[str],
    new: Mapping[tuple[str, str], str],
    moved: Mapping[str, str],
) -> str:
    """A module that was not joined, with its imports led to where things are now. Lines stay."""
    lines = text.splitlines(keepends=True)
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.ImportFrom):
            continue
        origin = module.origin(node)
        names = [(alias.name, alias.asname or alias.name) for alias in node.names]
        if origin in inside:
            names = [
                (_place(module, node, alias, new), local) for alias, (_, local) in zip(node.names, names, strict=True)
            ]
            origin = NAME
        elif origin not in moved and not node.level:
            continue
        what = ", ".join(name if name == local else f"{name} as {local}" for name, local in names)
        first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
        lines[first] = f"{lines[first][: node.col_offset]}from {moved.get(origin, origin)} import {what}\n"
        for index in range(first + 1, last + 1):
            lines[index] = "\n"
    for token in reversed(list(tokenize.generate_tokens(io.StringIO("".join(lines)).readline))):
        if token.type == tokenize.STRING and (name := moved.get(token.string[1:-1])) is not None:
            row, column = token.start
            line = lines[row - 1]
            lines[row - 1] = line[:column] + repr(name) + line[token.end[1] :]
    return "".join(lines)
