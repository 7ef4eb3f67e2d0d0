"""The transcript checker: a session as promised passes; each single deviation is found."""

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tools.csms.frames import Frame
from tools.transcript import Session, check, data_problems, main, meter_value_problems, one_session

Message = tuple[str, str, str, dict[str, Any]]  # direction, kind, action, payload


def status(value: str, **more: Any) -> Message:
    payload = {"connectorId": 1, "errorCode": "NoError", "status": value, **more}
    return ("in", "CALL", "StatusNotification", payload)


def transfer(message: str, data: str) -> Message:
    return ("in", "CALL", "DataTransfer", {"vendorId": "RivotMotors", "messageId": message, "data": data})


def answer(action: str, **payload: Any) -> Message:
    return ("out", "CALLRESULT", action, payload)


def sample(second: int, context: str, energy: int) -> Message:
    minute, rest = divmod(20 + second, 60)
    values = (
        ("Energy.Active.Import.Register", str(energy), "Wh"),
        ("Power.Active.Import", "142", "W"),
        ("SoC", "87.07", "Percent"),
        ("Voltage", "77.15", "V"),
        ("Current.Import", "1.85", "A"),
    )
    sampled = [{"measurand": m, "value": v, "unit": u, "context": context} for m, v, u in values]
    value = {"timestamp": f"2026-01-21T09:{52 + minute}:{rest:02}Z", "sampledValue": sampled}
    return ("in", "CALL", "MeterValues", {"connectorId": 1, "transactionId": 130, "meterValue": [value]})


START = {"connectorId": 1, "idTag": "TAG", "meterStart": 0, "timestamp": "2026-01-21T09:52:20Z"}
STOP = {"transactionId": 130, "idTag": "TAG", "meterStop": 3, "timestamp": "2026-01-21T09:52:45Z", "reason": "Remote"}
VEHICLE = '{"soc":87.0,"maxCurrent":90.0,"voltage":76.4,"current":0.0,"temperature":26.5}'
SUMMARY = '{"finalSoc":87.07,"energyDelivered":3.39,"durationMinutes":0.42}'


def good() -> list[Message]:
    return [
        status("Preparing"),
        answer("StatusNotification"),
        transfer("VehicleInfo", VEHICLE),
        answer("DataTransfer", status="Accepted"),
        ("out", "CALL", "RemoteStartTransaction", {"idTag": "TAG", "connectorId": 1}),
        ("in", "CALLRESULT", "RemoteStartTransaction", {"status": "Accepted"}),
        ("in", "CALL", "StartTransaction", dict(START)),
        answer("StartTransaction", transactionId=130, idTagInfo={"status": "Accepted"}),
        status("Charging"),
        answer("StatusNotification"),
        sample(0, "Transaction.Begin", 0),
        answer("MeterValues"),
        sample(10, "Sample.Periodic", 1),
        answer("MeterValues"),
        sample(20, "Sample.Periodic", 2),
        answer("MeterValues"),
        ("out", "CALL", "RemoteStopTransaction", {"transactionId": 130}),
        ("in", "CALLRESULT", "RemoteStopTransaction", {"status": "Accepted"}),
        sample(25, "Transaction.End", 3),
        answer("MeterValues"),
        transfer("SessionSummary", SUMMARY),
        answer("DataTransfer", status="Accepted"),
        status("Finishing"),
        answer("StatusNotification"),
        ("in", "CALL", "StopTransaction", dict(STOP)),
        answer("StopTransaction"),
        status("Available"),
        answer("StatusNotification"),
    ]


def frames(messages: list[Message]) -> list[Frame]:
    """Answers of the central system get the id of the CALL before them."""
    made: list[Frame] = []
    uid = 0
    for n, (direction, kind, action, payload) in enumerate(messages):
        uid += kind == "CALL"
        made.append(Frame(n, 100.0 + n, 1.7e9 + n, "CP", 1, direction, kind, str(uid), action, payload, ""))
    return made


