"""The firmware with a test on its console: a line "look", "move" or "both" runs the self-test and prints its rows.

Runs on MicroPython, with the arguments of firmware/main.py.
"""

import asyncio
import json
import sys

sys.path[:0] = ["firmware", "lib"]

import main


async def answer(app):
    """Serve the console: one JSON line of rows per line."""
    from charger import selftest

    console = asyncio.StreamReader(sys.stdin)
    while True:
        word = (await console.readline()).decode().strip()
        if not word:
            return
        rows = await selftest.run(app, word == "move")
        print("ROWS " + json.dumps(rows))


def serve(app, hal, log):
    task = asyncio.create_task(answer(app))
    try:
        return real(app, hal, log)
    finally:
        task.cancel()


real, main.serve = main.serve, serve
sys.exit(main.main(sys.argv[1:]))
