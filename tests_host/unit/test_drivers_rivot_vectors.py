"""All frames of vectors/charger_can.jsonl through the drivers of their bus, against the signals of the DBC."""

import json

from fakes import FakeCan, FakeClock

from drivers.bms.rivot_can import RivotBms
from drivers.can import FLAG_EXT, FLAG_RTR
from drivers.power.rivot_can import RivotModule

_PATH = __file__.rsplit("/", 1)[0] + "/vectors/charger_can.jsonl"
SOURCES = ("none", "ah_counters", "request_frame", "daly")
EITHER = ("ah_charge_dlc4",)  # the DBC wants 8 bytes; four hold the whole counter and are accepted
TO_BMS = ("ChargerStatus", "BMS_ChargeAhRequest", "BMS_DischargeAhRequest", "BMS_SocRequest")


def vectors():
    with open(_PATH) as lines:
        for line in lines:
            row = json.loads(line)
            row["flags"] = (FLAG_EXT if row["ext"] else 0) | (FLAG_RTR if row["rtr"] else 0)
            row["bytes"] = bytes(int(row["data"][i : i + 2], 16) for i in range(0, len(row["data"]), 2))
            row["id"] = int(row["id"], 16)
            yield row


def milli(value):
    """A physical value of the vectors in 1/1000, as the nearest integer; None if it is no finite number."""
    if isinstance(value, str):
        return None
    return int(value * 1000 + (0.5 if value >= 0 else -0.5))


def near(got, wanted):
    return got is not None and abs(got - wanted) <= 1


def bms_state(bms):
    return (
        bms.is_alive(), bms.silent_ms(), bms.permits(), bms.max_mv, bms.max_ma, bms.soc, bms.pack_mv,
        bms.temperature_dc, bms.capacity_ah, bms.heating,
    )  # fmt: skip


def module_state(module):
    return (
        module.is_off(), module.echo_on, module.echo_mv, module.echo_ma,
        module.terminal_mv(), module.terminal_ma(), module.module_mv(), module.is_charging(),
        module.temperature_dc(), module.temperature_fault(), module.is_healthy(), module.refused,
    )  # fmt: skip


def prepared_bms(clock, source):
    """A BMS in the middle of a session, so that a change by mistake would show."""
    bms = RivotBms(FakeCan(), clock, soc_source=source, capacity_ah=30)
    limits = b"\x02\xd0\x00\x64\x00\x01\xf4\x00"
    assert bms.feed(0x1806E5F4, FLAG_EXT, limits) and bms.feed(0x1806E5F4, FLAG_EXT, limits)
    bms.feed(0x160B8001, FLAG_EXT, b"\x00\x00\x75\x30\x00\x00\x00\x00")
    bms.feed(0x160D8001, FLAG_EXT, b"\x00\x00\x3a\x98\x00\x00\x00\x00")
    bms.feed(0x18904001, FLAG_EXT, b"\x02\xd0\x00\x00\x75\x30\x01\xf4")
    assert bms.soc == (None if source == "none" else 5000)
    clock.advance(100)
    return bms


def prepared_module(clock):
    module = RivotModule(FakeCan(), clock)
    module.feed(0x0681817E, FLAG_EXT, b"\x01\x32\x00\x01\x00\x00\x00\x00")
    module.feed(0x0681827E, FLAG_EXT, b"\x01\x80\x00\x00\x00\x00\x64\x00")
    module.feed(0x00433F01, FLAG_EXT, b"\x42\x90\x00\x00\x3f\x80\x00\x00")
    module.feed(0x00473F01, FLAG_EXT, b"\x00\x00\x00\x00\x00\x00\x03\x02")
    assert module.temperature_dc() == 250 and module.terminal_mv() == 72_000 and module.is_charging()
    clock.advance(100)
    return module


def test_count():
    names = [row["name"] for row in vectors()]
    assert len(names) == 123 and len(set(names)) == 123
    assert sum(row["ok"] for row in vectors()) == 100, sum(row["ok"] for row in vectors())


