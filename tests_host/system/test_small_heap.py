"""The compiled firmware on the 32-bit port with the heap of an ESP32: whole sessions, and what interrupts them.

Pointers and heap blocks are as wide there as on the device, and everything is loaded from .mpy into the heap.
"""

import asyncio
import json
import random
from pathlib import Path

import pytest

from tests_host.conftest import interpreter
from tests_host.ocpp.payloads import DOWN, defects
from tests_host.ocpp.test_ocpp_malformed import ABSENT
from tests_host.system.rig import Rig, system_test
from tools.build_mpy import build
from tools.csms import FROM_CHARGER, Frame
from tools.demo.firmware import HEAP_32, ROOT
from tools.transcript import Session

SESSIONS = 4
_LONGEST = 600  # characters of a payload


@pytest.fixture(scope="module", autouse=True)
def compiled() -> None:
    interpreter(32)
    build(ROOT, "sim", ROOT / "build" / "sim")


def _rig(tmp_path: Path, heap: str = HEAP_32, **more: object) -> Rig:
    return Rig(tmp_path, bits=32, mpy=True, heap=heap, **more)  # type: ignore[arg-type]


def _assert_no_memory_error(rig: Rig) -> None:
    lines = [line for line in rig.firmware.lines if "MemoryError" in line or "Traceback" in line]
    assert not lines, "\n".join(lines)


@system_test
async def test_whole_session(tmp_path: Path) -> None:
    """35 s of charging, as `make demo ARGS=--auto` shows it."""
    async with _rig(tmp_path) as rig:
        await rig.plug()
        await rig.start_session()
        for n in range(1, 4):
            await rig.expect("MeterValues", context="Sample.Periodic", timeout=15 + n)
        await rig.stop_session()
        await rig.unplug()
        rig.assert_session()
        rig.assert_schemas()
        _assert_no_memory_error(rig)


@system_test
async def test_sessions_one_after_the_other_with_everything_between(tmp_path: Path) -> None:
    """Configuration read and changed, a lost link, garbage: nothing of it may cost a session."""
    async with _rig(tmp_path, ocpp={"MeterValueSampleInterval": "1"}) as rig:
        for number in range(SESSIONS):
            await rig.plug(soc=40 + number)
            await rig.start_session()
            await rig.expect("MeterValues", context="Sample.Periodic")
            keys = (await rig.call("GetConfiguration"))["configurationKey"]
            assert len(keys) > 15
            changed = await rig.call("ChangeConfiguration", {"key": "HeartbeatInterval", "value": str(60 + number)})
            assert changed == {"status": "Accepted"}
            await rig.csms.send_raw(rig.identity, "[" * 300)
            if number % 2:
                await rig.csms.drop(rig.identity, 1001)
                await rig.expect("MeterValues", context="Sample.Periodic", timeout=20)
            await rig.stop_session()
            await rig.unplug()
        for number in range(SESSIONS):
            rig.assert_session(Session(interval_s=1), number)
        rig.assert_schemas()
        _assert_no_memory_error(rig)


@system_test
async def test_power_cut_and_return(tmp_path: Path) -> None:
    """What is stored is read again and sent from the small heap, too."""
    async with _rig(tmp_path, ocpp={"MeterValueSampleInterval": "1"}) as rig:
        await rig.plug()
        transaction = await rig.start_session()
        await rig.expect("MeterValues", context="Sample.Periodic")
        await rig.restart_firmware()
        await rig.wait_call("StopTransaction", transactionId=transaction, reason="PowerLoss", timeout=20)
        await asyncio.wait_for(rig.unplug(), 30)
        rig.assert_schemas()
        _assert_no_memory_error(rig)


@system_test
async def test_charging_profiles_in_a_session(tmp_path: Path) -> None:
    """Profiles as long as they may be, installed, followed and asked for while power flows."""
    async with _rig(tmp_path, ocpp={"MeterValueSampleInterval": "1"}) as rig:
        await rig.plug(max_current=30)
        await rig.start_session()
        for level in range(9):
            periods = [{"startPeriod": n, "limit": 6.7 + (n + level) % 3} for n in range(24)]
            profile = {
                "chargingProfileId": level,
                "stackLevel": level,
                "chargingProfilePurpose": "TxProfile",
                "chargingProfileKind": "Relative",
                "chargingSchedule": {"chargingRateUnit": "A", "chargingSchedulePeriod": periods},
            }
            answer = await rig.call("SetChargingProfile", {"connectorId": 1, "csChargingProfiles": profile})
            assert answer == {"status": "Accepted"}
        for n in range(3):
            answer = await rig.call("GetCompositeSchedule", {"connectorId": n % 2, "duration": 60})
            assert answer["status"] == "Accepted"
            await rig.expect("MeterValues", context="Sample.Periodic")
        await rig.firmware.meanwhile(
            rig.sim.wait_state(lambda state: 6.6 <= state["setpoints"]["current"] <= 8.8, timeout=5)
        )
        assert await rig.call("ClearChargingProfile", {}) == {"status": "Accepted"}
        await rig.firmware.meanwhile(rig.sim.wait_state(lambda state: state["setpoints"]["current"] > 29, timeout=10))
        await rig.stop_session()
        await rig.unplug()
        rig.assert_schemas()
        _assert_no_memory_error(rig)


async def _answer(rig: Rig, uid: str, action: str, payload: object) -> Frame:
    """Send a CALL as it is, whatever it is; its answer."""
    mark = rig.mark()
    await rig.csms.send_raw(rig.identity, json.dumps([2, uid, action, payload]), "text")

    def fits(frame: Frame) -> bool:
        return frame.uid == uid and frame.direction == FROM_CHARGER

    return await rig.firmware.meanwhile(rig.csms.transcript.wait(fits, mark, 10))


@system_test
async def test_calls_with_defects(tmp_path: Path) -> None:
    """Wrong payloads of every action in a session: each gets its error, and nothing is changed by any of them."""
    dice = random.Random(1)
    cases = []
    for action in sorted(DOWN):
        found = [case for case in defects(action, dice) if len(json.dumps(case[0])) < _LONGEST]
        cases += [(action, *case) for case in dice.sample(found, min(len(found), 8))]
    async with _rig(tmp_path, ocpp={"MeterValueSampleInterval": "2"}) as rig:
        await rig.plug()
        await rig.start_session()
        before = await rig.call("GetConfiguration")
        answers: dict[int, Frame] = {}
        for n, (action, payload, _) in enumerate(cases):
            answers[n] = await _answer(rig, f"d{n}", action, payload)
        assert await rig.call("GetConfiguration") == before
        for n, (action, payload, codes) in enumerate(cases):
            answer = answers[n]
            assert answer.kind == "CALLERROR" or action in ABSENT, (action, payload, answer)
            if answer.kind == "CALLERROR":
                assert answer.payload["errorCode"] in codes | {"NotSupported"}, (action, payload, answer)
        await rig.expect("MeterValues", context="Sample.Periodic")
        assert (await rig.sim.state())["output_on"]
        await rig.stop_session()
        await rig.unplug()
        _assert_no_memory_error(rig)
