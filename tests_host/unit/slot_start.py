"""Starts the charger on a computer as a board does: boot.py picks one of two slots in the data folder.

    micropython TESTS_HOST/unit/slot_start.py --board sim --data DIR [...]

The paths of the slots are short, as on a board: MicroPython keeps that of every module in RAM. A reset runs this again
in place. A program that raises ends the process with status 1: whoever watches it starts it anew, as launch.py does on
a board.
"""

import os
import sys

sys.path.insert(0, __file__.rpartition("/")[0] + "/../../firmware")

import boot

del sys.path[0]
os.chdir(sys.argv[sys.argv.index("--data") + 1])
folder = boot.pick(".")
del os, boot, sys.modules["boot"]  # a board does not keep it either
print("slot_start: %s" % folder, file=sys.stderr)
sys.path[:0] = [folder, folder + "/lib"]
del folder
sys.exit(__import__("main").main(sys.argv[1:]))
