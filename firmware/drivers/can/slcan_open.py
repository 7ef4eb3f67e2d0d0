"""Opens the channel of an SLCAN adapter. A cold module: once per life of the bus, see slcan.Slcan."""

import asyncio

from micropython import const

from drivers.can import CanError

_STEP_MS = const(10)
_QUIET_STEPS = const(5)
_SETTLE_STEPS = const(25)
_OPEN_STEPS = const(50)  # 500 ms for the answer to "O"


async def set_up(command, heard, rate):
    """Flush, close, set the rate, open. The answers to the first ones only have to be over before "O" is sent.

    command -- callable(line); heard -- callable(forget), see Slcan; rate -- the command that sets the bit rate
    CanError: the adapter does not open, or refuses.
    """
    for line in (b"\r\r\r", b"C\r", rate):
        command(line)
    seen = quiet = 0
    for _ in range(_SETTLE_STEPS):
        await asyncio.sleep_ms(_STEP_MS)
        answers = heard(False)[0]
        quiet = quiet + 1 if answers == seen else 0
        seen = answers
        if seen >= 5 or quiet >= _QUIET_STEPS:
            break
    heard(True)
    command(b"O\r")
    for _ in range(_OPEN_STEPS):
        await asyncio.sleep_ms(_STEP_MS)
        answers, bells = heard(False)
        if bells:
            raise CanError("adapter refused to open")
        if answers:
            return
    raise CanError("adapter does not open")
