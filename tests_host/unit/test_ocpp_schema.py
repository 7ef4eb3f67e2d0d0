"""ocpp16.schema: which bad payload gets which code. The tables themselves: tests_host/ocpp/test_ocpp_schemas.py."""

from ocpp16 import actions, schema
from ocpp16.rpc import OcppError

MISSING = "OccurenceConstraintViolation"  # the spelling of 1.6
TYPE = "TypeConstraintViolation"
VALUE = "PropertyConstraintViolation"
STRUCTURE = "FormationViolation"


def _code(check, action, payload):
    try:
        assert check(action, payload) is None
    except OcppError as exc:
        assert exc.description and len(exc.description) < 255, exc.description
        return exc.code, exc.description
    return None, ""


def _request(action, payload, want, field=""):
    code, text = _code(schema.check_request, action, payload)
    assert code == want, (action, payload, code, text)
    assert text.startswith(field), (action, payload, text)


def _response(action, payload, want, field=""):
    code, text = _code(schema.check_response, action, payload)
    assert code == want, (action, payload, code, text)
    assert text.startswith(field), (action, payload, text)


def _profile():
    return {
        "chargingProfileId": 1,
        "stackLevel": 0,
        "chargingProfilePurpose": "TxProfile",
        "chargingProfileKind": "Absolute",
        "chargingSchedule": {
            "chargingRateUnit": "A",
            "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 16}, {"startPeriod": 60, "limit": 7.3}],
        },
    }


def test_known_actions():
    assert actions.known("Reset") == ("core", actions.DOWN)
    assert actions.known("Authorize") == ("core", actions.UP)
    assert actions.known("DataTransfer") == ("core", actions.BOTH)
    assert actions.known("TriggerMessage") == ("remote_trigger", actions.DOWN)
    assert actions.known("SignedUpdateFirmware") == ("security", actions.DOWN)
    for name in (
        "",
        " ",
        "reset",
        "Reset ",
        " Reset",
        "Reset\n",
        "Authorize BootNotification",
        "RequestStartTransaction",
    ):
        assert actions.known(name) is None, name


def test_unknown_and_foreign_actions():
    _request("Foo", {}, "NotImplemented")
    _request("", {}, "NotImplemented")
    _request("reset", {"type": "Soft"}, "NotImplemented")
    _request("BootNotification", {}, "NotSupported")  # only a charge point sends it
    _request("SignCertificate", {"csr": "x"}, "NotSupported")


def test_empty_requests():
    for action in ("ClearCache", "GetLocalListVersion", "GetConfiguration", "ClearChargingProfile"):
        _request(action, {}, None)
    _request("ClearCache", {"x": 1}, STRUCTURE, "x: ")
    _request("ClearCache", {"-": 1}, STRUCTURE, "-: ")


def test_payload_itself():
    for payload in (None, [], "x", 1, True, ()):
        _request("ClearCache", payload, STRUCTURE)
        _response("Heartbeat", payload, STRUCTURE)


def test_missing():
    _request("Reset", {}, MISSING, "type: ")
    _request("ChangeConfiguration", {"key": "x"}, MISSING, "value: ")
    _request("ChangeConfiguration", {"value": "x"}, MISSING, "key: ")


def test_unknown_fields():
    _request("Reset", {"type": "Soft", "x": 1}, STRUCTURE, "x: ")
    _request("Reset", {"type": "Soft", "type!": 1}, STRUCTURE, "type!: ")
    _request("Reset", {"type": "Soft", "Type": "Soft"}, STRUCTURE, "Type: ")
    _request("Reset", {"type": "Soft", "": 1}, STRUCTURE)
    _request("Reset", {"type": "Soft", 7: 1}, STRUCTURE, "7: ")
    _request("Reset", {"type": "Soft", "y" * 9000: 1}, STRUCTURE, "y" * 40)
    profile = _profile()
    profile["chargingSchedule"]["chargingSchedulePeriod"][1]["x"] = None
    where = "csChargingProfiles.chargingSchedule.chargingSchedulePeriod[1].x: "
    _request("SetChargingProfile", {"connectorId": 1, "csChargingProfiles": profile}, STRUCTURE, where)


