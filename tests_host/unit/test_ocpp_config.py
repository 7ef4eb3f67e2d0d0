"""ocpp16.config and its tables. Source: OCPP 1.6 edition 2, sections 5.3, 5.8 and 9, with errata."""

import json

from fakes import FakeLog

from ocpp16 import access, config_answer, config_keys, config_keys_more, config_rows
from ocpp16.config import Configuration
from ocpp16.config_edit import Table
from ocpp16.errors import OcppError

A, R, N, B = "Accepted", "Rejected", "NotSupported", "RebootRequired"

_OF_LISTS = next(keys for name, _, keys in config_keys.OF_PROFILES if name == "local_auth")
_MORE = (config_keys.OFFLINE_ROWS, config_keys.ALIGNED_ROWS, config_keys.STOP_DATA_ROWS, _OF_LISTS)

MIXED = """\
ListMaxLength R int 2
Serial R str abc
Flag RW bool true
Number RW int 5 -3..10
Open RW int 5 1..
List RW csl x,y x|y|z
Same RW csl - =List
Name RW str - ..10
Secret W str - 4..8
Late RW int 1 0..9 reboot
"""


class Store:
    """Counts writes; fails when told."""

    def __init__(self, values=None):
        self.values = values
        self.writes = 0
        self.error = None

    def load(self):
        return self.values

    def save(self, values):
        if self.error is not None:
            raise self.error
        self.writes += 1
        self.values = dict(values)


def _mixed(store=None, presets=None, log=None):
    store = store or Store()
    return Configuration(lambda: (MIXED,), presets or {}, store.load, store.save, log), store


def _core(store=None, presets=None, connectors=1, more=(), log=None):
    store = store or Store()
    rows = tuple(more) + config_keys.core_rows(connectors, ("core", "our_own"))
    return Configuration(lambda: rows, presets or {}, store.load, store.save, log)


def _text(config, key):
    """The value on the wire."""
    return json.loads("".join(config_answer.answer(config, [key])))["configurationKey"][0]["value"]


def test_defaults_of_the_core_keys():
    config = _core()
    for key, value in (
        ("NumberOfConnectors", 1),
        ("SupportedFeatureProfiles", ("Core",)),
        ("MeterValueSampleInterval", 10),
        ("WebSocketPingInterval", 30),
        ("HeartbeatInterval", 300),
        ("ConnectionTimeOut", 60),
        ("MinimumStatusDuration", 0),
        ("TransactionMessageAttempts", 3),
        ("TransactionMessageRetryInterval", 60),
        ("StopTransactionOnInvalidId", True),
        ("AuthorizeRemoteTxRequests", False),
        ("UnlockConnectorOnEVSideDisconnect", False),
        (
            "MeterValuesSampledData",
            ("Energy.Active.Import.Register", "Power.Active.Import", "SoC", "Voltage", "Current.Import"),
        ),
        ("ConnectorPhaseRotation", ("0.Unknown", "1.Unknown")),
    ):
        assert config.get(key) == value and type(config.get(key)) is type(value), key
    assert config.get("BlinkRepeat") is None and config.get("BlinkRepeat", 3) == 3
    assert _text(config, "MeterValuesSampledData").startswith("Energy.Active.Import.Register,Power.Active.Import,SoC,")
    assert _text(config, "StopTransactionOnInvalidId") == "true"
    assert config.ignored == 0


def test_every_default_passes_its_own_check():
    rows = (
        config_keys.OFFLINE_ROWS,
        config_keys.CACHE_ROWS,
        config_keys.ALIGNED_ROWS,
        config_keys.STOP_DATA_ROWS,
        config_keys.RESET_ROWS,
        config_keys_more.LIGHT_ROWS,
        config_keys.SOCKET_ROWS,
        config_keys_more.SECURITY_ROWS,
        access.ROWS,
    ) + tuple([keys for _, _, keys in config_keys.OF_PROFILES])
    config = _core(more=rows)
    seen = 0
    for row in config_rows.each_once(config.rows()):
        if row[0] != "AuthorizationKey":  # has none
            assert Table(config).checked(row, row[3]) == config.get(row[0]) or row[0].startswith("UnlockConnector"), row
        assert row[1] in ("R", "RW", "W") and row[2] in ("bool", "int", "str", "csl") and row[5] in ("", "reboot")
        seen += 1
    assert seen > 45


