"""The power is cut, or the program is told to end, at every moment of a session; then the charger starts again."""

import json
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests_host.system.rig import Rig, field_of, system_test
from tests_host.system.steps import (
    ENDS,
    REMOTE_STOP,
    TAG,
    QuickRig,
    after_start,
    assert_repeats_are_the_same,
    assert_sent_once,
    begin,
    calls_of,
    charge,
    sees_vehicle,
    sends,
    together,
    utc,
    whole_session,
)
from tools.csms import SILENCE
from tools.transcript import ENERGY

SUMMARY = "DataTransfer(SessionSummary)"


async def _charging(rig: Rig) -> str:
    await begin(rig)
    return "PowerLoss"


async def _no_answer_to_start(rig: Rig) -> str:
    """The transaction has no id yet."""
    rig.csms.behave("StartTransaction", answer=SILENCE, times=1)
    await rig.plug()
    assert await rig.call("RemoteStartTransaction", {"idTag": TAG}) == {"status": "Accepted"}
    await rig.expect("StartTransaction")
    return "PowerLoss"


async def _started_at_this_moment(rig: Rig) -> str:
    """The answer to StartTransaction has just been sent."""
    await rig.plug()
    await rig.start_session(TAG, wait=False)
    return "PowerLoss"


async def _no_answer_to_summary(rig: Rig) -> str:
    """The session was stopped by its user; only its messages are not all answered."""
    rig.csms.behave("DataTransfer", message_id="SessionSummary", answer=SILENCE, times=1)
    await rig.call("RemoteStopTransaction", {"transactionId": await begin(rig)})
    await rig.expect("DataTransfer", messageId="SessionSummary")
    return "Remote"


async def _no_answer_to_stop(rig: Rig) -> str:
    """The last message of all is not answered."""
    rig.csms.behave("StopTransaction", answer=SILENCE, times=1)
    await rig.call("RemoteStopTransaction", {"transactionId": await begin(rig)})
    await rig.expect("StopTransaction")
    return "Remote"


async def _offline(rig: Rig) -> str:
    """The network was down when the power went."""
    await begin(rig)
    await rig.csms.stop_listening()
    await charge(rig)
    return "PowerLoss"


async def _switching_off(rig: Rig) -> str:
    """Told to stop a moment ago."""
    transaction = await begin(rig)
    events = (await rig.sim.state())["last_seq"]
    await rig.call("RemoteStopTransaction", {"transactionId": transaction})
    await rig.sim.wait_event("output_off", since=events)
    return "Remote or PowerLoss"


MOMENTS: dict[str, Callable[[Rig], Awaitable[str]]] = {
    "charging": _charging,
    "no-answer-to-start": _no_answer_to_start,
    "just-started": _started_at_this_moment,
    "no-answer-to-summary": _no_answer_to_summary,
    "no-answer-to-stop": _no_answer_to_stop,
    "offline": _offline,
    "switching-off": _switching_off,
}


async def _cut(path: Path, moment: str, times: int) -> None:
    """`times` power cuts in a row, the later ones as soon as the program runs again."""
    async with QuickRig(path, f"{moment}-{times}") as rig:
        reason = await MOMENTS[moment](rig)
        for _ in range(times - 1):
            await rig.restart_firmware(signal.SIGKILL, wait_registered=False)
            await rig.wait_line(" I ")
        await rig.stop_firmware(signal.SIGKILL)
        await rig.csms.resume()
        mark = rig.mark()
        await rig.start_firmware()
        await rig.wait_output(False)
        stop = await rig.wait_call("StopTransaction", since=mark)
        assert stop.payload["reason"] in reason.split(" or ")
        assert stop.payload["transactionId"] == rig.csms.store.rows("transactions")[0]["transaction_id"]
        await sees_vehicle(rig, mark)
        await rig.unplug()
        _assert_told_once(rig)
        _assert_register(rig, (await rig.sim.state())["energy_wh"])
        await whole_session(rig)  # the next one is as every other
        rig.assert_session(REMOTE_STOP.session)
        rig.assert_schemas()
        assert_repeats_are_the_same(rig)


