"""One connector's hardware side: what ends power, what ends a session, and what OCPP is told.

Gate, interlock, plug, meter, settings and faults are the real ones; BMS, module, buses and inputs are set by hand.
"""

import micropython
from fakes import PERIOD, FakeCan, FakeClock, FakeLog, virtual_run

from charger.build import make_outlet
from charger.gate import OFF, RUNNING, STOPPING, Gate
from charger.interlock_names import names
from charger.metering import Meter
from charger.outlet import Lasting
from charger.plug import Plug
from charger.settings import Settings
from ocpp16.transaction import Transaction

STEP = 20


class Bms:
    """A vehicle that is heard every 100 ms while `talks`."""

    def __init__(self, clock):
        self._clock = clock
        self._heard = None
        self.talks = False
        self.allows = True
        self.mv, self.ma = 84_000, 30_000
        self.soc = 8_700
        self.heating = False
        self.pack_mv = self.temperature_dc = None
        self.reports = []
        self.forgotten = 0
        self.breaks = False

    def feed(self, can_id, flags, data):
        if self.breaks:
            raise RuntimeError("bms driver")
        self._heard = self._clock.uptime_ms()
        return True

    def tick(self):
        pass

    def new_vehicle(self):
        self.forgotten += 1

    def silent_ms(self):
        return None if self._heard is None else self._clock.uptime_ms() - self._heard

    def is_alive(self):
        return self._heard is not None and self.silent_ms() < 3000

    def permits(self):
        return self.is_alive() and self.allows

    @property
    def max_mv(self):
        return self.mv if self.is_alive() else 0

    @property
    def max_ma(self):
        return self.ma if self.is_alive() else 0

    def report(self, *values):
        self.reports = values


class Module:
    """A power module that follows at once unless told otherwise."""

    def __init__(self):
        self.on_power = None
        self.healthy = True
        self.obeys = True
        self.draws = True
        self.on, self.mv, self.ma = False, 0, 0
        self.echo_on, self.echo_mv, self.echo_ma = False, 0, 0
        self.out_mv, self.out_ma = 76_400, 0
        self.temperature, self.sensor_fault = 265, False
        self.guarded = True
        self.offs = 0
        self.ticks = 0
        self.breaks = False

    def feed(self, can_id, flags, data):
        if self.breaks:
            raise RuntimeError("module driver")
        self.on_power(self.out_mv or 0, self.out_ma)
        return True

    def tick(self):
        self.ticks += 1
        if self.breaks:
            raise RuntimeError("module driver")

    def command(self, on, mv, ma):
        self.on, self.mv, self.ma = on, mv, ma

    def push(self):
        self._follow()

    def off(self):
        self.offs += 1
        self.on, self.ma = False, 0
        self._follow()

    def _follow(self):
        if self.obeys:
            self.echo_on, self.echo_mv, self.echo_ma = self.on, self.mv, self.ma
            self.out_ma = self.ma if self.on and self.draws else 0

    def is_off(self):
        return self.echo_on is False and self.out_ma < 500

    def is_charging(self):
        return self.echo_on

    def is_healthy(self):
        return self.healthy

    def is_guarded(self):
        return self.guarded

    def terminal_mv(self):
        return self.out_mv

    def terminal_ma(self):
        return self.out_ma

    def temperature_dc(self):
        return self.temperature

    def temperature_fault(self):
        return self.sensor_fault


class Hal:
    def __init__(self):
        self.levels = {"estop": False, "door": False, "plug": False, "fault": False, "lock": None}
        self.outputs = {}

    def input(self, name, connector):
        assert connector == 1
        return self.levels[name]

    def output(self, name, connector, value):
        self.outputs[name] = value


class Connector:
    def __init__(self, bench):
        self.transaction = None
        self.stops = []
        self.pokes = 0
        self.kept = False  # the lock, after a session
        self.id_tag = None
        self._bench = bench

    def stop(self, reason, id_tag=None):
        if self.transaction is not None:
            self.stops.append(reason)
            self.transaction = None  # at once: the engine's own waiting is not the subject
            self._bench.outlet.permit(False)

    def poke(self):
        """The engine looks at the plug first."""
        self.pokes += 1
        if self._bench.outlet.plugged() is False:
            self.stop("EVDisconnected")

    @property
    def locked(self):
        return self.kept or self.transaction is not None


