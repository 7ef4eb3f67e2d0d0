"""Builds the charger from one board and its settings, starts the services, and ends them safely. No logic."""

import asyncio

from micropython import const
from supervisor import Supervisor

from drivers.bms.rivot_can import RivotBms
from drivers.can import CanError
from drivers.can.slcan import Slcan
from drivers.power.rivot_can import RivotModule

from .gate import Gate
from .metering import Meter
from .outlet import Outlet
from .plug import Plug
from .register import Register
from .vendor import VendorMessages

_TICK_MS = const(20)
_SLOW_MS = const(200)  # what need not be exact to the millisecond
_GOODBYE_MS = const(3000)  # longest wait for "off" to be confirmed at the end
_RETRY_MIN_MS = const(100)
_RETRY_MAX_MS = const(2000)  # a lost bus or I/O link is tried again at least this often


class App:
    """The program.

    board -- dict, see boards/README.md; hal -- see hal/README.md; settings -- Settings
    ocpp_defaults -- factory values of OCPP configuration keys
    """

    def __init__(self, board, hal, settings, clock, log, ocpp_defaults=None):
        self.settings = settings
        self.outlets = []
        self.cp = None
        self._hal = hal
        self._clock = clock
        self._log = log
        self._buses = []  # (name, controller, outlet)
        self._registers = []
        self._reset = None  # hard?, once asked for
        for number, connector in enumerate(board["connectors"], 1):
            self._add_outlet(number, connector, board["limits"])
        self.vendor = VendorMessages(
            {outlet.number: outlet for outlet in self.outlets},
            self._send_vendor,
            clock,
            settings.get("vehicle.info_wait_ms"),
        )
        self.cp = build_ocpp(self, hal, settings, clock, log, ocpp_defaults or {})
        for outlet in self.outlets:
            outlet.connector = self.cp.connector(outlet.number)
        self._supervisor = Supervisor(clock, log, self.make_safe)
        hal.on_input = self._input

    def _add_outlet(self, number, board, limits):
        get, clock, hal = self.settings.get, self._clock, self._hal
        module_bus = self._can("pm%d" % number, board["module_bus"])
        bms_bus = self._can("bms%d" % number, board["bms_bus"])
        max_mv, max_ma, max_w = [
            min(limits[unit], get("power." + unit) or limits[unit]) for unit in ("max_mv", "max_ma", "max_w")
        ]
        module = RivotModule(module_bus, clock, get("power.current_scale_x10"), get("power.module_timeout_ms"))
        bms = RivotBms(
            bms_bus,
            clock,
            get("vehicle.soc_source"),
            get("vehicle.capacity_ah"),
            get("vehicle.soc_source") != "request_frame",
            get("vehicle.bms_timeout_ms"),
        )
        gate = Gate(
            module,
            clock,
            self._log,
            (lambda closed: hal.output("contactor", number, closed)) if board["contactor"] else None,
            board["contactor_ms"],
            off_deadline_ms=get("power.off_deadline_ms"),
            start_ma=get("power.start_ma"),
            ramp_ma_s=get("power.ramp_ma_s"),
            hold_ms=get("power.fault_hold_ms"),
        )
        register = Register("%s/meter%d.json" % (hal.data_dir, number), clock, self._log, max_w)
        outlet = Outlet(
            number,
            bms,
            module,
            gate,
            Meter(clock, register.load()),
            Plug(clock, get("vehicle.bms_timeout_ms"), get("vehicle.session_timeout_ms")),
            module_bus,
            bms_bus,
            hal,
            clock,
            self._log,
            board,
            (max_mv, max_ma, max_w),
            self.settings,
        )
        self.outlets.append(outlet)
        self._registers.append((register, outlet))
        self._buses.append(("pm%d" % number, module_bus, outlet))
        self._buses.append(("bms%d" % number, bms_bus, outlet))

    def _can(self, name, spec):
        """CAN controller of a bus spec: ("slcan", stream spec)."""
        if spec[0] != "slcan":  # the other controllers come with the HAL of the device
            raise ValueError("%s: no driver for %s" % (name, spec[0]))
        return Slcan(lambda: self._hal.open_stream(spec[1]), self._clock)

    # -- life

    async def run(self):
        """Serve until the system or a reset asks to end; the output is confirmed off when this returns.

        Returns None, or whether the reset that was asked for is a hard one.
        """
        start = self._supervisor.start
        start("control", self._control, critical=True)
        for name, bus, outlet in self._buses:
            # a lost bus is power off: the outlet looks at once
            start(name, _patient(name, bus.run, (CanError, OSError), self._clock, self._log, outlet.evaluate))
        start("inputs", _patient("inputs", self._hal.run, (OSError, asyncio.TimeoutError), self._clock, self._log))
        start("connectors", self.cp.run_connectors, critical=True, backoff_max_ms=_RETRY_MAX_MS)
        if self.settings.get("ocpp.url"):
            start("ocpp", self.cp.run_link)
        else:
            self._log.warn("app", "no central system: ocpp.url is not set")
        while self._reset is None and not self._hal.is_terminating():
            await asyncio.sleep_ms(50)
        await self.shut_down("Reboot" if self._reset is None else "HardReset" if self._reset else "SoftReset")
        return self._reset

    def request_reset(self, hard):
        """End the program soon: sessions are ended, the output is off, then the board starts again."""
        self._reset = bool(hard)

    def make_safe(self):
        """All outputs off, now. Synchronous, never raises."""
        for outlet in self.outlets:
            outlet.make_safe()

    async def shut_down(self, reason="Reboot"):
        """Output off first, then end the transactions, so that their messages are in the store. At most 3 s.

        Does the work of the services itself: they may be dead already.
        """
        for outlet in self.outlets:
            outlet.gate.off()
        for outlet in self.outlets:
            outlet.connector.stop(reason)
            outlet.permit(False)
        began = self._clock.uptime_ms()
        while self._clock.uptime_ms() - began < _GOODBYE_MS:
            for outlet in self.outlets:
                outlet.tick()
                try:
                    outlet.connector.poll()
                except Exception as exc:  # noqa: BLE001 - the output must still be waited for
                    self._log.error("app", exc)
            if all(outlet.is_settled() and outlet.connector.transaction is None for outlet in self.outlets):
                break
            await asyncio.sleep_ms(_TICK_MS)
        for register, outlet in self._registers:
            register.update(outlet.meter.lifetime_mwh, False, True)
        self._log.info("app", "ended: %s" % reason)

    async def _control(self):
        slow_at = 0
        while True:
            wait = _TICK_MS
            for outlet in self.outlets:
                outlet.tick()
                wait = min(wait, outlet.wait_ms())
            now = self._clock.uptime_ms()
            if now - slow_at >= _SLOW_MS:
                slow_at = now
                self.vendor.tick()
                for register, outlet in self._registers:
                    register.update(outlet.meter.lifetime_mwh, outlet.gate.may_flow())
            self._hal.feed_watchdog()
            await asyncio.sleep_ms(wait)

    def _input(self, name, connector, value):
        if name == "swipe":
            self.cp.swipe(value, connector)
            return
        for outlet in self.outlets:
            if connector in (0, outlet.number):
                outlet.evaluate()

    def _send_vendor(self, connector, vendor_id, message_id, text, tx_key=None):
        self.cp.send_data_transfer(connector, vendor_id, message_id, text, tx_key)


