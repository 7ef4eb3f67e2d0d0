"""What the two UART BMSs share: the line, the rhythm of the questions, the ages of the answers, the face of a BMS.

Such a BMS speaks only when it is asked, states no charge limits and is never written to. The object is its own "bus":
what run() finds it hands to on_frame, whose owner hands it back to feed() and then looks at the whole again.
"""

import asyncio

from fresh import Fresh
from micropython import const

_READ = const(64)  # bytes per read
_AGAIN_MS = const(200)  # between a lost answer and the repeat
_IDLE_MS = const(1000)  # between rounds that nobody answered: then there is no vehicle, or it sleeps
_MANY = const(100)

# Numbers of the values that have an age; both drivers fill them
FET = const(0)  # True: the charge transistor is on
CLEAR = const(1)  # True: no protection or fault stands that forbids charging
PACK_MV = const(2)
TEMPERATURE = const(3)  # highest sensor, 0.1 degC
SOC = const(4)  # 0.01 %
CAPACITY = const(5)  # Ah
_VALUES = const(6)


class UartBms:
    """A BMS on a UART (face: drivers/README.md). Owns no task; run() is a service.

    protocol -- Jbd or Daly of the files beside this one, see below
    open_stream -- async callable, returns a HAL stream (readinto, write, close), 9600 8N1 on a serial line
    max_mv, max_ma -- limits of the vehicle from the settings; 0: not known, and then nothing is permitted
    low_mv, high_mv -- a pack voltage outside low < x < high is none of our vehicles: unknown, and not permitted
    timeout_ms -- every value and the permission are void when older than this
    on_frame -- set it: on_frame(at, size, data), the checked frame data[at : at + size], valid during the call
    bad_frames -- answers that were an error, and values that cannot be true
    unanswered -- requests without an answer in time; asking -- one waits for its answer

    A protocol has the attributes `mark` (first byte of a frame, as bytes), `longest` (frame in bytes), `tries`
    (requests in a row when nobody answers), `wait_ms` (for an answer), `pause_ms` (from there to the next request), and
    request(misses) -- bytes of the next request; misses: how many in a row were not answered
    size(data, i, have) -- of the frame that begins at data[i], of which `have` bytes are there; 0: none does, more than
        `have`: one that is not whole yet
    take(bms, at, size, data) -- decodes a checked frame into bms.put(); True if it was an answer with data
    reset() -- another vehicle: begin with the first request
    """

    def __init__(self, protocol, open_stream, clock, max_mv, max_ma, low_mv, high_mv, timeout_ms=3000):
        self.on_frame = None
        self.bad_frames = self.unanswered = 0
        self.heating = False  # neither protocol knows it
        self._protocol = protocol
        self._open_stream = open_stream
        self._clock = clock
        self._limit_mv, self._limit_ma = max_mv, max_ma
        self._low_mv, self._high_mv = low_mv, high_mv
        self._timeout_ms = timeout_ms
        self._values = Fresh(clock, timeout_ms, _VALUES)
        self._heard = None  # uptime of the last answer
        self._keep = longest = protocol.longest  # bytes in front of a read for the beginning of a frame
        self._rx = bytearray(longest + _READ)
        self._view = memoryview(self._rx)[longest:]
        self._n_rx = self._n_tx = 0
        self._lives = -1
        self._begin(None)

    def _begin(self, stream):
        self._stream = stream
        self._kept = 0
        self._lives += 1
        self._misses = 0
        self._now()

    def _now(self):
        """Forget the request that waits for its answer; the next one leaves at the next tick."""
        self.asking = False
        self._since, self._wait_ms = self._clock.ticks_ms(), 0

    # -- the line

    @property
    def is_up(self):
        """True: the line is open."""
        return self._stream is not None

    def counters(self):
        """Counts since boot; bad: see bad_frames, refused: unanswered."""
        counts = self._n_rx, self._n_tx, 0, self.bad_frames, 0, max(self._lives - 1, 0), 0, self.unanswered
        return dict(zip("rx tx tx_dropped bad bus_off reopened overrun refused".split(" "), counts))

    async def run(self):
        """One life of the line: open, receive. OSError when it breaks."""
        try:
            stream = await self._open_stream()
        except asyncio.TimeoutError:
            raise OSError("BMS line does not open")
        self._begin(stream)
        try:
            while True:
                n = await stream.readinto(self._view)
                if not n:
                    raise OSError("BMS line closed")
                self._parse(n)
        finally:
            self._stream = None
            stream.close()

    def _parse(self, n):
        """Take the n bytes just read. No allocation.

        Every byte that may begin a frame is tried, also inside one that is not whole yet: what only looks like the
        beginning of a frame never holds up the true one behind it. At most `longest` bytes are kept.
        """
        rx, protocol = self._rx, self._protocol
        keep = end = self._keep + n
        i = self._keep - self._kept
        while True:
            i = rx.find(protocol.mark, i, end)
            if i < 0:
                break
            size = protocol.size(rx, i, end - i)
            if size > end - i:
                if keep == end:
                    keep = i
                size = 1
            elif size:
                keep = end
                self._n_rx += 1
                if self.on_frame:
                    self.on_frame(i, size, rx)
                else:
                    self.feed(i, size, rx)
            i += size or 1
        self._kept = n = end - keep
        i = self._keep - n
        while n:
            rx[i] = rx[keep]
            i += 1
            keep += 1
            n -= 1

    # -- the rhythm

    def tick(self):
        """Ask when it is time; call it every 50 ms or more often. One request at a time."""
        stream, clock = self._stream, self._clock
        now = clock.ticks_ms()
        if stream is None or 0 <= clock.ticks_diff(now, self._since) < self._wait_ms:
            return
        self._since = now
        protocol = self._protocol
        if self.asking:
            self.asking = False
            self.unanswered += 1
            self._misses = misses = self._misses + 1
            self._wait_ms = _AGAIN_MS
            if misses % protocol.tries == 0:
                if misses > protocol.tries or not self.is_alive():  # a vehicle that was there just now: look quickly
                    self._wait_ms = _IDLE_MS
                if misses >= _MANY * protocol.tries:
                    self._misses = protocol.tries  # it only has to stay a small number
            return
        self.asking = True
        self._wait_ms = protocol.wait_ms
        self._kept = 0  # what is half there belongs to an earlier request
        request = protocol.request(self._misses)
        self._n_tx += 1
        try:
            stream.write(request, 0, len(request))  # what is not taken is not answered
        except OSError:
            pass  # run() sees it too

    def feed(self, at, size, data):
        """Take a checked frame; True if it was an answer with data."""
        return self._protocol.take(self, at, size, data)

    # -- for the protocol

    def answered(self):
        """The request has its answer, and the BMS is there."""
        clock = self._clock
        self._heard = clock.uptime_ms()
        self.asking = False
        self._misses = 0
        self._since, self._wait_ms = clock.ticks_ms(), self._protocol.pause_ms

    def put(self, which, value, sound=True):
        """A value that has just been told, None: it is not known. Not sound: unknown, and counted."""
        if not sound:
            self.bad_frames += 1
            value = None
        self._values.put(which, value)

    def put_pack(self, mv):
        """The pack voltage, which must be that of one of our vehicles."""
        self.put(PACK_MV, mv, self._low_mv < mv < self._high_mv)

    def forget(self):
        """No value is known any more."""
        for which in range(_VALUES):
            self._values.put(which, None)

    # -- for the charger

    def report(self, out_mv, out_ma, hardware_failure, over_temperature, no_battery):
        """Nothing: this BMS is never written to."""

    def new_vehicle(self):
        """Forget everything but the presence, and ask again at once. Call on plug-in before use and on unplug."""
        self.forget()
        self._protocol.reset()
        self._now()

    # -- questions

    def silent_ms(self):
        """ms since the last answer; None: never heard."""
        return None if self._heard is None else self._clock.uptime_ms() - self._heard

    def is_alive(self):
        """True: the last answer is younger than timeout_ms."""
        return self._heard is not None and self._clock.uptime_ms() - self._heard < self._timeout_ms

    def permits(self):
        """True: charge transistor on, no fault, a pack voltage of our vehicles, all of it young; and limits are set."""
        values = self._values
        return bool(
            self.is_alive()
            and values.get(FET)
            and values.get(CLEAR)
            and values.get(PACK_MV) is not None
            and self._limit_mv
            and self._limit_ma
        )

    @property
    def max_mv(self):
        """Highest voltage for this vehicle by the settings, mV; 0 when not alive or not set."""
        return self._limit_mv if self.is_alive() else 0

    @property
    def max_ma(self):
        """Highest current for this vehicle by the settings, mA; 0 when not alive or not set."""
        return self._limit_ma if self.is_alive() else 0

    @property
    def soc(self):
        """State of charge in 0.01 %, None while unknown."""
        return self._values.get(SOC)

    @property
    def pack_mv(self):
        """Measured pack voltage in mV, None while unknown."""
        return self._values.get(PACK_MV)

    @property
    def temperature_dc(self):
        """Highest sensor in 0.1 degC, None while unknown."""
        return self._values.get(TEMPERATURE)

    @property
    def capacity_ah(self):
        """Nominal capacity in Ah, None while unknown."""
        return self._values.get(CAPACITY)
