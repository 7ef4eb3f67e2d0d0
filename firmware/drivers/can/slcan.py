"""CAN over an SLCAN adapter: ASCII lines on a byte stream (TCP or UART).

Line format: Lawicel CAN232/CANUSB manual, "Available CAN232 ASCII commands"; one command or frame per line, CR ends it,
BELL is "refused". Received frames come unasked. Byte work happens in buffers made once: receiving a frame, and sending
one of 8 bytes, allocates nothing.
"""

import asyncio

from cold import cold
from micropython import const

from drivers.can import FLAG_EXT, FLAG_RTR, FLAG_URGENT, CanError

_RATES = (10_000, 20_000, 50_000, 100_000, 125_000, 250_000, 500_000, 800_000, 1_000_000)  # S0 to S8
_CR = const(13)
_LF = const(10)
_BELL = const(7)
_T = const(0x54)  # "T", the usual frame: 29 bits, data
_LINE = const(27)  # longest line we send: T, 8 id, length, 16 data, CR
_LONGEST = const(40)  # a longer line than this is noise
_READ = const(128)  # bytes per read
_SLOTS = const(9)  # lines that wait while the stream takes none, the half-written one included
_SERVICE_MS = const(20)
_POLL_MS = const(500)  # status flags "F"
_ALARM_MS = const(60)  # the same after a refused line: is it the bus?
_STALL_MS = const(1000)  # a stream that takes no byte for so long is dead
_ANSWER_MS = const(200)  # UART: an answer later than this was lost
_WINDOW = const(2)  # UART: sends without an answer
_LOST_POLLS = const(3)  # adapter that answered F before and is silent now
_RESET_POLLS = const(4)  # bus error for so many polls: reset the controller
_COUNT = const(0x3FFFFFFF)  # counters wrap instead of growing beyond a small int
_COUNTERS = "rx tx tx_dropped bad bus_off reopened refused overrun"

_HEX = b"0123456789ABCDEF"
_NIBBLE = bytearray(b"\xff" * 256)  # character -> value, 255: no hex digit
for _i in range(16):
    _NIBBLE[_HEX[_i]] = _i
    _NIBBLE[ord("%x" % _i)] = _i

_data = bytearray(8)  # of the frame that is being delivered: one for all buses, as nothing outlives the call
_VIEWS = tuple([memoryview(_data)[:_i] for _i in range(9)])


