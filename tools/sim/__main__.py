"""python -m tools.sim: run the simulated site until quit, SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import signal
import sys
from pathlib import Path

from .client import SimAddress
from .control import Control
from .site import MAX_CONNECTORS, Site, free_base, offsets

_EPILOG = """\
ports: P control (JSON lines), P+1 I/O lines (JSON lines), and for connector n
P+10n power module bus, P+10n+1 BMS bus (SLCAN), P+10n+2 serial line to a BMS
(JBD or Daly frames). P = 0 finds a free block. When all of them listen, the
first line on stdout is {"listening": "HOST:P"}.

example: python -m tools.sim --listen 127.0.0.1:21000 --soc 87
         echo '{"cmd": "plug", "soc": 50}' | nc 127.0.0.1 21000

All commands are in tools/sim/README.md.
"""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tools.sim",
        description="Simulated charging site: vehicle with battery and BMS, power module, CAN buses (SLCAN over TCP), "
        "I/O lines and a control port.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--listen", metavar="HOST:P", default="127.0.0.1:0", help="base address (default %(default)s)")
    parser.add_argument("--connectors", type=int, default=1, metavar="N", help=f"1 to {MAX_CONNECTORS} (default 1)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="for noise and garbage (default 1)")
    parser.add_argument("--soc", type=float, default=87.0, metavar="PERCENT", help="of the vehicles (default 87)")
    parser.add_argument("--verbose", action="store_true", help="print every event to stderr")
    parser.add_argument("--log", type=Path, metavar="FILE", help="write every frame to FILE (candump format)")
    arguments = parser.parse_args()
    try:
        arguments.address = SimAddress.parse(arguments.listen)
    except ValueError as error:
        parser.error(f"--listen: {error}")
    if not 1 <= arguments.connectors <= MAX_CONNECTORS:
        parser.error(f"--connectors: must be 1 to {MAX_CONNECTORS}")
    if not 0 <= arguments.soc <= 100:
        parser.error("--soc: must be 0 to 100")
    if arguments.address.base + max(offsets(arguments.connectors)) > 65535:
        parser.error("--listen: the ports of the last connector would be above 65535")
    return arguments


async def _run(arguments: argparse.Namespace) -> int:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()

    def end(*_: object) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(ended.set)

    # Not the loop's own handlers: those vanish with it, and a second signal while it ends would spoil the status.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    host, wanted = arguments.address.host, arguments.address.base
    tries = 1 if wanted else 20  # a free block may be taken by others between looking and listening
    for left in reversed(range(tries)):
        site = Site(arguments.connectors, arguments.seed, arguments.soc, arguments.log)
        control = Control(site, ended.set)
        try:
            base = wanted or free_base(host, arguments.connectors)
            await site.listen(host, base)
            await control.listen(host, base)
            break
        except OSError as error:
            await site.close()
            if not left:
                print(f"cannot listen on {arguments.listen}: {error}", file=sys.stderr)
                return 1
    print(json.dumps({"listening": f"{host}:{base}"}), flush=True)
    try:
        await ended.wait()
    finally:
        await control.close()
        await site.close()
    return 0


def main() -> int:
    """Return the exit status."""
    arguments = _arguments()
    logging.basicConfig(stream=sys.stderr, format="%(message)s", level=logging.WARNING)
    if arguments.verbose:
        logging.getLogger("sim").setLevel(logging.DEBUG)
    return asyncio.run(_run(arguments))


if __name__ == "__main__":
    sys.exit(main())
