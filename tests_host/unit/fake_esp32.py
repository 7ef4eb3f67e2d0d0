"""The modules `machine`, `network` and `esp32` as the ESP32 port documents them, with its exceptions.

`install()` puts them in place of the port's own; `chip` is the other side: levels of pins, what survives a reset.
Sources: MicroPython 1.25 ports/esp32 (machine_pin.c, machine_wdt.c, esp32_nvs.c, network_wlan.c) and its documentation.
"""

import io
import select
import sys

_POLL = 3  # MP_STREAM_POLL


class Reset(SystemExit):
    """The chip starts again: machine.reset() and soft_reset() do not return."""


class Chip:
    """levels -- GPIO -> level from outside; driven -- GPIO -> level of an output; cause -- machine.reset_cause()"""

    def __init__(self):
        self.nvs = {}  # (namespace, key) -> int or bytes, committed
        self.power_up()

    def power_up(self):
        self.rtc = b""
        self.now = (2000, 1, 1, 5, 0, 0, 0, 0)
        self.start(1)

    def start(self, cause):
        """Everything but NVS and RTC is new."""
        self.cause = cause
        self.levels = {}
        self.input_only = range(34, 40)  # of the ESP32; the S3 has none
        self.driven = {}
        self.listeners = {}  # GPIO -> callable(level): a device on a chip select
        self.devices = {}  # SPI number -> list of devices
        self.watchdogs = []  # time-outs asked for
        self.feeds = 0
        self.rollback = True  # the boot loader can
        self.confirmed = 0
        self.resets = []
        self.interrupt = 3  # character of kbd_intr
        self.uarts = {}
        self.wlan = Radio()


class Radio:
    """The radio's surroundings. networks -- {ssid: password} in reach; stuck -- no address until the radio was off;
    dead -- no address at all, and it hears nothing; heard -- rows of WLAN.scan()"""

    def __init__(self):
        self.networks = {}
        self.heard = []
        self.calls = []
        self.stuck = self.dead = False
        self.nameserver = "0.0.0.0"
        self.on = False
        self.wanted = None
        self.hostname = self.country = None


chip = Chip()


class Pin:
    """machine.Pin"""

    IN, OUT, OPEN_DRAIN = 1, 3, 7
    PULL_DOWN, PULL_UP = 1, 2
    IRQ_RISING, IRQ_FALLING = 1, 2

    def __init__(self, number, mode=-1, pull=-1, *, value=None):
        if number not in range(49) or number in (24, 28, 29, 30, 31):
            raise ValueError("invalid pin")
        if mode == self.OUT and number in chip.input_only:
            raise ValueError("pin can only be input")
        self.number = number
        self.mode = mode
        if value is not None:
            self._drive(value)

    def _drive(self, value):
        level = 1 if value else 0
        chip.driven[self.number] = level
        listener = chip.listeners.get(self.number)
        if listener:
            listener(level)

    def value(self, value=None):
        if value is None:
            if self.mode == self.OUT:
                return chip.driven.get(self.number, 0)
            level = chip.levels.get(self.number, 0)
            return level() if callable(level) else level
        self._drive(value)
        return None

    __call__ = value

    def irq(self, handler=None, trigger=3, *, wake=None):
        level = chip.levels.get(self.number)
        if hasattr(level, "irq"):
            level.irq(handler, trigger)


class SPI:
    """machine.SPI; the devices behind it tell by their chip select who is meant."""

    def __init__(self, number, baudrate=500_000, *, polarity=0, phase=0, sck=None, mosi=None, miso=None):
        if number not in (1, 2):
            raise ValueError("SPI(%s) doesn't exist" % number)
        self.number = number
        self.baudrate = baudrate
        self.pins = (sck.number, mosi.number, miso.number)
        self._bus = chip.devices.get(number)

    def write(self, buf):
        if self._bus:
            self._bus.write(buf)

    def write_readinto(self, out, into):
        if len(out) != len(into):
            raise ValueError("buffers must be the same length")
        if self._bus:
            self._bus.write_readinto(out, into)
        else:
            for i in range(len(into)):
                into[i] = 0xFF

    def readinto(self, buf, write=0):
        self.write_readinto(bytes([write] * len(buf)), buf)


