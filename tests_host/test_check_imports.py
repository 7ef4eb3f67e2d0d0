"""The import check: the rule table on small trees made for it, and the real tree, which must be clean."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests_host.conftest import ROOT
from tools.check_imports import check

TREE = {
    "lib/fixed.py": "",
    "lib/wsclient/__init__.py": "import tls\nimport socket\nimport asyncio\n",
    "lib/ocpp16/__init__.py": "from ocpp16 import link\nfrom . import link\nimport fixed\n",
    "lib/ocpp16/dial.py": "async def dial():\n    from wsclient import connect\n",
    "firmware/drivers/can/slcan.py": "import fixed\nfrom drivers.can import x\nfrom . import y\nfrom ..can import z\n",
    "firmware/hal/unix.py": "import ffi\nimport machine\nimport time\nimport fixed\n",
    "firmware/charger/app.py": "from drivers.can import slcan\nfrom .gate import Gate\nimport ocpp16\n",
    "firmware/main.py": "import charger.app\nimport hal.unix\nimport board\nimport boards.sim.board\n",
    "firmware/boot.py": "import machine\nimport board\n",
    "boards/sim/board.py": "from hal import unix\nfrom drivers.can import slcan\nimport machine\n",
    "boards/sim/manifest.py": "include('$(MPY_DIR)/x')\nimport pathlib\n",
    "tools/sim/__main__.py": "import can\nimport asyncio\nfrom tools.sim import model\nfrom . import model\n",
}


def plant(root: Path, files: dict[str, str]) -> list[str]:
    """Write the files; return the violations."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return check(root)[0]


def test_allowed_directions(tmp_path: Path) -> None:
    assert plant(tmp_path, TREE) == []


def test_missing_rooms_are_no_violation(tmp_path: Path) -> None:
    assert check(tmp_path) == ([], 0)


@pytest.mark.parametrize(
    ("path", "text", "complaint"),
    [
        ("lib/fixed.py", "import charger.gate", "lib must not import charger (charger.gate)"),
        ("lib/fixed.py", "from hal import unix", "lib must not import hal (hal)"),
        ("lib/fixed.py", "import machine", "lib must not import machine: hardware and unix-only modules belong to hal"),
        ("lib/fixed.py", "import typing", "lib imports typing, which stock MicroPython for ESP32 does not have"),
        ("lib/fixed.py", "def f():\n\n    import dataclasses", "lib imports dataclasses, which stock"),
        ("lib/fixed.py", "__import__('charger.app')", "lib must not import charger (charger.app)"),
        ("lib/fixed.py", "cold('charger.app')", "lib must not import charger (charger.app)"),
        ("firmware/drivers/x.py", "from charger import gate", "drivers must not import charger (charger)"),
        ("firmware/drivers/x.py", "import hal", "drivers must not import hal (hal)"),
        ("firmware/drivers/x.py", "import time", "drivers must not import time: ask the clock"),
        ("firmware/drivers/x.py", "import socket", "drivers must not import socket: the link is passed in"),
        ("firmware/drivers/a/b.py", "from ...charger import gate", "imports beyond its root"),
        ("firmware/hal/unix.py", "import drivers.can", "hal must not import drivers (drivers.can)"),
        ("firmware/hal/unix.py", "if x:\n    from charger import app", "hal must not import charger (charger)"),
        ("firmware/charger/app.py", "import hal.unix", "charger must not import hal (hal.unix)"),
        ("firmware/charger/app.py", "from boards.sim import board", "charger must not import boards (boards.sim)"),
        ("firmware/charger/app.py", "import board", "charger must not import boards (board)"),
        ("firmware/charger/app.py", "import ffi", "charger must not import ffi"),
        ("firmware/charger/app.py", "import main", "charger must not import main (main)"),
        ("firmware/main.py", "import machine", "main must not import machine"),
        ("firmware/boot.py", "import network", "main must not import network"),
        ("boards/sim/board.py", "import charger.app", "boards must not import charger (charger.app)"),
        ("lib/ocpp16/dial.py", "import wsclient", "only inside a function of lib/ocpp16/dial.py"),
        ("lib/ocpp16/rpc.py", "def f():\n    import wsclient", "only inside a function of lib/ocpp16/dial.py"),
        ("tools/sim/bus.py", "from drivers.can import slcan", "tools/sim must import nothing of the device"),
        ("tools/csms/store.py", "import ocpp16.rpc", "tools/csms must import nothing of the device"),
        ("tools/demo/cards.py", "import fixed", "tools/demo must import nothing of the device"),
        ("lib/fixed.py", "def (", "does not parse"),
    ],
)
def test_violation_is_named_with_its_line(tmp_path: Path, path: str, text: str, complaint: str) -> None:
    found = plant(tmp_path, {**TREE, path: "# one line before it\n" + text + "\n"})
    assert len(found) == 1, found
    assert found[0].startswith(f"{path}:{2 + text.count(chr(10))}: ")
    assert complaint in found[0]


def test_type_checking_block_is_left_out(tmp_path: Path) -> None:
    text = (
        "TYPE_CHECKING = False\nif TYPE_CHECKING:\n    import typing\n    import charger\nelse:\n    import pathlib\n"
    )
    found = plant(tmp_path, {**TREE, "lib/fixed.py": text})
    assert [line.split(": ")[0] for line in found] == ["lib/fixed.py:6"]


def test_the_tree_is_clean() -> None:
    violations, files = check(ROOT)
    assert violations == []
    assert files > 0
