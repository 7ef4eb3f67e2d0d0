"""Every end of a session x every way a central system answers DataTransfer: order, payloads, once-only, bounded."""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests_host.system.rig import label, system_test
from tests_host.system.steps import (
    ATTEMPTS,
    ENDS,
    PAUSE_S,
    TIMEOUT_S,
    End,
    QuickRig,
    answer_to,
    assert_repeats_are_the_same,
    assert_sent_once,
    begin,
    calls_of,
    finish,
    sends,
    together,
)
from tools.csms import SILENCE, TWICE, WRONG_ID, Answer, BenchCsms, CallError

VENDOR = ("DataTransfer(VehicleInfo)", "DataTransfer(SessionSummary)")
_SLACK_S = 1.5  # of a busy test computer


@dataclass(frozen=True)
class Answering:
    """How DataTransfer is answered, and how often each message is sent then."""

    answer: Answer = None
    delay: float = 0.0
    times: int | None = None  # of each of the two messages
    sends: int = 1
    timeout_s: int = TIMEOUT_S
    pause_s: int = PAUSE_S

    def prepare(self, csms: BenchCsms) -> None:
        """Tell the bench."""
        for message_id in ("VehicleInfo", "SessionSummary"):
            csms.behave("DataTransfer", message_id=message_id, answer=self.answer, delay=self.delay, times=self.times)

    @property
    def ocpp(self) -> dict[str, str]:
        """Presets of the charger."""
        return {
            "RivotDataTransferTimeout": str(self.timeout_s),
            "RivotDataTransferRetryInterval": str(self.pause_s),
        }

    @property
    def bound_s(self) -> float:
        """Longest time that a StopTransaction may wait for its SessionSummary."""
        return ATTEMPTS * self.timeout_s + (ATTEMPTS - 1) * self.pause_s + _SLACK_S


ANSWERS = {
    "at once": Answering(),
    "2 s late": Answering(delay=2, timeout_s=4),
    "late, in the pause before the repeat": Answering(delay=2, timeout_s=1, pause_s=3),
    "rejected": Answering("Rejected", sends=3),
    "rejected once": Answering("Rejected", times=1, sends=2),
    "unknown vendor": Answering("UnknownVendorId", sends=3),
    "error": Answering(CallError("InternalError", "out of order"), sends=3),
    "error once": Answering(CallError("GenericError"), times=1, sends=2),
    "nothing": Answering(SILENCE, sends=3),
    "nothing once": Answering(SILENCE, times=1, sends=2),
    "under a wrong id": Answering(WRONG_ID, times=1, sends=2),
    "twice": Answering(TWICE),
    "unreadable": Answering({"status": 7}, sends=3),
}
# These meet every end, two of them at a time.
EVERY_END = (("at once", "rejected once"), ("2 s late", "rejected"), ("error", "nothing"))


async def _session(path: Path, name: str, end: End, answering: Answering) -> None:
    async with QuickRig(path, name, ocpp=answering.ocpp, prepare=answering.prepare) as rig:
        transaction = await begin(rig)
        await finish(rig, transaction, end, timeout=answering.bound_s + 8)
        rig.assert_session(end.session)
        rig.assert_schemas()
        assert_repeats_are_the_same(rig)
        assert_sent_once(rig, "StartTransaction", "StopTransaction", "MeterValues")
        for wanted in VENDOR:
            rig.assert_count(wanted, answering.sends)
        summary, stop = sends(rig, VENDOR[1])[0], calls_of(rig, "StopTransaction")[0]
        assert stop.mono - summary.mono <= answering.bound_s, f"stuck for {stop.mono - summary.mono:.1f} s"
        assert stop.payload["transactionId"] == transaction
        if end.reason == "EmergencyStop":
            faulted = next(f for f in calls_of(rig, "StatusNotification") if f.payload["status"] == "Faulted")
            assert (faulted.payload["errorCode"], faulted.payload["vendorErrorCode"]) == ("OtherError", "EmergencyStop")
        alarms = {"unplugged_under_load"} if end.reason == "EVDisconnected" else set()  # the user's doing
        assert set((await rig.sim.state())["alarms"]) == alarms


@pytest.mark.parametrize("answers", EVERY_END, ids=" and ".join)
@system_test
async def test_every_end(tmp_path: Path, answers: tuple[str, ...]) -> None:
    cases = [(name, answer) for name in ENDS for answer in answers]
    await together(
        **{
            f"{name}, {answer}": _session(tmp_path, f"{name}-{answer}", ENDS[name], ANSWERS[answer])
            for name, answer in cases
        }
    )


@system_test
async def test_other_answers(tmp_path: Path) -> None:
    others = [name for name in ANSWERS if not any(name in pair for pair in EVERY_END)]
    await together(
        one_attempt=_one_attempt(tmp_path / "one"),
        local=_local_session(tmp_path / "local"),
        **{
            name: _session(tmp_path, f"CP-{number}", ENDS["remote-stop"], ANSWERS[name])
            for number, name in enumerate(others)
        },
    )


async def _one_attempt(tmp_path: Path) -> None:
    """RivotDataTransferAttempts is live: 1 means that a refused message is not sent again."""

    def prepare(csms: BenchCsms) -> None:
        csms.behave("DataTransfer", answer="Rejected")

    async with QuickRig(tmp_path, prepare=prepare) as rig:
        changed = {"key": "RivotDataTransferAttempts", "value": "1"}
        assert await rig.call("ChangeConfiguration", changed) == {"status": "Accepted"}
        await finish(rig, await begin(rig))
        for wanted in VENDOR:
            rig.assert_count(wanted, 1)
        rig.assert_session(ENDS["remote-stop"].session)


async def _local_session(tmp_path: Path) -> None:
    """A tag at the reader starts, the same tag stops; Authorize comes before StartTransaction, none at the end."""
    async with QuickRig(tmp_path) as rig:
        await rig.plug()
        await rig.swipe("Tag-1")
        await rig.expect_sequence("Authorize", "StartTransaction", "StatusNotification(1 Charging)")
        await rig.wait_output(True)
        await rig.expect("MeterValues", context="Sample.Periodic")
        await finish(rig, 1, ENDS["local-stop"])
        rig.assert_session(replace(ENDS["local-stop"].session, remote_start=False))
        rig.assert_schemas()
        assert [label(frame) for frame in calls_of(rig, "Authorize")] == ["Authorize"]
        stop = calls_of(rig, "StopTransaction")[0]
        assert stop.payload["idTag"] == "TAG-1"
        assert answer_to(rig, stop).payload == {"idTagInfo": {"status": "Accepted"}}
