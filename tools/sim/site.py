"""The whole site: connectors, I/O lines, physics tick and the ports they listen on."""

from __future__ import annotations

import asyncio
import random
import socket
import time
from pathlib import Path
from typing import Any

import can
from can.io import CanutilsLogWriter

from .circuit import STEP_S
from .connector import Connector
from .events import EventLog
from .iolink import IoLink
from .timing import Periodic

_LOWEST, _HIGHEST = 20_000, 32_000  # below the ports that systems hand out by themselves
_TRIES = 200
MAX_CONNECTORS = 20


class Site:
    """Everything simulated. Ports: base + 1 I/O, base + 10 n power module bus, + 1 BMS bus, + 2 BMS UART."""

    def __init__(self, connectors: int = 1, seed: int = 1, soc: float = 87.0, log: Path | None = None) -> None:
        rng = random.Random(seed)
        self.events = EventLog()
        self._writer = CanutilsLogWriter(log) if log is not None else None
        record = self._record if self._writer is not None else None
        self.connectors = {n: Connector(n, soc, rng, self.events, record) for n in range(1, connectors + 1)}
        self.io = IoLink(self.connectors, self._output, self._board)
        self._tick: Periodic | None = None

    async def listen(self, host: str, base: int) -> None:
        """Open the ports that belong to `base`. Raises OSError when one is taken; those opened before are closed."""
        try:
            await self.io.listen(host, base + 1)
            for number, connector in self.connectors.items():
                await connector.pm.listen(host, base + 10 * number)
                await connector.bms_bus.listen(host, base + 10 * number + 1)
                await connector.uart.listen(host, base + 10 * number + 2)
        except OSError:
            await self.close()
            raise
        self._tick = Periodic(STEP_S, self._turn)

    async def close(self) -> None:
        """Stop everything."""
        if self._tick is not None:
            self._tick.stop()
        await self.io.close()
        await asyncio.gather(*(connector.close() for connector in self.connectors.values()))
        if self._writer is not None:
            self._writer.stop()
            self._writer = None

    def _turn(self) -> None:
        for number, connector in self.connectors.items():
            connector.tick()
            self.io.set("lock", number, connector.bolt)

    # --- what people do at the site

    def plug(self, number: int, **vehicle: Any) -> None:
        """Put the plug of connector `number` in."""
        self.connectors[number].plug(**vehicle)
        self.io.set("plug", number, True)

    def unplug(self, number: int) -> None:
        """Pull it."""
        self.connectors[number].unplug()
        self.io.set("plug", number, False)

    def line(self, name: str, number: int, active: bool) -> None:
        """Push or release the e-stop, open or close the door, raise or clear the fault line."""
        if self.io.level(name, number) != active:
            self.events.add(name, number, active=active)
            self.io.set(name, number, active)

    def fault(self, number: int, kind: str, active: bool) -> None:
        """Break one thing, or repair it."""
        self.connectors[number].fault(kind, active)
        self.show_contactor(number)
        if kind == "input":
            self.line("fault", number, active)

    def show_contactor(self, number: int) -> None:
        """Bring the auxiliary contact's line up to date; without a contactor it stays open."""
        circuit = self.connectors[number].circuit
        self.io.set("contactor", number, circuit.contactor is not None and circuit.conducting)

    # --- what the board does

    def _output(self, number: int, name: str, value: Any) -> None:
        self.connectors[number].output(name, value)
        self.show_contactor(number)

    def _board(self, connected: bool) -> None:
        self.events.add("board", connected=connected)
        if not connected:
            for number, connector in self.connectors.items():
                connector.board_gone()
                self.show_contactor(number)

    def _record(self, channel: str, frame: can.Message, from_charger: bool) -> None:
        if self._writer is not None:
            copy = can.Message(
                timestamp=time.time(),
                arbitration_id=frame.arbitration_id,
                is_extended_id=frame.is_extended_id,
                is_remote_frame=frame.is_remote_frame,
                dlc=frame.dlc,
                data=None if frame.is_remote_frame else frame.data,
                channel=channel,
                is_rx=from_charger,
            )
            self._writer.on_message_received(copy)


def offsets(connectors: int) -> list[int]:
    """Return the ports in use, relative to the base."""
    return [0, 1] + [10 * n + k for n in range(1, connectors + 1) for k in range(3)]


def free_base(host: str, connectors: int) -> int:
    """Return a base port whose whole block is free now. Raises OSError when none is found."""
    rng = random.SystemRandom()
    highest = _HIGHEST - max(offsets(connectors))
    for _ in range(_TRIES):
        base = rng.randrange(_LOWEST, highest)
        if all(_is_free(host, base + offset) for offset in offsets(connectors)):
            return base
    raise OSError(f"no free block of ports for {connectors} connectors on {host}")


def _is_free(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
