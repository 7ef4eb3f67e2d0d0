"""The three processes of the demo: bench central system, simulated site, firmware; connected over TCP."""

import asyncio
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tools.csms.frames import Frame, Transcript
from tools.demo.control import CsmsClient
from tools.demo.firmware import ROOT, Firmware, write_factory
from tools.demo.process import Child, StartError
from tools.sim.client import SimClient, SimError

IDENTITY = "DEMO-1"
ID_TAG = "DEMO"
_START_S = 15.0


class DemoSite:
    """`async with DemoSite(...) as site:`: everything runs, the charger is registered (or StartError is raised).

    `transcript` has every frame; `on_change` is called for each new frame or line."""

    def __init__(self, firmware: Firmware, soc: float = 62.0, on_change: Callable[[], None] = lambda: None) -> None:
        self._options = firmware
        self._soc = soc
        self._on_change = on_change
        self._folder = tempfile.TemporaryDirectory(prefix="charger-demo-")
        self.folder = Path(self._folder.name)
        self.transcript = Transcript()
        self.csms = Child("central system", self._line)
        self.sim = Child("simulator", self._line)
        self.firmware = Child("firmware", self._line)
        self._control = CsmsClient(self._frame)
        self._site: SimClient | None = None
        self.network_down = False
        self.plugged = False
        self.ready = False
        self._seen = False  # the vehicle was here before

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        await self._stop()

    async def _start(self) -> None:
        python = [sys.executable, "-m"]
        db = self.folder / "csms.sqlite"
        listen = ["--listen", "127.0.0.1:0"]
        await self.csms.start(
            [*python, "tools.csms", *listen, "--control", "127.0.0.1:0", "--db", db, "--quiet"], ROOT, stdin=True
        )
        await self.sim.start([*python, "tools.sim", *listen, "--soc", str(self._soc)], ROOT)
        csms, sim = await asyncio.gather(self.csms.hello(_START_S), self.sim.hello(_START_S))
        await self._control.connect(csms["control"])
        self._site = await SimClient.connect(sim["listening"])
        factory, data = self.folder / "factory.json", self.folder / "data"
        data.mkdir()
        write_factory(factory, sim["listening"], csms["listening"], IDENTITY)
        try:
            argv, env = self._options.command(data, factory)
        except FileNotFoundError as error:
            raise StartError(str(error)) from None
        await self.firmware.start(argv, ROOT, env)
        await self._registered()
        self.ready = True

    async def _registered(self) -> None:
        """Wait for the first status of connector 1: from then on it can be used."""

        def ready(frame: Frame) -> bool:
            return frame.action == "StatusNotification" and (frame.payload or {}).get("connectorId") == 1

        try:
            await self.firmware.meanwhile(self.transcript.wait(ready, 0, _START_S))
        except TimeoutError:
            raise StartError(
                f"the charger did not register with the central system within {_START_S:.0f} s\n{self.firmware.tail()}"
            ) from None

    async def _stop(self) -> None:
        """The firmware first: it switches the module off while the site is still there."""
        self.ready = False
        await self.firmware.stop()
        if self._site is not None:
            await self._site.close()
        await self._control.close()
        await asyncio.gather(self.sim.stop(), self.csms.stop())
        self._folder.cleanup()

    def kill(self) -> None:
        """At once, for the very end of a program."""
        for child in (self.firmware, self.sim, self.csms):
            child.kill()

    # What one can do; each returns an error sentence or None

    async def plug(self) -> str | None:
        """Plug the vehicle in; later on it is the same one, as charged as it left."""
        error = await self._sim("plug", **({"same": True} if self._seen else {"soc": self._soc}))
        self._seen = True
        self.plugged = error is None
        return error

    async def unplug(self) -> str | None:
        """Pull the plug."""
        error = await self._sim("unplug")
        self.plugged = error is not None
        return error

    async def emergency_stop(self, active: bool) -> str | None:
        """Press or release the emergency stop."""
        return await self._sim("estop", active=active)

    async def start(self) -> str | None:
        """RemoteStartTransaction."""
        return await self._csms("start", id_tag=ID_TAG, connector=1)

    async def stop(self) -> str | None:
        """RemoteStopTransaction."""
        return await self._csms("stop")

    async def network(self, down: bool) -> str | None:
        """Drop or restore the network between charger and central system."""
        self.network_down = down
        return await self._csms("network", state="down" if down else "up")

    async def wait(self, matches: Callable[[Frame], bool], since: int, timeout: float, what: str) -> Frame:
        """The next frame that `matches`. Raises TimeoutError that names `what`."""
        try:
            return await self.transcript.wait(matches, since, timeout)
        except TimeoutError:
            raise TimeoutError(f"no {what} within {timeout:.0f} s") from None

    async def _sim(self, command: str, **fields: Any) -> str | None:
        assert self._site is not None
        try:
            await self._site.cmd(command, **fields)
        except (SimError, ConnectionError) as error:
            return f"{command}: {error}"
        return None

    async def _csms(self, command: str, **fields: Any) -> str | None:
        try:
            answer = await self._control.ask(command, timeout=5, **fields)
        except ConnectionError as error:
            return f"{command}: {error}"
        if not answer["ok"]:
            return f"{command}: {answer['error']}"
        status = answer.get("answer", {}).get("status", "Accepted")
        return None if status == "Accepted" else f"{command}: the charger answered {status}"

    def _line(self, _text: str) -> None:
        self._on_change()

    def _frame(self, frame: Frame) -> None:
        fields = frame.to_dict()
        del fields["n"]
        self.transcript.add(**fields)
        self._on_change()
