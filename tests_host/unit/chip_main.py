"""Start a compiled board on the fake chip: `micropython chip_main.py FOLDER MAIN DATA FACTORY DEVICE`.

FOLDER -- what the flash is; the others -- the names that the build gave main.main, device.DATA, device.FACTORY and the
module device.
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


class Wires:
    """Time on the wires follows the real one, also on a busy computer: it has passed before the program looks."""

    def __init__(self, site):
        self._chips = site.bms, site.module
        self._last = time.ticks_ms()
        self._busy = False

    def catch_up(self):
        now = time.ticks_ms()
        passed = time.ticks_diff(now, self._last)
        if passed and not self._busy:
            self._busy = True
            self._last = now
            for chip in self._chips:
                chip.elapse(min(passed, 100) * 1000)
            self._busy = False


async def world(site):
    """What happens outside."""
    site_task = asyncio.create_task(site.run())
    began = time.ticks_ms()
    wires = Wires(site)
    site.bms.spi.hook = wires.catch_up
    pins = {}
    while not site_task.done():
        await asyncio.sleep_ms(1)
        wires.catch_up()
        now = time.ticks_ms()
        site.plugged = time.ticks_diff(now, began) > 2000
        for name, number in (("contactor", 27), ("led_charging", 26), ("led_network", 33)):
            level = CHIP.driven.get(number)
            if pins.get(name) != level:
                pins[name] = level
                print("PIN", name, level)


folder, entry, data, factory, device = sys.argv[1:]
device = __import__(device)
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
