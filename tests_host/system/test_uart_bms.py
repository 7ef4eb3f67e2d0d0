"""Whole sessions with a vehicle whose BMS is on a serial line, JBD and Daly: all of it as with the Rivot BMS on CAN.

Such a BMS is asked and never written to. It states no limits: those of the settings hold.
"""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests_host.conftest import interpreter
from tests_host.system.rig import Rig, field_of, system_test
from tests_host.system.safety_steps import BOUND_S, Event, Loss, all_at_once, assert_lawful, wait_sim
from tests_host.system.steps import INTERVAL_S, QUICK_SETTINGS, TAG, QuickRig
from tools.build_mpy import build
from tools.demo.firmware import ROOT
from tools.transcript import Session

MAX_V, MAX_A = 84.0, 24.0
_LIMITS = {"vehicle.max_mv": int(MAX_V * 1000), "vehicle.max_ma": int(MAX_A * 1000)}
_STOP = {"vehicle.bms_stop_ms": 2000}  # longer than what is asked for one after the other
_TIMEOUT_S = QUICK_SETTINGS["vehicle.bms_timeout_ms"] / 1000
_SWEEP_S = 1.2  # every value of the BMS is asked for again within this
_READS = {"jbd": {"0x03"}, "daly": {"0x90", "0x92", "0x93", "0x98"}}
_HEAP = "120k"  # 112k is enough, and the bound of the product is in test_small_heap.py
PACK = {"soc": 50, "temperature": 31, "max_current": MAX_A}  # 72.8 V


async def plug_in(rig: Rig, **vehicle: Any) -> dict[str, Any]:
    """Plug in; what VehicleInfo says."""
    await rig.sim.cmd("plug", **(PACK | vehicle))
    await rig.expect("StatusNotification", connectorId=1, status="Preparing")
    info = await rig.expect("DataTransfer", messageId="VehicleInfo")
    return dict(json.loads(info.payload["data"]))


async def charge(rig: Rig) -> int:
    """Plug in, start, full current; the transaction."""
    await plug_in(rig)
    transaction = await rig.start_session(TAG)
    await rig.firmware.meanwhile(rig.sim.wait_state(lambda state: state["current"] > MAX_A - 0.5, 10.0))
    return transaction


async def off_after(rig: Rig, cause: Event, seconds: float) -> Event:
    """The off frame, at most `seconds` after the cause."""
    off = await wait_sim(rig, "output_off", cause["seq"], seconds + 5.0)
    late = off["t"] - cause["t"] - seconds
    assert late <= BOUND_S, f"off {late * 1000:.0f} ms too late"
    return off


async def forbidden(rig: Rig, since: Event) -> Event:
    """The answer that says that charging is forbidden."""
    return await wait_sim(rig, "limits", since["seq"], 3.0, allow=False)


async def session(rig: Rig, protocol: str) -> None:
    """From plug-in to Available, as with every other vehicle; the values are those of the BMS."""
    info = await plug_in(rig)
    assert info == {"soc": 50.0, "maxCurrent": MAX_A, "voltage": 72.8, "current": 0.0, "temperature": 31.0}, info
    await rig.start_session(TAG)
    for _ in range(2):
        sample = await rig.expect("MeterValues", context="Sample.Periodic")
    assert float(field_of(sample, "SoC")) >= 50
    await rig.firmware.meanwhile(rig.sim.wait_state(lambda state: state["current"] > MAX_A - 0.5, 10.0))
    await rig.stop_session()
    await rig.unplug()
    rig.assert_session(Session(interval_s=INTERVAL_S, unplugged=True))
    for what, most in (("voltage", MAX_V), ("current", MAX_A)):
        points = [e["value"] for e in await rig.sim.events(types=["setpoint"]) if e["what"] == what]
        assert max(points) == pytest.approx(most, abs=0.05), points
    uart = (await rig.sim.state())["uart"]
    assert uart["bad_bytes"] == 0 and set(uart["frames"]) == _READS[protocol], uart
    await assert_lawful(rig)


async def another_vehicle(rig: Rig, protocol: str) -> None:
    """The next vehicle begins with nothing of the last one."""
    await plug_in(rig, soc=80)
    await rig.unplug()
    info = await plug_in(rig, soc=30, temperature=12)
    assert (info["soc"], info["temperature"], info["voltage"]) == (30.0, 12.0, 70.9), info


async def forbids(rig: Rig, protocol: str) -> None:
    """Its charge transistor goes off: power off with that answer, and the session ends."""
    await charge(rig)
    wish = await rig.sim.cmd("ev", allow=False)
    said = await forbidden(rig, wish)
    assert said["t"] - wish["t"] <= _SWEEP_S
    await off_after(rig, said, 0.0)
    await rig.expect("StopTransaction", reason="Other")
    await assert_lawful(rig, [Loss.after(said)])


async def protection(rig: Rig, protocol: str) -> None:
    """The transistor is on, but a protection stands: off; when it is over, on again in the same transaction."""
    transaction = await charge(rig)
    cause = await rig.sim.cmd("bms", protection=1 << 4 if protocol == "jbd" else 0x02 << 40)  # too hot to charge
    off = await off_after(rig, cause, _SWEEP_S)
    back = await rig.sim.cmd("bms", protection=0)
    await wait_sim(rig, "output_on", back["seq"])
    await rig.stop_session(transaction)
    rig.assert_count("StartTransaction", 1)
    await assert_lawful(rig, [Loss.after(off, 0.0, back)])


