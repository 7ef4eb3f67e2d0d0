"""Start and stop sequence of the power output, against a module that answers late, partly or never."""

import micropython
from fakes import PERIOD, FakeClock, FakeLog

from charger.gate import (
    ARMING,
    ENERGISING,
    OFF,
    OFF_NOT_CONFIRMED,
    RUNNING,
    START_FAILED,
    STATE_NAMES,
    STOPPING,
    WELDED,
    Gate,
)  # fmt: skip

STEP = 20  # ms between two polls


class FakeModule:
    """A power module with a latency. `sent` lists what left: "off", or (on, mv, ma) for each push."""

    def __init__(self, clock, latency_ms=80):
        self._clock = clock
        self.latency_ms = latency_ms
        self.sent = []
        self.offs = 0  # counted, not listed: off() must not allocate
        self.obeys = True  # follows commands
        self.echoes = True  # answers them
        self.charging = None
        self.draws = True  # the vehicle takes what is offered
        self.on, self.mv, self.ma = False, 0, 0  # command
        self.echo_on, self.echo_mv, self.echo_ma = False, None, None
        self.out_ma = 0
        self.powered = False
        self._due = None
        self._off_at = None

    def command(self, on, mv, ma):
        self.on, self.mv, self.ma = on, mv, ma

    def push(self):
        self.sent.append((self.on, self.mv, self.ma))
        self._due = self._due or self._clock.uptime_ms() + self.latency_ms

    def off(self):
        self.offs += 1
        self.on = False
        self.ma = 0
        self._off_at = self._clock.ticks_ms()

    def is_off(self):
        return self.echo_on is False and self.out_ma < 500

    def is_charging(self):
        return self.charging

    def terminal_ma(self):
        return self.out_ma

    def pass_time(self):
        now = self._clock.uptime_ms()
        if self._due is not None and now >= self._due:
            self._due = None
            self._obey()
        if self._off_at is not None and self._clock.ticks_diff(self._clock.ticks_ms(), self._off_at) >= self.latency_ms:
            self._off_at = None
            self._obey()

    def _obey(self):
        if self.obeys:
            self.powered = self.on
            self.out_ma = self.ma if self.on and self.draws else 0
        if self.echoes:
            self.echo_on, self.echo_mv, self.echo_ma = self.powered, self.mv, self.ma


class Bench:
    """A gate with its module, contactor and log. `go` lets time pass under one decision of the interlock."""

    def __init__(self, contactor=True, start=PERIOD - 20_000, **options):
        self.clock = FakeClock(start)
        self.module = FakeModule(self.clock)
        self.log = FakeLog()
        self.contactor = []
        self.moves = True  # the contactor follows
        self.closed = False  # what its auxiliary contact says
        self.gate = Gate(self.module, self.clock, self.log, self._drive if contactor else None, **options)
        self.states = [OFF]

    def _drive(self, closed):
        self.contactor.append((closed, self.module.powered, self.module.out_ma))
        self.closed = closed if self.moves else self.closed

    def go(self, ms, allowed=True, mv=84_000, ma=30_000, until=None):
        for passed in range(0, ms, STEP):
            self.gate.poll(allowed, mv, ma)
            if self.gate.state != self.states[-1]:
                self.states.append(self.gate.state)
            if until is not None and self.gate.state == until:
                return passed
            self.clock.advance(STEP)
            self.module.pass_time()
        return ms

    def run(self):
        self.go(6000)
        assert self.gate.state == RUNNING, STATE_NAMES[self.gate.state]
        return self


def test_nothing_is_sent_without_permission():
    bench = Bench()
    bench.go(5000, allowed=False)
    assert bench.gate.state == OFF and bench.module.sent == []
    assert bench.gate.is_settled() and not bench.gate.may_flow()
    assert bench.contactor == [(False, False, 0)]


def test_start_sequence():
    bench = Bench()
    took = bench.go(3000, until=RUNNING)
    assert took < 1500, took
    assert bench.states == [OFF, ARMING, ENERGISING, RUNNING]
    sent = bench.module.sent
    assert sent[0] == (False, 84_000, 1_000)  # set-points with the output off, small current
    first_on = next(i for i in range(len(sent)) if sent[i][0])
    assert all(not on for on, _, _ in sent[:first_on])
    assert sent[first_on] == (True, 84_000, 1_000)
    assert bench.contactor == [(False, False, 0), (True, False, 0)]  # closed before the output is on


