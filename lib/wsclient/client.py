"""The websocket: one reader task and one writer task own the socket, everybody else waits for their events."""

import asyncio
import os
from asyncio import core

from cold import cold
from micropython import const

from .errors import WsClosed, in_words
from .frame import BINARY, CLOSE, HEAD_MAX, PING, PONG, TEXT, FrameError, Parser, mask, put_head
from .utf8 import Utf8

_READ = const(256)
_PIECES = const(512)  # the same for a message in pieces, which is made where a large buffer may not fit; also times 4
_CHUNK = const(1360)  # payload bytes per write, a multiple of 4; with the headers one Ethernet segment, also in TLS
_QUEUE = const(8)  # messages received and not yet fetched
_CONTROL = const(16)  # control frames to be sent
_CLOSE_MS = const(3000)  # for the peer's close frame, or for it to leave after a breach
_EOF_MS = const(1000)  # for the peer to close TCP when it has said goodbye
_EARLY_MS = const(1 << 28)  # earlier than any task can be due, and less than half the period of ticks_ms


def _hurry():
    """Let whoever awaits this task run before all others. Called when recv() is about to return.

    wait_for(recv(), t) runs recv() in a task of its own. When that has ended, but before the waiter hears of it, the
    loop may find the timer due; wait_for then raises TimeoutError and drops the result: a lost message. So the waiter
    is put at the head of the run queue here. If this task does not end after all, the waiter just waits again.
    """
    waiting = core.cur_task.state  # a TaskQueue when somebody awaits this task
    if hasattr(waiting, "peek"):
        while waiting.peek():
            core._task_queue.push(waiting.pop(), core.ticks_add(core.ticks(), -_EARLY_MS))


