"""Run a few lines of client code on MicroPython, with lib/ on its path, and collect what it says."""

from __future__ import annotations

import asyncio
import json
import textwrap
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests_host.conftest import ROOT, interpreter

_PRELUDE = """
import sys
sys.path.insert(0, {lib!r})
import asyncio, gc, json, os, random, time
import wsclient
from wsclient import HandshakeError, WsClosed, connect

def say(*items):
    print(json.dumps(items))

def open_files():
    return len(os.listdir("/proc/self/fd"))

def idle():
    # no task but this one, nobody waiting for a socket
    return asyncio.core._task_queue.peek() is None and not asyncio.core._io_queue.map

def lost(loop, context):
    sys.print_exception(context["exception"])
    say("LOST", repr(context["exception"]))

async def main({names}):
{body}

asyncio.get_event_loop().set_exception_handler(lost)
asyncio.run(main(**json.loads({arguments!r})))
say("end")
"""


class Client:
    """The running process. `said` are its lines so far, each the list of what say() was given."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.said: list[list[Any]] = []

    async def hear(self, timeout: float = 20) -> list[Any]:
        """The next line. Fails with the traceback when the client ends instead."""
        assert self.process.stdout is not None
        async with asyncio.timeout(timeout):
            line = (await self.process.stdout.readline()).decode()
        if not line.startswith("["):
            rest = (await self.process.stdout.read()).decode()
            raise AssertionError(f"the client said {line + rest!r}")
        words: list[Any] = json.loads(line)
        assert words[:1] != ["LOST"], words
        self.said.append(words)
        return words

    async def finish(self, timeout: float = 30) -> list[list[Any]]:
        """All it says until its end, which must be regular; without the last line."""
        while (await self.hear(timeout)) != ["end"]:
            pass
        async with asyncio.timeout(5):
            assert await self.process.wait() == 0
        return self.said[:-1]


@asynccontextmanager
async def client(
    body: str, *, bits: int = 64, heap: str = "8m", lib: Path = ROOT / "lib", **arguments: Any
) -> AsyncIterator[Client]:
    """Start `body`, the inside of an async function that has the arguments as variables."""
    source = _PRELUDE.format(  # the arguments go in here too: an argv of MicroPython ends at 255 bytes
        lib=str(lib),
        names=", ".join(arguments),
        body=textwrap.indent(textwrap.dedent(body), "    "),
        arguments=json.dumps(arguments),
    )
    process = await asyncio.create_subprocess_exec(
        str(interpreter(bits)),
        "-X",
        f"heapsize={heap}",
        "-c",
        source,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        limit=1 << 24,
    )
    try:
        yield Client(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def say(body: str, *, timeout: float = 30, **arguments: Any) -> list[list[Any]]:
    """Run `body` to its end; return what it said."""
    async with client(body, **arguments) as running:
        return await running.finish(timeout)
