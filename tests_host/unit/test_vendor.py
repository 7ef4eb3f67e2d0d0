"""The two vendor messages: exact texts, and once each."""

import json

from fakes import FakeClock

from charger.vendor import VendorMessages
from charger.vendor_texts import session_summary, vehicle_info


def test_vehicle_info_text_of_the_interface_description():
    text = vehicle_info(8700, 90_000, 76_400, 0, 265)
    assert text == '{"soc":87.0,"maxCurrent":90.0,"voltage":76.4,"current":0.0,"temperature":26.5}'


def test_session_summary_text_of_the_interface_description():
    assert session_summary(8718, 3390, 90_000) == '{"finalSoc":87.18,"energyDelivered":3.39,"durationMinutes":1.50}'


def test_decimals_at_the_edges():
    assert vehicle_info(10_000, 6, 84_049, 1_850, -55) == (
        '{"soc":100.0,"maxCurrent":0.0,"voltage":84.0,"current":1.9,"temperature":-5.5}'
    )
    assert session_summary(0, 0, 0) == '{"finalSoc":0.00,"energyDelivered":0.00,"durationMinutes":0.00}'
    # half away from zero: 299 ms is 0.00 minutes, 300 ms 0.01; a negative duration cannot be
    # and energy is cut, so that its whole Wh are those of meterStop
    assert session_summary(None, 9, 299) == '{"energyDelivered":0.00,"durationMinutes":0.00}'
    assert session_summary(None, 7_999, 0) == '{"energyDelivered":7.99,"durationMinutes":0.00}'
    assert session_summary(None, 4, 300) == '{"energyDelivered":0.00,"durationMinutes":0.01}'
    assert session_summary(None, 0, -1) == '{"energyDelivered":0.00,"durationMinutes":0.00}'
    assert session_summary(10_000, 2_500_000, 86_400_000) == (
        '{"finalSoc":100.00,"energyDelivered":2500.00,"durationMinutes":1440.00}'
    )


def test_unknown_members_are_left_out():
    assert vehicle_info(None, None, None, None, None) == "{}"
    for i in range(5):
        values = [8700, 90_000, 76_400, 0, 265]
        values[i] = None
        assert len(json.loads(vehicle_info(*values))) == 4


class FakeOutlet:
    values = (8700, 90_000, 76_400, 0, 265)

    def __init__(self):
        self.soc = 8718
        self.meter = FakeMeter()
        self.lock = None

    def vehicle_values(self):
        return self.values


class FakeMeter:
    session_mwh = 3390


class FakeConnector:
    id = 1


class FakeTx:
    def __init__(self, key, start=1000, stop=91_000):
        self.key, self.start_uptime, self.stop_uptime, self.extra = key, start, stop, None


class Bench:
    def __init__(self):
        self.clock = FakeClock()
        self.outlet = FakeOutlet()
        self.sent = []
        self.hooks = VendorMessages({1: self.outlet, 2: FakeOutlet()}, self.clock, 3000)
        self.hooks.send = self._send
        self.connector = FakeConnector()

    def _send(self, connector, vendor_id, message_id, text, tx_key=None):
        assert vendor_id == "RivotMotors"
        self.sent.append((message_id, text, tx_key))

    def names(self):
        return [name for name, _, _ in self.sent]


def test_complete_data_is_sent_at_the_next_tick():
    bench = Bench()
    bench.hooks.plugged_in(bench.connector)
    assert bench.sent == []  # Preparing goes first
    bench.hooks.tick()
    assert bench.sent == [("VehicleInfo", vehicle_info(*FakeOutlet.values), None)]


def test_incomplete_data_waits_until_the_limit():
    bench = Bench()
    bench.outlet.values = (None, 90_000, 76_400, 0, 265)
    bench.hooks.plugged_in(bench.connector)
    bench.clock.advance(2999)
    bench.hooks.tick()
    assert bench.sent == []
    bench.clock.advance(1)
    bench.hooks.tick()
    assert bench.names() == ["VehicleInfo"] and "soc" not in bench.sent[0][1]


def test_incomplete_data_is_sent_when_it_becomes_complete():
    bench = Bench()
    bench.outlet.values = (None, 90_000, 76_400, 0, 265)
    bench.hooks.plugged_in(bench.connector)
    bench.hooks.tick()
    bench.outlet.values = FakeOutlet.values
    bench.hooks.tick()
    assert bench.names() == ["VehicleInfo"] and "soc" in bench.sent[0][1]


