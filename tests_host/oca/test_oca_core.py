"""OCA test cases of the Core profile: boot, sessions of every kind, configuration, remote operations.

Numbers and expectations: OCTT test case document, FINAL 2024-04.
"""

from typing import Any

from tests_host.oca.charger import ACCEPTED, NOTHING_TO_START, OTHER, REJECTED, TAG, Charger, meter_times, steps
from tests_host.oca.runner import oca
from tests_host.system.rig import START_S, field_of
from tests_host.system.steps import RECONNECT_S, calls_of, utc
from tools.csms import BenchCsms

INTERVAL_S = 2
QUICK_SAMPLES = {"MeterValueSampleInterval": "1"}

# Boot


def _first(status: str) -> Any:
    def prepare(csms: BenchCsms) -> None:
        csms.register("Accepted", INTERVAL_S)
        csms.behave("BootNotification", answer=status, times=1)

    return prepare


async def _accepted_after(cp: Charger) -> None:
    """The second BootNotification comes an interval after the first; then statuses and heartbeats."""
    second = (await cp.wait_new("BootNotification", 2, 0, START_S))[1]
    first = calls_of(cp, "BootNotification")[0]
    assert INTERVAL_S - 0.1 <= second.mono - first.mono <= INTERVAL_S + 1.5
    await cp.registered(second.n, {0: "Available", 1: "Available"})
    beats = await cp.wait_new("Heartbeat", 3, second.n)
    assert all(abs(gap - INTERVAL_S) < 1 for gap in steps([beat.mono for beat in beats]))
    assert [f.action for f in calls_of(cp)][:2] == ["BootNotification"] * 2


@oca(prepare=_first("Rejected"), wait_registered=False)
async def test_tc_001_cold_boot(cp: Charger) -> None:
    await _accepted_after(cp)


@oca(prepare=_first("Pending"), wait_registered=False)
async def test_tc_002_cold_boot_pending(cp: Charger) -> None:
    await cp.wait_line("registration Pending")
    keys = (await cp.call("GetConfiguration"))["configurationKey"]
    assert {"HeartbeatInterval", "SupportedFeatureProfiles"} <= {entry["key"] for entry in keys}
    await cp.set("MeterValueSampleInterval", "5")
    await _accepted_after(cp)
    assert await cp.get("MeterValueSampleInterval") == "5"


# Starts


@oca()
async def test_tc_003_start_plug_first(cp: Charger) -> None:
    await cp.sim.cmd("plug")
    await cp.status("Preparing")
    await cp.swipe(TAG)
    await cp.expect("Authorize", idTag=TAG)
    await cp.started()


@oca()
async def test_tc_004_1_start_identification_first(cp: Charger) -> None:
    await cp.authorized()
    await cp.sim.cmd("plug")
    await cp.started()


@oca(ocpp={"ConnectionTimeOut": "2"})
async def test_tc_004_2_identification_first_times_out(cp: Charger) -> None:
    await cp.authorized()
    preparing = calls_of(cp, "StatusNotification")[-1]
    available = await cp.status("Available")
    assert 1.8 <= available.mono - preparing.mono <= 4
    await cp.settled()
    cp.assert_count("StartTransaction", 0)


# The vehicle leaves during the transaction


@oca(board={"lock": True})
async def test_tc_005_1_unplugged_stops_and_unlocks(cp: Charger) -> None:
    for key in ("StopTransactionOnEVSideDisconnect", "UnlockConnectorOnEVSideDisconnect"):
        await cp.set(key, "true")
    transaction = await cp.charging()
    await cp.sim.cmd("unplug")
    stop, finishing = await cp.expect_all("StopTransaction(EVDisconnected)", "StatusNotification(1 Finishing)")
    assert stop.payload["transactionId"] == transaction
    assert finishing.payload["info"] == "EV side disconnected"
    await cp.status("Available")
    await cp.sim.wait_state(lambda state: state["bolt"] is False)


@oca()
async def test_tc_005_2_unplugged_stops_stays_locked(cp: Charger) -> None:
    """A fixed cable: nothing is locked, so the vehicle's leaving makes the connector Available."""
    assert await cp.get("StopTransactionOnEVSideDisconnect") == "true"
    assert await cp.get("UnlockConnectorOnEVSideDisconnect") == "false"
    transaction = await cp.charging()
    await cp.sim.cmd("unplug")
    stop, finishing = await cp.expect_all("StopTransaction(EVDisconnected)", "StatusNotification(1 Finishing)")
    assert stop.payload["transactionId"] == transaction
    assert finishing.payload["info"] == "EV side disconnected"
    await cp.status("Available")
    assert await cp.call("UnlockConnector", {"connectorId": 1}) == {"status": "NotSupported"}


