"""Modules that are needed rarely and must not stay in RAM.

Compiled code that is loaded from a file lies in RAM for as long as its module is known. A cold
module is forgotten as soon as it is imported: its code becomes garbage when the last function
of it has returned. From ROMFS or frozen into the firmware, loading costs next to nothing; from
a file about 5 ms per kB on the device. Where the heap is large (a computer, PSRAM) cold modules
are kept like others.
"""

import gc
import sys

_PLENTY = 300_000  # bytes free at the start
_forget = gc.mem_free() < _PLENTY


def cold(name):
    """Import a module, forget it where RAM is scarce, and return it.

    name -- full dotted name. The module keeps no state, and is never imported in another way:
    its code would be there twice. What it imports itself stays.
    """
    if _forget:
        gc.collect()  # what was forgotten last makes room in one piece
    module = __import__(name, None, None, ("*",))
    if _forget:
        sys.modules.pop(name, None)
        package, _, leaf = name.rpartition(".")
        if package and hasattr(sys.modules[package], leaf):
            delattr(sys.modules[package], leaf)
    return module