def test_types():
    for value in ("1", 1.0, 1e2, True, False, None, [], [1], {}):
        _request("RemoteStopTransaction", {"transactionId": value}, TYPE, "transactionId: not an integer")
    for value in (1, 1.0, True, None, [], {}, ["x"]):
        _request("ChangeConfiguration", {"key": value, "value": "x"}, TYPE, "key: not a string")
        _request("Reset", {"type": value}, TYPE, "type: not a string")
        _request("CancelReservation", {"reservationId": 1, "x": 1}, STRUCTURE)
        _request("UpdateFirmware", {"location": value, "retrieveDate": "2026-01-21T09:52:30Z"}, TYPE, "location: ")
        _request("UpdateFirmware", {"location": "ftp://h/f", "retrieveDate": value}, TYPE, "retrieveDate: ")
    for value in ("x", 1, {}, None, True):
        _request("GetConfiguration", {"key": value}, TYPE, "key: not a list")
    for value in ("x", 1, [], None, True):
        payload = {"connectorId": 1, "csChargingProfiles": value}
        _request("SetChargingProfile", payload, TYPE, "csChargingProfiles: not an object")
    _request("GetConfiguration", {"key": ["a", 5]}, TYPE, "key[1]: not a string")
    _request("DataTransfer", {"vendorId": "v", "data": {"soc": 1}}, TYPE, "data: ")


def test_null_is_not_absent_in_requests():
    _request("DataTransfer", {"vendorId": "v", "messageId": None}, TYPE, "messageId: ")


def test_string_limits():
    _request("ChangeConfiguration", {"key": "k" * 50, "value": "v" * 500}, None)
    _request("ChangeConfiguration", {"key": "é" * 50, "value": ""}, None)  # characters, not bytes
    _request("ChangeConfiguration", {"key": "k" * 51, "value": "v"}, VALUE, "key: longer than 50")
    _request("ChangeConfiguration", {"key": "k", "value": "v" * 501}, VALUE, "value: longer than 500")
    _request("RemoteStartTransaction", {"idTag": "t" * 20}, None)
    _request("RemoteStartTransaction", {"idTag": "t" * 21}, VALUE, "idTag: ")
    _request("GetConfiguration", {"key": ["a", "k" * 51]}, VALUE, "key[1]: ")
    _request("CertificateSigned", {"certificateChain": "c" * 10000}, None)
    _request("CertificateSigned", {"certificateChain": "c" * 10001}, VALUE)
    _request("DataTransfer", {"vendorId": "v", "data": "d" * 20000}, None)


def test_enums():
    for value in ("Hard", "Soft"):
        _request("Reset", {"type": value}, None)
    for value in (
        "hard",
        "HARD",
        "",
        " ",
        "=",
        "Hard ",
        " Hard",
        "Hard Soft",
        "=\xa0Hard",
        "Har",
        "Hard\n",
        "x" * 9000,
    ):
        _request("Reset", {"type": value}, VALUE, "type: not one of Hard Soft")


def test_ranges():
    for action, more in (
        ("ChangeAvailability", {"type": "Operative"}),
        ("GetCompositeSchedule", {"duration": 60}),
        ("TriggerMessage", {"requestedMessage": "StatusNotification"}),
        ("ReserveNow", {"expiryDate": "2026-01-21T09:52:30Z", "idTag": "T", "reservationId": -7}),
        ("UnlockConnector", {}),
        ("RemoteStartTransaction", {"idTag": "T"}),
    ):
        least = 1 if action == "RemoteStartTransaction" else 0
        payload = dict(more)
        payload["connectorId"] = least
        _request(action, payload, None)
        payload["connectorId"] = least - 1
        _request(action, payload, VALUE, "connectorId: out of range")
    for value in (0, -1, 1 << 30, 1784791914, (1 << 53) - 1, 1 - (1 << 53)):
        _request("RemoteStopTransaction", {"transactionId": value}, None)
    for value in (1 << 53, -(1 << 53), 10**300):
        _request("RemoteStopTransaction", {"transactionId": value}, VALUE, "transactionId: ")