@oca(board={"lock": True})
async def test_tc_005_2_with_a_lock(cp: Charger) -> None:
    """The cable stays locked in until the central system opens it."""
    await cp.set("StopTransactionOnEVSideDisconnect", "true")
    await cp.set("UnlockConnectorOnEVSideDisconnect", "false")
    transaction = await cp.charging()
    await cp.sim.cmd("unplug")
    await cp.stopped("EVDisconnected", transaction)
    await cp.settled()
    assert (await cp.sim.state())["bolt"] is True
    assert await _unlock(cp) == "Unlocked"
    await cp.sim.wait_state(lambda state: state["bolt"] is False)


@oca(board={"lock": True})
async def test_tc_005_3_unplugged_goes_on(cp: Charger) -> None:
    for key in ("StopTransactionOnEVSideDisconnect", "UnlockConnectorOnEVSideDisconnect"):
        await cp.set(key, "false")
    transaction = await cp.charging()
    mark = cp.mark()
    await cp.sim.cmd("unplug")
    suspended = await cp.wait_call("StatusNotification", since=mark, connectorId=1, info="EV side disconnected")
    assert suspended.payload["status"] in ("SuspendedEV", "SuspendedEVSE"), suspended
    assert not (await cp.sim.state())["output_on"]
    await cp.remote_stop(transaction)
    await cp.stopped("Remote", transaction)


# Tags that are known


@oca()
async def test_tc_007_cached_id(cp: Charger) -> None:
    await cp.set("AuthorizationCacheEnabled", "true")
    await cp.set("LocalPreAuthorize", "true")
    await cp.id_tag_cached()
    await cp.set("AuthorizeRemoteTxRequests", "true")
    mark = cp.mark()
    await cp.plug()
    await cp.remote_start()
    await cp.started()
    assert "Authorize" not in cp.calls(mark)


# Remote start and stop


@oca()
async def test_tc_010_remote_start_cable_first(cp: Charger) -> None:
    await cp.charging()


@oca()
async def test_tc_011_1_remote_start_first(cp: Charger) -> None:
    await cp.remote_start()
    await cp.status("Preparing")
    await cp.sim.cmd("plug")
    await cp.started()


@oca(ocpp={"ConnectionTimeOut": "2"})
async def test_tc_011_2_remote_start_times_out(cp: Charger) -> None:
    await cp.remote_start()
    preparing = await cp.status("Preparing")
    available = await cp.status("Available")
    assert 1.8 <= available.mono - preparing.mono <= 4
    cp.assert_count("StartTransaction", 0)


@oca()
async def test_tc_012_remote_stop(cp: Charger) -> None:
    transaction = await cp.charging()
    await cp.remote_stop(transaction)
    await cp.stopped("Remote", transaction)
    await cp.wait_output(False)


# Reset


async def _reset(cp: Charger, how: str) -> int:
    mark = cp.mark()
    assert await cp.call("Reset", {"type": how}) == ACCEPTED
    return mark


async def _reset_when_idle(cp: Charger, how: str) -> None:
    """Availability survives; a charger that starts again says so."""
    assert await cp.call("ChangeAvailability", {"connectorId": 1, "type": "Inoperative"}) == ACCEPTED
    await cp.status("Unavailable")
    mark = await _reset(cp, how)
    await cp.registered(mark, {0: "Available", 1: "Unavailable", 2: "Available"})
    assert await cp.call("ChangeAvailability", {"connectorId": 1, "type": "Operative"}) == ACCEPTED
    await cp.status("Available")


@oca(connectors=2)
async def test_tc_013_hard_reset_idle(cp: Charger) -> None:
    await _reset_when_idle(cp, "Hard")


@oca(connectors=2)
async def test_tc_014_soft_reset_idle(cp: Charger) -> None:
    await _reset_when_idle(cp, "Soft")


async def _reset_in_transaction(cp: Charger, how: str) -> int:
    """StopTransaction before or after the boot; afterwards the vehicle is still there."""
    transaction = await cp.charging()
    mark = await _reset(cp, how)
    boot = await cp.wait_label("BootNotification", mark, START_S)
    stop = await cp.wait_label(f"StopTransaction({how}Reset)", mark, START_S)
    assert stop.payload["transactionId"] == transaction
    after = await cp.wait_call("StatusNotification", since=boot.n, connectorId=1)
    assert after.payload["status"] in ("Finishing", "Preparing"), after
    await cp.settled()
    cp.assert_count(f"StopTransaction({how}Reset)", 1, mark)
    assert not (await cp.sim.state())["output_on"]
    return mark


