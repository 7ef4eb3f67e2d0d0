"""The network fails at the worst moments: the session goes on, nothing is lost, nothing is told twice."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests_host.system.rig import Rig, field_of, label, system_test
from tests_host.system.steps import (
    ENDS,
    REMOTE_STOP,
    TAG,
    QuickRig,
    assert_in_order_of_events,
    assert_repeats_are_the_same,
    assert_sent_once,
    assert_status_first,
    begin,
    calls_of,
    charge,
    finish,
    outage,
    reconnected,
    sends,
    together,
)
from tools.csms import DROP, DROP_AFTER, FROM_CHARGER, SILENCE, Answer

PATIENT = {"MessageTimeout": "60"}  # a black hole must show as a dead link, not as failed attempts
_DEAD_S = 30.0  # ping interval, 15 s without a pong, and the close


# While charging


async def _reset(rig: Rig) -> int:
    mark = rig.mark()
    await rig.csms.drop(rig.identity)
    return mark


async def _goodbye(rig: Rig) -> int:
    mark = rig.mark()
    await rig.csms.drop(rig.identity, 1001, "going away")
    return mark


async def _restart(rig: Rig) -> int:
    mark = await _goodbye(rig)
    await rig.csms.stop_listening()
    await rig.csms.resume()
    return mark


async def _refuse(rig: Rig) -> int:
    return await outage(rig, 25)


async def _dead_peer(rig: Rig) -> int:
    mark = rig.mark()
    await rig.csms.stop_listening("black hole")
    await rig.wait_line("no pong within", _DEAD_S)
    await rig.csms.resume()
    return mark


async def _loses_link(path: Path, name: str, fail: Callable[[Rig], Awaitable[int]]) -> None:
    async with QuickRig(path, name, ocpp=PATIENT | {"WebSocketPingInterval": "2"}) as rig:
        transaction = await begin(rig)
        before = (await rig.sim.state())["last_seq"]
        mark = await fail(rig)
        frames = await reconnected(rig, mark, 45)
        assert_status_first(frames, "Charging")
        assert not await rig.sim.events(before, ["output_off", "power_off"]), "the network moved the output"
        await charge(rig)
        await rig.wait_call("MeterValues", context="Sample.Periodic", since=rig.mark())
        await finish(rig, transaction)
        rig.assert_session(REMOTE_STOP.session)
        rig.assert_schemas()
        assert_repeats_are_the_same(rig)
        assert_in_order_of_events(_first_sends(rig))


def _first_sends(rig: Rig) -> list[Any]:
    """The charger's CALLs without their repeats."""
    seen: set[str | None] = set()
    return [f for f in calls_of(rig) if not (f.uid in seen or seen.add(f.uid))]  # type: ignore[func-returns-value]


async def _short_black_hole(path: Path) -> None:
    """6 s without an answer: the connection survives, and what was held back arrives, once."""
    async with QuickRig(path, ocpp=PATIENT) as rig:
        transaction = await begin(rig)
        mark = await outage(rig, 6, "black hole")
        await charge(rig)
        await finish(rig, transaction)
        assert not [frame for frame in rig.frames(mark) if frame.kind in ("OPEN", "CLOSE")]
        rig.assert_session(REMOTE_STOP.session)
        rig.assert_schemas()
        assert_sent_once(rig)


# Around one message


async def _answer_lost(path: Path, number: int, wanted: str, how: Answer) -> None:
    """The link breaks between a message and its answer. SILENCE: the central system never processed it."""
    action, _, detail = wanted.rstrip(")").partition("(")
    async with QuickRig(path, f"CP-{number}") as rig:
        rig.csms.behave(action, message_id=detail if action == "DataTransfer" else None, answer=how, times=1)
        if how is SILENCE:
            dropping = asyncio.ensure_future(_drop_after(rig, wanted))
        await rig.sim.cmd("plug")
        await rig.wait_call("DataTransfer", messageId="VehicleInfo")
        if detail == "VehicleInfo":
            await reconnected(rig, 1 + sends(rig, wanted)[0].n)
        assert await rig.call("RemoteStartTransaction", {"idTag": TAG, "connectorId": 1}) == {"status": "Accepted"}
        await rig.wait_output(True)  # also without an answer to StartTransaction
        await charge(rig)
        if action in ("StartTransaction", "MeterValues"):
            await reconnected(rig, 1 + sends(rig, wanted)[0].n)
        await rig.wait_call("MeterValues", context="Sample.Periodic")
        transaction = rig.csms.store.open_transactions(rig.identity)[0]["transaction_id"]
        await rig.call("RemoteStopTransaction", {"transactionId": transaction})
        await rig.wait_output(False)
        if detail == "SessionSummary" or action == "StopTransaction":
            frames = await reconnected(rig, 1 + (await rig.firmware.meanwhile(_first(rig, wanted))).n)
            assert_status_first(frames, "Finishing")
        if how is SILENCE:
            await dropping
        await rig.wait_call("DataTransfer", messageId="SessionSummary")
        await rig.wait_call("StopTransaction", since=sends(rig, "DataTransfer(SessionSummary)")[-1].n)
        await rig.unplug()
        rig.assert_session(replace(REMOTE_STOP.session, offline=True))
        rig.assert_schemas()
        assert_repeats_are_the_same(rig)
        repeated = sends(rig, wanted)
        expected = 1 if how is DROP_AFTER else 2
        assert len(repeated) == expected and len({f.connection for f in repeated}) == expected
        others = [f.uid for f in calls_of(rig) if f.uid != repeated[0].uid]
        assert len(others) == len(set(others)), "something else was sent twice"
        assert len(rig.csms.store.rows("transactions")) == 1
        assert len(rig.csms.store.rows("session_summary")) == 1


