"""Bring a build onto a board so that the program that was there starts until the last moment.

Everything goes into the slot that does not run. Its manifest is taken away first and comes back when every hash is
right; then one rename of the marker switches over. boot.py (firmware/README.md) starts no slot without a manifest.
"""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tools import manifest
from tools.flash import board as device
from tools.flash import plan as planning
from tools.flash.errors import FlashError
from tools.flash.link import Link
from tools.manifest import Manifest

ROOT = Path(__file__).resolve().parent.parent.parent
# Outside the slots, as sources: what MicroPython looks for.
_STARTERS = {"boot.py": ROOT / "firmware" / "boot.py", "main.py": ROOT / "firmware" / "launch.py"}
_COPY = """
def _copy(a, b):
    buf = bytearray(1024)
    v = memoryview(buf)
    with open(a, 'rb') as f:
        with open(b, 'wb') as g:
            while True:
                n = f.readinto(buf)
                if not n:
                    break
                g.write(v[:n])
"""

Progress = Callable[[str, int, int], None]  # what is done, so much, of so much


@dataclass
class Report:
    """What was done. outside -- files outside the slots that were replaced; switched -- another slot starts now"""

    slot: str
    sent: list[str] = field(default_factory=list)
    copied: list[str] = field(default_factory=list)
    kept: int = 0
    removed: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)
    switched: bool = False

    @property
    def changed(self) -> bool:
        return self.switched or bool(self.outside)


def outside(out: Path, build: Manifest, root: Path = ROOT) -> dict[str, bytes]:
    """The files outside the slots. The board's module too: boot.py needs the pins before it looks at a slot."""
    found = {name: (root / path.relative_to(ROOT)).read_bytes() for name, path in _STARTERS.items()}
    found["board.mpy"] = (out / "boards" / build.board / "board.mpy").read_bytes()
    return found


def install(link: Link, who: device.Identity, out: Path, build: Manifest, progress: Progress) -> Report:
    """Do it; the board is at the raw REPL. out -- folder of the build. FlashError: it did not work; the old starts."""
    try:
        return _install(link, who, out, build, progress)
    except OSError as exc:
        if exc.errno == errno.ENOSPC:
            raise FlashError(
                "The file system of the board is full. The program that ran before still starts.",
                f"remove what does not belong there: mpremote connect {link.path} tree -s :/",
            ) from None
        raise FlashError(
            f"The board cannot write its file system ({exc}). The program that ran before still starts.",
            "repeat; if it stays, format the file system (boards/README.md) or replace the flash",
        ) from None


def _install(link: Link, who: device.Identity, out: Path, build: Manifest, progress: Progress) -> Report:
    text = build.text().encode()
    starters = outside(out, build)
    count = 0

    def heard() -> None:
        nonlocal count
        count += 1
        progress("reading", min(count, 2 * len(build.files)), 2 * len(build.files))

    there = device.walk(link, [f"/{slot}" for slot in device.SLOTS], heard)
    around = device.files(link, [f"/{name}" for name in (*starters, device.MARKER)])
    plan = planning.make(build, there, who.running, who.block)
    report = Report(plan.slot or who.running)
    if plan.slot:
        missing = planning.shortage(plan, who.blocks_free)
        if missing:
            raise FlashError(
                f"The file system has {_kb(who.blocks_free * who.block)} free, {_kb(missing * who.block)} too "
                "little for a second copy of the program. Nothing was changed.",
                f"remove what does not belong there (mpremote connect {link.path} tree -s :/), "
                "or use an image with a larger file system, see boards/README.md",
            )
        _fill(link, plan, out, build, report, progress)
        _check(link, plan, out, build, progress)
    for name, data in starters.items():
        if around[f"/{name}"] != _entry(data):
            _replace(link, f"/{name}", data)
            report.outside.append(name)
    if plan.slot:
        _replace(link, f"/{plan.slot}/{manifest.NAME}", text)
    marker = f"{report.slot} good\n".encode()
    if around[f"/{device.MARKER}"] != _entry(marker):
        _replace(link, f"/{device.MARKER}", marker)
        report.switched = True
    return report


def _fill(link: Link, plan: planning.Plan, out: Path, build: Manifest, report: Report, progress: Progress) -> None:
    sources = manifest.on_device(path.relative_to(out) for path in out.rglob("*.mpy"))
    top = f"/{plan.slot}/"
    link.run(f"import os\ntry:\n os.remove({top + manifest.NAME!r})\nexcept OSError:\n pass")
    for path in plan.removes:
        link.run(f"os.remove({top + path!r})")
    for folder in plan.folders:
        link.run(f"os.mkdir({(top + folder).rstrip('/')!r})")
    work = sum(build.files[path][0] for path in (*plan.sends, *plan.copies))
    done = 0

    def written(size: int) -> None:
        nonlocal done
        done += size
        progress("writing", done, work)

    if plan.copies:
        link.run(_COPY)
    for path, source in plan.copies.items():
        link.run(f"_copy({source!r},{top + path!r})")
        written(build.files[path][0])
    for path in plan.sends:
        link.write(top + path, (out / sources[path]).read_bytes(), written)
    report.sent, report.copied = list(plan.sends), list(plan.copies)
    report.kept, report.removed = len(plan.keeps), plan.removes


def _check(link: Link, plan: planning.Plan, out: Path, build: Manifest, progress: Progress) -> None:
    """Every hash of the slot, computed on the board; what is wrong is sent once more."""
    top = f"/{plan.slot}/"
    for again in (True, False):
        count = 0

        def heard() -> None:
            nonlocal count
            count += 1
            progress("checking", min(count, len(build.files)), len(build.files))

        found = device.walk(link, [top.rstrip("/")], heard)
        wrong = [path for path, entry in build.files.items() if found.get(top + path) != entry]
        if not wrong:
            return
        if again:
            sources = manifest.on_device(path.relative_to(out) for path in out.rglob("*.mpy"))
            for path in wrong:
                link.write(top + path, (out / sources[path]).read_bytes())
    raise FlashError(
        f"{', '.join(wrong[:3])}: the board reads something else than was written. The program that ran before still "
        "starts.",
        "repeat; if it stays, the flash is worn out: replace the board",
    )


def _replace(link: Link, path: str, data: bytes) -> None:
    """Write aside, compare, rename: the file is the old one or the new one, always."""
    aside = path + ".new"
    link.write(aside, data)
    if device.files(link, [aside])[aside] != _entry(data):
        raise FlashError(f"{path} could not be written. The program that ran before still starts.", "repeat")
    link.run(f"import os\nos.rename({aside!r},{path!r})")


def _entry(data: bytes) -> tuple[int, str]:
    return len(data), hashlib.sha256(data).hexdigest()


def _kb(size: int) -> str:
    return f"{size // 1024} kB"
