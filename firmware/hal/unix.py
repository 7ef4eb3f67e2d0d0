"""Hardware of the unix port: TCP for buses and UARTs, one JSON-lines link for inputs and outputs. See README.md."""

import asyncio
import errno
import json

import micropython
from cold import cold
from micropython import const

_LINE = const(512)
_LEVELS = ("estop", "door", "plug", "fault", "lock", "contactor")
_UNKNOWN_IS_NONE = ("estop", "door", "lock", "contactor")
_SYSTEM = "hal.unix_system"


class TcpStream:
    """A connected, non-blocking socket."""

    def __init__(self, stream, on_close):
        self._stream = stream
        self._sock = stream.s
        self._on_close = on_close

    def readinto(self, buf):
        """Awaitable: bytes read into buf, 0 at the end of the stream. OSError: broken."""
        return self._stream.readinto(buf)

    def write(self, buf, start, size):
        """How many bytes of buf[start : start + size] the system took, 0: none now. OSError: broken or closed."""
        if self._sock is None:
            raise OSError(errno.EBADF)
        return self._sock.write(buf, start, size) or 0

    def close(self):
        sock, self._sock = self._sock, None
        if sock is not None:
            cold(_SYSTEM).close(sock)
            self._on_close(self)


class Hal:
    """See README.md for the contract.

    io -- "host:port" of the I/O link, or None: then inputs are unknown for ever
    on_reset -- "restart" (in place) or "exit" (status 64 or 65)
    bad_lines -- lines of the I/O link that made no sense
    """

    def __init__(self, data_dir, io, log, on_reset="restart"):
        self.data_dir = data_dir
        self.on_input = None
        self.bad_lines = 0
        self.watchdog_feeds = 0
        self._io = io
        self._log = log
        self._on_reset = on_reset
        self._streams = []
        self._link = None
        self._levels = {name: {} for name in _LEVELS}
        self._outputs = {}  # (name, connector) -> value
        self._terminating = False
        system = cold(_SYSTEM)
        system.make_folder(data_dir)
        self.keys = system.keys()
        self._cause = system.take_mark(data_dir)
        self._sigterm = None  # (read function, file descriptor, buffer), where signals can be read
        try:
            self._sigterm = system.watch_sigterm()
        except Exception as exc:  # noqa: BLE001 - no ffi, no signalfd: another system than Linux
            log.warn("hal", "SIGTERM will not be handled: %s" % exc)

    # -- streams

    def open_stream(self, spec):
        return cold(_SYSTEM).open_stream(spec, self._streams, TcpStream)

    # -- inputs and outputs

    def input(self, name, connector):
        levels = self._levels[name]
        station = levels.get(0)
        if station:
            return station
        value = levels.get(connector)
        if value is not None:
            return value
        if name in _UNKNOWN_IS_NONE:
            return station  # False: told for the whole station; None: not told
        return False

    def output(self, name, connector, value):
        self._outputs[name, connector] = value
        self._send(name, connector, value)

    async def run(self):
        """One life of the I/O link. OSError when it ends."""
        if self._io is None:
            while True:
                await asyncio.sleep_ms(60_000)
        link = await self.open_stream("tcp://" + self._io)
        try:
            self._link = link
            for (name, connector), value in self._outputs.items():
                self._send(name, connector, value)
            await self._read(link)
        finally:
            self._link = None
            link.close()
            self._forget_levels()

    async def _read(self, link):
        line = bytearray(_LINE)
        view = memoryview(line)
        used = 0
        skipping = False
        while True:
            n = await link.readinto(view[used:])
            if n == 0:
                raise OSError(errno.ECONNRESET)
            end = used + (n or 0)
            start = 0
            while True:
                at = line.find(b"\n", start, end)
                if at < 0:
                    break
                if not skipping:
                    self._line(line[start:at])
                skipping = False
                start = at + 1
            used = end - start
            if used == _LINE:  # no line is this long
                if not skipping:
                    self.bad_lines += 1
                skipping = True
                used = 0
            elif start:
                line[:used] = line[start:end]

    def _line(self, raw):
        raw = raw.strip()
        if not raw:
            return
        try:
            if raw[-1:] != b"}":  # json takes half an object for a whole one
                raise ValueError
            message = json.loads(str(raw, "utf-8"))
            name, connector, value = message["input"], message["connector"], message["value"]
            if isinstance(connector, bool) or not isinstance(connector, int) or not 0 <= connector <= 64:
                raise ValueError
            if name == "swipe" or (name == "fault" and value is not True and value is not False):
                if not isinstance(value, str) or not 1 <= len(value) <= 64:
                    raise ValueError
            elif name not in _LEVELS or not isinstance(value, bool):
                raise ValueError
        except (ValueError, KeyError, TypeError):
            self.bad_lines += 1
            return
        if name != "swipe":
            self._levels[name][connector] = value
        self._tell(name, connector, value)

    def _forget_levels(self):
        for name in _LEVELS:
            self._levels[name].clear()
        self._tell("estop", 0, None)

    def _tell(self, name, connector, value):
        if self.on_input is not None:
            try:
                self.on_input(name, connector, value)
            except Exception as exc:  # noqa: BLE001 - the link must go on, whatever its listener does
                self._log.error("hal", exc)

    def _send(self, name, connector, value):
        link = self._link
        if link is None:
            return  # sent when the link is back
        text = json.dumps({"output": name, "connector": connector, "value": value}) + "\n"
        try:
            if link.write(text, 0, len(text)) != len(text):
                link.close()  # half a line: only a new link makes sense again
        except OSError:
            pass  # the reader sees it too

    # -- the system

    def unique_id(self):
        return cold(_SYSTEM).unique_id(self.data_dir)

    def feed_watchdog(self):
        self.watchdog_feeds += 1  # a process that hangs is the operator's to kill

    def reset_cause(self):
        return self._cause

    def is_terminating(self):
        if self._sigterm is not None and not self._terminating:
            read, fd, buf = self._sigterm
            self._terminating = read(fd, buf, len(buf)) > 0
        return self._terminating

    def ignore_interrupt(self):
        unlock_heap()
        try:
            cold(_SYSTEM).ignore_sigint()
        except Exception as exc:  # noqa: BLE001 - no ffi: another system than Linux
            self._log.warn("hal", exc)

    def reset(self, hard):
        self.close()
        cold(_SYSTEM).reset(self.data_dir, hard, self._on_reset, self._log)

    def close(self):
        for stream in list(self._streams):
            stream.close()


def unlock_heap():
    """On this port Ctrl-C raises wherever it comes, in a collection too, which then never unlocks the heap: do it."""
    micropython.heap_lock()
    while micropython.heap_unlock():
        pass