def test_on_waits_for_both_echoes():
    for missing in ("echo_mv", "echo_ma"):
        bench = Bench()
        bench.module.echoes = False
        bench.module.echo_mv, bench.module.echo_ma = 84_000, 1_000
        setattr(bench.module, missing, None)
        bench.go(2000)
        assert bench.gate.state == ARMING and not any(on for on, _, _ in bench.module.sent), missing
        setattr(bench.module, missing, 70_000)  # of an older command
        bench.go(200)
        assert bench.gate.state == ARMING, missing


def test_on_waits_for_an_output_that_is_off():
    bench = Bench()
    bench.module.echoes = False
    bench.module.echo_on, bench.module.echo_mv, bench.module.echo_ma = None, 84_000, 1_000
    bench.go(2000)
    assert bench.gate.state == ARMING and not any(on for on, _, _ in bench.module.sent)


def test_contactor_has_its_time_before_on():
    bench = Bench(close_ms=200)
    bench.go(3000, until=ENERGISING)
    closed_at = bench.clock.uptime_ms()
    assert bench.contactor[-1][0]
    while not bench.module.on:
        bench.go(STEP)
    assert bench.clock.uptime_ms() - closed_at >= 200


def test_board_without_contactor_starts_too():
    bench = Bench(contactor=False)
    assert bench.go(3000, until=RUNNING) < 1000


def test_current_ramps_up_and_never_passes_the_limit():
    bench = Bench(ramp_ma_s=10_000)
    bench.go(3000, until=RUNNING)
    began, last, step = bench.clock.uptime_ms(), 0, 0
    while bench.gate.set_ma < 30_000:
        bench.go(STEP)
        step = max(step, bench.gate.set_ma - last)
        last = bench.gate.set_ma
        assert last <= 30_000
    assert 2_500 <= bench.clock.uptime_ms() - began <= 3_400  # 29 A at 10 A/s
    assert step <= 2_000


def test_lower_limit_is_sent_in_the_same_call():
    bench = Bench().run()
    assert bench.gate.set_ma == 30_000
    sent = len(bench.module.sent)
    bench.gate.poll(True, 84_000, 12_000)
    assert bench.module.sent[sent:] == [(True, 84_000, 12_000)]
    bench.gate.poll(True, 80_000, 12_000)
    assert bench.module.sent[-1] == (True, 80_000, 12_000)
    bench.go(STEP, ma=30_000, mv=80_000)
    assert bench.gate.set_ma < 30_000  # raised, but not at once


def test_unchanged_limits_send_nothing():
    bench = Bench().run()
    sent = len(bench.module.sent)
    bench.go(5000)
    assert len(bench.module.sent) == sent  # the driver's own cycle repeats them


def test_off_from_every_state():
    for target in (ARMING, ENERGISING, RUNNING):
        for contactor in (True, False):
            bench = Bench(contactor=contactor)
            bench.go(3000, until=target)
            assert bench.gate.state == target
            offs = bench.module.offs
            bench.gate.off()
            assert bench.module.offs == offs + 1  # before off() returned
            assert bench.gate.state == STOPPING and bench.gate.set_ma == 0
            bench.go(1000, allowed=False, until=OFF)
            assert bench.gate.state == OFF and bench.gate.fault is None
            assert not bench.module.powered
            if contactor:
                assert not bench.contactor[-1][0] and bench.contactor[-1][2] < 500  # opened without current


def test_lost_permission_is_off_in_the_same_call():
    bench = Bench().run()
    offs = bench.module.offs
    bench.gate.poll(False, 0, 0)
    assert bench.module.offs == offs + 1 and bench.gate.state == STOPPING


def test_permission_that_returns_during_the_stop_waits_for_its_end():
    bench = Bench().run()
    bench.gate.poll(False, 0, 0)
    bench.states = [bench.gate.state]
    bench.go(3000, until=RUNNING)
    assert bench.states == [STOPPING, OFF, ARMING, ENERGISING, RUNNING]


def test_off_allocates_nothing():
    bench = Bench().run()
    gate = bench.gate
    micropython.heap_lock()
    try:
        gate.off()
        gate.off()
    finally:
        micropython.heap_unlock()
    assert bench.gate.state == STOPPING and bench.module.offs >= 2


def test_off_in_off_sends_again_and_changes_nothing():
    bench = Bench()
    bench.gate.off()
    assert bench.gate.state == OFF and bench.module.offs == 1 and bench.gate.is_settled()


def test_off_swallows_what_the_driver_raises():
    bench = Bench().run()

    def broken():
        raise OSError(5)

    works = bench.module.off
    bench.module.off = broken
    bench.gate.off()
    assert bench.gate.state == STOPPING
    bench.module.off = works
    bench.go(1500, allowed=False)  # tried again without being asked
    assert bench.gate.state == OFF and not bench.module.powered


