"""A whole charger to work with: firmware and simulated site as processes, the bench central system in this one."""

import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tools.csms import BenchCsms
from tools.demo.firmware import ROOT, Firmware, write_factory
from tools.demo.process import Child
from tools.sim.client import SimClient

_START_S = 30.0


class Charger:
    """`async with Charger(...)`: the site and the central system run and the firmware was started, however far it is.

    folder: its flash is `data` in there, kept over `power_cut`. identity: of the charge point. program: which
    firmware. presets: more arguments of write_factory. site: more arguments of tools.sim. csms: of BenchCsms.
    `csms`, `sim` and the process `firmware` are there to be used.
    """

    def __init__(
        self,
        folder: Path,
        identity: str,
        program: Firmware | None = None,
        presets: Mapping[str, Any] | None = None,
        site: Sequence[str] = (),
        csms: Mapping[str, Any] | None = None,
    ) -> None:
        self.identity = identity
        self.data = folder / "data"
        self.csms = BenchCsms(**(csms or {}))
        self.sim: SimClient
        self.firmware = Child("firmware")
        self.simulator = Child("simulator")
        self._program = program or Firmware()
        self._factory = folder / "factory.json"
        self._presets = dict(presets or {})
        self._site = site
        self._has_sim = False

    async def __aenter__(self) -> Self:
        try:
            await self.begin()
        except BaseException as error:
            await self.failed(error)
            await self.stop()
            raise
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        try:
            if error is not None:
                await self.failed(error)
        finally:
            await self.stop()

    async def begin(self) -> None:
        """Start everything. Raises StartError."""
        await self.start_site()
        await self.power_up()

    async def failed(self, error: BaseException) -> None:
        """Called before the processes end when they end because of an error."""

    async def start_site(self) -> None:
        """Central system, simulator, and the factory file that leads to them. Raises StartError."""
        self.data.mkdir(parents=True, exist_ok=True)
        await self.csms.resume()
        await self.simulator.start([sys.executable, "-m", "tools.sim", "--listen", "127.0.0.1:0", *self._site], ROOT)
        address = (await self.simulator.hello(_START_S))["listening"]
        self.sim = await SimClient.connect(address)
        self._has_sim = True
        write_factory(self._factory, address, self.csms.url, self.identity, **self._presets)

    async def power_up(self) -> None:
        """Start the firmware, which must not run."""
        argv, env = self._program.command(self.data, self._factory)
        self.firmware = Child("firmware")
        await self.firmware.start(argv, ROOT, env, stdin=True)

    async def power_cut(self, kill: int = signal.SIGKILL) -> None:
        """End the firmware, by default as a power cut does, and start it again with the same flash."""
        await self.firmware.stop(kill)
        await self.power_up()

    async def stop(self) -> None:
        """The firmware first: it switches the module off while the site is still there."""
        await self.firmware.stop()
        if self._has_sim:
            await self.sim.close()
        await self.simulator.stop()
        await self.csms.close()
