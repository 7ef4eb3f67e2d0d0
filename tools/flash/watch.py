"""What a board says after a restart, and what that means."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

# charger/selftest.py: "6.123 I selftest: 7 of 9 good", after a warning for each row that is not
_SUMMARY = re.compile(r"^[0-9.]+ I selftest: (\d+) of (\d+) good")
_ROW = re.compile(r"^[0-9.]+ W selftest: (.*)")
_DEAD = re.compile(r"has failed; again in|There is no program on this board|^main\.py: cannot start")


@dataclass
class Seen:
    """good, tests -- of the self-test; -1: it did not speak. failures -- its rows that are not good. dead -- the line
    that says that the program did not start; "" : it did"""

    lines: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    good: int = -1
    tests: int = -1
    dead: str = ""

    @property
    def ended(self) -> bool:
        return self.good >= 0 or bool(self.dead)


def watch(pieces: Iterable[bytes], show: Callable[[str], object]) -> Seen:
    """Read until the self-test has spoken, the program has died, or no more comes. show -- is told each line."""
    seen = Seen()
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            _take(seen, line.decode("utf-8", "replace").rstrip("\r"), show)
        if seen.ended:
            break
    return seen


def _take(seen: Seen, line: str, show: Callable[[str], object]) -> None:
    seen.lines.append(line)
    show(line)
    row, summary = _ROW.match(line), _SUMMARY.match(line)
    if row:
        seen.failures.append(row[1])
    elif summary:
        seen.good, seen.tests = int(summary[1]), int(summary[2])
    elif _DEAD.search(line):
        seen.dead = line
