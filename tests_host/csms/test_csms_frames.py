"""Judging frames: message arrays, schemas, rules of CALLs; the transcript's bounds."""

import json
from typing import Any

import pytest

from tools.csms.frames import CallRules, Frame, Transcript, parse, relative_lines, schema_problem


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("nonsense", "not JSON"),
        ('[2,"a","X",{"v":NaN}]', "not JSON"),
        ("{}", "not an array"),
        ("[]", "not an array"),
        ("[5]", "not an array"),
        ("[true]", "not an array"),
        ("[2]", "without a string"),
        ('[2,7,"X",{}]', "without a string"),
        ('[2,"a","X"]', "3 elements instead of 4"),
        ('[2,"a",3,{}]', "string as action"),
        ('[2,"a","X",[]]', "object as payload"),
        ('[3,"a",null]', "object as payload"),
        ('[4,"a","GenericError",""]', "4 elements instead of 5"),
        (b"[]", "binary"),
    ],
)
def test_malformed(text: str | bytes, problem: str) -> None:
    parsed = parse(text)
    assert parsed.kind == "MALFORMED"
    assert problem in str(parsed.problem)


def problem_of(action: str, payload: dict[str, Any], kind: str = "CALL") -> str | None:
    message = [2, "a", action, payload] if kind == "CALL" else [3, "a", payload]
    return schema_problem(kind, action, payload, json.dumps(message))


@pytest.mark.parametrize(
    ("action", "payload", "problem"),
    [
        ("Heartbeat", {}, None),
        ("Heartbeat", {"x": 1}, "Additional properties"),
        ("Nonsense", {}, "no OCPP 1.6 message"),
        ("Authorize", {}, "'idTag' is a required property"),
        ("Authorize", {"idTag": "x" * 21}, "too long"),
        ("StopTransaction", {"transactionId": 1, "meterStop": 1.0, "timestamp": "2026-01-21T09:52:30Z"}, "integer"),
        ("StopTransaction", {"transactionId": 1, "meterStop": 1, "timestamp": "2026-01-21T09:52:30"}, "date-time"),
        ("StopTransaction", {"transactionId": 1, "meterStop": 1, "timestamp": "1970-01-01T00:00:05Z"}, "date-time"),
        ("StopTransaction", {"transactionId": 1, "meterStop": 1, "timestamp": "2026-02-30T00:00:05Z"}, "date-time"),
        ("StopTransaction", {"transactionId": 1, "meterStop": 1, "timestamp": "2026-01-21T09:52:30.5Z"}, None),
        ("StatusNotification", {"connectorId": 1, "errorCode": "Error", "status": "Available"}, "errorCode"),
        ("MeterValues", {"connectorId": 1, "meterValue": []}, "meterValue"),
    ],
)
def test_requests(action: str, payload: dict[str, Any], problem: str | None) -> None:
    found = problem_of(action, payload)
    assert found is None if problem is None else problem in str(found)


def test_answers() -> None:
    assert problem_of("Heartbeat", {"currentTime": "2026-01-21T09:52:30.123Z"}, "CALLRESULT") is None
    assert "required" in str(problem_of("StartTransaction", {"transactionId": 5}, "CALLRESULT"))
    assert schema_problem("CALLRESULT", None, {}, "[]") == "an answer to no open CALL"
    error = {"errorCode": "GenericError", "errorDescription": "", "errorDetails": {}}
    assert schema_problem("CALLERROR", "Reset", error, "") is None
    assert schema_problem("CALLERROR", "Reset", error | {"errorCode": "Oops"}, "")
    assert schema_problem("CALLERROR", "Reset", error | {"errorDescription": None}, "")
    assert schema_problem("CALLERROR", "Reset", error | {"errorDetails": None}, "")


def test_limits_with_one_decimal_are_no_binary_floats() -> None:
    schedule = {"chargingRateUnit": "A", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 21.4}]}
    profile = {
        "chargingProfileId": 1,
        "stackLevel": 0,
        "chargingProfilePurpose": "TxProfile",
        "chargingProfileKind": "Relative",
        "chargingSchedule": schedule,
    }
    assert problem_of("SetChargingProfile", {"connectorId": 1, "csChargingProfiles": profile}) is None
    schedule["chargingSchedulePeriod"] = [{"startPeriod": 0, "limit": 21.45}]
    assert problem_of("SetChargingProfile", {"connectorId": 1, "csChargingProfiles": profile})


def test_call_rules() -> None:
    rules = CallRules(patience_s=1.0)
    assert rules.called("a", "Heartbeat", "text", 0.0) is None
    assert "unanswered" in str(rules.called("b", "Heartbeat", "text", 0.5))
    assert rules.called("c", "Heartbeat", "text", 2.0) is None  # timed out over there
    rules.answered("c")
    assert rules.called("d", "Heartbeat", "text", 2.0) is None
    rules.connected()
    assert rules.called("d", "Heartbeat", "text", 2.0) is None  # the very same again
    rules.answered("d")
    assert "used before" in str(rules.called("d", "Heartbeat", "other", 3.0))
    rules.answered("d")
    assert "37 characters" in str(rules.called("x" * 37, "Heartbeat", "text", 4.0))


def frame(transcript: Transcript, **fields: Any) -> Frame:
    when = {"mono": 0.0, "wall": 0.0, "identity": "CP", "connection": 1, "direction": "in"}
    what = {"kind": "CALL", "uid": "1", "action": "Heartbeat", "payload": {}, "text": "[]"}
    return transcript.add(**when | what | fields)


def test_transcript_is_bounded_and_counts() -> None:
    transcript = Transcript(limit=3)
    for n in range(5):
        frame(transcript, uid=str(n))
    assert [kept.uid for kept in transcript] == ["2", "3", "4"]
    assert (transcript.dropped, transcript.mark(), len(transcript)) == (2, 5, 3)
    assert [kept.uid for kept in transcript.since(4)] == ["4"]


def test_violations_leave_out_what_was_on_purpose() -> None:
    transcript = Transcript()
    frame(transcript, violation="bad", on_purpose=True)
    wrong = frame(transcript, violation="bad")
    assert transcript.violations == [wrong]


def test_frames_read_back_and_print() -> None:
    transcript = Transcript()
    first = frame(transcript, mono=5.0)
    frame(transcript, mono=6.5, direction="out", kind="CALLRESULT", violation="bad")
    assert Frame(**json.loads(json.dumps(first.to_dict()))) == first
    lines = list(relative_lines(transcript))
    assert lines[0].strip().startswith("0.000  -> CALL")
    assert lines[1].strip().startswith("1.500  <- CALLRESULT") and lines[1].endswith("!! bad")