async def silent(rig: Rig, protocol: str) -> None:
    """Power off when the last answer is too old; unplugged when the silence goes on."""
    await charge(rig)
    last = await rig.sim.cmd("bms", silent=True)
    off = await off_after(rig, last, _TIMEOUT_S)
    assert off["t"] - last["t"] >= _TIMEOUT_S - _SWEEP_S
    await rig.expect("StopTransaction", reason="EVDisconnected")
    await rig.expect("StatusNotification", connectorId=1, status="Available")
    await assert_lawful(rig, [Loss.after(last, _TIMEOUT_S)])


async def corrupt(rig: Rig, protocol: str) -> None:
    """True answers among much noise are heard; answers that are all damaged are silence."""
    transaction = await charge(rig)
    await rig.sim.cmd("bms", garbage=20)
    noise = await rig.sim.cmd("bus", name="uart", load=150)
    await rig.expect("MeterValues", context="Sample.Periodic")
    await rig.expect("MeterValues", context="Sample.Periodic")
    assert not await rig.sim.events(noise["seq"], ["output_off"])
    await rig.sim.cmd("bus", name="uart", load=0)
    await rig.sim.cmd("bms", garbage=0)
    bad = await rig.sim.cmd("bms", corrupt=True)
    await off_after(rig, bad, _TIMEOUT_S)
    good = await rig.sim.cmd("bms", corrupt=False)
    await wait_sim(rig, "output_on", good["seq"])
    await rig.stop_session(transaction)
    await assert_lawful(rig, [Loss.after(bad, _TIMEOUT_S, good)])


async def pulled(rig: Rig, protocol: str) -> None:
    """Unplugged under load: off within the age limit, at once when the module sees that nothing flows any more."""
    await charge(rig)
    gone = await rig.sim.cmd("unplug")
    await off_after(rig, gone, _TIMEOUT_S)
    await rig.expect("StopTransaction", reason="EVDisconnected")
    await rig.expect("StatusNotification", connectorId=1, status="Available")
    await assert_lawful(rig, alarms=["unplugged_under_load"])


async def line_lost(rig: Rig, protocol: str) -> None:
    """The line breaks: off at once, as with a bus; it comes back in time, and the session goes on."""
    transaction = await charge(rig)
    cut = await rig.sim.cmd("bus", name="uart", state="down")
    await off_after(rig, cut, 0.0)
    back = await rig.sim.cmd("bus", name="uart", state="up")
    await wait_sim(rig, "output_on", back["seq"])
    await rig.stop_session(transaction)
    rig.assert_count("StartTransaction", 1)
    await assert_lawful(rig, [Loss.after(cut, 0.0, back)])


async def asleep(rig: Rig, protocol: str) -> None:
    """A JBD board wakes at the second request; a Daly board sends requests back until something else wakes it."""
    await rig.sim.cmd("bms", asleep=True)
    await rig.sim.cmd("plug", **PACK)
    if protocol == "daly":
        await rig.firmware.meanwhile(
            rig.sim.wait_state(lambda state: sum(state["uart"]["frames"].values()) >= 4, timeout=8.0)
        )
        rig.assert_count("DataTransfer(VehicleInfo)", 0)
        await rig.sim.cmd("bms", asleep=False)
    await rig.expect("StatusNotification", connectorId=1, status="Preparing")
    await rig.start_session(TAG)
    await rig.stop_session()
    await assert_lawful(rig)


async def no_limits(rig: Rig, protocol: str) -> None:
    """Without limits in the settings nothing flows, and the log says why."""
    await rig.wait_line("vehicle.max_mv and vehicle.max_ma must be set")
    info = await plug_in(rig)
    assert "maxCurrent" not in info and info["soc"] == 50.0, info
    answer = await rig.call("RemoteStartTransaction", {"idTag": TAG, "connectorId": 1})
    assert answer == {"status": "Accepted"}
    await rig.expect("StartTransaction")
    await rig.expect("StopTransaction", reason="Other")
    assert not await rig.sim.events(types=["output_on"])


CASES: tuple[Any, ...] = (
    session, another_vehicle, forbids, protection, silent, corrupt, pulled, line_lost, asleep, no_limits,
)  # fmt: skip


@pytest.mark.parametrize("protocol", ["jbd", "daly"])
@system_test
async def test_uart_bms(tmp_path: Path, protocol: str) -> None:
    """Every one on a site of its own."""

    async def run(path: Path, case: Any) -> None:
        limits = {} if case is no_limits else _LIMITS
        async with QuickRig(path, settings=_STOP | limits, board={"bms": f"{protocol}_uart"}) as rig:
            await rig.sim.cmd("bms", protocol=protocol)
            await case(rig, protocol)
            rig.assert_schemas()

    await all_at_once(tmp_path, CASES, run)


@system_test
async def test_small_heap(tmp_path: Path) -> None:
    """The compiled firmware on the 32-bit port."""
    interpreter(32)
    build(ROOT, "sim", ROOT / "build" / "sim")

    async def run(protocol: str) -> None:
        board = {"bms": f"{protocol}_uart"}
        async with QuickRig(tmp_path, protocol, bits=32, mpy=True, heap=_HEAP, settings=_LIMITS, board=board) as rig:
            await rig.sim.cmd("bms", protocol=protocol)
            await charge(rig)
            await rig.expect("MeterValues", context="Sample.Periodic")
            await rig.stop_session()
            await rig.unplug()
            rig.assert_session(Session(interval_s=INTERVAL_S, unplugged=True))
            lines = [line for line in rig.firmware.lines if "MemoryError" in line or "Traceback" in line]
            assert not lines, "\n".join(lines)

    await asyncio.gather(*map(run, _READS))