def test_access_that_certification_expects():
    """Read-write and read-only keys of the certification's configuration case."""
    config = _core(more=_MORE + (config_keys.RESET_ROWS,))
    entries = {entry["key"]: entry for entry in json.loads("".join(config_answer.answer(config)))["configurationKey"]}
    for key in (
        "ClockAlignedDataInterval ConnectionTimeOut ConnectorPhaseRotation HeartbeatInterval LocalAuthorizeOffline"
        " LocalPreAuthorize MeterValuesAlignedData MeterValuesSampledData MeterValueSampleInterval ResetRetries"
        " StopTransactionOnInvalidId StopTxnAlignedData StopTxnSampledData TransactionMessageAttempts"
        " TransactionMessageRetryInterval LocalAuthListEnabled"
    ).split():
        assert entries[key]["readonly"] is False, key
    for key in "GetConfigurationMaxKeys NumberOfConnectors SupportedFeatureProfiles LocalAuthListMaxLength".split():
        assert entries[key]["readonly"] is True, key


def test_rows_of_profiles():
    store = Store()
    config = Configuration(lambda: config_keys.core_rows(2, ("core", "smart_charging")), {}, store.load, store.save)
    assert config.get("NumberOfConnectors") == 2
    assert _text(config, "SupportedFeatureProfiles") == "Core,SmartCharging"
    assert _text(config, "ChargingScheduleAllowedChargingRateUnit") == "Current,Power"
    assert _core().get("ChargeProfileMaxStackLevel") is None
    fewer = config_keys.core_rows(1, ("core",), ("Voltage", "Voltage.L1", "SoC"))
    config = Configuration(lambda: fewer, {}, store.load, store.save)
    assert _text(config, "MeterValuesSampledData") == "SoC,Voltage"
    assert config.change("MeterValuesSampledData", "Voltage.L1") == A
    assert config.change("MeterValuesSampledData", "Voltage.L2") == R
    none = config_keys.core_rows(1, (), ())
    assert _text(Configuration(lambda: none, {}, store.load, store.save), "MeterValuesSampledData") == ""


def test_change():
    config, store = _mixed()
    for key, text, want, value in (
        ("Number", "7", A, 7),
        ("Number", "-3", A, -3),
        ("Number", "007", A, 7),
        ("Number", "-0", A, 0),
        ("Number", "10", A, 10),
        ("Flag", "false", A, False),
        ("Flag", "TRUE", A, True),
        ("Flag", "False", A, False),
        ("List", "z", A, ("z",)),
        ("List", " z , x ", A, ("z", "x")),
        ("List", "", A, ()),
        ("List", "  ", A, ()),
        ("Same", "y", A, ("y",)),
        ("Name", "", A, ""),
        ("Name", "a b, é", A, "a b, é"),
        ("Secret", "hush", A, "hush"),
        ("Late", "2", B, 2),
        ("Open", "2147483648", A, 2147483648),
    ):
        assert config.change(key, text) == want, (key, text)
        assert config.get(key) == value, (key, text)
    assert _text(config, "Flag") == "false" and _text(config, "List") == "" and _text(config, "Number") == "10"
    again, _ = _mixed(store)
    for key in ("Number", "Flag", "List", "Same", "Name", "Secret", "Late", "Open"):
        assert again.get(key) == config.get(key), key
    assert again.ignored == 0


