"""What has to be done to bring a build onto a board: pure, from what is there."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from tools.flash.board import SLOTS
from tools.manifest import NAME, Manifest

_SPARE = 16  # blocks that stay free: what the charger itself has to keep

Files = Mapping[str, tuple[int, str]]  # path on the device -> (bytes, sha256)


@dataclass
class Plan:
    """slot -- the one to write; "" if the running one is right already. Paths below the slot.

    copies -- path -> where the same content lies on the board; blocks -- what it takes of the file system
    """

    slot: str
    keeps: list[str] = field(default_factory=list)
    copies: dict[str, str] = field(default_factory=dict)
    sends: list[str] = field(default_factory=list)
    removes: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    blocks: int = 0


def make(build: Manifest, there: Files, running: str, block: int) -> Plan:
    """there -- all files of the slots, with their paths from the root; running -- slot, or "" """
    text = build.text().encode()
    same = (len(text), hashlib.sha256(text).hexdigest())
    if running and _inside(there, running) == build.files and there.get(f"/{running}/{NAME}") == same:
        return Plan("")
    slot = SLOTS[1] if running == SLOTS[0] else SLOTS[0]
    plan = Plan(slot)
    old = _inside(there, slot)
    where = {entry: path for path, entry in there.items() if running and path.startswith(f"/{running}/")}
    for path, entry in build.files.items():
        if old.get(path) == entry:
            plan.keeps.append(path)
            continue
        if entry in where:
            plan.copies[path] = where[entry]
        else:
            plan.sends.append(path)
        plan.blocks += -(-entry[0] // block) - (-(-old[path][0] // block) if path in old else 0)
    plan.removes = sorted(path for path in old if path not in build.files)
    plan.blocks -= sum(-(-old[path][0] // block) for path in plan.removes)
    present = {path for path, (_, digest) in there.items() if digest == "-"}
    parents = {"/".join(path.split("/")[:n]) for path in build.files for n in range(1, path.count("/") + 1)}
    plan.folders = sorted(f for f in ["", *parents] if f"/{slot}/{f}".rstrip("/") not in present)
    plan.blocks += 2 * len(plan.folders)
    return plan


def _inside(there: Files, slot: str) -> dict[str, tuple[int, str]]:
    """The files of a slot, by the path below it, without the manifest."""
    top = f"/{slot}/"
    return {
        path[len(top) :]: entry
        for path, entry in there.items()
        if path.startswith(top) and entry[1] != "-" and path != top + NAME
    }


def shortage(plan: Plan, free: int) -> int:
    """Blocks that are missing; 0: it fits."""
    return max(0, plan.blocks + _SPARE - free)