def test_session_as_promised_has_no_findings() -> None:
    assert check(frames(good()), Session(unplugged=True)) == []


# How to spoil a good session, and a part of the sentence that must say so. Positions count in good().
VEHICLE_AT, START_AT, CHARGING_AT, BEGIN_AT, FIRST_AT, SECOND_AT = 2, 6, 8, 10, 12, 14
REMOTE_STOP_AT, END_AT, SUMMARY_AT, FINISHING_AT, STOP_AT, AVAILABLE_AT = 16, 18, 20, 22, 24, 26


def without(*positions: int) -> Callable[[list[Message]], None]:
    def spoil(messages: list[Message]) -> None:
        for position in sorted(positions, reverse=True):
            del messages[position : position + 2]

    return spoil


def move(position: int, to: int) -> Callable[[list[Message]], None]:
    def spoil(messages: list[Message]) -> None:
        pair = messages[position : position + 2]
        del messages[position : position + 2]
        messages[to:to] = pair

    return spoil


def again(position: int, *answers: Message) -> Callable[[list[Message]], None]:
    """Send the message at `position` again after each of `answers` replaces the one it got."""

    def spoil(messages: list[Message]) -> None:
        message, last = messages[position], messages[position + 1]
        pairs = [part for given in answers for part in (copy.deepcopy(message), given)]
        messages[position : position + 2] = [*pairs, message, last]

    return spoil


def payload(position: int, **fields: Any) -> Callable[[list[Message]], None]:
    return lambda messages: messages[position][3].update(fields)


def value(position: int, **fields: Any) -> Callable[[list[Message]], None]:
    return lambda messages: messages[position][3]["meterValue"][0].update(fields)


def measurand(position: int, index: int, **fields: Any) -> Callable[[list[Message]], None]:
    return lambda messages: messages[position][3]["meterValue"][0]["sampledValue"][index].update(fields)


def swap_measurands(messages: list[Message]) -> None:
    sampled = messages[FIRST_AT][3]["meterValue"][0]["sampledValue"]
    sampled[0], sampled[1] = sampled[1], sampled[0]


def reorder_sample(messages: list[Message]) -> None:
    one = messages[FIRST_AT][3]["meterValue"][0]["sampledValue"][0]
    one["measurand"] = one.pop("measurand")


def reorder_transfer(messages: list[Message]) -> None:
    body = messages[SUMMARY_AT][3]
    body["vendorId"] = body.pop("vendorId")


ACCEPTED = answer("DataTransfer", status="Accepted")
REJECTED = answer("DataTransfer", status="Rejected")