@oca()
async def test_tc_015_hard_reset_in_transaction(cp: Charger) -> None:
    await _reset_in_transaction(cp, "Hard")


@oca()
async def test_tc_016_soft_reset_in_transaction(cp: Charger) -> None:
    mark = await _reset_in_transaction(cp, "Soft")
    cp.assert_order("StopTransaction(SoftReset)", "BootNotification", since=mark)
    cp.assert_order("StatusNotification(1 Finishing)", "BootNotification", since=mark)


# Unlock


async def _unlock(cp: Charger, connector: int = 1) -> Any:
    return (await cp.call("UnlockConnector", {"connectorId": connector}))["status"]


@oca(board={"lock": True})
async def test_tc_017_1_unlock_idle(cp: Charger) -> None:
    assert await _unlock(cp) == "Unlocked"


@oca()
async def test_tc_017_2_unlock_idle_fixed_cable(cp: Charger) -> None:
    assert await _unlock(cp) == "NotSupported"


@oca(board={"lock": True})
async def test_tc_018_1_unlock_in_transaction(cp: Charger) -> None:
    transaction = await cp.charging()
    assert await _unlock(cp) == "Unlocked"
    await cp.stopped("UnlockCommand", transaction)
    await cp.sim.wait_state(lambda state: state["bolt"] is False)
    await cp.unplug()


@oca(ocpp=QUICK_SAMPLES)
async def test_tc_018_2_unlock_in_transaction_fixed_cable(cp: Charger) -> None:
    await cp.charging()
    assert await _unlock(cp) == "NotSupported"
    await cp.wait_new("MeterValues(Sample.Periodic)", 2, cp.mark())
    cp.assert_count("StatusNotification(1 Finishing)", 0)
    assert (await cp.sim.state())["output_on"]


# Configuration

CHANGEABLE = """ClockAlignedDataInterval ConnectionTimeOut ConnectorPhaseRotation HeartbeatInterval
LocalAuthorizeOffline LocalPreAuthorize MeterValuesAlignedData MeterValuesSampledData MeterValueSampleInterval
ResetRetries StopTransactionOnInvalidId StopTxnAlignedData StopTxnSampledData TransactionMessageAttempts
TransactionMessageRetryInterval LocalAuthListEnabled""".split()
READ_ONLY = """GetConfigurationMaxKeys NumberOfConnectors SupportedFeatureProfiles LocalAuthListMaxLength
SendLocalListMaxLength ChargeProfileMaxStackLevel ChargingScheduleAllowedChargingRateUnit ChargingScheduleMaxPeriods
MaxChargingProfilesInstalled""".split()
EITHER = ["AuthorizeRemoteTxRequests", "UnlockConnectorOnEVSideDisconnect"]
PROFILES = "Core,FirmwareManagement,LocalAuthListManagement,Reservation,SmartCharging,RemoteTrigger".split(",")


@oca()
async def test_tc_019_retrieve_configuration(cp: Charger) -> None:
    profiles = (await cp.get("SupportedFeatureProfiles")).split(",")
    assert sorted(profiles) == sorted(PROFILES)
    keys = {entry["key"]: entry for entry in (await cp.call("GetConfiguration"))["configurationKey"]}
    assert [key for key in (*CHANGEABLE, *READ_ONLY, *EITHER) if key not in keys] == []
    assert [key for key in CHANGEABLE if keys[key]["readonly"]] == []
    assert [key for key in READ_ONLY if not keys[key]["readonly"]] == []
    most = int(await cp.get("GetConfigurationMaxKeys"))
    asked = sorted(keys)[:most]
    answer = await cp.call("GetConfiguration", {"key": asked})
    assert sorted(entry["key"] for entry in answer["configurationKey"]) == asked
    assert not answer.get("unknownKey")


@oca()
async def test_tc_021_change_configuration(cp: Charger) -> None:
    await cp.set("MeterValueSampleInterval", "7")
    assert await cp.get("MeterValueSampleInterval") == "7"


@oca()
async def test_tc_040_1_unknown_key(cp: Charger) -> None:
    answer = await cp.call("ChangeConfiguration", {"key": "Testing", "value": "true"})
    assert answer == {"status": "NotSupported"}


