"""Garbage and full load on the buses while charging: the session does not notice, and "off" is as fast as ever."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from pathlib import Path

import can

from tests_host.system.rig import Rig, system_test
from tests_host.system.safety_steps import (
    Loss,
    all_at_once,
    assert_lawful,
    charge,
    frame,
    in_batches,
    on_wire,
    reaction,
)
from tools.transcript import Session

_FULL_BUS = 1900  # frames/s at 250 kbit/s, short ones among them
_NOISE_S = 15.0  # long enough that a frame at either edge is less than the bound
_INTERVAL_S = 2
_ENERGY = 0.005
_OURS = (0x1806E5F4, 0x18FF50E5, 0x160B8001, 0x160D8001, 0x18904001, 0x0681817E, 0x0681827E, 0x00433F01, 0x00473F01)


async def nothing(rig: Rig) -> None:
    """For comparison."""
    await asyncio.sleep(_NOISE_S)


async def full_load(rig: Rig) -> None:
    """Both buses full of frames that mean nothing to us."""
    for bus in ("pm", "bms"):
        await rig.sim.cmd("bus", name=bus, load=_FULL_BUS)
    await asyncio.sleep(_NOISE_S)
    buses = (await rig.sim.state())["buses"]
    for bus in buses.values():  # it was really sent, and read in time
        assert bus["noise"] > 0.9 * _FULL_BUS * _NOISE_S and bus["dropped"] == 0, bus


async def garbage(rig: Rig) -> None:
    """Our identifiers with defects, absurd values, malformed SLCAN lines."""
    for bus in ("pm", "bms"):
        await rig.sim.cmd("bus", name=bus, load=500, text_garbage=200)
    await rig.sim.cmd("bms", garbage=200)
    await rig.sim.cmd("module", garbage=200)
    await asyncio.sleep(_NOISE_S)


def wrong_frames(rng: random.Random, count: int) -> list[can.Message]:
    """Frames with our identifiers that are too short, remote, or of 11 bits; random data."""
    frames = []
    for _ in range(count):
        can_id = rng.choice(_OURS)
        match rng.randrange(3):
            case 0:  # counters may have 4 bytes
                frames.append(frame(can_id, rng.randbytes(rng.randrange(4 if can_id >> 16 in (0x160B, 0x160D) else 8))))
            case 1:
                frames.append(frame(can_id, remote=True))
            case _:
                frames.append(frame(can_id & 0x7FF, rng.randbytes(8), extended=False))
    return frames


async def wrong_lengths(rig: Rig) -> None:
    """A second node that sends nothing but defects, in bursts, on both buses."""
    rng = random.Random(7)
    async with on_wire(rig, "pm") as pm, on_wire(rig, "bms") as bms:
        end = asyncio.get_running_loop().time() + _NOISE_S
        while asyncio.get_running_loop().time() < end:
            pm.send(*wrong_frames(rng, 30))
            bms.send(*wrong_frames(rng, 30))
            await asyncio.sleep(0.05)


NOISES = (nothing, full_load, garbage, wrong_lengths)


async def charge_through(tmp_path: Path, noise: Callable[[Rig], Awaitable[None]]) -> None:
    """One session: noise, a limit that must be followed in it, and the end in it."""
    async with Rig(tmp_path, ocpp={"MeterValueSampleInterval": str(_INTERVAL_S)}) as rig:
        await charge(rig)
        await noise(rig)
        change = await rig.sim.cmd("ev", max_current=20)
        lowered = await rig.sim.wait_event("setpoint", change["seq"], what="current")
        assert lowered["value"] <= 20 and lowered["t"] - change["t"] <= 0.1, (change, lowered)
        stop = await rig.sim.cmd("ev", allow=False)
        late = await reaction(rig, stop)
        print(f"{noise.__name__}: off after {late * 1000:.1f} ms")
        await rig.expect("StopTransaction", reason="Other")
        truth = (await rig.sim.state())["session_wh"]
        summary = rig.csms.store.rows("session_summary")[0]["energy_delivered"]
        assert abs(summary - truth) <= _ENERGY * truth, f"{summary} Wh, and in truth {truth:.2f} Wh"
        rig.assert_session(Session(reason="Other", interval_s=_INTERVAL_S))
        rig.assert_count("StatusNotification(1 Charging)", 1)
        await assert_lawful(rig, [Loss.after(stop)])
        rig.assert_schemas()


@in_batches(NOISES, 4)
@system_test
async def test_noise(tmp_path: Path, batch: tuple[Callable[[Rig], Awaitable[None]], ...]) -> None:
    """Power, energy, times and messages as if there were none."""
    await all_at_once(tmp_path, batch, charge_through)
