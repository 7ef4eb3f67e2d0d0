"""The power output of one connector: the only writer of the module's set-points and of its on/off.

OFF -> ARMING -> ENERGISING -> RUNNING
 ^        \\          |           /
 +-------- STOPPING <+----------+     off() leads here from everywhere
"""

from micropython import const

OFF = const(0)
ARMING = const(1)  # set-points sent with the output off; waiting for both echoes
ENERGISING = const(2)  # contactor closed, on sent; waiting for the module to follow
RUNNING = const(3)
STOPPING = const(4)  # off sent and repeated until the module confirms
STATE_NAMES = ("OFF", "ARMING", "ENERGISING", "RUNNING", "STOPPING")

# Faults
OFF_NOT_CONFIRMED = const(1)
WELDED = const(2)  # the contactor stays closed
START_FAILED = const(3)

_ECHO_MV = const(100)  # the module counts in 1/1024 V ...
_ECHO_MA = const(100)  # ... and 1/30.5 A
_RISING_MA = const(300)  # this much current shows that the output is on
_PROOF_MS = const(1500)  # an output that is on but feeds nobody is RUNNING after this
_PUSH_MS = const(250)  # unanswered commands are sent again
_RAMP_MS = const(200)  # one step of the current
_DROP_MS = const(1000)  # the module says "off" for this long although told "on"
_STOP_MIN_MS = const(150)  # an echo older than the stop cannot confirm it
_AGAIN_MS = const(500)
_RETRY_MS = const(500)
_START_MS = const(2500)  # a start attempt takes no longer
_ATTEMPTS = const(3)  # failed starts in a row that make a fault
_STEADY_MS = const(30_000)  # a life this long makes the earlier start attempts forgotten
_OPENS_MS = const(500)  # a contactor is open by then, bounce included


