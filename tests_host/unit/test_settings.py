"""Settings: checks, presets, storage, and what damage to the file does."""

import json
import os

from fakes import FakeClock, FakeLog

from charger.files import is_whole, read_json, write_json
from charger.register import Register
from charger.settings import Settings
from charger.settings_table import RESTART, SECRET, check, row, rows

folder = None


def setup():
    global folder
    folder = "/tmp/settings-" + "".join("%02x" % b for b in os.urandom(6))
    os.mkdir(folder)


def teardown():
    for name in os.listdir(folder):
        os.remove(folder + "/" + name)
    os.rmdir(folder)


def fresh(presets=None):
    return Settings(folder, FakeLog(), presets)


def put(text, name="settings.json"):
    with open(folder + "/" + name, "w") as f:
        f.write(text)


def refused(call, *arguments):
    try:
        call(*arguments)
    except ValueError as exc:
        return str(exc)
    raise AssertionError("was accepted")


def test_schema_is_sound():
    names = [r[0] for r in rows()]
    assert len(set(names)) == len(names) > 30
    for r in rows():
        assert len(r) == 8 and r[7], r[0]
        assert check(r, r[2], text=False) == r[2], r[0]  # the default is allowed
        assert row(r[0]) == r
        assert r[1] in ("int", "bool", "text", "choice")
        assert r[5] & ~(SECRET | RESTART) == 0
    assert row("ocpp.authorization_key")[5] & SECRET
    assert all([r[1] == "text" for r in rows() if r[5] & SECRET]), "diagnostics hide texts"


def test_defaults_are_the_agreed_ones():
    settings = fresh()
    for name, value in (
        ("meter.register", "session"),
        ("vehicle.bms_timeout_ms", 3000),
        ("vehicle.session_timeout_ms", 8000),
        ("vehicle.bms_stop_ms", 3000),
        ("vehicle.info_wait_ms", 3000),
        ("power.window_low_mv", 56_000),
        ("power.window_high_mv", 85_500),
        ("power.current_scale_x10", 305),
        ("power.module_timeout_ms", 3000),
        ("power.derate_dc", 600),
        ("power.stop_dc", 700),
        ("power.off_deadline_ms", 2000),
        ("power.fault_hold_ms", 10_000),
        ("ocpp.check_hostname", True),
    ):
        assert settings.get(name) == value and settings.source(name) == "default", name


def test_unknown_name():
    settings = fresh()
    for call in (settings.get, settings.reset, lambda name: settings.set(name, 1)):
        try:
            for name in ("power.colour", "", "power", "ower.max_ma", "power.max_ma;int", 5):
                call(name)
        except KeyError:
            continue
        raise AssertionError


def test_stored_wins_over_preset_wins_over_default():
    settings = fresh({"power.max_ma": 20_000})
    assert settings.get("power.max_ma") == 20_000 and settings.source("power.max_ma") == "factory"
    settings.set("power.max_ma", 15_000)
    again = fresh({"power.max_ma": 20_000})
    assert again.get("power.max_ma") == 15_000 and again.source("power.max_ma") == "stored"
    again.reset("power.max_ma")
    assert fresh({"power.max_ma": 20_000}).get("power.max_ma") == 20_000
    assert fresh().get("power.max_ma") == 0


def test_values_are_checked():
    settings = fresh()
    for name, value in (
        ("power.max_ma", -1),
        ("power.max_ma", 400_001),
        ("power.max_ma", 1.5),
        ("power.max_ma", True),
        ("power.max_ma", None),
        ("power.max_ma", ""),
        ("power.max_ma", "-"),
        ("power.max_ma", "12x"),
        ("power.max_ma", "999999999999999999999"),
        ("power.max_ma", [1]),
        ("ocpp.check_hostname", 1),
        ("ocpp.check_hostname", "maybe"),
        ("meter.register", "weekly"),
        ("meter.register", 1),
        ("ocpp.identity", "x" * 49),
        ("ocpp.identity", "a\nb"),
        ("ocpp.identity", "\u00fc"),
        ("ocpp.vendor", ""),
        ("ocpp.url", "http://example"),
        ("ocpp.url", "ws://user:word@example/x"),
        ("ocpp.url", "wss://example/x?token=1"),
        ("ocpp.url", 5),
    ):
        text = refused(settings.set, name, value)
        assert name in text, (name, value, text)
        assert settings.source(name) == "default"
    assert "settings.json" not in os.listdir(folder)
    assert "from 0 to 400000 mA" in refused(settings.set, "power.max_ma", -1)