def test_start_waits_for_the_data_but_not_for_ever():
    bench = Bench()
    assert bench.hooks.may_start(bench.connector)  # nothing is waited for
    bench.outlet.values = (None, 90_000, 76_400, 0, 265)
    bench.hooks.plugged_in(bench.connector)
    assert not bench.hooks.may_start(bench.connector)
    bench.clock.advance(2999)
    assert not bench.hooks.may_start(bench.connector)
    bench.outlet.values = FakeOutlet.values
    assert bench.hooks.may_start(bench.connector) and bench.sent == []
    bench.outlet.values = (8700, 90_000, 76_400, 0, None)
    bench.clock.advance(1)
    assert bench.hooks.may_start(bench.connector)
    bench.hooks.before_start(bench.connector)
    assert bench.names() == ["VehicleInfo"] and bench.hooks.may_start(bench.connector)


def test_start_waits_for_the_lock_but_the_data_do_not():
    class Lock:
        closed = False

        def is_closed(self):
            return self.closed

    bench = Bench()
    bench.outlet.lock = lock = Lock()
    bench.hooks.plugged_in(bench.connector)
    assert not bench.hooks.may_start(bench.connector)
    bench.hooks.tick()
    assert bench.names() == ["VehicleInfo"] and not bench.hooks.may_start(bench.connector)
    lock.closed = True
    assert bench.hooks.may_start(bench.connector)


def test_start_is_the_last_moment():
    bench = Bench()
    bench.outlet.values = (None, 90_000, 76_400, 0, 265)
    bench.hooks.plugged_in(bench.connector)
    bench.hooks.before_start(bench.connector)
    assert bench.names() == ["VehicleInfo"]
    bench.clock.advance(10_000)
    bench.hooks.tick()
    bench.hooks.before_start(bench.connector)
    assert bench.names() == ["VehicleInfo"]


def test_once_per_plug_in_whatever_happens():
    bench = Bench()
    hooks, connector = bench.hooks, bench.connector
    hooks.plugged_in(connector)
    hooks.plugged_in(connector)
    for _ in range(3):
        hooks.tick()
        hooks.plugged_in(connector)
        hooks.before_start(connector)  # Finishing, and the same vehicle starts again
        hooks.checkpoint(connector, None)
    assert bench.names() == ["VehicleInfo"]
    hooks.unplugged(connector)
    hooks.tick()
    assert bench.names() == ["VehicleInfo"]
    hooks.plugged_in(connector)
    hooks.tick()
    assert bench.names() == ["VehicleInfo"] * 2


def test_vehicle_that_leaves_before_its_data_is_complete_sends_nothing():
    bench = Bench()
    bench.outlet.values = (None,) * 5
    bench.hooks.plugged_in(bench.connector)
    bench.hooks.unplugged(bench.connector)
    bench.clock.advance(5000)
    bench.hooks.tick()
    assert bench.sent == []


def test_vehicles_that_come_together_are_told_in_the_order_of_connectors():
    bench = Bench()
    seen = []
    bench.hooks.send = lambda connector, *rest: seen.append(connector.id)
    for number in (2, 1):
        connector = FakeConnector()
        connector.id = number
        bench.hooks.plugged_in(connector)
    bench.hooks.tick()
    assert seen == [1, 2]


def test_connectors_do_not_mix():
    bench = Bench()
    other = FakeConnector()
    other.id = 2
    bench.hooks.plugged_in(bench.connector)
    bench.hooks.tick()
    bench.hooks.plugged_in(other)
    bench.hooks.unplugged(bench.connector)
    bench.hooks.tick()
    assert bench.names() == ["VehicleInfo"] * 2


def test_summary_once_per_transaction_from_its_checkpoint():
    bench = Bench()
    tx = FakeTx(7)
    tx.extra = json.loads(json.dumps(bench.hooks.checkpoint(bench.connector, tx)))
    bench.outlet.meter.session_mwh, bench.outlet.soc = 9_999, None  # what comes later does not count
    bench.hooks.session_ended(bench.connector, tx)
    bench.hooks.session_ended(bench.connector, tx)
    assert bench.sent == [("SessionSummary", session_summary(8718, 3390, 90_000), 7)]
    second = FakeTx(8)
    second.extra = [0, None]
    bench.hooks.session_ended(bench.connector, second)
    assert bench.sent[1:] == [("SessionSummary", '{"energyDelivered":0.00,"durationMinutes":1.50}', 8)]


def test_summary_of_a_damaged_record():
    for extra in (None, [], 5, "x", [1], {}):
        bench = Bench()
        tx = FakeTx(9)
        tx.extra = extra
        bench.hooks.session_ended(bench.connector, tx)
        assert bench.sent == [("SessionSummary", '{"energyDelivered":0.00,"durationMinutes":1.50}', 9)], extra


def test_a_resumed_vehicle_is_not_told_again_until_it_has_left():
    bench = Bench()
    bench.hooks.resumed(bench.connector)
    bench.hooks.plugged_in(bench.connector)
    bench.clock.advance(10_000)
    bench.hooks.tick()
    assert bench.sent == []
    bench.hooks.unplugged(bench.connector)
    bench.hooks.plugged_in(bench.connector)
    bench.hooks.tick()
    assert bench.names() == ["VehicleInfo"]
