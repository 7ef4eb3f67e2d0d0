"""The file /main.py of a board: starts the program in the folder that boot.py has put first on sys.path.

It lies outside the slots, so it must work with every version of what is in them: module `main`, main(words).
"""

import sys

_WAIT_S = 30
_FAILED = "/data/launch-failed.txt"


def keep(exc):
    """For the next start that works: how often it failed, and the last traceback. Never raises; see event_log.py."""
    count = 0
    try:
        with open(_FAILED) as f:
            count = int(f.readline(24))
    except (OSError, ValueError):
        pass
    try:
        with open(_FAILED, "w") as f:
            f.write("%d          \n" % (count + 1))
            sys.print_exception(exc, f)
    except OSError:  # no such folder yet, or full
        pass


def launch():
    """A program that cannot be started gets another chance: nobody is there to read a traceback and press a button."""
    folder = sys.path[0]
    if folder != "/rom" and folder[:6] != "/slot_":
        print("There is no program on this board: make flash BOARD=... puts one there.")
        return
    try:
        __import__("main").main(())
    except Exception as exc:  # noqa: BLE001 - whatever is wrong with it
        import time

        import machine

        sys.print_exception(exc)
        keep(exc)
        print("%s has failed; again in %d s, Ctrl-C: REPL" % (folder, _WAIT_S))
        time.sleep(_WAIT_S)
        machine.reset()


launch()
