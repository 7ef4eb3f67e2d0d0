"""tools/replay: what counts as a difference, how frames of a bus are sorted, and recordings that cannot be played."""

from pathlib import Path
from typing import Any

import can
import pytest

from tools.csms.frames import FROM_CHARGER, TO_CHARGER, Frame
from tools.recording import Bus, switched
from tools.replay import main
from tools.replay_compare import differences, unlike

ON, OFF = "0132000000000000", "0132000100000000"


def call(action: str, uid: str = "1", direction: str = FROM_CHARGER, kind: str = "CALL", **payload: Any) -> Frame:
    return Frame(0, 0.0, 0.0, "CP", 1, direction, kind, uid, action, payload, "")


def meter(value: str, uid: str) -> Frame:
    sample = [{"timestamp": "2026-01-01T00:00:00Z", "sampledValue": [{"value": value, "context": "Sample.Periodic"}]}]
    return call("MeterValues", uid, connectorId=1, meterValue=sample)


BOOT, STOP = call("BootNotification", "1", model="X"), call("StopTransaction", "2", reason="Remote", meterStop=100)


def test_the_same() -> None:
    late = call("StopTransaction", "other", reason="Remote", meterStop=103, timestamp="2026-01-01T00:00:00Z")
    timed = call("StopTransaction", "2", reason="Remote", meterStop=100, timestamp="2025-01-01T00:00:00Z")
    assert differences([BOOT, timed], [BOOT, late]) == [], "times, ids and 5 % may differ"
    assert differences([BOOT, STOP], [BOOT, call("Heartbeat", "7"), STOP, STOP]) == [], "heartbeats and repeats, too"
    assert differences([BOOT, meter("5", "3"), STOP], [meter("5", "9"), BOOT, STOP, meter("6", "10")]) == []
    asked = call("Reset", "c", TO_CHARGER, type="Soft")
    assert differences([BOOT, asked], [BOOT]) == [], "it is the charge point that is compared"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ([BOOT, STOP], [BOOT], "2. StopTransaction is missing"),
        ([BOOT], [BOOT, STOP], "not in the recording: StopTransaction"),
        ([STOP, BOOT], [BOOT, STOP], "is missing"),
        ([STOP], [call("StopTransaction", reason="Local", meterStop=100)], "reason is 'Local' instead of 'Remote'"),
        ([STOP], [call("StopTransaction", "2", reason="Remote", meterStop=110)], "meterStop is 110 instead of 100"),
        ([STOP], [call("StopTransaction", "2", reason="Remote")], "meterStop is missing, it was 100"),
        ([meter("100", "1")], [meter("120", "1")], "value is '120' instead of '100'"),
        ([meter("1", str(n)) for n in range(5)], [meter("1", "0")], "MeterValues(Sample.Periodic): 1 instead of 5"),
        ([call("Reset", "a", kind="CALLRESULT", status="Accepted")], [], "answer to Reset is missing"),
    ],
)
def test_differences(old: list[Frame], new: list[Frame], words: str) -> None:
    assert words in "\n".join(differences(old, new))


def test_payloads() -> None:
    assert unlike({"data": '{"soc":87.0,"voltage":76.4}'}, {"data": '{"soc":87.5,"voltage":76.4}'}) == []
    assert unlike({"data": '{"soc":87.0}'}, {"data": '{"soc":50.0}'}) == ["data.soc is 50.0 instead of 87.0"]
    assert unlike({"a": [1, 2]}, {"a": [1]}) == ["a has 1 entries instead of 2"]
    assert unlike({"connected": True}, {"connected": False}) == ["connected is False instead of True"]
    assert unlike({"transactionId": 1}, {"transactionId": 2}) == ["transactionId is 2 instead of 1"]
    assert unlike({"a": None}, {"a": "x"}) == ["a is 'x' instead of None"]


def frame(at: float, identifier: int, data: str) -> can.Message:
    return can.Message(timestamp=at, arbitration_id=identifier, is_extended_id=True, data=bytes.fromhex(data))


def test_frames_are_sorted() -> None:
    """Answers wait for their request; an unknown set-point is echoed; what nobody asked for is played at its time."""
    bus = Bus()
    bus.take(
        "pm1",
        [
            frame(0.0, 0x068181FE, OFF),
            frame(0.01, 0x0681817E, OFF),
            frame(0.5, 0x00433F01, "42980000" + "00000000"),
            frame(1.0, 0x068181FE, ON),
            frame(1.02, 0x0681817E, ON),
            frame(1.1, 0x068181FE, ON),
            frame(2.0, 0x0681817E, ON),  # nobody asked within a quarter of a second
            frame(3.0, 0x18FF50E5, "0" * 16),  # on this bus the module's heartbeat
            frame(4.0, 0x068181FE, "0100000000015000"),
            frame(4.01, 0x0681817E, "0100000000015000"),
        ],
    )
    assert [on for _, on in bus.edges] == [False, True]
    assert [message.arbitration_id for _, message in bus.unasked] == [0x00433F01, 0x18FF50E5]
    delay, answer = bus.answer(frame(9, 0x068181FE, ON)) or (0, None)
    assert round(delay, 3) == 0.02 and answer is not None and bytes(answer.data).hex() == ON
    _, answer = bus.answer(frame(9, 0x068181FE, "0100000000012345")) or (0, None)
    assert answer is not None and bytes(answer.data).hex() == "0100000000012345"
    assert bus.answer(frame(9, 0x068182FE, "0184000000000000")) is None
    assert switched(frame(0, 0x068181FE, ON)) and switched(frame(0, 0x068182FE, ON)) is None
    status = Bus()
    status.take("bms1", [frame(0, 0x18FF50E5, "0" * 16)])
    assert status.unasked == [], "on the vehicle's bus the charger says it"


@pytest.mark.parametrize(
    ("log", "wire", "more", "words"),
    [
        (None, "", [], "not a candump -L log"),
        ("nonsense\n", "", [], "not a candump -L log"),
        ("", "", [], "there are no frames in it"),
        ("(1.0) can0 1806E5F4#00\n", "", [], "Say --bus can0=pm1"),
        ("(1.0) can0 1806E5F4#00\n", "{", ["--bus", "can0=bms1"], "not a transcript of tools/csms"),
        ("(1.0) can0 1806E5F4#00\n", "", ["--bus", "can0=bms1"], "no charge point connects in it"),
    ],
)
def test_recordings_that_cannot_be_played(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], log: str | None, wire: str, more: list[str], words: str
) -> None:
    if log is not None:
        (tmp_path / "bus.log").write_text(log)
    (tmp_path / "wire.jsonl").write_text(wire)
    assert main(["--can", str(tmp_path / "bus.log"), "--ocpp", str(tmp_path / "wire.jsonl"), *more]) == 2
    assert words in capsys.readouterr().err
