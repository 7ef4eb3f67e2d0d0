"""The charge point engine against a scripted central system, under virtual time."""
# heapsize: 8m
# timeout: 180

import asyncio
import json

from scripted_csms import T0, rooms, run_life

from ocpp16.ramstore import RamStore

WHOLE = [
    "BootNotification",
    "Available",
    "Preparing",
    "VehicleInfo",
    "StartTransaction",
    "Charging",
    "MeterValues",
    "MeterValues",
    "MeterValues",
    "MeterValues",
    "SessionSummary",
    "Finishing",
    "StopTransaction",
    "Available",
]


def at(payload):
    return payload["meterValue"][0]["timestamp"]


def test_whole_session():
    async def scenario(b):
        await b.session()
        await b.until(lambda: len(b.csms.calls("MeterValues")) == 3)
        off_before = b.clock.uptime_ms()
        assert await b.ask("RemoteStopTransaction", {"transactionId": 130}) == {"status": "Accepted"}
        assert b.evse.switches[-1][1] is False and b.evse.switches[-1][0] - off_before <= 10
        await b.until(lambda: "StopTransaction" in b.csms.story())
        b.evse.is_plugged = False
        await b.until(lambda: b.csms.story()[-1] == "Available")
        assert b.csms.story() == WHOLE, b.csms.story()

        start = b.csms.calls("StartTransaction")[0]
        stop = b.csms.calls("StopTransaction")[0]
        values = b.csms.calls("MeterValues")
        assert start["meterStart"] == 0 and start["connectorId"] == 1 and start["idTag"] == "TAG1"
        assert stop["transactionId"] == 130 and stop["reason"] == "Remote"
        assert all(v["transactionId"] == 130 for v in values)
        contexts = [v["meterValue"][0]["sampledValue"][0]["context"] for v in values]
        assert contexts == ["Transaction.Begin", "Sample.Periodic", "Sample.Periodic", "Transaction.End"]
        assert at(values[0]) == start["timestamp"]
        seconds = [int(at(v)[17:19]) for v in values[:3]]
        assert [(s - seconds[0]) % 60 for s in seconds] == [0, 10, 20]
        assert values[-1]["meterValue"][0]["sampledValue"][0]["value"] == str(stop["meterStop"])
        assert at(values[-1]) == stop["timestamp"]

    run_life(scenario)


def test_power_waits_for_the_answer_to_start():
    async def scenario(b):
        b.csms.delays["StartTransaction"] = 2000
        await b.online()
        await b.plug()
        b.csms.call("RemoteStartTransaction", {"idTag": "T"})
        await b.until(lambda: b.csms.calls("StartTransaction"))
        asked = b.clock.uptime_ms()
        await b.until(lambda: b.evse.permitted)
        assert 1900 <= b.clock.uptime_ms() - asked <= 2100
        await b.until(lambda: "Charging" in b.csms.story())
        assert b.csms.story()[-2:] == ["StartTransaction", "Charging"]  # no Suspended in between

    run_life(scenario)


def test_refused_tag_never_powers_and_ends():
    async def scenario(b):
        b.csms.answers["StartTransaction"] = {"transactionId": 5, "idTagInfo": {"status": "Blocked"}}
        await b.online()
        await b.plug()
        b.csms.call("RemoteStartTransaction", {"idTag": "T"})
        await b.until(lambda: "StopTransaction" in b.csms.story())
        assert b.evse.switches == []
        assert b.csms.calls("StopTransaction")[0]["reason"] == "DeAuthorized"
        assert b.csms.story()[-4:] == ["MeterValues", "SessionSummary", "Finishing", "StopTransaction"]

    run_life(scenario)


def test_refused_tag_with_transaction_kept_open():
    async def scenario(b):
        b.csms.answers["StartTransaction"] = {"transactionId": 5, "idTagInfo": {"status": "Invalid"}}
        await b.online()
        await b.plug()
        b.csms.call("RemoteStartTransaction", {"idTag": "T"})
        await b.until(lambda: "SuspendedEVSE" in b.csms.story())
        assert b.evse.switches == []
        b.csms.call("RemoteStopTransaction", {"transactionId": 5})
        await b.until(lambda: "StopTransaction" in b.csms.story())

    run_life(scenario, config={"StopTransactionOnInvalidId": "false"})


def test_no_answer_to_start_goes_on_with_the_accepted_tag():
    async def scenario(b):
        b.csms.answers["StartTransaction"] = ["silence", ("error", "InternalError")]
        await b.online()
        await b.plug()
        b.csms.call("RemoteStartTransaction", {"idTag": "T"})
        await b.until(lambda: "Charging" in b.csms.story())
        assert b.csms.calls("MeterValues") == []  # they wait behind StartTransaction
        await b.until(lambda: len(b.csms.calls("StartTransaction")) == 3, 300_000)
        starts = b.csms.calls("StartTransaction")
        assert starts[0] == starts[1] == starts[2]
        await b.until(lambda: len(b.csms.calls("MeterValues")) > 10)
        seconds = [int(at(v)[17:19]) for v in b.csms.calls("MeterValues")[:10]]
        assert all((b - a) % 60 == 10 for a, b in zip(seconds, seconds[1:]))

    run_life(scenario, config={"TransactionMessageRetryInterval": "20", "MessageTimeout": "10"})


def test_start_given_up_stops_with_minus_one():
    async def scenario(b):
        b.csms.answers["StartTransaction"] = ("error", "InternalError")
        await b.online()
        await b.plug()
        b.csms.call("RemoteStartTransaction", {"idTag": "T"})
        await b.until(lambda: b.csms.calls("MeterValues"))
        assert b.csms.calls("MeterValues")[0]["transactionId"] == -1
        uid = b.csms.call("RemoteStopTransaction", {"transactionId": -1})
        await b.until(lambda: b.csms.calls("StopTransaction"))
        assert b.csms.answer_to(uid) == {"status": "Accepted"}
        assert b.csms.calls("StopTransaction")[0]["transactionId"] == -1

    run_life(scenario, config={"TransactionMessageRetryInterval": "1", "TransactionMessageAttempts": "2"})