def _assert_told_once(rig: Rig) -> None:
    """One transaction, one summary before its end, each message repeated only when nobody had answered it."""
    for wanted in ("StartTransaction", SUMMARY):
        assert len({frame.uid for frame in sends(rig, wanted)}) == 1, rig.calls()
    stops = calls_of(rig, "StopTransaction")
    assert len({frame.uid for frame in stops}) == 1, rig.calls()
    assert sends(rig, SUMMARY)[-1].n < stops[0].n
    assert len(rig.csms.store.rows("transactions")) == 1
    answered = {frame.uid for frame in rig.frames() if frame.kind == "CALLRESULT" and frame.direction == "out"}
    for frame in calls_of(rig, "StartTransaction", "StopTransaction", "DataTransfer"):
        again = [f for f in calls_of(rig) if f.uid == frame.uid]
        assert len(again) == 1 or frame.uid in answered


def _assert_register(rig: Rig, truth: float) -> None:
    """What was counted last before the cut: summary and meterStop agree, and nobody pays for more than flowed."""
    summary = json.loads(sends(rig, SUMMARY)[-1].payload["data"])
    start, stop = calls_of(rig, "StartTransaction")[-1], calls_of(rig, "StopTransaction")[-1]
    delivered = stop.payload["meterStop"] - start.payload["meterStart"]
    assert 0 <= delivered <= truth * 1.005
    assert int(summary["energyDelivered"]) == delivered


@system_test
async def test_power_cut(tmp_path: Path) -> None:
    """Once at every moment; several times in a row at some."""
    await together(
        **{moment: _cut(tmp_path, moment, 1) for moment in MOMENTS},
        **{f"{moment}, again": _cut(tmp_path, moment, 4) for moment in ("charging", "offline", "no-answer-to-summary")},
    )


async def _order_after_a_power_cut(tmp_path: Path) -> None:
    """The vehicle is still there: Finishing, SessionSummary, StopTransaction, and nothing as if it had just come."""
    async with QuickRig(tmp_path) as rig:
        await begin(rig)
        mark = rig.mark()
        await rig.restart_firmware(signal.SIGKILL)
        await rig.wait_call("StopTransaction")
        await rig.sim.wait_state(lambda state: state["led"] == "plugged")
        await rig.unplug()
        assert rig.calls(mark) == [
            "BootNotification",
            "StatusNotification(0 Available)",
            "StatusNotification(1 Finishing)",
            SUMMARY,
            "StopTransaction(PowerLoss)",
            "StatusNotification(1 Available)",
        ]
        assert_sent_once(rig)
        rig.assert_schemas()
        await whole_session(rig)
        rig.assert_session(REMOTE_STOP.session)


async def _leaves_in_the_dark(tmp_path: Path) -> None:
    """The vehicle leaves while the power is away: Finishing, then Available by itself; the next one is told about."""
    async with QuickRig(tmp_path) as rig:
        await begin(rig)
        mark = rig.mark()
        await rig.stop_firmware(signal.SIGKILL)
        await rig.sim.cmd("unplug")
        await rig.start_firmware()
        await rig.wait_call("StatusNotification", since=mark, connectorId=1, status="Available")
        rig.assert_order("StatusNotification(1 Finishing)", "StatusNotification(1 Available)", since=mark)
        rig.assert_order(SUMMARY, "StopTransaction(PowerLoss)", since=mark)
        rig.assert_count("DataTransfer(VehicleInfo)", 0, since=mark)
        await whole_session(rig)
        rig.assert_session(REMOTE_STOP.session)


async def _keeps_the_checkpoint(tmp_path: Path) -> None:
    """What had flowed 10 s after the start is not lost, and the state of charge is known."""
    async with QuickRig(tmp_path) as rig:
        await begin(rig)
        sample = await rig.wait_call("MeterValues", timestamp=after_start(rig, 10), timeout=15)
        await charge(rig, 0.7)
        await rig.restart_firmware(signal.SIGKILL)
        stop = await rig.wait_call("StopTransaction")
        assert stop.payload["meterStop"] >= int(field_of(sample, ENERGY)) - 1  # taken at the same time, or just before
        assert "finalSoc" in json.loads(sends(rig, SUMMARY)[-1].payload["data"])
        assert utc(stop.payload["timestamp"]) >= utc(after_start(rig, 10)) - 1
        _assert_register(rig, (await rig.sim.state())["energy_wh"])