class WebSocket:
    """An open connection, made by wsclient.connect(). `subprotocol` is the selected one (str) or None.

    Inbound: at most 8 messages, together max_size characters (or one), wait for recv(); then the reader stops, and TCP
    holds the peer back. Pings behind that wait too: fetch what arrives. Outbound: one message at a time is in the
    writer's hands; further send() calls queue up. At most 16 control frames wait to be sent; of more pongs the older
    ones are left out, as RFC 6455 section 5.5.3 allows.
    """

    def __init__(self, link, subprotocol, max_size, pong_timeout_ms, first):
        self.subprotocol = subprotocol
        self._link = link
        self._max = max_size
        self._parser = Parser(max_size)
        self._open = True  # neither side has begun to close
        self._deaf = False  # nothing the peer sends counts any more
        self._code = 0  # the first cause of the end, 0: none yet
        self._reason = ""
        self._gone = False  # socket closed, tasks ended
        self._news = asyncio.Event()  # something of what follows, or above, has changed: see _change()
        self._queue = []  # messages received
        self._queued = 0  # and their length
        self._turn = asyncio.Lock()  # senders, in order
        self._slot = None  # (opcode, data) in the writer's hands
        self._control = []  # (opcode, payload)
        self._bye = None  # payload of the close frame that ends our side
        self._pong_ms = pong_timeout_ms
        self._ping = None  # payload of the ping that is not answered yet
        self._blocked = False  # the reader waits for recv() to make room
        self._stalled = False  # and did so since the last ping or deadline
        self._timer = None  # the task that pings, or later the one that limits the close
        self._reader = asyncio.create_task(self._read(first))
        self._writer = asyncio.create_task(self._write())

    @property
    def is_open(self):
        """True until either side begins to close or the link breaks."""
        return self._open

    def _change(self):
        """To be awaited while what one waits for is not so: something has changed."""
        self._news.clear()
        return self._news.wait()

    # -- the application's side ----------------------------------------------------------------------------------

    async def recv(self):
        """Return the next message: str for text, bytes for binary. WsClosed when all are fetched and the link ended.

        May be cancelled at any time, by asyncio.wait_for(ws.recv(), t) too: no message is lost.
        """
        while not self._queue:
            if self._code:
                raise WsClosed(self._code, self._reason)
            await self._change()
        _hurry()
        msg = self._queue.pop(0)
        self._queued -= len(msg)
        self._news.set()
        return msg

    async def send(self, msg):
        """Send str as text, or bytes, bytearray or memoryview as binary; return when the socket has taken all of it.

        A list of str is one text message in one frame: where the heap is small, a long text need not be put together.
        If it is cancelled, the message was not queued, or will be sent whole. WsClosed if the link ends first.
        ValueError for a str that is not valid Unicode (lone surrogates).
        """
        if isinstance(msg, (str, list)):
            text = Utf8()
            data = []
            for piece in msg if isinstance(msg, list) else (msg,):
                view = memoryview(piece)  # type: ignore[arg-type]  # its UTF-8, without a copy
                if not text.feed(view):
                    raise ValueError("text is not UTF-8")
                data.append(view)
            if not text.is_complete():
                raise ValueError("text is not UTF-8")
            item = (TEXT, data)
        else:
            item = (BINARY, [memoryview(bytes(msg))])
        async with self._turn:
            while self._slot and not self._gone:  # a cancelled predecessor may still be on its way
                await self._change()
            if self._open:
                self._slot = item
                self._news.set()
                while not self._gone:
                    await self._change()
                    if self._slot is not item:
                        return
        while not self._code:  # a write failed: the reader will tell why
            await self._change()
        raise WsClosed(self._code, self._reason)

    def set_ping(self, interval_ms):
        """Ping every interval_ms from now on; 0: never. Without the pong in time the link is dead: closed with 1006."""
        if self._open:
            if self._timer:
                self._timer.cancel()
            self._timer = asyncio.create_task(self._keep_alive(interval_ms)) if interval_ms > 0 else None

    async def close(self, code=1000, reason=""):
        """Close; return when the socket is closed and no task is left, after about 3 s at most.

        A message that is being sent goes first. May be called at any time, again too. ValueError for a code that must
        not be sent.
        """
        plain = code == 1000 and not reason  # the one that must need nothing else
        bye = b"\x03\xe8" if plain else cold("wsclient.closing").close_payload(code, reason)
        self._shut(code, reason or "closed here", bye)
        while not self._gone:
            await self._change()
        await asyncio.sleep_ms(0)  # the cancelled tasks have their last turn before this one

    # -- the end -------------------------------------------------------------------------------------------------

    def _shut(self, code, reason, bye):
        """Begin to close. The first code stays; 0: not known yet. bye: payload of our close frame, None: no use."""
        if not self._code:
            self._code, self._reason = code, reason
        if self._open:
            self._open = False
            self._bye = bye
            self._limit(_CLOSE_MS)
        self._news.set()

    def _limit(self, ms):
        """Let the reader live that long and no longer."""
        if self._timer:
            self._timer.cancel()
        self._timer = asyncio.create_task(self._expire(ms))

    async def _expire(self, ms):
        await asyncio.sleep_ms(ms)
        self._reader.cancel()

    def _end(self, reason):
        """The reader is done: let go of everything. Synchronous, so that nothing can interrupt it."""
        self._open = False
        if not self._code:
            self._code, self._reason = 1006, self._reason or reason
        self._writer.cancel()
        if self._timer:
            self._timer.cancel()
        self._link.close()
        self._gone = True
        self._news.set()

    # -- the reader ----------------------------------------------------------------------------------------------

    async def _read(self, first):
        reason = "connection lost"
        try:
            await self._digest(memoryview(first), len(first))
            buf = memoryview(bytearray(_READ))
            while True:
                n = self._link.read(buf)
                if n is None:
                    await self._link.readable()
                elif n:
                    await self._digest(buf, n)
                    await asyncio.sleep_ms(0)  # a flood must not keep the others from running
                else:
                    break
        except asyncio.CancelledError:
            pass  # only this module cancels it, after it has said why
        except Exception as exc:  # noqa: BLE001 - OSError of the link; a bug must not go unseen either: it is the reason
            reason = "connection lost: " + in_words(exc)
        finally:
            self._end(reason)

    async def _digest(self, view, n):
        """Act on n received bytes."""
        pos = 0
        parser = self._parser
        try:
            while pos < n and not self._deaf:
                pos = parser.parse(view, pos, n)
                event, payload = parser.event, parser.payload
                parser.payload = None  # the application's now: not to be kept alive here
                if event == PING:
                    await self._answer(payload)
                elif event == PONG:
                    if payload == self._ping:
                        self._ping = None
                elif event == CLOSE:
                    self._deaf = True
                    code, reason = payload
                    self._shut(code, reason, b"" if code == 1005 else code.to_bytes(2, "big"))
                    # The server closes TCP first (section 7.1.1). With TLS its close_notify may go unseen: readinto()
                    # reads on after the close frame, meets the end there and returns only the bytes before it.
                    self._limit(_EOF_MS)
                elif event:
                    await self._deliver(payload)
        except FrameError as exc:
            self._fail(exc.args[0], exc.args[1])
        except MemoryError:
            self._fail(1009, "out of memory")

    def _fail(self, code, reason):
        """Fail the connection (RFC 6455 section 7.1.7)."""
        self._deaf = True
        self._shut(code, reason, cold("wsclient.closing").close_payload(code, reason))

    async def _answer(self, payload):
        if len(self._control) >= _CONTROL:
            await asyncio.sleep_ms(0)  # the writer's turn
            if len(self._control) >= _CONTROL:
                self._control.pop(1)  # 0 may be our own ping
        if self._open:
            self._control.append((PONG, payload))
            self._news.set()

    async def _deliver(self, msg):
        while self._open and self._queue and (len(self._queue) >= _QUEUE or self._queued + len(msg) > self._max):
            self._blocked = self._stalled = True
            await self._change()
        self._blocked = False
        if self._open:
            self._queue.append(msg)
            self._queued += len(msg)
            self._news.set()
            await asyncio.sleep_ms(0)  # the application's turn

    # -- the writer ----------------------------------------------------------------------------------------------

    async def _write(self):
        try:
            while await self._put():
                pass
        except Exception as exc:  # noqa: BLE001 - as above
            # What the peer said before it went away, a close frame maybe, can still be read: the reader finds the code.
            self._shut(0, "connection lost: " + in_words(exc), None)

    async def _put(self):
        """Write the next frame; return False after the close frame. A small one is one write, so one TCP segment."""
        if self._control:
            opcode, data = self._control.pop(0)
        elif self._slot:
            opcode, data = self._slot
        elif self._bye is not None:
            opcode, data = CLOSE, self._bye
        else:
            await self._change()
            return True
        if opcode >= CLOSE:
            data = [data]
        left = sum([len(view) for view in data])
        size = min(left, _CHUNK if len(data) == 1 else _PIECES)
        out = memoryview(bytearray(HEAD_MAX + size))
        key = os.urandom(4)
        at = put_head(out, opcode, left, key)
        index = pos = 0
        while True:
            n = 0
            while n < size and index < len(data):
                view = data[index]
                k = min(len(view) - pos, size - n)
                out[at + n : at + n + k] = view[pos : pos + k]
                n += k
                pos += k
                if pos == len(view):
                    index += 1
                    pos = 0
            mask(out[at : at + n], key)
            part = out[: at + n]
            while part:
                sent = self._link.write(part)
                if sent is None:
                    await self._link.writable()
                else:
                    part = part[sent:]
            left -= n
            if not left:
                break
            at = 0
            await asyncio.sleep_ms(0)  # a long message must not keep the others from running
        if opcode < CLOSE:
            self._slot = None
            self._news.set()
        return opcode != CLOSE

    async def _keep_alive(self, interval_ms):
        await asyncio.sleep_ms(interval_ms)
        while True:
            self._ping = os.urandom(4)
            self._stalled = self._blocked
            self._control.insert(0, (PING, self._ping))
            self._news.set()
            passed = 0
            while self._ping or passed < interval_ms:
                left = (self._pong_ms if self._ping else interval_ms) - passed
                step = min(left, interval_ms, self._pong_ms)
                await asyncio.sleep_ms(step)
                passed += step
                if self._ping and step == left:
                    if not self._stalled:
                        self._code, self._reason = 1006, "no pong within %d ms" % self._pong_ms
                        self._reader.cancel()
                        return
                    self._stalled = self._blocked  # it was us who did not read
                    passed = 0
