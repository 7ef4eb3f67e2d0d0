"""What the ESP32 HAL does once or rarely. A cold module: see esp32.Hal."""

import os
import select
import sys
import time

import machine
import micropython
from cold import cold
from micropython import const

_MARK = b"rivot:"  # in RTC memory, which survives a reset but no loss of power
_DAYS_TO_1970 = const(719_469)


def set_up(hal, board):
    """Make the pins of a board and give them to the HAL; outputs get their safe level with the same call."""
    for name, number, direction, level, _ in board.PINS:
        if direction == board.OUT:
            hal.add_output(name, machine.Pin(number, machine.Pin.OUT, value=level), level)
        elif direction == board.IN:
            hal.add_input(name, machine.Pin(number, machine.Pin.IN), level)


def number_of(pins, name):
    """GPIO of a pin by its name on the board. ValueError: there is none."""
    for row in pins:
        if row[0] == name:
            return row[1]
    raise ValueError("the board has no pin %s" % name)


def spi(number, board):
    """machine.SPI, mode 0. KeyError: the board has no such SPI."""
    hertz, sck, mosi, miso = board.SPI[number]
    pins = [machine.Pin(number_of(board.PINS, name)) for name in (sck, mosi, miso)]
    return machine.SPI(number, baudrate=hertz, polarity=0, phase=0, sck=pins[0], mosi=pins[1], miso=pins[2])


def open_stream(spec, pins, clock):
    """See esp32.Hal.open_stream."""
    if spec == "console":
        return cold("hal.terminal").Terminal(None)
    from .esp32_uart import open_uart

    return open_uart(spec, pins, clock)


def keys():
    """What tells that somebody types at the serial port of the REPL. See README.md."""
    poll = select.poll()
    poll.register(sys.stdin, select.POLLIN)
    return poll


def unique_id():
    """12 hex digits of the chip."""
    return "".join(["%02x" % byte for byte in machine.unique_id()])


def cause():
    """Why the program starts; the mark of a wanted reset is taken away.

    The port tells a panic and a commanded reset apart no more than an external one: what was not wanted is
    "watchdog". PWRON is also a brown-out.
    """
    memory = machine.RTC().memory()
    wanted = str(memory[len(_MARK) :], "ascii") if memory[: len(_MARK)] == _MARK else ""
    machine.RTC().memory(b"")
    why = machine.reset_cause()
    if why == machine.PWRON_RESET or why == machine.DEEPSLEEP_RESET:
        return "power"
    if wanted in ("soft", "hard"):
        return wanted
    return "soft" if why == machine.SOFT_RESET else "watchdog"


def reset(hard):
    """Start again; does not return. Soft: the program anew, and the Python heap; the radio and the watchdog stay."""
    machine.RTC().memory(_MARK + (b"hard" if hard else b"soft"))
    if hard:
        machine.reset()
    machine.soft_reset()


def ignore_interrupt():
    micropython.kbd_intr(-1)


def allow_interrupt():
    micropython.kbd_intr(3)


def give_up(wait_s):
    """The program cannot start: wait, so that the reason can be read and Ctrl-C leads to the REPL, then try again."""
    print("The program has failed; again in %d s, Ctrl-C: REPL" % wait_s)
    time.sleep(wait_s)
    reset(True)


def scan():
    """Networks in reach: list of (name, channel, dBm, open?), one row per name and channel, at most 32. OSError."""
    import network

    station = network.WLAN(network.STA_IF)
    station.active(True)
    if not station.isconnected():
        station.disconnect()  # a driver that still tries does not listen: ESP_ERR_WIFI_STATE; the ladder tries again
    found = []
    for ssid, _, channel, dbm, security, _ in station.scan():  # the strongest first
        name = "".join([chr(byte) if 32 <= byte < 127 else "?" for byte in ssid])
        if name and len(found) < 32 and not [1 for row in found if row[:2] == (name, channel)]:
            found.append((name, channel, dbm, security == 0))
    return found


def make_folder(path):
    """Create a folder and what leads to it. OSError: it cannot be."""
    made = ""
    for part in path.split("/"):
        made += part + "/"
        try:
            os.stat(made[:-1] or "/")
        except OSError:
            os.mkdir(made[:-1])


def to_rtc(unix_s):
    """Set the chip's clock to Unix seconds."""
    date = time.gmtime(unix_s - epoch())
    machine.RTC().datetime((date[0], date[1], date[2], date[6], date[3], date[4], date[5], 0))


def from_rtc():
    """Unix seconds by the chip's clock; after a loss of power some time in 2000."""
    year, month, day, _, hour, minute, second, _ = machine.RTC().datetime()
    years = year - (month < 3)  # of years that begin in March
    days = 365 * years + years // 4 - years // 100 + years // 400 + (153 * ((month + 9) % 12) + 2) // 5 + day
    return (days - _DAYS_TO_1970) * 86400 + hour * 3600 + minute * 60 + second


def epoch():
    """Unix seconds at which time.gmtime counts from 0: 2000 on the ESP32, 1970 on a computer."""
    return 946_684_800 if time.gmtime(0)[0] == 2000 else 0
