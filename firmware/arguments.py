"""The command line on a computer, and what it names. A cold module: needed once."""

import os
import sys

from cold import cold

USAGE = """usage: micropython firmware/main.py --board NAME --data DIR [--factory FILE] [--on-reset exit]
  --board NAME      folder in boards/, for example sim
  --data DIR        where everything is kept that survives a power cut; made if it is missing
  --factory FILE    JSON file with presets: {"board": {...}, "settings": {...}, "ocpp": {...}}
  --on-reset exit   end at a reset (status 64 soft, 65 hard) instead of starting again in place
  --help            this text
Ends with status 0 after SIGTERM, 130 after Ctrl-C, 2 when the command line or the factory file is wrong."""

_OPTIONS = ("board", "data", "factory", "on-reset")


class UsageError(Exception):
    """The command line or a file it names is wrong; the text says how."""


def parse(arguments):
    """Return {option: value} for a command line without the program's name, or None for --help. UsageError: bad."""
    options = {}
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if word in ("--help", "-h"):
            return None
        name, mark, value = word[2:].partition("=")
        if word[:2] != "--" or name not in _OPTIONS:
            raise UsageError("unknown argument %s" % word)
        if not mark:
            if not rest or rest[0][:2] == "--":
                raise UsageError("--%s needs a value" % name)
            value = rest.pop(0)
        if name in options:
            raise UsageError("--%s is given twice" % name)
        if not value:
            raise UsageError("--%s needs a value" % name)
        options[name] = value
    for name in ("board", "data"):
        if name not in options:
            raise UsageError("--%s is missing" % name)
    if not all("a" <= c <= "z" or "0" <= c <= "9" or c == "_" for c in options["board"]):
        raise UsageError("--board is a name of small letters, digits and _, not %s" % options["board"])
    if options.get("on-reset", "exit") not in ("exit", "restart"):
        raise UsageError("--on-reset is exit or restart, not %s" % options["on-reset"])
    return options


def find_board(name):
    """Return the module boards/<name>/board.py, beside or above this folder. UsageError: there is none."""
    here = __file__.rpartition("/")[0] or "."
    for base in (here + "/..", here):
        folder = base + "/boards/" + name
        if _is_folder(folder):
            sys.path.insert(0, folder)
            try:
                return __import__("board")
            finally:
                sys.path.remove(folder)
                sys.modules.pop("board", None)  # another board has the same name; and its code need not stay
    raise UsageError("there is no board %s in boards/" % name)


def describe_board(board, preset):
    """Data of a board module. UsageError: the presets do not fit it, or it needs other hardware."""
    if hasattr(board, "PINS"):
        raise UsageError(
            "board %s runs on an %s with its own HAL; on a computer use --board sim" % (board.NAME, board.HAL.upper())
        )
    try:
        return dict(board.describe(preset), hal=board.HAL)
    except ValueError as exc:
        raise UsageError("board in the factory file: %s" % exc)


def _is_folder(path):
    try:
        return os.stat(path)[0] & 0x4000 != 0
    except OSError:
        return False


def read(words):
    """Return (board data, options, factory) for a command line; None after --help. UsageError: see its text."""
    options = parse(words)
    if options is None:
        print(USAGE)
        return None
    try:
        factory = cold("factory").read(options.get("factory"))
    except ValueError as exc:
        raise UsageError(exc.args[0])
    return describe_board(find_board(options["board"]), factory.get("board", {})), options, factory
