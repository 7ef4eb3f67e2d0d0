"""Starts the charger: `micropython main.py --board NAME --data DIR [--factory FILE] [--on-reset exit]`."""

import asyncio
import os
import sys

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


def read_factory(path):
    """Return the object in the factory file, {} without one. UsageError: it cannot be used."""
    from charger.files import read_json

    if path is None:
        return {}
    try:
        factory = read_json(path)
    except OSError as exc:
        raise UsageError("cannot read the factory file %s (error %s)" % (path, exc.errno))
    except ValueError:
        raise UsageError("the factory file %s is not whole JSON" % path)
    if not isinstance(factory, dict):
        raise UsageError("the factory file %s must hold one JSON object" % path)
    for name in factory:
        if name not in ("board", "settings", "ocpp"):
            raise UsageError("the factory file %s has an unknown part %s" % (path, name))
        if not isinstance(factory[name], dict):
            raise UsageError("%s in the factory file %s must be an object" % (name, path))
    return factory


def find_rooms(board):
    """Put firmware/, lib/ and boards/<board> on sys.path, from source or compiled. UsageError: no such board."""
    here = __file__.rpartition("/")[0] or "."
    places = (here, here + "/..")
    rooms = [here] + [base + "/lib" for base in places if _is_folder(base + "/lib")]
    boards = [base + "/boards/" + board for base in places if _is_folder(base + "/boards/" + board)]
    if not boards:
        raise UsageError("there is no board %s in boards/" % board)
    for room in [boards[0]] + rooms[::-1]:
        if room not in sys.path:
            sys.path.insert(0, room)


def describe_board(factory):
    """Data of the board that is on sys.path. UsageError: the presets do not fit it, or it needs other hardware."""
    import board

    if board.HAL != "unix":
        raise UsageError(
            "board %s runs on an %s with its own HAL; on a computer use --board sim" % (board.NAME, board.HAL.upper())
        )
    try:
        return board.describe(factory)
    except ValueError as exc:
        raise UsageError("board in the factory file: %s" % exc)


def _is_folder(path):
    try:
        return os.stat(path)[0] & 0x4000 != 0
    except OSError:
        return False


def main(arguments):
    """Run the charger; return the exit status."""
    try:
        options = parse(arguments)
        if options is None:
            print(USAGE)
            return 0
        find_rooms(options["board"])
        factory = read_factory(options.get("factory"))
        board = describe_board(factory.get("board", {}))
    except UsageError as exc:
        print("main.py: %s (--help shows the arguments)" % exc, file=sys.stderr)
        return 2
    return serve(board, options, factory)


def serve(board, options, factory):
    """Build the charger and keep it alive until it is told to end; return the exit status."""
    import micropython
    from clock import Clock
    from log import Log

    from charger.app import App
    from charger.settings import Settings
    from hal.unix import Hal

    clock = Clock()
    log = Log(clock, lambda line: print(line, file=sys.stderr))
    try:
        hal = Hal(options["data"], board["io"], log, options.get("on-reset", "restart"))
        settings = Settings(options["data"], log, factory.get("settings"))
        app = App(board, hal, settings, clock, log, factory.get("ocpp"))
    except (OSError, ValueError) as exc:
        print("main.py: cannot start: %s" % exc, file=sys.stderr)
        return 2
    reset, status = None, 0
    try:
        try:
            reset = asyncio.run(app.run())
        except BaseException as exc:  # noqa: BLE001 - whatever ended it, the output goes off first
            micropython.kbd_intr(-1)  # a second Ctrl-C must not disturb what follows
            app.make_safe()
            status = 130 if isinstance(exc, KeyboardInterrupt) else 1
            if status == 1:
                log.error("main", exc)
            asyncio.run(app.shut_down())
    finally:
        app.make_safe()
        hal.close()
    if reset is not None:
        hal.reset(reset)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