@oca()
async def test_tc_040_2_invalid_value(cp: Charger) -> None:
    before = await cp.get("MeterValueSampleInterval")
    wrong = {"key": "MeterValueSampleInterval", "value": "-1"}
    await cp.refused("ChangeConfiguration", wrong, "PropertyConstraintViolation")
    assert await cp.get("MeterValueSampleInterval") == before


# What must not start


async def _refused_tag(cp: Charger, status: str) -> None:
    cp.csms.id_tag(OTHER, status)
    await cp.plug()
    await cp.swipe(OTHER)
    asked = await cp.expect("Authorize", idTag=OTHER)
    await cp.wait_line(status)
    await cp.settled()
    assert cp.calls(asked.n + 1) == []
    assert not (await cp.sim.state())["on_frames"]


@oca()
async def test_tc_023_1_authorize_invalid(cp: Charger) -> None:
    await _refused_tag(cp, "Invalid")


@oca()
async def test_tc_023_2_authorize_expired(cp: Charger) -> None:
    await _refused_tag(cp, "Expired")


@oca()
async def test_tc_023_3_authorize_blocked(cp: Charger) -> None:
    await _refused_tag(cp, "Blocked")


@oca(board={"lock": True})
async def test_tc_024_lock_failure(cp: Charger) -> None:
    """A plug that is only half in: its bolt cannot close."""
    await cp.remote_start()
    await cp.status("Preparing")
    await cp.sim.cmd("fault", kind="lock", active=True)
    await cp.sim.cmd("plug")
    fault = await cp.status("Faulted")
    assert fault.payload["errorCode"] == "ConnectorLockFailure"
    await cp.settled()
    cp.assert_count("StartTransaction", 0)
    assert not (await cp.sim.state())["on_frames"]


@oca()
async def test_tc_026_remote_start_rejected(cp: Charger) -> None:
    await cp.charging()
    assert await cp.call("RemoteStartTransaction", {"idTag": OTHER, "connectorId": 1}) == REJECTED
    await cp.settled()
    cp.assert_count("StartTransaction", 1)


@oca()
async def test_tc_027_remote_start_connector_zero(cp: Charger) -> None:
    mark = cp.mark()
    start = {"idTag": TAG, "connectorId": 0}
    await cp.refused("RemoteStartTransaction", start, "PropertyConstraintViolation")
    await cp.settled()
    assert cp.calls(mark) == []


@oca()
async def test_tc_028_remote_stop_unknown_id(cp: Charger) -> None:
    transaction = await cp.charging()
    assert await cp.call("RemoteStopTransaction", {"transactionId": transaction + 7}) == REJECTED
    await cp.settled()
    cp.assert_count("StopTransaction(Remote)", 0)
    assert (await cp.sim.state())["output_on"]


@oca(board={"lock": True})
async def test_tc_030_unlock_failure(cp: Charger) -> None:
    """The bolt of a running transaction is jammed."""
    await cp.charging()
    await cp.sim.cmd("fault", kind="lock", active=True)
    assert await _unlock(cp) == "UnlockFailed"


@oca()
async def test_tc_031_unlock_unknown_connector(cp: Charger) -> None:
    assert await _unlock(cp, 2) == "NotSupported"


# Power failure


@oca(ocpp=QUICK_SAMPLES)
async def test_tc_032_2_power_failure(cp: Charger) -> None:
    transaction = await cp.charging()
    await cp.wait_new("MeterValues(Sample.Periodic)", 2, cp.mark())
    mark = cp.mark()
    await cp.restart_firmware()
    boot = await cp.wait_label("BootNotification", mark)
    after = await cp.wait_call("StatusNotification", since=boot.n, connectorId=1)
    assert after.payload["status"] in ("Preparing", "Finishing"), after
    stop = await cp.wait_label("StopTransaction(PowerLoss)", boot.n)
    assert stop.payload["transactionId"] == transaction and "idTag" not in stop.payload


