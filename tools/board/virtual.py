"""A virtual board: a pseudo terminal, MicroPython's unix port behind it, a folder for what survives without power.

    with VirtualBoard(folder) as board:
        subprocess.run(["mpremote", "connect", board.port, "ls"])

The folder holds the flash (flash.img, a littlefs of 4 kB blocks), the NVS (nvs.json) and, over a reset, the RTC memory.
Everything that is told to the board is done by one thread; the methods may be called from any other.
"""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import shutil
import signal
import struct
import subprocess
import termios
import threading
import time
import tty
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from tools.board.chip import BLOCK, MACHINES, Chip, Faults
from tools.board.repl import CTRL_C, Repl, Run, SoftReset

ROOT = Path(__file__).resolve().parent.parent.parent
INTERPRETER = ROOT / ".toolchain" / "bin" / "micropython"
KERNEL = Path(__file__).resolve().parent / "port" / "kernel.py"
_POWER, _HARD, _SOFT = 1, 2, 5  # machine.reset_cause()
_CHUNK = 65_536


@dataclass
class _Process:
    """One life of the interpreter."""

    popen: subprocess.Popen[bytes]
    commands: IO[bytes]
    events: int
    stdin: int
    stdin_back: int  # the other end of stdin: what the program did not read
    stdout: int
    number: int = 0  # of the last command
    writes: int = 0  # of the flash, in this life
    began: int = 0  # the one that can take a signal
    interrupted: bool = False  # a signal waits for that
    heard: bytearray = field(default_factory=bytearray)


