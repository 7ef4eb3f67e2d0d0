"""Both buses full of foreign frames: none of ours is lost, and "off" leaves as soon as the vehicle forbids.

The real drivers of the CAN path under the real supervisor and HAL on the unix port; this test is the two adapters.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
from pathlib import Path
from typing import Any

import pytest

from tests_host.conftest import ROOT, interpreter
from tests_host.system.rig import system_test

FLOOD_S = 5.0
BATCH_S = 0.01
FOREIGN = 19  # frames in a batch and bus: 1,900 a second, all that 250 kbit/s can carry
OFFS = 20
BOUND_S = 0.1  # longest time to "off", as in the safety tests
USUAL_S = 0.02  # half of them are faster than this
START_S = 20.0

# Runs on MicroPython. Prints {"up": true} once and, after the 11-bit frame 0x7F1 on both buses, what it has seen.
DEVICE = """
import asyncio, json, sys
from clock import Clock
from supervisor import Supervisor
from drivers.bms.rivot_can import RivotBms
from drivers.can.slcan import Slcan
from drivers.power.rivot_can import RivotModule
from hal.unix import Hal
from log import Log

async def main(pm_url, bms_url, folder):
    clock = Clock()
    log = Log(clock)
    hal = Hal(folder, None, log)
    pm = Slcan(lambda: hal.open_stream(pm_url), clock)
    bus = Slcan(lambda: hal.open_stream(bms_url), clock)
    module = RivotModule(pm, clock)
    bms = RivotBms(bus, clock)
    seen = {"limits": 0, "heartbeats": 0, "wrong": 0, "offs": 0}

    def count(name, data):
        if seen[name] & 0xFFFF != data[6] << 8 | data[7]:
            seen["wrong"] += 1
        seen[name] += 1

    asked = set()

    def ask(name):
        asked.add(name)
        if len(asked) == 2:
            print(json.dumps({"seen": seen, "pm": pm.counters(), "bms": bus.counters()}))

    def from_module(can_id, flags, data):
        if module.feed(can_id, flags, data):
            count("heartbeats", data)
        elif can_id == 0x7F1:
            ask("pm")

    def from_vehicle(can_id, flags, data):
        if bms.feed(can_id, flags, data):
            count("limits", data)
            if not bms.permits():
                module.off()
                seen["offs"] += 1
            else:
                module.command(True, 84000, 10000)
        elif can_id == 0x7F1:
            ask("bms")

    async def tick():
        while not (pm.is_up and bus.is_up):
            await asyncio.sleep_ms(5)
        print(json.dumps({"up": True}))
        while True:
            module.tick()
            bms.tick()
            await asyncio.sleep_ms(20)

    pm.on_frame, bus.on_frame = from_module, from_vehicle
    supervisor = Supervisor(clock, log, lambda: None)
    supervisor.start("pm", pm.run)
    supervisor.start("bms", bus.run)
    await asyncio.gather(asyncio.create_task(tick()))

asyncio.run(main(*sys.argv[1:]))
"""


class Adapter:
    """An SLCAN adapter on TCP: `write(lines)` to the device; `taken` is a queue of (time, frame line) from it."""

    def __init__(self) -> None:
        self.taken: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        self._writer: asyncio.StreamWriter | None = None
        self._server: asyncio.Server | None = None

    async def start(self) -> str:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"tcp://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        try:
            while True:
                line = (await reader.readuntil(b"\r"))[:-1]
                if line[:1] == b"T":
                    self.taken.put_nowait((asyncio.get_running_loop().time(), line))
                writer.write({b"F": b"F00\r", b"T": b"Z\r"}.get(line[:1], b"\r"))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass

    def write(self, lines: bytes) -> None:
        assert self._writer is not None
        self._writer.write(lines)

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        if self._writer is not None:
            self._writer.close()


def limits(number: int, control: int) -> bytes:
    return f"T1806E5F480348012C{control:02X}00{number & 0xFFFF:04X}\r".encode()


def heartbeat(number: int) -> bytes:
    return f"T18FF50E58000000000000{number & 0xFFFF:04X}\r".encode()


def foreign(rng: random.Random) -> bytes:
    """A frame that is nobody's, with an identifier of any priority."""
    return f"T{rng.getrandbits(28) | 1:08X}8{rng.getrandbits(64):016X}\r".encode()


async def until_off(pm: Adapter) -> float:
    """Time at which the next "off" leaves."""
    while True:
        at, line = await asyncio.wait_for(pm.taken.get(), 5.0)
        if line == b"T068181FE80132000100000000":
            return at


async def flood(pm: Adapter, bms: Adapter) -> tuple[int, list[float]]:
    """Keep both buses full for FLOOD_S; return how many frames of ours each had, and how late each "off" was."""
    rng = random.Random(1900)
    loop = asyncio.get_running_loop()
    began = loop.time()
    batches = int(FLOOD_S / BATCH_S)
    forbidding = set(rng.sample(range(20, batches - 20, 10), OFFS))
    late: list[float] = []
    for number in range(batches):
        await asyncio.sleep(max(0.0, began + number * BATCH_S - loop.time()))
        # ours somewhere between the others
        at = rng.randrange(FOREIGN)
        noise = [foreign(rng) for _ in range(2 * FOREIGN)]
        pm.write(b"".join([*noise[:at], heartbeat(number), *noise[at:FOREIGN]]))
        forbid = number in forbidding
        if forbid:
            while not pm.taken.empty():
                pm.taken.get_nowait()
        bms.write(b"".join([*noise[FOREIGN : FOREIGN + at], limits(number, forbid), *noise[FOREIGN + at :]]))
        if forbid:
            cause = loop.time()
            late.append(await until_off(pm) - cause)
    return batches, late


async def said(process: asyncio.subprocess.Process, key: str) -> dict[str, Any]:
    """The next printed object that has this key."""
    assert process.stdout is not None
    passed = b""
    while True:
        line = await asyncio.wait_for(process.stdout.readline(), START_S)
        passed += line
        assert line, passed.decode()
        if line.startswith(b"{"):
            found: dict[str, Any] = json.loads(line)
            if key in found:
                return found


@pytest.mark.parametrize("bits", [64, 32])
@system_test
async def test_flooded_buses(bits: int, tmp_path: Path) -> None:
    pm, bms = Adapter(), Adapter()
    urls = await pm.start(), await bms.start()
    process = await asyncio.create_subprocess_exec(
        str(interpreter(bits)),
        *("-X", "heapsize=256k", "-c", DEVICE, *urls, str(tmp_path)),
        env={**os.environ, "MICROPYPATH": f"{ROOT / 'firmware'}:{ROOT / 'lib'}:.frozen"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        await said(process, "up")
        count, late = await flood(pm, bms)
        for bus in (pm, bms):
            bus.write(b"t7F10\r")
        report = await said(process, "seen")
    finally:
        process.kill()
        await process.wait()
        await pm.stop()
        await bms.stop()
    late.sort()
    print(f"off after {late[len(late) // 2] * 1000:.1f} ms, at most {late[-1] * 1000:.1f} ms")
    assert report["seen"] == {"limits": count, "heartbeats": count, "wrong": 0, "offs": OFFS}
    for name in ("pm", "bms"):
        counters = report[name]
        assert counters["rx"] == count * (FOREIGN + 1) + 1, counters
        assert counters["bad"] == counters["overrun"] == counters["bus_off"] == counters["reopened"] == 0, counters
    assert len(late) == OFFS and late[-1] <= BOUND_S and late[len(late) // 2] <= USUAL_S, late