def test_summary_is_retried_and_stop_never_stuck():
    for answer, attempts in (
        ({"status": "Rejected"}, 3),
        ({"status": "UnknownVendorId"}, 3),
        (("error", "NotSupported"), 3),
        ("silence", 3),
        ([{"status": "Rejected"}], 1 + 1),
        ({"no": "status"}, 3),
    ):

        async def scenario(b, answer=answer, attempts=attempts):
            await b.session()
            b.csms.answers["DataTransfer"] = answer
            b.csms.call("RemoteStopTransaction", {"transactionId": 130})
            await b.until(lambda: "StopTransaction" in b.csms.story())
            story = b.csms.story()
            assert story[-attempts - 2 :] == ["SessionSummary"] * attempts + ["Finishing", "StopTransaction"], story
            bodies = b.csms.calls("DataTransfer")[-attempts:]
            assert all(body == bodies[0] for body in bodies)

        run_life(scenario)


def test_late_answer_to_an_earlier_attempt_counts():
    async def scenario(b):
        await b.session()
        b.csms.delays["DataTransfer"] = 10_500  # after the 10 s deadline, before the next attempt
        b.csms.call("RemoteStopTransaction", {"transactionId": 130})
        await b.until(lambda: "StopTransaction" in b.csms.story())
        assert b.csms.story().count("SessionSummary") == 1

    run_life(scenario)


def test_ends_with_their_reasons():
    for cause, reason in (("unplug", "EVDisconnected"), ("tag", "Local"), ("hardware", "EmergencyStop")):

        async def scenario(b, cause=cause, reason=reason):
            await b.session()
            if cause == "unplug":
                b.evse.is_plugged = False
            elif cause == "tag":
                b.cp.swipe("OTHER")
                assert b.connector.transaction.reason is None
                b.cp.swipe("tag1")
            else:
                b.evse.failure = ("OtherError", "EmergencyStop", "Emergency stop pressed")
                b.connector.stop(reason)
                b.connector.stop("Local")  # the first reason stays
            assert cause == "unplug" or not b.evse.permitted
            await b.until(lambda: "StopTransaction" in b.csms.story())
            last = {"hardware": "Faulted"}.get(cause, "Finishing")
            assert b.csms.story()[-3:] == ["SessionSummary", last, "StopTransaction"], b.csms.story()
            assert b.csms.calls("StopTransaction")[0]["reason"] == reason
            if cause == "unplug":
                assert b.csms.calls("StatusNotification")[-1]["info"] == "EV side disconnected"
                await b.until(lambda: b.csms.story()[-1] == "Available")
            if cause == "hardware":
                fault = b.csms.calls("StatusNotification")[-1]
                assert (fault["errorCode"], fault["vendorErrorCode"]) == ("OtherError", "EmergencyStop")
                b.evse.failure = None
                await b.until(lambda: b.csms.story()[-1] == "Finishing")

        run_life(scenario)


def test_meter_values_keep_their_times_while_the_link_is_down():
    async def scenario(b):
        await b.session()
        b.csms.listening = False
        b.csms.drop()
        await asyncio.sleep_ms(65_000)
        assert b.evse.permitted
        b.csms.listening = True
        await b.until(lambda: len(b.csms.calls("MeterValues")) >= 9)
        times = [at(v) for v in b.csms.calls("MeterValues")]
        assert times == sorted(times) and len(set(times)) == len(times)
        seconds = [int(t[17:19]) for t in times]
        assert all((y - x) % 60 == 10 for x, y in zip(seconds, seconds[1:])), times
        after = b.csms.story()[b.csms.story().index("Charging") + 1 :]
        assert after.index("Charging") < len(after) - after[::-1].index("MeterValues")
        # the status of the new connection goes before what was queued
        dial = [i for i, n in enumerate(b.csms.story()) if n == "Charging"][1]
        assert len([n for n in b.csms.story()[:dial] if n == "MeterValues"]) <= 2
        assert b.csms.story().count("BootNotification") == 1

    run_life(scenario)


def test_link_lost_while_start_is_unanswered():
    async def scenario(b):
        b.csms.delays["StartTransaction"] = 5000
        await b.online()
        await b.plug()
        b.csms.call("RemoteStartTransaction", {"idTag": "T"})
        await b.until(lambda: b.csms.calls("StartTransaction"))
        b.csms.drop()
        b.csms.delays.clear()
        await b.until(lambda: b.evse.permitted)
        await b.until(lambda: b.csms.calls("MeterValues"))
        assert len(b.csms.calls("StartTransaction")) == 2
        assert b.csms.calls("StartTransaction")[0] == b.csms.calls("StartTransaction")[1]

    run_life(scenario)