def test_text_from_a_console():
    settings = fresh()
    assert settings.set("power.max_ma", "12000") is True  # needs a restart
    settings.set("ocpp.check_hostname", "off")
    assert settings.get("power.max_ma") == 12_000 and settings.get("ocpp.check_hostname") is False


def test_pairs_stay_in_order():
    settings = fresh()
    assert "power.window_low_mv" in refused(settings.set, "power.window_low_mv", 85_500)
    assert "power.stop_dc" in refused(settings.set, "power.derate_dc", 700)
    refused(settings.set, "vehicle.session_timeout_ms", 2_999)
    settings.set("vehicle.session_timeout_ms", 3_000)
    settings.set("power.stop_dc", 900)
    settings.set("power.derate_dc", 800)
    assert "power.stop_dc" in refused(settings.reset, "power.stop_dc")
    assert settings.get("power.stop_dc") == 900


def test_contradicting_file_and_presets():
    put('{"power.derate_dc": 750, "power.max_ma": 5000}')
    settings = fresh()
    assert settings.get("power.derate_dc") == 600 and settings.get("power.max_ma") == 5000
    assert settings.ignored == 1
    settings = Settings(None, FakeLog(), {"power.window_low_mv": 90_000, "power.max_w": 3})
    assert settings.get("power.window_low_mv") == 56_000 and settings.get("power.max_w") == 3
    assert settings.ignored == 1


def test_damaged_values_are_left_out_one_by_one():
    put(
        json.dumps(
            {
                "power.max_ma": "12000",
                "power.max_mv": 80_000,
                "power.max_w": None,
                "colour": 1,
                "ocpp.vendor": "",
                "meter.register": ["session"],
                "ocpp.model": "M",
            }
        )
    )
    settings = fresh()
    assert settings.ignored == 5
    assert settings.get("power.max_mv") == 80_000 and settings.get("ocpp.model") == "M"
    assert settings.get("power.max_ma") == 0 and settings.get("ocpp.vendor") == "RivotMotors"
    assert len(settings.log.lines) == 5


def test_every_truncation_of_the_file():
    settings = fresh()
    settings.set("power.max_ma", 12_345)
    settings.set("ocpp.identity", 'a"}\\')
    with open(folder + "/settings.json") as f:
        whole = f.read()
    os.remove(folder + "/settings.json")
    for end in range(len(whole)):
        put(whole[:end])
        settings = fresh()
        assert settings.get("power.max_ma") == 0, whole[:end]  # never 12 or 1234
        assert settings.ignored == 1, whole[:end]
    put(whole)
    assert fresh().get("power.max_ma") == 12_345


def test_garbage_files():
    for text in ("", "\x00\x01", "[]", "5", '"x"', "{]", "}{", "x" * 10_000, "[" * 5000):
        put(text)
        settings = fresh()
        assert settings.get("power.max_ma") == 0 and settings.ignored >= 1, text[:20]
    with open(folder + "/settings.json", "wb") as f:
        f.write(b"\xff\xfe{}")
    assert fresh().ignored == 1


def test_last_good_copy_is_used_when_the_file_is_gone_or_damaged():
    fresh().set("power.max_ma", 12_000)
    fresh()  # a start that could read everything keeps the copy
    put('{"power.max_ma": 30')
    settings = fresh()
    assert settings.get("power.max_ma") == 12_000 and settings.ignored == 1
    os.remove(folder + "/settings.json")
    settings = fresh()
    assert settings.get("power.max_ma") == 12_000
    put("garbage", "settings.good.json")
    assert fresh().get("power.max_ma") == 0


