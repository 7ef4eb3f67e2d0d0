"""Meter values on the clock grid, and those that StopTransaction carries, in a whole charge point."""
# heapsize: 8m
# timeout: 180

import asyncio

from fakes import FakeClock
from scripted_csms import T0, run_life

from ocpp16.ramstore import RamStore
from ocpp16.timeparse import parse
from ocpp16.timestamp import format_utc

ENERGY = "Energy.Active.Import.Register"


async def seconds_until(condition, ms):
    for _ in range(ms // 1000):
        if condition():
            return
        await asyncio.sleep_ms(1000)
    raise AssertionError("never happened")


async def change(b, key, value):
    assert await b.ask("ChangeConfiguration", {"key": key, "value": value}) == {"status": "Accepted"}


def samples(b, context):
    """[(Unix seconds, {measurand: value})] of the MeterValues with that context."""
    out = []
    for payload in b.csms.calls("MeterValues"):
        out += _values(payload["meterValue"], context)
    return out


def _values(meter_values, context):
    out = []
    for value in meter_values:
        if value["sampledValue"][0]["context"] == context:
            out.append((parse(value["timestamp"]), {v["measurand"]: v["value"] for v in value["sampledValue"]}))
    return out


async def stop(b, number=130):
    b.csms.call("RemoteStopTransaction", {"transactionId": number})
    await b.until(lambda: b.csms.calls("StopTransaction"))
    return b.csms.calls("StopTransaction")[0]


# -- the clock grid (rules 7.1, TC_071)


def test_aligned_values_lie_on_the_grid_whenever_the_session_began():
    for late in (0, 333, 999):

        async def scenario(b, late=late):
            await b.online()
            await b.plug()
            await asyncio.sleep_ms(late)
            await b.charging()
            await seconds_until(lambda: len(samples(b, "Sample.Clock")) == 5, 400_000)
            seconds = [at for at, _ in samples(b, "Sample.Clock")]
            assert [at % 60 for at in seconds] == [0] * 5 and seconds[4] - seconds[0] == 240
            assert set(samples(b, "Sample.Clock")[0][1]) == {ENERGY}
            assert all(p.get("transactionId") == 130 for p in b.csms.calls("MeterValues"))
            # Taken at that moment, not some time around it: 1 Wh a second
            started = next(at for at, on in b.evse.switches if on) + b.evse.start_ms
            for at, values in samples(b, "Sample.Clock"):
                true = (at - T0) * 1000 - started
                assert abs(int(values[ENERGY]) * 1000 - true) <= 1100, (at, values, true)

        run_life(scenario, config={"ClockAlignedDataInterval": "60", "MeterValueSampleInterval": "0"})


def test_an_interval_that_does_not_divide_the_day_starts_again_at_midnight():
    async def scenario(b):
        b.csms.answers["BootNotification"] = {
            "status": "Accepted",
            "currentTime": "2026-01-21T23:52:00.250Z",
            "interval": 86400,
        }
        await b.session()
        await seconds_until(lambda: len(b.csms.calls("MeterValues")) == 5, 3_000_000)
        midnight = parse("2026-01-22T00:00:00Z")
        steps = [at - midnight for at, _ in samples(b, "Sample.Clock")]
        assert steps == [-400, 0, 1000, 2000], steps  # 86 x 1000 s is 23:53:20

    run_life(scenario, config={"ClockAlignedDataInterval": "1000", "MeterValueSampleInterval": "0"})


def test_a_new_interval_counts_at_once_and_0_is_off():
    async def scenario(b):
        await b.session()
        await asyncio.sleep_ms(120_000)
        assert samples(b, "Sample.Clock") == []
        await change(b, "clockAlignedDataInterval", "900")
        await asyncio.sleep_ms(5000)
        await change(b, "ClockAlignedDataInterval", "20")
        await seconds_until(lambda: len(samples(b, "Sample.Clock")) == 3, 70_000)
        assert [at % 20 for at, _ in samples(b, "Sample.Clock")] == [0, 0, 0]
        await change(b, "MeterValuesAlignedData", "Voltage,SoC")
        await change(b, "ClockAlignedDataInterval", "30")
        await seconds_until(lambda: len(samples(b, "Sample.Clock")) == 5, 70_000)
        assert [values for _, values in samples(b, "Sample.Clock")][3:] == [{"Voltage": "77.15"}] * 2
        assert samples(b, "Sample.Clock")[4][0] % 30 == 0
        await change(b, "ClockAlignedDataInterval", "0")
        await asyncio.sleep_ms(70_000)
        assert len(samples(b, "Sample.Clock")) == 5

    run_life(scenario, config={"MeterValueSampleInterval": "0"})


def test_no_aligned_values_outside_a_transaction_nor_without_a_clock():
    async def scenario(b):
        b.csms.listening = False
        b.start()
        await asyncio.sleep_ms(70_000)
        b.csms.listening = True
        await seconds_until(lambda: b.cp.online, 400_000)
        b.evse.is_plugged = True
        await asyncio.sleep_ms(70_000)
        assert b.csms.calls("MeterValues") == []
        await b.charging()
        await b.until(lambda: samples(b, "Sample.Clock"))
        await stop(b)
        count = len(samples(b, "Sample.Clock"))
        await asyncio.sleep_ms(70_000)
        assert len(samples(b, "Sample.Clock")) == count

    run_life(scenario, config={"ClockAlignedDataInterval": "10", "MeterValueSampleInterval": "0"})


def test_a_clock_that_is_set_moves_the_grid():
    async def scenario(b):
        await b.session()
        await seconds_until(lambda: samples(b, "Sample.Clock"), 70_000)
        b.csms.answers["Heartbeat"] = lambda _: {"currentTime": format_utc(T0 + 4007 + b.clock.uptime_ms() // 1000)}
        await change(b, "HeartbeatInterval", "5")
        await b.until(lambda: b.clock.utc() > T0 + 4000)
        count = len(samples(b, "Sample.Clock"))
        await seconds_until(lambda: len(samples(b, "Sample.Clock")) == count + 2, 130_000)
        assert [at % 60 for at, _ in samples(b, "Sample.Clock")][count:] == [0, 0]

    run_life(scenario, config={"ClockAlignedDataInterval": "60", "MeterValueSampleInterval": "0"})


def test_aligned_values_queue_offline():
    async def scenario(b):
        await b.session()
        b.csms.listening = False
        b.csms.drop()
        await asyncio.sleep_ms(95_000)
        b.csms.listening = True
        await seconds_until(lambda: len(samples(b, "Sample.Clock")) >= 9, 400_000)
        seconds = [at for at, _ in samples(b, "Sample.Clock")]
        assert seconds == [seconds[0] + 10 * n for n in range(len(seconds))]

    run_life(scenario, config={"ClockAlignedDataInterval": "10", "MeterValueSampleInterval": "0"})


# -- transactionData (rules 7.4)


def test_no_transaction_data_unless_it_is_wanted():
    async def scenario(b):
        await b.session()
        assert "transactionData" not in await stop(b)

    run_life(scenario)


def test_stop_carries_begin_samples_and_end():
    async def scenario(b):
        await b.session()
        await b.until(lambda: len(samples(b, "Sample.Periodic")) == 2)
        ended = await stop(b)
        data = ended["transactionData"]
        contexts = [value["sampledValue"][0]["context"] for value in data]
        assert contexts == ["Transaction.Begin", "Sample.Periodic", "Sample.Periodic", "Transaction.End"]
        start = b.csms.calls("StartTransaction")[0]
        assert data[0]["timestamp"] == start["timestamp"] and data[-1]["timestamp"] == ended["timestamp"]
        assert data[0]["sampledValue"][0]["value"] == "0"
        assert data[-1]["sampledValue"][0]["value"] == str(ended["meterStop"])
        assert [v["measurand"] for v in data[1]["sampledValue"]] == [ENERGY, "Voltage"]
        periodic = [(at, values[ENERGY]) for at, values in samples(b, "Sample.Periodic")]
        assert [(at, values[ENERGY]) for at, values in _values(data, "Sample.Periodic")] == periodic

    run_life(scenario, config={"StopTxnSampledData": ENERGY + ",Voltage"})


def test_aligned_data_goes_into_the_stop_too():
    async def scenario(b):
        await b.session()
        await seconds_until(lambda: len(samples(b, "Sample.Clock")) == 2, 70_000)
        data = (await stop(b))["transactionData"]
        assert [value["sampledValue"][0]["context"] for value in data] == ["Sample.Clock"] * 2
        assert [at % 20 for at, _ in _values(data, "Sample.Clock")] == [0, 0]

    run_life(scenario, config={"StopTxnAlignedData": ENERGY, "ClockAlignedDataInterval": "20"})


def test_a_long_session_is_thinned_in_the_middle():
    async def scenario(b):
        await b.session()
        await seconds_until(lambda: len(b.csms.calls("MeterValues")) > 60, 4_000_000)
        assert sum([len(text) for text in b.connector.transaction.data]) <= 4000
        data = (await stop(b))["transactionData"]
        assert 8 <= len(data) <= 21
        times = [parse(value["timestamp"]) for value in data]
        assert times == sorted(times)
        contexts = [value["sampledValue"][0]["context"] for value in data]
        assert contexts[0] == "Transaction.Begin" and contexts[-1] == "Transaction.End"
        assert contexts[1:-1] == ["Sample.Periodic"] * (len(data) - 2)

    run_life(scenario, config={"StopTxnSampledData": ENERGY + ",Voltage"})


def test_a_key_that_is_set_in_a_session_has_a_begin_all_the_same():
    async def scenario(b):
        await b.session()
        await change(b, "StopTxnSampledData", ENERGY)
        await b.until(lambda: samples(b, "Sample.Periodic"))
        data = (await stop(b))["transactionData"]
        contexts = [value["sampledValue"][0]["context"] for value in data]
        assert contexts == ["Transaction.Begin", "Sample.Periodic", "Transaction.End"]
        assert data[0]["timestamp"] == b.csms.calls("StartTransaction")[0]["timestamp"]

    run_life(scenario, config={"StopTxnSampledData": ""})


def test_a_power_cut_keeps_what_the_last_checkpoint_had():
    store = RamStore()
    clock = FakeClock()

    async def before(b):
        await b.session()
        await seconds_until(lambda: len(samples(b, "Sample.Periodic")) == 8, 90_000)

    async def after(b):
        b.cp.restore()
        b.start()
        await seconds_until(lambda: b.csms.calls("StopTransaction"), 90_000)
        ended = b.csms.calls("StopTransaction")[0]
        contexts = [value["sampledValue"][0]["context"] for value in ended["transactionData"]]
        assert contexts[0] == "Transaction.Begin" and contexts[-1] == "Transaction.End" and len(contexts) >= 7, contexts
        last = ended["transactionData"][-1]
        assert last["sampledValue"][0]["value"] == str(ended["meterStop"])
        assert last["timestamp"] == ended["timestamp"] and ended["reason"] == "PowerLoss"

    run_life(before, clock, store=store, config={"StopTxnSampledData": ENERGY})
    run_life(after, store=store, config={"StopTxnSampledData": ENERGY})


def test_no_measurand_means_energy():
    async def scenario(b):
        await b.session()
        await seconds_until(lambda: samples(b, "Sample.Clock") and samples(b, "Sample.Periodic"), 70_000)
        for context in ("Transaction.Begin", "Sample.Periodic", "Sample.Clock"):
            assert set(samples(b, context)[0][1]) == {ENERGY}

    run_life(
        scenario,
        config={"MeterValuesSampledData": "", "MeterValuesAlignedData": "", "ClockAlignedDataInterval": "20"},
    )
