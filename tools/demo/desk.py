"""The charger on a desk, for somebody else's central system: firmware and simulated site, moved by lines on stdin."""

import asyncio
import json
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

from tools.csms.control import parse_line
from tools.demo.firmware import ROOT, Firmware, write_factory
from tools.demo.process import Child
from tools.sim.client import SimClient, SimError

HELP = """\
plug [soc=50]         plug a vehicle in          unplug                pull the plug
swipe id_tag=CARD-1   a card at the reader       ev allow=false        the vehicle ends the session
estop active=true     emergency stop; false      fault active=true     a fault of the board; false
power                 cut the supply, and back   state                 what the vehicle and the module do
quit                  or Ctrl-D, Ctrl-C          (every command of tools/sim/README.md)"""
_SHOWN = ("plugged", "output_on", "voltage", "current", "soc", "session_wh")
_START_S = 15.0


class Desk:
    """One charger that dials `settings["ocpp.url"]`. folder: its flash, kept; None: a new one, gone afterwards.

    Raises StartError when a process cannot start."""

    def __init__(self, firmware: Firmware, settings: dict[str, Any], soc: float = 62.0, folder: Path | None = None):
        self._options = firmware
        self._settings = settings
        self._soc = soc
        self._temporary = tempfile.TemporaryDirectory(prefix="charger-desk-")
        self._data = folder or Path(self._temporary.name) / "data"
        self._simulator = Child("simulator")
        self._firmware = Child("firmware")
        self._over = asyncio.Event()
        self._site: SimClient | None = None
        self._command: tuple[list[str], dict[str, str]] = ([], {})
        self._cutting = False  # the end of the firmware is our doing
        self._watching: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Until quit, the end of stdin when that is a pipe or a terminal, or a signal."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, self._over.set)
        reading: asyncio.Task[None] | None = None
        try:
            await self._start()
            reading = asyncio.create_task(self._read())
            await self._over.wait()
            if reading.done():
                reading.result()
        finally:
            if reading is not None:
                reading.cancel()
            self._cutting = True
            await self._firmware.stop()
            if self._site is not None:
                await self._site.close()
            await self._simulator.stop()
            self._temporary.cleanup()

    async def _start(self) -> None:
        self._data.mkdir(parents=True, exist_ok=True)
        simulator = [sys.executable, "-m", "tools.sim", "--listen", "127.0.0.1:0", "--soc", str(self._soc)]
        await self._simulator.start(simulator, ROOT)
        address = (await self._simulator.hello(_START_S))["listening"]
        self._site = await SimClient.connect(address)
        settings = dict(self._settings)
        url, identity = settings.pop("ocpp.url"), settings.pop("ocpp.identity")
        factory = Path(self._temporary.name) / "factory.json"
        write_factory(factory, address, url, identity, settings=settings)
        self._command = self._options.command(self._data, factory)
        print(f"{identity} dials {url}; `help` lists what you can do", flush=True)
        await self._power_up()

    async def _power_up(self) -> None:
        self._firmware = Child("firmware", lambda line: print(f"  {line}", flush=True))
        await self._firmware.start(self._command[0], ROOT, self._command[1])
        self._cutting = False
        self._watching = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        """A firmware that ends by itself must not look like a quiet one."""
        watched = self._firmware
        code = await watched.wait()
        if watched is self._firmware and not self._cutting:
            print(f"the firmware ended with status {code}", flush=True)
            self._over.set()

    async def _read(self) -> None:
        stdin = asyncio.StreamReader()
        try:
            await asyncio.get_running_loop().connect_read_pipe(
                lambda: asyncio.StreamReaderProtocol(stdin), os.fdopen(_stdin(), "rb", 0)
            )
        except (ValueError, OSError):  # a file or /dev/null: nobody types
            return
        try:
            while line := (await stdin.readline()).decode("utf-8", "replace"):
                if line.strip() and (said := await self._do(line)):
                    print(said, flush=True)
                if self._over.is_set():
                    return
        finally:
            self._over.set()

    async def _do(self, line: str) -> str:
        """Carry out one line; what is to be said about it."""
        assert self._site is not None
        try:
            request = parse_line(line)
            command = str(request.pop("cmd", ""))
            if command == "help":
                return HELP
            if command == "quit":
                self._over.set()
                return ""
            if command == "power":
                self._cutting = True
                await self._firmware.stop(signal.SIGKILL)
                await self._power_up()
                return "ok"
            answer = await self._site.cmd(command, **request)
        except (SimError, ValueError, ConnectionError) as error:
            return f"no: {error}"
        if command == "state":
            answer = {n: round(answer[n], 2) if isinstance(answer[n], float) else answer[n] for n in _SHOWN}
        elif command != "events":
            return "ok"
        return json.dumps(answer)


def _stdin() -> int:
    """stdin for asyncio, which makes it non-blocking: of a terminal one of our own, because stdout is the same."""
    return os.open(os.ttyname(0), os.O_RDONLY) if os.isatty(0) else os.dup(0)