def test_partly_damaged_file_does_not_become_the_good_copy():
    fresh().set("power.max_ma", 12_000)
    fresh()
    put('{"power.max_ma": "x", "power.max_w": 100}')
    fresh()
    assert read_json(folder + "/settings.good.json") == {"power.max_ma": 12_000}


def test_cut_while_writing_keeps_the_old_file():
    settings = fresh()
    settings.set("power.max_ma", 12_000)
    put('{"power.ma', "settings.json.tmp")  # what a cut leaves behind
    again = fresh()
    assert again.get("power.max_ma") == 12_000 and again.ignored == 0
    again.set("power.max_ma", 13_000)
    assert fresh().get("power.max_ma") == 13_000


def test_value_stays_when_it_cannot_be_stored():
    settings = Settings(folder + "/missing", FakeLog())
    try:
        settings.set("power.max_ma", 12_000)
    except OSError:
        assert settings.get("power.max_ma") == 0
        return
    raise AssertionError


def test_secrets_show_nowhere():
    settings = fresh({"ocpp.authorization_key": "hunter22hunter22"})
    put('{"ocpp.authorization_key": 5}')
    settings = fresh({"ocpp.authorization_key": "hunter22hunter22"})
    shown = repr(settings) + str(settings) + str(list(settings.export())) + str(settings.log.lines)
    assert "hunter22" not in shown
    assert ("ocpp.authorization_key", "(set)", "factory") in list(settings.export())
    assert settings.get("ocpp.authorization_key") == "hunter22hunter22"
    text = refused(settings.set, "ocpp.authorization_key", "hunter22" * 10)
    assert "hunter22" not in text
    assert len(list(settings.export())) == len(list(rows()))


def test_presets_of_any_shape():
    for presets in ([], "x", 5, {"power.max_ma": {}}, {5: 5}):
        settings = Settings(None, FakeLog(), presets)
        assert settings.get("power.max_ma") == 0


def test_ocpp_rows_fit_their_table():
    from charger.build import OCPP_ROWS
    from ocpp16.config import Configuration

    config = Configuration(lambda: OCPP_ROWS, {}, dict, lambda values: None)
    assert config.get("RivotDataTransferAttempts") == 3
    assert config.get("RivotDataTransferRetryInterval") == 2
    assert config.get("RivotDataTransferTimeout") == 10
    assert config.change("RivotDataTransferAttempts", "0") == "Rejected"
    assert config.change("RivotDataTransferAttempts", "5") == "Accepted"


def test_is_whole():
    for text in ('{"a":1}', "[1, 2]\n", '{"a":"}"}', '{"a":"\\"}"}', "{}"):
        assert is_whole(text), text
    for text in ("", "5", "{", '{"a":1', '{"a":{"b":1}', '{"a":"}', '{"a":"x\\"}', "}", "}{", '"}"', "{}x"):
        assert not is_whole(text), text
    for text in ("{]", "[}", '{"a":[1}]'):
        assert not is_whole(text), text


# -- the lifetime register


def test_register_is_written_once_a_minute_and_at_the_end():
    clock, path = FakeClock(), folder + "/meter.json"
    register = Register(path, clock, FakeLog(), 3_600)  # 1 mWh in 1 ms at full power
    assert register.load() == 0
    writes, before = 0, None
    for second in range(1, 201):
        register.update(second * 1000, True)
        now = read_json(path)
        writes += now != before
        before = now
        assert now[1] > second * 1000  # the mark is ahead of everything reported
        clock.advance(1000)
    assert writes == 4
    clock.advance(60_000)
    register.update(200_000, False)
    assert read_json(path) == [200_000, 200_000]


def test_register_after_a_power_cut_never_goes_back():
    clock, path = FakeClock(), folder + "/meter.json"
    register = Register(path, clock, FakeLog(), 3_600)
    register.load()
    register.update(1, True)
    clock.advance(59_000)
    register.update(59_000, True)  # reported, not written
    log = FakeLog()
    assert Register(path, clock, log, 3_600).load() >= 59_000
    assert any("while charging" in text for _, _, text in log.lines)


