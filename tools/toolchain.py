#!/usr/bin/env python3
"""Provide everything the project needs on a computer: MicroPython (64-bit and 32-bit) and the Python environment.

    python3 tools/toolchain.py            what `make setup` runs; does nothing when all is there
    python3 tools/toolchain.py --print    show what is used, and why something is missing
    python3 tools/toolchain.py --force    begin anew

Interpreters are sought in this order: $MICROPYTHON and $MICROPYTHON32; a suitable `micropython` on PATH; packages of
the distribution, unpacked without root into .toolchain/. Whatever is found, .toolchain/bin/micropython and
.toolchain/bin/micropython32 start it. Where no 32-bit one can run, .toolchain/micropython32.reason says why.
Standard library only, any Python from 3.8 on, so that an old Python still gets a clear message.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # started as a file, this folder would be first instead

from tools import python_env, rootless_apt  # noqa: E402

HOME = ROOT / ".toolchain"
MINIMUM = (1, 25, 0)
_RECIPE = 1  # raise it when a change here must reach machines that are already set up
# Suites with MicroPython >= 1.25. The C library comes from the same suite, so the age of the host does not matter.
_SUITES = {"debian": ("trixie", "forky"), "ubuntu": ("resolute", "questing")}
_DEBIAN_ARCH = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
_BY_HAND = "build or install the MicroPython unix port, then put it on PATH or name it in $MICROPYTHON"
_PROBE = (
    "import sys,asyncio,json,struct,tls,vfs,select,socket;"
    "print(json.dumps([list(sys.implementation[1][:3]),struct.calcsize('P')*8]))"
)
_LAUNCHER = """#!/bin/sh
# Starts the unpacked MicroPython with its own C library, from wherever this folder lies.
self=$0
while [ -L "$self" ]; do
    link=$(readlink "$self")
    case $link in /*) self=$link ;; *) self=${{self%/*}}/$link ;; esac
done
root=${{self%/*}}/../{tree}
exec "$root/{loader}" --argv0 "$0" --library-path "$root/{libraries}" "$root/usr/bin/micropython" "$@"
"""


class ToolchainError(Exception):
    """Set-up cannot go on; the text is one sentence with the next step."""


def say(text: str) -> None:
    print(f"[setup] {text}", flush=True)


def probe(program: str) -> tuple[tuple[int, ...], int] | str:
    """Run a MicroPython and return (version, pointer bits), or a reason why it does not serve."""
    try:
        done = subprocess.run([program, "-c", _PROBE], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired) as exc:
        return f"{program} does not run ({exc})"
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip() or f"exit status {done.returncode}").splitlines()[-1]
        return f"{program} is not a standard unix port ({last})"
    try:
        version, bits = json.loads(done.stdout)
    except ValueError:
        return f"{program} is not MicroPython"
    if tuple(version) < MINIMUM:
        return "{} is MicroPython {}.{}.{}, at least {}.{}.{} is needed".format(program, *version, *MINIMUM)
    return tuple(version), bits


def _atomic_write(path: Path, text: str, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.{os.getpid()}")
    new.write_text(text, encoding="utf-8")
    new.chmod(mode)
    new.replace(path)


def _from_environment(bits: int) -> str | None:
    """The interpreter the user named, checked; None if the user named none. Raises ToolchainError if it is unfit."""
    name = "MICROPYTHON" if bits == 64 else "MICROPYTHON32"
    wanted = os.environ.get(name)
    if not wanted:
        return None
    program = shutil.which(wanted)
    found = probe(program) if program else f"{wanted} does not exist or is not executable"
    if isinstance(found, str):
        raise ToolchainError(f"${name} is set, but {found}: correct or unset {name}")
    if found[1] != bits:
        raise ToolchainError(f"${name} is set to a {found[1]}-bit MicroPython: a {bits}-bit one is needed there")
    assert program is not None
    return os.path.abspath(program)


def _from_path(bits: int) -> str | None:
    """A suitable interpreter on PATH, or None."""
    program = shutil.which("micropython" if bits == 64 else "micropython32")
    if program is None:
        return None
    found = probe(program)
    if isinstance(found, str):
        say(f"not used: {found}")
        return None
    return os.path.abspath(program) if found[1] == bits else None


def _unpacked(tree: Path, bits: int, launcher: Path) -> None:
    """Write the launcher for an unpacked tree."""
    loaders = [p for p in sorted(tree.rglob("ld-linux*.so.*")) if not p.is_symlink()]
    if not loaders:
        raise rootless_apt.AptError("the C library package has no dynamic loader: please report this")
    libraries = sorted({p.parent for p in tree.rglob("libm.so.6")} | {p.parent for p in tree.rglob("libffi.so.8")})
    joined = ":".join([str(libraries[0].relative_to(tree)), *(f"$root/{p.relative_to(tree)}" for p in libraries[1:])])
    text = _LAUNCHER.format(tree=f"unix{bits}", loader=loaders[0].relative_to(tree), libraries=joined)
    _atomic_write(launcher, text, 0o755)


def _from_packages(bits: int, arch: str) -> str:
    """Unpack the distribution's package into .toolchain/unix<bits>; return the path of its launcher."""
    if not rootless_apt.available():
        raise rootless_apt.NotOffered(f"there is no apt here: {_BY_HAND}")
    release = rootless_apt.os_release()
    family = [release.get("ID", ""), *release.get("ID_LIKE", "").split()]
    distribution = next((name for name in family if name in _SUITES), "")
    if not distribution:
        raise rootless_apt.NotOffered(f"this distribution has no known package of MicroPython >= 1.25: {_BY_HAND}")
    source = rootless_apt.main_archive(rootless_apt.configured_sources(), release.get("VERSION_CODENAME", ""))
    problem = None
    for suite in _SUITES[distribution]:
        with tempfile.TemporaryDirectory(prefix="apt-", dir=HOME) as scratch:
            try:
                apt = rootless_apt.Apt(Path(scratch), source, suite, arch, distribution)
                say(f"{bits}-bit MicroPython: reading the package index of {distribution} {suite} ({arch})")
                apt.update()
                say(f"{bits}-bit MicroPython: downloading")
                debs = apt.fetch("micropython")
                tree = Path(scratch) / "tree"
                rootless_apt.unpack(debs, tree)
                for unneeded in ("usr/share", "etc", "var"):
                    shutil.rmtree(tree / unneeded, ignore_errors=True)
                launcher = HOME / "bin" / ("micropython" if bits == 64 else "micropython32")
                home = HOME / f"unix{bits}"
                if home.exists():
                    home.rename(Path(scratch) / "old")
                tree.rename(home)
                _unpacked(home, bits, launcher)
            except rootless_apt.AptError as exc:
                problem = problem or exc  # the first suite is the one we expect to work
                continue
        found = probe(str(launcher))
        if isinstance(found, str):
            raise rootless_apt.NotOffered(found)
        return str(launcher)
    if bits == 64 and isinstance(problem, rootless_apt.NotOffered):
        raise rootless_apt.NotOffered(f"{problem}: {_BY_HAND}")
    raise problem or rootless_apt.AptError("no suite to try")


def _provide(bits: int) -> str:
    """Make .toolchain/bin/micropython[32] work; return what it starts. Raises ToolchainError or AptError."""
    launcher = HOME / "bin" / ("micropython" if bits == 64 else "micropython32")
    program = _from_environment(bits) or _from_path(bits)
    if program is not None and Path(program) != launcher:
        _atomic_write(launcher, f'#!/bin/sh\nexec {shlex.quote(program)} "$@"\n', 0o755)
        return program
    arch = _DEBIAN_ARCH.get(platform.machine().lower(), "")
    if bits == 32:
        if platform.system() != "Linux" or arch != "amd64":
            raise rootless_apt.NotOffered(
                f"32-bit i386 programs do not run on {platform.system()} {platform.machine()}"
            )
        arch = "i386"
    elif platform.system() == "Darwin":
        raise ToolchainError("no suitable MicroPython on PATH: run `brew install micropython`, then again")
    elif not arch:
        raise rootless_apt.NotOffered(f"no packages are known for {platform.machine()}: {_BY_HAND}")
    return _from_packages(bits, arch)


def _state() -> dict[str, object]:
    """What the set-up depends on; while it is unchanged, nothing needs to be done."""
    return {
        "recipe": _RECIPE,
        "MICROPYTHON": os.environ.get("MICROPYTHON"),
        "MICROPYTHON32": os.environ.get("MICROPYTHON32"),
    }


def _stamp() -> dict[str, str] | None:
    """The result of the last complete set-up if it still holds, otherwise None."""
    try:
        stamp = json.loads((HOME / "stamp.json").read_text(encoding="utf-8"))
        used: dict[str, str] = stamp["used"]
        ok = stamp["state"] == _state() and all(os.access(p, os.X_OK) for p in used.values())
        ok = ok and all((HOME / "bin" / name).exists() for name in used)
    except (OSError, ValueError, KeyError):
        return None
    return used if ok else None


def interpreters(force: bool = False) -> dict[str, str]:
    """Provide the interpreters; return {launcher name: program it starts}. Raises ToolchainError or AptError."""
    used = None if force else _stamp()
    if used is not None:
        return used
    HOME.mkdir(exist_ok=True)
    (HOME / "stamp.json").unlink(missing_ok=True)
    used = {"micropython": _provide(64)}
    reason = HOME / "micropython32.reason"
    try:
        used["micropython32"] = _provide(32)
        reason.unlink(missing_ok=True)
    except rootless_apt.NotOffered as exc:  # a failed download is no reason to leave tests out
        (HOME / "bin" / "micropython32").unlink(missing_ok=True)
        _atomic_write(reason, f"{exc}\n", 0o644)
        say(f"32-bit tests will be skipped: {exc}")
    _atomic_write(HOME / "stamp.json", json.dumps({"state": _state(), "used": used}, indent=1) + "\n", 0o644)
    for name, program in used.items():
        found = probe(str(HOME / "bin" / name))
        if isinstance(found, str):
            raise ToolchainError(f"{found}: run `python3 tools/toolchain.py --force`")
        say("{} {}.{}.{} is ready ({})".format(name, *found[0], _shown(program)))
    return used


@contextlib.contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Hold the set-up lock; a second set-up waits for the first and then finds everything done."""
    HOME.mkdir(exist_ok=True)
    with (HOME / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another set-up to finish")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _shown(program: str) -> str:
    return os.path.relpath(program, ROOT) if program.startswith(str(ROOT) + os.sep) else program


def show() -> None:
    """Print what is used now; download nothing."""
    for name in ("micropython", "micropython32"):
        found = probe(str(HOME / "bin" / name)) if (HOME / "bin" / name).exists() else "absent, run `make setup`"
        reason = HOME / f"{name}.reason"
        if isinstance(found, str):
            text = reason.read_text(encoding="utf-8").strip() if reason.exists() else found
        else:
            used = (_stamp() or {}).get(name, "changed since, run `make setup`")
            text = "{}.{}.{}, {} bit, {}".format(*found[0], found[1], _shown(used))
        print(f"{name + ':':15}{text}")
    print(f"{'python:':15}{python_env.describe(ROOT)}")


def main() -> int:
    """Return the exit status: 0 when everything is there."""
    parser = argparse.ArgumentParser(description="Provide MicroPython and the Python environment of this project.")
    parser.add_argument("--print", action="store_true", dest="show", help="show what is used and change nothing")
    parser.add_argument("--force", action="store_true", help="fetch everything again")
    parser.add_argument("--lock", action="store_true", help="pin the newest Python packages in the lock files")
    parser.add_argument("--only", choices=("micropython", "python"), help="provide only this part")
    options = parser.parse_args()
    if options.show:
        show()
        return 0
    try:
        python_env.check_version()
        if options.lock:
            python_env.lock(ROOT, say)
            return 0
        if not options.force and _stamp() is not None and python_env.is_ready(ROOT):
            return 0
        with _one_at_a_time():
            if options.only != "python":
                interpreters(options.force)
            if options.only != "micropython":
                python_env.provide(ROOT, options.force, say)
    except (ToolchainError, rootless_apt.AptError, python_env.EnvironmentProblem) as exc:
        print(f"[setup] failed: {exc}", file=sys.stderr)
        return 1
    except OSError as exc:
        print(f"[setup] failed: {exc}: check the disk and the permissions of {ROOT}, then try again", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("[setup] interrupted: run `make setup` again to finish it", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
