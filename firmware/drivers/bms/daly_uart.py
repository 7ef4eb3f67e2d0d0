"""Daly BMS over UART or RS485: 9600 8N1, frames of 13 bytes, big-endian, one data id after the other.

Source: the Daly UART/485 protocol document and public captures. Only reads are ever sent. A board that sleeps cannot be
woken over this line; some then send the request back: an answer has address 0x01 and the id that was asked for.
"""

from micropython import const

from drivers.bms.uart import CLEAR, FET, SOC, TEMPERATURE

_SIZE = const(13)  # A5, address, id, 08, 8 data bytes, low byte of the sum of the first 12
_BOARD = const(0x01)
_US = b"\xa5\x40\x00\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00"
_SUM = const(0xED)  # of that

# In the order they are asked for: first what the permission is made of, then the temperature, so that it is there when
# the state of charge comes and VehicleInfo is sent.
_STATUS = const(0x93)
_FAULTS = const(0x98)
_TEMPERATURES = const(0x92)
_PACK = const(0x90)
_IDS = b"\x93\x98\x92\x90"
_VITAL = const(2)  # the first ones are asked again when they are lost

# Bits of 0x98 that forbid charging, byte by byte. Of the two levels only the second (protection), and not what is about
# discharging or an empty pack. Reserved bits carry remnants of other answers.
# 0 cell high, pack high; 1 charge hot, charge cold; 2 charge current, SoC high; 3 differences of cells, temperatures
# 4 transistors, all; 5 front end, voltage sampling, temperature sensor, EEPROM, internal communication
# 6 current module, pack voltage sensor, short circuit, "low voltage forbids charging"
_FORBID = b"\x22\x0a\x22\x0a\xff\x8f\x0f"
_OFFSET = const(30_000)  # of the current, 0.1 A
_MOST_CURRENT = const(5_000)


class Daly:
    """The protocol; see uart.UartBms."""

    def __init__(self):
        self.mark = b"\xa5"
        self.longest = _SIZE
        self.tries = 3
        self.wait_ms = 500
        self.pause_ms = 100
        self._line = bytearray(_US)
        self._next = 0  # index in _IDS of the id that is or will be asked for

    def reset(self):
        self._next = 0

    def request(self, misses):
        # One that was lost and matters less than the permission, or was lost three times, waits for its next turn
        if misses and (self._next >= _VITAL or misses % self.tries == 0):
            self._next = (self._next + 1) % len(_IDS)
        line = self._line
        line[2] = data_id = _IDS[self._next]
        line[12] = _SUM + data_id & 0xFF
        return line

    def size(self, data, i, have):
        if (have > 1 and data[i + 1] != _BOARD) or (have > 3 and data[i + 3] != 8):
            return 0
        if have >= _SIZE:
            total = 0
            end = i + _SIZE - 1
            while i < end:
                total += data[i]
                i += 1
            if total & 0xFF != data[end]:
                return 0
        return _SIZE

    def take(self, bms, at, size, data):
        data_id = data[at + 2]
        if not bms.asking or data_id != _IDS[self._next]:
            return False
        bms.answered()
        self._next = (self._next + 1) % len(_IDS)
        p = at + 4
        if data_id == _STATUS:  # 0 state, 1 charge transistor: 0 or 1
            bms.put(FET, data[p + 1] == 1, data[p] <= 2 and data[p + 1] <= 1)
        elif data_id == _FAULTS:
            found = 0
            for i in range(7):
                found |= data[p + i] & _FORBID[i]
            bms.put(CLEAR, not found)
        elif data_id == _TEMPERATURES:  # 0 highest, offset 40; 0 is what an unused place says
            bms.put(TEMPERATURE, (data[p] - 40) * 10, 0 < data[p] <= 165)
        else:  # 0-1 pack voltage 0.1 V, 4-5 current, 6-7 SoC 0.1 %
            current = (data[p + 4] << 8 | data[p + 5]) - _OFFSET
            soc = (data[p + 6] << 8 | data[p + 7]) * 10
            if -_MOST_CURRENT < current < _MOST_CURRENT:
                bms.put_pack((data[p] << 8 | data[p + 1]) * 100)
                bms.put(SOC, soc, soc <= 10_000)
            else:  # nothing in this frame is to be believed
                bms.put_pack(0)
                bms.put(SOC, None)
        return True