def test_rejected_frames_change_nothing():
    checked = 0
    for row in vectors():
        if row["ok"] or row["name"] in EITHER:
            continue
        checked += 1
        clock = FakeClock()
        if row["bus"] == "bms":
            for source in SOURCES:
                bms = prepared_bms(clock, source)
                before = bms_state(bms)
                assert not bms.feed(row["id"], row["flags"], row["bytes"]), row["name"]
                assert bms_state(bms) == before, row["name"]
                clock.advance(2950)
                assert not bms.is_alive(), row["name"]  # no age was renewed either
        else:
            module = prepared_module(clock)
            powers = []
            module.on_power = lambda mv, ma: powers.append(mv)
            before = module_state(module)
            assert not module.feed(row["id"], row["flags"], row["bytes"]), row["name"]
            assert module_state(module) == before and not powers, row["name"]
            clock.advance(2950)
            assert module_state(module)[1:9] == (None,) * 8, row["name"]
    assert checked == 22, checked


def test_rejected_frames_of_ours_are_counted():
    for row in vectors():
        if row["ok"] or row["name"] in EITHER:
            continue
        driver = prepared_bms(FakeClock(), "ah_counters") if row["bus"] == "bms" else prepared_module(FakeClock())
        driver.feed(row["id"], row["flags"], row["bytes"])
        foreign = row["reason"] in ("standard_id", "wrong_bus", "unknown_id")
        assert driver.bad_frames == (0 if foreign else 1), row["name"]


def check_limits(row, signals):
    for source in SOURCES:
        clock = FakeClock()
        bms = RivotBms(FakeCan(), clock, soc_source=source)
        assert bms.feed(row["id"], row["flags"], row["bytes"]), row["name"]
        mv, ma = milli(signals["MaxChargeVoltage"]), milli(signals["MaxChargeCurrent"])
        assert bms.max_mv == (0 if mv == 6_553_500 else mv), row["name"]
        assert bms.max_ma == (0 if ma == 6_553_500 else ma), row["name"]
        assert bms.permits() == (signals["ChargeControl"] == 0) and bms.is_alive(), row["name"]
        has_mode = source != "request_frame"
        assert bms.heating == (has_mode and signals["ModeByte"] == 1), row["name"]
        raw = signals["ModeByte"] * 256 + signals["Byte6"]
        soc = raw * 10 if source == "request_frame" and raw <= 1000 else None
        assert bms.soc == soc, (row["name"], source, bms.soc)
        later = row.get("derived", {}).get("soc_percent_later_revision")
        if source == "request_frame" and later is not None:
            assert near(bms.soc * 10, milli(later)), row["name"]
        assert bms.feed(row["id"], row["flags"], row["bytes"])
        if ma and ma != 6_553_500 and not bms.heating:
            assert bms.capacity_ah == (30 if ma <= 30_000 else 60 if ma <= 60_000 else 90), row["name"]
        else:
            assert bms.capacity_ah is None, row["name"]


def check_counter(row, signals):
    """A counter shows only through SoC, so it is put against one that is half of a pack of 90 Ah away."""
    charge = "TotalChargeAh" in signals
    mah = milli(signals["TotalChargeAh" if charge else "TotalDischargeAh"])
    other = mah - 45_000 if charge else mah + 45_000
    available = mah != 0xFFFFFFFF and 0 <= other
    bms = RivotBms(FakeCan(), FakeClock(), capacity_ah=90)
    assert bms.feed(row["id"], row["flags"], row["bytes"]), row["name"]
    assert bms.soc is None
    other_id = 0x160D8001 if charge else 0x160B8001
    assert bms.feed(other_id, FLAG_EXT, max(other, 0).to_bytes(4, "big"))
    if available:
        assert bms.soc == 5000, (row["name"], bms.soc)
    elif charge and 0 < mah < 0xFFFFFFFF:
        assert bms.soc == (mah * 10 + 45) // 90, (row["name"], bms.soc)
    else:
        assert bms.soc is None, (row["name"], bms.soc)


def check_pack(row, signals):
    bms = RivotBms(FakeCan(), FakeClock(), soc_source="daly")
    assert bms.feed(row["id"], row["flags"], row["bytes"]), row["name"]
    assert bms.pack_mv == milli(signals["PackVoltage"]), row["name"]
    soc = milli(signals["StateOfCharge"]) // 10
    assert bms.soc == (soc if soc <= 10_000 else None), row["name"]