@oca(ocpp=QUICK_SAMPLES, settings={"vehicle.resume_after_power_loss": True})
async def test_tc_032_2_power_failure_resumed(cp: Charger) -> None:
    """The transaction goes on, and its tag ends it."""
    await cp.plug()
    await cp.swipe(TAG)
    transaction = await cp.started()
    await cp.wait_new("MeterValues(Sample.Periodic)", 2, cp.mark())
    mark = cp.mark()
    await cp.restart_firmware()
    boot = await cp.wait_label("BootNotification", mark)
    after = await cp.wait_call("StatusNotification", since=boot.n, connectorId=1)
    assert after.payload["status"] in ("Preparing", "Finishing", "Charging"), after
    await cp.wait_label("StatusNotification(1 Charging)", boot.n)
    await cp.wait_output(True)
    [sample] = await cp.wait_new("MeterValues(Sample.Periodic)", 1, boot.n)
    assert sample.payload["transactionId"] == transaction
    await cp.swipe(TAG)
    stop = await cp.stopped("Local", transaction)
    assert stop.payload["idTag"] == TAG
    assert cp.calls(mark).count("StopTransaction(Local)") == 1 and "StartTransaction" not in cp.calls(mark)


@oca(connectors=2)
async def test_tc_034_power_failure_with_unavailable(cp: Charger) -> None:
    assert await cp.call("ChangeAvailability", {"connectorId": 0, "type": "Inoperative"}) == ACCEPTED
    await cp.expect_all(*(f"StatusNotification({n} Unavailable)" for n in range(3)))
    mark = cp.mark()
    await cp.restart_firmware(wait_registered=False)
    await cp.registered(mark, dict.fromkeys(range(3), "Unavailable"))


# Offline


@oca(ocpp=QUICK_SAMPLES)
async def test_tc_036_connection_loss_in_transaction(cp: Charger) -> None:
    transaction = await cp.charging()
    await cp.expect("MeterValues", context="Sample.Periodic")
    mark = cp.mark()
    await cp.csms.stop_listening()
    begin = (await cp.sim.state())["session_wh"]
    await cp.firmware.meanwhile(cp.sim.wait_state(lambda state: bool(state["session_wh"] > begin + 2.6), 15))
    await cp.csms.resume()
    resumed = cp.mark()
    await cp.wait_call("MeterValues", since=resumed, timeout=RECONNECT_S)
    frames = await cp.wait_new("MeterValues(Sample.Periodic)", 5, mark)
    frames = [f for f in calls_of(cp, "MeterValues", since=mark) if f.n <= frames[-1].n]
    times = meter_times(frames)
    assert times == sorted(times) and set(steps(times)) == {1.0}, times
    late = [f for f in frames if f.wall - utc(field_of(f, "timestamp")) > 1.5]
    assert len(late) >= 3, [f.wall - utc(field_of(f, "timestamp")) for f in frames]
    assert {f.payload["transactionId"] for f in frames} == {transaction}


OFFLINE = {"AllowOfflineTxForUnknownId": "true", "LocalAuthorizeOffline": "true", "MaxEnergyOnInvalidId": "0"}


async def _offline_start(cp: Charger) -> int:
    """Without a connection: plug, tag, power. The mark of the new connection's begin."""
    mark = cp.mark()
    await cp.csms.stop_listening()
    await cp.sim.cmd("plug")
    await cp.wait_line("plugged in")
    await cp.swipe(TAG)
    await cp.wait_output(True)
    return mark


@oca(ocpp=OFFLINE)
async def test_tc_037_1_offline_start_valid_id(cp: Charger) -> None:
    mark = await _offline_start(cp)
    await cp.csms.resume()
    await cp.wait_label("StatusNotification(1 Charging)", mark, RECONNECT_S)
    start = await cp.wait_label("StartTransaction", mark)
    assert start.payload["idTag"] == TAG
    await cp.settled()
    assert (await cp.sim.state())["output_on"]


async def _invalid_after(cp: Charger, stop: str) -> int:
    cp.csms.id_tag(TAG, "Invalid")
    await cp.set("StopTransactionOnInvalidId", stop)
    mark = await _offline_start(cp)
    await cp.csms.resume()
    await cp.wait_label("StatusNotification(1 Charging)", mark, RECONNECT_S)
    return (await cp.wait_label("StartTransaction", mark)).n


@oca(ocpp=OFFLINE)
async def test_tc_037_2_offline_start_invalid_id_suspends(cp: Charger) -> None:
    start = await _invalid_after(cp, "false")
    await cp.wait_label("StatusNotification(1 SuspendedEVSE)", start)
    await cp.wait_output(False)
    await cp.settled()
    assert not [f for f in calls_of(cp) if f.action == "StopTransaction"]


@oca(ocpp=OFFLINE)
async def test_tc_037_3_offline_start_invalid_id_stops(cp: Charger) -> None:
    start = await _invalid_after(cp, "true")
    await cp.wait_label("StopTransaction(DeAuthorized)", start)
    await cp.wait_label("StatusNotification(1 Finishing)", start)
    await cp.wait_output(False)


