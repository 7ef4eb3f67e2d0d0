"""The self-test against the simulated site: everything good, what is broken and its next step, what never happens."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from tests_host.conftest import interpreter
from tests_host.system.rig import Rig, system_test
from tools.build_mpy import build
from tools.demo.firmware import ROOT, Firmware

PROGRAM = "tests_host/unit/selftest_main.py"
DEADLINE_S = 20.0
Rows = dict[str, tuple[str, str]]


@dataclass(frozen=True)
class WithTest(Firmware):
    """The firmware from source, with the self-test on its console."""

    def command(self, data: Path, factory: Path) -> tuple[list[str], dict[str, str]]:
        argv, env = super().command(data, factory)
        return [argv[0], PROGRAM, *argv[2:]], env


async def rows_of(rig: Rig, word: str = "look") -> Rows:
    """{name: (verdict, next step)}"""
    seen = len([line for line in rig.firmware.lines if line.startswith("ROWS ")])
    rig.firmware.write(word + "\n")
    async with asyncio.timeout(DEADLINE_S):
        while len(answers := [line for line in rig.firmware.lines if line.startswith("ROWS ")]) == seen:
            assert rig.firmware.running
            await asyncio.sleep(0.01)
    return {name: (verdict, step) for name, verdict, step in json.loads(answers[-1][5:])}


async def until(rig: Rig, good: Callable[[Rows], bool]) -> Rows:
    """Test again and again until the rows are as wanted."""
    end = time.monotonic() + DEADLINE_S
    while not good(rows := await rows_of(rig)):
        assert time.monotonic() < end, rows
        await asyncio.sleep(0.1)
    return rows


def bad(rows: Rows) -> set[str]:
    return {name for name, (verdict, _) in rows.items() if verdict == "fail"}


async def _everything_good(rig: Rig) -> None:
    rows = await until(rig, lambda rows: not bad(rows))
    assert rows["vehicle at 1"] == ("open", "plug a vehicle in")
    await rig.plug()
    rows = await until(rig, lambda rows: rows["vehicle at 1"][0] == "ok")
    for name in (
        "program start",
        "free memory",
        "time of day",
        "data storage",
        "central system",
        "pm1",
        "bms1",
        "power module 1",
        "emergency stop 1",
        "door contact 1",
        "faults of 1",
    ):
        assert rows[name] == ("ok", ""), (name, rows)
    assert rows["contactor of 1"][0] in ("ok", "open")  # with the simulated feedback, or without
    rows = await rows_of(rig, "move")
    assert rows["lights of 1"][0] == "open"
    state = await rig.sim.state()
    assert not state["output_on"] and state["last_on"] is None and not state["contactor"]
    lights = [event["value"] for event in await rig.sim.events(types=["led"])]
    assert lights[-5:] == ["plugged", "charging", "fault", "idle", "plugged"], lights


async def _a_bus_down(rig: Rig) -> None:
    await rig.sim.cmd("bus", name="pm", state="down")
    rows = await until(rig, lambda rows: "pm1" in bad(rows) and "power module 1" in bad(rows))
    assert "60 ohm" in rows["pm1"][1] and "bms1" not in bad(rows)
    await rig.sim.cmd("bus", name="pm", state="up")
    await until(rig, lambda rows: "pm1" not in bad(rows) and "power module 1" not in bad(rows))


async def _module_silent(rig: Rig) -> None:
    await until(rig, lambda rows: not bad(rows))
    await rig.sim.cmd("module", silent=True)
    rows = await until(rig, lambda rows: "silent" in rows["power module 1"][1])
    assert "power module 1" in bad(rows) and "pm1" not in bad(rows)


async def _estop_pressed(rig: Rig) -> None:
    await rig.sim.cmd("estop", active=True)
    rows = await until(rig, lambda rows: {"emergency stop 1", "faults of 1"} <= bad(rows))
    assert rows["emergency stop 1"][1] == "pressed: release it" and "EmergencyStop" in rows["faults of 1"][1]
    await rig.sim.cmd("estop", active=False)
    await until(rig, lambda rows: "emergency stop 1" not in bad(rows))


async def _central_system_away(rig: Rig) -> None:
    await rig.csms.stop_listening()
    rows = await until(rig, lambda rows: "central system" in bad(rows))
    assert "not connected" in rows["central system"][1]


async def _while_charging(rig: Rig) -> None:
    """Nothing moves, nothing is disturbed."""
    await rig.plug()
    await rig.start_session()
    await rig.sim.wait_event("led", value="charging")
    lights = await rig.sim.events(types=["led", "lock", "contactor"])
    rows = await rows_of(rig, "move")
    assert rows["lights of 1"][0] == rows["plug lock of 1"][0] == "left out" and "session" in rows["lights of 1"][1]
    assert (await rig.sim.state())["output_on"]
    assert await rig.sim.events(types=["led", "lock", "contactor"]) == lights
    await rig.stop_session()
    await rig.unplug()


async def _lock(rig: Rig) -> None:
    """Moved only while no vehicle is there; one that is jammed is found."""
    await until(rig, lambda rows: not bad(rows))
    assert (await rows_of(rig, "move"))["plug lock of 1"] == ("ok", "")
    assert not (await rig.sim.state())["bolt"]
    await rig.sim.cmd("fault", kind="lock", active=True)
    assert (await rows_of(rig, "move"))["plug lock of 1"][0] == "fail"
    await rig.sim.cmd("fault", kind="lock", active=False)
    await rig.plug()
    assert (await rows_of(rig, "move"))["plug lock of 1"][0] == "left out"


async def _at_start(rig: Rig) -> None:
    """The short form comes by itself; it names what is wrong."""
    await rig.sim.cmd("door", active=True)
    await rig.wait_line("selftest: door contact 1: open: close it", DEADLINE_S)
    await rig.wait_line(" good", DEADLINE_S)


CASES: dict[Callable[[Rig], Awaitable[None]], bool] = {
    _everything_good: False,
    _a_bus_down: False,
    _module_silent: False,
    _estop_pressed: False,
    _central_system_away: False,
    _while_charging: True,
    _lock: True,
    _at_start: False,
}


@system_test
async def test_selftest(tmp_path: Path) -> None:
    async def one(case: Callable[[Rig], Awaitable[None]], lock: bool) -> None:
        async with Rig(tmp_path / case.__name__, program=WithTest(), board={"lock": lock}) as rig:
            await case(rig)
            assert not [line for line in rig.firmware.lines if "Traceback" in line]

    results = await asyncio.gather(*(one(case, lock) for case, lock in CASES.items()), return_exceptions=True)
    failed = [result for result in results if isinstance(result, BaseException)]
    if failed:
        raise ExceptionGroup("self-test", [error for error in failed if isinstance(error, Exception)])


@system_test
async def test_short_form_of_the_compiled_firmware_in_its_small_heap(tmp_path: Path) -> None:
    interpreter(32)
    build(ROOT, "sim", ROOT / "build" / "sim")
    async with Rig(tmp_path, bits=32, mpy=True) as rig:
        line = await rig.wait_line("selftest: ", DEADLINE_S)
        assert "of 13 good" in line, line
        assert not [line for line in rig.firmware.lines if "MemoryError" in line]
