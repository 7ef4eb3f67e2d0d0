"""`python -m tools.bench`: what "fast and small" means in figures, each beside its aim, measured on the real programs.

Firmware on the unix port, simulator and bench central system as in the demo. Times are between the simulator's bus
events and the central system's frames, which share the monotonic clock. Other work on the machine makes them longer.
"""

import argparse
import asyncio
import math
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from tools.build_mpy import build
from tools.csms import CallFailed
from tools.demo.charger import Charger
from tools.demo.firmware import ROOT, Firmware
from tools.demo.process import StartError
from tools.romfs import pack
from tools.sim.client import SimError

IDENTITY = "BENCH"
FLOOD = 1900  # frames/s on each bus, the most that 250 kbit/s carries
CAUSES = ("RemoteStop", "BMS forbids", "emergency stop")
PARTS = ("reactions", "schedule", "memory")
_WAIT_S = 15.0
_STEP_K = 4
_ROM_EXTRA = 2048  # what mounting allocates beside the image
_ROM_START = """
import gc, os, sys, vfs
rom = bytearray(os.stat(sys.argv[1])[6])
with open(sys.argv[1], "rb") as file:
    file.readinto(rom)
vfs.mount(vfs.VfsRom(rom), "/rom")
sys.path[:] = ["/rom/firmware", "/rom/lib", ".frozen"]
gc.collect()
import main
sys.exit(main.main(sys.argv[2:]))
"""

Row = tuple[str, str, str]  # what, figure, aim


class Site(Charger):
    """A charger, registered, that meters every `interval_s` seconds."""

    def __init__(self, folder: Path, program: Firmware, interval_s: int) -> None:
        presets = {
            "settings": {"power.fault_hold_ms": 200},
            "ocpp": {"MeterValueSampleInterval": str(interval_s)},
        }
        super().__init__(folder, IDENTITY, program, presets)

    async def begin(self) -> None:
        await super().begin()
        await self.firmware.meanwhile(self.csms.wait_for("StatusNotification", timeout=_WAIT_S))

    async def call(self, action: str, **payload: Any) -> None:
        """A CALL that the charger must accept. Raises StartError when it does not, TimeoutError, CallFailed."""
        answer = await self.firmware.meanwhile(self.csms.call(IDENTITY, action, payload, _WAIT_S))
        if answer.get("status") != "Accepted":
            raise StartError(f"{action} was answered with {answer}\n{self.firmware.tail()}")

    async def wait(self, action: str, since: int, **fields: Any) -> None:
        """Until the charger has sent such a CALL. Raises TimeoutError, StartError."""

        def fits(payload: dict[str, Any]) -> bool:
            return all(payload.get(name) == value for name, value in fields.items())

        await self.firmware.meanwhile(self.csms.wait_for(action, fits, since=since, timeout=_WAIT_S))

    async def charge(self) -> None:
        """Plug in and charge until current flows."""
        mark, seq = self.csms.mark(), await self.seq()
        await self.sim.cmd("plug", soc=50)
        await self.wait("DataTransfer", mark, messageId="VehicleInfo")
        await self.call("RemoteStartTransaction", idTag=IDENTITY, connectorId=1)
        await self.sim.wait_event("power_on", seq, timeout=_WAIT_S)

    async def leave(self) -> None:
        """End the transaction if one runs, pull the plug and wait until the next vehicle may come."""
        mark = self.csms.mark()
        for row in self.csms.store.open_transactions(IDENTITY):
            await self.call("RemoteStopTransaction", transactionId=row["transaction_id"])
        await self.sim.cmd("unplug")
        await self.wait("StatusNotification", mark, status="Available")

    async def seq(self) -> int:
        """Number of the simulator's last event."""
        last: int = (await self.sim.state())["last_seq"]
        return last

    async def off_after(self, cause: str) -> float:
        """Seconds from the cause (on the socket, the bus or the input line) to the "off" frame on the bus."""
        mark, seq = self.csms.mark(), await self.seq()
        if cause == CAUSES[0]:
            row = self.csms.store.open_transactions(IDENTITY)[0]
            await self.call("RemoteStopTransaction", transactionId=row["transaction_id"])
            began = next(f.mono for f in self.csms.transcript.since(mark) if f.action == "RemoteStopTransaction")
        elif cause == CAUSES[1]:
            await self.sim.cmd("bms", control_byte=1)
            began = (await self.sim.wait_event("limits", seq, allow=False))["t"]
        else:
            await self.sim.cmd("estop", active=True)
            began = (await self.sim.wait_event("cmd", seq, cmd="estop"))["t"]
        off = await self.sim.wait_event("output_off", seq)
        if cause == CAUSES[1]:
            await self.sim.cmd("bms", control_byte=None)
        else:
            await self.wait("StopTransaction", mark)
            await self.sim.cmd("estop", active=False)
        elapsed: float = off["t"] - began
        return elapsed


@asynccontextmanager
async def site_of(program: Firmware, interval_s: int) -> AsyncIterator[Site]:
    """A site in a folder of its own. Raises StartError, TimeoutError."""
    with tempfile.TemporaryDirectory(prefix="charger-bench-") as name:
        async with Site(Path(name), program, interval_s) as site:
            yield site


