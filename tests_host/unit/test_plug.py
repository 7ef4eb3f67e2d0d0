"""Plug detection at its boundaries."""

from fakes import PERIOD, FakeClock

from charger.plug import Plug


class Bms:
    """Age of the last limits frame, as a driver tells it."""

    def __init__(self, clock):
        self._clock = clock
        self._heard = None

    def frame(self):
        self._heard = self._clock.uptime_ms()

    def silent_ms(self):
        return None if self._heard is None else self._clock.uptime_ms() - self._heard


def make(start=PERIOD - 20_000):
    clock = FakeClock(start)
    return clock, Bms(clock), Plug(clock, 3000, 8000)


def test_nothing_heard_is_unplugged():
    clock, bms, plug = make()
    assert not plug.plugged
    for _ in range(100):
        assert not plug.update(bms.silent_ms(), False)
        clock.advance(100)


def test_idle_silence_of_three_seconds_unplugs():
    clock, bms, plug = make()
    bms.frame()
    assert plug.update(bms.silent_ms(), False)
    clock.advance(2999)
    assert plug.update(bms.silent_ms(), False)
    clock.advance(1)
    assert not plug.update(bms.silent_ms(), False)


def test_session_silence_of_eight_seconds_unplugs():
    clock, bms, plug = make()
    bms.frame()
    assert plug.update(bms.silent_ms(), True)
    clock.advance(7999)
    assert plug.update(bms.silent_ms(), True)
    clock.advance(1)
    assert not plug.update(bms.silent_ms(), True)


def test_pauses_up_to_five_seconds_in_a_session_are_survived():
    clock, bms, plug = make()
    for pause in (2000, 3000, 5000, 7900, 100):
        bms.frame()
        for _ in range(pause // 50):
            assert plug.update(bms.silent_ms(), True), pause
            clock.advance(50)


def test_session_that_ends_in_a_pause_does_not_flap():
    clock, bms, plug = make()
    bms.frame()
    plug.update(bms.silent_ms(), True)
    clock.advance(5000)
    assert plug.update(bms.silent_ms(), True)
    assert plug.update(bms.silent_ms(), False)  # the session ends: still the same vehicle
    clock.advance(1000)
    bms.frame()
    assert plug.update(bms.silent_ms(), False)
    clock.advance(3000)  # the next silence is an idle one
    assert not plug.update(bms.silent_ms(), False)


def test_unplugged_stays_until_a_frame_comes():
    clock, bms, plug = make()
    bms.frame()
    plug.update(bms.silent_ms(), False)
    clock.advance(3000)
    assert not plug.update(bms.silent_ms(), False)
    for _ in range(50):
        assert not plug.update(bms.silent_ms(), True)  # a session alone creates no vehicle
        clock.advance(100)
    bms.frame()
    assert plug.update(bms.silent_ms(), False)


def test_ticks_wrap_in_the_middle():
    for start in range(PERIOD - 3000, PERIOD, 250):
        clock, bms, plug = make(start)
        bms.frame()
        assert plug.update(bms.silent_ms(), False)
        clock.advance(2999)
        assert plug.update(bms.silent_ms(), False), start
        clock.advance(1)
        assert not plug.update(bms.silent_ms(), False), start


def test_old_frame_does_not_turn_young_when_ticks_wrap():
    clock, bms, plug = make(0)
    bms.frame()
    plug.update(bms.silent_ms(), False)
    clock.advance(3000)
    assert not plug.update(bms.silent_ms(), False)
    clock.advance(PERIOD - 3000)  # the same tick reading as the frame had
    assert not plug.update(bms.silent_ms(), False)


def test_driver_that_forgets_its_age_changes_nothing():
    clock, bms, plug = make()
    bms.frame()
    plug.update(bms.silent_ms(), True)
    clock.advance(3500)
    assert plug.update(None, True)
    clock.advance(4500)
    assert not plug.update(None, True)


def test_switch_holds_the_plug_while_the_bms_sleeps():
    clock, bms, plug = make()
    assert plug.update(None, False, True)
    clock.advance(60_000)
    assert plug.update(None, False, True)
    assert not plug.update(None, False, False)
    bms.frame()
    assert plug.update(bms.silent_ms(), False, False)  # no switch needed


def test_known_after_the_first_frame_or_the_first_silence():
    clock, bms, plug = make()
    assert not plug.update(None, False) and not plug.known
    clock.advance(2999)
    plug.update(None, False)
    assert not plug.known
    clock.advance(1)
    assert not plug.update(None, False) and plug.known
    clock, bms, plug = make()
    bms.frame()
    assert plug.update(bms.silent_ms(), False) and plug.known
    clock.advance(60_000)
    assert not plug.update(None, False) and plug.known