def test_registration():
    async def scenario(b):
        b.csms.answers["BootNotification"] = [
            {"status": "Rejected", "currentTime": "2026-01-21T12:53:20Z", "interval": 7},
            {"status": "Pending", "currentTime": "2026-01-21T12:53:20Z", "interval": 9},
            "silence",
        ]
        b.start()
        b.evse.is_plugged = True
        await b.until(lambda: b.cp.registration == "Rejected")
        ignored = b.csms.call("GetConfiguration", {})
        await b.until(lambda: b.cp.registration == "Pending")
        times = [t for t, side, m in b.csms.seen if side == "cp" and m[0] == 2]
        assert 7000 <= times[1] - times[0] <= 7200
        assert b.csms.answer_to(ignored) is None
        answered = b.csms.call("ChangeConfiguration", {"key": "MeterValueSampleInterval", "value": "5"})
        refused = b.csms.call("RemoteStartTransaction", {"idTag": "T"})
        await b.until(lambda: b.csms.answer_to(refused) is not None)
        assert b.csms.answer_to(answered) == {"status": "Accepted"}
        assert b.csms.answer_to(refused) == {"status": "Rejected"}
        assert b.csms.story() == ["BootNotification"] * 2  # nothing else before acceptance
        await b.until(lambda: b.cp.registration == "Accepted", 200_000)
        await b.until(lambda: "VehicleInfo" in b.csms.story())
        assert b.csms.story() == ["BootNotification"] * 4 + ["Preparing", "VehicleInfo"]
        assert b.cp.config.get("HeartbeatInterval") == 300

    run_life(scenario)


