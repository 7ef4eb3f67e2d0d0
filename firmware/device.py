"""From a board's own data to a built charger, without a command line. A cold module: needed once.

The board is the module `board`: frozen into the firmware, or the file board.py or board.mpy beside main.py.
"""

from clock import Clock
from cold import cold
from log import Log

DATA = "/data"  # what survives a power cut
FACTORY = "/factory.json"  # presets, if the file is there; shape: see factory. Also read by charger.commands
_LOG_LINES = 12
_LOOK_S = 30


def board_here():
    """The board's module, or None on a computer, where --board names one."""
    try:
        import board
    except ImportError:
        return None
    return board if hasattr(board, "PINS") else None


def make(board, sink):
    """Return (app, hal, log). If the program cannot be built the board starts anew after 30 s; its outputs are safe."""
    clock = Clock()
    log = Log(clock, sink, _LOG_LINES)
    try:
        return _make(board, clock, log)
    except Exception as exc:  # noqa: BLE001 - nobody is there to read a traceback and start it again
        log.error("main", exc)
        cold("charger.event_log").failed(DATA, exc)
        cold("hal." + board.HAL + "_system").give_up(_LOOK_S)


def _make(board, clock, log):
    presets = _presets(log)
    try:
        described = board.describe(presets.get("board", {}))
    except ValueError as exc:
        log.error("main", "%s: %s; ignored" % (FACTORY, exc))
        described = board.describe({})
    hal = __import__("hal." + board.HAL, None, None, ("*",)).Hal(board, described, clock, log, DATA)
    try:
        secrets = hal.secrets()
    except OSError as exc:
        log.error("settings", exc)  # then they live in the file like the others
        secrets = None
    from charger.app import App

    settings = cold("charger.settings").Settings(DATA, log, presets.get("settings"), secrets)
    app = App(hal, clock, log)
    cold("charger.build").fill(app, described, settings, presets.get("ocpp") or {})
    hal.use(settings)
    return app, hal, log


def _presets(log):
    try:
        return cold("factory").read(FACTORY, True)
    except ValueError as exc:
        log.error("main", "%s; ignored" % exc)
        return {}
