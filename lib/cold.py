"""Modules that are needed rarely and must not stay in RAM.

Compiled code that is loaded from a file lies in RAM for as long as its module is known. A cold
module is forgotten as soon as it is imported: its code becomes garbage when the last function
of it has returned. From ROMFS or frozen into the firmware, loading costs next to nothing; from
a file about 5 ms per kB on the device.
"""

import sys


def cold(name):
    """Import a module, forget it, and return it.

    name -- full dotted name. The module keeps no state, and is never imported in another way:
    its code would be there twice. What it imports itself stays.
    """
    module = __import__(name, None, None, ("*",))
    sys.modules.pop(name, None)
    package, _, leaf = name.rpartition(".")
    if package and hasattr(sys.modules[package], leaf):
        delattr(sys.modules[package], leaf)
    return module
