"""Starts the charger: `micropython main.py --board NAME --data DIR [--factory FILE] [--on-reset exit]`."""

import asyncio
import sys


def main(words):
    """Run the charger; return the exit status."""
    find_rooms()
    from cold import cold

    arguments = cold("arguments")
    try:
        found = arguments.read(words)
    except arguments.UsageError as exc:
        print("main.py: %s (--help shows the arguments)" % exc, file=sys.stderr)
        return 2
    if found is None:
        return 0
    del arguments
    return serve(*found)


def find_rooms():
    """Put the folder of this file and lib/ beside or above it on sys.path: from source, or compiled."""
    here = __file__.rpartition("/")[0] or "."
    for room in (here + "/../lib", here + "/lib", here):
        if room not in sys.path:
            sys.path.insert(0, room)


def serve(board, options, factory):
    """Build the charger and keep it alive until it is told to end; return the exit status."""
    import micropython
    from clock import Clock
    from log import Log

    from charger.app import App
    from charger.settings import Settings
    from hal.unix import Hal

    clock = Clock()
    log = Log(clock, lambda line: print(line, file=sys.stderr), 24)
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
