"""First thing after a reset: every output of this board to its safe level. Then: which of two slots to start from.

The levels are the board's own table: the module `board`, frozen or a file beside this one. A computer has no pins.
The slots, and the file that tells which one: see README.md in this folder.
"""

import sys

MARKER = "/slot.txt"
_TRIAL_MS = 60_000  # longer than launch.py waits after a failed start


def make_safe():
    """Never raises: a pin that cannot be set must not keep the others from it. Returns False without a board."""
    try:
        import board
        from machine import Pin
    except ImportError:
        return False
    for number, level in getattr(board, "SAFE_PINS", ()):
        try:
            Pin(number, Pin.OUT, value=level)
        except ValueError:  # no such pin on this chip: the program will say so
            pass
    return True


def pick(root=""):
    """Return the folder of the program that is to start, or None. Never raises.

    root -- where slots and marker lie
    """
    name, tries = _marked(root)
    found = [slot for slot in ("slot_a", "slot_b", "rom") if _is_there(root + "/" + slot, "manifest.json", "main.mpy")]
    if name not in found:  # damaged, or none: whichever program is there, one that has shown that it works first
        proven = [slot for slot in found if not _is_there(root + "/" + slot, "trial")]
        name = (proven or found or [None])[0]
    elif tries is not None:
        rest = [slot for slot in found if slot != name]
        # What cannot be counted is not tried: it would be for ever.
        if rest and (tries == 0 or not _mark(root, "%s try %d\n" % (name, tries - 1))):
            _fail(root, name)
            name = rest[0]
            if name != "rom":
                _mark(root, name + " good\n")
    return name and root + "/" + name


def _marked(root):
    """(slot, starts left or None) of a marker as it must be, or (None, None)."""
    try:
        with open(root + MARKER) as f:
            text = f.read(20)
    except (OSError, ValueError):
        return None, None
    name, state = text[:6], text[6:]
    if name not in ("slot_a", "slot_b"):
        return None, None
    if state == " good\n":
        return name, None
    if state[:5] == " try " and state[6:] == "\n" and "0" <= state[5] <= "9":
        return name, int(state[5])
    return None, None


def _is_there(folder, *names):
    """Are these files in it? A slot that is being written has no manifest; one that is on trial has a file trial."""
    import os

    try:
        for name in names:
            os.stat(folder + "/" + name)
    except OSError:
        return False
    return True


def _mark(root, text):
    """By one rename: after a power cut it is the old marker or the new one. False: it could not be written."""
    import os

    try:
        with open(root + MARKER + ".new", "w") as f:
            f.write(text)
        os.rename(root + MARKER + ".new", root + MARKER)
    except OSError:
        return False  # a full disk must not stop a charger
    return True


def _fail(root, name):
    """It had its chances: without a manifest it is nothing that could start, whatever the marker says."""
    import os

    try:
        os.rename("%s/%s/manifest.json" % (root, name), "%s/%s/manifest.bad" % (root, name))
    except OSError:
        pass


def _watch():
    """A program on trial that hangs before it has a watchdog of its own must not hang for ever."""
    try:
        from machine import WDT

        WDT(timeout=_TRIAL_MS)
    except (ImportError, ValueError, OSError):
        pass


def start():
    """Outputs first, whatever the slots may be."""
    safe = make_safe()
    try:
        __file__  # noqa: B018 - a frozen program is its own slot
    except NameError:
        return
    folder = pick()
    if folder is None:
        return
    if _is_there(folder, "trial"):
        _watch()
    sys.modules.pop("board", None)  # the slot has its own
    sys.path[:0] = [folder, folder + "/lib"]
    if not safe:
        make_safe()


start()
if __name__ == "__main__":  # a board keeps these names for ever otherwise
    del make_safe, pick, start, _marked, _is_there, _mark, _fail, _watch
