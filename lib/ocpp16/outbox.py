"""Everything the charge point still has to say, in the order it must be said.

Two lanes, one CALL at a time (OCPP-J 1.6, section 4.1.1):

* the *queue*: transaction messages, vendor DataTransfers and StatusNotifications, in order of
  their events. The first two kinds are stored before they are sent and leave the store only
  after their answer (or their last attempt); statuses are volatile and vanish with the link.
* *direct* calls (BootNotification, Authorize, Heartbeat, triggered messages): somebody waits
  for their answer; they go between two messages of the queue.

The queue lies in the store: in RAM is its head, and behind all of it the `tail`: statuses, what is
new and not urgent, and what could not be stored. Payloads are kept as JSON text, so that a repeated
message is the same to the byte. Two marks are filled in when a message is first sent: TX, the
transaction id, which may be unknown while offline, and TIME_MARK + "boot:uptime" for a time at which
the clock was not set yet.

What an answer does to the queue is in answers, how the tail is stored in unsaved, what is needed on
bad days in backlog.
"""

import asyncio

from cold import cold
from micropython import const

TX = "\x01"
TIME_MARK = "\x02"

KIND_TX = const(0)  # StartTransaction, StopTransaction, MeterValues of a transaction
KIND_VENDOR = const(1)  # ordered DataTransfer
KIND_STATUS = const(2)  # StatusNotification

_TAIL = const(40)
_SOON_MS = const(2000)  # what is answered within this time is not even offered to the store
_RETRY_MS = const(60_000)
_BACKLOG = "ocpp16.backlog"


class Call:
    """One CALL: in the queue, or direct."""

    def __init__(self, uid, action, text, kind, tx, keep, then=None, seq=0):
        self.uid = uid
        self.action = action
        self.text = text  # JSON text of the payload
        self.kind = kind  # None: direct
        self.tx = tx  # local key of the transaction (of a status: its connector's number), or None
        self.keep = keep  # False: may be thinned out when space runs short
        self.seq = seq  # number in the store; 0: not stored, -1: could not be. Of a status: of the message before it
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
        self.head = None  # first of the stored ones, if it was looked at
        self.tail = []
        self.last = 0  # number of the last stored one of this boot
        self.save_at = None  # uptime_ms at which the tail must be stored (0: durably); None: nothing of it needs that
        self.tx_ids = {}  # local transaction key -> transactionId, for what is still queued
        self.gave_up = self.thinned = 0
        self.boot = 0  # number of this boot
        self.uid = ""  # how its ids begin
        self._count = 0  # its messages
        cold(_BACKLOG).open_outbox(self)

    # -- putting in

    def direct(self, action, text="{}", then=None):
        """Queue a direct call. then(payload, None) gets its answer, or then(None, error text)."""
        self.calls.append(self._new(action, text, None, None, True, then))

    def add(self, action, text, kind, tx=None, urgent=True, keep=True, first=False):
        """Queue a message. urgent -- durable when this returns; False: within 62 s, or never for a status.

        keep -- False: may be thinned out when space runs short. When storing fails the message is still sent, from
        RAM; the failure is logged, and storing tried again.
        first -- a status that goes before everything that waits: after a reconnect.
        """
        call = self._new(action, text, kind, tx, keep)
        tail = self.tail
        tail.insert(0 if first else len(tail), call)
        if kind == KIND_STATUS:
            call.seq = 0 if first else self.last
            urgent = len(tail) > _TAIL
        elif self.save_at is None:
            self.save_at = self.clock.uptime_ms() + _SOON_MS
        if urgent:
            self.save_at = 0
            self.tick()

    def _new(self, *what):
        self._count += 1
        self.event.set()
        return Call(self.uid + str(self._count), *what)

    def tick(self):
        """Call about once a second: stores what has waited long enough."""
        at = self.save_at
        if at is not None and self.clock.uptime_ms() >= at:
            self.save_at = None
            try:
                cold("ocpp16.unsaved").save(self, not at)
            except Exception as exc:  # noqa: BLE001 - what is in RAM is sent from there
                self.log.error("outbox", exc)
                self.save_at = self.clock.uptime_ms() + _RETRY_MS
        self.store.tick()

    # -- taking out

    def next(self, accepted):
        """Return (call, wait_ms): the call to send now or None, and how long until one may be due (None: unknown).

        accepted -- False before BootNotification is accepted: only direct calls go.
        """
        if self.calls:
            return self.calls[0], 0
        if not accepted:
            return None, None
        call = self.head
        if call is None and self.store.pending(0, 1):
            call = self.head = cold(_BACKLOG).first(self)
        tail = self.tail
        if tail and (call is None or (tail[0].kind == KIND_STATUS and tail[0].seq < call.seq)):
            call = tail[0]
        if call is None or call.kind == KIND_STATUS:
            return call, 0 if call else None
        wait = call.not_before - self.clock.uptime_ms()
        if wait <= 0:
            return call, 0
        if call.kind == KIND_TX:  # behind it, in order, all but the statuses wait
            for other in tail:
                if other.kind == KIND_STATUS:
                    return other, 0
        return None, wait  # of a vendor message: it is short, and what follows in a session tells the rest of the story

    def payload(self, call):
        """Text to send: marks filled in, once and for all repeats."""
        text = call.text
        if TIME_MARK in text:
            text = cold(_BACKLOG).with_times(self, text)
        if TX in text:
            text = text.replace(TX, str(self.tx_ids.get(call.tx, -1)))
        call.text = text
        return text

    def discard(self, call):
        """Take a call out of the queue and the store. Durable when this returns, but for MeterValues."""
        if call is self.head:
            self.head = None
        elif call in self.tail:
            self.tail.remove(call)
            if call.kind == KIND_STATUS:
                return
        if call.seq > 0:
            self.store.discard(call.seq, call.action != "MeterValues")
