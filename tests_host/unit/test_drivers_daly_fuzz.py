"""drivers/bms/daly_uart: ten million random bytes and damaged frames."""
# heapsize: 1m
# timeout: 110

from uart_bench import Line, daly_faults, daly_frame, daly_pack, daly_status, daly_temperatures
from uart_fuzz import Fuzz

from drivers.bms.daly_uart import Daly

LEVEL_2 = ((0, 1), (0, 5), (1, 1), (1, 3), (2, 1), (2, 5), (3, 1), (3, 3))
DEFECTS = LEVEL_2 + tuple([(4, n) for n in range(8)]) + ((5, 0), (5, 1), (5, 2), (5, 3), (5, 7)) + tuple(
    [(6, n) for n in range(4)]
)  # fmt: skip

line = Line(Daly())
asked = [None]  # data id whose answer is waited for


def read(frame):
    """What an answer means; written from the protocol page, not from the driver."""
    assert len(frame) == 13 and frame[:2] == b"\xa5\x01" and frame[3] == 8 and sum(frame[:12]) % 256 == frame[12]
    if frame[2] != asked[0]:
        return {}
    asked[0] = None
    a, b, _, _, e, f, g, h = frame[4:12]
    if frame[2] == 0x93:
        return {"seen": True, "fet": b == 1 if a in (0, 1, 2) and b in (0, 1) else None}
    if frame[2] == 0x98:
        return {"seen": True, "clear": not any([frame[4 + byte] & 1 << bit for byte, bit in DEFECTS])}
    if frame[2] == 0x92:
        return {"seen": True, "dc": 10 * a - 400 if 0 < a <= 165 else None}
    absurd = abs((e * 256 + f - 30_000) / 10) >= 500
    mv, soc = (a * 256 + b) * 100, (g * 256 + h) * 10
    return {
        "seen": True,
        "mv": mv if 56_000 < mv < 85_500 and not absurd else None,
        "soc": soc if soc <= 10_000 and not absurd else None,
    }


def before(bms):
    """The next request, when it is time."""
    bms.tick()
    if line.stream.written:
        asked[0] = line.stream.written[-1][2]
        line.stream.written.clear()
    if not bms.asking:
        asked[0] = None


def good(number):
    data_id = asked[0]
    if data_id == 0x93:
        return daly_status(0 if number % 9 == 0 else 1, number % 4 if number % 5 == 0 else 1)
    if data_id == 0x98:
        return daly_faults(bytes((1 << number % 8, number & 0x55)) if number % 6 == 0 else b"")
    if data_id == 0x92:
        return daly_temperatures(number % 100)
    if data_id == 0x90:
        return daly_pack(700 + number % 140, 30_000 + number % 6000, number % 1010)
    return daly_frame(0x94, bytes((20, 2)))


def test_ten_million_bytes():
    Fuzz(line, 20_262, read, good, before, True).run()
