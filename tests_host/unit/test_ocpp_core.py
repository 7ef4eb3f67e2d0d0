"""What a central system can ask of a charge point besides starts: availability, lock, reset, triggered messages."""
# heapsize: 8m
# timeout: 180

import asyncio

from scripted_csms import LockedEvse, run_life

from ocpp16.ramstore import RamStore

ALL = ("core", "local_auth", "reservation", "remote_trigger")


def run(scenario, **options):
    options.setdefault("profiles", ALL)
    run_life(scenario, **options)


async def status_of(b, action, **payload):
    return (await b.ask(action, **payload))["status"]


def states(b, connector_id):
    return [p["status"] for p in b.csms.calls("StatusNotification") if p["connectorId"] == connector_id]


async def settle(ms=500):
    await asyncio.sleep_ms(ms)


# -- availability (rules 9.1)


def test_idle_connector_goes_out_and_comes_back():
    async def scenario(b):
        await b.online()
        assert await status_of(b, "ChangeAvailability", connectorId=1, type="Inoperative") == "Accepted"
        await b.until(lambda: states(b, 1) == ["Available", "Unavailable"])
        assert await status_of(b, "ChangeAvailability", connectorId=1, type="Inoperative") == "Accepted"
        assert await status_of(b, "RemoteStartTransaction", idTag="T") == "Rejected"
        b.evse.is_plugged = True  # who plugs in there is not served
        await settle()
        assert states(b, 1) == ["Available", "Unavailable"] and states(b, 0) == ["Available"]
        assert await status_of(b, "ChangeAvailability", connectorId=1, type="Operative") == "Accepted"
        await b.until(lambda: states(b, 1) == ["Available", "Unavailable", "Preparing"])
        assert await status_of(b, "ChangeAvailability", connectorId=2, type="Inoperative") == "Rejected"
        assert b.store.get("inoperative") is None

    run(scenario)


def test_availability_waits_for_the_end_of_a_session_and_for_the_vehicle():
    async def scenario(b):
        await b.session()
        assert await status_of(b, "ChangeAvailability", connectorId=1, type="Inoperative") == "Scheduled"
        await status_of(b, "RemoteStopTransaction", transactionId=130)
        await b.until(lambda: states(b, 1)[-1] == "Finishing")
        assert await status_of(b, "ChangeAvailability", connectorId=1, type="Inoperative") == "Scheduled"
        assert await status_of(b, "RemoteStartTransaction", idTag="T") == "Rejected"
        await settle()
        assert states(b, 1)[-1] == "Finishing"
        b.evse.is_plugged = False
        await b.until(lambda: states(b, 1)[-1] == "Unavailable")

    run(scenario)


def test_a_scheduled_change_can_be_taken_back():
    async def scenario(b):
        await b.online()
        await b.plug()
        assert await status_of(b, "ChangeAvailability", connectorId=1, type="Inoperative") == "Scheduled"  # plugged
        assert await status_of(b, "RemoteStartTransaction", idTag="T") == "Rejected"
        assert await status_of(b, "ChangeAvailability", connectorId=1, type="Operative") == "Accepted"
        await b.charging()
        assert "Unavailable" not in states(b, 1)

    run(scenario)


def test_without_a_vehicle_the_start_that_waits_is_dropped():
    async def scenario(b):
        await b.online()
        await status_of(b, "RemoteStartTransaction", idTag="T")
        await b.until(lambda: states(b, 1)[-1] == "Preparing")
        assert await status_of(b, "ChangeAvailability", connectorId=1, type="Inoperative") == "Accepted"
        await b.until(lambda: states(b, 1)[-1] == "Unavailable")
        b.evse.is_plugged = True
        await settle()
        assert not b.csms.calls("StartTransaction")

    run(scenario)


