"""The serial console while somebody is there: reads lines, asks for the PIN where one is needed, runs commands.

A cold module, loaded by the first key (see app.App.run) and kept by its own coroutine until the person leaves, or types
nothing for 10 minutes. Commands are cold modules in charger/commands.
"""

import asyncio
import gc

from cold import cold
from micropython import const

_IDLE_MS = const(600_000)  # nobody types for this long: the console closes
_AGAIN_MS = const(2000)  # after a failure
_READ = const(64)
_TRIES = const(4)
_TRY_MS = const(40)
_LOOK_MS = const(2000)
_SCARCE_MS = const(8000)  # so long may nobody type while less than ...
_PLENTY = const(18_000)  # ... this many bytes are free: a session needs them
_RESERVE = const(8000)  # less: the console closes at once, and does not open
_CTRL_C = const(3)

_LINE = const(1)  # of console_line
_CANCEL = const(2)
_END = const(3)
_TAB = const(4)

_HIDING = ("set", "imp", "log", "pin")  # beginnings of commands whose arguments may be secret
_FULL = "There is too little memory for this now; when no session runs there is more."


class Quit(BaseException):
    """The person leaves, or the terminal is gone. No Exception: it passes whatever a command catches."""


def start(app):
    """Somebody has typed, or the input has ended."""
    keys, app.hal.keys = app.hal.keys, None
    asyncio.create_task(_serve(app, keys))


async def _serve(app, keys):
    """Serve one person; afterwards the next one may come, unless the input has ended."""
    log, sink = app.log, app.log.sink
    terminal = None
    try:
        terminal = await app.hal.open_stream("console")
        first = bytearray(1)
        if await terminal.readinto(first):
            if terminal.is_shared:
                log.sink = None  # it would break into the line; the ring keeps it
            await Console(app, terminal, first[0]).run()
        else:
            keys = None  # with its input the console ends for good
    except Quit:
        pass
    except MemoryError:
        if terminal is not None:
            await terminal.write(_FULL + "\r\n")
        await asyncio.sleep_ms(_AGAIN_MS)
    except Exception as exc:  # noqa: BLE001 - a failure of the console is its own: charging goes on
        log.error("console", exc)
        await asyncio.sleep_ms(_AGAIN_MS)
    finally:
        log.sink = sink
        app.hal.keys = keys
        if terminal is not None:
            terminal.close()


class Console:
    """What commands work with: app, `say` and `ask`, `key`, `staged`.

    The line editor is in memory only while it deals with what was typed.

    staged -- {setting: value, None: back to the factory's}, checked and not yet saved
    trusted -- the PIN was given, or there is none
    blank -- the last Ctrl-C came on an empty line
    first -- byte with which they came
    """

    def __init__(self, app, terminal, first):
        self.app = app
        self.staged = {}
        self.trusted = self.blank = False
        self.terminal = terminal
        self.known = []  # settings that are no secrets: what was typed lately
        self._kept = None  # of the line editor
        self._buf = bytearray(_READ)
        self._buf[0] = first
        self._at, self._end = 0, 1

    async def run(self):
        if not self.has_room():
            await self.say(_FULL)
            return
        self.trusted = cold("charger.commands.pin").is_open(self.app)
        first = self._buf[0]
        if first == 13 or first == 10:
            self._at = 1  # it was to wake us
        if first != _CTRL_C:
            await cold("charger.commands.setup").greet(self)
        while True:
            text = await self.ask("rivot%s> " % ("*" if self.staged else ""))
            if text is None:
                self.interrupted()
            elif text.strip():
                try:
                    for _ in range(_TRIES):
                        if self.has_room():
                            break
                        await asyncio.sleep_ms(_TRY_MS)  # a message is being dealt with
                    if not self.has_room():
                        raise MemoryError
                    await cold("charger.console_run").execute(self, text)
                except MemoryError:
                    await self.say(_FULL)

    def interrupted(self):
        """Ctrl-C on an empty line of a device leads to the REPL, as mpremote expects, if that is allowed anyway."""
        if self.blank and self.terminal.is_device and self.trusted and self.is_idle():
            raise KeyboardInterrupt

    def is_idle(self):
        """No session and no power."""
        return not any([outlet.connector.transaction or outlet.gate.may_flow() for outlet in self.app.outlets])

    def has_room(self, size=_RESERVE):
        """Is so much memory free beside what the console has?"""
        if gc.mem_free() < size:
            gc.collect()
        return gc.mem_free() >= size

    # -- for commands

    async def leave(self, why=""):
        """Close the console."""
        await self.say("Closed%s.%s" % (why, " What was set and not saved is forgotten." if self.staged else ""))
        raise Quit

    async def say(self, text=""):
        """Write lines of text."""
        await self.terminal.write(text.replace("\n", "\r\n") + "\r\n")

    async def ask(self, prompt, hidden=False):
        """A line that is typed, or None after Ctrl-C or when it was spoilt. Quit: nobody is there any more."""
        shown = self._begin(prompt, hidden)
        while True:
            await self.terminal.write(shown)
            if self._at == self._end:
                await self._wait()
            shown, event, text, spoilt = self._edit()
            if not event:
                continue
            await self.terminal.write(shown)
            if event == _TAB:
                shown = self._complete()
                continue
            if event == _END:
                await self.leave()
            if spoilt:
                await self.say("Not taken: %s." % spoilt)
            self.blank = event == _CANCEL and not text
            return text if event == _LINE and not spoilt else None

    async def _wait(self):
        """For a key. Who types nothing has gone; and where memory is scarce a session has the better right to it."""
        for waited in range(0, _IDLE_MS, _LOOK_MS):
            try:
                await self._fill(_LOOK_MS)
                return
            except asyncio.TimeoutError:
                pass
            if not self.has_room(_RESERVE if waited < _SCARCE_MS else _PLENTY):
                await self.say()
                await self.leave(": a session needs the memory. A key opens it again")
        await self.say()
        await self.leave(": nobody has typed for 10 minutes")

    # The line editor: no coroutines, so nothing of it stays in memory when they return. Each returns what to show.

    def _begin(self, prompt, hidden):
        line = self._editor()
        line.begin(prompt, hidden)
        return self._put_away(line)

    def _edit(self):
        """Goes on with what was typed; and (event or 0, the line, why not to take it)."""
        line = self._editor()
        self._at, event = line.feed(self._buf, self._at, self._end)
        return self._put_away(line), event, line.text, line.spoilt

    def _complete(self):
        line = self._editor()
        try:
            line.complete(cold("charger.commands.table").candidates(line.text[: line.at]))
        except MemoryError:
            pass
        return self._put_away(line)

    def _editor(self):
        return cold("charger.console_line").Line(self._hides, self._kept)

    def _put_away(self, line):
        shown = line.output()
        self._kept = line.keep()
        return shown

    def _hides(self, text):
        return cold("charger.console_run").hides(self, text) if text.lstrip()[:3] in _HIDING else None

    async def sure(self, question):
        """Has the person typed "yes"?"""
        return (await self.ask(question + ' Type "yes": ')) == "yes"

    async def key(self, wait_ms):
        """Has a key been pressed by now, or within this time? It is taken."""
        if self._at == self._end:
            try:
                await self._fill(wait_ms)
            except asyncio.TimeoutError:
                return False
        self._at = self._end
        return True

    async def _fill(self, wait_ms):
        n = await asyncio.wait_for_ms(self.terminal.readinto(self._buf), wait_ms)
        if not n:
            raise Quit
        self._at, self._end = 0, n
