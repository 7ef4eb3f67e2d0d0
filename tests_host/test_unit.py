"""Run each file of tests_host/unit on MicroPython, once on the 64-bit and once on the 32-bit port.

A file may set its limits in comment lines: `# heapsize: 512k` (default 512k) and `# timeout: 60` (seconds, default 60).
With FUZZ=full in the environment the fuzz tests are as long as they can be, and the limits twenty times as long.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests_host.conftest import ROOT, interpreter

UNIT = ROOT / "tests_host" / "unit"
RUNNER = ROOT / "tests_host" / "unit_runner.py"
SEARCH_PATH = ":".join([*(str(ROOT / name) for name in ("firmware", "lib", "tests_host/unit")), ".frozen"])


def run_file(path: Path, bits: int, *arguments: str) -> tuple[int, str]:
    """Run one test file; return (exit status, output). A file that hangs is killed and gets status -9."""
    text = path.read_text(encoding="utf-8")
    heap = re.search(r"^# heapsize: (\d+[km]?)$", text, re.MULTILINE)
    limit = re.search(r"^# timeout: (\d+)$", text, re.MULTILINE)
    seconds = (int(limit[1]) if limit else 60) * (20 if os.environ.get("FUZZ") else 1)
    options = ["-X", f"heapsize={heap[1] if heap else '512k'}"]
    command = [str(interpreter(bits)), *options, str(RUNNER), str(path), *arguments]
    with subprocess.Popen(
        command,
        env={**os.environ, "MICROPYPATH": SEARCH_PATH},
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        try:
            output, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            output, _ = process.communicate()
            output += f"\nkilled: still running after {seconds} s\n"
        return process.returncode, output


def with_source(output: str) -> str:
    """Add the source line under each line of a MicroPython traceback, which has only file and line number."""
    shown = []
    for line in output.splitlines():
        shown.append(line)
        place = re.match(r'  File "(.+)", line (\d+)', line)
        if place:
            try:
                lines = (ROOT / place[1]).read_text(encoding="utf-8").splitlines()
                shown.append("    " + lines[int(place[2]) - 1].strip())
            except (OSError, IndexError):
                pass
    return "\n".join(shown)


@pytest.mark.timeout(0)  # run_file has its own limit, which says what was printed until then
@pytest.mark.parametrize("bits", [64, 32])
@pytest.mark.parametrize("path", [pytest.param(path, id=path.stem) for path in sorted(UNIT.glob("test_*.py"))])
def test_unit(path: Path, bits: int) -> None:
    status, output = run_file(path, bits)
    ran = re.search(r"^ran (\d+) failed (\d+)$", output, re.MULTILINE)
    if status or ran is None or ran[1] == "0":
        summary = f"{ran[2]} of {ran[1]} tests failed" if ran and ran[1] != "0" else "no test ran to its end"
        pytest.fail(f"{path.relative_to(ROOT)} on the {bits}-bit port: {summary}\n{with_source(output)}", pytrace=False)
    print(output)  # shown with `ARGS=-rP`