def test_connector_zero_means_all_and_survives_a_reboot():  # TC_034
    store = RamStore()

    async def down(b):
        b.start()
        await b.until(lambda: states(b, 2) == ["Available"])
        assert await status_of(b, "ChangeAvailability", connectorId=2, type="Inoperative") == "Accepted"
        assert await status_of(b, "ChangeAvailability", connectorId=0, type="Inoperative") == "Accepted"
        for n in (0, 1, 2):
            await b.until(lambda n=n: states(b, n)[-1] == "Unavailable")

    async def again(b):
        b.cp.restore()
        b.start()
        for n in (0, 1, 2):
            await b.until(lambda n=n: states(b, n) == ["Unavailable"])
        assert await status_of(b, "ChangeAvailability", connectorId=2, type="Operative") == "Accepted"
        await settle()
        assert states(b, 2) == ["Unavailable"]  # 0 still holds it
        assert await status_of(b, "ChangeAvailability", connectorId=0, type="Operative") == "Accepted"
        for n in (0, 1, 2):
            await b.until(lambda n=n: states(b, n)[-1] == "Available")

    run(down, store=store, connectors=2)
    run(again, store=store, connectors=2)
    assert store.get("inoperative") is None


def test_connector_zero_while_one_charges():
    async def scenario(b):
        b.start()
        await b.until(lambda: states(b, 2) == ["Available"])
        await b.plug()
        await b.charging()
        assert await status_of(b, "ChangeAvailability", connectorId=0, type="Inoperative") == "Scheduled"
        await b.until(lambda: states(b, 2)[-1] == "Unavailable")
        assert states(b, 1)[-1] == "Charging"
        b.evse.is_plugged = False
        await b.until(lambda: states(b, 1)[-1] == "Unavailable")
        assert states(b, 1)[-2] == "Finishing"

    run(scenario, connectors=2)


def test_fault_hides_unavailable():
    async def scenario(b):
        await b.online()
        b.evse.failure = ("OtherError", "Door", "")
        await b.until(lambda: states(b, 1)[-1] == "Faulted")
        assert await status_of(b, "ChangeAvailability", connectorId=1, type="Inoperative") == "Accepted"
        b.evse.failure = None
        await b.until(lambda: states(b, 1)[-1] == "Unavailable")

    run(scenario)


def test_availability_that_cannot_be_stored_changes_nothing():
    class Broken(RamStore):
        def put(self, name, value, urgent=True):
            if name == "inoperative":
                raise OSError(28)
            super().put(name, value, urgent)

    async def scenario(b):
        await b.online()
        assert await status_of(b, "ChangeAvailability", connectorId=1, type="Inoperative") == "Rejected"
        await settle()
        assert states(b, 1) == ["Available"] and not b.cp.is_out(1)

    run(scenario, store=Broken())


def test_stored_garbage_is_no_availability():
    store = RamStore()
    store.put("inoperative", [7, "x", None, -1, 1])

    async def scenario(b):
        b.cp.restore()
        b.start()
        await b.until(lambda: states(b, 1) == ["Unavailable"])
        assert await status_of(b, "ChangeAvailability", connectorId=1, type="Operative") == "Accepted"
        await b.until(lambda: states(b, 1)[-1] == "Available")

    run(scenario, store=store)


# -- lock (rules 6.3, 9.3)


def test_unlock_without_a_lock_disturbs_nobody():  # TC_017_2, TC_018_2, TC_031
    async def scenario(b):
        await b.session()
        for n in (0, 1, 2):
            assert await status_of(b, "UnlockConnector", connectorId=n) == "NotSupported"
        assert b.evse.permitted and not b.csms.calls("StopTransaction")

    run(scenario)


def test_unlock_ends_a_session_first():  # TC_018_1
    async def scenario(b):
        await b.online()
        assert await status_of(b, "UnlockConnector", connectorId=1) == "Unlocked"
        await b.plug()
        assert not b.connector.locked
        await b.charging()
        assert b.connector.locked
        assert await status_of(b, "UnlockConnector", connectorId=1) == "Unlocked"
        assert not b.evse.permitted and not b.connector.locked
        await b.until(lambda: b.csms.story()[-1] == "StopTransaction")
        assert b.csms.calls("StopTransaction")[0]["reason"] == "UnlockCommand"
        assert "idTag" not in b.csms.calls("StopTransaction")[0]
        b.evse.is_plugged = False
        await b.until(lambda: states(b, 1)[-1] == "Available")

    run(scenario, evse=LockedEvse)


