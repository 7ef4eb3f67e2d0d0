"""The bench central system against the client of the PyPI package `ocpp`: a session, what is stored, what is told."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from ocpp.charge_point import camel_to_snake_case
from ocpp.routing import on
from ocpp.v16 import ChargePoint, call, call_result
from ocpp.v16.enums import Action
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from tests_host.system.rig import system_test
from tools.csms import DROP, DROP_AFTER, RAW, SILENCE, TWICE, WRONG_ID, BenchCsms, CallError, CallFailed, NotConnected

START = "2026-01-21T09:52:20Z"


class Charger(ChargePoint):  # type: ignore[misc]
    """A charge point of the `ocpp` package that starts nothing by itself."""

    @on(Action.remote_start_transaction)  # type: ignore[untyped-decorator]
    def started(self, id_tag: str, **_: Any) -> Any:
        return call_result.RemoteStartTransaction("Accepted")

    @on(Action.remote_stop_transaction)  # type: ignore[untyped-decorator]
    def stopped(self, transaction_id: int) -> Any:
        return call_result.RemoteStopTransaction("Accepted")


@asynccontextmanager
async def charger(csms: BenchCsms, identity: str = "CP-1", timeout: float = 5) -> AsyncIterator[Charger]:
    async with connect(csms.network.url_of(identity), subprotocols=[Subprotocol("ocpp1.6")]) as socket:
        cp = Charger(identity, socket, response_timeout=timeout)
        reader = asyncio.create_task(cp.start())
        try:
            yield cp
        finally:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)


@asynccontextmanager
async def raw_client(csms: BenchCsms, identity: str = "CP-1") -> AsyncIterator[ClientConnection]:
    async with connect(csms.network.url_of(identity), subprotocols=[Subprotocol("ocpp1.6")]) as socket:
        yield socket


def boot() -> Any:
    return call.BootNotification(charge_point_model="DC", charge_point_vendor="Rivot", firmware_version="0.1")


def meter_values(transaction: int, context: str, energy: str) -> Any:
    return call.MeterValues(
        connector_id=1,
        transaction_id=transaction,
        meter_value=[
            {
                "timestamp": START,
                "sampledValue": [
                    {"measurand": "Energy.Active.Import.Register", "value": energy, "unit": "Wh", "context": context}
                ],
            }
        ],
    )


def data_transfer(message: str, data: str) -> Any:
    return call.DataTransfer(vendor_id="RivotMotors", message_id=message, data=data)


def status(connector: int, value: str) -> Any:
    return call.StatusNotification(connector_id=connector, error_code="NoError", status=value)


def start(connector: int = 1, tag: str = "TAG", meter: int = 0) -> Any:
    return call.StartTransaction(connector_id=connector, id_tag=tag, meter_start=meter, timestamp=START)


@system_test
async def test_session_is_stored_and_linked() -> None:
    async with BenchCsms(transaction_start=130) as csms, charger(csms) as cp:
        assert (await cp.call(boot())).status == "Accepted"
        await cp.call(status(1, "Preparing"))
        await cp.call(data_transfer("VehicleInfo", '{"soc":87.0,"maxCurrent":90.0,"voltage":76.4}'))
        assert await csms.call("CP-1", "RemoteStartTransaction", {"idTag": "TAG"}) == {"status": "Accepted"}
        assert (await cp.call(start())).transaction_id == 130
        assert (await cp.call(start(connector=2))).transaction_id == 131
        await cp.call(meter_values(130, "Transaction.Begin", "0"))
        assert await csms.call(None, "RemoteStopTransaction", {"transactionId": 130}) == {"status": "Accepted"}
        await cp.call(data_transfer("SessionSummary", '{"finalSoc":87.18,"energyDelivered":3.39}'))
        stopped = call.StopTransaction(meter_stop=3, timestamp=START, transaction_id=130, reason="Remote")
        await cp.call(stopped)
        (summary,) = csms.store.rows("session_summary")
        assert (summary["transaction_id"], summary["final_soc"], summary["energy_delivered"]) == (130, 87.18, 3.39)
        (vehicle,) = csms.store.rows("vehicle_info")
        assert (vehicle["connector"], vehicle["soc"], vehicle["temperature"]) == (1, 87.0, None)
        (first,) = csms.store.rows("transactions", transaction_id=130)
        assert (first["meter_start"], first["meter_stop"], first["reason"]) == (0, 3, "Remote")
        assert [row["transaction_id"] for row in csms.store.open_transactions("CP-1")] == [131]
        (value,) = csms.store.rows("meter_values")
        assert (value["context"], value["value"], value["unit"]) == ("Transaction.Begin", "0", "Wh")
        assert csms.store.rows("boots")[0]["vendor"] == "Rivot"
        assert csms.store.rows("statuses")[0]["status"] == "Preparing"
        assert csms.violations == []


@system_test
async def test_last_sample_decides_which_transaction_a_summary_belongs_to() -> None:
    async with BenchCsms() as csms, charger(csms) as cp:
        first = (await cp.call(start(1))).transaction_id
        await cp.call(start(2))
        await cp.call(meter_values(first, "Transaction.End", "5"))
        await cp.call(data_transfer("SessionSummary", '{"energyDelivered":5.10}'))
        assert csms.store.rows("session_summary")[0]["transaction_id"] == first


@system_test
async def test_repeat_of_a_start_is_the_same_transaction() -> None:
    async with BenchCsms() as csms, charger(csms) as cp:
        csms.behave("StartTransaction", answer=DROP, times=1)
        with pytest.raises(Exception, match="no close frame"):
            await asyncio.wait_for(asyncio.gather(cp.call(start()), cp._connection.wait_closed(), _broken(cp)), 3)
        async with charger(csms) as again:
            assert (await again.call(start())).transaction_id == 1
            assert (await again.call(start(meter=1))).transaction_id == 2
        assert len(csms.store.rows("transactions")) == 2


async def _broken(cp: Charger) -> None:
    await cp._connection.wait_closed()
    await cp._connection.recv()


@system_test
async def test_rejected_data_transfer_is_not_stored_and_its_repeat_only_once() -> None:
    async with BenchCsms() as csms, charger(csms) as cp:
        csms.behave("DataTransfer", message_id="SessionSummary", answer=["Rejected", CallError("InternalError"), TWICE])
        summary = data_transfer("SessionSummary", '{"finalSoc":1.00}')
        assert (await cp.call(summary)).status == "Rejected"
        assert csms.store.rows("session_summary") == []
        with pytest.raises(Exception, match="InternalError"):
            await cp.call(summary, suppress=False)
        assert (await cp.call(summary)).status == "Accepted"
        assert (await cp.call(summary)).status == "Accepted"
        assert len(csms.store.rows("session_summary")) == 1
        vehicle = data_transfer("VehicleInfo", '{"soc":1.0}')
        assert (await cp.call(vehicle)).status == "Accepted"
        assert (await cp.call(data_transfer("VehicleInfo", "no json"))).status == "Rejected"
        assert (await cp.call(call.DataTransfer(vendor_id="Other"))).status == "UnknownVendorId"
        assert (await cp.call(data_transfer("Other", "{}"))).status == "UnknownMessageId"


@system_test
async def test_id_tags() -> None:
    async with BenchCsms() as csms, charger(csms) as cp:
        csms.id_tag("Blocked-1", "Blocked", parent="FLEET")
        csms.id_tag("OLD", expiry=1_600_000_000)
        csms.unknown_id_tags("Invalid")
        info = (await cp.call(call.Authorize(id_tag="BLOCKED-1"))).id_tag_info
        assert info == {"status": "Blocked", "parent_id_tag": "FLEET"}
        assert (await cp.call(call.Authorize(id_tag="old"))).id_tag_info["status"] == "Expired"
        assert (await cp.call(call.Authorize(id_tag="never seen"))).id_tag_info["status"] == "Invalid"
        csms.behave("StartTransaction", answer="ConcurrentTx", times=1)
        assert (await cp.call(start())).id_tag_info["status"] == "ConcurrentTx"
        assert (await cp.call(start(meter=1))).id_tag_info["status"] == "Invalid"


@system_test
async def test_transaction_ids_may_be_any_integer() -> None:
    async with BenchCsms() as csms, charger(csms) as cp:
        csms.number_transactions([0, -7, 2**31 - 1])
        assert [(await cp.call(start(meter=n))).transaction_id for n in range(3)] == [0, -7, 2**31 - 1]
        csms.number_transactions(itertools.count(2**30))
        assert (await cp.call(start(meter=9))).transaction_id == 2**30


@system_test
async def test_registration() -> None:
    async with BenchCsms() as csms, charger(csms) as cp:
        csms.register("Pending", 7)
        answer = await cp.call(boot())
        assert (answer.status, answer.interval) == ("Pending", 7)
        await cp.call(call.Heartbeat())
        (early,) = csms.violations
        assert early.violation == "Heartbeat although the BootNotification was answered Pending"
        csms.register("Rejected", 1, identity="CP-1")
        assert (await cp.call(boot())).status == "Rejected"
        csms.register("Accepted", identity="CP-1")
        assert (await cp.call(boot())).status == "Accepted"
        await cp.call(call.Heartbeat())
        assert len(csms.violations) == 1


@system_test
async def test_triggered_message_is_allowed_while_pending() -> None:
    async with BenchCsms() as csms, charger(csms) as cp:
        csms.register("Pending", 7)
        await cp.call(boot())
        with pytest.raises(CallFailed) as failed:  # this client does not know TriggerMessage
            await csms.call("CP-1", "TriggerMessage", {"requestedMessage": "Heartbeat"})
        assert failed.value.code == "NotImplemented"
        await cp.call(call.Heartbeat())
        assert csms.violations == []


@system_test
async def test_silence_and_delay() -> None:
    async with BenchCsms() as csms, charger(csms, timeout=0.2) as cp:
        csms.message_timeout = 0.1
        rule = csms.behave("Heartbeat", answer=SILENCE)
        with pytest.raises(asyncio.TimeoutError):
            await cp.call(call.Heartbeat())
        csms.forget(rule)
        csms.behave("Heartbeat", delay=0.1, times=1)
        loop = asyncio.get_running_loop()
        began = loop.time()
        await cp.call(call.Heartbeat())
        assert loop.time() - began >= 0.1
        assert csms.violations == []


@system_test
async def test_frames_come_in_while_an_answer_is_delayed() -> None:
    async with BenchCsms() as csms, raw_client(csms) as socket:
        csms.behave("Heartbeat", delay=5)
        await socket.send('[2,"a","Heartbeat",{}]')
        await csms.wait_for("Heartbeat")
        await socket.send('[2,"b","StatusNotification",{"connectorId":0,"errorCode":"NoError","status":"Available"}]')
        assert await socket.recv() == '[3,"b",{}]'
        assert csms.violations[0].violation is not None
        assert "while Heartbeat is unanswered" in csms.violations[0].violation


@system_test
async def test_wrong_answers() -> None:
    async with BenchCsms() as csms, raw_client(csms) as socket:
        csms.message_timeout = 0
        csms.behave("Heartbeat", answer=[RAW("not json"), RAW(b"\xff"), WRONG_ID, TWICE, {"currentTime": 5}])
        await socket.send('[2,"a","Heartbeat",{}]')
        assert await socket.recv() == "not json"
        async with raw_client(csms, "CP-2") as other:
            await other.send('[2,"a","Heartbeat",{}]')
            with pytest.raises(Exception, match="1007"):
                await other.recv()
        await socket.send('[2,"b","Heartbeat",{}]')
        assert '"b"' not in str(await socket.recv())
        await socket.send('[2,"c","Heartbeat",{}]')
        assert await socket.recv() == await socket.recv()
        await socket.send('[2,"d","Heartbeat",{}]')
        assert await socket.recv() == '[3,"d",{"currentTime":5}]'
        assert csms.violations == []  # all of it was on purpose
        sent = [frame for frame in csms.frames() if frame.direction == "out"]
        assert [bool(frame.violation) for frame in sent] == [True, True, False, False, False, True]


@system_test
async def test_drop_after_answers_first() -> None:
    async with BenchCsms() as csms, raw_client(csms) as socket:
        csms.behave(None, answer=DROP_AFTER, times=1)
        await socket.send('[2,"a","Heartbeat",{}]')
        assert str(await socket.recv()).startswith('[3,"a"')
        with pytest.raises(Exception, match="no close frame"):
            await socket.recv()


@system_test
async def test_newest_rule_wins_and_rules_can_be_narrow() -> None:
    async with BenchCsms() as csms, charger(csms) as one, charger(csms, "CP-2") as two:
        csms.behave("Authorize", answer="Invalid")
        csms.behave("Authorize", answer="Blocked", identity="CP-2")
        csms.behave("Authorize", answer="Expired", where=lambda c: c.payload["idTag"] == "X")

        async def ask(cp: Charger, tag: str) -> str:
            return str((await cp.call(call.Authorize(id_tag=tag))).id_tag_info["status"])

        assert [await ask(one, "A"), await ask(two, "A"), await ask(one, "X")] == ["Invalid", "Blocked", "Expired"]
        csms.forget()
        assert await ask(two, "X") == "Accepted"


@system_test
async def test_calls_to_a_charge_point_that_is_not_there() -> None:
    async with BenchCsms() as csms:
        with pytest.raises(NotConnected):
            await csms.call("CP-1", "Reset", {"type": "Soft"})
        async with raw_client(csms) as socket:
            await csms.wait_connected("CP-1")
            with pytest.raises(TimeoutError, match="did not answer Reset"):
                await csms.call("CP-1", "Reset", {"type": "Soft"}, timeout=0.05)
            waiting = asyncio.create_task(csms.call("CP-1", "Reset", {"type": "Soft"}))
            await socket.recv()
            await socket.recv()
            socket.transport.abort()
            with pytest.raises(NotConnected):
                await waiting


@system_test
async def test_one_call_at_a_time_to_the_charge_point() -> None:
    async with BenchCsms() as csms, raw_client(csms) as socket:
        await csms.wait_connected("CP-1")
        calls = [asyncio.create_task(csms.call(None, "ClearCache", uid=uid)) for uid in ("u1", "u2")]
        assert await socket.recv() == '[2,"u1","ClearCache",{}]'
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(socket.recv(), 0.05)
        await socket.send('[3,"u1",{"status":"Accepted"}]')
        assert await socket.recv() == '[2,"u2","ClearCache",{}]'
        hurried = asyncio.create_task(csms.call(None, "ClearCache", uid="u3", wait_turn=False))
        assert await socket.recv() == '[2,"u3","ClearCache",{}]'
        for uid in ("u2", "u3"):
            await socket.send(f'[3,"{uid}",{{"status":"Rejected"}}]')
        assert [answer["status"] for answer in await asyncio.gather(*calls, hurried)] == [
            "Accepted",
            "Rejected",
            "Rejected",
        ]


@system_test
async def test_wait_for_sees_the_past_and_the_future() -> None:
    async with BenchCsms() as csms, charger(csms) as cp:
        await cp.call(status(1, "Available"))
        past = await csms.wait_for("StatusNotification", lambda p: p["status"] == "Available")
        mark = csms.mark()
        with pytest.raises(TimeoutError, match="no CALL StatusNotification"):
            await csms.wait_for("StatusNotification", since=mark, timeout=0.05)
        future = asyncio.create_task(csms.wait_for("StatusNotification", since=mark))
        await cp.call(status(1, "Preparing"))
        assert (await future).n > past.n
        answer = await csms.wait_for("StatusNotification", kind="CALLRESULT", direction="out", since=mark)
        assert answer.payload == {}


def test_names_of_handlers_are_those_of_the_package() -> None:
    """`Logic` finds its handler by name; the package's own conversion must agree."""
    from tools.csms.logic import _snake

    actions = ("BootNotification", "DataTransfer", "SignedFirmwareStatusNotification")
    assert [_snake(action) for action in actions] == [camel_to_snake_case({a: 0}).popitem()[0] for a in actions]
