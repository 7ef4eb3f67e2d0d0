"""A local list of 1,000 tags in the heap of the device: compiled as for the device, on the 32-bit port."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tools.build_mpy import build


def test_a_thousand_tags_in_112_kb(root: Path, tmp_path: Path, micropython32: Path) -> None:
    build(root, "sim", tmp_path)
    unit = root / "tests_host" / "unit"
    done = subprocess.run(
        [micropython32, "-X", "heapsize=112k", root / "tests_host/unit_runner.py", unit / "test_ocpp_auth_heap.py"],
        env={**os.environ, "MICROPYPATH": f"{tmp_path}/lib:.frozen"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0 and "ran 2 failed 0" in done.stdout, done.stdout + done.stderr
