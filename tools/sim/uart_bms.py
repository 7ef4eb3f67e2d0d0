"""The vehicle's BMS on a serial line instead of the CAN bus: JBD or Daly. Answers requests, and says nothing else."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable

from . import uartframes
from .battery import Battery
from .bms import Bms
from .timing import Rate
from .uartframes import Pack, Request
from .uartline import UartLine

_LATENCY_S = {"jbd": 0.045, "daly": 0.06}  # the length of the answer at 9600 baud, and a little
_ECHO_S = 0.003
_FULL_BIT = {"jbd": 1, "daly": 2 << 48}  # cell over-voltage


class UartBms:
    """Speaks while `bms` is awake and its option `protocol` says so; wishes and misbehaviour are those of `bms`."""

    def __init__(
        self,
        line: UartLine,
        bms: Bms,
        battery: Battery,
        rng: random.Random,
        refresh: Callable[[], None],
        on_limits: Callable[[float, float, bool], None],
    ) -> None:
        """`refresh`, `on_limits` as in `Bms`: the limits are what the vehicle bears; its permission is on the wire."""
        self.seen: Counter[int] = Counter()
        """Requests by register or data id."""
        self.sent: Counter[int] = Counter()
        self.bad_bytes = 0
        """Bytes of the charger that made no sense; a write counts with all of its bytes."""
        self._line = line
        self._bms = bms
        self._battery = battery
        self._rng = rng
        self._refresh = refresh
        self._on_limits = on_limits
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()
        self._stuck: dict[int, bytes] = {}
        self._life = 0
        self._garbage: Rate | None = None
        line.on_bytes = self._hear

    def changed(self) -> None:
        """The plug or an option has changed."""
        if self._garbage is not None:
            self._garbage.stop()
            self._garbage = None
        if not self._is_there:
            self._stuck.clear()
            self._buffer.clear()
        elif self._bms.options.garbage:
            self._garbage = Rate(self._bms.options.garbage, self._emit_garbage)

    @property
    def _is_there(self) -> bool:
        return self._bms.awake and self._bms.options.protocol != "can"

    # --- what it hears

    def _hear(self, data: bytes) -> None:
        options = self._bms.options
        if not self._is_there:
            return
        self._buffer += data
        take = uartframes.jbd_requests if options.protocol == "jbd" else uartframes.daly_requests
        requests, bad = take(self._buffer)
        self.bad_bytes += bad
        for request in requests:
            self.seen[request.command] += 1
            if request.is_write:
                self.bad_bytes += len(request.raw)
            elif options.asleep:
                self._asleep(request)
            elif not options.silent:
                self._loop.call_later(_LATENCY_S[options.protocol], self._answer, options.protocol, request)

    def _asleep(self, request: Request) -> None:
        """A JBD board loses the request and wakes up; a Daly board sends it back and sleeps on."""
        options = self._bms.options
        if options.protocol == "jbd":
            options.asleep = False
        else:
            self._loop.call_later(_ECHO_S, self._line.send, request.raw)

    # --- what it says

    def _answer(self, protocol: str, request: Request) -> None:
        options = self._bms.options
        if not self._is_there or options.protocol != protocol or options.silent:
            return
        self._refresh()
        pack = self._pack(protocol)
        make = uartframes.jbd_answer if protocol == "jbd" else uartframes.daly_answer
        frame = make(request.command, pack)
        if frame is None:
            return
        told = not options.stuck
        if options.stuck:
            frame = self._stuck.setdefault(request.command, frame)
        else:
            self._stuck[request.command] = frame
        if options.corrupt:
            frame = damage(self._rng, frame)
            told = False
        if not self._line.send(frame):
            return
        self.sent[request.command] += 1
        if told and request.command in (0x03, 0x93):
            volts, amperes, _ = self._bms.limits()
            self._on_limits(volts, amperes, pack.charge_fet and pack.protection == 0)

    def _pack(self, protocol: str) -> Pack:
        battery, options = self._battery, self._bms.options
        amperes = self._bms.pack_current()
        _, _, allowed = self._bms.limits()
        self._life += 1
        protection = options.protection
        if self._bms.is_full:
            protection |= _FULL_BIT[protocol]
        return Pack(
            volts=battery.ocv + amperes * battery.resistance,
            amperes=amperes,
            soc=battery.soc,
            capacity_ah=battery.capacity_ah,
            celsius=battery.temperature,
            charge_fet=allowed,
            protection=protection,
            life=self._life,
        )

    def _emit_garbage(self, count: int) -> None:
        pack = self._pack(self._bms.options.protocol)
        for _ in range(count):
            kind = self._rng.randrange(4)
            if kind == 0:
                self._line.send(self._rng.randbytes(self._rng.randrange(1, 40)))
            elif kind == 1:
                self._line.send(damage(self._rng, uartframes.jbd_answer(0x03, pack)))
            elif kind == 2:
                frame = uartframes.daly_answer(self._rng.choice((0x90, 0x92, 0x93, 0x98)), pack)
                assert frame is not None
                self._line.send(damage(self._rng, frame))
            else:
                self._line.send(uartframes.daly_frame(0x95, self._rng.randbytes(8)))


def damage(rng: random.Random, frame: bytes) -> bytes:
    """Return `frame` with one defect for which it must be rejected: one bit wrong, cut off, or its beginning lost."""
    kind = rng.randrange(3)
    if kind == 0:
        bad = bytearray(frame)
        bad[rng.randrange(len(bad))] ^= 1 << rng.randrange(8)
        return bytes(bad)
    cut = rng.randrange(1, len(frame))
    return frame[:cut] if kind == 1 else frame[cut:]
