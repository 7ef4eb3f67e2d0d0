"""The REPL of a MicroPython board as a state machine: bytes from the computer in, answers and code to run out.

Friendly REPL, raw REPL and raw paste as shared/runtime/pyexec.c of MicroPython 1.25 has them. Bytes come here only
while no code runs; what is typed meanwhile belongs to the program. Pure: no I/O.
"""

from __future__ import annotations

from dataclasses import dataclass

CTRL_A, CTRL_B, CTRL_C, CTRL_D, CTRL_E = 1, 2, 3, 4, 5
WINDOW = 128  # bytes that raw paste lets through at once: half of the port's input buffer
RAW_BANNER = b"raw REPL; CTRL-B to exit\r\n"
PROMPT = b">>> "


@dataclass(frozen=True)
class Run:
    """Code to run. single -- a line of a person: the value of an expression is shown."""

    code: bytes
    single: bool = False


@dataclass(frozen=True)
class SoftReset:
    """Start MicroPython again."""


class Repl:
    """out -- what the computer must be told; taken with take(). overruns -- bytes against the flow control, lost."""

    def __init__(self, banner: bytes) -> None:
        self.raw = False
        self.out = bytearray()
        self.overruns = 0
        self._banner = banner
        self._line = bytearray()
        self._credit: int | None = None  # raw paste: bytes that may still come; None: no raw paste
        self._window = 0  # of them in the present window

    def take(self) -> bytes:
        """What has to be sent now."""
        data = bytes(self.out)
        self.out.clear()
        return data

    def start(self) -> None:
        """MicroPython has started, boot.py and main.py have ended."""
        self._line.clear()
        self._credit = None
        self.out += RAW_BANNER + b">" if self.raw else self._banner + PROMPT

    def ran(self, traceback: bytes, single: bool) -> None:
        """The code of the last Run has ended; its output is sent."""
        if single:
            self.out += traceback + PROMPT
        else:
            self.out += b"\x04" + traceback + b"\x04>"

    def byte(self, c: int) -> Run | SoftReset | None:
        """Take one byte of the computer."""
        if self._credit is not None:
            return self._paste(c)
        return self._raw(c) if self.raw else self._friendly(c)

    def _friendly(self, c: int) -> Run | SoftReset | None:
        if c == CTRL_A:
            self.raw = True
            self.out += b"\r\n"
            self.start()
        elif c in (CTRL_B, CTRL_C):
            self._line.clear()
            self.out += b"\r\n" + (self._banner if c == CTRL_B else b"") + PROMPT
        elif c == CTRL_D:
            self.out += b"\r\n"
            return SoftReset()
        elif c in (8, 127):
            if self._line:
                del self._line[-1]
                self.out += b"\x08 \x08"
        elif c in b"\r\n":
            code = bytes(self._line)
            self._line.clear()
            self.out += b"\r\n"
            if code.strip():
                return Run(code, single=True)
            self.out += PROMPT
        elif c >= 32:
            self._line.append(c)
            self.out.append(c)
        return None

    def _raw(self, c: int) -> Run | SoftReset | None:
        if c == CTRL_A:
            if len(self._line) == 2 and self._line[0] == CTRL_E:
                self._begin_paste(self._line[1])
            else:
                self.start()
        elif c == CTRL_B:
            self.raw = False
            self.out += b"\r\n"
            self.start()
        elif c == CTRL_C:
            self._line.clear()
        elif c == CTRL_D:
            self.out += b"OK"
            code = bytes(self._line)
            self._line.clear()
            if code:
                return Run(code)
            self.out += b"\r\n"
            return SoftReset()
        else:
            self._line.append(c)
        return None

    def _begin_paste(self, letter: int) -> None:
        self._line.clear()
        if letter != ord("A"):
            self.out += b"R\x00>"
            return
        self.out += b"R\x01" + WINDOW.to_bytes(2, "little") + b"\x01"
        self._credit, self._window = 2 * WINDOW, WINDOW

    def _paste(self, c: int) -> Run | None:
        assert self._credit is not None
        if c == CTRL_D:
            self.out += b"\x04"
            return self._end_paste()
        if c == CTRL_C:
            self._end_paste()
            self.out += b"\x04\x04KeyboardInterrupt: \r\n\x04>"
            return None
        if not self._credit:
            self.overruns += 1
            return None
        self._line.append(c)
        self._credit -= 1
        self._window -= 1
        if not self._window:
            self._window = WINDOW
            self._credit += WINDOW
            self.out.append(1)
        return None

    def _end_paste(self) -> Run:
        code = bytes(self._line)
        self._line.clear()
        self._credit = None
        return Run(code)
