"""drivers/bms/jbd_uart: ten million random bytes and damaged frames."""
# heapsize: 1m
# timeout: 110

from uart_bench import Line, jbd_basic
from uart_fuzz import Fuzz

from drivers.bms.jbd_uart import Jbd

FORBIDDING = (0, 2, 4, 5, 8, 10, 11, 12, 13, 14, 15)


def word(frame, at):
    return int.from_bytes(frame[at : at + 2], "big")


def read(frame):
    """What an answer means; written from the protocol page, not from the driver."""
    data = frame[4:-3]
    assert frame[:2] == b"\xdd\x03" and frame[-1] == 0x77 and frame[3] == len(data)
    assert (sum(frame[2:-3]) + word(frame, len(frame) - 3)) % 65_536 == 0
    if not data:
        return {}
    assert frame[2] == 0
    sensors, tail = data[22], data[23 + 2 * data[22] :]
    amperes = word(data, 2)
    amperes = (amperes - 65_536 if amperes > 32_767 else amperes) / (10 if tail and tail[0] > 127 else 100)
    if len(data) < 23 + 2 * sensors or abs(amperes) > 500:
        return {"seen": True, "fet": None, "clear": None, "mv": None, "soc": None, "dc": None}
    mv = word(data, 0) * 10
    celsius = [word(data, 23 + 2 * i) - 2731 for i in range(sensors)]
    celsius = [dc for dc in celsius if -400 <= dc <= 1250]
    return {
        "seen": True,
        "fet": data[20] % 2 == 1,
        "clear": not any([word(data, 16) >> bit & 1 for bit in FORBIDDING]),
        "mv": mv if 56_000 < mv < 85_500 else None,
        "soc": data[19] * 100 if data[19] <= 100 else None,
        "dc": max(celsius) if celsius else None,
    }


def good(number):
    return jbd_basic(
        7000 + number % 1200,
        protection=1 << number % 16 if number % 7 == 0 else 0,
        soc=number % 103,
        fets=number >> 3 & 3 or 1,
        sensors=tuple([2731 + number % 300 + i for i in range(number % 4)]),
        tail=bytes(9) if number % 5 == 0 else b"",
    )


def test_ten_million_bytes():
    Fuzz(Line(Jbd()), 20_261, read, good, lambda bms: None, False).run()