class Gate:
    """Start and stop sequence of the power module.

    module    -- power driver
    contactor, enable -- callable(bool) or None where the board has none. The enable line is the way to
                 switch off that needs no bus: it falls with off(), before the frames
    closed    -- callable: the contactor's auxiliary contact (True, False, None unknown); None where there is none
    close_ms  -- the contactor needs this to close
    off_deadline_ms -- an off that is not confirmed by then is a fault, and the contactor opens anyway
    start_ma, ramp_ma_s -- first current, and how fast it rises. Lowering is immediate
    hold_ms   -- no start for this long after hold()
    fault     -- None, OFF_NOT_CONFIRMED, WELDED or START_FAILED; stays until clear_fault()
    """

    def __init__(self, module, clock, log, contactor=None, close_ms=100, off_deadline_ms=2000,
                 start_ma=1000, ramp_ma_s=20_000, hold_ms=10_000, enable=None, closed=None):  # fmt: skip
        self._module = module
        self._clock = clock
        self._log = log
        self._contactor = contactor
        self._enable = enable
        self._aux = closed
        self._close_ms = close_ms
        self._off_deadline_ms = off_deadline_ms
        self._start_ma = start_ma
        self._ramp_ma_s = ramp_ma_s
        self._hold_ms = hold_ms
        self.state = OFF
        self.fault = None
        self.set_mv = self.set_ma = 0  # what the module is told
        self.failed_starts = 0
        self._closed = None  # last level given to the contactor
        self._was_on = False  # on was sent since the last OFF
        self._late = False  # this stop has passed its deadline
        self._since = clock.ticks_ms()  # of the state
        self._step_at = self._on_at = self._since  # of the last command, of the first "on"
        self._drop_at = None
        self._block_at = None  # no start until _block_ms after this
        self._block_ms = 0
        self._logged = OFF

    # -- questions

    def may_flow(self):
        """True while energy may flow: from "on" until "off" is confirmed."""
        return self._was_on

    def is_settled(self):
        """True when the output is off for sure, or when waiting for that was given up (then `fault` is set)."""
        return self.state == OFF or (self.state == STOPPING and self._late)

    def is_blocked(self):
        """True while a hold or the pause between two start attempts lasts."""
        if self._block_at is None:
            return False
        if 0 <= self._passed(self._block_at) < self._block_ms:
            return True
        self._block_at = None  # for good: ticks wrap
        return False

    # -- commands

    def off(self):
        """Output off now, from any state, at any time. Allocates nothing and never raises.

        The frames leave before this returns (if the bus takes them); poll() and the driver's
        tick() repeat them until the module confirms.
        """
        if self.state != OFF and self.state != STOPPING:
            self.state = STOPPING
            self._since = self._step_at = self._clock.ticks_ms()
            self._late = False
        self.set_ma = 0
        try:
            if self._enable is not None:
                self._enable(False)
        except Exception:  # noqa: BLE001 - also called where nothing may go wrong; poll() tries again
            pass
        try:
            self._module.off()
        except Exception:  # noqa: BLE001 - as above
            pass

    def hold(self):
        """No start for hold_ms from now (called while a fault stands)."""
        self._block(self._hold_ms)

    def clear_fault(self):
        """Forget the latched fault. Returns False (and keeps it) unless the output is confirmed off, contactor too."""
        if self.state != OFF or self.is_blocked() or (self._aux is not None and self._aux() is not False):
            return False
        self.fault = None
        self.failed_starts = 0
        return True

    def poll(self, allowed, mv, ma):
        """Carry out the interlock's decision. Call on every change and at least every 100 ms."""
        state = self.state
        if state == OFF:
            if self._closed is None and self._enable is not None:
                self._enable(False)
            self._drive(False)
            if self._module.echo_on or (self._module.terminal_ma() or 0) >= 500:  # on, and not by us
                self._late, self._was_on = False, True
                self._enter(STOPPING)
                self.off()
            elif self._aux is not None and self._aux() and not 0 <= self._passed(self._since) < _OPENS_MS:
                if self.fault is None:
                    self._log.error("gate", "the contactor does not open")
                self.fault = WELDED
            elif allowed and self.fault is None and not self.is_blocked():
                self._enter(ARMING)
                self._send(False, mv, min(ma, self._start_ma))
        elif state == STOPPING:
            self._stop()
        elif not allowed:
            self.off()
        elif state == ARMING:
            self._arming(mv, ma)
        elif state == ENERGISING:
            self._energising(mv, ma)
        else:
            self._running(mv, ma)
        if self.state != self._logged:
            self._log.info("gate", "%s -> %s" % (STATE_NAMES[self._logged], STATE_NAMES[self.state]))
            self._logged = self.state

    # -- the sequence

    def _arming(self, mv, ma):
        module = self._module
        if self._failed():
            return
        if mv != self.set_mv or ma < self.set_ma:
            self._send(False, mv, min(ma, self._start_ma))
        elif module.is_off() and _near(module.echo_mv, mv, _ECHO_MV) and _near(module.echo_ma, self.set_ma, _ECHO_MA):
            self._drive(True)
            self._was_on = False
            self.state = ENERGISING  # one deadline for the whole start: _since stays
            self._step_at = self._clock.ticks_ms()
            if self._contactor is None:
                self._on(mv, ma)
        elif self._passed(self._step_at) >= _PUSH_MS:
            self._send(False, mv, self.set_ma)

    def _energising(self, mv, ma):
        module = self._module
        if not self._was_on:
            if self._aux is None:
                if self._passed(self._step_at) >= self._close_ms:
                    self._on(mv, ma)
            elif self._aux():
                self._on(mv, ma)
            elif self._failed():
                self._log.warn("gate", "the contactor does not close")
            return
        if mv != self.set_mv or ma < self.set_ma:
            self._send(True, mv, min(ma, self.set_ma))
        if module.echo_on:
            proof = module.is_charging() or (module.terminal_ma() or 0) >= _RISING_MA
            if proof or self._passed(self._on_at) >= _PROOF_MS:
                self._drop_at = None
                self._enter(RUNNING)
            return
        if not self._failed() and self._passed(self._step_at) >= _PUSH_MS:
            self._send(True, self.set_mv, self.set_ma)

    def _running(self, mv, ma):
        if self._aux is not None and self._aux() is False:
            self._fail("the contactor opened by itself")
            return
        if self._module.echo_on is False:  # the module left by itself: never back without the sequence
            if self._drop_at is None:
                self._drop_at = self._clock.ticks_ms()
            elif self._passed(self._drop_at) >= _DROP_MS:
                self._fail("the module switched itself off")
                return
        else:
            self._drop_at = None
        if self.failed_starts and self._passed(self._since) >= _STEADY_MS:
            self.failed_starts = 0
        if mv != self.set_mv or ma < self.set_ma:
            self._send(True, mv, min(ma, self.set_ma))
        elif ma > self.set_ma:
            passed = self._passed(self._step_at)
            if passed >= _RAMP_MS or passed < 0:
                self._send(True, mv, min(ma, self.set_ma + self._ramp_ma_s * _RAMP_MS // 1000))

    def _stop(self):
        module = self._module
        passed = self._passed(self._since)
        if module.is_off() and (not self._was_on or self._late or passed >= _STOP_MIN_MS):
            self._drive(False)
            self._was_on = False
            self.set_mv = 0
            self._enter(OFF)
        elif not self._late and not 0 <= passed < self._off_deadline_ms:
            self._late = True
            self.fault = OFF_NOT_CONFIRMED
            self._log.error("gate", "off not confirmed after %d ms" % self._off_deadline_ms)
            self._drive(False)  # the last means, even under current
        elif self._passed(self._step_at) >= _AGAIN_MS:
            self._step_at = self._clock.ticks_ms()
            self.off()  # the driver repeats too, if its off() got through

    def _on(self, mv, ma):
        self._was_on = True
        self._on_at = self._clock.ticks_ms()
        if self._enable is not None:
            self._enable(True)
        self._send(True, mv, min(ma, self.set_ma))

    def _failed(self):
        if 0 <= self._passed(self._since) < _START_MS:
            return False
        module = self._module
        self._fail(
            "start: echo on %s, %s mV, %s mA; terminal %s mA"
            % (module.echo_on, module.echo_mv, module.echo_ma, module.terminal_ma())
        )
        return True

    def _fail(self, text):
        self.off()
        self.failed_starts += 1
        self._log.warn("gate", "%s (attempt %d of %d)" % (text, self.failed_starts, _ATTEMPTS))
        if self.failed_starts >= _ATTEMPTS:
            self.fault = START_FAILED
        else:
            self._block(_RETRY_MS)

    def _send(self, on, mv, ma):
        self.set_mv, self.set_ma = mv, ma
        self._step_at = self._clock.ticks_ms()
        self._module.command(on, mv, ma)
        self._module.push()

    def _drive(self, closed):
        if self._contactor is not None and closed != self._closed:
            self._contactor(closed)
            self._closed = closed

    def _block(self, ms):
        self._block_at, self._block_ms = self._clock.ticks_ms(), ms

    def _enter(self, state):
        self.state = state
        self._since = self._clock.ticks_ms()

    def _passed(self, ticks):
        return self._clock.ticks_diff(self._clock.ticks_ms(), ticks)


def _near(value, wanted, tolerance):
    return value is not None and -tolerance <= value - wanted <= tolerance
