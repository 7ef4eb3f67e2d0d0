"""Everything the charge point still has to say, in the order it must be said.

Two lanes, one CALL at a time (OCPP-J 1.6, section 4.1.1):

* the *queue*: transaction messages, vendor DataTransfers and StatusNotifications, in order of
  their events. The first two kinds are stored before they are sent and leave the store only
  after their answer (or their last attempt); statuses are volatile and vanish with the link.
* *direct* calls (BootNotification, Authorize, Heartbeat, triggered messages): somebody waits
  for their answer; they go between two messages of the queue.

Payloads are kept as JSON text, so that a repeated message is the same to the byte. Two marks
are filled in when a message is first sent: TX, the transaction id, which may be unknown while
offline, and TIME_MARK + "boot:uptime" for a time at which the clock was not set yet.

What an answer does to the queue is in answers, what is needed on bad days in backlog.
"""

import asyncio
import json

from cold import cold
from micropython import const

TX = "\x01"
TIME_MARK = "\x02"

KIND_TX = const(0)  # StartTransaction, StopTransaction, MeterValues of a transaction
KIND_VENDOR = const(1)  # ordered DataTransfer
KIND_STATUS = const(2)  # StatusNotification

_MAX_QUEUE = const(120)  # stored and waiting messages; then MeterValues are thinned
_FLUSH_MS = const(60_000)  # MeterValues wait this long in RAM before they cost a flash write


class Call:
    """One CALL: in the queue, or direct."""

    def __init__(self, uid, action, text, kind=None, tx=None, keep=True, seq=None, then=None):
        self.uid = uid
        self.action = action
        self.text = text  # JSON text of the payload; None: only in the store
        self.kind = kind  # None: direct
        self.tx = tx  # local key of the transaction (of a status: its connector's number), or None
        self.keep = keep  # False: may be thinned out when space runs short
        self.seq = seq  # number in the store; None: not stored (yet)
        self.tries = 0  # sends that failed
        self.not_before = 0  # uptime_ms of the next attempt
        self.then = then  # direct: then(payload, None) with the answer, or then(None, error text)


class Outbox:
    """The queue and the direct calls. Owns their order and their storage.

    policy(call) -> (attempts in total, wait_ms before the next one).
    on_answer(call, payload, final) -- a queued call was answered (payload), failed once
    (None, False) or was given up (None, True).
    """

    def __init__(self, clock, store, log, policy, on_answer):
        self.clock = clock
        self.store = store
        self.log = log
        self.policy = policy
        self.on_answer = on_answer
        self.event = asyncio.Event()  # set when there may be something to send
        self.calls = []  # the direct ones
        self.queue = []
        self.tx_ids = {}  # local transaction key -> transactionId, for what is still queued
        self.gave_up = self.thinned = 0
        self.boot = 0  # number of this boot
        self.uid = ""  # how its ids begin
        self._count = 0  # its messages
        self._unsaved_since = None
        cold("ocpp16.backlog").open_outbox(self)

    # -- putting in

    def direct(self, action, text="{}", then=None):
        """Queue a direct call. then(payload, None) gets its answer, or then(None, error text)."""
        self.calls.append(self._new(action, text, then=then))

    def add(self, action, text, kind, tx=None, urgent=True, keep=True, first=False):
        """Queue a message. urgent -- durable when this returns; False: within 60 s, or never for a status.

        When storing fails the message is still sent, from RAM; the failure is logged, and storing tried again.
        first -- before everything that waits: the statuses after a reconnect.
        """
        self.queue.insert(0 if first else len(self.queue), self._new(action, text, kind, tx, keep))
        if urgent:
            self._flush()
        elif self._unsaved_since is None:
            self._unsaved_since = self.clock.uptime_ms()
        if len(self.queue) > _MAX_QUEUE:
            cold("ocpp16.backlog").thin(self)

    def _new(self, *what, **more):
        self._count += 1
        self.event.set()
        return Call(self.uid + str(self._count), *what, **more)

    def _flush(self):
        """Store every message that is in RAM only, in order."""
        self._unsaved_since = None
        for call in self.queue:
            if call.seq is None and call.kind != KIND_STATUS:
                try:
                    call.seq = self.store.append(
                        json.dumps((call.uid, call.action, call.kind, call.tx, call.keep, call.text))
                    )
                except Exception as exc:  # noqa: BLE001 - it will be sent all the same
                    self.log.error("outbox", exc)
                    self._unsaved_since = self.clock.uptime_ms()
                    return

    def tick(self):
        """Call about once a second: stores what has waited long enough."""
        since = self._unsaved_since
        if since is not None and self.clock.uptime_ms() - since >= _FLUSH_MS:
            self._flush()

    # -- taking out

    def next(self, accepted):
        """Return (call, wait_ms): the call to send now or None, and how long until one may be due (None: unknown).

        accepted -- False before BootNotification is accepted: only direct calls go.
        """
        if self.calls:
            return self.calls[0], 0
        wait = None
        if accepted:
            now = self.clock.uptime_ms()
            for call in self.queue:
                if call.kind == KIND_STATUS:
                    return call, 0
                if wait is not None:
                    continue  # behind a message that waits for its next attempt, in order
                if call.not_before <= now:
                    return call, 0
                wait = call.not_before - now
                if call.kind == KIND_VENDOR:
                    break  # its wait is short, and what follows in a session tells the rest of the story
        return None, wait

    def payload(self, call):
        """Text to send: marks filled in, once and for all repeats. None: unreadable, logged and dropped."""
        text = call.text
        if text is None or TIME_MARK in text:
            text = cold("ocpp16.backlog").text_of(self, call)
        if text is not None and TX in text:
            text = text.replace(TX, str(self.tx_ids.get(call.tx, -1)))
        call.text = text
        return text

    def discard(self, call):
        """Take a call out of the queue and the store."""
        if call.seq is not None:
            self.store.discard(call.seq)
        if call in self.queue:
            self.queue.remove(call)
