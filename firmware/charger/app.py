"""The program: builds the charger from one board and its settings, starts the services, and ends them safely."""

import asyncio

from cold import cold
from micropython import const
from supervisor import Supervisor

from drivers.can import CanError

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
        self.clock = clock
        self.log = log
        self.hal = hal
        self.outlets = []
        self.buses = []  # (name, controller, outlet)
        self.registers = []  # (register, outlet)
        self._reset = None  # hard?, once asked for
        build = cold("charger.build")
        for number, connector in enumerate(board["connectors"], 1):
            build.add_outlet(self, number, connector, board["limits"])
        self.vendor = VendorMessages(
            {outlet.number: outlet for outlet in self.outlets},
            self._send_vendor,
            clock,
            settings.get("vehicle.info_wait_ms"),
        )
        self.cp = build.build_ocpp(self, ocpp_defaults or {})
        for outlet in self.outlets:
            outlet.connector = self.cp.connector(outlet.number)
        self.cp.restore("Reboot" if hal.reset_cause() == "watchdog" else "PowerLoss")
        settings.forget()
        self._supervisor = Supervisor(clock, log, self.make_safe)
        hal.on_input = self._input

    # -- life

    async def run(self):
        """Serve until the system or a reset asks to end; the output is confirmed off when this returns.

        Returns None, or whether the reset that was asked for is a hard one.
        """
        start = self._supervisor.start
        start("control", self._control, critical=True)
        for name, bus, outlet in self.buses:
            # a lost bus is power off: the outlet looks at once
            life = _patient(name, bus.run, (CanError, OSError), self.clock, self.log, outlet.evaluate)
            start(name, life, critical=True)
        life = _patient("inputs", self.hal.run, (OSError, asyncio.TimeoutError), self.clock, self.log)
        start("inputs", life, critical=True)
        start("connectors", self.cp.run_connectors, critical=True, backoff_max_ms=_RETRY_MAX_MS)
        if self.settings.get("ocpp.url"):
            start("ocpp", self.cp.run_link, critical=True)  # it survives every network by itself
        else:
            self.log.warn("app", "no central system: ocpp.url is not set")
        while self._reset is None and not self.hal.is_terminating():
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
        began = self.clock.uptime_ms()
        while self.clock.uptime_ms() - began < _GOODBYE_MS:
            for outlet in self.outlets:
                outlet.tick()
                try:
                    outlet.connector.poll()
                except Exception as exc:  # noqa: BLE001 - the output must still be waited for
                    self.log.error("app", exc)
            if all(outlet.is_settled() and outlet.connector.transaction is None for outlet in self.outlets):
                break
            await asyncio.sleep_ms(_TICK_MS)
        for register, outlet in self.registers:
            register.update(outlet.meter.lifetime_mwh, False, True)
        self.log.info("app", "ended: %s" % reason)

    async def _control(self):
        slow_at = 0
        while True:
            wait = _TICK_MS
            for outlet in self.outlets:
                outlet.tick()
                wait = min(wait, outlet.wait_ms())
            now = self.clock.uptime_ms()
            if now - slow_at >= _SLOW_MS:
                slow_at = now
                try:
                    self.vendor.tick()
                except Exception as exc:  # noqa: BLE001 - a full disk must not stop the control loop
                    self.log.error("vendor", exc)
                for register, outlet in self.registers:
                    register.update(outlet.meter.lifetime_mwh, outlet.gate.may_flow())
            self.hal.feed_watchdog()
            await asyncio.sleep_ms(wait)

    def _input(self, name, connector, value):
        if name == "swipe":
            self.cp.swipe(value, connector)
            return
        for outlet in self.outlets:
            if connector in (0, outlet.number):
                outlet.evaluate()

    def transfer_policy(self):
        """(attempts, pause ms, timeout ms) of the vendor messages."""
        get = self.cp.config.get
        return (
            get("RivotDataTransferAttempts"),
            get("RivotDataTransferRetryInterval") * 1000,
            get("RivotDataTransferTimeout") * 1000,
        )

    def opener(self, spec):
        """Async callable that opens a stream of the HAL."""
        return lambda: self.hal.open_stream(spec)

    def contactor(self, number):
        """Callable that drives a connector's contactor."""
        return lambda closed: self.hal.output("contactor", number, closed)

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