BROKEN: list[tuple[Callable[[list[Message]], None], str]] = [
    (without(VEHICLE_AT), "DataTransfer(VehicleInfo) is missing"),
    (without(4), "RemoteStartTransaction is missing"),
    (without(START_AT), "StartTransaction is missing"),
    (without(CHARGING_AT), "StatusNotification(Charging) is missing"),
    (without(REMOTE_STOP_AT), "RemoteStopTransaction is missing"),
    (without(SUMMARY_AT), "DataTransfer(SessionSummary) is missing"),
    (without(FINISHING_AT), "StatusNotification(Finishing) is missing"),
    (without(STOP_AT), "StopTransaction is missing"),
    (without(AVAILABLE_AT), "StatusNotification(Available) is missing"),
    (without(0), "StatusNotification(Preparing) is missing"),
    (without(BEGIN_AT, FIRST_AT, SECOND_AT, END_AT), "there are no MeterValues"),
    (move(VEHICLE_AT, 0), "DataTransfer(VehicleInfo) at 0.0 s comes before StatusNotification(Preparing)"),
    (move(VEHICLE_AT, 6), "RemoteStartTransaction at 2.0 s comes before DataTransfer(VehicleInfo)"),
    (move(CHARGING_AT, 4), "StatusNotification(Charging) at 4.0 s comes before StartTransaction"),
    (move(SUMMARY_AT, FINISHING_AT), "comes before DataTransfer(SessionSummary)"),
    (move(STOP_AT, FINISHING_AT), "comes before StatusNotification(Finishing)"),
    (move(SUMMARY_AT, REMOTE_STOP_AT), "comes before RemoteStopTransaction"),
    (move(BEGIN_AT, START_AT), "comes before StartTransaction"),
    (move(END_AT, SUMMARY_AT), "comes after SessionSummary"),
    (again(VEHICLE_AT, ACCEPTED), "VehicleInfo is sent again at 4.0 s although it was accepted at 2.0 s"),
    (again(SUMMARY_AT, ACCEPTED), "SessionSummary is sent again"),
    (again(SUMMARY_AT, REJECTED, REJECTED, REJECTED), "SessionSummary was sent 4 times"),
    (again(START_AT, answer("StartTransaction", transactionId=130)), "StartTransaction is sent again"),
    (again(STOP_AT, answer("StopTransaction")), "StopTransaction is sent again"),
    (reorder_transfer, "the fields are messageId, data, vendorId"),
    (payload(VEHICLE_AT, vendorId="Rivot"), "vendorId is 'Rivot'"),
    (payload(VEHICLE_AT, data=json.loads(VEHICLE)), "data is dict instead of a string"),
    (payload(VEHICLE_AT, data=VEHICLE.replace("87.0", "87.00")), "with 1 decimals"),
    (payload(VEHICLE_AT, data='{"soc":87.0}'), "data has no maxCurrent, voltage, current, temperature"),
    (payload(SUMMARY_AT, data=SUMMARY.replace(":", ": ")), "without spaces"),
    (payload(SUMMARY_AT, data=SUMMARY.replace("3.39", "4.39")), "SessionSummary says 4.39 Wh"),
    (payload(SUMMARY_AT, data=SUMMARY.replace("0.42", "0.50")), "durationMinutes is 0.50"),
    (payload(SUMMARY_AT, data=SUMMARY.replace("87.07", "87.17")), "finalSoc is 87.17"),
    (payload(FIRST_AT, connectorId=2), "connectorId is 2"),
    (payload(FIRST_AT, transactionId=131), "transactionId is 131"),
    (lambda m: m[FIRST_AT][3].pop("transactionId"), "the fields are connectorId, meterValue"),
    (value(FIRST_AT, timestamp="2026-01-21T09:52:31Z"), "has its time 11 s after the start instead of 10 s"),
    (value(BEGIN_AT, timestamp="2026-01-21T09:52:21Z"), "has its time 1 s after the start instead of 0 s"),
    (value(END_AT, timestamp="2026-01-21T09:52:55Z"), "has its time 10 s after the stop"),
    (without(FIRST_AT), "has its time 20 s after the start instead of 10 s"),
    (without(FIRST_AT, SECOND_AT), "periodic samples are missing"),
    (without(BEGIN_AT), "the first sample has the context Sample.Periodic"),
    (without(END_AT), "the last sample has the context Sample.Periodic"),
    (again(END_AT, answer("MeterValues")), "more than once"),
    (swap_measurands, "the measurands are Power.Active.Import, Energy.Active.Import.Register"),
    (reorder_sample, "the fields are value, unit, context, measurand"),
    (measurand(FIRST_AT, 0, value="1.0"), "the value is '1.0'"),
    (measurand(FIRST_AT, 1, value=142), "the value is 142 instead of a string"),
    (measurand(FIRST_AT, 2, value="87.1"), "SoC: the value is '87.1'"),
    (measurand(FIRST_AT, 3, unit="mV"), "the unit is mV instead of V"),
    (measurand(FIRST_AT, 4, context="Sample.Clock"), "different contexts"),
    (lambda m: m[FIRST_AT][3]["meterValue"][0]["sampledValue"][4].pop("context"), "the context is None"),
    (measurand(FIRST_AT, 0, value="9"), "the energy register falls from 9 Wh to 2 Wh"),
    (measurand(END_AT, 0, value="4"), "the last MeterValues say 4 Wh, meterStop is 3 Wh"),
    (payload(START_AT, meterStart=1), "meterStart is 1 Wh"),
    (payload(STOP_AT, meterStop=5), "meterStop - meterStart is 5 Wh"),
    (payload(STOP_AT, meterStop=-1), "is below meterStart"),
    (payload(STOP_AT, transactionId=7), "StopTransaction: transactionId is 7"),
    (payload(STOP_AT, reason="Local"), "reason is Local instead of Remote"),
]