def test_limit_has_one_decimal():
    profile = _profile()
    periods = profile["chargingSchedule"]["chargingSchedulePeriod"]
    payload = {"connectorId": 0, "csChargingProfiles": profile}
    for value in (0, 16, -1, 6.0, 7.5, 7.3, 0.1, 0.3, 16.1, 31.9, 99.9, 1999.9, 22000.1, 1e3):
        periods[1]["limit"] = value
        _request("SetChargingProfile", payload, None)
    infinity = float("inf")
    for value in (7.55, 0.01, 0.05, 16.05, 31.99, 1999.95, infinity, -infinity, infinity - infinity, 10**400):
        periods[1]["limit"] = value
        _request(
            "SetChargingProfile", payload, VALUE, "csChargingProfiles.chargingSchedule.chargingSchedulePeriod[1].limit"
        )
    for value in ("7.5", None, True, [7]):
        periods[1]["limit"] = value
        _request("SetChargingProfile", payload, TYPE)


def test_lists():
    _request("GetConfiguration", {"key": []}, None)
    _request("SendLocalList", {"listVersion": 1, "updateType": "Full", "localAuthorizationList": []}, None)
    entries = [{"idTag": "A"}, {"idTag": "B", "idTagInfo": {"status": "Accepted"}}]
    payload = {"listVersion": 1, "updateType": "Full", "localAuthorizationList": entries}
    _request("SendLocalList", payload, None)
    entries[1]["idTagInfo"]["status"] = "Ok"
    _request("SendLocalList", payload, VALUE, "localAuthorizationList[1].idTagInfo.status: ")
    entries[1] = "B"
    _request("SendLocalList", payload, TYPE, "localAuthorizationList[1]: ")
    profile = _profile()
    profile["chargingSchedule"]["chargingSchedulePeriod"] = []
    _request("SetChargingProfile", {"connectorId": 1, "csChargingProfiles": profile}, MISSING, "csChargingProfiles.")


def test_date_times_and_uris():
    for value, want in (
        ("2026-01-21T09:52:30.123456789+02:00", None),
        ("9999-12-31T23:59:59Z", None),
        ("2026-02-30T00:00:00Z", VALUE),
        ("tomorrow", VALUE),
        ("", VALUE),
    ):
        _request("UpdateFirmware", {"location": "https://h/f", "retrieveDate": value}, want)
    for value, want in (("", VALUE), (":x", VALUE), ("file.bin", VALUE), ("ftp://h/f", None)):
        _request("GetDiagnostics", {"location": value}, want)


def test_remote_start_with_profile():
    payload = {"idTag": "T", "connectorId": 1, "chargingProfile": _profile()}
    _request("RemoteStartTransaction", payload, None)
    payload["chargingProfile"]["recurrencyKind"] = "Monthly"
    _request("RemoteStartTransaction", payload, VALUE, "chargingProfile.recurrencyKind: not one of Daily Weekly")


def test_responses():
    _response("Heartbeat", {"currentTime": "2026-01-21T09:52:30Z"}, None)
    _response("Heartbeat", {"currentTime": "soon"}, VALUE, "currentTime: ")
    _response("Heartbeat", {"currentTime": None}, TYPE, "currentTime: ")
    _response("Heartbeat", {}, MISSING, "currentTime: ")
    _response("StatusNotification", {}, None)
    _response("StopTransaction", {}, None)
    boot = {"status": "Accepted", "currentTime": "2026-01-21T09:52:30Z", "interval": 300}
    _response("BootNotification", boot, None)
    for key, value, want in (
        ("interval", "300", TYPE),
        ("interval", 300.0, TYPE),
        ("interval", True, TYPE),
        ("status", "accepted", VALUE),
        ("status", None, TYPE),
        ("x", 1, None),
    ):
        payload = dict(boot)
        payload[key] = value
        _response("BootNotification", payload, want)
    start = {"transactionId": 0, "idTagInfo": {"status": "Blocked"}}
    _response("StartTransaction", start, None)
    _response("StartTransaction", {"status": "Accepted"}, MISSING)
    _response("StartTransaction", {"transactionId": 1, "idTagInfo": {}}, MISSING, "idTagInfo.status: ")
    _response("StartTransaction", {"transactionId": None, "idTagInfo": {"status": "Accepted"}}, TYPE)
    _response("StartTransaction", {"transactionId": 1, "idTagInfo": []}, TYPE)
    _response("Authorize", {"idTagInfo": {"status": "Unknown"}}, VALUE)
    _response("SignCertificate", {"status": "Accepted"}, None)