def check_control_answer(row, signals):
    module = RivotModule(FakeCan(), FakeClock())
    assert module.feed(row["id"], row["flags"], row["bytes"]), row["name"]
    refused = signals["AckCode"] != 1
    assert module.refused == refused
    on = None if "OutputOff" not in signals or refused else signals["OutputOff"] == 0
    assert module.echo_on is on, row["name"]
    for name, got in (("VoltageSetpoint", module.echo_mv), ("CurrentSetpoint", module.echo_ma)):
        wanted = milli(signals[name]) if name in signals else None
        if wanted is not None and wanted > 16_000_000:  # all ones: not available
            wanted = None
        assert got is None if wanted is None else near(got, wanted), row["name"]


def check_telemetry_answer(row, signals):
    module = RivotModule(FakeCan(), FakeClock())
    assert module.feed(row["id"], row["flags"], row["bytes"]), row["name"]
    volts = signals.get("OutputVoltage")
    assert module.module_mv() is None if volts is None else near(module.module_mv(), milli(volts)), row["name"]
    if "ModuleTemperature" in signals:
        q10 = signals["TemperatureRawHigh"] * 65536 + milli(signals["ModuleTemperature"])
        if q10 == 0xFFFF:
            assert module.temperature_dc() is None and module.temperature_fault(), row["name"]
        else:
            assert not module.temperature_fault()
            assert abs(module.temperature_dc() * 1024 - q10 * 10) <= 512, row["name"]
            hot = row.get("derived", {}).get("degC_if_32bit_div1024")
            assert hot is None or module.temperature_dc() == int(hot * 10)
            if not signals["TemperatureRawHigh"]:  # the older reading says nearly the same
                assert abs(module.temperature_dc() * 100 - milli(signals["ModuleTemperature"])) < 1600
    else:
        assert module.temperature_dc() is None
    function = row["bytes"][1]
    if function in (0x79, 0x82, 0x83):
        assert module.raw == {0x8200 | function: row["bytes"]}, (row["name"], module.raw)
    else:
        assert not module.raw


def check_terminal_power(row, signals):
    module = RivotModule(FakeCan(), FakeClock())
    powers = []
    module.on_power = lambda mv, ma: powers.append((mv, ma))
    mv, ma = milli(signals["TerminalVoltage"]), milli(signals["TerminalCurrent"])
    valid = mv is not None and ma is not None and 0 <= mv <= 150_000 and -5_000 <= ma <= 400_000
    assert module.feed(row["id"], row["flags"], row["bytes"]) == valid, row["name"]
    if valid:
        assert near(module.terminal_mv(), mv) and near(module.terminal_ma(), ma), row["name"]
        assert powers == [(module.terminal_mv(), module.terminal_ma())]
    else:
        assert module.terminal_mv() is None and module.terminal_ma() is None and not powers, row["name"]
        assert module.bad_frames == 1


def check_terminal_status(row, signals):
    module = RivotModule(FakeCan(), FakeClock())
    assert module.feed(row["id"], row["flags"], row["bytes"]), row["name"]
    known = {1: False, 2: True} if signals["StatusClass"] == 3 else {}
    assert module.is_charging() is known.get(signals["ChargeState"]), row["name"]
    assert module.raw == {0x4700: row["bytes"]}


def check_heartbeat(row, signals):
    module = RivotModule(FakeCan(), FakeClock())
    module.feed(0x00473F01, FLAG_EXT, b"\x00\x00\x00\x00\x00\x00\x03\x01")
    assert not module.is_healthy()
    assert module.feed(row["id"], row["flags"], row["bytes"]) and module.is_healthy(), row["name"]


def check_sent_by_us(row, signals):
    """What we send is not an input; the driver's own bytes are compared with these in the tests of the drivers."""
    assert not prepared_bms(FakeClock(), "ah_counters").feed(row["id"], row["flags"], row["bytes"]), row["name"]
    assert not prepared_module(FakeClock()).feed(row["id"], row["flags"], row["bytes"]) or row["id"] == 0x18FF50E5