@pytest.mark.parametrize(("spoil", "sentence"), BROKEN, ids=[sentence for _, sentence in BROKEN])
def test_each_deviation_is_found(spoil: Callable[[list[Message]], None], sentence: str) -> None:
    messages = good()
    spoil(messages)
    findings = check(frames(messages), Session(unplugged=True))
    assert any(sentence in finding for finding in findings), findings


def test_repeats_after_a_failed_try_are_allowed() -> None:
    messages = good()
    again(SUMMARY_AT, REJECTED, REJECTED)(messages)
    again(VEHICLE_AT, ("out", "CALLERROR", "DataTransfer", {}))(messages)
    assert check(frames(messages)) == []


def test_a_meter_value_repeated_with_its_id_is_one_sample() -> None:
    messages = good()
    again(FIRST_AT, ("out", "CALLERROR", "MeterValues", {}))(messages)
    made = frames(messages)
    first, second = [f for f in made if f.kind == "CALL" and f.action == "MeterValues"][1:3]
    assert first.payload == second.payload
    repeated = [replace(f, uid=first.uid) if f.uid == second.uid else f for f in made]
    assert check(repeated) == []
    changed = [replace(f, payload={**f.payload, "transactionId": 131}) if f.n == second.n else f for f in repeated]
    assert any("repeats an id" in finding for finding in check(changed))


def test_an_answer_to_the_repeat_does_not_count_for_the_first_try() -> None:
    messages = good()
    again(VEHICLE_AT, ("out", "CALLERROR", "DataTransfer", {}))(messages)
    made = frames(messages)
    first, second = [f for f in made if f.kind == "CALL" and f.payload.get("messageId") == "VehicleInfo"]
    assert check([replace(f, uid=first.uid) if f.uid == second.uid else f for f in made]) == []


def test_remote_start_may_come_while_vehicle_info_is_repeated_but_the_start_may_not() -> None:
    messages = good()
    again(VEHICLE_AT, REJECTED)(messages)
    move(6, 4)(messages)  # RemoteStartTransaction between the two attempts
    assert check(frames(messages)) == []
    move(8, 6)(messages)  # StartTransaction too
    (finding,) = check(frames(messages))
    assert "StartTransaction at 6.0 s comes before DataTransfer(VehicleInfo) at 8.0 s" in finding


def test_repeats_must_be_identical() -> None:
    messages = good()
    again(SUMMARY_AT, REJECTED)(messages)
    messages[SUMMARY_AT][3]["data"] = SUMMARY.replace("3.39", "3.38")
    assert any("with another payload" in finding for finding in check(frames(messages)))


def test_schema_violations_are_findings_unless_on_purpose() -> None:
    made = frames(good())
    made[6] = replace(made[6], violation="idTag is too long")
    assert check(made) == ["CALL StartTransaction of the charger at 6.0 s: idTag is too long"]
    made[6] = replace(made[6], on_purpose=True)
    assert check(made) == []