@oca()
async def test_tc_038_offline_stop(cp: Charger) -> None:
    transaction = await cp.charging()
    mark = cp.mark()
    await cp.csms.stop_listening()
    await cp.swipe(TAG)
    await cp.wait_output(False)
    await cp.csms.resume()
    stop = await cp.wait_label("StopTransaction(Local)", mark, RECONNECT_S)
    assert (stop.payload["transactionId"], stop.payload["idTag"]) == (transaction, TAG)
    await cp.wait_label("StatusNotification(1 Finishing)", mark)


@oca(ocpp=OFFLINE)
async def test_tc_039_offline_transaction(cp: Charger) -> None:
    mark = await _offline_start(cp)
    await cp.swipe(TAG)
    await cp.wait_output(False)
    await cp.csms.resume()
    start = await cp.wait_label("StartTransaction", mark, RECONNECT_S)
    stop = await cp.wait_label("StopTransaction(Local)", start.n)
    answer = await cp.csms.wait_for("StartTransaction", kind="CALLRESULT", direction="out", since=start.n)
    assert stop.payload["transactionId"] == answer.payload["transactionId"]
    assert utc(stop.payload["timestamp"]) >= utc(start.payload["timestamp"])


# Fault


@oca()
async def test_tc_041_fault(cp: Charger) -> None:
    await cp.sim.cmd("estop", active=True)
    fault = await cp.status("Faulted")
    assert fault.payload["errorCode"] != "NoError"
    assert await cp.call("RemoteStartTransaction", {"idTag": TAG, "connectorId": 1}) == REJECTED
    await cp.sim.cmd("plug")
    await cp.wait_line("plugged in")
    await cp.swipe(TAG)
    await cp.wait_line(NOTHING_TO_START)
    await cp.settled()
    cp.assert_count("StartTransaction", 0)
    assert not (await cp.sim.state())["on_frames"]


@oca()
async def test_tc_062_data_transfer(cp: Charger) -> None:
    answer = await cp.call("DataTransfer", {"vendorId": "org.example.unknown", "messageId": "Hello", "data": "x"})
    assert answer["status"] in ("Rejected", "UnknownMessageId", "UnknownVendorId")


# Stop by tag


@oca(ocpp=QUICK_SAMPLES)
async def test_tc_068_stop_with_start_tag(cp: Charger) -> None:
    await cp.plug()
    await cp.swipe(TAG)
    transaction = await cp.started()
    mark = cp.mark()
    await cp.swipe(OTHER)
    await cp.wait_new("MeterValues(Sample.Periodic)", 2, mark)
    assert not {"Authorize", "StopTransaction(Local)"} & set(cp.calls(mark))
    await cp.swipe(TAG)
    stop = await cp.stopped("Local", transaction)
    assert stop.payload["idTag"] == TAG
    assert "Authorize" not in cp.calls(mark)


# Meter values

MEASURANDS = ["Energy.Active.Import.Register", "Power.Active.Import", "Voltage", "Current.Import", "SoC"]


def _measurands(frame: Any) -> list[str]:
    return [sample["measurand"] for value in frame.payload["meterValue"] for sample in value["sampledValue"]]


@oca(ocpp=QUICK_SAMPLES)
async def test_tc_070_sampled_meter_values(cp: Charger) -> None:
    await cp.set("MeterValuesSampledData", ",".join(MEASURANDS))
    await cp.charging()
    frames = await cp.wait_new("MeterValues(Sample.Periodic)", 3, 0)
    assert steps(meter_times(frames)) == [1, 1]
    for frame in frames:
        assert _measurands(frame) == MEASURANDS
        assert {s["context"] for s in frame.payload["meterValue"][0]["sampledValue"]} == {"Sample.Periodic"}


@oca(ocpp={"MeterValueSampleInterval": "0"})
async def test_tc_071_clock_aligned_meter_values(cp: Charger) -> None:
    await cp.set("MeterValuesAlignedData", ",".join(MEASURANDS))
    await cp.set("ClockAlignedDataInterval", "2")
    await cp.charging()
    frames = await cp.wait_new("MeterValues(Sample.Clock)", 3, 0)
    times = meter_times(frames)
    assert steps(times) == [2, 2] and not any(time % 2 for time in times)
    for frame in frames:
        assert _measurands(frame) == MEASURANDS
