"""A small program to flash: a few modules through the real build, so that every cut of an installation can be tried."""

from __future__ import annotations

from pathlib import Path

from tools.build_mpy import ROOT, build

SAFE_PINS = ((27, 0), (5, 1))
_FILES = {
    "firmware/boot.py": (ROOT / "firmware" / "boot.py").read_text(encoding="utf-8"),
    "firmware/main.py": "import tongue\nimport board\n\n\ndef main(words):\n"
    '    print("version", tongue.VERSION, board.NAME, __file__)\n'
    '    print("1.000 W selftest: door contact 1: open: close it")\n'
    '    print("1.234 I selftest: 3 of 4 good")\n    tongue.serve()\n',
    "lib/tongue.py": 'VERSION = "%(version)s"\n\n\ndef serve():\n    import time\n\n    while True:\n'
    "        time.sleep_ms(20)\n",
    "firmware/charger/version.py": 'VERSION = "%(version)s"\n',
    "firmware/charger/__init__.py": "",
    "boards/toy/board.py": f'NAME = "toy"\nHAL = "esp32"\nCHIP = "esp32"\nSAFE_PINS = {SAFE_PINS}\n'
    'BULK = b"%(bulk)s"\n',
}


def make(root: Path, version: str, bulk: int = 0) -> Path:
    """Build the version of the program; return the folder of the build. bulk -- bytes that one file is larger by"""
    for name, text in _FILES.items():
        path = root / version / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("%(version)s", version).replace("%(bulk)s", "x" * bulk))
    out = root / version / "build" / "toy"
    build(root / version, "toy", out)
    return out
