"""The benchmark measures on the real programs and prints a figure beside each aim; it does not judge them."""

import re
import subprocess
import sys

from tests_host.conftest import ROOT


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "tools.bench", *arguments]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=100)


def test_figures_beside_their_aims() -> None:
    done = bench("reactions", "schedule", "--count", "1", "--seconds", "3")
    assert done.returncode == 0, done.stderr
    rows = [
        re.fullmatch(r"(\S.*?)  +\d+\.\d ms, p99.* ms of (\d+) +aim (5|10) ms", line)
        for line in done.stdout.splitlines()
    ]
    assert all(rows) and len(rows) == 4, done.stdout
    assert [row[2] for row in rows[:3] if row] == ["1", "1", "1"]


def test_wrong_arguments() -> None:
    for arguments, said in ((["speed"], "there is no part speed"), (["--count", "0"], "N must be at least 1")):
        done = bench(*arguments)
        assert done.returncode == 2 and said in done.stderr, done.stderr
