"""What every test on the computer may use: the interpreters, free ports, the repository on sys.path."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

collect_ignore = ["unit"]  # these files run on MicroPython, through test_unit.py

_BIN = ROOT / ".toolchain" / "bin"


def interpreter(bits: int) -> Path:
    """The MicroPython with 64 or 32 bit pointers. Skips the test, with the reason, where no 32-bit one can run."""
    program = _BIN / ("micropython" if bits == 64 else "micropython32")
    if program.exists():
        return program
    reason = _BIN.parent / "micropython32.reason"
    if bits == 32 and reason.exists():
        pytest.skip(f"no 32-bit MicroPython: {reason.read_text(encoding='utf-8').strip()}")
    pytest.fail(f"{program.relative_to(ROOT)} is missing: run `make setup`", pytrace=False)


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def micropython() -> Path:
    """MicroPython unix port, 64 bit."""
    return interpreter(64)


@pytest.fixture(scope="session")
def micropython32() -> Path:
    """MicroPython unix port, 32 bit: pointers and heap blocks as wide as on the ESP32."""
    return interpreter(32)


@pytest.fixture(scope="session")
def free_port() -> Callable[[], int]:
    """A function that returns a TCP port of 127.0.0.1 which is free now, another one at each call."""
    given: set[int] = set()

    def pick() -> int:
        while True:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port: int = probe.getsockname()[1]
            if port not in given:
                given.add(port)
                return port

    return pick
