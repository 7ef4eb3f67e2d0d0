"""Hardware of the unix port: TCP for buses and UARTs, one JSON-lines link for inputs and outputs. See README.md."""

import asyncio
import errno
import json
import os
import socket
import sys

from micropython import const

_CONNECT_MS = const(3000)
_LINE = const(512)
_LEVELS = ("estop", "door", "plug", "fault")
_UNKNOWN_IS_NONE = ("estop", "door")
_TCP = const(6)  # IPPROTO_TCP
_NODELAY = const(1)
_EISCONN = (106, 56)  # of Linux and macOS; errno does not name it
_SIGTERM = const(15)
_EXIT_SOFT = const(64)
_EXIT_HARD = const(65)


class TcpStream:
    """A connected, non-blocking socket."""

    def __init__(self, stream, on_close):
        self._stream = stream
        self._sock = stream.s
        self._on_close = on_close

    def readinto(self, buf):
        """Awaitable: bytes read into buf, 0 at the end of the stream. OSError: broken."""
        return self._stream.readinto(buf)

    def write(self, buf):
        """Bytes taken by the system, 0 when it takes none now. OSError: broken or closed."""
        if self._sock is None:
            raise OSError(errno.EBADF)
        n = self._sock.write(buf)
        return 0 if n is None else n

    def close(self):
        sock, self._sock = self._sock, None
        if sock is None:
            return
        try:
            scrap = bytearray(256)  # unread input would turn the close into a reset, which discards what we sent
            for _ in range(256):
                if not sock.readinto(scrap):
                    break
        except OSError:
            pass
        sock.close()
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
        self._libc = _open_libc()
        self._term_fd = None
        self._term_buf = bytearray(128)
        self._terminating = False
        _make_folder(data_dir)
        self._cause = self._take_mark()
        try:
            self._watch_sigterm()
        except Exception as exc:  # noqa: BLE001 - no ffi, no signalfd: another system than Linux
            log.warn("hal", "SIGTERM will not be handled: %s" % exc)

    # -- streams

    async def open_stream(self, spec):
        if not isinstance(spec, str) or not spec.startswith("tcp://") or ":" not in spec[6:]:
            raise ValueError("a stream of this system is tcp://host:port, not %r" % (spec,))
        host, _, port = spec[6:].rpartition(":")
        address = socket.getaddrinfo(host, int(port), 0, socket.SOCK_STREAM)[0][-1]
        reader, _ = await asyncio.wait_for_ms(asyncio.open_connection(host, int(port)), _CONNECT_MS)
        sock = reader.s
        try:
            sock.connect(address)  # asyncio does not look at the outcome; asking twice tells
        except OSError as exc:
            if exc.errno not in _EISCONN:
                sock.close()
                raise
        sock.setsockopt(_TCP, _NODELAY, 1)
        stream = TcpStream(reader, self._streams.remove)
        self._streams.append(stream)
        return stream

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
            if link.write(text) != len(text):
                link.close()  # half a line: only a new link makes sense again
        except OSError:
            pass  # the reader sees it too

    # -- the system

    def unique_id(self):
        path = self.data_dir + "/unique_id"
        try:
            with open(path) as f:
                text = f.read(16).strip()
            if len(text) == 12 and all(c in "0123456789abcdef" for c in text):
                return text
        except (OSError, ValueError):
            pass
        text = "".join("%02x" % b for b in os.urandom(6))
        _write(path, text)
        return text

    def feed_watchdog(self):
        self.watchdog_feeds += 1  # a process that hangs is the operator's to kill

    def reset_cause(self):
        return self._cause

    def is_terminating(self):
        if self._term_fd is not None and not self._terminating:
            self._terminating = self._read_fd(self._term_fd, self._term_buf, len(self._term_buf)) > 0
        return self._terminating

    def reset(self, hard):
        _write(self.data_dir + "/reset_cause", "hard" if hard else "soft")
        self.close()
        if self._on_reset != "exit" and self._libc is not None:
            self._exec()
            self._log.error("hal", "cannot start the program again in place")
        sys.exit(_EXIT_HARD if hard else _EXIT_SOFT)

    def close(self):
        for stream in list(self._streams):
            stream.close()

    def _take_mark(self):
        path = self.data_dir + "/reset_cause"
        try:
            with open(path) as f:
                cause = f.read(8)
            os.remove(path)
            return cause if cause in ("soft", "hard") else "power"
        except OSError:
            return "power"

    def _watch_sigterm(self):
        libc = self._libc
        mask = bytearray(128)  # sigset_t of Linux
        mask[(_SIGTERM - 1) // 8] = 1 << (_SIGTERM - 1) % 8
        block = libc.func("i", "sigprocmask", "ipp")
        signalfd = libc.func("i", "signalfd", "ipi")
        self._read_fd = libc.func("l", "read", "ipL")
        fd = signalfd(-1, mask, 0o2004000)  # SFD_NONBLOCK | SFD_CLOEXEC
        if fd < 0 or block(0, mask, None) != 0:
            raise OSError("signalfd")
        self._term_fd = fd

    def _exec(self):
        """Replace this process by a new start of the same command. Returns only if that fails."""
        import array

        import uctypes

        with open("/proc/self/cmdline", "rb") as f:
            parts = [part + b"\0" for part in f.read().split(b"\0")[:-1]]
        argv = array.array("L", [uctypes.addressof(part) for part in parts] + [0])
        close = self._libc.func("i", "close", "i")
        for name in os.listdir("/proc/self/fd"):
            if int(name) > 2:  # the new program must not hold the old one's connections
                close(int(name))
        self._libc.func("i", "execv", "sp")("/proc/self/exe", argv)


def _open_libc():
    try:
        import ffi

        return ffi.open("libc.so.6")
    except (ImportError, OSError):
        return None


def _write(path, text):
    with open(path + ".tmp", "w") as f:
        f.write(text)
    os.rename(path + ".tmp", path)


def _make_folder(path):
    """Create a folder and what leads to it. OSError: it cannot be."""
    made = ""
    for part in path.split("/"):
        made += part + "/"
        try:
            os.stat(made)
        except OSError:
            os.mkdir(made[:-1])