async def _goes_on(tmp_path: Path) -> None:
    """`vehicle.resume_after_power_loss`: the vehicle is still there, the transaction goes on under its id."""
    async with QuickRig(tmp_path, settings={"vehicle.resume_after_power_loss": True}) as rig:
        transaction = await begin(rig)
        await charge(rig)
        mark = rig.mark()
        await rig.restart_firmware(signal.SIGKILL)
        await rig.wait_call("StatusNotification", since=mark, connectorId=1, status="Charging")
        rig.assert_count("StopTransaction", 0, since=mark)
        await charge(rig)
        assert await rig.call("RemoteStopTransaction", {"transactionId": transaction}) == {"status": "Accepted"}
        stop = await rig.wait_call("StopTransaction", since=mark)
        assert (stop.payload["reason"], stop.payload["transactionId"]) == ("Remote", transaction)
        await rig.unplug()
        rig.assert_count("StartTransaction", 1)
        rig.assert_count("DataTransfer(VehicleInfo)", 1)
        rig.assert_order(SUMMARY, "StatusNotification(1 Finishing)", "StopTransaction(Remote)", since=mark)
        _assert_register(rig, (await rig.sim.state())["energy_wh"])
        rig.assert_schemas()


@system_test
async def test_after_a_power_cut(tmp_path: Path) -> None:
    await together(
        stays=_order_after_a_power_cut(tmp_path / "stays"),
        leaves=_leaves_in_the_dark(tmp_path / "leaves"),
        checkpoint=_keeps_the_checkpoint(tmp_path / "checkpoint"),
        resumed=_goes_on(tmp_path / "resumed"),
    )


async def _asked_to_end(path: Path, number: signal.Signals, end: str, online: bool) -> None:
    """SIGTERM, or Ctrl-C: off before the program ends, the end of the session is in the store, and is told once."""
    async with QuickRig(path, f"{number.name}-{end}-{online}") as rig:
        transaction = await begin(rig)
        if not online:
            await rig.csms.stop_listening()
            await charge(rig)
        if end != "none":
            await ENDS[end].act(rig, transaction)
        status = await rig.stop_firmware(number)
        assert status == (0 if number == signal.SIGTERM else 130), rig.firmware.tail()
        state = await rig.sim.state()
        assert not state["output_on"] and state["current"] < 0.5, "the program ended with power on"
        assert not [alarm for alarm in state["alarms"] if alarm != "unplugged_under_load"], state["alarms"]
        truth = state["session_wh"]
        await rig.csms.resume()
        mark = rig.mark()
        await rig.start_firmware()
        stop = await rig.wait_call("StopTransaction")
        reason = "Reboot" if end == "none" else ENDS[end].reason
        assert stop.payload["reason"] == reason
        rig.assert_order("MeterValues(Transaction.End)", SUMMARY, f"StopTransaction({reason})")
        _assert_told_once(rig)
        told = json.loads(sends(rig, SUMMARY)[-1].payload["data"])["energyDelivered"]
        assert abs(told - truth) <= max(0.05, 0.005 * truth)
        await sees_vehicle(rig, mark)
        await rig.unplug()
        rig.assert_schemas()
        assert_repeats_are_the_same(rig)


@system_test
async def test_asked_to_end(tmp_path: Path) -> None:
    await together(
        online=_asked_to_end(tmp_path, signal.SIGTERM, "none", True),
        offline=_asked_to_end(tmp_path, signal.SIGTERM, "none", False),
        stopped=_asked_to_end(tmp_path, signal.SIGTERM, "remote-stop", True),
        interrupted=_asked_to_end(tmp_path, signal.SIGINT, "none", True),
    )
