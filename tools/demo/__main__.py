"""`python -m tools.demo`: a whole charging session on this computer, in the terminal or by itself (`--auto`).

With `--url` the charger dials a central system of your own instead of the bench's."""

import argparse
import asyncio
import sys
from pathlib import Path

from tools.demo import auto
from tools.demo.desk import Desk
from tools.demo.firmware import Firmware
from tools.demo.process import StartError


def _seconds(text: str) -> float:
    value = float(text)
    if not 1 <= value <= 86_400:
        raise argparse.ArgumentTypeError("must be 1 to 86400")
    return value


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.demo",
        description="Bench central system, simulated site and the firmware as three processes, and a charging session. "
        "With --url firmware and site only, moved by lines on stdin: `help` lists them.",
        epilog="keys: p plug/unplug, s start, x stop, e emergency stop, n drop/restore the network, q quit. "
        "--auto ends with 0 when the session is as the quick reference promises, 1 when not, 2 when it cannot start.",
    )
    parser.add_argument("--auto", action="store_true", help="no keys and no terminal: one session, checked")
    parser.add_argument("--seconds", type=_seconds, default=35.0, metavar="S", help="of charging with --auto (35)")
    parser.add_argument("--url", metavar="URL", help="of your own central system: ws://... or wss://..., see README.md")
    parser.add_argument("--identity", default="DEMO-1", metavar="NAME", help="of the charger, with --url (DEMO-1)")
    parser.add_argument("--key", metavar="PASSWORD", help="for HTTP Basic, with --url")
    parser.add_argument("--ca", type=Path, metavar="FILE", help="certificates (PEM) that are trusted, with wss://")
    parser.add_argument("--data", type=Path, metavar="DIR", help="keep the charger's flash here, with --url")
    parser.add_argument("--bits", type=int, choices=(32, 64), default=64, help="pointer width of MicroPython (64)")
    parser.add_argument("--mpy", action="store_true", help="run build/sim (make build) instead of the sources")
    return parser


async def _desk(firmware: Firmware, options: argparse.Namespace) -> int:
    settings = {
        "ocpp.url": options.url,
        "ocpp.identity": options.identity,
        "ocpp.authorization_key": options.key or "",
        "ocpp.ca_file": str(options.ca.resolve()) if options.ca else "",
    }
    await Desk(firmware, settings, folder=options.data and options.data.resolve()).run()
    return 0


def main() -> int:
    """Exit status: see --help."""
    parser = arguments()
    options = parser.parse_args()
    if options.url and not options.url.startswith(("ws://", "wss://")):
        parser.error("--url must begin with ws:// or wss://")
    if options.url and options.auto:
        parser.error("--auto plays with the bench central system, not with --url")
    firmware = Firmware(options.bits, options.mpy)
    try:
        if options.url:
            return asyncio.run(_desk(firmware, options))
        if options.auto:
            return asyncio.run(auto.run(firmware, options.seconds))
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            print("The demo needs a terminal; without one use --auto.", file=sys.stderr)
            return 2
        from tools.demo.ui import Ui  # needs termios

        async def show() -> None:
            await Ui(firmware).run()

        asyncio.run(show())
    except StartError as error:
        print(f"The demo cannot start: {error}", file=sys.stderr)
        return 2
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
