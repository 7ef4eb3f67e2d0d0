"""Garbage from the network during a charging session: answered with the exact error or dropped, and nothing changes."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests_host.system.rig import Rig, label, system_test
from tests_host.system.steps import (
    REMOTE_STOP,
    TAG,
    QuickRig,
    assert_repeats_are_the_same,
    assert_sent_once,
    assert_status_first,
    begin,
    calls_of,
    charge,
    finish,
    reconnected,
    together,
)
from tools.csms import FROM_CHARGER, RAW, TWICE, WRONG_ID, Answer, CallError
from tools.transcript import check, one_session

FORMAT = "FormationViolation"
TYPE = "TypeConstraintViolation"
VALUE = "PropertyConstraintViolation"
MISSING = "OccurenceConstraintViolation"
IMPLEMENTED = "NotImplemented"
SUPPORTED = "NotSupported"


@dataclass(frozen=True)
class Garbage:
    """A message, and the error it is answered with (None: dropped), under the id that is in it."""

    data: str | bytes
    error: str | None = None
    how: Any = "text"

    @property
    def uid(self) -> Any:
        """The id of the message; None when it is dropped."""
        if self.error is None or isinstance(self.data, bytes):
            return None
        return self.data.split('"')[1]


def _call(uid: str, action: str, payload: Any, error: str | None) -> Garbage:
    return Garbage(json.dumps([2, uid, action, payload]), error)


DROPPED = [
    *(Garbage(text) for text in ("", " ", "not json", "{}", "[]", "null", "7", '"text"', "[[[[", "]", "[2", "\x00")),
    Garbage('{"2":"a"}'),
    Garbage("[2]"),
    Garbage('[2,null,"Reset",{}]'),
    Garbage('[2,["a"],"Reset",{}]'),
    Garbage('["2","a","Reset",{}]'),
    Garbage('[true,"a","Reset",{}]'),
    Garbage('[2.0,"a","Reset",{}]'),
    Garbage('[9,"a",{}]'),
    Garbage('[-2,"a",{}]'),
    Garbage('[2,"half","GetConfiguration",{'),
    Garbage('[2,"open","GetConfiguration",{"key":["a"'),
    Garbage('[2,"closed twice","GetConfiguration",{}]]'),
    Garbage('[2,"more behind","GetConfiguration",{}] x'),
    Garbage('[2,"nan","RemoteStopTransaction",{"transactionId":NaN}]'),
    Garbage("[3]"),
    Garbage('[3,7,{"status":"Accepted"}]'),
]
# Answers that nobody asked for are counted, not logged as malformed.
UNASKED = [
    Garbage('[3,"nobody",{"status":"Accepted"}]'),
    Garbage('[3,"nobody"]'),
    Garbage('[3,"nobody",[]]'),
    Garbage('[4,"nobody","GenericError","",{}]'),
    Garbage('[4,"nobody"]'),
]
START = {"connectorId": 1, "idTag": TAG}
ANSWERED = [
    Garbage('[2,"short 2"]', FORMAT),
    Garbage('[2,"short 3","GetConfiguration"]', FORMAT),
    Garbage('[2,"long","GetConfiguration",{},{}]', FORMAT),
    Garbage('[2,"action",7,{}]', FORMAT),
    Garbage('[2,"payload list","GetConfiguration",[]]', FORMAT),
    Garbage('[2,"payload text","GetConfiguration","{}"]', FORMAT),
    Garbage('[2,"' + 40 * "i" + '","GetConfiguration",{}]', FORMAT),
    Garbage('[2,"deep","DataTransfer",{"vendorId":' + 50 * "[" + 50 * "]" + "}]", FORMAT),
    Garbage('[2,"many","GetConfiguration",{"key":[' + ",".join(5000 * ["1"]) + "]}]", FORMAT),
    _call("unknown", "Explode", {}, IMPLEMENTED),
    _call("case", "reset", {}, IMPLEMENTED),
    _call("later OCPP", "RequestStopTransaction", {"transactionId": "1"}, IMPLEMENTED),
    _call("empty action", "", {}, IMPLEMENTED),
    _call("wrong way", "StopTransaction", {}, SUPPORTED),
    _call("wrong way 2", "Heartbeat", {}, SUPPORTED),
    _call("no tag", "RemoteStartTransaction", {"connectorId": 1}, MISSING),
    _call("tag number", "RemoteStartTransaction", {"idTag": 7}, TYPE),
    _call("tag null", "RemoteStartTransaction", {"idTag": None}, TYPE),
    _call("tag long", "RemoteStartTransaction", {"idTag": 21 * "t"}, VALUE),
    _call("connector text", "RemoteStartTransaction", START | {"connectorId": "1"}, TYPE),
    _call("connector half", "RemoteStartTransaction", START | {"connectorId": 1.5}, TYPE),
    _call("extra", "RemoteStartTransaction", START | {"power": 9}, FORMAT),
    _call("no id", "RemoteStopTransaction", {}, MISSING),
    _call("id text", "RemoteStopTransaction", {"transactionId": "1"}, TYPE),
    _call("id float", "RemoteStopTransaction", {"transactionId": 1.0}, TYPE),
    _call("id true", "RemoteStopTransaction", {"transactionId": True}, TYPE),
    _call("id null", "RemoteStopTransaction", {"transactionId": None}, TYPE),
    _call("id list", "RemoteStopTransaction", {"transactionId": [1]}, TYPE),
    _call("value number", "ChangeConfiguration", {"key": "MeterValueSampleInterval", "value": 1}, TYPE),
    _call("key long", "ChangeConfiguration", {"key": 51 * "k", "value": "1"}, VALUE),
    _call("value long", "ChangeConfiguration", {"key": "HeartbeatInterval", "value": 501 * "1"}, VALUE),
    _call("keys text", "GetConfiguration", {"key": "HeartbeatInterval"}, TYPE),
    _call("keys numbers", "GetConfiguration", {"key": [1]}, TYPE),
    _call("vendor number", "DataTransfer", {"vendorId": 1}, TYPE),
    _call("no vendor", "DataTransfer", {}, MISSING),
]


async def _fence(rig: Rig) -> None:
    """Everything sent before has been dealt with when this returns."""
    answer = await rig.call("GetConfiguration", {"key": ["HeartbeatInterval"]})
    assert answer["configurationKey"][0]["value"] == "300"


async def _assert_undisturbed(rig: Rig, transaction: int, since_event: int) -> None:
    """No off and no alarm since then; the session goes on, then ends as every other."""
    await charge(rig)
    await rig.expect("MeterValues", context="Sample.Periodic", transactionId=transaction)
    state = await rig.sim.state()
    assert state["output_on"] and not state["alarms"], state
    assert not await rig.sim.events(since_event, ["output_off", "power_off", "contactor"])
    await finish(rig, transaction)
    proper = [frame for frame in one_session(rig.frames()) if not frame.on_purpose and frame.kind != "CALLERROR"]
    assert not check(proper, REMOTE_STOP.session)


@system_test
async def test_messages(tmp_path: Path) -> None:
    """Every malformed, unknown and wrongly typed message, one after the other, in one session."""
    async with QuickRig(tmp_path) as rig:
        transaction = await begin(rig)
        events = (await rig.sim.state())["last_seq"]
        mark = rig.mark()
        stop = json.dumps([2, "binary", "RemoteStopTransaction", {"transactionId": transaction}])
        binary = [Garbage(stop.encode(), how="binary"), Garbage(b"\x00\xff\xfe", how="binary")]
        for garbage in (*DROPPED, *UNASKED, *ANSWERED, *binary):
            await rig.csms.send_raw(rig.identity, garbage.data, garbage.how)
        await _fence(rig)
        answers = [
            (frame.uid, frame.payload["errorCode"])
            for frame in rig.frames(mark)
            if frame.kind == "CALLERROR" and frame.direction == FROM_CHARGER
        ]
        assert answers == [(garbage.uid, garbage.error) for garbage in ANSWERED]
        results = [f for f in rig.frames(mark) if f.kind == "CALLRESULT" and f.direction == FROM_CHARGER]
        assert len(results) == 1, "something was answered as if it were right"
        assert not [frame for frame in rig.frames(mark) if frame.kind in ("OPEN", "CLOSE")]
        dropped = [line for line in rig.firmware.lines if "message dropped" in line]
        assert len(dropped) == len(DROPPED), "not every malformed message was noted"
        await _assert_undisturbed(rig, transaction, events)
        strange = [f for f in rig.csms.violations if not (f.kind == "CALLERROR" and "no open CALL" in str(f.violation))]
        assert not strange, [str(frame) for frame in strange]


@system_test
async def test_numeric_id_is_echoed(tmp_path: Path) -> None:
    """An id that is no string is answered as it came: the sender can match nothing else."""
    async with QuickRig(tmp_path) as rig:
        mark = rig.mark()
        await rig.csms.send_raw(rig.identity, '[2,7,"GetConfiguration",{}]', "text")
        await _fence(rig)
        answered = [f.text for f in rig.frames(mark) if f.direction == FROM_CHARGER and f.text.startswith("[4,")]
        assert [json.loads(text)[:3] for text in answered] == [[4, 7, FORMAT]]


@dataclass(frozen=True)
class Breach:
    """Something that costs the connection, and the close code it is closed with (None: whatever TCP gives)."""

    data: str | bytes
    how: Any
    code: int


BREACHES = {
    "huge": Breach(json.dumps([2, "huge", "DataTransfer", {"vendorId": "x", "data": 20_000 * "x"}]), "text", 1009),
    "huge-binary": Breach(bytes(300_000), "binary", 1009),
    "not-utf-8": Breach(b'[2,"\xc0\xaf","GetConfiguration",{}]', "text", 1007),
    "surrogate": Breach(b'[2,"\xed\xa0\x80","GetConfiguration",{}]', "text", 1007),
    "no-frame": Breach(b"HTTP/1.1 200 OK\r\n\r\nhello", "tcp", 1002),
    "reserved-opcode": Breach(b"\x83\x01x", "tcp", 1002),
}


async def _breach(path: Path, name: str) -> None:
    breach = BREACHES[name]
    async with QuickRig(path, name) as rig:
        transaction = await begin(rig)
        events = (await rig.sim.state())["last_seq"]
        mark = rig.mark()
        await rig.csms.send_raw(rig.identity, breach.data, breach.how)
        closed = await rig.firmware.meanwhile(
            rig.csms.wait_for(kind="CLOSE", identity=rig.identity, since=mark, timeout=5)
        )
        assert closed.payload["code"] == breach.code, closed
        await rig.wait_line(f"WsClosed: ({breach.code},")
        assert_status_first(await reconnected(rig, mark), "Charging")
        await _assert_undisturbed(rig, transaction, events)
        rig.assert_schemas()
        assert_sent_once(rig)


@system_test
async def test_breaches(tmp_path: Path) -> None:
    await together(**{name: _breach(tmp_path, name) for name in BREACHES})


# What a central system may answer a transaction's messages with, and how often the message is then sent.
BAD_ANSWERS: dict[str, tuple[Answer, int]] = {
    "not-json": (RAW("accepted"), 2),
    "result-without-payload": (RAW('[3,"nobody"]'), 2),
    "error": (CallError("InternalError"), 2),
    "wrong-id": (WRONG_ID, 2),
    "twice": (TWICE, 1),
    "wrong-types": ({"transactionId": "1", "idTagInfo": {"status": "Accepted"}}, 2),
    "nothing-in-it": ({}, 2),
    "unknown-status": ({"transactionId": 1, "idTagInfo": {"status": "Perhaps"}}, 2),
    "more-than-it-should": ({"transactionId": 1, "idTagInfo": {"status": "Accepted"}, "colour": "red"}, 1),
}


async def _bad_answer(path: Path, name: str) -> None:
    answer, sends = BAD_ANSWERS[name]
    async with QuickRig(path, name, ocpp={"MessageTimeout": "1"}) as rig:
        rig.csms.behave("StartTransaction", answer=answer, times=1)
        rig.csms.behave("MeterValues", answer=answer if isinstance(answer, RAW | CallError) else None, times=1)
        await rig.plug()
        assert await rig.call("RemoteStartTransaction", START) == {"status": "Accepted"}
        await rig.expect("StatusNotification", status="Charging")
        await charge(rig)
        await rig.expect("MeterValues", context="Sample.Periodic")
        await finish(rig, rig.csms.store.rows("transactions")[-1]["transaction_id"])
        starts = calls_of(rig, "StartTransaction")
        assert len(starts) == sends, [label(frame) for frame in calls_of(rig)]
        assert_repeats_are_the_same(rig)
        assert len(rig.csms.store.rows("transactions")) == 1
        assert [row["reason"] for row in rig.csms.store.rows("transactions")] == ["Remote"]
        rig.assert_schemas()


@system_test
async def test_bad_answers_to_transactions(tmp_path: Path) -> None:
    await together(**{name: _bad_answer(tmp_path, name) for name in BAD_ANSWERS})
