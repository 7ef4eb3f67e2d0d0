"""Hardware of the ESP32: pins, SPI, UARTs, watchdog, and the services around them. See README.md for the contract.

What belongs to one thought lies beside: esp32_system (asked once or rarely, cold), esp32_uart, esp32_net (Wi-Fi, names
and time), esp32_ladder, esp32_names, esp32_clock, esp32_nvs.
"""

import asyncio

import machine
from cold import cold
from micropython import const

_SCAN_MS = const(5)
_QUIET_MS = const(50)  # an input counts as released after it has been so for this long
_STALE_MS = const(1000)  # an input scan older than this: no watchdog feed
_BLINK_SCANS = const(50)  # 250 ms on, 250 ms off
_WATCHDOG_MS = const(8000)
_LIVED_MS = const(60_000)  # a crash sooner than this after the start may well come again at once
_SERVICE_MS = const(600_000)  # after Ctrl-C: time to work at the REPL, then the board starts again
_INTERRUPTED = const(130)
_SYSTEM = "hal.esp32_system"
_INPUTS = ("estop", "door", "plug", "contactor", "lock")
_FEEDBACK = "_feedback"  # pins of inputs that report an output
_SWITCHES = ("contactor", "enable", "lock")


class Input:
    """A contact: active at once, released only after 50 ms without interruption.

    pin -- machine.Pin; active -- its level while active
    """

    def __init__(self, pin, active, clock):
        self._pin = pin
        self._active = active
        self._clock = clock
        self._since = None  # ticks of the first released reading in a row; None: it was active
        self._released = pin.value() != active  # nothing has bounced before the start

    def read(self):
        """True: active."""
        if self._pin.value() == self._active:
            self._since, self._released = None, False
            return True
        if self._released:
            return False
        now = self._clock.ticks_ms()
        if self._since is None:
            self._since = now
        elif not 0 <= self._clock.ticks_diff(now, self._since) < _QUIET_MS:
            self._released = True  # latched: ticks wrap
            return False
        return True


