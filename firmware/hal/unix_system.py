"""What the unix HAL asks of the operating system, once or rarely. A cold module: see unix.Hal."""

import asyncio
import os
import select
import socket
import sys

from cold import cold
from micropython import const

_CONNECT_MS = const(3000)
_TCP = const(6)  # IPPROTO_TCP
_NODELAY = const(1)
_EISCONN = (106, 56)  # of Linux and macOS; errno does not name it

_SIGINT = const(2)
_SIGTERM = const(15)
_EXIT_SOFT = const(64)
_EXIT_HARD = const(65)
_STDIN = const(0)
_STDERR = const(2)
_INPUT_FLAGS = const(0)  # places in termios.tcgetattr(); the output's stay, for the log
_LOCAL_FLAGS = const(3)
_NOW = const(0)  # TCSANOW


async def open_stream(spec, streams, tcp):
    """Open "tcp://host:port", or the "console", and add it to the list of streams.

    tcp -- class of a stream. OSError, TimeoutError: not now. ValueError: wrong spec.
    """
    if spec == "console":
        return cold("hal.terminal").Terminal(streams)
    stream = tcp(await _connect(spec), streams.remove)
    streams.append(stream)
    return stream


async def _connect(spec):
    if not isinstance(spec, str) or not spec.startswith("tcp://") or ":" not in spec[6:]:
        raise ValueError("a stream of this system is tcp://host:port, not %r" % (spec,))
    host, _, port = spec[6:].rpartition(":")
    address = socket.getaddrinfo(host, int(port), 0, socket.SOCK_STREAM)[0][-1]
    stream, _ = await asyncio.wait_for_ms(asyncio.open_connection(host, int(port)), _CONNECT_MS)
    sock = stream.s
    try:
        sock.connect(address)  # asyncio does not look at the outcome; asking twice tells
    except OSError as exc:
        if exc.errno not in _EISCONN:
            sock.close()
            raise
    sock.setsockopt(_TCP, _NODELAY, 1)
    return stream


def close(sock):
    """Close a socket so that what was sent arrives."""
    try:
        scrap = bytearray(256)  # unread input would turn the close into a reset, which discards what we sent
        for _ in range(256):
            if not sock.readinto(scrap):
                break
    except OSError:
        pass
    sock.close()


def watch_sigterm():
    """Block SIGTERM and return (read, fd, buf): read(fd, buf, len(buf)) > 0 once it came. Raises where it cannot."""
    libc = _libc()
    mask = _block(libc, _SIGTERM)
    fd = libc.func("i", "signalfd", "ipi")(-1, mask, 0o2004000)  # SFD_NONBLOCK | SFD_CLOEXEC
    if fd < 0:
        raise OSError("signalfd")
    return libc.func("l", "read", "ipL"), fd, bytearray(128)


def ignore_sigint():
    """Block SIGINT from now on (micropython.kbd_intr would let it kill the process). Raises where it cannot."""
    _block(_libc(), _SIGINT)


def _block(libc, signal):
    """Block a signal; return the sigset_t that holds it alone."""
    mask = bytearray(128)  # sigset_t of Linux
    mask[(signal - 1) // 8] = 1 << (signal - 1) % 8
    if libc.func("i", "sigprocmask", "ipp")(0, mask, None) != 0:
        raise OSError("sigprocmask")
    return mask


def keys():
    """What tells that somebody types at the terminal, None where there is none. See README.md."""
    try:
        __import__("termios").tcgetattr(0)
    except (ImportError, OSError):
        return None  # no terminal
    poll = select.poll()
    poll.register(sys.stdin, select.POLLIN)
    return poll


def make_raw():
    """Let every key come as it is typed: (the mode from before, or None for a pipe; is the log on the same screen?)."""
    termios = __import__("termios")
    mode = None
    try:
        mode = termios.tcgetattr(_STDIN)
        raw = termios.tcgetattr(_STDIN)
        raw[_INPUT_FLAGS] = raw[_LOCAL_FLAGS] = 0  # not setraw(): that throws away what was typed before
        termios.tcsetattr(_STDIN, _NOW, raw)
        termios.tcgetattr(_STDERR)
        return mode, True
    except OSError:
        return mode, False


def put_back(mode):
    """The terminal as it was before make_raw()."""
    __import__("termios").tcsetattr(_STDIN, _NOW, mode)


def unique_id(data_dir):
    """12 hex digits, made at the first call and kept."""
    path = data_dir + "/unique_id"
    try:
        with open(path) as f:
            text = f.read(16).strip()
        if len(text) == 12 and all(c in "0123456789abcdef" for c in text):
            return text
    except (OSError, ValueError):
        pass
    text = "".join(["%02x" % b for b in os.urandom(6)])
    _write(path, text)
    return text


def take_mark(data_dir):
    """Why the program starts, as the last life left it; the mark is taken away."""
    path = data_dir + "/reset_cause"
    cause = b""
    try:
        with open(path, "rb") as f:
            cause = f.read(8)
        os.remove(path)
    except OSError:
        pass
    return {b"soft": "soft", b"hard": "hard"}.get(cause, "power")


def reset(data_dir, hard, on_reset, log):
    """Start the program again, or end it with its status; does not return."""
    _write(data_dir + "/reset_cause", "hard" if hard else "soft")
    if on_reset != "exit":
        try:
            _exec()
        except Exception as exc:  # noqa: BLE001 - no ffi, no /proc: then the status must do
            log.error("hal", exc)
    sys.exit(_EXIT_HARD if hard else _EXIT_SOFT)


def make_folder(path):
    """Create a folder and what leads to it. OSError: it cannot be."""
    made = ""
    for part in path.split("/"):
        made += part + "/"
        try:
            os.stat(made)
        except OSError:
            os.mkdir(made[:-1])


def _exec():
    """Replace this process by a new start of the same command. Returns only if that fails."""
    import array

    import uctypes

    libc = _libc()
    with open("/proc/self/cmdline", "rb") as f:
        parts = [part + b"\0" for part in f.read().split(b"\0")[:-1]]
    argv = array.array("L", [uctypes.addressof(part) for part in parts] + [0])
    close = libc.func("i", "close", "i")
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2:  # the new program must not hold the old one's connections
            close(int(name))
    libc.func("i", "execv", "sp")("/proc/self/exe", argv)
    raise OSError("execv")


def _libc():
    import ffi

    return ffi.open("libc.so.6")


def _write(path, text):
    with open(path + ".tmp", "w") as f:
        f.write(text)
    os.rename(path + ".tmp", path)