def test_lock_that_does_not_open():  # TC_030
    async def scenario(b):
        await b.online()
        b.evse.opens = False
        assert await status_of(b, "UnlockConnector", connectorId=1) == "UnlockFailed"
        b.evse.opens = True
        await b.plug()
        await b.charging()
        b.evse.stop_ms = 10_000  # power that does not go off keeps the plug in
        assert await status_of(b, "UnlockConnector", connectorId=1) == "UnlockFailed"

    run(scenario, evse=LockedEvse)


def test_cable_stays_locked_until_its_tag_is_shown():  # TC_005_2
    async def scenario(b):
        await b.online()
        await b.plug()
        await b.charging("TAG1")
        b.evse.is_plugged = False
        await b.until(lambda: b.csms.story()[-1] == "Available")
        assert b.csms.calls("StopTransaction")[0]["reason"] == "EVDisconnected"
        assert b.connector.locked
        b.cp.swipe("OTHER")
        await settle()
        assert b.connector.locked
        b.cp.swipe("tag1")
        await settle()
        assert not b.connector.locked and [c["idTag"] for c in b.csms.calls("Authorize")] == ["OTHER"]

    run(scenario, evse=LockedEvse, config={"UnlockConnectorOnEVSideDisconnect": "false"})


def test_cable_is_released_when_the_vehicle_has_gone():  # TC_005_1
    async def scenario(b):
        await b.session()
        b.evse.is_plugged = False
        await b.until(lambda: b.csms.story()[-1] == "Available")
        assert not b.connector.locked

    run(scenario, evse=LockedEvse)


def test_a_session_that_goes_on_after_a_power_cut_is_locked_again():
    store = RamStore()

    async def before(b):
        await b.session()
        await settle(20_000)

    async def after(b):
        b.evse.is_plugged = True
        b.cp.restore("PowerLoss", True)
        assert not b.connector.locked
        b.start()
        await b.until(lambda: b.evse.permitted)
        assert b.connector.locked
        assert await status_of(b, "UnlockConnector", connectorId=1) == "Unlocked"
        await b.until(lambda: b.csms.calls("StopTransaction"))
        assert not b.connector.locked and b.csms.calls("StopTransaction")[0]["reason"] == "UnlockCommand"

    run(before, store=store, evse=LockedEvse)
    run(after, store=store, evse=LockedEvse)


def test_without_a_lock_no_tag_is_kept_for_it():
    async def scenario(b):
        await b.online()
        for count in (1, 2):
            b.evse.is_plugged = True
            b.cp.swipe("TAG1")
            await b.until(lambda count=count: states(b, 1).count("Charging") == count)
            b.evse.is_plugged = False
            await b.until(lambda: states(b, 1)[-1] == "Available")
        assert len(b.csms.calls("StopTransaction")) == 2

    run(scenario)


def test_refused_tag_gets_its_cable_back():
    async def scenario(b):
        b.csms.answers["StartTransaction"] = {"transactionId": 5, "idTagInfo": {"status": "Blocked"}}
        await b.online()
        await b.plug()
        await status_of(b, "RemoteStartTransaction", idTag="T")
        await b.until(lambda: "StopTransaction" in b.csms.story())
        await settle()
        assert b.connector.locked and b.connector.opens == "T"
        b.cp.swipe("T")
        await settle()
        assert not b.connector.locked and not b.csms.calls("Authorize")

    run(scenario, evse=LockedEvse)


def test_session_that_outlives_its_plug():  # TC_005_3
    async def scenario(b):
        await b.session()
        b.evse.is_plugged = False
        await b.until(lambda: states(b, 1)[-1] == "SuspendedEV")
        told = b.csms.calls("StatusNotification")[-1]
        assert told["info"] == "EV side disconnected" and told["errorCode"] == "NoError"
        await settle(5000)
        assert b.connector.locked and not b.csms.calls("StopTransaction")
        b.evse.is_plugged = True
        await b.until(lambda: states(b, 1)[-1] == "Charging")
        b.evse.is_plugged = False
        await b.until(lambda: states(b, 1)[-1] == "SuspendedEV")
        await status_of(b, "RemoteStopTransaction", transactionId=130)
        await b.until(lambda: b.csms.calls("StopTransaction"))
        assert b.csms.calls("StopTransaction")[0]["reason"] == "Remote"
        await b.until(lambda: states(b, 1)[-1] == "Available")
        assert states(b, 1)[-2] == "Finishing"

    run(scenario, evse=LockedEvse, config={"StopTransactionOnEVSideDisconnect": "false"})


