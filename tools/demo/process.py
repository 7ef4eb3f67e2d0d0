"""Child processes that end with us: started, read line by line, stopped with a deadline, whatever happens here."""

import asyncio
import ctypes
import json
import os
import signal as signals
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
_LINES = 2_000
_T = TypeVar("_T")


class StartError(Exception):
    """Raised when a process cannot start or ends too early; the text says which, why and what to do."""


class Child:
    """One process. `lines` holds the last lines of its stdout and stderr, `code` its exit status or None."""

    def __init__(self, name: str, on_line: Callable[[str], None] | None = None) -> None:
        self.name = name
        self.lines: deque[str] = deque(maxlen=_LINES)
        self._on_line = on_line
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._news = asyncio.Event()

    async def start(
        self, argv: Sequence[str | Path], cwd: Path, env: Mapping[str, str] | None = None, stdin: bool = False
    ) -> None:
        """Start it. It gets its own session, so that Ctrl-C in our terminal reaches only us, and (on Linux) is killed
        when we die without having stopped it. stdin: give it a pipe, see `write`. Raises StartError."""
        parent = os.getpid()

        def in_child() -> None:
            if _LIBC is not None:
                _LIBC.prctl(_PR_SET_PDEATHSIG, signals.SIGKILL)
                if os.getppid() != parent:  # we died before prctl took effect
                    os.kill(os.getpid(), signals.SIGKILL)

        try:
            self._process = await asyncio.create_subprocess_exec(
                *map(str, argv),
                cwd=cwd,
                env={**os.environ, **(env or {})},
                stdin=asyncio.subprocess.PIPE if stdin else asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=in_child,
                limit=1 << 20,
            )
        except OSError as error:
            raise StartError(f"{self.name} cannot start: {error}. Run `make setup` first.") from error
        self._reader = asyncio.create_task(self._read())

    @property
    def code(self) -> int | None:
        """Exit status; negative: killed by that signal; None: running or never started."""
        return self._process.returncode if self._process else None

    @property
    def running(self) -> bool:
        """Started and not ended."""
        return self._process is not None and self._process.returncode is None

    @property
    def pid(self) -> int | None:
        """Process id, None before the start."""
        return self._process.pid if self._process else None

    async def hello(self, timeout: float) -> dict[str, Any]:
        """The first line that begins with "{": where it listens (warnings may come before it). Raises StartError."""
        line = await self.wait_line(lambda line: line.startswith("{"), timeout)
        try:
            hello: dict[str, Any] = json.loads(line)
        except ValueError:
            raise StartError(f"{self.name} said {line!r} instead of where it listens\n{self.tail()}") from None
        return hello

    async def wait_line(self, matches: Callable[[str], bool], timeout: float) -> str:
        """The first line so far or to come that `matches`. Raises StartError when it ends or nothing comes in time."""
        try:
            async with asyncio.timeout(timeout):
                while True:
                    for line in self.lines:
                        if matches(line):
                            return line
                    if self._reader is None or self._reader.done():
                        raise StartError(f"{self.name} ended with status {await self.wait()}\n{self.tail()}")
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise StartError(f"{self.name} did not say what was waited for within {timeout} s\n{self.tail()}") from None

    def write(self, text: str) -> None:
        """Type into its stdin."""
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.write(text.encode())

    def close_stdin(self) -> None:
        """End of its stdin."""
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.close()

    def signal(self, number: int) -> None:
        """Send a signal; one to a process that has ended is no error."""
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def wait(self) -> int:
        """Until it has ended and all of its output is read; its exit status."""
        assert self._process is not None
        code = await self._process.wait()
        if self._reader is not None:
            await asyncio.shield(self._reader)
        return code

    async def meanwhile(self, waiting: Awaitable[_T]) -> _T:
        """Await something that can only come while this process runs. Raises StartError when it ends first."""
        ended, wanted = asyncio.ensure_future(self.wait()), asyncio.ensure_future(waiting)
        try:
            await asyncio.wait((ended, wanted), return_when=asyncio.FIRST_COMPLETED)
            if not wanted.done():
                raise StartError(f"{self.name} ended with status {ended.result()}\n{self.tail()}")
            return await wanted
        finally:
            ended.cancel()
            wanted.cancel()

    async def stop(self, number: int = signals.SIGTERM, timeout: float = 5.0) -> int | None:
        """Ask it to end, kill it after `timeout` s; its exit status, None if it was never started."""
        if self._process is None:
            return None
        self.signal(number)
        try:
            return await asyncio.wait_for(asyncio.shield(self.wait()), timeout)
        except TimeoutError:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signals.SIGKILL)
            return await self.wait()

    def kill(self) -> None:
        """At once, without waiting: for the last moment of a program that is being ended."""
        self.signal(signals.SIGKILL)

    def tail(self, count: int = 20) -> str:
        """Its last lines, each with its name."""
        return "\n".join(f"  {self.name}| {line}" for line in list(self.lines)[-count:])

    async def _read(self) -> None:
        assert self._process is not None and self._process.stdout is not None
        try:
            while line := await self._line(self._process.stdout):
                text = line.decode("utf-8", "replace").rstrip("\r\n")
                self.lines.append(text)
                if self._on_line:
                    self._on_line(text)
                self._news.set()
        finally:
            self._news.set()

    @staticmethod
    async def _line(stream: asyncio.StreamReader) -> bytes:
        try:
            return await stream.readline()
        except ValueError:  # a line without end: give what there is
            return await stream.read(1 << 16)