CHECKS = {
    "BMS_ChargeRequest": check_limits,
    "BMS_ChargeAhResponse": check_counter,
    "BMS_DischargeAhResponse": check_counter,
    "BMS_SocResponse": check_pack,
    "PM_ControlResponse": check_control_answer,
    "PM_TelemetryResponse": check_telemetry_answer,
    "PM_TerminalPower": check_terminal_power,
    "PM_TerminalStatus": check_terminal_status,
    "PM_ControlRequest": check_sent_by_us,
    "PM_TelemetryRequest": check_sent_by_us,
}


def test_valid_frames():
    checked = 0
    for row in vectors():
        if not row["ok"]:
            continue
        checked += 1
        signals = row.get("signals", {})
        if row["message"] == "ChargerStatus" and row["bus"] == "pm":
            check_heartbeat(row, signals)
        elif row["message"] in TO_BMS:
            check_sent_by_us(row, signals)
        else:
            CHECKS[row["message"]](row, signals)
    assert checked == 100


def test_four_byte_counter():
    for row in vectors():
        if row["name"] in EITHER:
            bms = RivotBms(FakeCan(), FakeClock(), capacity_ah=90)
            assert bms.feed(row["id"], row["flags"], row["bytes"])
            assert bms.feed(0x160D8001, FLAG_EXT, (120_500 - 9_000).to_bytes(4, "big"))
            assert bms.soc == 1000


def test_status_frames_as_sent():
    """Every status frame of the vectors, built by the driver from the values that the DBC reads out of it."""
    built = 0
    for row in vectors():
        if row["message"] != "ChargerStatus" or row["bus"] != "bms":
            continue
        signals = row["signals"]
        clock = FakeClock()
        bms = RivotBms(FakeCan(), clock)
        bms.feed(0x1806E5F4, FLAG_EXT, bytes(8))
        if signals["CommTimeout"]:
            clock.advance(5001)
        volts, amps = milli(signals["OutputVoltage"]), milli(signals["OutputCurrent"])
        bms.report(volts, amps, signals["HardwareFailure"], signals["OverTemperature"], signals["BatteryNotConnected"])
        bms.tick()
        sent = [data for can_id, data, flags in bms._can.sent if can_id == 0x18FF50E5 and flags == FLAG_EXT]
        wanted = bytearray(row["bytes"])
        wanted[4] &= 0xFB  # mains voltage: we have no sensor for it, so the bit is never set
        assert sent == [bytes(wanted)], (row["name"], sent)
        built += 1
    assert built == 8, built


def test_control_frames_as_sent():
    """Every control request of the vectors, built by the driver from the DBC's physical value."""
    built = 0
    for row in vectors():
        if row["message"] != "PM_ControlRequest":
            continue
        signals = row["signals"]
        module = RivotModule(FakeCan(), FakeClock())
        ma = 15_000 if "15" in row["name"] else milli(signals.get("CurrentSetpoint", 0))
        module.command(signals.get("OutputOff") == 0, milli(signals.get("VoltageSetpoint", 0)), ma)
        module.push()
        at = {0x00: 0, 0x03: 1, 0x32: 2}[signals["Function"]]
        assert module._can.sent[at] == (row["id"], row["bytes"], FLAG_EXT), (row["name"], module._can.sent)
        built += 1
    assert built == 7, built


def test_telemetry_and_request_frames_as_sent():
    requests = [(row["id"], row["bytes"], FLAG_EXT) for row in vectors() if row["message"] == "PM_TelemetryRequest"]
    clock = FakeClock()
    module = RivotModule(FakeCan(), clock)
    for _ in range(40):
        clock.advance(50)
        module.tick()
    sent = [frame for frame in module._can.sent if frame[0] == 0x068182FE]
    assert len(requests) == 5 and sent[:5] == requests, sent
    requests = [(row["id"], row["bytes"], FLAG_EXT) for row in vectors() if "Request" in str(row["message"])[-7:]]
    requests = [frame for frame in requests if frame[0] in (0x160B0180, 0x160D0180, 0x18900140)]
    sent = []
    for source in ("ah_counters", "daly"):
        clock = FakeClock()
        bms = RivotBms(FakeCan(), clock, soc_source=source)
        bms.feed(0x1806E5F4, FLAG_EXT, bytes(8))
        for _ in range(3):
            bms.tick()
            clock.advance(10)
        sent += bms._can.sent
    assert len(requests) == 3
    for frame in requests:
        assert frame in sent, frame
