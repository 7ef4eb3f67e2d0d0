"""Somebody at the serial console: a pty between the firmware and a pair of hands that types (pexpect).

program = Desk()                                  # the firmware, its standard input and output a pty
async with Rig(path, program=program) as rig:
    person = Person(program)
    await person.come()                           # Enter; the prompt
    text = await person.command("status")         # what it says up to the next prompt
"""

import asyncio
import os
import pty
import re
import time
from dataclasses import dataclass, field
from pathlib import Path

from pexpect import fdpexpect

from tools.demo.firmware import Firmware

DEADLINE_S = 20.0
PROMPT = r"\n(rivot\*?> )"
_CONTROL = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|\x07")


@dataclass(frozen=True)
class Desk(Firmware):
    """The firmware with a pty as standard input and output; the log goes to the rig as ever, or with `shared` there,
    too."""

    shared: bool = False
    ends: tuple[int, int] = field(default_factory=pty.openpty)  # ours, the firmware's

    def command(self, data: Path, factory: Path) -> tuple[list[str], dict[str, str]]:
        argv, env = super().command(data, factory)
        tty = os.ttyname(self.ends[1])
        opening = f'exec "$0" "$@" <{tty} >{tty}' + (f" 2>{tty}" if self.shared else "")
        return ["/bin/sh", "-c", opening, *argv], env

    def close(self) -> None:
        """Pull the cable."""
        for end in self.ends:
            os.close(end)


class Person:
    """Types, and reads. `seen` is everything that was ever on the screen; `took` how long answers took, in seconds, by
    the words of the command."""

    def __init__(self, desk: Desk) -> None:
        self._child = fdpexpect.fdspawn(desk.ends[0], timeout=DEADLINE_S, encoding="utf-8", codec_errors="replace")
        self._screen: list[str] = []
        self._child.logfile_read = self
        self.took: dict[str, float] = {}

    def write(self, text: str) -> None:
        """For pexpect: what came."""
        self._screen.append(text)

    def flush(self) -> None:
        """For pexpect."""

    @property
    def seen(self) -> str:
        return "".join(self._screen)

    async def come(self, answer: str | None = None) -> str:
        """Press Enter and wait for the prompt. answer: to the offer of the guided dialogue."""
        await self.type("\r")
        if answer is not None:
            await self.read(r"Set it up now\? \[Y/n\] ")
            await self.type(answer)
        return await self.read()

    async def leave(self) -> None:
        """Close the console: the next key opens it again."""
        await self.type("exit\r")
        await self.read(r"\nClosed\.[^\n]*\n")

    async def settle(self) -> None:
        """Until everything that was typed so far is dealt with, however many prompts it made."""
        await self.type("\x15\rsettled\r")
        await self.read(r"settled\r+\nThere is no such command[^\n]*" + PROMPT)

    async def type(self, text: str) -> None:
        await asyncio.to_thread(self._child.send, text)

    async def read(self, until: str = PROMPT) -> str:
        """What comes up to a pattern, without control sequences."""
        await asyncio.to_thread(self._child.expect, until)
        return _CONTROL.sub("", self._child.before or "").replace("\r", "")

    async def command(self, text: str, until: str = PROMPT) -> str:
        """Type a command; what it says."""
        began = time.monotonic()
        await self.type(text + "\r")
        answer = await self.read(until)
        self.took[text] = max(self.took.get(text, 0.0), time.monotonic() - began)
        return answer.partition("\n")[2]

    async def says(self, text: str, *parts: str) -> str:
        """A command whose answer holds all these parts."""
        answer = await self.command(text)
        for part in parts:
            assert part in answer, f"{text}: {part!r} is not in\n{answer}"
        return answer
