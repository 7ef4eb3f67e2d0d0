"""The libraries as packages for mip: `python -m tools.packages` writes lib/ocpp16.json and lib/wsclient.json.

    mpremote mip install github:OWNER/REPOSITORY/lib/ocpp16.json

brings lib/ocpp16 or lib/wsclient onto any board, with what it imports and nothing of the charger. The lists are made
from the imports; `--check` only compares, with exit status 1 if a list is old.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tools.manifest import VERSION_FILE, constants
from tools.reach import module_name, reachable

ROOT = Path(__file__).resolve().parent.parent
# Library -> modules beside it that its user needs, although it does not import them: they are handed in.
PACKAGES = {"ocpp16": ("log",), "wsclient": ()}


def files(name: str, root: Path = ROOT) -> list[str]:
    """Paths below lib/ of a library and of all that it imports, sorted."""
    texts = {
        path.relative_to(root).as_posix(): path.read_text(encoding="utf-8") for path in (root / "lib").rglob("*.py")
    }
    own = tuple(module_name(Path(path)) for path in texts if path.startswith(f"lib/{name}/")) + PACKAGES[name]
    return sorted(path.removeprefix("lib/") for path in reachable(texts, own, lambda path: module_name(Path(path))))


def text(name: str, root: Path = ROOT) -> str:
    """The package file: each path on the device with the one it is fetched from, relative to this file."""
    version = constants(root / VERSION_FILE).get("VERSION", "")
    rows = ",\n".join(f"  {json.dumps([path, path])}" for path in files(name, root))
    return f'{{"version": "{version}", "deps": [], "urls": [\n{rows}\n]}}\n'


def old(root: Path = ROOT) -> list[str]:
    """The package files that are not what they must be."""
    found = []
    for name in PACKAGES:
        path = root / "lib" / f"{name}.json"
        if not path.is_file() or path.read_text(encoding="utf-8") != text(name, root):
            found.append(f"lib/{name}.json")
    return found


def main(words: list[str]) -> int:
    """Return the exit status."""
    if words not in ([], ["--check"]):
        print(__doc__)
        return 2
    found = old()
    if words:
        for path in found:
            print(f"{path} is old: run `make packages`")
        return 1 if found else 0
    for name in PACKAGES:
        (ROOT / "lib" / f"{name}.json").write_text(text(name), encoding="utf-8")
    print(f"packages: {', '.join(found) if found else 'nothing'} changed")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
