"""One websocket life: reads, answers, and sends one CALL at a time.

Redialling is the charge point's job. Sources: OCPP-J 1.6, sections 4.1 and 4.2.
"""

import asyncio

from cold import cold

from . import rpc

_EMPTY = ("MeterValues", "StatusNotification")  # their answers say nothing


class Link:
    """The RPC side of one connection.

    ws -- an open websocket with `recv`, `send` and `close` (see lib/wsclient)
    serve(uid, action, payload) -> answer text or None (no answer), synchronous
    after_answer() -- called when the answer is on its way
    timeout_ms(call) -> how long its answer may take
    accepted() -> bool, may the queue be sent?
    """

    def __init__(self, ws, outbox, log, counters, serve, after_answer, timeout_ms, accepted):
        self._ws = ws
        self._outbox = outbox
        self._log = log
        self._counters = counters
        self._serve = serve
        self._after_answer = after_answer
        self._timeout_ms = timeout_ms
        self._accepted = accepted
        self._pending = None  # the call whose answer is awaited
        self._settled = asyncio.Event()

    async def run(self):
        """Serve until the connection breaks; raises what ended it. Both directions end together."""
        tasks = [asyncio.create_task(self._receive()), asyncio.create_task(self._transmit())]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()

    async def _receive(self):
        while True:
            message = await self._ws.recv()
            if isinstance(message, str):
                answer = self._take(message)
                if answer is not None:
                    await self._ws.send(answer)
                    self._after_answer()
            else:
                self._count("binary")

    def _take(self, message):
        """Handle one message; return the answer to send, or None."""
        try:
            kind, uid, third, fourth, _ = rpc.unpack(message)
        except rpc.Malformed as exc:
            self._count("malformed")
            if exc.uid is None:
                self._log.warn("ocpp", "message dropped: " + exc.description)
                return None
            return rpc.pack_error(exc.uid, exc.code, exc.description)
        if kind == rpc.CALL:
            return self._serve(uid, third, fourth)
        call = self._pending
        if call is None or call.uid != uid:
            call = self._outbox.find_waiting(uid)
            if call is None:
                self._count("late_answers")
                return None
        if call is self._pending:
            self._pending = None
            self._settled.set()
        if kind == rpc.CALLERROR:
            self._count("call_errors")
            self._outbox.refused(call, "CALLERROR %s %s" % (third, fourth))
        else:
            try:
                if call.action not in _EMPTY:
                    cold("ocpp16.schema").check_response(call.action, third)
            except rpc.OcppError as exc:
                self._count("bad_answers")
                self._outbox.refused(call, "unusable answer: " + exc.description)
            else:
                self._outbox.answered(call, third)
        return None

    async def _transmit(self):
        outbox = self._outbox
        while True:
            outbox.event.clear()
            call, wait_ms = outbox.next(self._accepted())
            if call is None:
                await wait_event(outbox.event, wait_ms)
                continue
            text = outbox.payload(call)
            if text is None:
                continue  # unreadable, logged and gone
            self._pending = call
            self._settled.clear()
            await self._ws.send(rpc.pack_call(call.uid, call.action, text))
            await wait_event(self._settled, self._timeout_ms(call))
            if self._pending is call:
                self._pending = None
                self._count("timeouts")
                outbox.refused(call, "no answer")

    def _count(self, name):
        self._counters[name] = self._counters.get(name, 0) + 1


async def wait_event(event, ms):
    """Wait for the event, at most `ms` (None: for ever). Returns without a result either way."""
    if ms is None:
        await event.wait()
        return
    try:
        await asyncio.wait_for_ms(event.wait(), ms)
    except asyncio.TimeoutError:
        pass
