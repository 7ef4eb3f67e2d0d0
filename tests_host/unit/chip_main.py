"""Start a compiled board on the fake chip: `micropython chip_main.py FOLDER MAIN DATA FACTORY`.

FOLDER -- what the flash is; the others -- the names that the build gave main.main, device.DATA and device.FACTORY.
A vehicle is plugged in after 2 s. Prints what happens to the pins: "PIN contactor 1". The modules of the build are
joined and renamed, so nothing of it is imported here but `device`, for the place of its files, and `main`.
"""

import asyncio
import sys
import time


class Stub:
    """Stands in for a module of the firmware while the model of the MCP2515 is loaded."""

    FLAG_EXT, FLAG_RTR = 1, 2
    Clock = object


for name in ("clock", "drivers", "drivers.can"):
    sys.modules[name] = Stub()
import chip_site
import fake_esp32

for name in ("clock", "drivers", "drivers.can"):
    del sys.modules[name]

CHIP = fake_esp32.install()
CHIP.wlan.networks["depot"] = ""


async def world(site):
    """Time on the wires follows the real one, also when the computer is busy."""
    site_task = asyncio.create_task(site.run())
    began = last = time.ticks_ms()
    pins = {}
    while not site_task.done():
        await asyncio.sleep_ms(1)
        now = time.ticks_ms()
        for chip in (site.bms, site.module):
            chip.elapse(min(time.ticks_diff(now, last), 100) * 1000)
        last = now
        site.plugged = time.ticks_diff(now, began) > 2000
        for name, number in (("contactor", 27), ("led_charging", 26), ("led_network", 33)):
            level = CHIP.driven.get(number)
            if pins.get(name) != level:
                pins[name] = level
                print("PIN", name, level)


folder, entry, data, factory = sys.argv[1:]
device = __import__("device")
setattr(device, data, folder + "/data")
setattr(device, factory, folder + "/factory.json")
sys.argv[1:] = []
__import__("boot")
board = __import__("board")
assert all([CHIP.driven[number] == level for number, level in board.SAFE_PINS])
task = asyncio.create_task(world(chip_site.Site()))
try:
    getattr(__import__("main"), entry)([])
finally:
    print("RESETS", CHIP.resets, "FEEDS", CHIP.feeds > 50)
