"""A charger with two connectors and one reader for id tags: sessions side by side, and who is meant by a tag."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tests_host.system.rig import Rig, field_of, label, system_test
from tests_host.system.steps import QuickRig, assert_repeats_are_the_same, calls_of, together
from tools.csms import Frame

ENERGY = "Energy.Active.Import.Register"


async def _run(path: Path, scenario: Callable[[QuickRig], Awaitable[None]], **more: Any) -> None:
    async with QuickRig(path, scenario.__name__, connectors=2, **more) as rig:
        await scenario(rig)
        rig.assert_schemas()
        assert_repeats_are_the_same(rig)


def _of(rig: Rig, connector: int, action: str) -> list[Frame]:
    return [frame for frame in calls_of(rig, action) if frame.payload.get("connectorId") == connector]


async def _status(rig: Rig, connector: int, status: str, since: int = 0) -> Frame:
    return await rig.wait_call("StatusNotification", connectorId=connector, status=status, since=since)


async def _energy(rig: Rig, connector: int, wh: float) -> float:
    """Wait until so much has flowed since plug-in."""
    state = await rig.firmware.meanwhile(
        rig.sim.wait_state(lambda state: bool(state["session_wh"] >= wh), 20.0, connector)
    )
    return float(state["session_wh"])


async def side_by_side(rig: QuickRig) -> None:
    """Two sessions, for which the central system hands out the same transactionId: each has its own energy, its own
    samples and its own end."""
    rig.csms.behave("StartTransaction", answer=lambda call: {"transactionId": -7, "idTagInfo": {"status": "Accepted"}})
    for connector in (1, 2):
        await rig.sim.cmd("plug", connector=connector, soc=40 + connector)
        await _status(rig, connector, "Preparing")
    for connector in (1, 2):
        answer = await rig.call("RemoteStartTransaction", {"idTag": f"TAG{connector}", "connectorId": connector})
        assert answer == {"status": "Accepted"}
        await _status(rig, connector, "Charging")
    await asyncio.gather(_energy(rig, 1, 2.0), _energy(rig, 2, 2.0))
    await rig.swipe("tag1")
    stop = await rig.wait_call("StopTransaction", idTag="tag1", reason="Local")
    assert stop.payload["transactionId"] == -7
    await _status(rig, 1, "Finishing")
    await rig.wait_output(False, 1)
    on = await rig.sim.state(2)
    assert on["output_on"], "the other session was ended, too"
    await _energy(rig, 2, on["session_wh"] + 1.0)
    assert await rig.call("RemoteStopTransaction", {"transactionId": -7}) == {"status": "Accepted"}
    other = await rig.wait_call("StopTransaction", idTag="TAG2", reason="Remote")
    await rig.wait_output(False, 2)
    assert other.payload["meterStop"] > stop.payload["meterStop"]
    for connector, ended in ((1, stop), (2, other)):
        values = _of(rig, connector, "MeterValues")
        assert int(field_of(values[-1], ENERGY)) == ended.payload["meterStop"]
        truth = (await rig.sim.state(connector))["session_wh"]
        assert abs(truth - ended.payload["meterStop"]) <= 1.0 + 0.02 * truth, (connector, truth)
        registers = [int(field_of(frame, ENERGY)) for frame in values]
        assert registers == sorted(registers), (connector, registers)
        await rig.unplug(connector, wait=False)
        await _status(rig, connector, "Available", ended.n)
    rig.assert_count("DataTransfer(VehicleInfo)", 2)
    rig.assert_count("DataTransfer(SessionSummary)", 2)


async def odd_ids(rig: QuickRig) -> None:
    """Transaction number 0 is a number like others, and ends only its own session."""
    ids = iter((0, 2**31 - 1))
    rig.csms.behave(
        "StartTransaction",
        answer=lambda call: {"transactionId": next(ids), "idTagInfo": {"status": "Accepted"}},
    )
    for connector in (1, 2):
        await rig.sim.cmd("plug", connector=connector)
        await _status(rig, connector, "Preparing")
        await rig.call("RemoteStartTransaction", {"idTag": "ONE", "connectorId": connector})
        await _status(rig, connector, "Charging")
    assert await rig.call("RemoteStopTransaction", {"transactionId": 1}) == {"status": "Rejected"}
    assert await rig.call("RemoteStopTransaction", {"transactionId": 0}) == {"status": "Accepted"}
    await rig.wait_call("StopTransaction", transactionId=0)
    await rig.wait_output(False, 1)
    assert (await rig.sim.state(2))["output_on"]
    assert await rig.call("RemoteStopTransaction", {"transactionId": 2**31 - 1}) == {"status": "Accepted"}
    await rig.wait_call("StopTransaction", transactionId=2**31 - 1)
    await rig.wait_output(False, 2)


async def card_before_the_plug(rig: QuickRig) -> None:
    """A card, then a plug: the first vehicle that comes is meant, wherever. The next card is for the next vehicle,
    not for the one that was served."""
    await rig.swipe("FIRST")
    for connector in (1, 2):
        await _status(rig, connector, "Preparing")
    mark = rig.mark()
    await rig.sim.cmd("plug", connector=2)
    start = await rig.wait_call("StartTransaction", idTag="FIRST")
    assert start.payload["connectorId"] == 2
    await _status(rig, 1, "Available", mark)
    await _status(rig, 2, "Charging", mark)
    await rig.swipe("FIRST")
    await rig.wait_call("StopTransaction", reason="Local")
    await _status(rig, 2, "Finishing", mark)
    await rig.swipe("SECOND")
    await _status(rig, 1, "Preparing", start.n)
    await rig.sim.cmd("plug", connector=1)
    second = await rig.wait_call("StartTransaction", idTag="SECOND")
    assert second.payload["connectorId"] == 1
    await _status(rig, 1, "Charging", second.n)
    assert not (await rig.sim.state(2))["output_on"]
    rig.assert_count("StartTransaction", 2)


async def remote_start_of_any(rig: QuickRig) -> None:
    """RemoteStart without connectorId: a vehicle that waits is meant, else the first that comes."""
    await rig.plug(2)
    assert await rig.call("RemoteStartTransaction", {"idTag": "A"}) == {"status": "Accepted"}
    first = await rig.wait_call("StartTransaction", idTag="A")
    assert first.payload["connectorId"] == 2
    await _status(rig, 2, "Charging")
    assert await rig.call("RemoteStartTransaction", {"idTag": "B"}) == {"status": "Accepted"}
    await _status(rig, 1, "Preparing", first.n)
    assert await rig.call("RemoteStartTransaction", {"idTag": "C"}) == {"status": "Rejected"}
    await rig.sim.cmd("plug", connector=1)
    second = await rig.wait_call("StartTransaction", idTag="B")
    assert second.payload["connectorId"] == 1
    await _status(rig, 1, "Charging", second.n)
    assert await rig.call("RemoteStartTransaction", {"idTag": "D"}) == {"status": "Rejected"}


async def one_out_of_order(rig: QuickRig) -> None:
    """A fault, Inoperative and a power cut concern the connector they concern."""
    await rig.sim.cmd("fault", connector=1, active=True)
    await _status(rig, 1, "Faulted")
    await rig.plug(2)
    transaction = await rig.start_session("TAG", 2)
    await _energy(rig, 2, 1.0)
    answer = await rig.call("ChangeAvailability", {"connectorId": 0, "type": "Inoperative"})
    assert answer == {"status": "Scheduled"}
    await _status(rig, 0, "Unavailable")
    await rig.sim.cmd("fault", connector=1, active=False)
    await _status(rig, 1, "Unavailable")
    mark = rig.mark()
    await rig.restart_firmware()
    stop = await rig.wait_call("StopTransaction", transactionId=transaction, reason="PowerLoss", since=mark)
    assert stop.payload["meterStop"] >= 0
    await rig.sim.cmd("unplug", connector=2)
    for connector in (0, 1, 2):
        await _status(rig, connector, "Unavailable", mark)
    mark = rig.mark()
    assert await rig.call("RemoteStartTransaction", {"idTag": "X"}) == {"status": "Rejected"}
    answer = await rig.call("ChangeAvailability", {"connectorId": 0, "type": "Operative"})
    assert answer == {"status": "Accepted"}
    for connector in (0, 1, 2):
        await _status(rig, connector, "Available", mark)
    labels = [label(frame) for frame in calls_of(rig, "StatusNotification", since=mark)]
    finishing = "StatusNotification(2 Finishing)"  # when it is not known yet that its vehicle has left
    assert sorted(set(labels) - {finishing}) == [f"StatusNotification({n} Available)" for n in (0, 1, 2)], labels


@system_test
async def test_two_connectors(tmp_path: Path) -> None:
    await together(
        side=_run(tmp_path, side_by_side),
        odd=_run(tmp_path, odd_ids),
        card=_run(tmp_path, card_before_the_plug),
        remote=_run(tmp_path, remote_start_of_any),
        out=_run(tmp_path, one_out_of_order),
    )
