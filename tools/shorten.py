"""Rename names before compiling: on the device every name costs RAM for as long as the program runs.

MicroPython keeps one copy of each distinct name of a program, its text and 7 bytes of table: 22 kB of ours, a fifth of
all we need, and names of cold modules stay as well. A name that the firmware of the port has built in costs nothing. So
the build gives our names such words, as far as they go (`Program.rename`):

* private names (`_name`) belong to one file: all files share the same few words for theirs;
* arguments that are never passed by name share a few words among all functions (parameters.py);
* other names that we define (functions, classes, attributes) get a word each, the same in all files.

Line breaks stay where they are, so a traceback with line numbers (see --lines of the build) leads to the source, and
the build writes the list of renamed public names beside its output. What crosses the border to MicroPython or to text
keeps its name: everything in the port's stubs, every word inside a text of ours (getattr, JSON), module names, `__x__`.

The rules that make this safe are checked: `findings` tells where a file breaks them.
"""

from __future__ import annotations

import ast
import builtins
import functools
import io
import itertools
import keyword
import re
import string
import subprocess
import tokenize
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tools.parameters import by_keyword, most, places

KEEP = frozenset({"_io_queue", "_task_queue", "_asyncio"})  # private names of MicroPython itself
_SHORTEST = 4  # a public name below this length is not worth a rename
# Names that ports have built in although no stub tells: of asyncio, mip, requests, and of their own inner life.
_MORE_WORDS = (
    "AF_UNIX Authorization B1000000 B115200 B1152000 B230400 B460800 B500000 B57600 B576000 B921600 B9600"
    " Connection DELETE Done HEAD Host MSG_DONTROUTE MSG_DONTWAIT PATCH POST PUT PinBase SO_ERROR SO_KEEPALIVE"
    " SO_LINGER Stream TCSANOW VfsLfs1 VfsPosix VfsRom ViperTypeError abs_tol awritestr bound_method cfun chunked"
    " deps dict_view executable fficallback ffifunc ffimod ffivar funcs generator getvalue hashes idx inet_ntop"
    " inet_pton jclass jmethod jni jobject latest mem_current mem_peak mem_total peername pend_throw rel_tol"
    " requesting setraw single status_code stream_awrite sz tcgetattr tcsetattr urls usys waiting"
).split()
_PROBE = """\
import micropython, sys
for word in sys.stdin.read().split():
    getattr(sys, word, None)
    micropython.qstr_info()
"""


def is_private(name: str) -> bool:
    """A name of ours that belongs to one file: `_x...`, not `__x__`."""
    return len(name) > 2 and name[0] == "_" and name[1] != "_" and name not in KEEP


@dataclass(frozen=True)
class Stock:
    """MicroPython's own names. names: must keep their meaning; words: built into the port, free of charge."""

    names: frozenset[str]
    words: tuple[str, ...]

    @classmethod
    def of(cls, stubs: Path, interpreter: Path, in_file: Callable[[list[str]], list[int]]) -> Stock:
        """Read the stubs in a folder (.pyi files, any depth), and ask an interpreter which of their names it has.

        in_file(words): bytes that each takes in a compiled file; the cheapest come first."""
        found: set[str] = set()
        for path in stubs.rglob("*.pyi"):
            found.update(path.relative_to(stubs).with_suffix("").parts)
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                found.update(
                    n for field in ("name", "arg", "id", "attr") if isinstance(n := getattr(node, field, None), str)
                )
                if isinstance(node, ast.alias):
                    found.update(node.name.split("."))
        found.update(_MORE_WORDS)
        words = sorted(word for word in found if word.isidentifier() and word[0] != "_" and not keyword.iskeyword(word))
        names = found | set(dir(builtins)) | set(keyword.kwlist)
        free = list(_built_in(words, interpreter))
        by_size = sorted(zip(in_file(free), free, strict=True))
        return cls(frozenset(names), tuple(word for _, word in by_size))


def _built_in(words: list[str], interpreter: Path) -> Iterator[str]:
    """Those of the words whose use makes the interpreter's table of names no longer."""
    done = subprocess.run(
        [interpreter, "-X", "heapsize=4m", "-c", _PROBE],
        input="\n".join(["first_word_is_new", *words]),
        capture_output=True,
        text=True,
        check=True,
    )
    counts = [int(count) for count in re.findall(r"n_qstr=(\d+)", done.stdout)]
    for word, (before, after) in zip(words, itertools.pairwise(counts), strict=True):
        if before == after:
            yield word


def words_in_use(texts: Iterable[str], stock: Stock) -> set[str]:
    """Words of the port that a program uses anyway: as names of something else they cost nothing, and take nothing."""
    used = {token.string for text in texts for token in _names(text)}
    return {word for word in used.intersection(stock.words) if word.islower() and len(word) >= _SHORTEST}