class UART(io.IOBase):
    """machine.UART: `sent` collects, give() is the other side."""

    def __init__(self, number, baudrate=115200, *, tx=None, rx=None, txbuf=256, rxbuf=256, timeout=0):
        if number not in (0, 1, 2):
            raise ValueError("UART(%d) does not exist" % number)
        if number == 0:
            raise ValueError("UART(0) is used by the REPL")
        self.baudrate, self.pins = baudrate, (rx.number, tx.number)
        self.sizes = (rxbuf, txbuf)
        self.sent = b""
        self._in = b""
        self.closed = False
        chip.uarts[number] = self

    def give(self, data):
        self._in = (self._in + data)[: self.sizes[0]]

    def readinto(self, buf):
        if not self._in:
            return None
        n = min(len(buf), len(self._in))
        buf[:n] = self._in[:n]
        self._in = self._in[n:]
        return n

    def write(self, buf):
        self.sent += bytes(buf)
        return len(buf)

    def ioctl(self, request, argument):
        if request != _POLL:
            return -22  # EINVAL, as the port; 0 would be the file descriptor of the console
        return argument & ((select.POLLIN if self._in else 0) | select.POLLOUT)  # as the port: always writable

    def deinit(self):
        self.closed = True


class WDT:
    """machine.WDT: cannot be stopped, but made anew with another time."""

    def __init__(self, *, id=0, timeout=5000):
        if id != 0:
            raise ValueError
        if timeout <= 0:
            raise ValueError("WDT timeout too short")
        chip.watchdogs.append(timeout)

    def feed(self):
        chip.feeds += 1


class RTC:
    """machine.RTC"""

    def memory(self, data=None):
        if data is None:
            return chip.rtc
        if len(data) > 2048:
            raise ValueError("buffer too long")
        chip.rtc = bytes(data)
        return None

    def datetime(self, date=None):
        if date is None:
            return chip.now
        if len(date) != 8:
            raise TypeError
        chip.now = tuple(date)
        return None


class Machine:
    PWRON_RESET, HARD_RESET, WDT_RESET, DEEPSLEEP_RESET, SOFT_RESET = 1, 2, 3, 4, 5
    Pin, SPI, UART, WDT, RTC = Pin, SPI, UART, WDT, RTC

    def unique_id(self):
        return b"\x24\x0a\xc4\x01\x02\xff"

    def reset_cause(self):
        return chip.cause

    def reset(self):
        chip.resets.append("hard")
        raise Reset

    def soft_reset(self):
        chip.resets.append("soft")
        raise Reset


class NVS:
    """esp32.NVS: a change counts once it is committed."""

    NOT_FOUND, TOO_LONG, BAD_LENGTH = -0x1102, -0x1109, -0x110C

    def __init__(self, namespace):
        if not 0 < len(namespace) <= 15:
            raise OSError(self.TOO_LONG, "ESP_ERR_NVS_KEY_TOO_LONG")
        self._space = namespace
        self._new = {}

    def _key(self, key):
        if not 0 < len(key) <= 15:
            raise OSError(self.TOO_LONG, "ESP_ERR_NVS_KEY_TOO_LONG")
        return (self._space, key)

    def _get(self, key, kind):
        found = self._new.get(self._key(key), chip.nvs.get(self._key(key)))
        if not isinstance(found, kind):
            raise OSError(self.NOT_FOUND, "ESP_ERR_NVS_NOT_FOUND")
        return found

    def set_i32(self, key, value):
        if not -(1 << 31) <= value < 1 << 31:
            raise OverflowError
        self._new[self._key(key)] = value

    def get_i32(self, key):
        return self._get(key, int)

    def set_blob(self, key, value):
        self._new[self._key(key)] = bytes(value)

    def get_blob(self, key, buf):
        found = self._get(key, bytes)
        if len(found) > len(buf):
            raise OSError(self.BAD_LENGTH, "ESP_ERR_NVS_INVALID_LENGTH")
        buf[: len(found)] = found
        return len(found)

    def erase_key(self, key):
        self._get(key, object)
        self._new[self._key(key)] = None

    def commit(self):
        for key, value in self._new.items():
            if value is None:
                chip.nvs.pop(key, None)
            else:
                chip.nvs[key] = value
        self._new = {}