def test_refused_values_change_nothing():
    config, store = _mixed()
    for key, text in (
        ("Number", "11"),
        ("Number", "-4"),
        ("Number", ""),
        ("Number", "-"),
        ("Number", "+5"),
        ("Number", " 5"),
        ("Number", "5 "),
        ("Number", "5.0"),
        ("Number", "5e0"),
        ("Number", "0x5"),
        ("Number", "1_0"),
        ("Number", "--5"),
        ("Number", "٥"),
        ("Number", "five"),
        ("Number", 5),
        ("Number", None),
        ("Open", "0"),
        ("Open", "99999999999"),
        ("Flag", "1"),
        ("Flag", "yes"),
        ("Flag", ""),
        ("Flag", " true"),
        ("Flag", True),
        ("List", "w"),
        ("List", "x,w"),
        ("List", "X"),
        ("List", "x,"),
        ("List", ","),
        ("List", "x,,y"),
        ("List", "x,x"),
        ("List", "x|y"),
        ("List", "x,y,z"),  # ListMaxLength is 2
        ("Same", "w"),
        ("Name", "12345678901"),
        ("Secret", "abc"),
        ("Secret", "123456789"),
        ("Serial", "abc"),  # read-only, even with its own value
        ("ListMaxLength", "3"),
        ("Late", "10"),
    ):
        assert config.change(key, text) == R, (key, text)
    assert config.change("Nothing", "1") == N
    assert config.change("", "1") == N
    assert store.writes == 0
    fresh, _ = _mixed()
    assert config_answer.answer(config) == config_answer.answer(fresh)


def test_any_letter_case():
    config, _ = _mixed()
    assert config.change("nUMBER", "9") == A and config.get("Number") == 9
    got = json.loads("".join(config_answer.answer(config, ["NUMBER", "number", "Number"])))
    assert got == {"configurationKey": [{"key": "Number", "readonly": False, "value": "9"}]}


def test_500_characters():
    store = Store()
    config = Configuration(lambda: ("Text RW str -",), {}, store.load, store.save)
    assert config.change("Text", "é" * 500) == A
    assert config.change("Text", "e" * 501) == R


def test_sampled_data():
    config = _core(more=(config_keys.STOP_DATA_ROWS, config_keys.ALIGNED_ROWS))
    before = config.get("MeterValuesSampledData")
    for text in ("Power.Factor", "Voltage,Frequency", "Voltage.L1", "voltage", "Energy", "Voltage,Voltage"):
        for key in ("MeterValuesSampledData", "StopTxnSampledData", "MeterValuesAlignedData", "StopTxnAlignedData"):
            assert config.change(key, text) == R, (key, text)
    assert config.get("MeterValuesSampledData") == before
    assert config.change("MeterValuesSampledData", "SoC, Voltage") == A
    assert config.change("StopTxnSampledData", "SoC") == A
    assert config.change("StopTxnSampledData", "") == A
    assert config.change("MeterValuesSampledData", "Current.Offered,Power.Offered,Temperature") == A
    assert config.change("MeterValuesSampledData", "SoC, Voltage") == A
    assert _text(config, "MeterValuesSampledData") == "SoC,Voltage"


def test_sampled_data_length_limit():
    config = _core(presets={"MeterValuesSampledDataMaxLength": "2"})
    assert config.change("MeterValuesSampledData", "SoC,Voltage") == A
    assert config.change("MeterValuesSampledData", "SoC,Voltage,Current.Import") == R


def test_phase_rotation():
    config = _core(connectors=2)
    for text, want in (
        ("0.RST,1.RTS,2.SRT", A),
        ("1.NotApplicable", A),
        ("0.Unknown, 2.TSR", A),
        ("", A),
        ("3.RST", R),
        ("-1.RST", R),
        ("01.RST", R),
        ("1.rst", R),
        ("1.RRT", R),
        ("1.", R),
        ("1", R),
        (".RST", R),
        ("RST", R),
        ("1.RST.", R),
        ("1.RST,1.RTS", R),
    ):
        assert config.change("ConnectorPhaseRotation", text) == want, text


def test_bounds_of_core_keys():
    config = _core()
    for key, text, want in (
        ("WebSocketPingInterval", "-1", R),
        ("WebSocketPingInterval", "0", A),
        ("MeterValueSampleInterval", "-1", R),
        ("MeterValueSampleInterval", "0", A),
        ("HeartbeatInterval", "0", R),
        ("HeartbeatInterval", "432000", A),
        ("HeartbeatInterval", "432001", R),
        ("ConnectionTimeOut", "0", R),
        ("TransactionMessageAttempts", "0", R),
        ("TransactionMessageRetryInterval", "0", A),
        ("MessageTimeout", "0", R),
        ("NumberOfConnectors", "1", R),
        ("SupportedFeatureProfiles", "Core", R),
        ("UnlockConnectorOnEVSideDisconnect", "true", R),
    ):
        assert config.change(key, text) == want, (key, text)
    assert _core(more=(config_keys.SOCKET_ROWS,)).change("UnlockConnectorOnEVSideDisconnect", "false") == A