class Slcan:
    """One CAN bus behind an SLCAN adapter (face: drivers/README.md).

    open_stream -- async callable, returns a HAL stream (readinto, write, close)
    bitrate -- bit/s, one of S0 to S8, else ValueError
    uart -- True for a serial line: at most 2 unanswered sends (adapters have small buffers)

    What cannot be written at once waits in line slots, in order; when they are full a new frame is dropped and
    counted. An urgent frame (FLAG_URGENT) removes every waiting line that is not urgent itself: ordinary traffic can
    neither hold it up nor undo it, and it leaves right after the line that is half written. If all slots hold urgent
    lines, the same safe state is already on its way and the new one is dropped.
    """

    def __init__(self, open_stream, clock, bitrate=250_000, uart=False):
        self.on_frame = None  # on_frame(can_id, flags, data), data is valid only during the call
        self._open_stream = open_stream
        self._clock = clock
        self._rate = b"S%d\r" % _RATES.index(bitrate)
        self._uart = uart
        self._open = False  # channel open: frames flow
        # receiving: the unfinished line ends at _LONGEST, where the next read begins
        self._rx = bytearray(_LONGEST + _READ)
        self._rx_view = memoryview(self._rx)[_LONGEST:]
        # sending: the ring of waiting lines
        self._queue = bytearray(_SLOTS * _LINE)
        self._sizes = bytearray(_SLOTS)
        self._lives = -2
        self._n_rx = self._n_tx = self._n_dropped = self._n_bad = 0
        self._n_bus_off = self._n_resets = self._n_refused = self._n_overrun = 0
        self._begin(None)

    def _begin(self, stream):
        """Forget the last life: a stale frame must not leave, nor an old half line be continued."""
        self._stream = stream
        self._kept = 0
        self._skipping = False  # inside a line that is too long
        self._head = self._count = 0
        self._urgent = 0  # the first _urgent of _count lines stay
        self._done = 0  # bytes of the first line that are written
        self._failed = None  # what broke the stream: run() is about to end
        self._moved = self._asked = self._clock.ticks_ms()  # of the last written byte, of the last line written
        self._unanswered = self._answers = self._bells = 0
        self._polls = self._error_polls = 0  # status requests without an answer; with a bus error
        self._bus_error = self._knows_status = False
        self.error_passive = False  # as the adapter's status flags say
        self._lives += 1

    @property
    def is_up(self):
        """True: stream connected, channel open, no bus error."""
        return self._open and not self._bus_error

    def counters(self):
        """Counts since boot; rx, tx, tx_dropped, bad, bus_off, reopened, refused (BELL or no answer), overrun."""
        counts = (
            self._n_rx, self._n_tx, self._n_dropped, self._n_bad, self._n_bus_off,
            max(self._lives, 0) + self._n_resets, self._n_refused, self._n_overrun,
        )  # fmt: skip
        return dict(zip(_COUNTERS.split(" "), counts))

    def send(self, can_id, data, flags=FLAG_EXT):
        """Send a frame now, or as soon as the stream takes it; True if it was taken.

        data -- up to 8 bytes. Does not wait. False: not up, or full (counted). Raises ValueError for an identifier or
        a length that does not exist.
        """
        if len(data) > 8 or can_id < 0 or can_id >> (29 if flags & FLAG_EXT else 11):
            raise ValueError("CAN frame")
        urgent = flags & FLAG_URGENT
        if not self._open or (self._bus_error and not urgent):
            self._n_dropped += 1
            return False
        if urgent:
            stay = max(self._urgent, 1 if self._done else 0)
            self._n_dropped += self._count - stay
            self._count = stay
        if self._count == _SLOTS:
            self._pump()
        if self._count == _SLOTS:
            self._n_dropped += 1
            return False
        slot = (self._head + self._count) % _SLOTS
        self._sizes[slot] = self._encode(slot * _LINE, can_id, data, flags)
        self._count += 1
        if urgent:
            self._urgent = self._count
        self._pump()
        return self._failed is None

    async def run(self):
        """One life of the bus: connect, set up, receive. Raises CanError when it breaks."""
        try:
            stream = await self._open_stream()
        except (OSError, asyncio.TimeoutError) as exc:
            raise CanError("no adapter: %s" % exc)
        self._begin(stream)
        reader = asyncio.create_task(self._receive(stream))
        try:
            await cold("drivers.can.slcan_open").set_up(self._command, self._heard, self._rate)
            self._unanswered = 0
            self._open = True
            await self._serve()
        finally:
            self._open = False
            self._stream = None
            reader.cancel()
            stream.close()

    # -- receiving

    async def _receive(self, stream):
        try:
            while True:
                n = await stream.readinto(self._rx_view)
                if not n:
                    raise CanError("adapter closed the stream")
                self._parse(n)
        except Exception as exc:  # noqa: BLE001 - raised by run()
            self._failed = exc
            self._open = False

    def _parse(self, n):
        """Take the n bytes just read. No allocation."""
        buf = self._rx
        i = _LONGEST - self._kept
        end = _LONGEST + n
        self._kept = 0
        while i < end:
            if buf[i] == _T and i + 9 < end and not self._skipping:  # whole frame in sight: no search for its end
                stop = i + 10 + 2 * _NIBBLE[buf[i + 9]]
                if stop < end and buf[stop] == _CR and self._frame(i, stop):
                    i = stop + 1
                    continue
            j = w = i
            c = 0
            while j < end:
                c = buf[j]
                if c == _CR or c == _BELL:
                    break
                if c != _LF:
                    buf[w] = c
                    w += 1
                j += 1
            else:
                self._keep(i, w)
                return
            if self._skipping:
                self._skipping = False
            elif w != i and not self._text(i, w):
                self._n_bad = (self._n_bad + 1) & _COUNT
            elif w == i and c == _CR:
                self._answered()
            if c == _BELL:
                self._bells += 1
                self._n_refused = (self._n_refused + self._open) & _COUNT
                self._answered()
            i = j + 1

    def _keep(self, start, stop):
        """The line from start to stop has no end yet: put it in front of the next read."""
        size = stop - start
        if size > _LONGEST and not self._skipping:
            self._skipping = True
            self._n_bad = (self._n_bad + 1) & _COUNT
        if self._skipping:
            return
        buf = self._rx
        at = _LONGEST - size  # never behind start: what was kept before is part of this line
        while start < stop:
            buf[at] = buf[start]
            at += 1
            start += 1
        self._kept = size

    def _text(self, start, stop):
        """One line without its end; False if it means nothing to us."""
        buf = self._rx
        kind = buf[start]
        if kind in b"TtRr":
            return self._frame(start, stop)
        if kind in b"zZ" and stop - start == 1:
            self._answered()
            return True
        if kind == 0x46 and stop - start == 3:  # F
            high, low = _NIBBLE[buf[start + 1]], _NIBBLE[buf[start + 2]]
            if high | low < 16:
                self._answered()
                self._take_status(high << 4 | low)
                return True
        return False

    def _frame(self, start, stop):
        """Check and deliver a frame line (without its end); False if malformed."""
        buf = self._rx
        nibble = _NIBBLE
        kind = buf[start]  # T 0x54, R 0x52, t 0x74, r 0x72
        flags = (0 if kind & 0x20 else FLAG_EXT) | (0 if kind & 0x04 else FLAG_RTR)
        i = start + 1
        at = i + (8 if flags & FLAG_EXT else 3)
        if at >= stop:
            return False
        size = nibble[buf[at]]
        length = 0 if flags & FLAG_RTR else size  # a remote frame carries none: nothing to decode by mistake
        if size > 8 or stop != at + 1 + 2 * length or nibble[buf[i]] > (1 if flags & FLAG_EXT else 7):
            return False
        can_id = 0
        while i < at:
            digit = nibble[buf[i]]
            if digit > 15:
                return False
            can_id = can_id << 4 | digit
            i += 1
        i += 1
        data = _data
        n = 0
        while i < stop:
            high, low = nibble[buf[i]], nibble[buf[i + 1]]
            if high > 15 or low > 15:
                return False
            data[n] = high << 4 | low
            n += 1
            i += 2
        if self._open:
            self._n_rx = (self._n_rx + 1) & _COUNT
            if self.on_frame:
                self.on_frame(can_id, flags, _VIEWS[length])
        return True

    def _answered(self):
        self._answers += 1
        if self._unanswered:
            self._unanswered -= 1
            self._pump()

    def _take_status(self, bits):
        """Status flags: 0 receive FIFO full, 3 data overrun, 5 error passive, 7 bus error. Reading cleared them."""
        self._polls = 0
        self._knows_status = True
        self.error_passive = bool(bits & 0x20)
        if bits & 0x09:
            self._n_overrun += 1
        error = bool(bits & 0x80)
        if error and not self._bus_error:
            self._n_bus_off += 1
        if not error:
            self._error_polls = 0
        self._bus_error = error

    # -- sending

    def _encode(self, at, can_id, data, flags):
        """Write the line into the ring at `at`; return its length."""
        buf = self._queue
        start = at
        extended = flags & FLAG_EXT
        buf[at] = (_T if extended else 0x74) - (flags & FLAG_RTR)  # R is T - 2
        shift = 28 if extended else 8
        while shift >= 0:
            at += 1
            buf[at] = _HEX[can_id >> shift & 15]
            shift -= 4
        buf[at + 1] = 48 + len(data)
        at += 2
        if not flags & FLAG_RTR:
            for byte in data:
                buf[at] = _HEX[byte >> 4]
                buf[at + 1] = _HEX[byte & 15]
                at += 2
        buf[at] = _CR
        return at + 1 - start

    def _command(self, line):
        """Queue a command line of ours; False when full (all of them are repeated)."""
        if self._count == _SLOTS:
            return False
        slot = (self._head + self._count) % _SLOTS
        at = slot * _LINE
        for byte in line:
            self._queue[at] = byte
            at += 1
        self._sizes[slot] = len(line)
        self._count += 1
        self._pump()
        return True

    def _pump(self):
        """Write what waits until the stream is full or the adapter behind. Allocates nothing; lines stay whole."""
        stream = self._stream
        if stream is None or self._failed is not None:
            return
        try:
            while self._count:
                head, done = self._head, self._done
                if self._unanswered >= _WINDOW and not done and self._open and not self._urgent:
                    return
                size, at = self._sizes[head], head * _LINE
                n = stream.write(self._queue, at + done, size - done)
                if not n:
                    return
                self._moved = self._asked = self._clock.ticks_ms()
                done += n
                if done < size:
                    self._done = done
                    continue
                self._done = 0
                self._head = (head + 1) % _SLOTS
                self._count -= 1
                if self._urgent:
                    self._urgent -= 1
                self._unanswered += self._uart
                if self._queue[at] in b"TtRr":
                    self._n_tx = (self._n_tx + 1) & _COUNT
        except OSError as exc:
            self._failed = exc
            self._open = False

    # -- service

    def _heard(self, forget):
        """For the set-up: (answers, refusals) since the last time with `forget`. Raises what broke the stream."""
        self._pump()
        self._check()
        heard = self._answers, self._bells
        if forget:
            self._answers = self._bells = 0
        return heard

    def _check(self):
        failed = self._failed
        if failed is not None:
            raise CanError("stream: %s" % failed) if isinstance(failed, OSError) else failed

    async def _serve(self):
        """Keep the adapter: the rest of half lines, status flags, dead streams."""
        clock = self._clock
        polled = clock.ticks_ms()
        bells = self._bells
        while True:
            await asyncio.sleep_ms(_SERVICE_MS)
            now = clock.ticks_ms()
            if self._unanswered and clock.ticks_diff(now, self._asked) > _ANSWER_MS:
                self._unanswered = 0
                self._n_refused += 1
            self._pump()
            self._check()
            if not self._count:
                self._moved = now
            elif clock.ticks_diff(now, self._moved) > _STALL_MS:
                raise CanError("adapter takes no data")
            alarm = self._bells != bells and self._knows_status and not self._bus_error
            if clock.ticks_diff(now, polled) < (_ALARM_MS if alarm else _POLL_MS):
                continue
            polled = now
            bells = self._bells
            if self._knows_status and self._polls >= _LOST_POLLS:
                raise CanError("adapter does not answer")
            if self._bus_error:
                self._error_polls += 1
                if self._error_polls % _RESET_POLLS == 0:
                    self._n_resets += 1
                    for line in (b"C\r", self._rate, b"O\r"):
                        self._command(line)
            self._polls += self._command(b"F\r")