def percentile(values: list[float], share: float) -> float:
    """The smallest value that at least `share` (0 to 1) of them do not exceed. At least one value."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


async def reactions(count: int) -> list[Row]:
    """How long power outlasts the right to it; a vehicle for each measurement."""
    took: dict[str, list[float]] = {cause: [] for cause in CAUSES}
    async with site_of(Firmware(), 10) as site:
        await site.sim.cmd("module", ramp=1000)
        for _ in range(count):
            for cause in CAUSES:
                await site.charge()
                took[cause].append(1000 * await site.off_after(cause))
                await site.leave()
    return [
        (
            f'{cause} to "off" on the bus',
            f"{percentile(ms, 0.5):.1f} ms, p99 {percentile(ms, 0.99):.1f} ms of {len(ms)}",
            f"{5 if cause == CAUSES[0] else 10} ms",
        )
        for cause, ms in took.items()
    ]


async def schedule(seconds: int) -> list[Row]:
    """How late MeterValues come on a 1 s schedule, the earliest counting as punctual, while both buses are flooded."""
    async with site_of(Firmware(), 1) as site:
        for bus in ("bms", "pm"):
            await site.sim.cmd("bus", name=bus, load=FLOOD)
        await site.charge()
        mark = site.csms.mark()
        await asyncio.sleep(seconds)
        came = [f.mono for f in site.csms.transcript.since(mark) if f.action == "MeterValues" and f.kind == "CALL"]
        await site.leave()
    offsets = [(t - came[0]) % 1.0 for t in came[1:]]
    offsets = [offset - 1.0 if offset > 0.5 else offset for offset in offsets]
    late = [1000 * (offset - min(offsets)) for offset in offsets]
    figure = f"{percentile(late, 0.5):.1f} ms, p99.9 {percentile(late, 0.999):.1f} ms of {len(late)}"
    return [(f"MeterValues after their time, {FLOOD} foreign frames/s on each bus", figure, "10 ms")]


@dataclass(frozen=True)
class RomFirmware(Firmware):
    """The firmware in a ROMFS, from which bytecode runs in place as from the flash of a board; `heap_k` is without the
    image, which the unix port has to keep in its heap."""

    image: Path = Path()
    heap_k: int = 0

    def command(self, data: Path, factory: Path) -> tuple[list[str], dict[str, str]]:
        """See Firmware."""
        argv, _ = super().command(data, factory)
        heap = self.image.stat().st_size + _ROM_EXTRA + 1024 * self.heap_k
        rest = argv[argv.index("main") + 1 :]
        return [argv[0], "-X", f"heapsize={heap}", "-c", _ROM_START, str(self.image), *rest], {}


def rom_image(folder: Path) -> Path:
    """The build of board sim as an image, with board.mpy where the firmware looks for it."""
    tree, target = folder / "tree", folder / "sim.romfs"
    for part, place in (("firmware", "firmware"), ("lib", "lib"), ("boards", "firmware/boards")):
        shutil.copytree(ROOT / "build/sim" / part, tree / place)
    pack(tree, target)
    return target


async def passes(firmware: Firmware) -> bool:
    """A whole session without a word about memory."""
    try:
        async with site_of(firmware, 2) as site:
            mark = site.csms.mark()
            await site.charge()
            await site.wait("MeterValues", site.csms.mark())
            await site.leave()
            await site.wait("StopTransaction", mark)
            return not any("MemoryError" in line for line in site.firmware.lines)
    except (StartError, TimeoutError, CallFailed):
        return False


async def smallest(start_k: int, firmware: Callable[[int], Firmware]) -> str:
    """The smallest heap, in steps of 4 KiB down from `start_k`, in which `passes`."""
    size = start_k
    while await passes(firmware(size)):
        size -= _STEP_K
    return f"{size + _STEP_K} KiB" if size < start_k else f"more than {start_k} KiB"


async def memory() -> list[Row]:
    """Heap on the 32-bit port with all profiles, its modules as files and in a ROMFS; and the flash used."""
    modules = build(ROOT, "sim", ROOT / "build/sim")
    with tempfile.TemporaryDirectory(prefix="charger-bench-") as name:
        image = rom_image(Path(name))
        files = await smallest(112, lambda size: Firmware(32, True, f"{size}k"))
        rom = await smallest(80, lambda size: RomFirmware(32, True, image=image, heap_k=size))
    return [
        ("heap for a whole session, 32-bit, .mpy files", files, "112 KiB"),
        ("the same from a ROMFS", rom, "64 KiB"),
        ("all of the program as .mpy", f"{sum(modules.values()) / 1024:.0f} KiB", "200 KiB"),
    ]


async def run(parts: Sequence[str], count: int, seconds: int) -> None:
    """Measure and print. Raises StartError, SimError, TimeoutError, CallFailed."""
    console = Console(highlight=False)
    measures: dict[str, Callable[[], Awaitable[list[Row]]]] = {
        "reactions": partial(reactions, count),
        "schedule": partial(schedule, seconds),
        "memory": memory,
    }
    for name in parts:
        with console.status(f"{name} ..."):
            rows = await measures[name]()
        for what, figure, aim in rows:
            console.print(f"{what:<72} {figure:<36} aim {aim}", soft_wrap=True)


def main() -> int:
    """Exit status 0: measured (whatever the figures are); 2: it could not be."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench", description="Measure the firmware against its aims.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)} (all)")
    parser.add_argument("--count", type=int, default=30, metavar="N", help="sessions for each reaction (30)")
    parser.add_argument("--seconds", type=int, default=60, metavar="S", help="of metering on flooded buses (60)")
    options = parser.parse_args()
    if options.count < 1 or options.seconds < 3:
        parser.error("N must be at least 1, S at least 3")
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}; the parts are {', '.join(PARTS)}")
    try:
        asyncio.run(run(options.parts or PARTS, options.count, options.seconds))
    except (StartError, SimError, TimeoutError, CallFailed, OSError) as error:
        print(f"The benchmark stopped: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
