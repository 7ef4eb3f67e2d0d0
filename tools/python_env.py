"""The project's Python environment: .venv with the packages of tools/requirements*.lock, checked by their hashes.

Standard library only. Where Debian's Python comes without ensurepip, `virtualenv` or `uv` on PATH serve; failing those,
pip itself is unpacked from the distribution's package without root.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tools import rootless_apt

MINIMUM = (3, 11)
_LOCK = "tools/requirements.lock"
_STUBS_LOCK = "tools/requirements-stubs.lock"  # MicroPython's stubs replace typeshed: they must stay off sys.path
_TYPINGS = "tools/typings"  # laid over them: what they leave out


class EnvironmentProblem(Exception):
    """The environment cannot be made; the text is one sentence with the next step."""


def _fingerprint(root: Path) -> str:
    digest = hashlib.sha256("{}.{}".format(*sys.version_info[:2]).encode())
    for path in (root / _LOCK, root / _STUBS_LOCK, *sorted((root / _TYPINGS).rglob("*.pyi"))):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def is_ready(root: Path) -> bool:
    """Does .venv match the lock files and this Python?"""
    try:
        same = (root / ".venv" / "stamp").read_text(encoding="ascii") == _fingerprint(root)
    except OSError:
        return False
    return same and os.access(root / ".venv" / "bin" / "python", os.X_OK)


def describe(root: Path) -> str:
    """One line for people."""
    state = "ready" if is_ready(root) else "not set up, run `make setup`"
    return "{}.{}.{}, .venv {}".format(*sys.version_info[:3], state)


def _run(command: list[str], problem: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        output = (done.stdout + done.stderr).strip().splitlines()
        print("\n".join(output[-15:]), file=sys.stderr)
        raise EnvironmentProblem(problem)


def _create(root: Path, say: Callable[[str], None]) -> None:
    """Make an empty .venv that has pip."""
    venv = str(root / ".venv")
    try:
        import ensurepip  # noqa: F401  (Debian leaves it out of python3; it comes with python3-venv)

        _run([sys.executable, "-m", "venv", "--clear", venv], "python3 -m venv failed (see above): is the disk full?")
        return
    except ImportError:
        pass
    for name, arguments in (("virtualenv", ["--clear"]), ("uv", ["venv", "--seed", "--clear"])):
        program = shutil.which(name)
        if program:
            say(f"this Python has no ensurepip: using {name}")
            _run([program, *arguments, "--python", sys.executable, venv], f"{name} failed (see above)")
            return
    say("this Python has no ensurepip: taking pip from the distribution's packages")
    try:
        _create_with_packaged_pip(root)
    except (rootless_apt.AptError, EnvironmentProblem, OSError) as exc:
        raise EnvironmentProblem(
            f"Python's venv module is incomplete and pip could not be fetched ({exc}): "
            "run `sudo apt install python3-venv`, then `make setup` again"
        ) from exc


def _create_with_packaged_pip(root: Path) -> None:
    """venv without pip, and pip installed into it from the distribution's wheel package."""
    if not rootless_apt.available():
        raise EnvironmentProblem("there is no apt here")
    release = rootless_apt.os_release()
    codename = release.get("VERSION_CODENAME", "")
    source = rootless_apt.main_archive(rootless_apt.configured_sources(), codename)
    arch = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True).stdout.strip()
    with tempfile.TemporaryDirectory(prefix="pip-") as scratch:
        apt = rootless_apt.Apt(Path(scratch), source, codename, arch, release.get("ID", "debian"))
        apt.update()
        rootless_apt.unpack(apt.fetch("python3-pip-whl"), Path(scratch) / "tree")
        wheel = next((Path(scratch) / "tree" / "usr/share/python-wheels").glob("pip-*.whl"))
        _run([sys.executable, "-m", "venv", "--without-pip", "--clear", str(root / ".venv")], "python3 -m venv failed")
        python = str(root / ".venv" / "bin" / "python")
        _run([python, f"{wheel}/pip", "install", "--quiet", "--no-index", str(wheel)], "installing pip failed")


def check_version() -> None:
    """Go on with a newer Python of this machine if this one is too old; raise EnvironmentProblem if there is none."""
    if sys.version_info < MINIMUM:
        for minor in range(MINIMUM[1] + 3, MINIMUM[1] - 1, -1):
            newer = shutil.which(f"python{MINIMUM[0]}.{minor}")
            # It may be on PATH and still not start: version managers put placeholders there.
            if newer and subprocess.run([newer, "-c", ""], capture_output=True).returncode == 0:
                os.execv(newer, [newer, *sys.argv])
        wanted, here = "{}.{}".format(*MINIMUM), "{}.{}".format(*sys.version_info[:2])
        raise EnvironmentProblem(
            f"this is Python {here}: install {wanted} or later, then run `make setup PYTHON3=python{wanted}`"
        )


def lock(root: Path, say: Callable[[str], None]) -> None:
    """Pin the newest fitting versions of pyproject.toml's groups, with hashes, for every Python and platform."""
    with tempfile.TemporaryDirectory(prefix="lock-") as scratch:
        say("installing uv for this run")
        python = str(root / ".venv" / "bin" / "python")
        _run([python, "-m", "pip", "install", "--quiet", "--target", scratch, "uv"], "installing uv failed (see above)")
        for group, path in (("host", _LOCK), ("stubs", _STUBS_LOCK)):
            say(f"locking {path}")
            resolve = ["pip", "compile", "--universal", "--upgrade", "--python-version", "{}.{}".format(*MINIMUM)]
            shape = ["--generate-hashes", "--no-header", "--no-annotate", "--no-emit-index-url", "--quiet"]
            target = ["--group", f"{root / 'pyproject.toml'}:{group}", "--output-file", str(root / path)]
            _run([str(Path(scratch) / "bin" / "uv"), *resolve, *shape, *target], "locking failed (see above)")


def provide(root: Path, force: bool, say: Callable[[str], None]) -> None:
    """Create or update .venv; does nothing when it matches. Raises EnvironmentProblem."""
    check_version()
    if is_ready(root) and not force:
        return
    python = root / ".venv" / "bin" / "python"
    (root / ".venv" / "stamp").unlink(missing_ok=True)
    same = f"import pip, sys; sys.exit(sys.version_info[:2] != {tuple(sys.version_info[:2])})"
    usable = python.exists() and subprocess.run([str(python), "-c", same], stderr=subprocess.DEVNULL).returncode == 0
    if force or not usable:
        say("creating .venv")
        _create(root, say)
    pip = [
        str(python),
        "-m",
        "pip",
        "--disable-pip-version-check",
        "--no-input",
        "install",
        "--quiet",
        "--require-hashes",
    ]
    advice = "installing the Python packages failed (see above): check the network, then run `make setup` again"
    count = sum(line[:1].isalnum() for line in (root / _LOCK).read_text(encoding="utf-8").splitlines())
    say(f"installing {count} Python packages")
    _run([*pip, "-r", str(root / _LOCK)], advice)
    say("installing the MicroPython type stubs")
    stubs = root / ".venv" / "stubs"
    shutil.rmtree(stubs, ignore_errors=True)
    _run([*pip, "--target", str(stubs), "--no-deps", "-r", str(root / _STUBS_LOCK)], advice)
    shutil.copytree(root / _TYPINGS, stubs, dirs_exist_ok=True)
    (root / ".venv" / "stamp").write_text(_fingerprint(root), encoding="ascii")
    say("Python packages are ready")