class Hal:
    """See README.md for the contract.

    board -- the module of the board: PINS, SPI, LEDS; described -- its describe()
    data_dir -- folder on the flash
    services -- (name, async callable) that the supervisor has to keep alive beside run()
    is_idle, is_online -- set by the charger: callables for the network's last resort (a restart only while idle); None
    in is_online: no central system is configured
    """

    def __init__(self, board, described, clock, log, data_dir="/data"):
        self.data_dir = data_dir
        self.on_input = None
        self.services = []
        self.wifi = self.time = self.reader = None  # Wifi, TimeKeeper, Watch of a reader: for the self-test
        self.is_idle = lambda: False
        self.is_online = None
        self._clock = clock
        self._log = log
        self._outputs = {}  # name -> (Pin, safe level)
        self._inputs = {}  # name -> Input
        self._pins = {}  # name -> Pin of a device
        self._levels = {}  # name -> what on_input was told last
        self._leds = board.LEDS
        self._states = {"led": "idle", "online": False}
        self._spis = {}
        self._board = board
        self._fitted = described["inputs"]
        self._watchdog = None
        self._scanned = clock.ticks_ms()
        self._restart = False
        system = cold(_SYSTEM)
        system.set_up(self, board)
        system.make_folder(data_dir)
        self._cause = system.cause()
        self.keys = system.keys()
        for name, found in self._inputs.items():
            self._levels[name] = found.read()

    # -- what esp32_system fills in: called once per pin at the start

    def add_output(self, name, pin, safe):
        self._outputs[name] = (pin, safe)

    def add_input(self, name, pin, active):
        """An input of the charger, if it is fitted, or the interrupt line of a device."""
        role = name[: -len(_FEEDBACK)] if name.endswith(_FEEDBACK) else name
        if role not in _INPUTS:
            self._pins[name] = pin
        elif role in self._fitted:
            self._inputs[role] = Input(pin, active, self._clock)

    # -- what drivers are built with

    def pin(self, name):
        """machine.Pin of a chip select or interrupt line, by its name on the board. KeyError: there is none."""
        return self._pins[name] if name in self._pins else self._outputs[name][0]

    def spi(self, number):
        """machine.SPI in mode 0 with the clock of the board, one for all its devices. KeyError: the board has none."""
        if number not in self._spis:
            self._spis[number] = cold(_SYSTEM).spi(number, self._board)
        return self._spis[number]

    async def open_stream(self, spec):
        """("uart", number, baud, rx pin name, tx pin name), or "console". ValueError: no such kind here."""
        return cold(_SYSTEM).open_stream(spec, self._board.PINS, self._clock)

    # -- inputs and outputs

    def input(self, name, connector):
        if connector > 1:
            return False if name in ("plug", "fault") else None
        found = self._inputs.get(name)
        if found is not None:
            return found.read()
        return False if name in ("door", "plug", "fault") else None

    def output(self, name, connector, value):
        if connector > 1:
            return
        if name == "led":
            self._states[name] = value
            self._light(True)
            return
        if name in _SWITCHES and name in self._outputs:
            pin, safe = self._outputs[name]
            pin.value(1 - safe if value else safe)

    def online(self, value):
        """The network service: the light that shows a connection."""
        self._states["online"] = value
        self._light(True)

    def _light(self, phase):
        """Light what belongs to the present states; phase -- blinking ones are lit."""
        state, online = self._states["led"], self._states["online"]
        for name, states in self._leds:
            lit = False
            for word in states.split():
                if word == state or (word == "online" and online) or (phase and word[-1] == "*" and word[:-1] == state):
                    lit = True
            pin, dark = self._outputs[name]
            pin.value(1 - dark if lit else dark)

    async def run(self):
        """Watch the inputs for ever: interrupts would be lost among those of the CAN controllers (a queue of 8)."""
        scans = 0
        while True:
            self._scanned = self._clock.ticks_ms()
            for name, found in self._inputs.items():
                level = found.read()
                if level != self._levels.get(name):
                    self._levels[name] = level
                    self._tell(name, 1, level)
            scans = (scans + 1) % (2 * _BLINK_SCANS)
            if not scans % _BLINK_SCANS:
                self._light(scans == 0)
            await asyncio.sleep_ms(_SCAN_MS)

    def _tell(self, name, connector, value):
        if self.on_input is not None:
            try:
                self.on_input(name, connector, value)
            except Exception as exc:  # noqa: BLE001 - the scan must go on, whatever its listener does
                self._log.error("hal", exc)

    def swipe(self, text):
        """The id-tag reader of the board has seen a card."""
        self._tell("swipe", 0, text)

    # -- the system

    def secrets(self):
        """Where settings that are secret live: get(name) -> text or None, put(name, text or None)."""
        return cold("hal.esp32_nvs").Secrets()

    def use(self, settings):
        """Start what the settings ask for: Wi-Fi, names, time. Call once, before the services start."""
        cold("hal.esp32_net").add(self, settings, self._clock, self._log)

    def may_block(self):
        return self.is_idle()

    def no_server(self):
        """Without Wi-Fi there is no name server."""

    def scan(self):
        """Networks in reach: (name, channel, dBm, open?). Stops the program for some 2 s. OSError."""
        return cold(_SYSTEM).scan()

    def unique_id(self):
        return cold(_SYSTEM).unique_id()

    def feed_watchdog(self):
        """Called by the control loop; the watchdog is fed only while the inputs are watched, too."""
        if not 0 <= self._clock.ticks_diff(self._clock.ticks_ms(), self._scanned) < _STALE_MS:
            return
        if self._watchdog is None:
            self._watchdog = machine.WDT(timeout=_WATCHDOG_MS)
        self._watchdog.feed()

    def reset_cause(self):
        return self._cause

    def request_restart(self):
        """The network's last resort: the program ends safely, then the board starts again."""
        self._restart = True

    def is_terminating(self):
        return self._restart

    def ignore_interrupt(self):
        """Ctrl-C does nothing from now on, until the REPL is back."""
        cold(_SYSTEM).ignore_interrupt()

    def ended(self, status):
        """The program has ended although nobody asked for a reset: start again. After a crash (1) in the first minute
        only 30 s later, so that a crash at every start wears no flash and leaves time for Ctrl-C. After Ctrl-C (130)
        the REPL is left to who sits there, for 10 minutes: the watchdog cannot be stopped, but made to wait.
        """
        self.close()
        system = cold(_SYSTEM)
        if not status or (status != _INTERRUPTED and self._clock.uptime_ms() >= _LIVED_MS):
            system.reset(True)
        system.allow_interrupt()
        if self._watchdog is not None:
            self._watchdog = machine.WDT(timeout=_SERVICE_MS)
        if status != _INTERRUPTED:
            system.give_up(30)

    def reset(self, hard):
        self.close()
        cold(_SYSTEM).reset(hard)

    def close(self):
        """Every output to its safe level."""
        for pin, safe in self._outputs.values():
            pin.value(safe)
