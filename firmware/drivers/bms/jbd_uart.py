"""JBD BMS (Xiaoxiang, Overkill) over UART or RS485: 9600 8N1, big-endian, register 0x03 every half second.

Source: the JBD general protocol document V4 and public drivers. Only the read of basic information is ever sent.
"""

from micropython import const

from drivers.bms.uart import CAPACITY, CLEAR, FET, SOC, TEMPERATURE

# DD, A5 read, register, 0 data bytes, 0x10000 - sum from the register on, 77
_REQUEST = b"\xdd\xa5\x03\x00\xff\xfd\x77"
_BASIC = const(0x03)
_ERROR = const(0x80)  # status of an answer
_END = const(0x77)
_FRAME = const(7)  # bytes around the data of an answer: DD, register, status, n; checksum (2), 77
_LEAST = const(23)  # data bytes without sensors
_MOST = const(64)  # 16 sensors, and what newer boards append

# Protection bits that do not forbid charging: 1 cell low, 3 pack low, 6 discharge hot, 7 discharge cold, 9 discharge
# over-current. All others do, also 12 transistors locked, 13 charge time, and 14 and 15, which are reserved.
_HARMLESS = const(0x02CA)
_MOST_CURRENT = const(50_000)  # 500 A in 10 mA


class Jbd:
    """The protocol; see uart.UartBms."""

    def __init__(self):
        self.mark = b"\xdd"
        self.longest = _MOST + _FRAME
        self.tries = 2  # a board that sleeps loses the first request
        self.wait_ms = 400
        self.pause_ms = 450

    def reset(self):
        pass

    def request(self, misses):
        return _REQUEST

    def size(self, data, i, have):
        if have < 4:
            return _FRAME if have < 2 or data[i + 1] == _BASIC else 0
        status, n = data[i + 2], data[i + 3]
        if data[i + 1] != _BASIC or status not in (0, _ERROR) or not (n == 0 or (_LEAST <= n <= _MOST and status == 0)):
            return 0
        size = n + _FRAME
        if have >= size:
            if data[i + size - 1] != _END:
                return 0
            end = i + size - 3
            total = data[end] << 8 | data[end + 1]
            i += 2
            while i < end:
                total += data[i]
                i += 1
            if total & 0xFFFF:
                return 0
        return size

    def take(self, bms, at, size, data):
        n = size - _FRAME
        if n == 0:  # an error, or nothing to say
            bms.bad_frames += 1
            return False
        bms.answered()
        p = at + 4
        # 22 number of sensors, 23.. sensors in 0.1 K; newer boards: flags, bit 7: current, capacity x 10
        sensors = data[p + 22]
        rest = _LEAST + 2 * sensors
        scale = 10 if rest < n and data[p + rest] & 0x80 else 1
        # 2-3 current in 10 mA, signed; 4-5 and 6-7 remaining and nominal capacity in 10 mAh
        current = data[p + 2] << 8 | data[p + 3]
        if current & 0x8000:
            current = 0x10000 - current
        if rest > n or current * scale > _MOST_CURRENT:  # the frame contradicts itself, or cannot be true
            bms.bad_frames += 1
            bms.forget()
            return True
        # 0-1 pack voltage in 10 mV, 16-17 protection, 19 SoC in %, 20 bit 0: charge transistor on
        bms.put_pack((data[p] << 8 | data[p + 1]) * 10)
        bms.put(CLEAR, not (data[p + 16] << 8 | data[p + 17]) & ~_HARMLESS)
        bms.put(SOC, data[p + 19] * 100, data[p + 19] <= 100)
        bms.put(FET, bool(data[p + 20] & 1))
        bms.put(CAPACITY, ((data[p + 6] << 8 | data[p + 7]) * scale + 50) // 100 or None)
        hottest = None
        p += _LEAST
        while sensors:
            celsius_10 = (data[p] << 8 | data[p + 1]) - 2731
            if not -400 <= celsius_10 <= 1250:
                bms.bad_frames += 1  # not connected, or broken
            elif hottest is None or celsius_10 > hottest:
                hottest = celsius_10
            p += 2
            sensors -= 1
        bms.put(TEMPERATURE, hottest)
        return True