def test_heartbeat_and_clock():
    async def scenario(b):
        await b.online()
        b.csms.call("ChangeConfiguration", {"key": "HeartbeatInterval", "value": "60"})
        await asyncio.sleep_ms(301_000)
        assert 4 <= len(b.csms.calls("Heartbeat")) <= 5
        assert abs(b.clock.utc() - (T0 + b.clock.uptime_ms() // 1000)) <= 1

    run_life(scenario)


def test_clock_step_in_a_session_does_not_disturb_its_spacing():
    async def scenario(b):
        await b.session()
        await b.until(lambda: len(b.csms.calls("MeterValues")) == 3)
        b.clock.set_utc(b.clock.utc() + 1000)
        await b.until(lambda: len(b.csms.calls("MeterValues")) == 6)
        seconds = [int(at(v)[17:19]) for v in b.csms.calls("MeterValues")]
        assert all((y - x) % 60 == 10 for x, y in zip(seconds, seconds[1:]))

    run_life(scenario)


def test_tag_first_then_plug_and_time_out():
    async def scenario(b):
        await b.online()
        b.csms.call("RemoteStartTransaction", {"idTag": "T"})
        await b.until(lambda: b.csms.story()[-1] == "Preparing")
        busy = b.csms.call("RemoteStartTransaction", {"idTag": "OTHER"})
        await b.until(lambda: b.csms.answer_to(busy) is not None)
        assert b.csms.answer_to(busy) == {"status": "Rejected"}
        await b.until(lambda: b.csms.story()[-1] == "Available", 61_000)
        b.cp.swipe("CARD")
        await b.until(lambda: b.csms.story()[-1] == "Preparing")
        assert b.csms.calls("Authorize") == [{"idTag": "CARD"}]
        b.evse.is_plugged = True
        await b.until(lambda: "Charging" in b.csms.story())
        assert b.csms.story()[-3:] == ["VehicleInfo", "StartTransaction", "Charging"]

    run_life(scenario)


def test_authorize_refused_or_unanswered_starts_nothing():
    for answer in ({"idTagInfo": {"status": "Expired"}}, "silence", ("error", "GenericError"), {"idTagInfo": {}}):

        async def scenario(b, answer=answer):
            b.csms.answers["Authorize"] = answer
            await b.online()
            await b.plug()
            b.csms.call("RemoteStartTransaction", {"idTag": "T"})
            await b.until(lambda: b.csms.calls("Authorize"))
            await asyncio.sleep_ms(70_000)
            assert "StartTransaction" not in b.csms.story() and b.evse.switches == []

        run_life(scenario, config={"AuthorizeRemoteTxRequests": "true"})


def test_remote_commands_that_do_not_fit():
    async def scenario(b):
        await b.online()
        for action, payload in (
            ("RemoteStartTransaction", {"idTag": "T", "connectorId": 2}),
            ("RemoteStopTransaction", {"transactionId": 130}),
        ):
            uid = b.csms.call(action, payload)
            await b.until(lambda uid=uid: b.csms.answer_to(uid) is not None)
            assert b.csms.answer_to(uid) == {"status": "Rejected"}
        await b.plug()
        await b.charging()
        for action, payload in (
            ("RemoteStartTransaction", {"idTag": "T"}),
            ("RemoteStopTransaction", {"transactionId": 131}),
        ):
            uid = b.csms.call(action, payload)
            await b.until(lambda uid=uid: b.csms.answer_to(uid) is not None)
            assert b.csms.answer_to(uid) == {"status": "Rejected"}
        assert b.evse.permitted

    run_life(scenario)


def test_garbage_is_answered_or_dropped_and_changes_nothing():
    async def scenario(b):
        await b.session()
        noise = ("", "{", "[]", "null", '"x"', "[1,2]", '[5,"x",{}]', "[" * 500, '[3,"nobody",{}]', '[4,"n","x","",{}]')
        for text in noise:
            b.csms.send(text)
        for uid, message, want in (
            ("a", '[2,"a","RemoteStopTransaction"]', "FormationViolation"),
            ("b", '[2,"b","RemoteStopTransaction",[]]', "FormationViolation"),
            ("c", '[2,"c","Nonsense",{}]', "NotImplemented"),
            ("d", '[2,"d","SignedUpdateFirmware",{}]', None),
            ("e", '[2,"e","RemoteStopTransaction",{}]', "OccurenceConstraintViolation"),
            ("f", '[2,"f","RemoteStopTransaction",{"transactionId":"130"}]', "TypeConstraintViolation"),
            ("g", '[2,"g","RemoteStopTransaction",{"transactionId":130,"x":1}]', "FormationViolation"),
            ("h", '[2,"h","ChangeConfiguration",{"key":"ConnectionTimeOut","value":"-1"}]', {"status": "Rejected"}),
            ("i", '[2,"i","ChangeConfiguration",{"key":"Testing","value":"1"}]', {"status": "NotSupported"}),
            ("j", '[2,"j","DataTransfer",{"vendorId":"Nobody"}]', {"status": "UnknownVendorId"}),
        ):
            b.csms.send(message)
            await b.until(lambda uid=uid: b.csms.answer_to(uid) is not None)
            answer = b.csms.answer_to(uid)
            if want is not None:
                assert (answer if isinstance(want, dict) else answer[0]) == want, (uid, answer)
            else:
                assert isinstance(answer, tuple)
        assert b.evse.permitted and b.connector.transaction is not None
        assert b.cp.counters["malformed"] >= 8

    run_life(scenario)


def test_crossing_calls():
    """The central system calls while our own call is unanswered: it gets its answer at once."""

    async def scenario(b):
        b.csms.delays["DataTransfer"] = 3000
        await b.online()
        b.evse.is_plugged = True
        await b.until(lambda: b.csms.calls("DataTransfer"))
        uids = [b.csms.call("GetConfiguration", {"key": ["HeartbeatInterval"]}) for _ in range(5)]
        asked = b.clock.uptime_ms()
        await b.until(lambda: b.csms.answer_to(uids[-1]) is not None)
        assert b.clock.uptime_ms() - asked < 100

    run_life(scenario)


def test_one_call_at_a_time():
    async def scenario(b):
        for action in ("StatusNotification", "DataTransfer", "StartTransaction", "MeterValues", "Heartbeat"):
            b.csms.delays[action] = 700
        await b.online()
        b.csms.call("ChangeConfiguration", {"key": "HeartbeatInterval", "value": "1"})
        await b.plug()
        await b.charging()
        await asyncio.sleep_ms(60_000)
        open_calls = set()
        for _, side, m in b.csms.seen:
            if side == "cp" and m[0] == 2:
                assert not open_calls, m
                open_calls.add(m[1])
            elif side == "cs" and m[0] in (3, 4):
                open_calls.discard(m[1])

    run_life(scenario)


def test_minimum_status_duration():
    async def scenario(b):
        await b.online()
        b.evse.is_plugged = True
        await asyncio.sleep_ms(3000)
        b.evse.is_plugged = False
        await asyncio.sleep_ms(10_000)
        assert "Preparing" not in b.csms.story()
        b.evse.failure = ("InternalError", "X", "")
        await b.until(lambda: b.csms.story()[-1] == "Faulted", 200)

    run_life(scenario, config={"MinimumStatusDuration": "5"})


def test_suspended_is_not_the_end():
    async def scenario(b):
        await b.session()
        b.evse.taking = False
        await b.until(lambda: b.csms.story()[-1] == "SuspendedEV")
        b.evse.taking = True
        await b.until(lambda: b.csms.story()[-1] == "Charging")

    run_life(scenario)


def test_two_sessions_on_one_plug_in():
    async def scenario(b):
        await b.online()
        await b.plug()
        for n in (130, 131):
            uid = b.csms.call("RemoteStartTransaction", {"idTag": "T"})
            await b.until(lambda n=n: len(b.csms.calls("StartTransaction")) == n - 129)
            await b.until(lambda: b.csms.story()[-1] == "MeterValues")
            b.csms.call("RemoteStopTransaction", {"transactionId": n})
            await b.until(lambda: b.csms.story()[-1] == "StopTransaction")
            assert b.csms.answer_to(uid) == {"status": "Accepted"}
        assert b.csms.story().count("VehicleInfo") == 1 and b.csms.story().count("SessionSummary") == 2

    run_life(scenario)


def test_offline_before_the_clock_is_known():
    async def scenario(b):
        b.csms.listening = False
        b.start()
        b.evse.is_plugged = True
        await asyncio.sleep_ms(5000)
        b.connector.claim("T")  # accepted by whatever the charger trusts while offline
        await b.until(lambda: b.evse.permitted)
        began = b.evse.switches[0][0]
        await asyncio.sleep_ms(25_000)
        b.connector.stop("Local", "T")
        await asyncio.sleep_ms(1000)
        b.csms.listening = True
        await b.until(lambda: "StopTransaction" in b.csms.story(), 400_000)
        story = b.csms.story()
        assert story[:4] == ["BootNotification", "Finishing", "VehicleInfo", "StartTransaction"], story
        assert story[4:] == ["MeterValues"] * 4 + ["SessionSummary", "StopTransaction"], story
        start = b.csms.calls("StartTransaction")[0]["timestamp"]
        want = T0 + began // 1000
        assert 0 <= want % 60 - int(start[17:19]) <= 1, (start, want)  # the Boot answer tells whole seconds
        stop = b.csms.calls("StopTransaction")[0]
        assert (int(stop["timestamp"][17:19]) - int(start[17:19])) % 60 in (25, 26)
        assert stop["transactionId"] == 130

    run_life(scenario)


def test_power_cut_in_a_session():
    store = RamStore()
    shared = {}

    async def first(b):
        await b.session()
        await asyncio.sleep_ms(125_000)
        shared["mwh"] = b.evse.mwh

    async def second(b):
        b.evse.is_plugged = True
        b.cp.restore("PowerLoss")
        b.start()
        await b.until(lambda: "StopTransaction" in b.csms.story())
        story = [n for n in b.csms.story() if n not in ("MeterValues", "VehicleInfo")]
        assert story == ["BootNotification", "Finishing", "SessionSummary", "StopTransaction"], story
        stop = b.csms.calls("StopTransaction")[0]
        assert stop["reason"] == "PowerLoss" and stop["transactionId"] == 130
        assert 0 < shared["mwh"] // 1000 - stop["meterStop"] <= 60  # a checkpoint a minute
        summary = [d["data"] for d in b.csms.calls("DataTransfer") if d["messageId"] == "SessionSummary"]
        assert len(summary) == 1 and json.loads(summary[0])["mwh"] // 1000 == stop["meterStop"]
        await asyncio.sleep_ms(1000)
        assert store.get("tx1") is None

    async def third(b):
        b.cp.restore("PowerLoss")
        b.start()
        await asyncio.sleep_ms(5000)
        assert b.csms.story() == ["BootNotification", "Available"]  # nothing twice

    run_life(first, store=store)
    run_life(second, store=store)
    run_life(third, store=store)


def test_restart_while_the_vehicle_of_an_ended_session_is_there():
    store = RamStore()

    async def first(b):
        await b.session()
        b.connector.stop("HardReset")
        await b.until(lambda: "StopTransaction" in b.csms.story() and not b.store.pending())
        await b.cp.close()

    async def second(b):
        b.cp.restore()
        b.evse.is_plugged = None  # not known yet
        b.start()
        await asyncio.sleep_ms(2000)
        assert b.csms.story() == ["BootNotification", "Finishing"], b.csms.story()
        b.evse.is_plugged = True
        await asyncio.sleep_ms(2000)
        assert b.csms.story() == ["BootNotification", "Finishing"]
        b.evse.is_plugged = False
        await b.until(lambda: b.csms.story()[-1] == "Available")
        await b.cp.close()

    async def third(b):
        b.cp.restore()
        b.evse.is_plugged = None
        b.start()
        await asyncio.sleep_ms(2000)
        assert b.csms.story() == ["BootNotification", "Available"]

    for part in (first, second, third):
        run_life(part, store=store)


def test_a_day_of_meter_values_does_not_drift():
    async def scenario(b):
        await b.session()
        origin = b.connector.transaction.start_uptime
        late = []
        count = [0]
        sample = b.evse.sample

        def timed(measurand):
            if measurand == "Voltage":
                count[0] += 1
                if not 0 <= b.clock.uptime_ms() - origin - count[0] * 10_000 <= 10:
                    late.append((count[0], b.clock.uptime_ms()))
            return sample(measurand)

        b.evse.sample = timed
        first = b.csms.calls("StartTransaction")[0]["timestamp"]
        for _ in range(24 * 6):
            await asyncio.sleep_ms(600_000)
            last = at(b.csms.calls("MeterValues")[-1])
            del b.csms.seen[:]
        assert count[0] >= 8639 and not late
        assert last[:10] == "2026-01-22" and int(last[17:19]) == (int(first[17:19]) + 10 * count[0]) % 60

    run_life(scenario)  # the fake clock starts 20 s before its ticks wrap


class Missing:
    """Makes loading of cold modules fail. `count` tells how often it did."""

    def __init__(self, module, error):
        self.count = 0
        self._module = module
        self._error = error

    def __call__(self, name):
        if name == self._module:
            self.count += 1
            raise self._error

    def __enter__(self):
        rooms.fail = self

    def __exit__(self, *_):
        rooms.fail = None


def test_a_cold_part_that_cannot_be_loaded_delays_the_end_but_not_the_power():
    for module, error in (
        ("ocpp16.session_end", MemoryError()),
        ("ocpp16.session_end", ImportError("no module")),
        ("ocpp16.session_record", MemoryError()),
        ("ocpp16.metervalues", OSError(5)),
        ("ocpp16.timestamp", MemoryError()),
        ("ocpp16.statuses", MemoryError()),
    ):

        async def scenario(b, module=module, error=error):
            await b.online(supervised=True)
            await b.plug()
            await b.charging()
            await b.until(lambda: b.csms.story()[-1] == "MeterValues")
            missing = Missing(module, error)
            with missing:
                b.connector.stop("EmergencyStop")
                assert not b.evse.permitted  # before anything of the end is needed
                await asyncio.sleep_ms(7000)
                assert missing.count > 2 and not b.evse.permitted
                assert "StopTransaction" not in b.csms.story() and b.connector.transaction is not None
            await b.until(lambda: "StopTransaction" in b.csms.story())
            end = b.csms.story()[b.csms.story().index("Charging") + 1 :]
            assert end == ["MeterValues"] * 2 + ["SessionSummary", "Finishing", "StopTransaction"], end
            assert b.csms.calls("StopTransaction")[0]["reason"] == "EmergencyStop"
            assert b.store.get("tx1") is None and b.connector.transaction is None and len(b.evse.switches) == 2

        run_life(scenario)


def test_a_sample_that_finds_no_memory_comes_later():
    """Power stays on: what only reports must not cost the session, nor its other samples."""

    async def scenario(b):
        await b.online(supervised=True)
        await b.plug()
        await b.charging()
        await b.until(lambda: b.csms.calls("MeterValues"))  # the one at the start
        missing = Missing("ocpp16.metervalues", MemoryError())
        with missing:
            await b.until(lambda: missing.count > 5, 15_000)
        await b.until(lambda: len(b.csms.calls("MeterValues")) > 1)
        assert b.evse.permitted and len(b.evse.switches) == 1
        first = [c["meterValue"][0]["timestamp"] for c in b.csms.calls("MeterValues")][-1]
        start = b.csms.calls("StartTransaction")[0]["timestamp"]
        assert (int(first[17:19]) - int(start[17:19])) % 60 == 10  # at the time it was due
        warned = [text for level, _, text in b.log.lines if (level == "W" and "Memory" in text) or level == "E"]
        assert len(warned) <= 1, warned

    run_life(scenario)


def test_memory_that_stays_away_ends_safely():
    async def scenario(b):
        await b.online(supervised=True)
        await b.plug()
        await b.charging()
        with Missing("ocpp16.metervalues", MemoryError()):
            await b.until(lambda: not b.evse.permitted, 20_000)
            assert b.clock.uptime_ms() >= 14_000  # some 5 s after the first sample was due

    run_life(scenario)


def test_an_unplug_switches_off_even_if_no_cold_part_can_be_loaded():
    async def scenario(b):
        await b.online(supervised=True)
        await b.plug()
        await b.charging()
        with Missing("ocpp16.session_end", MemoryError()):
            b.evse.is_plugged = False
            await b.until(lambda: not b.evse.permitted, 110)
            assert b.connector.transaction.reason == "EVDisconnected"
        await b.until(lambda: b.csms.story()[-1] == "Available")
        assert b.csms.story()[-4:] == ["SessionSummary", "Finishing", "StopTransaction", "Available"]

    run_life(scenario)


def test_a_cold_part_that_cannot_be_loaded_delays_the_start():
    for module in ("ocpp16.session_start", "ocpp16.session_record", "ocpp16.timestamp", "ocpp16.metervalues"):

        async def scenario(b, module=module):
            await b.online(supervised=True)
            await b.plug()
            missing = Missing(module, MemoryError())
            with missing:
                b.connector.claim("T")
                await asyncio.sleep_ms(5000)
                assert missing.count > 2 and b.evse.switches == [] and b.connector.transaction is None
                assert "StartTransaction" not in b.csms.story()
            await b.until(lambda: "Charging" in b.csms.story())
            assert b.csms.story()[-2:] == ["StartTransaction", "Charging"]
            assert len(b.csms.calls("StartTransaction")) == 1

        run_life(scenario)


def test_power_cut_with_the_vehicle_still_there_or_gone():
    for is_there in (True, False):
        store = RamStore()

        async def first(b):
            await b.session()

        async def second(b, is_there=is_there):
            b.evse.is_plugged = None  # not known yet
            b.cp.restore("PowerLoss")
            b.start()
            await b.until(lambda: "StopTransaction" in b.csms.story())
            await asyncio.sleep_ms(3000)
            story = [name for name in b.csms.story() if name != "MeterValues"]
            assert story == ["BootNotification", "Finishing", "SessionSummary", "StopTransaction"]
            b.evse.is_plugged = is_there
            if is_there:
                await asyncio.sleep_ms(3000)
                assert b.csms.story()[-1] == "StopTransaction"  # nothing is new: no Available, no second VehicleInfo
                b.evse.is_plugged = False
            await b.until(lambda: b.csms.story()[-1] == "Available")
            assert b.hooks.resumed_ids == [1] and "VehicleInfo" not in b.csms.story()

        run_life(first, store=store)
        run_life(second, store=store)


def resumed(b, **more):
    b.evse.is_plugged = None
    b.cp.restore("PowerLoss", True, **more)
    b.start()


async def charged_and_cut(b):
    await b.session()
    await asyncio.sleep_ms(75_000)


def test_resumed_after_a_power_cut():
    store = RamStore()
    before = {}

    async def first(b):
        await charged_and_cut(b)
        before["wh"], before["extra"] = b.connector.transaction.meter_last, b.connector.transaction.extra
        before["utc"] = b.clock.utc()

    async def second(b):
        b.csms.next_tx = 900
        resumed(b)
        await b.until(lambda: b.csms.story() == ["BootNotification", "Preparing"])
        await asyncio.sleep_ms(5000)
        assert not b.evse.permitted and b.connector.transaction.id == 130  # nobody knows yet whether it is there
        b.evse.is_plugged = True
        await b.until(lambda: b.evse.permitted)
        assert b.evse.mwh == before["extra"]
        await b.until(lambda: b.csms.story()[-1] == "Charging")
        await asyncio.sleep_ms(35_000)
        b.cp.swipe("OTHER")
        await asyncio.sleep_ms(1000)
        assert b.evse.permitted
        b.cp.swipe("tag1")
        assert not b.evse.permitted
        await b.until(lambda: "StopTransaction" in b.csms.story())
        story = [name for name in b.csms.story() if name not in ("MeterValues", "Authorize")]
        assert story == ["BootNotification", "Preparing", "Charging", "SessionSummary", "Finishing", "StopTransaction"]
        stop = b.csms.calls("StopTransaction")[0]
        assert stop["transactionId"] == 130 and stop["reason"] == "Local" and stop["idTag"] == "tag1"
        assert before["wh"] + 30 <= stop["meterStop"] <= before["wh"] + 42  # 1 Wh a second, none for the dark
        values = [int(v["meterValue"][0]["sampledValue"][0]["value"]) for v in b.csms.calls("MeterValues")[-3:]]
        assert values == sorted(values) and values[-1] == stop["meterStop"]
        assert all(v["transactionId"] == 130 for v in b.csms.calls("MeterValues"))
        times = [at(v) for v in b.csms.calls("MeterValues")[-4:]] + [stop["timestamp"]]
        assert times == sorted(times)
        assert b.hooks.resumed_ids == [1] and "VehicleInfo" not in b.csms.story()
        await asyncio.sleep_ms(1000)
        assert store.get("tx1") is None and store.pending() == []

    run_life(first, store=store)
    run_life(second, store=store)


def test_resumed_and_stopped_from_far_before_the_vehicle_is_known():
    store = RamStore()

    async def second(b):
        resumed(b)
        await b.until(lambda: b.csms.story() == ["BootNotification", "Preparing"])
        uid = b.csms.call("RemoteStopTransaction", {"transactionId": 130})
        await b.until(lambda: "StopTransaction" in b.csms.story())
        assert b.csms.answer_to(uid) == {"status": "Accepted"} and b.evse.switches == []
        b.evse.is_plugged = True
        await asyncio.sleep_ms(3000)
        assert b.evse.switches == [] and b.csms.calls("StopTransaction")[0]["reason"] == "Remote"

    run_life(charged_and_cut, store=store)
    run_life(second, store=store)


def test_not_resumed_when_the_vehicle_left_or_stays_unknown():
    for state in (False, None):
        store = RamStore()

        async def second(b, state=state):
            resumed(b)
            await asyncio.sleep_ms(3000)
            b.evse.is_plugged = state
            await b.until(lambda: "StopTransaction" in b.csms.story(), 70_000)
            assert b.csms.calls("StopTransaction")[0]["reason"] == "PowerLoss" and b.evse.switches == []
            assert b.csms.story().count("SessionSummary") == 1
            b.evse.is_plugged = False
            await b.until(lambda: b.csms.story()[-1] == "Available")

        run_life(charged_and_cut, store=store)
        run_life(second, store=store)


def test_resumed_offline_with_its_start_still_queued():
    store = RamStore()

    async def first(b):
        await b.online()
        await b.plug()
        b.csms.listening = False
        b.csms.drop()
        await asyncio.sleep_ms(500)
        b.connector.claim("TAG1")
        await b.until(lambda: b.evse.permitted)
        await asyncio.sleep_ms(75_000)

    async def second(b):
        b.csms.t0 += 3600
        b.csms.listening = False
        resumed(b)
        b.evse.is_plugged = True
        await b.until(lambda: b.evse.permitted)
        await asyncio.sleep_ms(15_000)
        b.csms.listening = True
        await b.until(lambda: "MeterValues" in b.csms.story() and b.store.pending() == [], 600_000)
        b.cp.swipe("TAG1")
        await b.until(lambda: "StopTransaction" in b.csms.story())
        story = [name for name in b.csms.story() if name not in ("MeterValues", "VehicleInfo")]
        assert story.count("StartTransaction") == 1 and story[-3:] == ["SessionSummary", "Finishing", "StopTransaction"]
        times = [b.csms.calls("StartTransaction")[0]["timestamp"]] + [at(v) for v in b.csms.calls("MeterValues")]
        assert times == sorted(times), times
        assert {v["transactionId"] for v in b.csms.calls("MeterValues")} == {130}
        assert b.csms.calls("StopTransaction")[0]["transactionId"] == 130

    run_life(first, store=store)
    run_life(second, store=store)


def test_refused_tag_is_not_resumed():
    store = RamStore()

    async def first(b):
        b.csms.answers["StartTransaction"] = {"transactionId": 130, "idTagInfo": {"status": "Invalid"}}
        await b.online()
        await b.plug()
        b.csms.call("RemoteStartTransaction", {"idTag": "T"})
        await b.until(lambda: "SuspendedEVSE" in b.csms.story())
        await asyncio.sleep_ms(75_000)

    async def second(b):
        resumed(b)
        b.evse.is_plugged = True
        await b.until(lambda: "StopTransaction" in b.csms.story())
        assert b.evse.switches == [] and b.csms.calls("StopTransaction")[0]["reason"] == "PowerLoss"

    run_life(first, store=store, config={"StopTransactionOnInvalidId": "false"})
    run_life(second, store=store, config={"StopTransactionOnInvalidId": "false"})


def test_resumed_only_if_the_meter_goes_on_from_its_checkpoint():
    for spoil in ("meter", "raise"):
        store = RamStore()

        async def second(b, spoil=spoil):
            if spoil == "meter":
                b.evse.energy_wh = lambda: 100_000  # a register of its own, which has run on
            else:
                b.evse.session_begin = None
            resumed(b)
            b.evse.is_plugged = True
            await b.until(lambda: "StopTransaction" in b.csms.story())
            stop = b.csms.calls("StopTransaction")[0]
            assert b.evse.switches == [] and stop["reason"] == "PowerLoss" and 60 <= stop["meterStop"] <= 80

        run_life(charged_and_cut, store=store)
        run_life(second, store=store)


def test_a_supply_that_breaks_down_under_the_load_does_not_resume_for_ever():
    store = RamStore()
    ends = []

    async def again(b):
        resumed(b)
        b.evse.is_plugged = True
        await b.until(lambda: b.evse.permitted or "StopTransaction" in b.csms.story())
        await asyncio.sleep_ms(1000)
        ends.append("StopTransaction" in b.csms.story())

    run_life(charged_and_cut, store=store)
    run_life(again, store=store)
    run_life(again, store=store)
    assert ends == [False, True]


def test_unknown_plug_state_starts_nothing_and_ends_nothing():
    async def scenario(b):
        b.evse.is_plugged = None
        await b.online()
        b.connector.claim("T")
        await asyncio.sleep_ms(3000)
        assert b.connector.transaction is None and not b.evse.permitted
        b.evse.is_plugged = True
        await b.until(lambda: "Charging" in b.csms.story())
        b.evse.is_plugged = None
        await asyncio.sleep_ms(3000)
        assert b.evse.permitted and b.connector.transaction.reason is None

    run_life(scenario)


def test_checkpoints_early_in_a_session():
    async def scenario(b):
        b.csms.delays["StartTransaction"] = 2000
        await b.online()
        await b.plug()
        b.csms.call("RemoteStartTransaction", {"idTag": "T"})
        await b.until(lambda: b.evse.permitted)
        record = b.store.get("tx1")
        assert 130 in record and 0 in record[-1:]  # the id, and the application's value
        await asyncio.sleep_ms(11_000)
        assert 7000 <= b.store.get("tx1")[-1] <= 10_000  # mWh: 10 s after the start, less the 2 s without power
        before = b.store.get("tx1")
        await asyncio.sleep_ms(50_000)
        assert b.store.get("tx1") == before
        await asyncio.sleep_ms(11_000)
        assert b.store.get("tx1")[-1] >= 60_000

    run_life(scenario)


def test_start_waits_until_the_application_is_ready():
    async def scenario(b):
        b.hooks.ready = False
        await b.online()
        b.csms.call("RemoteStartTransaction", {"idTag": "T"})
        await asyncio.sleep_ms(59_000)
        b.evse.is_plugged = True
        await asyncio.sleep_ms(3000)  # past the time-out of the claim: the vehicle is there
        assert b.connector.transaction is None and "StartTransaction" not in b.csms.story()
        b.hooks.ready = True
        await b.until(lambda: "Charging" in b.csms.story())

    run_life(scenario)


class Failing(RamStore):
    """A store whose next `left` calls of a method raise."""

    def __init__(self, method, error):
        super().__init__()
        self.left = 0
        self._method = method
        self._error = error

    def append(self, *words):
        return self._do("append", super().append, *words)

    def put(self, *words):
        return self._do("put", super().put, *words)

    def _do(self, method, action, *words):
        if method == self._method and self.left > 0:
            self.left -= 1
            raise self._error
        return action(*words)


def test_storage_that_fails_at_the_end_loses_no_message():
    failures = (("append", MemoryError()), ("append", OSError(28)), ("put", OSError(5)), ("put", TypeError()))
    for method, error in failures:
        for times in (1, 2, 100):
            store = Failing(method, error)

            async def scenario(b, store=store, times=times):
                await b.session()
                await b.until(lambda: b.csms.story()[-1] == "MeterValues")
                store.left = times
                b.connector.stop("Local")
                await b.until(lambda: "StopTransaction" in b.csms.story())
                end = b.csms.story()[b.csms.story().index("Charging") + 1 :]
                assert end == ["MeterValues"] * 2 + ["SessionSummary", "Finishing", "StopTransaction"], end
                store.left = 0
                await asyncio.sleep_ms(1000)
                assert b.connector.transaction is None and b.store.pending() == []

            run_life(scenario, store=store)


def test_a_record_that_cannot_be_forgotten_at_once_ends_no_session_again():
    for times in (1, 20):
        store = RamStore()

        async def first(b, times=times):
            await b.session()
            put = b.store.put
            failed = []

            def fails(name, value, urgent=True):
                if name == "tx1" and value is None and len(failed) < times:
                    failed.append(name)
                    raise MemoryError
                put(name, value, urgent)

            b.store.put = fails
            b.connector.stop("Local")
            await b.until(lambda: "StopTransaction" in b.csms.story())
            await b.until(lambda: b.connector.transaction is None)
            b.store.put = put

        async def second(b):
            b.cp.restore()
            b.start()
            await asyncio.sleep_ms(5000)
            assert b.csms.calls("StopTransaction") == [] and "SessionSummary" not in b.csms.story()

        run_life(first, store=store)
        run_life(second, store=store)


def test_a_dead_store_does_not_keep_the_connector():
    async def scenario(b):
        await b.session()
        put = b.store.put

        def fails(name, value, urgent=True):
            if name == "tx1" and value is None:
                raise OSError(5)
            put(name, value, urgent)

        b.store.put = fails
        b.connector.stop("Local")
        await b.until(lambda: b.connector.transaction is None, 5000)
        assert b.csms.calls("StopTransaction") and b.csms.story().count("SessionSummary") == 1

    run_life(scenario)


def test_a_hook_that_fails_at_the_end_is_passed_over():
    async def scenario(b):
        await b.session()

        def fails(connector, tx):
            raise ValueError("bug")

        b.hooks.session_ended = fails
        b.connector.stop("Local")
        await b.until(lambda: "StopTransaction" in b.csms.story())
        assert b.csms.story()[-3:] == ["MeterValues", "Finishing", "StopTransaction"]
        assert [line for line in b.log.lines if line[0] == "E"] == [("E", "ocpp", "ValueError: bug")] * 2

    run_life(scenario)


def test_a_hook_that_fails_once_at_the_end_is_asked_again():
    for hook in ("session_ended", "checkpoint"):

        async def scenario(b, hook=hook):
            await b.session()
            await b.until(lambda: b.csms.story()[-1] == "MeterValues")
            real = getattr(b.hooks, hook)

            asked = []

            def fails(connector, tx):
                asked.append(tx)
                if len(asked) == 1:
                    raise MemoryError
                return real(connector, tx)

            setattr(b.hooks, hook, fails)
            b.connector.stop("Local")
            await b.until(lambda: "StopTransaction" in b.csms.story())
            end = b.csms.story()[b.csms.story().index("Charging") + 1 :]
            assert end == ["MeterValues"] * 2 + ["SessionSummary", "Finishing", "StopTransaction"], end

        run_life(scenario)


def test_a_start_that_fails_half_way_is_no_start():
    async def scenario(b):
        await b.online(supervised=True)
        await b.plug()
        real = b.evse.energy_wh

        def fails():
            raise MemoryError

        b.evse.energy_wh = fails
        b.connector.claim("T")
        await asyncio.sleep_ms(5000)
        assert b.connector.transaction is None and b.evse.switches == [] and b.connector.id_tag == "T"
        b.evse.energy_wh = real
        await b.until(lambda: "Charging" in b.csms.story())
        assert len(b.csms.calls("StartTransaction")) == 1

    run_life(scenario)


def test_records_of_another_shape_do_not_stop_a_start():
    good = RamStore()

    async def first(b):
        await b.session()

    run_life(first, store=good)
    record = good.get("tx1")
    wrong = [5, "x", {}, [], [1], [None] * len(record), record + [1], {"id": 1}]
    for i in range(len(record) - 1):
        changed = list(record)
        changed[i] = {}
        wrong.append(changed)
    for value in wrong:
        store = RamStore()
        store.put("tx1", value)

        async def again(b):
            b.cp.restore()
            await b.online()
            assert b.store.get("tx1") is None and [line[0] for line in b.log.lines[:1]] == ["E"]

        run_life(again, store=store)
