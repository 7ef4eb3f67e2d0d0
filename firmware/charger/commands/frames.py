"""What a received CAN frame means, in a few words. Identifiers: drivers/can/rivot_ids.py. A cold module."""

import struct

from fixed import fixed


def meaning(can_id, data):
    """Text, "" for a frame that is not known or too short."""
    size = len(data)
    if can_id == 0x1806E5F4 and size == 8:
        mv, ma, control = struct.unpack(">HHB", data[:5])
        return "BMS limits %s V %s A, %s" % (fixed(mv, 1, 1), fixed(ma, 1, 1), "stop" if control else "charge")
    if can_id in (0x160B8001, 0x160D8001) and size >= 4:
        return "%s counter %d mAh" % (
            "charge" if can_id == 0x160B8001 else "discharge",
            struct.unpack(">I", data[:4])[0],
        )
    if can_id == 0x18904001 and size == 8:
        mv, _, _, soc = struct.unpack(">HHHH", data)
        return "pack %s V, SoC %s %%" % (fixed(mv, 1, 1), fixed(soc, 1, 1))
    if can_id == 0x18924001 and size == 8:
        return "pack %d degC" % (data[0] - 40)
    if can_id == 0x00433F01 and size == 8:
        return "terminal %s" % " ".join(["%.2f %s" % pair for pair in zip(struct.unpack(">ff", data), "VA")])
    if can_id == 0x00473F01 and size == 8:
        return "terminal status %d, %d" % (data[6], data[7])
    if can_id == 0x18FF50E5:
        return "module heartbeat"
    if can_id in (0x0681817E, 0x0681827E) and size == 8:
        return _answer(can_id, data)
    return ""


def _answer(can_id, data):
    """An answer of the module: function in byte 1, value in bytes 4 to 7."""
    function = data[1]
    value = struct.unpack(">I", data[4:])[0]
    if data[0] & 0xF0:
        return "refused function 0x%02X" % function
    if function == 0x32 and can_id == 0x0681817E:
        return "output %s" % ("off" if data[3] else "on")
    if function in (0x00, 0x84):
        return "%s %d mV" % ("voltage" if function else "set voltage", value * 1000 >> 10)
    if function == 0x80:
        return "temperature %s degC" % fixed(value * 10 >> 10, 1, 1)
    if function == 0x03:
        return "set current, raw %d" % value
    return "function 0x%02X value %d" % (function, value)