class Program:
    """All source files that are compiled together: one set of new names."""

    def __init__(self, sources: Mapping[str, str], stock: Stock, first: tuple[str, ...] = ()) -> None:
        """sources: path from the repository's root -> text; first: beginnings of paths, the names of those files get
        the words that cost nothing before others do. SyntaxError: a file cannot be read.
        """
        trees = {path: ast.parse(text) for path, text in sources.items()}
        tokens = {path: _names(text) for path, text in sources.items()}
        count = Counter(token.string for names in tokens.values() for token in names)
        texts = set().union(*map(_words_in_texts, trees.values()))
        prefixes = tuple(text for text in texts if len(text) > 1 and text[-1] == "_")  # getattr(module, "on_" + action)
        border = stock.names | texts | {part for path in sources for part in Path(path).with_suffix("").parts}
        words = (word for word in stock.words if word not in count and word not in texts)
        free = itertools.chain(words, (n for n in _short_names() if n not in count and n not in border))

        # A text may be a key of what is passed as **options.
        keep = by_keyword(trees.values()) | set().union(*map(_whole_texts, trees.values()))
        words_of_arguments = list(itertools.islice(free, max(map(most, trees.values()), default=0)))
        self._places = {path: places(tree, sources[path], keep, words_of_arguments) for path, tree in trees.items()}
        tokens = {path: [t for t in names if t.start not in self._places[path]] for path, names in tokens.items()}
        count = Counter(token.string for names in tokens.values() for token in names)
        private = {
            path: Counter(t.string for t in names if is_private(t.string) and t.string not in _constants(trees[path]))
            for path, names in tokens.items()
        }
        shared = list(itertools.islice(free, max(map(len, private.values()), default=0)))
        self._private = {path: dict(zip(_by_use(names), shared, strict=False)) for path, names in private.items()}
        public = {
            name: count[name]
            for name in set().union(*(_defined(tree, keep) for tree in trees.values())) & set(count)
            if name[0] != "_" and len(name) >= _SHORTEST and name not in border and not name.startswith(prefixes)
        }
        rank = _ranks(tokens, first)
        by_rank = sorted(_by_use(public), key=lambda name: rank[name])
        stay = list(words)  # what is left of them goes to the first, the shortest to what stands in most files
        files = Counter(name for names in tokens.values() for name in {token.string for token in names})
        by_files = sorted(by_rank[: len(stay)], key=lambda name: -files[name])
        self.public = dict(zip(by_files + by_rank[len(stay) :], itertools.chain(stay, free), strict=False))
        self._sources = sources

    def rename(self, path: str) -> str:
        """The text of one file with its new names. Line breaks stay where they are."""
        new = self.public | self._private[path]
        lines = self._sources[path].splitlines(keepends=True)
        for token in reversed(_names(self._sources[path])):
            word = self._places[path].get(token.start) or new.get(token.string)
            if word is not None:
                row, column = token.start
                line = lines[row - 1]
                lines[row - 1] = line[:column] + word + line[column + len(token.string) :]
        return "".join(lines)

    def listing(self) -> str:
        """The new public names and the old ones, a line each, for whoever reads a traceback."""
        return "".join(f"{new} {old}\n" for new, old in sorted((new, old) for old, new in self.public.items()))


def _by_use(count: Mapping[str, int]) -> list[str]:
    return sorted(count, key=lambda name: (-count[name], name))


def _ranks(tokens: Mapping[str, list[tokenize.TokenInfo]], first: tuple[str, ...]) -> dict[str, int]:
    """Name -> number of the first of these beginnings that fits a file where it is used; their count if none does."""
    rank: dict[str, int] = {}
    for path, names in tokens.items():
        place = next((n for n, begin in enumerate(first) if path.startswith(begin)), len(first))
        for token in names:
            rank[token.string] = min(place, rank.get(token.string, place))
    return rank


def _short_names() -> Iterator[str]:
    for length in itertools.count(2):
        for letters in itertools.product(string.ascii_lowercase, repeat=length):
            yield "".join(letters)


@functools.cache
def _constants(tree: ast.Module) -> frozenset[str]:
    """Private names of `const` values. mpy-cross puts the value in their place, because of the `_`: no name is left."""
    return frozenset(
        node.targets[0].id
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.Call)
        and isinstance(node.value.func, ast.Name)
        and node.value.func.id == "const"
        and is_private(node.targets[0].id)
    )


def _names(source: str) -> list[tokenize.TokenInfo]:
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return [token for token in tokens if token.type == tokenize.NAME]


def _words_in_texts(tree: ast.Module) -> set[str]:
    """Words inside the program's texts, by which it may look up names. Docstrings are not compiled and do not count,
    nor do sentences: texts with a blank in a function, unless it splits them. A table of names stands in the module."""
    silent = {id(text) for text in _sentences(tree)}
    words: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.body:
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                silent.add(id(first.value))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in silent:
            words.update(re.findall(r"\w+", node.value))
    return words


def _sentences(tree: ast.Module) -> Iterator[ast.Constant]:
    attributes = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    split = {id(node.value) for node in attributes if node.attr == "split"}
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            for node in ast.walk(function):
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in split:
                    if " " in node.value:
                        yield node


def _whole_texts(tree: ast.Module) -> set[str]:
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def _defined(tree: ast.Module, arguments: set[str]) -> set[str]:
    """Names that a file gives to something and that stay in RAM: functions, classes, those of `arguments`, attributes,
    variables of modules and classes. The variables of a function have no names in the compiled code."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.arg) and node.arg in arguments:
            names.add(node.arg)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            names.add(node.attr)
        if isinstance(node, ast.Module | ast.ClassDef):
            names |= _bound(node.body)
    return names


def _bound(body: list[ast.stmt]) -> set[str]:
    """Variables that the statements of a module or a class bind, at any depth but not inside functions."""
    todo: list[ast.AST] = list(body)
    names: set[str] = set()
    while todo:
        node = todo.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            continue
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        todo += ast.iter_child_nodes(node)
    return names


def findings(source: str) -> list[tuple[int, str]]:
    """(line, what is wrong) wherever renaming could change what this file does. SyntaxError: it cannot be read."""
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
    """f-strings: older Pythons do not see the names inside as names."""
    return [
        (node.lineno, "names inside an f-string cannot be renamed: use the % operator")
        for node in ast.walk(tree)
        if isinstance(node, ast.JoinedStr)
    ]
