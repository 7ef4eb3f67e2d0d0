"""A serial line by hand for the UART BMS drivers, and frames made without them. Runs on MicroPython."""

import asyncio
import json

from fakes import FakeClock

from drivers.bms.uart import UartBms

VECTORS = __file__.rsplit("/", 1)[0] + "/vectors/uart_bms.jsonl"


def vectors(protocol):
    with open(VECTORS) as lines:
        for line in lines:
            row = json.loads(line)
            if row["protocol"] == protocol:
                row["bytes"] = bytes.fromhex(row["frame"])
                yield row


class Stream:
    """A HAL stream: what the test puts in is read; what is written is kept."""

    def __init__(self):
        self.written = []
        self.accepts = 1000  # bytes per write
        self.broken = None
        self.closed = 0
        self._in = bytearray()
        self._event = asyncio.Event()

    def put(self, data):
        self._in.extend(data)
        self._event.set()

    async def readinto(self, buf):
        while not self._in:
            self._event.clear()
            await self._event.wait()
            if self.broken:
                raise self.broken
        if self._in == b"\x00EOF":
            return 0
        n = min(len(buf), len(self._in))
        buf[:n] = self._in[:n]
        self._in = self._in[n:]
        return n

    def write(self, buf, start, size):
        if self.broken:
            raise self.broken
        n = min(size, self.accepts)
        if n:
            self.written.append(bytes(buf[start : start + n]))
        return n

    def close(self):
        self.closed += 1


class Line:
    """A driver with its line open, without an event loop; received bytes go straight to the parser.

    protocol -- Jbd() or Daly()
    """

    def __init__(self, protocol, limits=(84_000, 30_000), window=(56_000, 85_500), timeout_ms=3000, clock=None):
        self.clock = clock or FakeClock()
        self.bms = UartBms(protocol, None, self.clock, limits[0], limits[1], window[0], window[1], timeout_ms)
        self.stream = Stream()
        self.bms._begin(self.stream)
        self.found = []  # frames as they were handed over, and whether they were ours
        self.bms.on_frame = self._frame

    def _frame(self, at, size, data):
        self.found.append((bytes(data[at : at + size]), self.bms.feed(at, size, data)))

    def hear(self, data):
        """Bytes from the BMS, in reads as large as the driver makes them."""
        bms = self.bms
        room = len(bms._view)
        for start in range(0, len(data), room):
            part = data[start : start + room]
            bms._view[: len(part)] = part
            bms._parse(len(part))

    def asked(self):
        """What was written since the last time."""
        written = self.stream.written
        self.stream.written = []
        return written

    def run(self, ms, answer=None, step=10):
        """Tick every `step` ms; answer(request) gives the bytes that come at once, or None. [(ms, request)]."""
        asked = []
        for now in range(0, ms, step):
            self.bms.tick()
            for request in self.asked():
                asked.append((now, request))
                data = answer(request) if answer else None
                if data:
                    self.hear(data)
            self.clock.advance(step)
        return asked

    def known(self):
        """Everything a charger can see."""
        bms = self.bms
        return (
            bms.is_alive(), bms.permits(), bms.max_mv, bms.max_ma, bms.soc, bms.pack_mv, bms.temperature_dc,
            bms.capacity_ah, bms.heating,
        )  # fmt: skip


def jbd_frame(data, register=3, status=0):
    """An answer with a right checksum."""
    total = (status + len(data) + sum(data)) & 0xFFFF
    check = (0x10000 - total) & 0xFFFF
    return bytes((0xDD, register, status, len(data))) + data + bytes((check >> 8, check & 255, 0x77))


def jbd_basic(centivolt=7640, current=0, protection=0, soc=62, fets=3, sensors=(2996, 3001), tail=b"", nominal=9000):
    """Register 0x03; sensors in 0.1 K."""
    words = (centivolt, current & 0xFFFF, 5000, nominal, 12, 0x2E21, 0, 0, protection)
    data = b"".join([bytes((w >> 8, w & 255)) for w in words])
    data += bytes((0x20, soc, fets, 20, len(sensors)))
    return jbd_frame(data + b"".join([bytes((s >> 8, s & 255)) for s in sensors]) + tail)


def daly_frame(data_id, data, address=1):
    frame = bytes((0xA5, address, data_id, 8)) + data + bytes(8 - len(data))
    return frame + bytes((sum(frame) & 255,))


def daly_status(fet=1, state=0):
    return daly_frame(0x93, bytes((state, fet, 1, 7, 0, 1, 2, 3)))


def daly_faults(bits=b""):
    return daly_frame(0x98, bits)


def daly_temperatures(celsius=27):
    return daly_frame(0x92, bytes((celsius + 40, 1, celsius + 39, 2)))


def daly_pack(decivolt=764, current=30_000, soc=620):
    return daly_frame(
        0x90, bytes((decivolt >> 8, decivolt & 255, 0, 0, current >> 8, current & 255, soc >> 8, soc & 255))
    )


def daly_answer(request):
    """What an awake board answers."""
    return {0x93: daly_status, 0x98: daly_faults, 0x92: daly_temperatures, 0x90: daly_pack}[request[2]]()