async def _first(rig: Rig, wanted: str) -> Any:
    return await rig.csms.transcript.wait(
        lambda f: f.kind == "CALL" and f.direction == FROM_CHARGER and label(f) == wanted, 0, 10
    )


async def _drop_after(rig: Rig, wanted: str) -> None:
    await asyncio.wait_for(_first(rig, wanted), 60)
    await rig.csms.drop(rig.identity)


@system_test
async def test_answer_is_lost(tmp_path: Path) -> None:
    messages = (
        "DataTransfer(VehicleInfo)",
        "StartTransaction",
        "MeterValues(Transaction.Begin)",
        "DataTransfer(SessionSummary)",
        "StopTransaction(Remote)",
    )
    cases = [(wanted, how) for wanted in messages for how in (DROP, SILENCE)]
    cases.append(("StartTransaction", DROP_AFTER))
    await together(
        **{
            f"{wanted} {how.value}": _answer_lost(tmp_path, number, wanted, how)
            for number, (wanted, how) in enumerate(cases)
        }
    )


# The end of the session while nobody listens


async def _ends_offline(path: Path, name: str, restart: bool) -> None:
    """Stopped by a tag, or by the vehicle that leaves, while the network is down; the rest arrives in order."""
    end = ENDS[name]
    async with QuickRig(path, f"{name}-{restart}") as rig:
        transaction = await begin(rig)
        await rig.csms.stop_listening()
        mark = rig.mark()
        await charge(rig)
        await end.act(rig, transaction)
        await rig.wait_output(False)
        await rig.wait_line("transaction ended")
        if name != "unplug":
            await rig.sim.cmd("estop", active=False)
            await rig.sim.cmd("unplug")
        await rig.wait_line("unplugged")
        if restart:
            await rig.restart_firmware(wait_registered=False)
        await rig.csms.resume()
        frames = await reconnected(rig, mark, 30)
        if not restart:
            assert_status_first(frames, "Available")
        await rig.wait_call("StopTransaction", since=mark)
        rig.assert_session(replace(end.session, offline=True))
        rig.assert_schemas()
        assert_sent_once(rig)
        late = [label(f) for f in calls_of(rig, "MeterValues", "DataTransfer", "StopTransaction", since=mark)]
        assert late[-3:] == [
            "MeterValues(Transaction.End)",
            "DataTransfer(SessionSummary)",
            f"StopTransaction({end.reason})",
        ]


async def _stops_before_the_id(path: Path) -> None:
    """The transaction ends before the central system could name it: StopTransaction carries the id it got later."""
    async with QuickRig(path) as rig:
        rig.csms.number_transactions([4711])
        rig.csms.behave("StartTransaction", answer=SILENCE, times=1)
        await rig.plug()
        assert await rig.call("RemoteStartTransaction", {"idTag": TAG}) == {"status": "Accepted"}
        await rig.expect("StartTransaction")
        mark = rig.mark()
        await rig.csms.stop_listening()
        await rig.wait_output(True)
        await charge(rig)
        await rig.swipe(TAG)
        await rig.wait_output(False)
        await rig.wait_line("transaction ended")
        await rig.csms.resume()
        await reconnected(rig, mark, 30)
        await rig.wait_call("StopTransaction", transactionId=4711)
        await rig.unplug()
        rig.assert_session(replace(ENDS["local-stop"].session, offline=True))
        rig.assert_schemas()
        assert_repeats_are_the_same(rig)
        assert {field_of(f, "transactionId") for f in calls_of(rig, "MeterValues", "StopTransaction")} == {4711}


async def _vehicles_come_and_go_offline(path: Path) -> None:
    """A vehicle that left without a transaction is not told about later; the one that is there is."""
    async with QuickRig(path) as rig:
        await rig.csms.stop_listening()
        mark = rig.mark()
        for soc in (21, 43):
            await rig.sim.cmd("plug", soc=soc)
            await rig.wait_line("plugged in")
            await rig.sim.wait_state(lambda state: state["led"] == "plugged")
            await rig.sim.cmd("unplug")
            await rig.sim.wait_state(lambda state: state["led"] == "idle")
        await rig.sim.cmd("plug", soc=65)
        await rig.sim.wait_state(lambda state: state["led"] == "plugged")
        await rig.csms.resume()
        assert_status_first(await reconnected(rig, mark, 30), "Preparing")
        await rig.wait_call("DataTransfer", messageId="VehicleInfo")
        await rig.start_session(TAG)
        await charge(rig)
        await rig.expect("MeterValues", context="Sample.Periodic")
        await rig.stop_session()
        await rig.unplug()
        assert [row["soc"] for row in rig.csms.store.rows("vehicle_info")] == [65]
        rig.assert_session(replace(REMOTE_STOP.session))
        rig.assert_schemas()


WAYS = {"reset": _reset, "goodbye": _goodbye, "restart": _restart, "refuse": _refuse, "dead-peer": _dead_peer}


@system_test
async def test_link_is_lost(tmp_path: Path) -> None:
    """While charging, and over the end of the session."""
    await together(
        short_black_hole=_short_black_hole(tmp_path / "hole"),
        local=_ends_offline(tmp_path, "local-stop", False),
        unplug=_ends_offline(tmp_path, "unplug", False),
        bms=_ends_offline(tmp_path, "bms-stop", False),
        cut=_ends_offline(tmp_path, "local-stop", True),
        before_id=_stops_before_the_id(tmp_path / "before"),
        vehicles=_vehicles_come_and_go_offline(tmp_path / "vehicles"),
        **{name: _loses_link(tmp_path, name, fail) for name, fail in WAYS.items()},
    )
