"""Starts the charger: `micropython main.py --board NAME --data DIR [--factory FILE] [--on-reset exit]`.

On a device there is no command line: the board is the module `board` (see device.py).
"""

import asyncio
import gc
import sys


def main(words):
    """Run the charger; return the exit status, or None on a device that is left to the REPL."""
    # Collect early: what lives long stays together at the bottom of the heap instead of between garbage.
    gc.threshold(gc.mem_free() // 16)
    find_rooms()
    from cold import cold

    made = cold("start").make(words, _print)
    if isinstance(made, int):
        return made
    status = serve(*made)
    if words:
        return status
    made[1].ended(status)
    return None


def _print(line):
    print(line, file=sys.stderr)


def find_rooms():
    """Put the folder of this file and lib/ beside or above it on sys.path: from source, or compiled."""
    try:
        here = __file__.rpartition("/")[0] or "."
    except NameError:  # frozen
        return
    above, slash, leaf = here.rpartition("/")
    # Every module keeps its path in RAM: no ".." in it where the name of the folder above is known.
    above = here + "/../" if leaf in (".", "..") else above + slash
    for room in (above + "lib", here + "/lib", here):
        if room not in sys.path:
            sys.path.insert(0, room)


def serve(app, hal, log):
    """Keep the charger alive until it is told to end; return the exit status."""
    reset, status = None, 0
    try:
        try:
            reset = asyncio.run(app.run())
        except BaseException as exc:  # noqa: BLE001 - whatever ended it, the output goes off first
            while True:
                try:
                    app.off()
                    hal.ignore_interrupt()  # a second Ctrl-C must not disturb what follows ...
                    break
                except KeyboardInterrupt:
                    pass  # ... nor this
            status = 130 if isinstance(exc, KeyboardInterrupt) else 1
            if status == 1:
                log.error("main", exc)
            asyncio.run(app.shut_down())
    finally:
        app.off()
        hal.close()
    if reset is not None:
        hal.reset(reset)
    return status


if __name__ == "__main__":
    ended = main(sys.argv[1:])
    if ended is not None:  # on a device even sys.exit(None) would start it again
        sys.exit(ended)