def _patient(name, run, errors, clock, log, after=None):
    """A service that lives again after the failures that are expected of it; each new one is logged once, in a line.

    run -- async callable, one life; errors -- tuple of exceptions; after -- called at the end of every life
    """

    async def lives():
        told = None
        wait = _RETRY_MIN_MS
        while True:
            began = clock.uptime_ms()
            try:
                await run()
            except errors as exc:
                text = "%s: %s" % (type(exc).__name__, exc)
                if text != told:
                    log.warn(name, text)
                    told = text
            finally:
                if after is not None:
                    after()
            if clock.uptime_ms() - began >= _RETRY_MAX_MS:
                told, wait = None, _RETRY_MIN_MS  # it had lived
            await asyncio.sleep_ms(wait)
            wait = min(wait * 2, _RETRY_MAX_MS)

    return lives


def build_ocpp(app, hal, settings, clock, log, defaults):
    """The charge point of this charger. Works without a central system, too: then nobody can start a session."""
    from ocpp16 import ChargePoint
    from ocpp16.dial import dialer
    from ocpp16.store import FileStore

    from .settings import OCPP_ROWS

    get = settings.get
    boot = {
        "chargePointVendor": get("ocpp.vendor"),
        "chargePointModel": get("ocpp.model"),
    }
    if get("ocpp.serial_number"):
        boot["chargePointSerialNumber"] = get("ocpp.serial_number")
    dial = None
    if get("ocpp.url"):
        key, cadata = get("ocpp.authorization_key"), None
        if get("ocpp.ca_file"):
            with open(get("ocpp.ca_file"), "rb") as f:
                cadata = f.read()
        dial = dialer(
            get("ocpp.url"),
            get("ocpp.identity") or "RIVOT-" + hal.unique_id(),
            key.encode() if key else None,
            cadata,
            get("ocpp.check_hostname"),
            get("ocpp.allow_missing_subprotocol"),
        )
    store = FileStore(hal.data_dir + "/ocpp")
    cp = ChargePoint(
        clock,
        store,
        log,
        app.outlets,
        boot,
        dial,
        app.vendor,
        config_rows=OCPP_ROWS,
        config_defaults=defaults,
        data_transfer_policy=lambda: (
            cp.config.get("RivotDataTransferAttempts"),
            cp.config.get("RivotDataTransferRetryInterval") * 1000,
            cp.config.get("RivotDataTransferTimeout") * 1000,
        ),
    )
    return cp