def test_unconfirmed_off_is_a_latched_fault_and_opens_the_contactor():
    bench = Bench().run()
    bench.module.obeys = False
    bench.gate.poll(False, 0, 0)
    took = bench.go(5000, allowed=False, until=None)
    assert took == 5000
    gate = bench.gate
    assert gate.state == STOPPING and gate.fault == OFF_NOT_CONFIRMED and gate.is_settled() and gate.may_flow()
    assert bench.contactor[-1][0] is False
    assert any(level == "E" for level, _, _ in bench.log.lines)
    assert bench.module.offs > 5  # still trying
    assert not gate.clear_fault()
    bench.module.obeys = True
    bench.go(2000, allowed=True)
    assert gate.state == OFF and gate.fault == OFF_NOT_CONFIRMED  # off, but nothing starts
    assert not gate.may_flow()
    assert gate.clear_fault() and gate.fault is None
    bench.go(3000)
    assert gate.state == RUNNING


def test_fault_comes_exactly_at_the_deadline():
    bench = Bench(off_deadline_ms=2000).run()
    bench.module.obeys = False
    bench.gate.off()
    bench.clock.advance(1999)
    bench.gate.poll(False, 0, 0)
    assert bench.gate.fault is None and not bench.gate.is_settled()
    bench.clock.advance(1)
    bench.gate.poll(False, 0, 0)
    assert bench.gate.fault == OFF_NOT_CONFIRMED and bench.gate.is_settled()


