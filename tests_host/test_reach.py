"""What a program can reach, and what is left out of its build."""

from __future__ import annotations

from pathlib import Path

from tests_host.conftest import ROOT
from tools.build_mpy import sources
from tools.reach import ENTRIES, module_name, reachable

PROGRAM = {
    "firmware/main.py": "from box import big\nPROFILES = ('core',)\n",
    "lib/box/__init__.py": "from .small import x\n",
    "lib/box/big.py": "import lone\ncold('box.rare')\nP = 'box.profiles.'\nQ = '.not a module'\n",
    "lib/box/small.py": "'''box.unused'''\nx = 1\nhere = 'extra'\n",
    "lib/box/rare.py": "from . import near\n",
    "lib/box/near.py": "",
    "lib/box/unused.py": "import box.far\n",
    "lib/box/far.py": "",
    "lib/box/profiles/__init__.py": "",
    "lib/box/profiles/core.py": "",
    "lib/box/profiles/extra.py": "",
    "lib/lone.py": "",
    "lib/alone.py": "",
}


def test_imports_texts_and_completed_texts() -> None:
    out = set(PROGRAM) - reachable(PROGRAM, ("main",), lambda path: module_name(Path(path)))
    assert out == {"lib/alone.py", "lib/box/profiles/extra.py", "lib/box/unused.py", "lib/box/far.py"}


def test_the_firmware_reaches_what_it_needs_and_leaves_out_what_it_does_not_name() -> None:
    texts = {f.as_posix(): (ROOT / f).read_text(encoding="utf-8") for f in sources(ROOT, "sim")}
    found = reachable(texts, ENTRIES, lambda path: module_name(Path(path)))
    for path in (
        "firmware/charger/gate.py",
        "firmware/arguments.py",
        "lib/ocpp16/messages/core.py",
        "boards/sim/board.py",
    ):
        assert path in found, path
    assert "lib/ocpp16/messages/security.py" not in found
