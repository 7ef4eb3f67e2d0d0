"""From the command line, or without one from the device's board, to a built charger.

A cold module: needed once, and nothing of the presets stays.
"""

import sys

from clock import Clock
from cold import cold
from log import Log

from charger.app import App

_LOG_LINES = 12


def make(words, sink):
    """Return (app, hal, log), or the exit status when there is nothing to run.

    words -- command line, empty on a device; sink -- callable(line) of the log
    """
    if not words:
        device = cold("device")
        board = device.board_here()
        if board is not None:
            return device.make(board, sink)
        del device
    arguments = cold("arguments")
    try:
        found = arguments.read(words)
    except arguments.UsageError as exc:
        print("main.py: %s (--help shows the arguments)" % exc, file=sys.stderr)
        return 2
    if found is None:
        return 0
    board, options, factory = found
    del arguments, found  # their code is not needed while the rest is loaded
    clock = Clock()
    log = Log(clock, sink, _LOG_LINES)
    try:
        hardware = __import__("hal." + board["hal"], None, None, ("*",))
        hal = hardware.Hal(options["data"], board["io"], log, options.get("on-reset", "restart"))
        settings = cold("charger.settings").Settings(options["data"], log, factory.get("settings"))
        app = App(hal, clock, log)
        cold("charger.build").fill(app, board, settings, factory.get("ocpp") or {})
    except (OSError, ValueError) as exc:
        print("main.py: cannot start: %s" % exc, file=sys.stderr)
        return 2
    return app, hal, log
