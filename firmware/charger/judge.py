"""May this manifest be installed here? A cold module: see install.py. ValueError: no; the text is for a technician."""

import os
import sys

from cold import cold
from micropython import const

_RESERVE = const(65_536)  # bytes of flash that stay free for transactions


def fits(aside, mine, target, allow_downgrade):
    """Is the program of that manifest one for this board, MicroPython and flash, and not too old? Returns its version.

    mine -- folder of the program that runs; target -- the slot that is to be filled
    """
    slots, manifest = cold("charger.slots"), cold("charger.contents")
    version = _check(manifest.head(aside), manifest.head(mine + slots.MANIFEST), allow_downgrade)
    _check_room(aside, target, slots, manifest)
    return version


def _check(new, old, allow_downgrade):
    for name in ("board", "port", "chip"):
        if new[name] != old[name]:
            raise ValueError("for %s %s, this is %s" % (name, new[name], old[name]))
    here = sys.implementation
    if new["mpy"] != getattr(here, "_mpy", 0) & 0xFF:
        raise ValueError("compiled for another MicroPython")
    if _numbers(new["micropython"]) > tuple(here.version[:2]):
        raise ValueError("needs MicroPython " + new["micropython"])
    if _numbers(new["version"]) < _numbers(old["version"]) and not allow_downgrade:
        raise ValueError("version %s is older than %s: see update.allow_downgrade" % (new["version"], old["version"]))
    return new["version"]


def _numbers(version):
    try:
        return tuple([int(part) for part in version.split(".")])
    except ValueError:
        raise ValueError("version %s" % version)


def _check_room(aside, target, slots, manifest):
    stat = os.statvfs(aside.rpartition("/")[0])
    size = stat[0]
    need = _RESERVE // size
    folders = {""}
    for name, length, _ in manifest.rows(aside, cold("ustar").check_name):
        need += -(-length // size)
        folders.add(name.rpartition("/")[0])
    need += 2 * len(folders) - slots.blocks(target, size)
    if need > stat[3]:
        raise ValueError("%d kB more are needed on the flash" % ((need - stat[3]) * size // 1024))
