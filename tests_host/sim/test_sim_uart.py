"""The BMS on the serial line: what it answers, and how it misbehaves. Bytes are taken apart here, not by the tools."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests_host.sim.bench import open_line, running_site
from tests_host.system.rig import system_test
from tools.sim.client import SimClient, SimError

JBD_BASIC = bytes.fromhex("DDA50300FFFD77")
JBD_OFF = bytes.fromhex("DD5AE1020002FF1B77")


def daly(data_id: int, address: int = 0x40) -> bytes:
    """A request."""
    head = bytes((0xA5, address, data_id, 8)) + bytes(8)
    return head + bytes((sum(head) % 256,))


class Line:
    """A client of the serial line."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def ask(self, request: bytes, timeout: float = 1.0) -> bytes | None:
        """What comes within 150 ms of the first byte after a request; None: nothing."""
        self.writer.write(request)
        try:
            async with asyncio.timeout(timeout):
                data = await self.reader.read(4096)
        except TimeoutError:
            return None
        return data

    async def daly(self, data_id: int) -> bytes:
        """The 8 data bytes of a good answer."""
        frame = await self.ask(daly(data_id))
        assert frame is not None and len(frame) == 13 and frame[:4] == bytes((0xA5, 1, data_id, 8)), frame
        assert sum(frame[:12]) % 256 == frame[12]
        return frame[4:12]

    async def basic(self) -> bytes:
        """The data of a good JBD answer."""
        frame = await self.ask(JBD_BASIC)
        assert frame is not None and frame[:3] == b"\xdd\x03\x00" and frame[-1] == 0x77 and len(frame) == 7 + frame[3]
        assert (sum(frame[2:-3]) + int.from_bytes(frame[-3:-1], "big")) % 65536 == 0
        return frame[4:-3]


@asynccontextmanager
async def site(protocol: str, **plug: Any) -> AsyncIterator[tuple[SimClient, Line]]:
    """A plugged vehicle with this BMS."""
    async with running_site() as sim:
        await sim.cmd("bms", protocol=protocol)
        await sim.cmd("plug", **plug)
        line = Line(*await open_line(sim.address.uart()))
        try:
            yield sim, line
        finally:
            line.writer.close()


@system_test
async def test_jbd() -> None:
    async with site("jbd", soc=87, temperature=31.5, capacity_ah=60) as (sim, line):
        data = await line.basic()
        volts, amperes, left, nominal = struct.unpack_from(">HhHH", data)
        assert (volts, amperes, left, nominal) == (7640, 0, 5220, 6000)
        assert data[16:18] == b"\0\0" and data[19] == 87 and data[20] == 3 and data[22] == 2
        assert struct.unpack_from(">HH", data, 23) == (2731 + 315, 2731 + 305)
        await sim.cmd("ev", allow=False)
        assert (await line.basic())[20] == 2
        await sim.cmd("ev", allow=True)
        await sim.cmd("bms", protection=1 << 4)
        assert (await line.basic())[16:18] == b"\x00\x10"
        await sim.cmd("plug", soc=100)
        data = await line.basic()
        assert data[20] == 2 and data[17] == 0x11
        assert await line.ask(JBD_OFF, 0.2) is None and await line.ask(daly(0x90), 0.2) is None
        state = await sim.state()
        assert state["uart"]["sent"] == {"0x03": 4} and state["uart"]["frames"] == {"0x03": 4, "0xE1": 1}
        assert state["uart"]["bad_bytes"] == len(JBD_OFF) + 13
        assert state["limits"] == {"voltage": 84.0, "current": 0.0, "allow": False}
        assert state["sent"]["bms"] == {}, "it is not on the CAN bus as well"


@system_test
async def test_daly() -> None:
    async with site("daly", soc=50, temperature=31) as (sim, line):
        volts, _, current, soc = struct.unpack(">HHHH", await line.daly(0x90))
        assert (volts, current, soc) == (728, 30_000, 500)
        assert (await line.daly(0x92))[:1] == bytes((71,))
        assert (await line.daly(0x93))[:3] == b"\0\1\1"
        assert await line.daly(0x98) == bytes(8)
        await sim.cmd("ev", allow=False)
        assert (await line.daly(0x93))[1] == 0
        await sim.cmd("bms", protection=0x0800)
        assert (await line.daly(0x98))[5] == 8
        assert await line.ask(daly(0x90, 0x01), 0.2) is None and await line.ask(JBD_BASIC, 0.2) is None
        assert await line.ask(daly(0xDA), 0.2) is None
        assert (await sim.state())["uart"]["bad_bytes"] == 13 + 7 + 13


@pytest.mark.parametrize("protocol", ["jbd", "daly"])
@system_test
async def test_misbehaviour(protocol: str) -> None:
    request = JBD_BASIC if protocol == "jbd" else daly(0x90)
    async with site(protocol, soc=60) as (sim, line):
        good = await line.ask(request)
        await sim.cmd("bms", silent=True)
        assert await line.ask(request, 0.3) is None
        await sim.cmd("bms", silent=False, corrupt=True)
        for _ in range(5):
            assert await line.ask(request) != good
        await sim.cmd("bms", corrupt=False, stuck=True)
        await sim.cmd("plug", soc=80)
        assert await line.ask(request) == good
        await sim.cmd("bms", stuck=False, asleep=True)
        first = await line.ask(request, 0.3)
        second = await line.ask(request, 0.3)
        if protocol == "jbd":
            assert first is None and second not in (None, good)
        else:
            assert first == second == request
        await sim.cmd("bms", asleep=False, garbage=100)
        noise = b""
        while len(noise) < 500:
            noise += await line.reader.read(4096)
        await sim.cmd("bms", garbage=0)
        await sim.cmd("bus", name="uart", load=5000)
        assert len(await line.reader.readexactly(1000)) == 1000
        await sim.cmd("bus", name="uart", load=0, state="cut")
        with pytest.raises(SimError):
            await sim.cmd("bus", name="uart", text_garbage=5)
        await sim.cmd("bus", name="uart", state="down")
        assert await line.reader.read() is not None  # the end
        reader, _ = await open_line(sim.address.uart())
        assert await reader.read() == b""
        assert (await sim.state())["uart"]["clients"] == 0


@system_test
async def test_nobody_is_there() -> None:
    async with running_site() as sim:
        line = Line(*await open_line(sim.address.uart()))
        assert await line.ask(JBD_BASIC, 0.2) is None
        await sim.cmd("plug")
        assert await line.ask(JBD_BASIC, 0.2) is None, "this vehicle is on the CAN bus"
        await sim.cmd("bms", protocol="jbd")
        await line.basic()
        await sim.cmd("unplug")
        assert await line.ask(JBD_BASIC, 0.2) is None
        line.writer.close()