def test_fixed_cable_cannot_be_told_otherwise():
    async def scenario(b):
        await b.online()
        for key in ("StopTransactionOnEVSideDisconnect", "UnlockConnectorOnEVSideDisconnect"):
            assert await status_of(b, "ChangeConfiguration", key=key, value="true") == "Rejected"
        assert b.cp.config.get("UnlockConnectorOnEVSideDisconnect") is False

    run(scenario)


# -- the end of the program


def test_nothing_starts_while_firmware_is_installed_or_the_program_ends():
    for name in ("installing", "closing"):

        async def scenario(b, name=name):
            await b.online()
            await status_of(b, "RemoteStartTransaction", idTag="T")
            await b.until(lambda: states(b, 1)[-1] == "Preparing")
            setattr(b.cp, name, True)
            b.evse.is_plugged = True
            await settle(2000)
            assert not b.csms.calls("StartTransaction") and not b.evse.permitted
            assert await status_of(b, "RemoteStartTransaction", idTag="T") == "Rejected"
            setattr(b.cp, name, False)
            await b.until(lambda: states(b, 1)[-1] == "Charging")

        run(scenario)


# -- reset (rules 9.2)


def test_reset_comes_after_its_answer():
    resets = []

    async def scenario(b):
        b.hooks.reset = lambda hard: resets.append((hard, [m[1] for _, side, m in b.csms.seen if m[0] == 3][-1]))
        await b.online()
        for kind in ("Hard", "Soft"):
            uid = b.csms.call("Reset", {"type": kind})
            await b.until(lambda uid=uid: b.csms.answer_to(uid) is not None)
            assert b.csms.answer_to(uid) == {"status": "Accepted"}
            await b.until(lambda kind=kind: len(resets) == (1 if kind == "Hard" else 2))
            assert resets[-1] == (kind == "Hard", uid)

    run(scenario)


def test_reset_of_a_program_that_cannot():
    async def scenario(b):
        await b.online()
        assert await status_of(b, "Reset", type="Soft") == "Rejected"
        assert b.cp.config.get("ResetRetries") is None

    run(scenario)


# -- triggered messages (rules 9.5)


def after(b, uid):
    """[(action, payload)] of what the charge point sent after its answer to that CALL; b.csms.seen is the wire."""
    wire = [m for _, side, m in b.csms.seen if side == "cp"]
    at = [m[1] for m in wire].index(uid)
    return [(m[2], m[3]) for m in wire[at + 1 :] if m[0] == 2]


async def trigger(b, message, **more):
    """(status, what followed the answer)."""
    more["requestedMessage"] = message
    uid = b.csms.call("TriggerMessage", more)
    await b.until(lambda: b.csms.answer_to(uid) is not None)
    await settle()
    return b.csms.answer_to(uid)["status"], after(b, uid)


def test_triggered_messages_follow_their_answer():  # TC_054
    async def scenario(b):
        b.start()
        await b.until(lambda: states(b, 2) == ["Available"])
        status, sent = await trigger(b, "Heartbeat")
        assert status == "Accepted" and sent == [("Heartbeat", {})]
        status, sent = await trigger(b, "StatusNotification")
        assert status == "Accepted" and [p["connectorId"] for _, p in sent] == [0, 1, 2]
        status, sent = await trigger(b, "StatusNotification", connectorId=2)
        assert [(a, p["connectorId"], p["status"]) for a, p in sent] == [("StatusNotification", 2, "Available")]
        status, sent = await trigger(b, "StatusNotification", connectorId=0)
        assert [p["connectorId"] for _, p in sent] == [0] and "timestamp" in sent[0][1]
        status, sent = await trigger(b, "MeterValues", connectorId=1)
        assert status == "Accepted" and sent[0][0] == "MeterValues" and "transactionId" not in sent[0][1]
        values = sent[0][1]["meterValue"][0]["sampledValue"]
        assert [v["context"] for v in values] == ["Trigger"] * 3
        status, sent = await trigger(b, "MeterValues")
        assert [p["connectorId"] for _, p in sent] == [1, 2]

    run(scenario, connectors=2)


