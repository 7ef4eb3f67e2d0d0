"""First thing after a reset: every output of this board to its safe level. Then: which of two slots to start from.

The levels are the board's own table: the module `board`, frozen or a file beside this one. A computer has no pins.
The slots, and the file that tells which one: see README.md in this folder.
"""

import sys

MARKER = "/slot.txt"


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


def pick():
    """Return the folder of the program that is to start, or None. Never raises."""
    name, tries = _marked()
    found = [folder for folder in ("/slot_a", "/slot_b", "/rom") if _is_whole(folder)]
    if name not in found:  # damaged, or none: whichever program is there
        return found[0] if found else None
    if tries is not None:
        rest = [folder for folder in found if folder != name and folder != "/rom"]
        if tries == 0 and rest:  # it had its chances
            name = rest[0]
            _mark(name + " good\n")
        elif tries > 0:
            _mark("%s try %d\n" % (name, tries - 1))
    return name


def _marked():
    """(folder, starts left or None) of a marker as it must be, or (None, None)."""
    try:
        with open(MARKER) as f:
            text = f.read(20)
    except (OSError, ValueError):
        return None, None
    name, state = text[:6], text[6:]
    if name not in ("slot_a", "slot_b"):
        return None, None
    if state == " good\n":
        return "/" + name, None
    if state[:5] == " try " and state[6:] == "\n" and "0" <= state[5] <= "9":
        return "/" + name, int(state[5])
    return None, None


def _is_whole(folder):
    """A slot that is being written has no manifest."""
    import os

    try:
        os.stat(folder + "/manifest.json")
        os.stat(folder + "/main.mpy")
    except OSError:
        return False
    return True


def _mark(text):
    """Over by one rename: after a power cut it is the old marker or the new one."""
    import os

    try:
        with open(MARKER + ".new", "w") as f:
            f.write(text[1:])
        os.rename(MARKER + ".new", MARKER)
    except OSError:
        pass  # a full disk must not stop a charger


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
    sys.modules.pop("board", None)  # the slot has its own
    sys.path[:0] = [folder, folder + "/lib"]
    if not safe:
        make_safe()


start()
if __name__ == "__main__":  # a board keeps these names for ever otherwise
    del make_safe, pick, start, _marked, _is_whole, _mark
