"""The two copies of the program, and which one the next start runs. A cold module.

Which files and what the marker says: firmware/README.md. boot.py reads the marker at every start, counts down, and goes
back; it lies outside the slots, must work with every version of what is in them, and so shares no code with this.
"""

import os
import sys

from cold import cold

NAMES = ("slot_a", "slot_b")
MANIFEST = "/manifest.json"
_BAD = "/manifest.bad"  # what boot.py makes of it
_MARKER = "/slot.txt"
_TRIAL = "/trial"
_STARTS = "3"  # a new program has so many starts


def running():
    """The folder of the running program: a slot or /rom. None: it is frozen, or was started from its sources."""
    for path in sys.path:
        if path.rpartition("/")[2] in NAMES + ("rom",) and is_whole(path):
            return path
    return None


def idle(folder):
    """The slot beside that folder: nothing runs from it."""
    root, _, name = folder.rpartition("/")
    return "%s/%s" % (root, NAMES[name == NAMES[0]])


def is_whole(folder):
    return _is_there(folder + MANIFEST)


def is_on_trial(folder):
    """Does the marker say so?"""
    root, _, name = folder.rpartition("/")
    try:
        with open(root + _MARKER) as f:
            return f.read(20).startswith(name + " try ")
    except (OSError, ValueError):
        return False


def settle(folder):
    """That slot stays. OSError: it could not be written down."""
    if not folder.endswith("/rom"):
        _mark(folder, "good")
        if _is_there(folder + _TRIAL):
            os.remove(folder + _TRIAL)


def begin_trial(folder):
    """The next start runs that slot, which is whole and has the file `trial`. OSError: it will not."""
    _mark(folder, "try " + _STARTS)


def state():
    """[(name, version, what it does)] of both slots; version: text, "" if there is none.

    What it does: "runs", "runs on trial", "ready" (roll_back would start it), "on trial next" (the next start tries
    it), "given up" (had its chances), "empty" (or half written). Both slots are "empty" if the program is in neither.
    """
    mine = running()
    if mine is None:
        return [(name, "", "empty") for name in NAMES]
    root = mine.rpartition("/")[0]
    rows = []
    for name in NAMES:
        folder = "%s/%s" % (root, name)
        version = _version(folder + MANIFEST)
        doing = "ready" if version else "empty"
        if folder == mine:
            doing = "runs on trial" if is_on_trial(mine) else "runs"
        elif version and is_on_trial(folder):
            doing = "on trial next"
        elif not version and _is_there(folder + _BAD):
            version, doing = _version(folder + _BAD), "given up"
        rows.append((name, version, doing))
    return rows


def roll_back():
    """The next start runs the other slot; returns its version. One on trial is given up for it.

    ValueError: there is nothing to go back to, in words; OSError: it could not be written down.
    """
    mine = running()
    other = idle(mine) if mine else ""
    version = _version(other + MANIFEST)
    if not version:
        raise ValueError("there is no other version")
    if is_on_trial(mine):
        os.rename(mine + MANIFEST, mine + _BAD)  # as boot.py does: outcome.py must not take it for a power cut
    _mark(other, "try " + _STARTS if _is_there(other + _TRIAL) else "good")
    return version


def _version(path):
    try:
        return cold("charger.contents").head(path)["version"]
    except ValueError:
        return ""


def empty(folder):
    """Make that slot an empty folder; it counts as not whole from the first moment on."""
    if is_whole(folder):
        os.remove(folder + MANIFEST)
    if _is_there(folder):
        _remove_inside(folder)
    else:
        os.mkdir(folder)


def fill_last(folder, manifest):
    """Make that slot whole: on trial, with the file `manifest`, which moves there."""
    with open(folder + _TRIAL, "w") as f:
        f.write("1")
    os.rename(manifest, folder + MANIFEST)


def blocks(folder, size):
    """Blocks of `size` bytes that the files below that folder take."""
    count = 0
    for path, is_folder, length in _inside(folder):
        count += 2 + blocks(path, size) if is_folder else -(-length // size)
    return count


def _mark(folder, state):
    """By one rename: after a power cut it is the old marker or the new one."""
    root, _, name = folder.rpartition("/")
    path = root + _MARKER
    with open(path + ".new", "w") as f:
        f.write("%s %s\n" % (name, state))
    os.rename(path + ".new", path)


def _remove_inside(folder):
    for path, is_folder, _ in _inside(folder):
        if is_folder:
            _remove_inside(path)
            os.rmdir(path)
        else:
            os.remove(path)


def _inside(folder):
    """(path, is it a folder, bytes) of what lies in a folder; nothing if there is none."""
    try:
        names = os.listdir(folder)
    except OSError:
        names = []
    for name in names:
        path = "%s/%s" % (folder, name)
        stat = os.stat(path)
        yield path, stat[0] & 0x4000 != 0, stat[6]


def _is_there(path):
    try:
        os.stat(path)
    except OSError:
        return False
    return True