def test_triggers_that_cannot_be_served():  # TC_055
    async def scenario(b):
        await b.online()
        for message, more in (
            ("MeterValues", {"connectorId": 2}),
            ("MeterValues", {"connectorId": 0}),
            ("StatusNotification", {"connectorId": 2}),
            ("BootNotification", {}),
        ):
            assert await trigger(b, message, **more) == ("Rejected", []), message
        for message in ("DiagnosticsStatusNotification", "FirmwareStatusNotification"):
            assert await trigger(b, message) == ("NotImplemented", [])

    run(scenario)


def test_triggered_meter_values_of_a_session_do_not_queue():
    async def scenario(b):
        await b.session()
        b.csms.answers["MeterValues"] = ["silence"]
        await b.until(lambda: b.csms.calls("MeterValues"))
        sample = b.csms.calls("MeterValues")[-1]
        uid = b.csms.call("TriggerMessage", {"requestedMessage": "MeterValues"})
        await b.until(lambda: b.csms.answer_to(uid) is not None)
        await b.until(lambda: len(after(b, uid)) > 1, 120_000)
        assert after(b, uid)[0][1]["transactionId"] == 130
        assert after(b, uid)[0][1]["meterValue"][0]["sampledValue"][0]["context"] == "Trigger"
        assert after(b, uid)[1][1] == sample  # what waits for its second attempt was overtaken

    run(scenario, config={"MeterValueSampleInterval": "5", "MessageTimeout": "2"})


def test_triggers_are_all_that_leaves_while_pending():
    async def scenario(b):
        b.csms.answers["BootNotification"] = [
            {"status": "Pending", "currentTime": "2026-01-21T12:53:20Z", "interval": 600}
        ]
        b.start()
        await b.until(lambda: b.cp.registration == "Pending")
        b.evse.is_plugged = True
        await settle()
        status, sent = await trigger(b, "StatusNotification", connectorId=1)
        assert status == "Accepted" and [(a, p["status"]) for a, p in sent] == [("StatusNotification", "Preparing")]
        status, sent = await trigger(b, "MeterValues")
        assert [a for a, _ in sent] == ["MeterValues"]
        status, sent = await trigger(b, "BootNotification")
        assert status == "Accepted" and sent[0][0] == "BootNotification"
        await b.until(lambda: b.cp.online)

    run(scenario)


def test_a_flood_of_triggers_is_bounded():
    async def scenario(b):
        await b.online()
        b.csms.delays["Heartbeat"] = 20_000
        answers = []
        for _ in range(20):
            answers.append(await status_of(b, "TriggerMessage", requestedMessage="Heartbeat"))
        assert answers.count("Accepted") == 8 and answers[-1] == "Rejected"
        assert len(b.cp.outbox.calls) == 8

    run(scenario)


def test_a_triggered_status_does_not_wait_and_is_not_told_again():
    async def scenario(b):
        await b.online()
        b.evse.is_plugged = True
        await settle()
        assert states(b, 1) == ["Available"]
        _, sent = await trigger(b, "StatusNotification", connectorId=1)
        assert [p["status"] for _, p in sent if "status" in p] == ["Preparing"]
        await settle(10_000)
        assert states(b, 1) == ["Available", "Preparing"]

    run(scenario, config={"MinimumStatusDuration": "5"})


def test_a_triggered_status_is_not_told_before_an_older_one():
    async def scenario(b):
        await b.online()
        b.csms.delays["Heartbeat"] = 2000
        await status_of(b, "TriggerMessage", requestedMessage="Heartbeat")
        b.evse.is_plugged = True  # Preparing waits behind the Heartbeat
        await settle()
        b.evse.is_plugged = False
        await settle()
        await trigger(b, "StatusNotification", connectorId=1)
        await settle(3000)
        assert states(b, 1) == ["Available", "Preparing", "Available", "Available"]

    run(scenario)


