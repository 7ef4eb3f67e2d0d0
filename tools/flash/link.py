"""The line to a board: mpremote's transport, with sentences for what can go wrong."""

from __future__ import annotations

import base64
import contextlib
import io
import time
from collections.abc import Callable, Iterator

import serial
from mpremote.transport import TransportError
from mpremote.transport_serial import SerialTransport

from tools.flash.errors import FlashError

CHUNK = 1024  # bytes of a file in one piece: what a board with little memory can take
_ANSWER_S = 5.0
_TRIES = 3
_END_S = 5.0  # the program switches off and tells the central system, at most 3 s
_RESTART = "import machine\nmachine.RTC().memory(b'rivot:hard')\nmachine.reset()"
_LOST = (TransportError, serial.SerialException, OSError)


class Link:
    """One board. path -- of its serial port

    FlashError from every method: the line is lost, or the board cannot do it.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._transport = self._open(path)
        self._broken = False

    def __enter__(self) -> Link:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @staticmethod
    def _open(path: str) -> SerialTransport:
        try:
            return SerialTransport(path, timeout=_ANSWER_S)
        except _LOST as exc:
            raise FlashError(
                f"The port {path} cannot be opened ({_short(exc)}).",
                "is it the right one, is it used by another program (a terminal, mpremote), are you in group dialout?",
            ) from None

    def close(self) -> None:
        """Leave the board alone; it keeps what it does."""
        with contextlib.suppress(*_LOST), _quiet():
            if self._transport.in_raw_repl and not self._broken:
                self._transport.exit_raw_repl()
        with contextlib.suppress(*_LOST):
            self._transport.close()

    def interrupt(self) -> None:
        """End the program, which switches its output off, and start MicroPython anew without it."""
        for left in range(_TRIES, 0, -1):
            try:
                # The program takes its time to end, and its console may take the next bytes too: wait for the prompt.
                self._transport.serial.write(b"\r\x03\x02")
                with _quiet():
                    self._transport.read_until(1, b">>> ", timeout=_END_S, timeout_overall=_END_S)
                    self._transport.enter_raw_repl(soft_reset=True)
                return
            except _LOST as exc:
                if left == 1:
                    self._broken = True
                    raise FlashError(
                        f"MicroPython does not answer on {self.path} ({_short(exc)}).",
                        "does a session run? End it. Does the console want its PIN? `make repl`, command python, "
                        "then repeat. Or is it another port, or a chip without MicroPython (boards/README.md)?",
                    ) from None
                time.sleep(0.5)

    def run(self, code: str, heard: Callable[[bytes], object] | None = None, silence: float = 30) -> str:
        """Run code on the board; return what it prints. heard -- is told it bit by bit instead. silence -- seconds
        without a sign of life.

        OSError: the code ended with one, errno is right. FlashError: with another exception, or the line is lost.
        """
        try:
            with _quiet():
                said, error = self._transport.exec_raw(code, timeout=silence, data_consumer=heard)
        except _LOST as exc:
            raise self.lost(exc) from None
        if not error:
            return bytes(said).decode("utf-8", "replace")
        last = bytes(error).decode("utf-8", "replace").strip().splitlines()[-1:] or ["?"]
        name, _, detail = last[0].partition(":")
        number = "".join(c for c in detail.split("]")[0].replace("[Errno", "") if c.isdigit())
        if name == "OSError" and number:
            raise OSError(int(number), last[0])
        raise FlashError(f"The board says: {last[0]}", "press EN or RST and repeat; report it if it stays")

    def lost(self, exc: BaseException) -> FlashError:
        """What to raise when the line is lost."""
        self._broken = True
        return FlashError(
            f"The connection to {self.path} was lost ({_short(exc)}).",
            "check cable and supply, then repeat the command: it goes on where it stopped",
        )

    def write(self, path: str, data: bytes, written: Callable[[int], object] = lambda _: None) -> None:
        """Write a file. OSError, FlashError: see run()."""
        whole = len(data) <= CHUNK
        if not whole:
            self.run(f"f=open({path!r},'wb')")
        for at in range(0, max(len(data), 1), CHUNK):
            piece = data[at : at + CHUNK]
            text = base64.b64encode(piece).decode()
            code = f"f.write(a2b_base64('{text}'))"
            if whole:
                code = f"with open({path!r},'wb') as f:\n {code}"
            self.run("from binascii import a2b_base64\n" + code)
            written(len(piece))
        if not whole:
            self.run("f.close()")

    def restart(self) -> None:
        """Reset the chip, with the mark of a wanted reset (firmware/hal/esp32_system.py). It answers no more."""
        try:
            with _quiet():
                self._transport.exec_raw_no_follow(_RESTART)
        except _LOST as exc:
            raise self.lost(exc) from None
        self._transport.in_raw_repl = False

    def listen(self, seconds: float) -> Iterator[bytes]:
        """What the board sends, for so long. A port that goes away and comes back (USB on the chip) is opened again."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                port = self._transport.serial
                port.timeout = 0.1
                data = port.read(port.in_waiting or 1)
            except _LOST as exc:
                data = b""
                self._transport = self._reopened(deadline, exc)
            if data:
                yield data

    def _reopened(self, deadline: float, why: BaseException) -> SerialTransport:
        with contextlib.suppress(*_LOST):
            self._transport.close()
        while time.monotonic() < deadline:
            time.sleep(0.2)
            with contextlib.suppress(FlashError):
                return self._open(self.path)
        raise self.lost(why)


def _quiet() -> contextlib.redirect_stdout[io.StringIO]:
    """mpremote prints what it could not understand."""
    return contextlib.redirect_stdout(io.StringIO())


def _short(exc: BaseException) -> str:
    return str(exc).strip().splitlines()[-1] if str(exc).strip() else type(exc).__name__