def test_register_after_a_power_cut_is_put_right_once():
    clock, path = FakeClock(), folder + "/meter.json"
    write_json(path, [10, 500])
    register = Register(path, clock, FakeLog(), 3_600)
    assert register.load() == 500
    register.update(500, False)
    assert read_json(path) == [500, 500]
    log = FakeLog()
    assert Register(path, clock, log, 3_600).load() == 500 and not log.lines


def test_register_mark_is_renewed_before_it_is_passed():
    clock, path = FakeClock(), folder + "/meter.json"
    register = Register(path, clock, FakeLog(), 100)  # much less than what really flows
    register.load()
    for step in range(1, 101):
        register.update(step * 1000, True)
        assert read_json(path)[1] > step * 1000
        clock.advance(100)


def test_register_of_an_idle_charger_writes_nothing():
    clock, path = FakeClock(), folder + "/meter.json"
    write_json(path, [5000, 5000])
    register = Register(path, clock, FakeLog(), 3_600)
    assert register.load() == 5000
    os.remove(path)
    for _ in range(1000):
        register.update(5000, False)
        clock.advance(1000)
    assert "meter.json" not in os.listdir(folder)


def test_register_file_damaged():
    path = folder + "/meter.json"
    for text in ("", "5", "[]", "[1]", "[1,2,3]", '["a","b"]', "[2,1]", "[-1,5]", "{}", "[1.5,2]"):
        put(text, "meter.json")
        log = FakeLog()
        assert Register(path, FakeClock(), log, 3_600).load() == 0, text
        assert log.lines, text


# -- secrets in a store of their own


class Store:
    """What hal/esp32_nvs.Secrets does; `broken` makes every call fail."""

    def __init__(self, **texts):
        self.texts = texts
        self.broken = False

    def get(self, name):
        if self.broken:
            raise OSError(-4354)
        return self.texts.get(name)

    def put(self, name, text):
        if self.broken:
            raise OSError(-4354)
        if text is None:
            self.texts.pop(name, None)
        else:
            self.texts[name] = text


def everything_in_files():
    found = ""
    for name in os.listdir(folder):
        with open(folder + "/" + name) as f:
            found += f.read()
    return found


def test_secrets_live_in_their_store_and_not_in_the_files():
    store = Store()
    settings = Settings(folder, FakeLog(), None, store)
    settings.set("wifi.password", "hunter2!")
    settings.set("wifi.ssid", "depot")
    assert store.texts == {"wifi.password": "hunter2!"}
    for _ in range(2):  # the second start also writes the good copy
        again = Settings(folder, FakeLog(), None, store)
        assert again.get("wifi.password") == "hunter2!" and again.get("wifi.ssid") == "depot"
        assert again.source("wifi.password") == "stored"
        assert "hunter2!" not in everything_in_files()
    again.reset("wifi.password")
    assert store.texts == {} and again.get("wifi.password") == ""
    assert Settings(folder, FakeLog(), None, store).get("wifi.ssid") == "depot"


def test_a_secret_that_is_in_the_file_moves():
    Settings(folder, FakeLog()).set("wifi.password", "hunter2!")
    Settings(folder, FakeLog())  # writes the good copy
    assert "hunter2!" in everything_in_files()
    store = Store()
    settings = Settings(folder, FakeLog(), None, store)
    assert settings.get("wifi.password") == "hunter2!" and store.texts == {"wifi.password": "hunter2!"}
    assert "hunter2!" not in everything_in_files()


def test_a_store_that_fails_costs_its_values_only():
    store = Store(**{"wifi.password": "hunter2!"})
    Settings(folder, FakeLog(), None, store).set("wifi.ssid", "depot")
    store.broken = True
    log = FakeLog()
    settings = Settings(folder, log, None, store)
    assert settings.get("wifi.ssid") == "depot" and settings.get("wifi.password") == ""
    assert settings.ignored and not [line for line in log.lines if "hunter2" in line[2]]
    try:
        settings.set("wifi.password", "other")
        raise AssertionError("said to be stored")
    except OSError:
        pass
    assert settings.get("wifi.password") == ""


def test_garbage_in_the_store_is_left_out():
    settings = Settings(folder, FakeLog(), None, Store(**{"wifi.password": "line\nfeed"}))
    assert settings.get("wifi.password") == "" and settings.ignored == 1
