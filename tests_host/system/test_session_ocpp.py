"""What a central system may do besides the normal course: registration, configuration, starts of every kind."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests_host.system.rig import Rig, field_of, system_test
from tests_host.system.steps import (
    ENDS,
    INTERVAL_S,
    REMOTE_STOP,
    TAG,
    QuickRig,
    answer_to,
    assert_repeats_are_the_same,
    assert_sent_once,
    begin,
    calls_of,
    charge,
    finish,
    sends,
    together,
    utc,
    whole_session,
)
from tools.csms import SILENCE, BenchCsms, CallFailed
from tools.transcript import check

ACCEPTED = {"status": "Accepted"}
REJECTED = {"status": "Rejected"}
START = {"connectorId": 1, "idTag": TAG}

Scenario = Callable[[QuickRig], Awaitable[None]]
Prepare = Callable[[BenchCsms], None]


async def _run(path: Path, scenario: Scenario, prepare: Prepare | None = None, **more: Any) -> None:
    async with QuickRig(path, scenario.__name__.strip("_"), prepare=prepare, **more) as rig:
        await scenario(rig)
        rig.assert_schemas()
        assert_repeats_are_the_same(rig)


def _gaps(frames: Iterable[Any]) -> list[float]:
    return [later.mono - earlier.mono for earlier, later in pairwise(frames)]


async def _stays_without_power(rig: Rig) -> None:
    state = await rig.sim.state()
    assert not state["output_on"] and not state["on_frames"], state


# Registration


def _register(status: str, interval: int) -> Prepare:
    return lambda csms: csms.register(status, interval)


async def pending(rig: QuickRig) -> None:
    """Nothing but BootNotification at the interval; CALLs are answered, but nothing can be started."""
    await rig.wait_call("BootNotification")
    await rig.sim.cmd("plug")
    await rig.wait_line("plugged in")
    assert (await rig.call("GetConfiguration", {"key": ["NumberOfConnectors"]}))["configurationKey"][0]["value"] == "1"
    assert await rig.call("RemoteStartTransaction", START) == REJECTED
    await rig.firmware.meanwhile(_boots(rig, 3))
    assert {f.action for f in calls_of(rig)} == {"BootNotification"}
    assert all(1.9 <= gap <= 3 for gap in _gaps(calls_of(rig, "BootNotification"))), rig.calls()
    rig.csms.register()
    await rig.expect_sequence(
        "StatusNotification(0 Available)", "StatusNotification(1 Preparing)", "DataTransfer(VehicleInfo)"
    )
    await finish(rig, await rig.start_session(TAG))


async def rejected(rig: QuickRig) -> None:
    """Nothing but BootNotification at the interval; CALLs are not even answered."""
    await rig.wait_call("BootNotification")
    await rig.wait_line("registration Rejected")
    with pytest.raises(TimeoutError):
        await rig.call("GetConfiguration", timeout=1)
    await rig.firmware.meanwhile(_boots(rig, 2))
    assert {f.action for f in calls_of(rig)} == {"BootNotification"}
    assert all(1.9 <= gap <= 3 for gap in _gaps(calls_of(rig, "BootNotification"))), rig.calls()
    rig.csms.register()
    await rig.expect_sequence("StatusNotification(0 Available)", "StatusNotification(1 Available)")
    await whole_session(rig)


async def _boots(rig: Rig, count: int) -> None:
    seen = [0]

    def is_last(frame: Any) -> bool:
        seen[0] += frame.action == "BootNotification" and frame.kind == "CALL"
        return seen[0] >= count

    await rig.csms.transcript.wait(is_last, 0, 15)


async def heartbeat(rig: QuickRig) -> None:
    """The interval of BootNotification is that of Heartbeat, also in a session; the clock follows the answer."""
    rig.csms.logic.clock_offset = timedelta(hours=-5)
    transaction = await begin(rig)
    for _ in range(2):
        await rig.wait_call("Heartbeat", since=rig.mark())
    await finish(rig, transaction)
    beats = calls_of(rig, "Heartbeat")
    assert len(beats) >= 3 and all(1.8 <= gap <= 2.5 for gap in _gaps(beats)), _gaps(beats)
    rig.assert_session(REMOTE_STOP.session)
    available = calls_of(rig, "StatusNotification")[-1]
    assert abs(available.wall - timedelta(hours=5).total_seconds() - utc(available.payload["timestamp"])) < 2


async def refused_handshakes(rig: QuickRig) -> None:
    """A server that refuses, or selects no subprotocol, is tried again; the log says why it was not good enough."""
    await rig.wait_line("503")
    rig.csms.handshake("no subprotocol")
    await rig.wait_line("subprotocol")
    rig.csms.handshake()
    await rig.wait_call("StatusNotification", connectorId=1, timeout=25)


# Configuration


async def interval_live(rig: QuickRig) -> None:
    """MeterValueSampleInterval counts from the moment it is changed; 0 stops the periodic samples."""
    transaction = await begin(rig)
    assert await _change(rig, "metervaluesampleinterval", "1") == ACCEPTED
    mark = rig.mark()
    for _ in range(4):
        await rig.wait_call("MeterValues", context="Sample.Periodic", since=rig.mark())
    times = [utc(field_of(frame, "timestamp")) for frame in calls_of(rig, "MeterValues", since=mark)]
    assert _steps(times[-4:]) == [1, 1, 1], times
    assert await _change(rig, "MeterValueSampleInterval", "0") == ACCEPTED
    mark = rig.mark()
    await charge(rig, 2.0)
    assert not calls_of(rig, "MeterValues", since=mark)
    assert await _change(rig, "MeterValueSampleInterval", "2") == ACCEPTED
    await rig.wait_call("MeterValues", context="Sample.Periodic", since=mark)
    await finish(rig, transaction)
    assert calls_of(rig, "StopTransaction")[0].payload["meterStop"] == int(
        field_of(calls_of(rig, "MeterValues")[-1], "Energy.Active.Import.Register")
    )


def _steps(times: list[float]) -> list[float]:
    return [later - earlier for earlier, later in pairwise(times)]


async def _change(rig: Rig, key: str, value: str) -> dict[str, Any]:
    return await rig.call("ChangeConfiguration", {"key": key, "value": value})


async def _value(rig: Rig, key: str) -> str:
    return str((await rig.call("GetConfiguration", {"key": [key]}))["configurationKey"][0]["value"])


# Every key that a charger with fixed cables, one connector and these profiles must have, then our own.
READ_ONLY = {
    "ChargeProfileMaxStackLevel",
    "ChargingScheduleAllowedChargingRateUnit",
    "ChargingScheduleMaxPeriods",
    "ConnectorSwitch3to1PhaseSupported",
    "LocalAuthListMaxLength",
    "MaxChargingProfilesInstalled",
    "MeterValuesAlignedDataMaxLength",
    "ReserveConnectorZeroSupported",
    "SendLocalListMaxLength",
    "StopTransactionMaxMeterValues",
    "StopTxnAlignedDataMaxLength",
    "StopTxnSampledDataMaxLength",
    "ConnectorPhaseRotationMaxLength",
    "GetConfigurationMaxKeys",
    "MeterValuesSampledDataMaxLength",
    "NumberOfConnectors",
    "StopTransactionOnEVSideDisconnect",
    "SupportedFeatureProfiles",
    "UnlockConnectorOnEVSideDisconnect",
}
CHANGEABLE = {
    "AllowOfflineTxForUnknownId": "false",
    "AuthorizationCacheEnabled": "true",
    "ClockAlignedDataInterval": "0",
    "LocalAuthListEnabled": "true",
    "LocalAuthorizeOffline": "true",
    "LocalPreAuthorize": "false",
    "MaxEnergyOnInvalidId": "0",
    "MeterValuesAlignedData": "Energy.Active.Import.Register",
    "ResetRetries": "2",
    "StopTxnAlignedData": "",
    "StopTxnSampledData": "",
    "AuthorizeRemoteTxRequests": "false",
    "ConnectionTimeOut": "60",
    "ConnectorPhaseRotation": "0.Unknown,1.Unknown",
    "HeartbeatInterval": "300",
    "MeterValueSampleInterval": str(INTERVAL_S),
    "MeterValuesSampledData": "Energy.Active.Import.Register,Power.Active.Import,SoC,Voltage,Current.Import",
    "MessageTimeout": "5",
    "MinimumStatusDuration": "0",
    "StopTransactionOnInvalidId": "true",
    "TransactionMessageAttempts": "3",
    "TransactionMessageRetryInterval": "1",
    "WebSocketPingInterval": "30",
    "RivotDataTransferAttempts": "3",
    "RivotDataTransferRetryInterval": "1",
    "RivotDataTransferTimeout": "1",
}


async def all_keys(rig: QuickRig) -> None:
    """GetConfiguration without keys, with an empty list, and with asked keys in any letter case."""
    everything: tuple[dict[str, Any], ...] = ({}, {"key": []})
    for payload in everything:
        answer = await rig.call("GetConfiguration", payload)
        assert not answer.get("unknownKey")
        keys = {entry["key"]: entry for entry in answer["configurationKey"]}
        assert len(keys) == len(answer["configurationKey"])
        assert {key for key, entry in keys.items() if entry["readonly"]} >= READ_ONLY
        changeable = {key: entry.get("value") for key, entry in keys.items() if not entry["readonly"]}
        assert CHANGEABLE.items() <= changeable.items()
        assert not [key for key in keys if "auth" in key.lower() and "key" in key.lower()], "a secret is shown"
        assert int(keys["GetConfigurationMaxKeys"]["value"]) >= len(keys)
    answer = await rig.call("GetConfiguration", {"key": ["heartbeatINTERVAL", "Testing", "NumberOfConnectors"]})
    assert [entry["key"] for entry in answer["configurationKey"]] == ["HeartbeatInterval", "NumberOfConnectors"]
    assert answer["unknownKey"] == ["Testing"]
    only_unknown = await rig.call("GetConfiguration", {"key": ["Testing"]})
    assert not only_unknown.get("configurationKey") and only_unknown["unknownKey"] == ["Testing"]


async def changes(rig: QuickRig) -> None:
    """Accepted changes hold over a power cut; refused ones change nothing."""
    for key, value, status in (
        ("ConnectionTimeOut", "45", "Accepted"),
        ("ConnectionTimeOut", "-1", "Rejected"),
        ("ConnectionTimeOut", "soon", "Rejected"),
        ("ConnectionTimeOut", "", "Rejected"),
        ("AuthorizeRemoteTxRequests", "perhaps", "Rejected"),
        ("MeterValueSampleInterval", "-1", "Rejected"),
        ("MeterValueSampleInterval", "99999999999", "Rejected"),
        ("MeterValuesSampledData", "SoC,Colour", "Rejected"),
        ("MeterValuesSampledData", "SoC,Voltage", "Accepted"),
        ("NumberOfConnectors", "2", "Rejected"),
        ("Testing", "1", "NotSupported"),
    ):
        assert await _change(rig, key, value) == {"status": status}, (key, value)
    await rig.restart_firmware()
    assert await _value(rig, "ConnectionTimeOut") == "45"
    assert await _value(rig, "MeterValueSampleInterval") == str(INTERVAL_S)
    assert await _value(rig, "MeterValuesSampledData") == "SoC,Voltage"
    await begin(rig)
    samples = calls_of(rig, "MeterValues")[-1].payload["meterValue"][0]["sampledValue"]
    assert [sample["measurand"] for sample in samples] == ["SoC", "Voltage"]


async def data_transfer(rig: QuickRig) -> None:
    """From the central system: nothing is known to us; what is not built in is not supported."""
    for payload in ({"vendorId": "Somebody"}, {"vendorId": "Somebody", "messageId": "Hello", "data": 1000 * "x"}):
        assert await rig.call("DataTransfer", payload) == {"status": "UnknownVendorId"}
    with pytest.raises(CallFailed) as failed:
        await rig.call("GetInstalledCertificateIds", {"certificateType": "CentralSystemRootCertificate"})
    assert failed.value.code == "NotSupported"


@system_test
async def test_registration_and_configuration(tmp_path: Path) -> None:
    await together(
        interval=_run(tmp_path, interval_live),
        keys=_run(tmp_path, all_keys),
        changes=_run(tmp_path, changes),
        transfer=_run(tmp_path, data_transfer),
        pending=_run(tmp_path, pending, _register("Pending", 2), wait_registered=False),
        rejected=_run(tmp_path, rejected, _register("Rejected", 2), wait_registered=False),
        heartbeat=_run(tmp_path, heartbeat, _register("Accepted", 2)),
        refused=_run(tmp_path, refused_handshakes, lambda csms: csms.handshake(503), wait_registered=False),
    )


# Starts


async def rejected_starts(rig: QuickRig) -> None:
    """Busy, no such connector, faulted: Rejected, and nothing else happens."""
    assert await rig.call("RemoteStartTransaction", START | {"connectorId": 2}) == REJECTED
    try:
        assert await rig.call("RemoteStartTransaction", START | {"connectorId": 0}) == REJECTED
    except CallFailed as failed:
        assert failed.code == "PropertyConstraintViolation"
    await rig.sim.cmd("estop", active=True)
    await rig.expect("StatusNotification", connectorId=1, status="Faulted")
    assert await rig.call("RemoteStartTransaction", START) == REJECTED
    await rig.plug(wait=False)
    assert await rig.call("RemoteStartTransaction", START) == REJECTED
    await rig.sim.cmd("estop", active=False)
    await rig.expect("StatusNotification", connectorId=1, status="Preparing")
    await _stays_without_power(rig)
    transaction = await rig.start_session(TAG)
    await rig.expect("MeterValues", context="Transaction.Begin")
    mark = rig.mark()
    for tag in (TAG, "Other"):
        assert await rig.call("RemoteStartTransaction", START | {"idTag": tag}) == REJECTED
    assert await rig.call("RemoteStopTransaction", {"transactionId": transaction + 1}) == REJECTED
    await rig.swipe("Other")
    await charge(rig)
    assert set(rig.calls(mark)) <= {"MeterValues(Sample.Periodic)"}
    await rig.expect("MeterValues", context="Sample.Periodic")
    assert await rig.call("RemoteStopTransaction", {"transactionId": transaction}) == ACCEPTED
    assert await rig.call("RemoteStopTransaction", {"transactionId": transaction}) == REJECTED
    await rig.expect("StopTransaction")
    rig.assert_count("StartTransaction", 1)
    rig.assert_count("StopTransaction(Remote)", 1)


async def again_without_unplugging(rig: QuickRig) -> None:
    """A second session of the same vehicle: VehicleInfo was told, everything else comes again, from 0 Wh."""
    first = await begin(rig)
    await rig.stop_session(first)
    second = await rig.start_session(TAG)
    await charge(rig)
    await rig.expect("MeterValues", context="Sample.Periodic")
    await finish(rig, second)
    assert second != first
    rig.assert_count("DataTransfer(VehicleInfo)", 1)
    rig.assert_count("DataTransfer(SessionSummary)", 2)
    assert_sent_once(rig)
    one = ("StartTransaction", "StatusNotification(1 Charging)", "MeterValues(Transaction.Begin)")
    end = ("MeterValues(Transaction.End)", "DataTransfer(SessionSummary)", "StatusNotification(1 Finishing)")
    whole = (*one, "MeterValues(Sample.Periodic)", *end, "StopTransaction(Remote)")
    rig.assert_order("DataTransfer(VehicleInfo)", *whole, *whole, "StatusNotification(1 Available)")
    assert [f.payload["meterStart"] for f in calls_of(rig, "StartTransaction")] == [0, 0]
    rows = rig.csms.store.rows("session_summary")
    assert [row["transaction_id"] for row in rows] == [first, second]
    for row, stop in zip(rows, calls_of(rig, "StopTransaction"), strict=True):
        assert int(row["energy_delivered"]) == stop.payload["meterStop"]


async def tag_first(rig: QuickRig) -> None:
    """The tag is presented first: Authorize, Preparing; the plug starts, VehicleInfo still comes before the start."""
    await rig.swipe(TAG)
    await rig.expect_sequence("Authorize", "StatusNotification(1 Preparing)")
    await _stays_without_power(rig)
    await rig.sim.cmd("plug")
    await rig.expect_sequence("DataTransfer(VehicleInfo)", "StartTransaction", "StatusNotification(1 Charging)")
    await rig.wait_output(True)
    await charge(rig)
    await rig.expect("MeterValues", context="Sample.Periodic")
    await finish(rig, 1, ENDS["local-stop"])
    assert not check(rig.frames(), replace(ENDS["local-stop"].session, remote_start=False))


async def remote_first(rig: QuickRig) -> None:
    """RemoteStart without a vehicle, then the plug."""
    assert await rig.call("RemoteStartTransaction", START) == ACCEPTED
    await rig.expect("StatusNotification", connectorId=1, status="Preparing")
    assert await rig.call("RemoteStartTransaction", START | {"idTag": "Other"}) == REJECTED
    await rig.sim.cmd("plug")
    await rig.expect_sequence("DataTransfer(VehicleInfo)", "StartTransaction", "StatusNotification(1 Charging)")
    await charge(rig)
    await rig.expect("MeterValues", context="Sample.Periodic")
    await finish(rig, 1)
    rest = [frame for frame in rig.frames() if frame.action != "RemoteStartTransaction"]  # its place is another one
    assert not check(rest, replace(REMOTE_STOP.session, remote_start=False))


async def nobody_plugs_in(rig: QuickRig) -> None:
    """ConnectionTimeOut: Preparing ends by itself, and a vehicle that comes later is not charged for that tag."""
    assert await _change(rig, "ConnectionTimeOut", "2") == ACCEPTED
    assert await rig.call("RemoteStartTransaction", START) == ACCEPTED
    preparing, available = await rig.expect_sequence(
        "StatusNotification(1 Preparing)", "StatusNotification(1 Available)"
    )
    assert 1.8 <= available.mono - preparing.mono <= 2.6
    await rig.plug()
    assert (await rig.call("GetConfiguration", {"key": ["ConnectionTimeOut"]}))["configurationKey"]
    rig.assert_count("StartTransaction", 0)
    await _stays_without_power(rig)


async def asks_first(rig: QuickRig) -> None:
    """AuthorizeRemoteTxRequests: Accepted, then Authorize decides."""
    rig.csms.id_tag("Bad", "Blocked")
    assert await _change(rig, "AuthorizeRemoteTxRequests", "true") == ACCEPTED
    await rig.plug()
    mark = rig.mark()
    assert await rig.call("RemoteStartTransaction", START | {"idTag": "Bad"}) == ACCEPTED
    await rig.expect("Authorize", idTag="Bad")
    await rig.wait_line("Blocked")
    await _stays_without_power(rig)
    assert rig.calls(mark) == ["Authorize"]
    assert await rig.call("RemoteStartTransaction", START) == ACCEPTED
    await rig.expect_sequence("Authorize", "StartTransaction", "StatusNotification(1 Charging)")
    await finish(rig, 1)


# Answers to StartTransaction


async def blocked(rig: QuickRig) -> None:
    """A tag that the central system refuses in its answer gets no power, and the transaction ends."""
    rig.csms.id_tag(TAG, "Blocked")
    await rig.plug()
    assert await rig.call("RemoteStartTransaction", START) == ACCEPTED
    await rig.expect_sequence("StartTransaction", "DataTransfer(SessionSummary)", "StopTransaction(DeAuthorized)")
    await _stays_without_power(rig)
    await rig.unplug()
    rig.assert_session(replace(REMOTE_STOP.session, reason="DeAuthorized", charging=False))


async def blocked_but_kept(rig: QuickRig) -> None:
    """StopTransactionOnInvalidId false: the transaction stays, without power, until somebody ends it."""
    rig.csms.id_tag(TAG, "Blocked")
    assert await _change(rig, "StopTransactionOnInvalidId", "false") == ACCEPTED
    await rig.plug()
    transaction = await rig.start_session(TAG, wait=False)
    await rig.expect("MeterValues", context="Sample.Periodic")
    await _stays_without_power(rig)
    rig.assert_count("StatusNotification(1 Charging)", 0)
    await finish(rig, transaction)
    await _stays_without_power(rig)


async def late(rig: QuickRig) -> None:
    """No power before the answer; afterwards at once."""
    rig.csms.behave("StartTransaction", delay=2, times=1)
    await rig.plug()
    await rig.start_session(TAG)
    answer = answer_to(rig, calls_of(rig, "StartTransaction")[0])
    first_on = (await rig.sim.events(types=["output_on"]))[0]
    assert 0 < first_on["t"] - answer.mono < 1
    await charge(rig)
    await rig.expect("MeterValues", context="Sample.Periodic")
    await finish(rig, 1)
    rig.assert_session(REMOTE_STOP.session)
    assert_sent_once(rig)


async def too_late(rig: QuickRig) -> None:
    """The answer comes after MessageTimeout, before the repeat: it counts, and there is no repeat."""
    for key, value in (("MessageTimeout", "1"), ("TransactionMessageRetryInterval", "10")):
        assert await _change(rig, key, value) == ACCEPTED
    rig.csms.behave("StartTransaction", delay=3, times=1)
    await rig.plug()
    transaction = await rig.start_session(TAG)
    await rig.expect("MeterValues", context="Sample.Periodic", transactionId=transaction)
    await finish(rig, transaction)
    rig.assert_session(REMOTE_STOP.session)
    assert_sent_once(rig)


async def never(rig: QuickRig) -> None:
    """No answer to any attempt: the session goes on and ends, its messages do not block the next one for ever."""
    for key, value in (("MessageTimeout", "1"), ("TransactionMessageAttempts", "2")):
        assert await _change(rig, key, value) == ACCEPTED
    rule = rig.csms.behave("StartTransaction", answer=SILENCE)
    await rig.plug()
    assert await rig.call("RemoteStartTransaction", START) == ACCEPTED
    await rig.wait_output(True)
    first = await rig.expect("StartTransaction")
    await rig.wait_call("StartTransaction", since=first.n + 1)
    await rig.expect("StatusNotification", connectorId=1, status="Charging")
    await rig.wait_line("given up after 2 attempts")
    await charge(rig)
    await rig.swipe(TAG)
    await rig.expect_sequence("DataTransfer(SessionSummary)", "StopTransaction(Local)")
    await rig.unplug()
    rig.csms.forget(rule)
    await whole_session(rig)
    rig.assert_session(REMOTE_STOP.session)


STARTS = (rejected_starts, again_without_unplugging, tag_first, remote_first, nobody_plugs_in, asks_first)
ANSWERS = (blocked, blocked_but_kept, late, too_late, never)


@system_test
async def test_starts(tmp_path: Path) -> None:
    scenarios = (*STARTS, *ANSWERS)
    await together(**{scenario.__name__: _run(tmp_path, scenario) for scenario in scenarios})


@system_test
async def test_transactions(tmp_path: Path) -> None:
    """Every integer is a transaction id: zero, negative, wider than a small int of the device. And two at a time."""

    async def numbered(number: int) -> None:
        async with QuickRig(
            tmp_path, f"CP{number}", prepare=lambda csms: csms.number_transactions([number, number + 1])
        ) as rig:
            transaction = await begin(rig)
            assert transaction == number
            assert await rig.call("RemoteStopTransaction", {"transactionId": number + 1}) == REJECTED
            await finish(rig, transaction)
            rig.assert_session(REMOTE_STOP.session)
            rig.assert_schemas()
            assert rig.csms.store.rows("transactions")[0]["reason"] == "Remote"
            for frame in calls_of(rig, "MeterValues", "StopTransaction"):
                assert f'"transactionId":{number},' in frame.text

    numbers = (0, -5, 2**30 + 5, 2**31 - 1, 2**40 + 1)
    await together(two_connectors=_two_connectors(tmp_path), **{str(number): numbered(number) for number in numbers})


async def _two_connectors(tmp_path: Path) -> None:
    """Two vehicles at once: each has its own messages, in its own order; connectorId left out finds the plugged one."""
    async with QuickRig(tmp_path, connectors=2) as rig:
        await rig.plug(2, soc=30)
        assert await rig.call("RemoteStartTransaction", {"idTag": "Two"}) == ACCEPTED
        await rig.expect("StatusNotification", connectorId=2, status="Charging")
        await rig.plug(1, soc=70)
        one = await rig.start_session("One", 1)
        two = next(row["transaction_id"] for row in rig.csms.store.rows("transactions") if row["connector"] == 2)
        assert one != two
        await rig.wait_output(True, 2)
        await charge(rig)
        for connector in (1, 2):
            await rig.wait_call("MeterValues", context="Sample.Periodic", connectorId=connector)
        await rig.sim.cmd("ev", connector=1, max_current=20)
        await rig.stop_session(two)
        assert (await rig.sim.state(1))["output_on"], "the neighbour was switched off, too"
        await charge(rig)
        await rig.stop_session(one)
        for connector in (1, 2):
            await rig.unplug(connector)
        rig.assert_schemas()
        assert_sent_once(rig)
        assert len(sends(rig, "DataTransfer(VehicleInfo)")) == len(sends(rig, "DataTransfer(SessionSummary)")) == 2
        assert {row["soc"] for row in rig.csms.store.rows("vehicle_info")} == {30, 70}
        for row in rig.csms.store.rows("transactions"):
            summary = rig.csms.store.rows("session_summary", transaction_id=row["transaction_id"])
            assert len(summary) == 1 and int(summary[0]["energy_delivered"]) == row["meter_stop"] - row["meter_start"]