def test_lenient_responses():
    _response("StatusNotification", {"status": "Accepted"}, None)
    info = {"status": "Accepted", "parentIdTag": None, "expiryDate": None, "extra": []}
    _response("Authorize", {"idTagInfo": info}, None)
    _response("Authorize", {"idTagInfo": {"status": "Accepted", "parentIdTag": "p" * 36}}, None)
    _response("Authorize", {"idTagInfo": {"status": "Accepted", "expiryDate": "9999-12-31T00:00:00"}}, None)
    _response("Authorize", {"idTagInfo": {"status": "Accepted", "expiryDate": "never"}}, VALUE)
    _response("Authorize", {"idTagInfo": {"status": "Accepted", "parentIdTag": 5}}, TYPE)
    _response("StopTransaction", {"idTagInfo": None}, None)
    _response("DataTransfer", {"status": "Rejected", "data": {"a": 1}}, None)
    _response("DataTransfer", {"status": "rejected"}, VALUE)


def test_profile_left_out():
    """A build without SmartCharging and Reservation, whose modules are not there: nobody looks at what they get."""
    real = schema._table
    without = ("smart_charging", "reservation")
    schema._table = lambda tables, profile: "" if profile in without else real(tables, profile)
    try:
        _request("SetChargingProfile", {}, None)
        _request("ReserveNow", {"x": 1}, None)
        _request("RemoteStartTransaction", {"idTag": "T", "chargingProfile": {"x": 1}}, None)
        _request("RemoteStartTransaction", {"idTag": "T", "chargingProfile": 1}, TYPE)
        _request("Reset", {"type": "Soft"}, None)
    finally:
        schema._table = real
    assert schema._table({}, "no_such_profile") == ""


def test_profile_of_others():
    """What a charge point does not serve is not checked, though the build has its table; a wrong name still is."""
    for profiles, want in ((None, MISSING), (("core", "reservation"), MISSING), (("core",), None), ((), None)):
        code, _ = _code(
            lambda action, payload, rest=profiles: schema.check_request(action, payload, rest), "ReserveNow", {}
        )
        assert code == want, profiles
    for action, want in (("reserveNow", "NotImplemented"), ("Authorize", "NotSupported")):
        assert _code(lambda action, payload: schema.check_request(action, payload, ()), action, {})[0] == want


def test_each_module_is_loaded_once():
    loaded = []
    real = schema.cold

    def counting(name):
        loaded.append(name)
        return real(name)

    schema.cold = counting
    try:
        entry = {"idTag": "T", "idTagInfo": {"status": "Accepted", "expiryDate": "2026-01-21T09:52:30Z"}}
        rows = {"listVersion": 1, "updateType": "Full", "localAuthorizationList": [entry] * 40}
        _request("SendLocalList", rows, None)
        parts = ["ocpp16.actions", "ocpp16.messages.core", "ocpp16.messages.local_auth", "ocpp16.timeparse"]
        assert sorted(loaded) == parts
    finally:
        schema.cold = real


def test_payload_is_not_changed():
    payload = {"idTag": "T", "connectorId": 1, "chargingProfile": _profile()}
    schema.check_request("RemoteStartTransaction", payload)
    assert payload == {"idTag": "T", "connectorId": 1, "chargingProfile": _profile()}