class Bench:
    def __init__(self, presets=None, board=None, start=PERIOD - 20_000):
        self.clock = FakeClock(start)
        self.log = FakeLog()
        self.bms, self.module, self.hal = Bms(self.clock), Module(), Hal()
        self.pm_bus, self.bms_bus = FakeCan(), FakeCan()
        settings = Settings(None, self.log, presets)
        assert settings.ignored == 0
        self.gate = Gate(self.module, self.clock, self.log, lambda closed: self.hal.output("contactor", 1, closed), 50)
        self.meter = Meter(self.clock)
        layout = {"lock": False, "plug_switch": False, "sees_pack": True}
        layout.update(board or {})
        parts = (
            1, self.bms, self.module, self.gate, self.meter, Plug(self.clock), self.pm_bus, self.bms_bus, self.hal,
            self.clock, self.log,
        )  # fmt: skip
        self.outlet = make_outlet(settings.get, layout, (85_000, 90_000, 7_200), parts)
        self.connector = self.outlet.connector = Connector(self)
        self._frame_at = 0

    def go(self, ms):
        for _ in range(0, ms, STEP):
            now = self.clock.uptime_ms()
            if now >= self._frame_at:
                self._frame_at = now + 100
                if self.bms.talks:
                    self.bms_bus.on_frame(0, 1, b"")
                if self.module.healthy:
                    self.pm_bus.on_frame(0, 1, b"")
            self.outlet.tick()
            self.clock.advance(STEP)
        return self

    def plug(self):
        self.bms.talks = True
        return self.go(200)

    def charge(self):
        self.plug()
        self.connector.transaction = Transaction(1, "T", 1, 0)
        self.outlet.session_begin(self.connector.transaction)
        self.outlet.permit(True)
        self.go(4000)
        assert self.gate.state == RUNNING and self.gate.set_ma == 30_000, names(self.outlet.reasons)
        return self

    def status(self):
        return self.outlet.plugged(), self.outlet.evse_ready(), self.outlet.ev_ready()


def test_idle_plug_in_and_unplug():
    bench = Bench().go(1000)
    assert bench.status()[0] is None  # a vehicle that is there could not have been heard yet
    bench.go(2100)
    assert bench.status()[0] is False and bench.outlet.fault() is None and bench.hal.outputs["led"] == "idle"
    bench.plug()
    assert bench.outlet.plugged() and bench.connector.pokes > 0 and bench.hal.outputs["led"] == "plugged"
    assert bench.bms.reports == (76_400, 0, False, False, False)
    bench.bms.talks = False
    bench.go(3200)
    assert not bench.outlet.plugged() and bench.bms.forgotten == 2  # at plug-in and at unplug
    assert bench.bms.reports[4] is True  # no battery


def test_no_power_without_a_transaction():
    bench = Bench().plug().go(5000)
    assert bench.gate.state == OFF and not bench.outlet.evse_ready()
    assert not bench.module.on and bench.hal.outputs["contactor"] is False


def test_session_runs_and_permit_ends_it_before_it_returns():
    bench = Bench().charge()
    assert bench.status() == (True, True, True) and bench.hal.outputs["led"] == "charging"
    assert bench.hal.outputs["contactor"] is True
    offs = bench.module.offs
    bench.outlet.permit(False)
    assert bench.module.offs > offs and not bench.module.on and bench.gate.state == STOPPING
    assert not bench.outlet.evse_ready()
    bench.go(500)
    assert bench.outlet.is_settled() and bench.hal.outputs["contactor"] is False


