"""Run all tests, in two halves at once: `python -m tools.run_tests [pytest's options]`.

What keeps one processor busy (unit tests, the tools' own) runs niced beside the tests that start whole chargers, which
mostly wait. The output of the first half follows that of the second. Paths among the options: then it is plain pytest.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WAITING = ("tests_host/system",)  # these start processes and look at the clock
_NICE = 10
_NOTHING_RUN = 5  # pytest's status when no test fits


def verdict(statuses: list[int]) -> int:
    """One exit status from those of all halves: the first failure; "no test" only if that holds for all."""
    ran = [status for status in statuses if status != _NOTHING_RUN]
    return next((status for status in ran if status), 0) if ran else _NOTHING_RUN


def main(options: list[str]) -> int:
    """Return the exit status."""
    pytest = [sys.executable, "-m", "pytest"]
    if any((ROOT / option.partition("::")[0]).exists() for option in options if not option.startswith("-")):
        return subprocess.run([*pytest, *options], cwd=ROOT).returncode
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
        others = [f"--ignore={path}" for path in WAITING]
        busy = subprocess.Popen(
            ["nice", "-n", str(_NICE), *pytest, *others, "-p", "no:cacheprovider", *options],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            waiting = subprocess.run([*pytest, *WAITING, *options], cwd=ROOT).returncode
            status = busy.wait()
        finally:
            busy.kill()
        output.seek(0)
        sys.stdout.writelines(output)
    return verdict([waiting, status])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
