"""What the virtual board runs in MicroPython's unix port: a chip with a littlefs flash, and code on demand.

    micropython kernel.py CONFIG

CONFIG is a JSON file, see virtual.py. Commands come from file descriptor 3: b"name length\\n" and so many bytes; what
happens goes to file descriptor 4: b"event number length\\n" and so many bytes. Standard input and output are the
serial line of the program.
"""

import io
import json
import os
import sys
import time

import micropython
import vfs

_BLOCK = 4096
_FRESH = "# This file is executed on every boot (including wake-boot from deepsleep)\n"  # as the port's inisetup.py


class Facade:
    """A module of the port with some of its names replaced."""

    def __init__(self, module, **names):
        self._module = module
        for name, value in names.items():
            setattr(self, name, value)

    def __getattr__(self, name):
        return getattr(self._module, name)


class Flash:
    """Block device in a file of the computer. A fault strikes at the write or erase with the number `at`: then half of
    the data are there."""

    def __init__(self, path, blocks, at, strike):
        self._file = open(path, "r+b")
        self._blocks = blocks
        self._at = at
        self._strike = strike
        self.writes = 0

    def readblocks(self, block, buf, offset=0):
        self._file.seek(block * _BLOCK + offset)
        self._file.readinto(buf)

    def writeblocks(self, block, buf, offset=0):
        self._put(block * _BLOCK + offset, bytes(buf))

    def _put(self, at, data):
        self.writes += 1
        self._file.seek(at)
        if self.writes == self._at:
            self._file.write(data[: len(data) // 2])
            self._strike()
            self._file.seek(at)
        self._file.write(data)

    def ioctl(self, op, arg):
        if op == 4:
            return self._blocks
        if op == 5:
            return _BLOCK
        if op == 6:
            self._put(arg * _BLOCK, b"\xff" * _BLOCK)
        return 0


class Store:
    """A JSON object in a file of the computer that stays open: its path is out of reach once the flash is mounted."""

    def __init__(self, path):
        self._file = open(path, "r+b")
        text = self._file.read().strip()
        self._size = len(text)
        self.values = json.loads(text) if text else {}

    def save(self):
        data = json.dumps(self.values).encode()
        self._file.seek(0)
        self._file.write(data + b" " * (self._size - len(data)))
        self._size = max(self._size, len(data))


class Board:
    """config -- see virtual.py"""

    def __init__(self, config):
        self.config = config
        self._commands = open(3, "rb")
        self._events = open(4, "wb")
        self.flash = Flash(config["image"], config["blocks"], config["strike_at"], self._struck)
        self.nvs = Store(config["nvs"])
        self.rtc = Store(config["rtc"])
        self.globals = {"__name__": "__main__"}

    def tell(self, event, number=0, data=b""):
        self._events.write(b"%s %d %d\n" % (event.encode(), number, len(data)) + data)

    def _struck(self):
        self.tell("struck", self.flash.writes)
        if self.config["strike"] == "power":
            self.halt()

    def halt(self):
        """The chip is no more; the computer ends this process."""
        while True:
            try:
                time.sleep(60)
            except KeyboardInterrupt:
                pass

    def reset(self, kind):
        self.tell("reset_" + kind)
        self.halt()

    def mount(self):
        """The flash becomes the whole file system; a blank one is formatted, as at the first start of a board."""
        hardware = self.config["hardware"]
        if hardware:
            with open(hardware) as f:
                hardware = f.read()
        try:
            files = vfs.VfsLfs2(self.flash)
            fresh = False
        except OSError:
            vfs.VfsLfs2.mkfs(self.flash)
            files = vfs.VfsLfs2(self.flash)
            fresh = True
        vfs.umount("/")
        vfs.mount(files, "/")
        if fresh:
            with open("/boot.py", "w") as f:
                f.write(_FRESH)
        sys.path[:] = ["", ".frozen", "/lib"]
        return hardware

    def serve(self):
        """Run what the computer asks for, one at a time."""
        while True:
            try:
                line = self._commands.readline()
                if not line:
                    return
                name, number, length = line.decode().split(" ")
                code = self._commands.read(int(length))
            except KeyboardInterrupt:  # it came as the code before had ended: nothing of the next command was there
                continue
            trace = self._run(name, int(number), code)
            while True:
                try:
                    self.tell("writes", self.flash.writes)
                    self.tell("done", int(number), trace)
                    break
                except KeyboardInterrupt:
                    pass

    def _run(self, name, number, code):
        trace = b""
        try:
            try:
                self.tell("began", number)  # from here on it can be interrupted
                if name == "single":
                    exec(compile(code.decode() + "\n", "<stdin>", "single"), self.globals)
                else:
                    if name != "raw":
                        self.globals["__file__"] = name
                        try:
                            with open(name) as f:
                                code = f.read()
                        except OSError:
                            return b""
                        code = compile(code, name, "exec")
                    exec(code, self.globals)
            except SystemExit:
                self.reset("soft")
            except BaseException as exc:
                trace = _trace(exc)
        except KeyboardInterrupt as exc:  # the second one, while the first was handled
            trace = trace or _trace(exc)
        return trace


def _trace(exc):
    text = io.StringIO()
    _real_sys.print_exception(exc, text)
    lines = [line for line in text.getvalue().split("\n") if "kernel.py" not in line]
    return "\n".join(lines).replace('"<string>"', '"<stdin>"').encode()


_real_sys = sys


class Pin:
    """Tells the computer what is driven."""

    IN, OUT, OPEN_DRAIN = 1, 3, 7
    PULL_DOWN, PULL_UP = 1, 2
    board = None

    def __init__(self, number, mode=-1, pull=-1, *, value=None):
        self._number = number
        self._level = 0
        if value is not None:
            self.value(value)

    def value(self, value=None):
        if value is None:
            return self._level
        self._level = 1 if value else 0
        Pin.board.tell("pin", self._number, b"%d" % self._level)


def _machine(board):
    class Wdt:
        def __init__(self, id=0, timeout=5000):
            pass

        def feed(self):
            pass

    Pin.board = board
    import machine

    return Facade(machine, Pin=Pin, RTC=object, WDT=Wdt, PWRON_RESET=1, HARD_RESET=2, WDT_RESET=3, DEEPSLEEP_RESET=4)


def _esp32(board):
    class Nvs:
        """esp32.NVS with texts and numbers; a change counts once it is committed."""

        def __init__(self, space):
            self._space = space + "/"
            self._new = {}

        def _get(self, key, kind):
            found = self._new.get(self._space + key, board.nvs.values.get(self._space + key))
            if not isinstance(found, kind):
                raise OSError(-0x1102, "ESP_ERR_NVS_NOT_FOUND")
            return found

        def set_i32(self, key, value):
            self._new[self._space + key] = value

        def get_i32(self, key):
            return self._get(key, int)

        def set_blob(self, key, value):
            self._new[self._space + key] = list(bytes(value))

        def get_blob(self, key, buf):
            found = bytes(self._get(key, list))
            if len(found) > len(buf):
                raise OSError(-0x110C, "ESP_ERR_NVS_INVALID_LENGTH")
            buf[: len(found)] = found
            return len(found)

        def erase_key(self, key):
            self._get(key, object)
            self._new[self._space + key] = None

        def commit(self):
            for key, value in self._new.items():
                if value is None:
                    board.nvs.values.pop(key, None)
                else:
                    board.nvs.values[key] = value
            self._new = {}
            board.nvs.save()

    class Esp32:
        NVS = Nvs

    return Esp32()


def _rtc(board, base):
    class Rtc(base):
        """machine.RTC whose memory survives a reset."""

        def memory(self, data=None):
            if data is None:
                return bytes(board.rtc.values.get("memory", []))
            board.rtc.values["memory"] = list(data)
            board.rtc.save()

    return Rtc


def _install(board, hardware):
    config = board.config
    modules = sys.modules
    if hardware:  # the computer's own idea of the chip, in the same way
        space = {"__name__": "hardware"}
        exec(compile(hardware, "hardware", "exec"), space)
        space["install"]()
    else:
        modules["machine"] = _machine(board)
        modules["esp32"] = _esp32(board)
    modules["machine"] = Facade(
        modules["machine"],
        RTC=_rtc(board, modules["machine"].RTC),
        reset=lambda: board.reset("hard"),
        soft_reset=lambda: board.reset("soft"),
        reset_cause=lambda: config["cause"],
        unique_id=lambda: bytes(config["unique_id"]),
    )
    modules["esp32"] = Facade(modules["esp32"], NVS=_esp32(board).NVS)
    version = tuple(config["version"]) + ("",)
    real = sys.implementation
    implementation = (real[0], version, config["machine"], real[3])

    class Implementation(tuple):
        name, version, _machine, _mpy = implementation[0], implementation[1], implementation[2], real._mpy

    text = ".".join([str(n) for n in config["version"]])
    kinds = ("sysname", "nodename", "release", "version", "machine")
    from collections import namedtuple

    uname = namedtuple("uname", kinds)(config["platform"], config["platform"], text, "v" + text, config["machine"])
    modules["os"] = Facade(os, uname=lambda: uname)
    modules["micropython"] = Facade(micropython, kbd_intr=lambda c: board.tell("interrupt", 0 if c < 0 else c))
    modules["sys"] = Facade(sys, platform=config["platform"], implementation=Implementation(implementation))


def main(path):
    with open(path) as f:
        config = json.load(f)
    board = Board(config)
    hardware = board.mount()
    _install(board, hardware)
    board.serve()


main(sys.argv[1])
