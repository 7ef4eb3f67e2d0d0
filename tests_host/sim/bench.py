"""What the simulator's tests share: a site in this process, and a small charger on python-can's SLCAN client."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import can

from tools.sim import frames
from tools.sim.client import SimAddress, SimClient
from tools.sim.control import Control
from tools.sim.site import Site, free_base

HOST = "127.0.0.1"


@asynccontextmanager
async def running_site(connectors: int = 1, soc: float = 87.0, log: Path | None = None) -> AsyncIterator[SimClient]:
    """Serve a site on free ports and yield a client of its control port."""
    for _ in range(20):
        site = Site(connectors, seed=7, soc=soc, log=log)
        base = free_base(HOST, connectors)
        control = Control(site, lambda: None)
        try:
            await site.listen(HOST, base)
            await control.listen(HOST, base)
            break
        except OSError:
            await site.close()
    else:
        raise RuntimeError("no free ports")
    try:
        async with await SimClient.connect(SimAddress(HOST, base)) as client:
            yield client
    finally:
        await control.close()
        await site.close()


class Wire:
    """python-can on one bus of the simulator; blocking calls run in a thread."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._bus: can.BusABC | None = None

    @property
    def bus(self) -> can.BusABC:
        assert self._bus is not None
        return self._bus

    async def __aenter__(self) -> Self:
        channel = f"socket://{HOST}:{self._port}"
        self._bus = await asyncio.to_thread(
            lambda: can.Bus(interface="slcan", channel=channel, bitrate=250_000, sleep_after_open=0)
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # pyserial sleeps 0.3 s after it has closed the socket: nobody needs to wait for that.
        threading.Thread(target=self.bus.shutdown).start()

    async def send(self, frame: can.Message) -> None:
        """Send one frame."""
        await asyncio.to_thread(self.bus.send, frame)

    async def recv(self, timeout: float = 2.0) -> can.Message | None:
        """Return the next frame, or None."""
        return await asyncio.to_thread(self.bus.recv, timeout)

    async def expect(
        self,
        message: Any,
        predicate: Callable[[dict[str, int | float]], bool] = lambda values: True,
        timeout: float = 3.0,
    ) -> dict[str, int | float]:
        """Return the values of the next well-formed `message` for which `predicate` holds. Fails after `timeout` s."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        while (left := deadline - loop.time()) > 0:
            frame = await self.recv(left)
            values = None if frame is None else frames.decode(message, frame)
            if values is not None and predicate(values):
                return values
        raise AssertionError(f"no such {message.name} within {timeout} s")


class MiniCharger(Wire):
    """The power side of a charger: the three commands of the control group."""

    async def command(self, function: int, **values: float) -> None:
        """Send one control request."""
        await self.send(
            frames.encode(frames.CONTROL_REQUEST, {"Header": 1, "Function": function, "Reserved2": 0, **values})
        )

    async def voltage(self, volts: float) -> None:
        """Set the voltage limit."""
        await self.command(0x00, VoltageSetpoint=volts)

    async def current(self, amperes: float) -> None:
        """Set the current limit."""
        await self.command(0x03, CurrentSetpoint=amperes)

    async def on(self) -> None:
        """Output on."""
        await self.command(0x32, OutputOff=0)

    async def off(self) -> None:
        """Output off."""
        await self.command(0x32, OutputOff=1)

    async def start(self, volts: float = 84.0, amperes: float = 30.0) -> None:
        """Voltage, current, on."""
        await self.voltage(volts)
        await self.current(amperes)
        await self.on()

    async def echo(self, function: int) -> dict[str, int | float]:
        """Wait for the answer to a control request."""
        return await self.expect(frames.CONTROL_RESPONSE, lambda values: values["Function"] == function)

    async def ask(self, function: int) -> dict[str, int | float]:
        """Ask for one telemetry value and return the answer."""
        await self.send(frames.encode(frames.TELEMETRY_REQUEST, {"Header": 1, "Function": function}))
        return await self.expect(frames.TELEMETRY_RESPONSE, lambda values: values["Function"] == function)


async def open_line(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to a port of the simulator."""
    return await asyncio.open_connection(HOST, port)