class VirtualBoard:
    """port -- path of the serial line, from start() on; pins -- (GPIO, level) as they were driven since the last start
    of the chip; said -- all that it ever sent; writes -- of the flash so far; struck -- number of the one at which a
    fault struck; starts -- how often the chip has started; lost -- the line is cut
    """

    def __init__(self, folder: Path, chip: Chip | None = None) -> None:
        self.chip = chip or Chip()
        self.folder = folder
        self.faults = Faults()
        self.port = ""
        self.pins: list[tuple[int, int]] = []
        self.writes = self.struck = 0
        self.starts = 0
        self.lost = False
        self.said = bytearray()
        self.received = 0
        self._repl = Repl(self.chip.banner)
        self._input: deque[int] = deque()
        self._process: _Process | None = None
        self._running: Run | str | None = None
        self._then: Callable[[], None] | None = None
        self._interrupt = True
        self._master = self._slave = -1
        self._wanted: deque[Callable[[], None]] = deque()
        self._wake = os.pipe()
        self._thread: threading.Thread | None = None
        self._ended = False
        self._lock = threading.Lock()

    def __enter__(self) -> VirtualBoard:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- for the other threads

    def start(self) -> None:
        """Plug the cable in and switch the board on."""
        self._prepare()
        self._plug()
        self._power_up()
        self._thread = threading.Thread(target=self._serve, name="virtual board", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Switch the board off and take the cable away."""
        self._do(self._end)
        if self._thread is not None:
            self._thread.join()
        for fd in self._wake:
            os.close(fd)

    def power_cycle(self, faults: Faults | None = None) -> None:
        """Off and on again, with a cable that works; the port may have another name then."""

        def cycle() -> None:
            self.faults = faults or Faults()
            self._kill()
            self._unplug()
            self._plug()
            self._power_up()

        self._do(cycle)

    def load(self, image: Path) -> None:
        """Another flash, with the power off for a moment."""

        def change() -> None:
            self._kill()
            shutil.copyfile(image, self.folder / "flash.img")

        self._do(change)
        self.power_cycle()

    def press_reset(self) -> None:
        """The button EN."""
        self._do(lambda: self._reset(_POWER))

    def wait_for(self, text: bytes, timeout: float = 30, start: int = 0) -> int:
        """Wait until the board has sent `text` after the position `start` of `said`; return the position behind it.

        TimeoutError: with what it sent instead.
        """
        deadline = time.monotonic() + timeout
        while True:
            at = self.said.find(text, start)
            if at >= 0:
                return at + len(text)
            if time.monotonic() > deadline:
                raise TimeoutError(f"no {text!r} in {bytes(self.said[start:])!r}")
            time.sleep(0.005)

    def _do(self, action: Callable[[], None]) -> None:
        """Let the board's own thread do it, and wait."""
        done = threading.Event()

        def wanted() -> None:
            try:
                action()
            finally:
                done.set()

        self._wanted.append(wanted)
        os.write(self._wake[1], b"x")
        done.wait(20)

    # -- the board's own thread

    def _serve(self) -> None:
        while not self._ended:
            fds = [self._wake[0]]
            if self._master >= 0:
                fds.append(self._master)
            if self._process:
                fds += [self._process.events, self._process.stdout]
            ready, _, _ = select.select(fds, [], [])
            if self._wake[0] in ready:
                os.read(self._wake[0], 64)
                while self._wanted:
                    self._wanted.popleft()()
                continue
            process = self._process
            if process and process.stdout in ready:
                self._pass_output(process)
            if process and process.events in ready:
                self._hear(process)
            if self._master in ready:
                self._listen()
            self._work()

    def _listen(self) -> None:
        try:
            data = os.read(self._master, _CHUNK)
        except OSError:
            return
        limit = self.faults.at_byte
        cut = limit and self.received + len(data) >= limit
        if cut:
            data = data[: limit - self.received]
        self.received += len(data)
        self._input.extend(data)
        if cut:
            self._work()
            self._unplug()

    def _work(self) -> None:
        """Give what has come to the program that runs, or else to the REPL."""
        while self._input and self._process:
            c = self._input.popleft()
            if self._running is not None:
                if c == CTRL_C and self._interrupt:
                    if self._process.began == self._process.number:
                        self._process.popen.send_signal(signal.SIGINT)
                    else:
                        self._process.interrupted = True
                else:
                    try:
                        os.write(self._process.stdin, bytes([c]))
                    except BlockingIOError:
                        pass  # as on a board: its buffer is full
                continue
            action = self._repl.byte(c)
            self._send(self._repl.take())
            if isinstance(action, SoftReset):
                self._reset(_SOFT)
            elif action is not None:
                self._run(action)

    def _run(self, what: Run | str, then: Callable[[], None] | None = None) -> None:
        """Let the interpreter run code, or a file."""
        process = self._process
        assert process
        self._running, self._then = what, then
        name = what if isinstance(what, str) else "single" if what.single else "raw"
        code = what.code if isinstance(what, Run) else b""
        process.number += 1
        try:
            process.commands.write(f"{name} {process.number} {len(code)}\n".encode() + code)
            process.commands.flush()
        except OSError:
            pass  # it has died: its end of the events says so

    def _hear(self, process: _Process) -> None:
        data = os.read(process.events, _CHUNK)
        if not data:  # a crash of the interpreter is one of the chip
            self._reset(_HARD)
            return
        process.heard += data
        while process is self._process:
            head, mark, rest = process.heard.partition(b"\n")
            if not mark:
                return
            event, number, length = head.decode().split(" ")
            if len(rest) < int(length):
                return
            body = bytes(rest[: int(length)])
            process.heard = rest[int(length) :]
            self._happened(process, event, int(number), body)

    def _happened(self, process: _Process, event: str, number: int, body: bytes) -> None:
        if event == "done":
            if number == process.number and self._running is not None:
                self._done(process, body)
        elif event == "writes":
            self.writes += number - process.writes
            process.writes = number
        elif event == "pin":
            self.pins.append((number, int(body)))
        elif event == "began":
            process.began = number
            if process.interrupted:
                process.interrupted = False
                process.popen.send_signal(signal.SIGINT)
        elif event == "interrupt":
            self._interrupt = number == CTRL_C
        elif event == "struck":
            self.struck = number
            if self.faults.what == "power":
                self._kill()
            self._unplug()
        elif event.startswith("reset_"):
            self._pass_output(process)
            self._reset(_SOFT if event == "reset_soft" else _HARD)

    def _done(self, process: _Process, trace: bytes) -> None:
        self._pass_output(process)
        waiting = struct.unpack("i", fcntl.ioctl(process.stdin_back, termios.FIONREAD, b"\0" * 4))[0]
        if waiting:  # what the program did not read is for the REPL
            self._input.extendleft(reversed(os.read(process.stdin_back, waiting)))
        what, then = self._running, self._then
        if what == "boot.py" and trace:
            then = self._repl.start  # as on a board: no main.py after a boot.py that failed or was interrupted
        self._running = self._then = None
        trace = trace.replace(b"\n", b"\r\n")
        if isinstance(what, Run):
            self._repl.ran(trace, what.single)
        else:
            self._send(trace)
        if then is not None:
            then()
        self._send(self._repl.take())

    def _pass_output(self, process: _Process) -> None:
        """What the program has printed so far; a line break becomes CR LF, as a board sends it."""
        while True:
            try:
                data = os.read(process.stdout, _CHUNK)
            except BlockingIOError:
                return
            if not data:
                return
            self._send(data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))

    def _send(self, data: bytes) -> None:
        self.said += data
        while data and self._master >= 0:
            try:
                data = data[os.write(self._master, data) :]
            except BlockingIOError:  # nobody reads: a board would not wait either, but not lose as much
                if not select.select([], [self._master], [], 0.5)[1]:
                    return
            except OSError:
                return

    # -- power, cable, resets

    def _prepare(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        image = self.folder / "flash.img"
        if not image.exists():
            image.write_bytes(b"\xff" * BLOCK * self.chip.blocks)
        for name in ("nvs.json", "rtc.json"):
            (self.folder / name).touch()

    def _plug(self) -> None:
        self._master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.port = os.ttyname(self._slave)
        self.lost = False
        self.received = 0

    def _unplug(self) -> None:
        self.lost = True
        for fd in (self._master, self._slave):
            if fd >= 0:
                os.close(fd)
        self._master = self._slave = -1

    def _power_up(self) -> None:
        (self.folder / "rtc.json").write_bytes(b"")
        self._repl = Repl(self.chip.banner)
        self._launch(_POWER)

    def _reset(self, cause: int) -> None:
        self._kill()
        if cause == _SOFT:
            self._send(b"MPY: soft reboot\r\n")
        else:
            self._repl = Repl(self.chip.banner)
            self._send(b"ets Jul 29 2019 12:21:46\r\n\r\nrst:0xc (SW_CPU_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)\r\n")
        self._launch(cause)

    def _launch(self, cause: int) -> None:
        chip = self.chip
        self.starts += 1
        self.pins.clear()
        self._interrupt = True
        config = {
            "image": str(self.folder / "flash.img"),
            "blocks": chip.blocks,
            "nvs": str(self.folder / "nvs.json"),
            "rtc": str(self.folder / "rtc.json"),
            "hardware": str(chip.hardware) if chip.hardware else "",
            "strike": self.faults.what,
            "strike_at": self.faults.at_write,
            "cause": cause,
            "version": chip.version,
            "machine": MACHINES[chip.name],
            "platform": chip.platform,
            "unique_id": list(chip.unique_id),
        }
        path = self.folder / "chip.json"
        path.write_text(json.dumps(config))
        commands, events, stdin, stdout = os.pipe(), os.pipe(), os.pipe(), os.pipe()
        script = f'exec "$0" -X heapsize={chip.heap} "$1" "$2" 3<&{commands[0]} 4>&{events[1]}'
        popen = subprocess.Popen(
            ["/bin/bash", "-c", script, str(INTERPRETER), str(KERNEL), str(path)],
            stdin=stdin[0],
            stdout=stdout[1],
            stderr=subprocess.STDOUT,
            pass_fds=(commands[0], events[1]),
            cwd="/",
        )
        for fd in (commands[0], events[1], stdout[1]):
            os.close(fd)
        for fd in (stdout[0], stdin[1]):
            os.set_blocking(fd, False)
        self._process = _Process(popen, os.fdopen(commands[1], "wb"), events[0], stdin[1], stdin[0], stdout[0])
        self._run("boot.py", self._booted)

    def _booted(self) -> None:
        if self._repl.raw:
            self._repl.start()
        else:
            self._run("main.py", self._repl.start)

    def _kill(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.popen.kill()
        process.popen.wait()
        process.commands.close()
        for fd in (process.events, process.stdin, process.stdin_back, process.stdout):
            os.close(fd)
        self._running = self._then = None
        self._input.clear()

    def _end(self) -> None:
        self._kill()
        self._unplug()
        self._ended = True