def test_other_ends() -> None:
    local = good()
    del local[REMOTE_STOP_AT : REMOTE_STOP_AT + 2], local[4:6]
    del local[STOP_AT - 4][3]["reason"]
    assert check(frames(local), Session(reason="Local", remote_start=False)) == []

    emergency = good()
    emergency[FINISHING_AT] = status("Faulted")
    emergency[STOP_AT][3]["reason"] = "EmergencyStop"
    assert check(frames(emergency), Session(reason="EmergencyStop")) == []
    assert check(frames(good()), Session(reason="EmergencyStop")) != []

    unplugged = good()
    unplugged[STOP_AT][3]["reason"] = "EVDisconnected"
    assert len(check(frames(unplugged), Session(reason="EVDisconnected"))) == 1
    unplugged[FINISHING_AT][3]["info"] = "EV side disconnected"
    assert check(frames(unplugged), Session(reason="EVDisconnected")) == []
    del unplugged[END_AT][3]["meterValue"][0]["sampledValue"][2]  # the SoC of a vehicle that has left
    assert check(frames(unplugged), Session(reason="EVDisconnected")) == []
    del unplugged[SECOND_AT][3]["meterValue"][0]["sampledValue"][2]
    assert len(check(frames(unplugged), Session(reason="EVDisconnected"))) == 1


def test_offline_sessions_may_lack_statuses() -> None:
    messages = good()
    without(CHARGING_AT, FINISHING_AT)(messages)
    assert len(check(frames(messages))) == 2
    assert check(frames(messages), Session(offline=True)) == []


def test_lifetime_register_may_be_one_rounding_off() -> None:
    messages = good()
    messages[START_AT][3]["meterStart"] = 7001
    for position, energy in ((BEGIN_AT, 7001), (FIRST_AT, 7002), (SECOND_AT, 7003), (END_AT, 7005)):
        measurand(position, 0, value=str(energy))(messages)
    messages[STOP_AT][3]["meterStop"] = 7005
    assert check(frames(messages), Session(lifetime=True)) == []  # 4 Wh, the summary says 3.39 Wh
    assert len(check(frames(messages))) == 1
    messages[SUMMARY_AT][3]["data"] = SUMMARY.replace("3.39", "2.99")
    assert len(check(frames(messages), Session(lifetime=True))) == 1


def test_incomplete_vehicles() -> None:
    assert data_problems("{}", ("soc",), 1, complete=False) == []
    assert data_problems('{"temperature":-3.5}', ("soc", "temperature"), 1, complete=False) == []
    assert data_problems('{"temperature":1.0,"soc":1.0}', ("soc", "temperature"), 1, complete=False) != []
    assert data_problems('{"soc":01.0}', ("soc",), 1) != []
    assert data_problems('{"soc":null}', ("soc",), 1) != []
    no_soc = copy.deepcopy(sample(0, "Transaction.Begin", 0)[3]["meterValue"][0])
    del no_soc["sampledValue"][2]
    assert meter_value_problems(no_soc, complete=False) == []
    assert meter_value_problems(no_soc) != []


def test_sessions_are_told_apart() -> None:
    made = frames([*good(), *good()])
    assert one_session(made, number=0) == made[: len(good())]
    assert one_session(made) == made[len(good()) :]
    assert check(one_session(made)) == []
    with pytest.raises(IndexError):
        one_session(made, number=2)
    with pytest.raises(IndexError):
        one_session(made, connector=2)


def test_preparing_sent_again_after_a_reconnection_is_no_new_plug_in() -> None:
    made = frames([status("Preparing"), *good()])
    assert one_session(made) == made


def test_program(tmp_path: Path) -> None:
    said: list[str] = []
    file = tmp_path / "transcript.jsonl"
    file.write_text("".join(json.dumps({"frame": frame.to_dict()}) + "\n" for frame in frames(good())))
    assert main([str(file)], said.append) == 0
    assert said == []
    messages = good()
    without(SUMMARY_AT)(messages)
    file.write_text("\n".join(json.dumps(frame.to_dict()) for frame in frames(messages)))
    assert main([str(file)], said.append) == 1
    assert said == ["DataTransfer(SessionSummary) is missing"]
    file.write_text("")
    assert main([str(file)], said.append) == 2
    file.write_text("nonsense")
    assert main([str(file)], said.append) == 2
    assert main([], said.append) == 2
