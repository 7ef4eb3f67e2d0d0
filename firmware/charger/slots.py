"""The two copies of the program, and which one the next start runs. A cold module.

Which files and what the marker says: firmware/README.md. boot.py reads the marker at every start, counts down, and goes
back; it lies outside the slots, must work with every version of what is in them, and so shares no code with this.
"""

import os
import sys

NAMES = ("slot_a", "slot_b")
MANIFEST = "/manifest.json"
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