def test_same_value_writes_nothing():
    config, store = _mixed()
    assert config.change("Number", "5") == A and store.writes == 0
    assert config.change("Number", "6") == A and store.writes == 1
    assert config.change("Number", "6") == A and config.change("Number", "06") == A and store.writes == 1
    assert config.change("List", "x, y") == A and store.writes == 1
    assert config.change("Number", "5") == A and store.writes == 2  # back to the default is a change
    assert store.values == {"Number": "5"}
    again, _ = _mixed(store, {"Number": "7"})
    assert again.get("Number") == 5  # what the central system wrote is stronger than a preset


def test_storage_failure():
    for error in (OSError(28), MemoryError(), ValueError("full")):
        log = FakeLog()
        config, store = _mixed(log=log)
        heard = []
        config.on_change("Number", lambda key, value, heard=heard: heard.append(value))
        assert config.change("Number", "6") == A
        store.error = error
        assert config.change("Number", "7") == R
        assert config.get("Number") == 6 and heard == [6] and len(log.lines) == 1
        assert config.change("Number", "6") == A  # needs no write
        store.error = None
        assert config.change("Name", "x") == A
        assert store.values == {"Number": "6", "Name": "x"}


def test_listeners():
    log = FakeLog()
    config, store = _mixed(log=log)
    heard = []

    def hears(key, value):
        heard.append((key, value, store.values))

    def breaks(key, value):
        raise RuntimeError("listener")

    config.on_change("Number", breaks)
    config.on_change("Number", hears)
    assert config.change("Number", "6") == A
    assert heard == [("Number", 6, {"Number": "6"})]  # after the write
    assert config.get("Number") == 6 and len(log.lines) == 1
    config.change("Number", "6")
    config.change("Number", "99")
    config.change("Flag", "false")
    assert len(heard) == 1
    quiet, _ = _mixed()
    quiet.on_change("Number", breaks)
    assert quiet.change("Number", "6") == A and quiet.get("Number") == 6


def test_listener_may_change_another_key():
    config, store = _mixed()
    config.on_change("Number", lambda key, value: config.change("Flag", "false"))
    assert config.change("Number", "6") == A
    assert store.values == {"Number": "6", "Flag": "false"} and config.get("Flag") is False


def test_set_internal():
    config, store = _mixed()
    heard = []
    config.on_change("Number", lambda key, value: heard.append(value))
    assert config.set_internal("Number", "7") and heard == [7]
    assert config.set_internal("Number", "7") and heard == [7]
    assert config.set_internal("Serial", "xyz") and config.get("Serial") == "xyz"
    for key, text in (("Number", "11"), ("Number", 7), ("Nothing", "1")):
        assert not config.set_internal(key, text)
    assert config.get("Number") == 7 and store.writes == 0
    assert config.change("Flag", "false") == A and store.values == {"Flag": "false"}


def test_what_was_written_stays_over_an_internal_value():
    config, store = _mixed()
    assert config.change("Number", "6") == A
    config.set_internal("Number", "9")
    assert config.change("Number", "9") == A  # in use already, but not yet what is stored
    assert store.values == {"Number": "9"}
    config.set_internal("Number", "1")
    assert config.change("Flag", "false") == A
    assert store.values == {"Number": "9", "Flag": "false"}


def test_presets():
    log = FakeLog()
    presets = {
        "Number": "8",
        "Serial": "S1",
        "ListMaxLength": "1",
        "List": "z",
        "Flag": "maybe",
        "Open": 7,
        "number": "3",
        "Nothing": "1",
        "Secret": "abcd",
    }
    config, store = _mixed(presets=presets, log=log)
    assert (config.get("Number"), config.get("Serial"), config.get("List")) == (8, "S1", ("z",))
    assert (config.get("Flag"), config.get("Open"), config.get("Secret")) == (True, 5, "abcd")
    assert config.ignored == 4 and len(log.lines) == 1 and "abcd" not in log.lines[0][2]
    assert store.writes == 0
    config, _ = _mixed(presets={"List": "x,y", "ListMaxLength": "1"})
    assert config.ignored == 1 and config.get("ListMaxLength") == 1
    for bad in ([], "x", 5, ["Number"]):
        config = Configuration(lambda: (MIXED,), bad, Store().load, Store().save)
        assert config.get("Number") == 5 and config.ignored == 1, bad


