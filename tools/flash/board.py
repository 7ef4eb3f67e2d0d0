"""What is on a board: who it is, what its slots hold. Code for the board, and what its answers mean."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from dataclasses import dataclass

from tools.flash.errors import FlashError
from tools.flash.link import Link
from tools.manifest import OLDEST, Manifest

SLOTS = ("slot_a", "slot_b")
MARKER = "slot.txt"
MPY = 6

_WHO = """
import sys, os
i = sys.implementation
m = getattr(i, '_machine', '') or (os.uname()[4] if hasattr(os, 'uname') else '')
p = sys.path[0] if sys.path else ''
print(repr((i[0], tuple(i[1][:3]), sys.platform, m, getattr(i, '_mpy', 0) & 255, tuple(os.statvfs('/'))[:4], p)))
"""

# Each file below some folders: size, sha256, path.
_WALK = """
import os, hashlib, binascii
def _walk(tops):
    b = bytearray(512)
    v = memoryview(b)
    while tops:
        top = tops.pop()
        try:
            rows = list(os.ilistdir(top))
        except OSError:
            continue
        print('0 -', top)
        for row in rows:
            path = top + '/' + row[0]
            if row[1] & 0x4000:
                tops.append(path)
            else:
                _one(path, b, v)
def _one(path, b, v):
    h = hashlib.sha256()
    size = 0
    try:
        with open(path, 'rb') as f:
            while True:
                n = f.readinto(b)
                if not n:
                    break
                h.update(v[:n])
                size += n
        print(size, str(binascii.hexlify(h.digest()), 'ascii'), path)
    except OSError:
        print('0 ?', path)
"""


@dataclass(frozen=True)
class Identity:
    """block -- bytes of a block of the file system, blocks_free -- how many of them; running -- slot, or "" """

    name: str
    version: tuple[int, ...]
    platform: str
    machine: str
    mpy: int
    block: int
    blocks: int
    blocks_free: int
    running: str

    @property
    def chip(self) -> str:
        """As boards name it: esp32, esp32s3 ..."""
        found = re.search(r"(ESP32[A-Z0-9-]*)$", self.machine)
        return found[1].lower().replace("-", "") if found else self.platform


def identify(link: Link) -> Identity:
    """FlashError: it does not say who it is."""
    try:
        name, version, platform, machine, mpy, room, first = ast.literal_eval(link.run(_WHO).strip())
        block, fragment, blocks, free = room
    except (ValueError, SyntaxError, OSError):
        raise FlashError("The board does not say who it is.", "is there a file system? See boards/README.md") from None
    running = first.strip("/") if first.strip("/") in SLOTS else ""
    return Identity(name, version, platform, machine, mpy, fragment or block, blocks, free, running)


def has_chip(build: Manifest) -> None:
    """FlashError: the build is for a computer."""
    if build.port != "esp32":
        raise FlashError(
            f"BOARD={build.board} runs on a computer, not on a chip.", "name a board: see boards/README.md"
        )


def judge(board: Identity, build: Manifest) -> None:
    """FlashError: the build is not for this board, or its MicroPython is not fit for the build."""
    has_chip(build)
    image = "esp32s3" if build.chip == "esp32s3" else "esp32"
    image = {"esp32": "ESP32_GENERIC", "esp32s3": "ESP32_GENERIC_S3"}[image]
    if board.name != "micropython" or board.chip != build.chip:
        raise FlashError(
            f"BOARD={build.board} needs the chip {build.chip}, and this is: {board.machine or board.platform}.",
            "is it the right PORT, and the right BOARD?",
        )
    if tuple(board.version[:2]) < OLDEST:
        raise FlashError(
            f"The board has MicroPython {'.'.join(map(str, board.version))}; {build.micropython} or later is needed.",
            f"put a newer image {image} onto it with esptool, see boards/README.md",
        )
    if board.mpy != build.mpy:
        raise FlashError(
            f"The board takes .mpy version {board.mpy}, the build has {build.mpy}.",
            f"put an image {image} of the MicroPython onto it that the build was made for",
        )


def walk(link: Link, folders: list[str], heard: Callable[[], object] = lambda: None) -> dict[str, tuple[int, str]]:
    """Everything below some folders of the board: path -> (bytes, sha256), computed there; a folder has the hash "-",
    what cannot be read "?". heard -- called for each."""
    return _rows(link, f"_walk({folders!r})", heard)


def files(link: Link, paths: list[str]) -> dict[str, tuple[int, str]]:
    """The same for single files; what is not there has the hash "?"."""
    return _rows(link, f"b=bytearray(512)\nfor p in {paths!r}:\n _one(p,b,memoryview(b))", lambda: None)


def _rows(link: Link, code: str, heard: Callable[[], object]) -> dict[str, tuple[int, str]]:
    text = bytearray()

    def hear(data: bytes) -> None:
        text.extend(data)
        if b"\n" in data:
            heard()

    link.run(_WALK + code, hear)
    found = {}
    for line in text.replace(b"\x04", b"").decode("utf-8", "replace").splitlines():
        size, digest, path = line.split(" ", 2)
        found[path] = (int(size), digest)
    return found
