"""What surrounds the fake chip of a rivot_dcfc: two MCP2515 at register level, a vehicle, a power module, contacts.

Imports nothing of the firmware but what the model of the MCP2515 needs, so that it also surrounds a compiled one.
"""

import asyncio
import struct

from fake_esp32 import chip
from mcp2515_chip import Chip, Spi

_ESTOP, _DOOR, _BMS_CS, _MODULE_CS, _BMS_INT, _MODULE_INT = 34, 35, 5, 21, 4, 22
_EXT = 1
_PACK_MV = 76_400


class Site:
    """Two chips on one SPI with what is on their buses: a vehicle that wants 30 A and a module that obeys."""

    def __init__(self):
        spi = Spi()
        self.bms, self.module = Chip(spi), Chip(spi)
        chip.devices[2] = spi
        chip.listeners[_BMS_CS], chip.listeners[_MODULE_CS] = self.bms.cs, self.module.cs
        chip.levels[_BMS_INT], chip.levels[_MODULE_INT] = self.bms.int_pin, self.module.int_pin
        chip.levels[_ESTOP] = chip.levels[_DOOR] = 1  # closed contacts
        self.plugged = False
        self.on = False
        self.mv = self.ma = 0  # set-points
        self.offs = self.ons = 0

    async def run(self):
        beats = 0
        while True:
            for can_id, data, _ in self.module.sent:
                self._obey(can_id, data)
            self.module.forget_sent()
            self.bms.forget_sent()
            if beats % 50 == 0:
                if self.plugged:
                    self.bms.arrive(0x1806E5F4, _EXT, struct.pack(">HHBBBB", 840, 300, 0, 0, 0, 0))
                amps = min(self.ma, 30_000) / 1000 if self.on else 0.0
                self.module.arrive(0x00433F01, _EXT, struct.pack(">ff", _PACK_MV / 1000, amps))
            if beats % 50 == 25:
                self.module.arrive(0x00473F01, _EXT, bytes((0, 0, 0, 0, 0, 0, 3, 2 if self.on else 1)))
            beats += 1
            await asyncio.sleep_ms(2)

    def _obey(self, can_id, data):
        if can_id == 0x068181FE:
            function = data[1]
            if function == 0x32:
                self.on = data[3] == 0
                self.ons += self.on
                self.offs += not self.on
            elif function == 0x00:
                self.mv = int.from_bytes(data[4:8], "big") * 1000 // 1024
            elif function == 0x03:
                self.ma = int.from_bytes(data[4:8], "big") * 10_000 // 305
            self.module.arrive(0x0681817E, _EXT, data)
        elif can_id == 0x068182FE:
            value = {0x84: _PACK_MV * 1024 // 1000, 0x80: 35 * 1024}.get(data[1], 0)
            self.module.arrive(0x0681827E, _EXT, data[:4] + value.to_bytes(4, "big"))
