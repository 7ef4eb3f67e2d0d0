"""What the unix HAL asks of the operating system, once or rarely. A cold module: see unix.Hal."""

import os
import sys

from micropython import const

_SIGTERM = const(15)
_EXIT_SOFT = const(64)
_EXIT_HARD = const(65)


def watch_sigterm():
    """Block SIGTERM and return (read, fd, buf): read(fd, buf, len(buf)) > 0 once it came. Raises where it cannot."""
    libc = _libc()
    mask = bytearray(128)  # sigset_t of Linux
    mask[(_SIGTERM - 1) // 8] = 1 << (_SIGTERM - 1) % 8
    fd = libc.func("i", "signalfd", "ipi")(-1, mask, 0o2004000)  # SFD_NONBLOCK | SFD_CLOEXEC
    if fd < 0 or libc.func("i", "sigprocmask", "ipp")(0, mask, None) != 0:
        raise OSError("signalfd")
    return libc.func("l", "read", "ipL"), fd, bytearray(128)


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
    try:
        with open(path) as f:
            cause = f.read(8)
        os.remove(path)
        return cause if cause in ("soft", "hard") else "power"
    except OSError:
        return "power"


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
