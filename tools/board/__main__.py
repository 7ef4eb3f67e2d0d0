"""A virtual board in the foreground: `python -m tools.board FOLDER`; the folder is what survives without power."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from tools.board.chip import MACHINES, Chip, Faults
from tools.board.virtual import INTERPRETER, VirtualBoard


def _version(text: str) -> tuple[int, int, int]:
    major, minor, patch = [int(part) for part in text.split(".")]
    return major, minor, patch


def main() -> int:
    """Return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.board",
        description="A board that is none: a serial port with the REPL of MicroPython, for mpremote and make flash. "
        "Ctrl-C switches it off; enter switches it off and on.",
    )
    parser.add_argument("folder", type=Path, help="keeps the flash and the NVS; made if it is missing")
    parser.add_argument("--chip", choices=sorted(MACHINES), default="esp32")
    parser.add_argument("--micropython", type=_version, default=(1, 25, 0), help="the version that it claims (1.25.0)")
    parser.add_argument("--blocks", type=int, default=512, help="of the file system, 4 kB each (512)")
    parser.add_argument("--heap", default="256k", help="of MicroPython (256k)")
    parser.add_argument("--hardware", type=Path, help="a file for MicroPython with install(): more modules of the chip")
    parser.add_argument(
        "--cut-at-write", type=int, default=0, metavar="N", help="the power fails in the Nth flash write"
    )
    parser.add_argument(
        "--pull-at-write", type=int, default=0, metavar="N", help="the cable is pulled in the Nth flash write"
    )
    parser.add_argument("--pull-at-byte", type=int, default=0, metavar="N", help="the cable is pulled at the Nth byte")
    parser.add_argument("--link", type=Path, help="a symbolic link to the port, made anew at each start")
    options = parser.parse_args()
    if not INTERPRETER.exists():
        print("MicroPython is missing: run `make setup`", file=sys.stderr)
        return 1
    hardware = options.hardware and options.hardware.resolve()  # the interpreter runs in another folder
    chip = Chip(options.chip, options.micropython, blocks=options.blocks, heap=options.heap, hardware=hardware)
    board = VirtualBoard(options.folder.resolve(), chip)
    write = options.cut_at_write or options.pull_at_write
    board.faults = Faults(write, "power" if options.cut_at_write else "cable", options.pull_at_byte)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with board:
        try:
            while True:
                if options.link:
                    options.link.unlink(missing_ok=True)
                    options.link.symlink_to(board.port)
                print(f"port {board.port}", flush=True)
                if not sys.stdin.readline():
                    signal.pause()
                board.power_cycle()
        except (KeyboardInterrupt, SystemExit):
            return 0
        finally:
            if options.link:
                options.link.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main())
