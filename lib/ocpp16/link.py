"""One websocket life: reads, answers, and sends one CALL at a time. What a message means: see inbound, served.

Redialling is the charge point's job. Sources: OCPP-J 1.6, sections 4.1 and 4.2.
"""

import asyncio

from cold import cold


class Link:
    """The RPC side of one connection of charge point `cp`.

    ws -- an open websocket with `recv`, `send` and `close` (see lib/wsclient); `close` ends a `recv` that waits
    pending -- the Call whose answer is awaited, or None
    """

    def __init__(self, cp, ws):
        self._cp = cp
        self._ws = ws
        self._error = None  # what ended the sending side
        self.pending = None
        self.event = asyncio.Event()  # the pending call has its answer

    async def run(self):
        """Serve until the connection breaks; raises what ended it. Both directions end together."""
        sender = asyncio.create_task(self._transmit())
        try:
            while True:
                answer = self._answer([await self._ws.recv()])
                if hasattr(answer, "send"):
                    answer = await answer  # a handler that takes time
                if answer is not None:
                    await self._ws.send(answer)
                    answer = None  # it may be long
                    self._cp.answered()
        except Exception as exc:  # noqa: BLE001 - what the sender met came first
            raise self._error or exc
        finally:
            sender.cancel()

    def _answer(self, taken):
        """What to send for a message, or None. It is taken out of the list: nobody keeps it while it is served."""
        found = cold("ocpp16.inbound").take(self._cp, self, taken.pop())
        return cold("ocpp16.served").answer(self._cp, *found) if type(found) is tuple else found

    async def _transmit(self):
        outbox = self._cp.outbox
        try:
            while True:
                outbox.event.clear()
                call, wait_ms = outbox.next(self._cp.online)
                if call is None:
                    await wait_event(outbox.event, wait_ms)
                    continue
                text = outbox.payload(call)
                self.pending = call
                self.event.clear()
                await self._ws.send('[2,"%s","%s",%s]' % (call.uid, call.action, text))
                text = None
                await wait_event(self.event, self._cp.timeout_ms(call))
                if self.pending is call:
                    self.pending = None
                    cold("ocpp16.inbound").timed_out(self._cp, call)
        except Exception as exc:  # noqa: BLE001 - handed on by run(), which ends as soon as nothing more can come
            self._error = exc
            await self._ws.close()


async def wait_event(event, ms):
    """Wait for the event, at most `ms` (None: for ever). Returns without a result either way."""
    if ms is None:
        await event.wait()
        return
    try:
        await asyncio.wait_for_ms(event.wait(), ms)
    except asyncio.TimeoutError:
        pass