class Partition:
    """esp32.Partition, as far as the firmware uses it."""

    @staticmethod
    def mark_app_valid_cancel_rollback():
        if not chip.rollback:
            raise OSError(-261, "ESP_ERR_OTA_ROLLBACK_INVALID_STATE")
        chip.confirmed += 1


class Esp32:
    NVS, Partition = NVS, Partition


class WLAN:
    """network.WLAN, station."""

    IF_STA = 0

    def __init__(self, interface=0):
        assert interface == 0

    def _note(self, *call):
        chip.wlan.calls.append(call)

    def active(self, on=None):
        radio = chip.wlan
        if on is None:
            return radio.on
        self._note("active", on)
        radio.on = bool(on)
        if not on:
            radio.wanted, radio.stuck = None, False
        return None

    def config(self, *names, **values):
        if not chip.wlan.on:
            raise OSError("Wifi Not Started")
        for name in values:
            if name not in ("pm", "reconnects", "txpower", "channel"):
                raise ValueError("unknown config param")

    def connect(self, ssid=None, key=None, *, bssid=None):
        radio = chip.wlan
        self._note("connect", ssid)
        if not radio.on:
            raise OSError("Wifi Not Started")
        if radio.wanted is not None and not self.isconnected():
            raise OSError("Wifi Internal Error")  # the driver still tries
        radio.wanted = (ssid, key)

    def disconnect(self):
        self._note("disconnect")
        if not chip.wlan.on:
            raise OSError("Wifi Not Started")
        chip.wlan.wanted = None

    def isconnected(self):
        radio = chip.wlan
        if not radio.on or radio.wanted is None or radio.stuck or radio.dead:
            return False
        ssid, key = radio.wanted
        return ssid in radio.networks and radio.networks[ssid] == (key or "")

    def scan(self):
        radio = chip.wlan
        if not radio.on or radio.dead or (radio.wanted is not None and not self.isconnected()):
            raise OSError("Wifi Internal State Error")
        return radio.heard

    def status(self, what=None):
        if what == "rssi":
            return -60
        if self.isconnected():
            return 1010
        radio = chip.wlan
        if not radio.on or radio.wanted is None:
            return 1000
        if radio.dead or radio.wanted[0] not in radio.networks:
            return 201
        return 1001 if radio.stuck else 202

    def ifconfig(self):
        if self.isconnected():
            return ("192.168.7.20", "255.255.255.0", "192.168.7.1", chip.wlan.nameserver)
        return ("0.0.0.0", "0.0.0.0", "0.0.0.0", "0.0.0.0")


class Network:
    STA_IF, AP_IF = 0, 1
    WLAN = WLAN

    def hostname(self, name=None):
        if name is not None and len(name) > 32:
            raise ValueError
        chip.wlan.hostname = name

    def country(self, code=None):
        if code is not None and len(code) != 2:
            raise ValueError
        chip.wlan.country = code


def install():
    """`import machine`, `network` and `esp32` give these from now on; a new chip, just powered up."""
    chip.__init__()
    sys.modules["machine"] = Machine()
    sys.modules["network"] = Network()
    sys.modules["esp32"] = Esp32()
    return chip
