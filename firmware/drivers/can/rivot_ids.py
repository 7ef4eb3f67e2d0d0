"""Which identifiers a controller's acceptance filters let through, per peer: what its driver reads, nothing else.

All have 29 bits. Meaning and source: drivers/bms/rivot_can.py, drivers/power/rivot_can.py. A cold module.
"""

BMS = (0x1806E5F4, 0x160B8001, 0x160D8001, 0x18904001, 0x18924001)
MODULE = (0x00433F01, 0x00473F01, 0x0681817E, 0x0681827E, 0x18FF50E5)
