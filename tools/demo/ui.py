"""The demo in a terminal: draws what happens, does what the keys say, and gives the terminal back as it was."""

import asyncio
import os
import signal
import sys
import termios
import time
import tty
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live

from tools.demo.firmware import Firmware
from tools.demo.screen import screen
from tools.demo.site import DemoSite
from tools.demo.view import WAITING, View

_SHORTEST_S = 0.05  # between two pictures


@contextmanager
def key_by_key(fd: int) -> Iterator[None]:
    """Single keys without echo; afterwards the terminal is as it was."""
    before = termios.tcgetattr(fd)
    try:
        tty.setcbreak(fd)
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


class Ui:
    """Runs the demo until q, Ctrl-C, SIGTERM or SIGHUP."""

    def __init__(self, firmware: Firmware) -> None:
        self._changed = asyncio.Event()
        self._quit = asyncio.Event()
        self._site = DemoSite(firmware, on_change=self._changed.set)
        self._view = View()
        self._began = time.monotonic()
        self._message = "starting ..."
        self._estop = False
        self._actions: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Raises StartError when a process cannot start."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._quit.set)
        signal.signal(signal.SIGTSTP, signal.SIG_IGN)  # a stopped picture in front of a running charger helps nobody
        self._site.transcript.listeners.append(self._view.feed)
        fd = sys.stdin.fileno()
        console = Console()
        with key_by_key(fd), Live(console=console, screen=True, auto_refresh=False) as live:
            loop.add_reader(fd, self._read_keys, fd)
            drawing = asyncio.create_task(self._draw(console, live))
            try:
                await self._until_quit()
            finally:
                loop.remove_reader(fd)
                for task in (drawing, *self._actions):
                    task.cancel()
                await asyncio.gather(drawing, *self._actions, return_exceptions=True)

    async def _until_quit(self) -> None:
        """Quit works while the processes still start, too."""
        quitting = asyncio.create_task(self._quit.wait())
        site = asyncio.create_task(self._site.__aenter__())
        try:
            await asyncio.wait((quitting, site), return_when=asyncio.FIRST_COMPLETED)
            if site.done():
                site.result()
                self._message = f"ready after {time.monotonic() - self._began:.1f} s: p plugs a vehicle in"
                self._changed.set()
                await quitting
        finally:
            quitting.cancel()
            if not site.done():
                site.cancel()  # it stops what it has started
                await asyncio.gather(site, return_exceptions=True)
            elif site.exception() is None:
                await self._site.__aexit__(None, None, None)

    async def _draw(self, console: Console, live: Live) -> None:
        while True:
            width, height = console.size
            children = (self._site.csms, self._site.sim, self._site.firmware)
            down = self._site.network_down
            live.update(screen(self._view, children, self._began, self._message, down, width, height), refresh=True)
            await asyncio.sleep(_SHORTEST_S)
            try:
                await asyncio.wait_for(self._changed.wait(), 1.0)
            except TimeoutError:
                pass  # once a second in any case: a process may have ended
            self._changed.clear()

    def _read_keys(self, fd: int) -> None:
        keys = os.read(fd, 64).decode("ascii", "replace")
        if not keys or keys[0] == "\x1b":  # the terminal is gone, or a cursor key
            if not keys:
                self._quit.set()
            return
        for key in keys.lower():
            self._press(key)

    def _press(self, key: str) -> None:
        actions: dict[str, tuple[str, Callable[[], Awaitable[str | None]]]] = {
            "p": ("plug in" if self._view.phase == WAITING and not self._plugged() else "unplug", self._plug),
            "s": ("start", self._site.start),
            "x": ("stop", self._site.stop),
            "e": ("release the emergency stop" if self._estop else "EMERGENCY STOP", self._emergency),
            "n": ("restore the network" if self._site.network_down else "drop the network", self._network),
        }
        if key == "q":
            self._quit.set()
        elif key in actions and self._site.ready:
            what, action = actions[key]
            self._message = what
            task = asyncio.create_task(self._do(what, action))
            self._actions.add(task)
            task.add_done_callback(self._actions.discard)
        self._changed.set()

    async def _do(self, what: str, action: Callable[[], Awaitable[str | None]]) -> None:
        error = await action()
        self._message = error or f"{what}: done"
        self._changed.set()

    def _plugged(self) -> bool:
        return self._site.plugged

    async def _plug(self) -> str | None:
        return await (self._site.unplug() if self._plugged() else self._site.plug())

    async def _emergency(self) -> str | None:
        self._estop = not self._estop
        return await self._site.emergency_stop(self._estop)

    async def _network(self) -> str | None:
        return await self._site.network(not self._site.network_down)
