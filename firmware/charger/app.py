"""The program: runs the services of one charger, and ends them safely. build.py puts it together."""

import asyncio

from cold import cold
from micropython import const
from supervisor import Supervisor

_TICK_MS = const(20)
_SLOW_MS = const(200)  # what need not be exact to the millisecond
_RETRY_MIN_MS = const(100)
_RETRY_MAX_MS = const(2000)  # a lost bus or I/O link is tried again at least this often
_SERVICES = "charger.services"


class App:
    """The program; build.fill() gives it its parts.

    hal -- see hal/README.md
    outlets -- list of Outlet; buses -- list of (name, controller, outlet); registers -- list of (Register, outlet)
    cp -- ChargePoint; vendor -- VendorMessages; online -- there is a central system
    board -- its name; restarts -- of each service, by name
    update_rules -- (is an older version taken, folder of the keys or "", seconds of a trial)
    """

    def __init__(self, hal, clock, log):
        self.hal = hal
        self.clock = clock
        self.log = log
        self.outlets = []
        self.buses = []
        self.registers = []
        self.cp = self.vendor = self.restarts = self.board = None
        self.online = False
        self.update_rules = (False, "", 600)
        self._reset = None  # hard?, once asked for
        hal.on_input = self._input

    # -- life

    async def run(self):
        """Serve until the system or a reset asks to end; the output is confirmed off when this returns.

        Returns None, or whether the reset that was asked for is a hard one.
        """
        supervisor = Supervisor(self.clock, self.log, self.make_safe)
        self.restarts = supervisor.restarts
        cold(_SERVICES).start(self, supervisor.start)
        while self._reset is None and not self.hal.is_terminating():
            try:
                if self.hal.keys is not None and self.hal.keys.poll(0):
                    cold("charger.console").start(self)
                if self.log.waiting and self.clock.uptime_ms() >= self.log.save_at:
                    cold("charger.event_log").save(self)
            except MemoryError:  # a session needs it all
                await asyncio.sleep_ms(_RETRY_MAX_MS)
            await asyncio.sleep_ms(50)
        await self.shut_down("Reboot" if self._reset is None else "HardReset" if self._reset else "SoftReset")
        return self._reset

    def request_reset(self, hard):
        """End the program soon: sessions are ended, the output is off, then the board starts again."""
        self._reset = bool(hard)

    def make_safe(self):
        """All outputs off, now, and a fault: a part of the program has died. Synchronous, never raises."""
        for outlet in self.outlets:
            outlet.make_safe()

    def off(self):
        """All outputs off, now. Synchronous, never raises."""
        for outlet in self.outlets:
            outlet.gate.off()

    def shut_down(self, reason="Reboot"):
        """Output off and the end of the transactions, now; then await the result: their messages are in the store,
        and "off" is confirmed. At most 3 s.
        """
        self.off()
        self.cp.closing = True
        for outlet in self.outlets:
            outlet.connector.claim(None)
            outlet.connector.stop(reason)  # before a service that is still alive finds another reason
            outlet.permit(False)
        return cold(_SERVICES).end(self, reason)

    async def control(self):
        """The control loop."""
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

    def patient(self, name, run, errors, after=None):
        """A service that lives again after the failures that are expected of it; each new one is logged once.

        run -- async callable, one life; errors -- tuple of exceptions; after -- called at the end of every life
        """
        clock, log = self.clock, self.log

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

    # -- what the parts call: here, because a function of a cold module would keep all of it in RAM

    def _input(self, name, connector, value):
        if name == "swipe":
            self.cp.swipe(value, connector)
            return
        for outlet in self.outlets:
            if connector in (0, outlet.number):
                outlet.evaluate()  # off first
                outlet.tick()  # then the fault: nobody is to be told of a pause in between

    def files(self):
        return cold("charger.maintenance").Files(self)

    def transfer_policy(self):
        return cold("charger.vendor_texts").transfer_policy(self.cp.config)

    def opener(self, spec):
        """Async callable that opens a stream of the HAL."""
        return lambda: self.hal.open_stream(spec)

    def output(self, number, name):
        """Callable that drives an output of a connector."""
        return lambda value: self.hal.output(name, number, value)

    def auxiliary(self, number):
        """Callable that tells whether a connector's contactor is closed."""
        return lambda: self.hal.input("contactor", number)
