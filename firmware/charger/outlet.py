"""One connector's hardware: joins BMS, power module, plug, meter and inputs, and answers the charge point.

It is the `Evse` of lib/ocpp16: questions, and `permit` as the one command. `evaluate` decides
about the power on every relevant frame; `tick` does what needs time, at least every 50 ms.
"""

from cold import cold
from fixed import fixed
from micropython import const

from .faults import EMERGENCY_STOP, LOCK, OVER_TEMPERATURE, OVER_VOLTAGE, SOFTWARE, Faults
from .gate import RUNNING
from .interlock import NOT_PERMITTED, TERMINAL_HIGH, VEHICLE, interlock

_NO_CURRENT_MA = const(500)
_NO_CURRENT_MS = const(5000)
_LATER_MS = const(60)  # a vehicle that has left is known by then, even if the plug was looked at a moment too early
_GONE_MS = const(1500)  # a BMS speaks every second at least


class Outlet:
    """Connector `number` (>= 1).

    bms, module, gate, meter, plug -- this connector's own
    module_bus, bms_bus -- CAN controllers (asked for `is_up`)
    hal     -- inputs and outputs
    snap    -- the interlock's Snapshot, with its constant part filled in
    fault_hold_ms -- as faults.Faults; bms_timeout_ms -- BMS silence that cuts the power
    bms_stop_ms, bms_lost_ms -- a BMS that forbids, or is silent after the time-out, for this long ends the session
    lock -- a lock.Lock, or None; has_switch -- a plug switch is fitted; lifetime -- OCPP shows the lifetime register
    connector -- the charge point's connector, set after construction; None: no OCPP
    soc     -- last known SoC of this plug-in (0.01 %), also when the vehicle has just left; or None
    """

    def __init__(self, number, bms, module, gate, meter, plug, module_bus, bms_bus, hal, clock, log, snap,
                 fault_hold_ms, bms_timeout_ms, bms_stop_ms, bms_lost_ms, lock, has_switch, lifetime):  # fmt: skip
        self.number = number
        self.connector = None
        self.gate = gate
        self.meter = meter
        self.soc = None
        self.reasons = NOT_PERMITTED
        self.errors = 0  # exceptions caught in the safety loop
        self.bms = bms
        self.module = module
        self._plug = plug
        self._module_bus = module_bus
        self._bms_bus = bms_bus
        self._hal = hal
        self._log = log
        self.lock = lock
        self.has_lock = lock is not None  # asked by the charge point
        self._has_switch = has_switch
        self._lifetime = lifetime
        self._bms_timeout_ms = bms_timeout_ms
        self._faults = Faults(clock, fault_hold_ms)
        self._snap = snap
        self._offered = False  # energy was on at some time since permit(True)
        self._gone = False  # the vehicle has probably left
        self._idle = False  # on for long, but the vehicle takes nothing
        self._idle_for = Lasting(clock, _NO_CURRENT_MS)
        self._forbids_for = Lasting(clock, bms_stop_ms)
        self._silent_for = Lasting(clock, bms_lost_ms + _LATER_MS)
        self._was_plugged = False
        self._shown = self._news = None  # what the light, what the charge point was told last
        module.on_power = self._on_power
        module_bus.on_frame = self._on_module_frame
        bms_bus.on_frame = self._on_bms_frame

    # -- Evse: what the charge point asks

    def plugged(self):
        """None right after the start, while a vehicle that is there cannot have been heard yet."""
        return self._plug.plugged if self._plug.known else None

    def evse_ready(self):
        """Energy is offered, or would be if the vehicle took it."""
        if not self._snap.permitted:
            return False
        if self.gate.state == RUNNING:
            return True
        if self.reasons & ~VEHICLE or self.gate.is_blocked():
            return False
        return self.reasons != 0 or self._offered

    def ev_ready(self):
        """False: the vehicle forbids, asks for nothing, is silent, or has drawn nothing for 5 s."""
        return not (self.reasons & VEHICLE or self._idle)

    def fault(self):
        return self._faults.current

    def energy_wh(self):
        """Whole Wh, rounded down: the same for meterStart, meterStop and every sample in between."""
        return (self.meter.lifetime_mwh if self._lifetime else self.meter.session_mwh) // 1000

    def sample(self, measurand):
        """(text, unit) of a measurand, or None when it is not known now."""
        if measurand == "SoC" and not self._snap.plugged:
            return None  # of a vehicle that has left
        if measurand == "Energy.Active.Import.Register":
            return str(self.energy_wh()), "Wh"
        if measurand == "SoC":
            return _text(self.bms.soc, 2, 2, "Percent")
        if measurand == "Temperature":
            return _text(self._temperature_dc(), 1, 1, "Celsius")
        offered_ma = self.gate.set_ma
        if measurand == "Current.Offered":
            return fixed(offered_ma, 3, 2), "A"
        mv, ma = self.module.terminal_mv(), self._terminal_ma()
        if measurand == "Power.Offered":
            return fixed((mv or 0) * offered_ma, 6, 0), "W"
        if measurand == "Voltage":
            return _text(mv, 3, 2, "V")
        if measurand == "Current.Import":
            return _text(ma, 3, 2, "A")
        if measurand == "Power.Active.Import" and mv is not None and ma is not None:
            return fixed(mv * ma, 6, 0), "W"
        return None

    def permit(self, allowed, limit_ma=None, limit_w=None):
        """The charge point's yes or no, with its limits (None: none). No is carried out before this returns."""
        s = self._snap
        if not allowed:
            s.permitted = False
            self._offered = False
            self.gate.off()
        s.permitted, s.limit_ma, s.limit_w = bool(allowed), limit_ma, limit_w
        self.evaluate()

    def limits(self):
        """(mA, W) that the hardware can give, mV that turns the one into the other, least mA that is a current."""
        s = self._snap
        return s.max_ma, s.max_w, max(s.terminal_mv or 0, s.low_mv), _NO_CURRENT_MA

    def is_settled(self):
        return self.gate.is_settled()

    def unlock(self):
        """Open the lock of the plug: a coroutine that returns whether it is open."""
        return cold("charger.services").unlock(self._hal, self.number)

    def session_begin(self, tx):
        """tx.extra -- None, or the last checkpoint of a session that goes on after a power cut."""
        self.meter.session_begin()
        if tx.extra:
            self.meter.session_mwh = tx.extra[0]

    # -- what the vendor messages ask

    def vehicle_values(self):
        """(soc 0.01 %, max mA, mV, mA, 0.1 degC), None for what is unknown."""
        bms = self.bms
        mv = bms.pack_mv
        return (
            bms.soc,
            bms.max_ma or None,
            self.module.terminal_mv() if mv is None else mv,
            self._terminal_ma(),
            self._temperature_dc(),
        )

    # -- frames and time

    def _on_module_frame(self, can_id, flags, data):
        try:
            if self.module.feed(can_id, flags, data):
                self._evaluate()
        except Exception as exc:  # noqa: BLE001 - a bug is off, not the end of the loop
            self.failed(exc)

    def _on_bms_frame(self, can_id, flags, data):
        try:
            if self.bms.feed(can_id, flags, data):
                self._evaluate()
        except Exception as exc:  # noqa: BLE001 - as above
            self.failed(exc)

    def _on_power(self, mv, ma):
        self.meter.add(mv, ma, self.gate.may_flow())

    def evaluate(self):
        """Look at everything, decide, act. Never raises."""
        try:
            self._evaluate()
        except Exception as exc:  # noqa: BLE001 - as above
            self.failed(exc)

    def tick(self):
        """What needs time. Call at least every 50 ms. Never raises."""
        for step in (self.module.tick, self.bms.tick, self._step):
            try:
                step()
            except Exception as exc:  # noqa: BLE001 - as above
                self.failed(exc)

    def wait_ms(self):
        """How long until this outlet must be looked at again because the BMS falls silent; at most 1000."""
        silent = self.bms.silent_ms()
        if silent is None or not silent < self._bms_timeout_ms:
            return 1000
        return min(1000, max(1, self._bms_timeout_ms - silent))

    def make_safe(self):
        """Output off now, and a fault for the hold time: something in the program has died. Never raises."""
        self.gate.off()
        self._faults.tripped |= 1 << SOFTWARE

    def failed(self, exc):
        self.make_safe()
        self.errors += 1
        if self._faults.kind != SOFTWARE or self.errors & 0xFF == 1:  # a bug in a loop must not flood the log
            self._log.error("outlet%d" % self.number, exc)

    def _evaluate(self):
        s, bms, module, gate, hal = self._snap, self.bms, self.module, self.gate, self._hal
        s.bms_alive = bms.is_alive() and not self._is_gone()
        s.bms_permits = bms.permits()
        s.bms_mv, s.bms_ma = bms.max_mv, bms.max_ma
        s.heating = bms.heating
        s.plugged = self._plug.update(
            bms.silent_ms(), self._in_session(), self._has_switch and hal.input("plug", self.number)
        )
        s.module_healthy = module.is_healthy() and module.is_guarded()
        s.module_bus_up = self._module_bus.is_up
        s.bms_bus_up = self._bms_bus.is_up
        s.terminal_mv = module.terminal_mv()
        s.temperature_dc = None if module.temperature_fault() else module.temperature_dc()
        s.estop = hal.input("estop", self.number)
        s.door = hal.input("door", self.number)
        s.running = gate.state == RUNNING
        s.fault = self._faults.kind is not None or self._faults.tripped != 0 or gate.fault is not None
        allowed, mv, ma, self.reasons = interlock(s)
        if self.reasons & TERMINAL_HIGH and gate.may_flow():
            # beyond what it was told: the module does not obey. A limit lowered just now is no fault
            if gate.set_mv and s.terminal_mv > gate.set_mv + s.tolerance_mv:
                self._faults.tripped |= 1 << OVER_VOLTAGE
                allowed = False
        gate.poll(allowed, mv, ma)
        if gate.state == RUNNING:
            self._offered = True

    def _is_gone(self):
        """A vehicle that draws nothing and has missed a frame has probably left: no power on an open plug.

        No proof, so the plug state stays; the next frame takes it back.
        """
        silent = self.bms.silent_ms()
        if silent is None or silent < _GONE_MS:
            self._gone = False
        elif self.gate.state == RUNNING and (self._terminal_ma() or 0) < _NO_CURRENT_MA:
            self._gone = True
        return self._gone

    def _step(self):
        self._evaluate()
        self._watch_vehicle()
        self._watch_faults()
        self._end_session()
        self._tell()

    def _watch_vehicle(self):
        s, bms, gate = self._snap, self.bms, self.gate
        if s.plugged != self._was_plugged:
            self._was_plugged = s.plugged
            self._log.info("outlet%d" % self.number, "plugged in" if s.plugged else "unplugged")
            bms.new_vehicle()
            if s.plugged:
                self.soc = None  # the last one is asked for until then
        if bms.soc is not None:
            self.soc = bms.soc
        ma = self.module.terminal_ma()
        taking = gate.state != RUNNING or gate.set_ma < _NO_CURRENT_MA or ma is None or ma >= _NO_CURRENT_MA
        self._idle = self._idle_for.update(not taking)

    def _watch_faults(self):
        gate, found = self.gate, self._faults
        was = found.kind
        lock, connector = self.lock, self.connector
        if lock is not None and connector is not None and lock.update(connector, self._snap.plugged):
            found.tripped |= 1 << LOCK
        found.update(self._snap, gate, self.module.terminal_ma(), self._hal.input("fault", self.number))
        if found.kind != was:
            self._log.warn("outlet%d" % self.number, "fault: %s" % (found.current,))
            gate.hold()
        if found.kind is not None:
            if gate.fault is None:
                gate.hold()
            elif not self._snap.plugged:
                gate.clear_fault()

    def _end_session(self):
        """Whatever ends a transaction from the hardware's side."""
        s, kind = self._snap, self._faults.kind
        session = self._in_session()
        forbids = self._forbids_for.update(session and s.bms_alive and not s.bms_permits)
        silent = self._silent_for.update(session and not self.bms.is_alive())
        if not session:
            return
        if kind is not None:
            self.connector.stop("EmergencyStop" if kind == EMERGENCY_STOP else "Other")
        elif s.plugged and (forbids or silent):  # silent, but the plug switch says that it is there
            self.connector.stop("Other")

    def _tell(self):
        """Tell the BMS, the light and the charge point what is new."""
        s, kind = self._snap, self._faults.kind
        self.bms.report(
            s.terminal_mv or 0,
            self._terminal_ma() or 0,
            self._faults.is_hardware(),
            kind == OVER_TEMPERATURE,
            not s.plugged,
        )
        light = "plugged" if s.plugged else "idle"
        if kind is not None:
            light = "fault"
        elif self.gate.state == RUNNING:
            light = "charging"
        if light != self._shown:
            self._shown = light
            self._hal.output("led", self.number, light)
        news = (s.plugged, kind, self.evse_ready(), self.ev_ready(), self.is_settled())
        if news != self._news:
            self._news = news
            if self.connector is not None:
                self.connector.poke()

    def _in_session(self):
        return self.connector is not None and self.connector.transaction is not None

    def _terminal_ma(self):
        ma = self.module.terminal_ma()
        return None if ma is None else max(0, ma)

    def _temperature_dc(self):
        """Of the battery where its BMS tells, else of the charger module; or None."""
        pack = self.bms.temperature_dc
        return self.module.temperature_dc() if pack is None else pack


class Lasting:
    """Has a condition been true for `ms` without a break?"""

    def __init__(self, clock, ms):
        self._clock = clock
        self._ms = ms
        self._since = None
        self._lasted = False

    def update(self, condition):
        if not condition:
            self._since, self._lasted = None, False
        elif self._since is None:
            self._since = self._clock.ticks_ms()
        elif not 0 <= self._clock.ticks_diff(self._clock.ticks_ms(), self._since) < self._ms:
            self._lasted = True  # stays, so that a wrap of the ticks cannot take it back
        return self._lasted


def _text(value, scale, decimals, unit):
    return None if value is None else (fixed(value, scale, decimals), unit)