def test_energy_is_that_of_the_time_between_on_and_off():
    bench = Bench().charge()
    before = bench.meter.session_mwh
    bench.go(36_000)
    # 76.4 V x 30 A for 36 s
    assert abs(bench.meter.session_mwh - before - 22_920) <= 70, bench.meter.session_mwh - before
    bench.outlet.permit(False)
    bench.go(500)
    total = bench.meter.session_mwh
    bench.go(5000)
    assert bench.meter.session_mwh == total
    assert bench.outlet.energy_wh() == total // 1000
    assert bench.outlet.sample("Energy.Active.Import.Register") == (str(total // 1000), "Wh")
    bench.outlet.session_begin(Transaction(2, "T", 1, 0))
    assert bench.outlet.energy_wh() == 0


def test_session_register_goes_on_after_a_power_cut():
    bench = Bench()
    tx = Transaction(1, "T", 1, 0)
    tx.extra = [123_456, None]
    bench.outlet.session_begin(tx)
    assert bench.outlet.energy_wh() == 123
    bench.charge()


def test_lifetime_register_on_request():
    bench = Bench({"meter.register": "lifetime"})
    bench.meter.lifetime_mwh = 5_000_000
    bench.charge().go(36_000)
    assert bench.outlet.energy_wh() >= 5_022
    bench.outlet.session_begin(Transaction(2, "T", 1, 0))
    assert bench.outlet.energy_wh() >= 5_022 and bench.meter.session_mwh == 0


def test_each_loss_is_off_at_once():
    def change(what):
        def apply(bench):
            what(bench)
            bench.outlet.evaluate()

        return apply

    for name, loss in (
        ("forbids", change(lambda b: setattr(b.bms, "allows", False))),
        ("limit zero", change(lambda b: setattr(b.bms, "ma", 0))),
        ("window", change(lambda b: setattr(b.bms, "mv", 86_000))),
        ("module", change(lambda b: setattr(b.module, "healthy", False))),
        ("module bus", change(lambda b: setattr(b.pm_bus, "up", False))),
        ("bms bus", change(lambda b: setattr(b.bms_bus, "up", False))),
        ("terminal", change(lambda b: setattr(b.module, "out_mv", None))),
        ("terminal low", change(lambda b: setattr(b.module, "out_mv", 50_000))),
        ("over voltage", change(lambda b: setattr(b.module, "out_mv", 84_600))),
        ("sensor", change(lambda b: setattr(b.module, "temperature", None))),
        ("sensor fault", change(lambda b: setattr(b.module, "sensor_fault", True))),
        ("hot", change(lambda b: setattr(b.module, "temperature", 700))),
        ("e-stop", change(lambda b: b.hal.levels.update(estop=True))),
        ("e-stop unknown", change(lambda b: b.hal.levels.update(estop=None))),
        ("door", change(lambda b: b.hal.levels.update(door=True))),
        ("permit", lambda b: b.outlet.permit(False)),
        ("limit", lambda b: b.outlet.permit(True, 0)),
        ("program", lambda b: b.outlet.make_safe()),
    ):
        bench = Bench().charge()
        offs = bench.module.offs
        loss(bench)
        assert bench.module.offs > offs and not bench.module.on, name
        bench.go(400)
        assert bench.gate.state == OFF, name


def test_bms_frame_with_less_current_goes_out_with_that_frame():
    bench = Bench().charge()
    bench.bms.ma = 7_000
    bench.bms_bus.on_frame(0, 1, b"")
    assert bench.module.ma == 7_000 and bench.module.on


def test_silent_bms_while_the_module_talks():
    bench = Bench().charge()
    bench.bms.talks = False
    silent = bench.bms.silent_ms()
    bench.go(2900 - silent)
    assert bench.gate.state == RUNNING
    bench.go(200)
    assert bench.gate.state != RUNNING and not bench.module.on
    assert bench.status() == (True, True, False)  # suspended by the vehicle
    assert bench.outlet.fault() is None
    bench.go(2000)
    bench.bms.talks = True
    bench.go(4000)
    assert bench.gate.state == RUNNING and bench.connector.stops == []  # a pause of 5 s is survived
    bench.bms.talks = False
    bench.go(7700)
    assert bench.connector.stops == []
    bench.go(500)
    assert bench.connector.stops == ["EVDisconnected"] and not bench.outlet.plugged()


def test_wakes_up_exactly_when_the_bms_turns_stale():
    bench = Bench().charge()
    bench.bms.talks = False
    assert bench.outlet.wait_ms() <= 1000
    for _ in range(20):
        wait = bench.outlet.wait_ms()
        if bench.bms.silent_ms() + wait >= 3000:
            break
        bench.clock.advance(wait)
    bench.clock.advance(wait)
    assert bench.bms.silent_ms() == 3000
    bench.outlet.tick()
    assert not bench.module.on


def test_empty_plug_is_not_kept_alive_for_three_seconds():
    bench = Bench().charge()
    bench.bms.talks = False
    bench.module.out_ma = 0  # pulled out
    bench.go(1700)
    assert not bench.module.on and bench.outlet.plugged()
    bench.go(1000)
    assert not bench.module.on  # and does not come back on its own
    bench.bms.talks = True
    bench.go(4000)
    assert bench.gate.state == RUNNING  # it was only a pause


def test_pulled_plug_ends_as_ev_disconnected():
    bench = Bench().charge()
    bench.bms.talks = False
    bench.module.out_ma = 0
    bench.go(8_200)
    assert bench.connector.stops == ["EVDisconnected"] and bench.outlet.fault() is None


def test_plug_switch_keeps_the_vehicle_but_not_the_session():
    bench = Bench(board={"plug_switch": True})
    bench.hal.levels["plug"] = True
    bench.charge()
    bench.bms.talks = False
    bench.go(7500)
    assert bench.connector.stops == [] and not bench.module.on
    bench.go(1000)
    assert bench.connector.stops == ["Other"] and bench.outlet.plugged()


def test_switch_of_a_board_without_one_is_not_looked_at():
    bench = Bench()
    bench.hal.levels["plug"] = True
    bench.go(500)
    assert not bench.outlet.plugged()


def test_bms_that_forbids_ends_the_session_after_its_time():
    bench = Bench().charge()
    bench.bms.allows = False
    bench.go(2900)
    assert bench.connector.stops == [] and bench.status() == (True, True, False)
    bench.go(300)
    assert bench.connector.stops == ["Other"]


def test_bms_that_forbids_for_a_moment_goes_on():
    bench = Bench().charge()
    bench.bms.allows = False
    bench.go(2000)
    bench.bms.allows = True
    bench.go(1500)
    bench.bms.allows = False
    bench.go(2000)
    assert bench.connector.stops == []


def test_limit_of_zero_suspends_for_as_long_as_it_lasts():
    bench = Bench().charge()
    bench.bms.ma = 0
    bench.go(60_000)
    assert bench.connector.stops == [] and bench.status() == (True, True, False) and bench.gate.state == OFF
    bench.bms.ma = 20_000
    bench.go(4000)
    assert bench.gate.state == RUNNING and bench.status() == (True, True, True)


def test_vehicle_that_draws_nothing_for_five_seconds_is_suspended():
    bench = Bench().charge()
    bench.module.draws = False
    bench.module.out_ma = 499
    bench.go(4900)
    assert bench.outlet.ev_ready()
    bench.go(300)
    assert not bench.outlet.ev_ready() and bench.outlet.evse_ready() and bench.gate.state == RUNNING
    bench.module.out_ma = 500
    bench.go(100)
    assert bench.outlet.ev_ready()


def test_limit_of_the_central_system_suspends_the_charger():
    bench = Bench().charge()
    bench.outlet.permit(True, 0)
    assert bench.status() == (True, False, True)
    bench.outlet.permit(True, 5_000)
    bench.go(3000)
    assert bench.gate.set_ma == 5_000 and bench.status() == (True, True, True)
    bench.outlet.permit(True, None, 764)
    bench.go(3000)
    assert bench.gate.set_ma == 10_000


def test_start_up_is_not_a_charger_that_withholds():
    bench = Bench().plug()
    bench.connector.transaction = object()
    bench.outlet.permit(True)
    assert not bench.outlet.evse_ready()  # not offered yet: still preparing
    bench.charge()
    bench.bms.ma = 0
    bench.go(1000)
    bench.bms.ma = 30_000
    for _ in range(100):
        bench.go(STEP)
        assert bench.outlet.evse_ready()  # on the way back: no SuspendedEVSE in between


def test_faults_and_their_names():
    def level(name):
        return lambda b: b.hal.levels.update({name: True})

    def over_vehicle(bench):
        bench.module.out_ma = 33_100  # a tenth above its 30 A

    def over_profile(bench):
        bench.outlet.permit(True, 10_000)
        bench.go(200)
        bench.module.out_ma = 13_000

    for change, after_ms, fault, reason in (
        (level("estop"), 40, ("OtherError", "EmergencyStop", ""), "EmergencyStop"),
        (lambda b: b.hal.levels.update(estop=None), 1050, ("OtherError", "InputsLost", ""), "Other"),
        (level("door"), 40, ("OtherError", "DoorOpen", ""), "Other"),
        (level("fault"), 40, ("OtherError", "ExternalFault", ""), "Other"),
        (lambda b: b.hal.levels.update(fault="isolation"), 40, ("OtherError", "ExternalFault", "isolation"), "Other"),
        (lambda b: setattr(b.module, "out_mv", 84_600), 40, ("OverVoltage", "OutputOverVoltage", ""), "Other"),
        (over_vehicle, 450, ("OverCurrentFailure", "VehicleLimitExceeded", ""), "Other"),
        (over_profile, 2050, ("OverCurrentFailure", "OutputOverCurrent", ""), "Other"),
        (lambda b: setattr(b.module, "temperature", 700), 40, ("HighTemperature", "OverTemperature", ""), "Other"),
        (lambda b: setattr(b.module, "temperature", None), 5050, ("InternalError", "TemperatureSensor", ""), "Other"),
        (lambda b: setattr(b.module, "healthy", False), 5050, ("InternalError", "PowerModuleLost", ""), "Other"),
        (lambda b: setattr(b.module, "guarded", False), 5050, ("InternalError", "PowerModuleLost", ""), "Other"),
        (lambda b: setattr(b.pm_bus, "up", False), 5050, ("InternalError", "PowerModuleLost", ""), "Other"),
        (lambda b: b.outlet.make_safe(), 40, ("InternalError", "Software", ""), "Other"),
    ):
        bench = Bench().charge()
        change(bench)
        bench.go(after_ms - 100)
        if after_ms > 400:
            assert bench.outlet.fault() is None, fault
        bench.go(100)
        assert bench.outlet.fault() == fault, (bench.outlet.fault(), fault)
        assert bench.connector.stops == [reason], fault
        assert not bench.module.on and bench.hal.outputs["led"] == "fault"


def test_off_that_is_not_confirmed():
    bench = Bench().charge()
    bench.module.obeys = False
    bench.outlet.permit(False)
    bench.go(1900)
    assert not bench.outlet.is_settled()
    bench.go(200)
    assert bench.outlet.is_settled() and bench.outlet.fault() == ("PowerSwitchFailure", "OffNotConfirmed", "")
    assert bench.hal.outputs["contactor"] is False
    bench.module.obeys = True
    bench.go(20_000)
    assert bench.outlet.fault() is not None  # stays until the vehicle has gone
    bench.bms.talks = False
    bench.go(3500)
    assert bench.outlet.fault() is None


def test_start_that_fails_three_times():
    bench = Bench().plug()
    bench.module.obeys = False
    bench.connector.transaction = object()
    bench.outlet.permit(True)
    bench.go(15_000)
    assert bench.outlet.fault() == ("InternalError", "StartFailed", "") and bench.connector.stops == ["Other"]


def test_silent_bms_is_never_faulted():
    bench = Bench().charge()
    bench.bms.talks = False
    bench.go(30_000)
    assert bench.outlet.fault() is None
    bench.bms_bus.up = False
    bench.go(14_900)
    assert bench.outlet.fault() is None
    bench.go(300)
    assert bench.outlet.fault()[1] == "BmsBusDown"  # our own controller


def test_no_start_for_ten_seconds_after_a_fault():
    bench = Bench().charge()
    bench.hal.levels["estop"] = True
    bench.go(1000)
    bench.hal.levels["estop"] = False
    bench.go(200)
    assert bench.outlet.fault() is None  # told at once
    bench.connector.transaction = object()
    bench.outlet.permit(True)
    bench.go(9_500)
    assert bench.gate.state == OFF and not bench.outlet.evse_ready()
    bench.go(2_000)
    assert bench.gate.state == RUNNING


def test_lowered_voltage_limit_is_off_but_no_fault():
    bench = Bench().charge()
    bench.bms.mv = 75_000  # below what the pack has
    bench.go(5000)
    assert bench.gate.state == OFF and bench.outlet.fault() is None
    assert bench.status() == (True, False, True)


def test_program_errors_are_off_counted_and_do_not_spread():
    for breaks in ("module", "bms"):
        bench = Bench().charge()
        driver = getattr(bench, breaks)
        driver.breaks = True
        bench.go(300)  # no exception comes out
        assert not bench.module.on and bench.outlet.errors > 0
        assert bench.outlet.fault() == ("InternalError", "Software", "") and bench.connector.stops == ["Other"]
        bench.go(60_000)
        assert sum(1 for level, _, _ in bench.log.lines if level == "E") < 30  # a loop of errors does not flood the log
        driver.breaks = False
        bench.go(11_000)
        assert bench.outlet.fault() is None


def test_connector_that_raises_does_not_stop_the_safety_loop():
    bench = Bench().charge()

    def broken(reason):
        raise ValueError(reason)

    bench.connector.stop = broken
    bench.hal.levels["estop"] = True
    bench.go(200)
    assert not bench.module.on and bench.outlet.fault()[1] == "EmergencyStop"
    ticks = bench.module.ticks
    bench.go(200)
    assert bench.module.ticks > ticks


def test_samples():
    bench = Bench().charge()
    bench.module.out_mv, bench.module.out_ma = 77_154, 1_849
    sample = bench.outlet.sample
    assert sample("Power.Active.Import") == ("143", "W")
    assert sample("SoC") == ("87.00", "Percent")
    assert sample("Voltage") == ("77.15", "V")
    assert sample("Current.Import") == ("1.85", "A")
    assert sample("Temperature") == ("26.5", "Celsius")
    assert sample("Current.Offered") == ("30.00", "A")
    assert sample("Power.Offered") == ("2315", "W")
    assert sample("Frequency") is None
    bench.module.out_ma = -120  # noise around zero
    assert sample("Current.Import") == ("0.00", "A") and sample("Power.Active.Import") == ("0", "W")
    bench.bms.soc = None
    bench.module.out_mv = bench.module.out_ma = bench.module.temperature = None
    for name in ("SoC", "Voltage", "Current.Import", "Power.Active.Import", "Temperature"):
        assert sample(name) is None, name


def test_what_is_offered_follows_the_limits():
    bench = Bench().charge()
    sample = bench.outlet.sample
    bench.outlet.permit(True, 5_000)
    assert sample("Current.Offered") == ("5.00", "A") and sample("Power.Offered") == ("382", "W")
    bench.outlet.permit(True, 5_000, 191)
    assert sample("Current.Offered") == ("2.50", "A") and sample("Power.Offered") == ("191", "W")
    bench.outlet.permit(True, 0, 0)
    assert sample("Current.Offered") == ("0.00", "A") and sample("Power.Offered") == ("0", "W")


def test_limits_of_the_hardware():
    bench = Bench().charge()
    snap = bench.outlet._snap
    assert bench.outlet.limits() == (snap.max_ma, snap.max_w, 76_400, 500)
    bench.module.out_mv = None
    bench.go(50)
    assert bench.outlet.limits()[2] == snap.low_mv  # as the interlock counts


def test_vehicle_values_and_their_sources():
    bench = Bench().plug()
    assert bench.outlet.vehicle_values() == (8_700, 30_000, 76_400, 0, 265)
    bench.bms.pack_mv, bench.bms.temperature_dc = 76_100, 310
    assert bench.outlet.vehicle_values() == (8_700, 30_000, 76_100, 0, 310)
    bench.bms.ma = 0
    bench.bms.soc = None
    assert bench.outlet.vehicle_values()[:2] == (None, None)


def test_soc_of_a_vehicle_that_has_left_is_kept_until_the_next_comes():
    bench = Bench().charge()
    bench.bms.soc = 8_718
    bench.go(100)
    bench.bms.talks = False
    bench.bms.soc = None
    bench.go(9_000)
    assert not bench.outlet.plugged() and bench.outlet.soc == 8_718
    bench.bms.talks = True
    bench.go(200)
    assert bench.outlet.soc is None


def test_lock_follows_the_transaction():
    bench = Bench(board={"lock": True}).charge()
    assert bench.hal.outputs["lock"] is True
    bench.connector.stop("Local")
    bench.go(100)
    assert bench.hal.outputs["lock"] is False


def test_lock_stays_as_long_as_the_charge_point_wants():
    bench = Bench(board={"lock": True}).charge()
    bench.connector.kept = True
    bench.connector.stop("EVDisconnected")
    bench.go(1000)
    assert bench.hal.outputs["lock"] is True


def test_unlock_tells_whether_the_lock_has_moved():
    for bolt, opened in ((None, True), (False, True), (True, False)):
        bench = Bench(board={"lock": True})
        bench.hal.levels["lock"] = bolt
        assert virtual_run(lambda clock: bench.outlet.unlock()) is opened
        assert bench.hal.outputs["lock"] is False


def _claimed(bolt):
    """A tag was accepted, the vehicle is there, and the lock has been told to close; its bolt says this."""
    bench = Bench(board={"lock": True})
    bench.hal.levels["lock"] = False
    bench.connector.id_tag = "TAG"
    bench.go(1000)
    assert bench.hal.outputs["lock"] is False and not bench.outlet.lock.is_closed()  # nothing there to be locked
    bench.plug()
    assert bench.hal.outputs["lock"] is True
    bench.hal.levels["lock"] = bolt
    return bench


def test_lock_closes_before_the_session():
    bench = _claimed(True)
    assert bench.outlet.lock.is_closed() and _claimed(None).outlet.lock.is_closed()
    bench.connector.id_tag = None  # it was not meant
    bench.go(100)
    assert bench.hal.outputs["lock"] is False and not bench.outlet.lock.is_closed()


def test_lock_that_does_not_close_is_a_fault_until_the_vehicle_has_left():
    bench = _claimed(False).go(600)
    assert bench.outlet.fault() is None and not bench.outlet.lock.is_closed()
    bench.go(400)
    assert bench.outlet.fault() == ("ConnectorLockFailure", "PlugLock", "")
    bench.go(60_000)
    assert bench.outlet.fault() is not None and bench.hal.outputs["lock"] is False, "the plug must be free"
    bench.bms.talks = False
    bench.go(4_000)
    assert not bench.outlet.plugged() and bench.outlet.fault() is None
    bench.plug()
    bench.hal.levels["lock"] = True
    bench.go(100)
    assert bench.outlet.lock.is_closed() and bench.outlet.fault() is None


def test_lock_that_comes_open_ends_the_session():
    bench = Bench(board={"lock": True})
    bench.hal.levels["lock"] = True
    bench.charge()
    bench.hal.levels["lock"] = False
    bench.go(900)
    assert bench.gate.state == RUNNING
    bench.go(200)
    assert bench.connector.stops == ["Other"] and bench.gate.state in (STOPPING, OFF)
    assert bench.outlet.fault()[0] == "ConnectorLockFailure"


def test_boot_without_inputs_is_no_fault_for_a_second():
    bench = Bench()
    bench.hal.levels.update(estop=None, door=None)
    bench.go(900)
    assert bench.outlet.fault() is None
    bench.hal.levels.update(estop=False, door=False)
    bench.charge()


def test_whole_session_over_the_wrap_of_the_ticks():
    for start in range(PERIOD - 6_000, PERIOD, 1_000):
        bench = Bench(start=start).charge()
        bench.outlet.permit(False)
        bench.connector.transaction = None
        bench.go(1000)
        assert bench.gate.state == OFF and bench.outlet.fault() is None, start


def test_real_driver_switches_off_without_allocating():
    from drivers.power.rivot_can import RivotModule

    class Wire:
        """A bus that only counts: a list of frames would allocate."""

        def __init__(self):
            self.is_up = True
            self.count = 0

        def send(self, can_id, data, flags=1):
            self.count += 1
            return True

    clock, wire = FakeClock(), Wire()
    gate = Gate(RivotModule(wire, clock), clock, FakeLog(), None)
    gate.state = RUNNING
    micropython.heap_lock()
    try:
        gate.off()
    finally:
        micropython.heap_unlock()
    assert wire.count == 2 and gate.state == STOPPING


def test_lasting():
    clock = FakeClock(PERIOD - 500)
    lasting = Lasting(clock, 1000)
    assert not lasting.update(True)
    clock.advance(999)
    assert not lasting.update(True)
    clock.advance(1)
    assert lasting.update(True)
    clock.advance(PERIOD - 1)  # the ticks read as at the beginning
    assert lasting.update(True)
    assert not lasting.update(False)
    assert not lasting.update(True)


def test_energy_is_rounded_down_to_whole_wh():
    bench = Bench()
    for mwh, want in ((0, 0), (1, 0), (999, 0), (1000, 1), (1999, 1), (3390, 3), (10_499_999, 10_499)):
        bench.meter.session_mwh = mwh
        assert bench.outlet.energy_wh() == want, mwh