# -- answers for profiles that are not there (rules 1.4)


def test_absent_profiles():
    async def scenario(b):
        await b.online()
        when = "2030-01-01T00:00:00Z"
        reserve = {"connectorId": 1, "expiryDate": when, "idTag": "T", "reservationId": 1}
        assert await b.ask("SendLocalList", listVersion=1, updateType="Full") == {"status": "NotSupported"}
        assert await b.ask("GetLocalListVersion") == {"listVersion": -1}
        assert await b.ask("ReserveNow", **reserve) == {"status": "Rejected"}
        assert await b.ask("CancelReservation", reservationId=1) == ("NotSupported", "CancelReservation")
        assert await b.ask("TriggerMessage", requestedMessage="Heartbeat") == ("NotSupported", "TriggerMessage")
        assert b.cp.config.get("SupportedFeatureProfiles") == ("Core",)

    run(scenario, profiles=("core",))


# -- a vehicle without a tag, where a reader serves several connectors (rules 4.2, 4.5)


def test_plug_without_a_tag_becomes_finishing():
    async def scenario(b):
        b.start()
        await b.until(lambda: states(b, 2) == ["Available"])
        b.evse.is_plugged = True
        await b.until(lambda: states(b, 1)[-1] == "Finishing", 70_000)
        assert len(states(b, 1)) == 3
        b.cp.swipe("TAG1")  # somebody else's, who will plug in at the other one
        await b.until(lambda: states(b, 2)[-1] == "Preparing")
        b.evses[1].is_plugged = True
        await b.until(lambda: states(b, 2)[-1] == "Charging")
        assert not b.evse.permitted and b.csms.calls("StartTransaction")[0]["connectorId"] == 2
        b.evse.is_plugged = False
        await b.until(lambda: states(b, 1)[-1] == "Available")

    run(scenario, connectors=2, config={"ConnectionTimeOut": "20"})


def test_the_only_connector_waits_for_its_tag():
    async def scenario(b):
        await b.online()
        await b.plug()
        await settle(60_000)
        assert states(b, 1) == ["Available", "Preparing"]

    run(scenario, config={"ConnectionTimeOut": "20"})


# -- two connectors


def test_two_sessions_that_began_offline_keep_their_numbers():
    for ids in ((7, 7), (-1, 0), (131, 130)):

        async def scenario(b, ids=ids):
            b.start()
            await b.until(lambda: states(b, 2) == ["Available"])
            b.csms.answers["StartTransaction"] = [
                {"transactionId": number, "idTagInfo": {"status": "Accepted"}} for number in ids
            ]
            b.csms.listening = False
            b.csms.drop()
            for evse, tag in zip(b.evses, ("A", "B")):
                await settle()
                evse.is_plugged = True
                await settle()
                b.cp.swipe(tag)
                await b.until(lambda evse=evse: evse.evse_ready())
            await settle(25_000)
            b.cp.swipe("A")  # its session ends before anybody has a number
            await b.until(lambda: b.cp.connectors[0].transaction is None)
            assert b.evses[1].permitted
            b.csms.listening = True
            await b.until(lambda: len(b.csms.calls("StopTransaction")) == 1, 400_000)
            assert [p["connectorId"] for p in b.csms.calls("StartTransaction")] == [1, 2]
            assert b.csms.calls("StopTransaction")[0]["transactionId"] == ids[0]
            assert b.csms.calls("StopTransaction")[0]["idTag"] == "A"
            assert await status_of(b, "RemoteStopTransaction", transactionId=ids[1]) == "Accepted"
            await b.until(lambda: len(b.csms.calls("StopTransaction")) == 2)
            assert b.csms.calls("StopTransaction")[1]["transactionId"] == ids[1]
            values = b.csms.calls("MeterValues")
            assert {p["connectorId"] for p in values} == {1, 2}
            for payload in values:
                assert payload["transactionId"] == ids[payload["connectorId"] - 1], payload

        run(scenario, connectors=2, config={"AllowOfflineTxForUnknownId": "true"})