def test_stored_garbage():
    for bad in ([], "x", 5, True, ["Number"]):
        config, _ = _mixed(Store(bad))
        assert config.get("Number") == 5 and config.ignored == 1
    config, _ = _mixed(Store(None))
    assert config.ignored == 0
    stored = {"Number": "99", "Flag": False, "List": "q", "Serial": "hacked", 5: "x", "": "", "Old": "1", "Open": "6"}
    store = Store(stored)
    config, _ = _mixed(store, {"Number": "7"})
    assert (config.get("Number"), config.get("Flag"), config.get("Serial")) == (7, True, "abc")
    assert config.get("Open") == 6 and config.ignored == 7
    assert config.change("Name", "n") == A
    assert store.values == {"Open": "6", "Name": "n"}  # the next write drops it


def test_get_configuration():
    config, _ = _mixed()
    everything = json.loads("".join(config_answer.answer(config)))
    assert everything == json.loads("".join(config_answer.answer(config, [])))
    assert list(everything) == ["configurationKey"]
    keys = [entry["key"] for entry in everything["configurationKey"]]
    assert len(set(keys)) == len(keys) == 9 and "Secret" not in keys
    assert {"key": "Flag", "readonly": False, "value": "true"} in everything["configurationKey"]
    assert {"key": "Serial", "readonly": True, "value": "abc"} in everything["configurationKey"]
    assert {"key": "Same", "readonly": False, "value": ""} in everything["configurationKey"]
    assert "".join(config_answer.answer(config, ["Nope"])) == '{"unknownKey":["Nope"]}'
    assert json.loads("".join(config_answer.answer(config, ["Nope", 'a"\\\n', "Flag", "Nope", "FLAG", ""]))) == {
        "configurationKey": [{"key": "Flag", "readonly": False, "value": "true"}],
        "unknownKey": ["Nope", 'a"\\\n', ""],
    }
    assert " " not in "".join(config_answer.answer(config))


def test_secrets_are_not_read():
    config, _ = _mixed()
    assert config.change("Secret", "hush123") == A
    assert "hush" not in "".join(config_answer.answer(config))
    asked = "".join(config_answer.answer(config, ["secret"]))
    assert json.loads(asked) == {"configurationKey": [{"key": "Secret", "readonly": False}]}
    assert config.get("Secret") == "hush123"


def test_values_are_escaped():
    config, _ = _mixed()
    assert config.change("Name", 'a"\\\n\x01é') == A
    assert json.loads("".join(config_answer.answer(config, ["Name"])))["configurationKey"][0]["value"] == 'a"\\\n\x01é'


def test_too_many_keys():
    config, _ = _mixed()
    assert len(json.loads("".join(config_answer.answer(config, ["k%d" % i for i in range(250)])))["unknownKey"]) == 250
    try:
        config_answer.answer(config, ["k"] * 251)
    except OcppError as exc:
        assert exc.code == "OccurenceConstraintViolation"
    else:
        raise AssertionError


def test_all_keys_fit_the_limits_of_the_message():
    config = _core(more=_MORE + (config_keys_more.SECURITY_ROWS,))
    text = "".join(config_answer.answer(config))
    for entry in json.loads(text)["configurationKey"]:
        assert len(entry["key"]) <= 50 and len(entry["value"]) <= 500 and type(entry["readonly"]) is bool
    assert len(text) < 6000


def test_first_row_of_a_name_counts():
    store = Store()
    config = Configuration(lambda: ("A RW int 1 0..5", "A RW int 7 0..9\nB R int 2"), {}, store.load, store.save)
    assert config.get("A") == 1 and config.change("A", "6") == R and config.change("A", "5") == A
    assert config.get("B") == 2
    assert len(json.loads("".join(config_answer.answer(config)))["configurationKey"]) == 2
    rows = ("A RW int 1 0..5", "A RW int 7 0..9")
    assert Configuration(lambda: rows, {"A": "8"}, store.load, store.save).ignored == 1