def test_repeated_off_does_not_move_the_deadline():
    bench = Bench(off_deadline_ms=2000).run()
    bench.module.obeys = False
    for _ in range(2000 // STEP + 1):
        bench.gate.off()
        bench.go(STEP, allowed=False)
    assert bench.gate.fault == OFF_NOT_CONFIRMED


def test_start_attempts_are_bounded():
    bench = Bench()
    bench.go(3000, until=ENERGISING)
    bench.module.obeys = False  # never switches on
    bench.go(30_000)
    gate = bench.gate
    assert gate.fault == START_FAILED and gate.state == OFF
    assert bench.states.count(ARMING) == 3
    assert sum(1 for level, _, _ in bench.log.lines if level == "W") == 3
    bench.module.obeys = True
    bench.go(5000)
    assert gate.state == OFF  # latched
    assert gate.clear_fault()
    bench.go(3000)
    assert gate.state == RUNNING


def test_vehicle_that_takes_nothing_is_no_failed_start():
    bench = Bench()
    bench.module.draws = False
    bench.go(4000)
    assert bench.gate.state == RUNNING and bench.gate.fault is None and bench.gate.failed_starts == 0


def test_terminal_status_alone_proves_the_start():
    bench = Bench()
    bench.module.draws = False
    bench.module.charging = True
    assert bench.go(3000, until=RUNNING) < 1000


def test_module_that_leaves_by_itself_goes_through_the_sequence():
    bench = Bench().run()
    bench.module.powered = bench.module.echo_on = False
    bench.module.out_ma = 0
    bench.states = [RUNNING]
    bench.go(900)
    assert bench.gate.state == RUNNING  # one odd echo is not enough
    bench.go(6000)
    assert bench.states == [RUNNING, STOPPING, OFF, ARMING, ENERGISING, RUNNING]
    assert bench.gate.failed_starts == 1
    bench.go(40_000)
    assert bench.gate.failed_starts == 0  # forgotten after a steady time


def test_output_that_is_on_without_us_is_switched_off():
    bench = Bench()
    bench.module.powered = bench.module.echo_on = True
    bench.module.out_ma = 5_000
    bench.gate.poll(False, 0, 0)
    assert bench.gate.state == STOPPING and bench.module.offs == 1 and bench.gate.may_flow()
    bench.go(1000, allowed=False)
    assert bench.gate.state == OFF and not bench.module.powered and bench.gate.fault is None


def test_hold_blocks_the_start_for_its_time():
    bench = Bench(hold_ms=10_000)
    bench.gate.hold()
    bench.go(9_980)
    assert bench.gate.state == OFF and bench.gate.is_blocked()
    bench.go(60)
    assert bench.gate.state != OFF


def test_hold_is_over_for_good_when_ticks_wrap():
    bench = Bench(start=0, hold_ms=10_000)
    bench.gate.hold()
    bench.clock.advance(10_000)
    assert not bench.gate.is_blocked()
    bench.clock.advance(PERIOD - 9_000)
    assert not bench.gate.is_blocked()


def test_energy_may_flow_from_on_until_off_is_confirmed():
    bench = Bench()
    assert not bench.gate.may_flow()
    bench.go(3000, until=ARMING)
    assert not bench.gate.may_flow()
    bench.go(3000, until=RUNNING)
    assert bench.gate.may_flow()
    bench.gate.off()
    assert bench.gate.may_flow()
    bench.go(1000, allowed=False, until=OFF)
    assert not bench.gate.may_flow()


def test_whole_sequence_over_the_wrap():
    for start in range(PERIOD - 3_000, PERIOD + 200, 80):
        bench = Bench(start=start)
        bench.go(4000)
        assert bench.gate.state == RUNNING, start
        bench.gate.off()
        bench.go(1000, allowed=False)
        assert bench.gate.state == OFF and bench.gate.fault is None, start


def test_six_days_of_one_state_change_nothing():
    bench = Bench().run()
    bench.clock.advance(7 * 24 * 3600 * 1000)
    bench.gate.poll(True, 84_000, 30_000)
    assert bench.gate.state == RUNNING
    bench.gate.off()
    bench.go(1000, allowed=False)
    bench.clock.advance(7 * 24 * 3600 * 1000)
    bench.go(3000)
    assert bench.gate.state == RUNNING


# -- enable line and auxiliary contact, where the board has them


def with_aux(**options):
    bench = Bench(closed=lambda: bench.closed, **options)
    return bench


def test_enable_line_rises_before_on_and_falls_with_off():
    levels = []
    bench = Bench(enable=lambda level: levels.append((level, bench.module.on, bench.module.offs)))
    bench.go(STEP)
    assert levels == [(False, False, 0)]  # driven low from the start, whatever it was
    bench.go(3000, until=RUNNING)
    assert levels[1:] == [(True, False, 0)]
    bench.gate.off()
    assert levels[2] == (False, True, 0)  # before any frame
    bench.go(1000, allowed=False, until=OFF)
    assert bench.gate.state == OFF and not any(level for level, _, _ in levels[2:])


def test_enable_line_that_raises_does_not_stop_the_off_frame():
    def broken(level):
        raise OSError(5)

    bench = Bench().run()
    bench.gate._enable = broken
    bench.gate.off()
    assert bench.gate.state == STOPPING and bench.module.offs == 1


def test_on_waits_for_the_auxiliary_contact():
    bench = with_aux(close_ms=0)
    bench.moves = False
    bench.go(2000)
    assert bench.gate.state == ENERGISING and not bench.module.on
    bench.closed = True
    bench.go(1000, until=RUNNING)
    assert bench.gate.state == RUNNING


def test_contactor_that_never_closes_is_a_failed_start():
    for says in (False, None):
        bench = with_aux()
        bench.moves = False
        bench.closed = says
        bench.go(20_000)
        assert bench.gate.fault == START_FAILED and bench.gate.state == OFF
        assert not any(on for on, _, _ in bench.module.sent)
        assert any("does not close" in text for _, _, text in bench.log.lines)


def test_contactor_that_opens_by_itself_is_off_at_once():
    bench = with_aux().run()
    bench.closed = False
    offs = bench.module.offs
    bench.gate.poll(True, 84_000, 30_000)
    assert bench.gate.state == STOPPING and bench.module.offs == offs + 1 and bench.gate.failed_starts == 1
    bench = with_aux().run()
    bench.closed = None  # not known for a moment: the inputs have their own fault
    bench.go(100)
    assert bench.gate.state == RUNNING


def test_welded_contactor_is_a_latched_fault():
    bench = with_aux().run()
    bench.moves = False
    bench.gate.off()
    bench.go(1000, allowed=False, until=OFF)
    bench.go(480, allowed=False)
    assert bench.gate.fault is None  # it may still be on its way
    bench.go(60, allowed=False)
    assert bench.gate.fault == WELDED
    bench.go(5000)
    assert bench.gate.state == OFF and not bench.gate.clear_fault()  # never a start, never forgotten while closed
    bench.closed = None
    assert not bench.gate.clear_fault()
    bench.closed = False
    assert bench.gate.clear_fault()
    bench.moves = True
    bench.go(3000)
    assert bench.gate.state == RUNNING


def test_contactor_that_is_welded_at_power_up_is_found():
    bench = with_aux()
    bench.moves = False
    bench.closed = True
    bench.go(2000, allowed=False)
    assert bench.gate.fault == WELDED
    bench.go(3000)
    assert bench.gate.state == OFF and bench.module.sent == []
