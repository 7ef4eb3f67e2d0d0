"""The serial console while somebody is there: reads lines, asks for the PIN where one is needed, runs commands.

A cold module, loaded by the first key (see app.App.run) and kept by its own coroutine until the person leaves, or types
nothing for 10 minutes. Commands are cold modules in charger/commands.
"""

import asyncio

from cold import cold
from micropython import const

_IDLE_MS = const(600_000)  # nobody types for this long: the console closes
_AGAIN_MS = const(2000)  # after a failure
_READ = const(64)
_CTRL_C = const(3)


class Quit(Exception):
    """The person leaves, or the terminal is gone."""


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

    staged -- {setting: value, None: back to the factory's}, checked and not yet saved
    trusted -- the PIN was given, or there is none
    first -- byte with which they came
    """

    def __init__(self, app, terminal, first):
        self.app = app
        self.staged = {}
        self.trusted = False
        self.terminal = terminal
        self._open_names = []  # settings that are not secret: what was typed lately
        self._line = cold("charger.console_line").Line(self._hides)
        self._buf = bytearray(_READ)
        self._buf[0] = first
        self._at, self._end = 0, 1

    async def run(self):
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
                await self._execute(text)

    def interrupted(self):
        """Ctrl-C on an empty line of a device leads to the REPL, as mpremote expects, if that is allowed anyway."""
        if not self._line.text and self.terminal.is_device and self.trusted and self.is_idle():
            raise KeyboardInterrupt

    def is_idle(self):
        """No session and no power."""
        return not any([outlet.connector.transaction or outlet.gate.may_flow() for outlet in self.app.outlets])

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
        module, line = cold("charger.console_line"), self._line
        line_event, cancel, end, tab = module.LINE, module.CANCEL, module.END, module.TAB
        del module
        line.begin(prompt, hidden)
        while True:
            await self.terminal.write(line.output())
            if self._at == self._end:
                await self._fill(_IDLE_MS)
            self._at, event = line.feed(self._buf, self._at, self._end)
            if event == tab:
                await self._complete(line)
            elif event:
                await self.terminal.write(line.output())
                if event == end:
                    await self.leave()
                if event == cancel:
                    return None
                if event == line_event:
                    if not line.spoilt:
                        return line.text
                    await self.say("Not taken: %s." % line.spoilt)
                    line.text = "?"  # it was no empty line
                    return None

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
        try:
            n = await asyncio.wait_for_ms(self.terminal.readinto(self._buf), wait_ms)
        except asyncio.TimeoutError:
            if wait_ms < _IDLE_MS:
                raise
            await self.say()
            await self.leave(": nobody has typed for 10 minutes")
        if not n:
            raise Quit
        self._at, self._end = 0, n

    async def _complete(self, line):
        try:
            words = line.complete(cold("charger.commands.table").candidates(line.text[: line.at]))
        except MemoryError:
            words = []
        if words:
            await self.terminal.write("\r\n" + "  ".join(words) + "\r\n")
            line.show()

    async def _execute(self, text):
        try:
            table = cold("charger.commands.table")
            path, number, changes = table.find(text)
            del table
            if changes and not self.trusted and not await cold("charger.commands.pin").unlock(self):
                return
            await cold(path).COMMANDS[number](self, text.strip().partition(" ")[2].strip())
        except (ValueError, KeyError) as exc:  # what was typed makes no sense
            await self.say("%s" % (exc.args[0] if exc.args else "no"))
        except MemoryError:
            await self.say("Not enough memory for this now. Try again when no session runs.")
        except (Quit, OSError) as exc:
            if isinstance(exc, Quit):
                raise
            await self.say("Failed: error %s." % exc.errno)
        except Exception as exc:  # noqa: BLE001 - a command's failure is no reason to leave
            self.app.log.error("console", exc)
            await self.say("This command failed: %s." % type(exc).__name__)

    def _hides(self, text):
        """Index from which on a line must not be seen: values, unless they are surely no secrets."""
        word, _, rest = text.lstrip().partition(" ")
        start = len(text) - len(rest)
        if word in ("import", "login", "pin"):
            return start
        if word != "set":
            return None
        name, blank, _ = rest.lstrip().partition(" ")
        if not blank:
            return None
        if name not in self._open_names:
            try:
                hidden = cold("charger.commands.table").is_hidden(name)
            except MemoryError:
                hidden = True  # who knows
            if hidden:
                return len(text) - len(rest.lstrip()) + len(name) + 1
            self._open_names = self._open_names[-3:] + [name]
        return None
