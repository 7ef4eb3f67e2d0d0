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
        self.tx = tx  # local key of the transaction, or None
        self.keep = keep  # False: may be thinned out when space runs short
        self.seq = seq  # number in the store; None: not stored (yet)
        self.tries = 0  # sends that failed
        self.not_before = 0  # uptime_ms of the next attempt
        self.then = then  # direct: then(payload, None) with the answer, or then(None, error text)


class Outbox:
    """The queue and the direct calls. Owns their order, their storage and their retries.

    policy(call) -> (attempts in total, wait_ms before the next one).
    on_answer(call, payload, final) -- a queued call was answered (payload), failed once
    (None, False) or was given up (None, True).
    """

    def __init__(self, clock, store, log, policy, on_answer):
        self._clock = clock
        self._store = store
        self._log = log
        self._policy = policy
        self._on_answer = on_answer
        self.event = asyncio.Event()  # set when there may be something to send
        self._direct = []
        self.boot = store.get("boot", 0) + 1
        store.put("boot", self.boot)
        self._uid_prefix = "%x%s-" % (self.boot, _random_hex())
        self._uid_count = 0
        self.tx_ids = {}  # local transaction key -> transactionId, for what is still queued
        for key, tx_id in store.get("txids", ()):
            self.tx_ids[key] = tx_id
        self.gave_up = 0
        self.thinned = 0
        self._unsaved_since = None
        self._queue = cold("ocpp16.recovery").waiting_calls(store, log)

    # -- putting in

    def direct(self, action, text="{}", then=None):
        """Queue a direct call. then(payload, None) gets its answer, or then(None, error text)."""
        self._direct.append(Call(self._new_uid(), action, text, then=then))
        self.event.set()

    def status(self, connector_id, text):
        """Queue a StatusNotification; the connector number finds it again."""
        self._queue.append(Call(self._new_uid(), "StatusNotification", text, KIND_STATUS, connector_id))
        self.event.set()

    def status_first(self, calls):
        """Put (connector_id, text) statuses before everything that waits: the state after a reconnect."""
        self._queue[:0] = [Call(self._new_uid(), "StatusNotification", text, KIND_STATUS, n) for n, text in calls]
        self.event.set()

    def add(self, action, text, kind, tx=None, urgent=True, keep=True):
        """Queue a stored message. urgent -- durable when this returns; False: within 60 s.

        When storing fails the message is still sent, from RAM, and the failure is logged.
        """
        call = Call(self._new_uid(), action, text, kind, tx, keep)
        self._queue.append(call)
        if urgent:
            self.flush()
        elif self._unsaved_since is None:
            self._unsaved_since = self._clock.uptime_ms()
        if len(self._queue) > _MAX_QUEUE:
            self._thin()
        self.event.set()

    def flush(self):
        """Store every message that is in RAM only, in order."""
        self._unsaved_since = None
        for call in self._queue:
            if call.seq is None and call.kind != KIND_STATUS:
                try:
                    call.seq = self._store.append(
                        json.dumps((call.uid, call.action, call.kind, call.tx, call.keep, call.text))
                    )
                except OSError as exc:
                    self._log.error("outbox", exc)
                    return

    def tick(self):
        """Call about once a second: stores what has waited long enough."""
        since = self._unsaved_since
        if since is not None and self._clock.uptime_ms() - since >= _FLUSH_MS:
            self.flush()

    # -- asking

    def __len__(self):
        return len(self._queue) + len(self._direct)

    def has(self, action, tx):
        """Is a message of that action for that transaction still waiting?"""
        return any(call.action == action and call.tx == tx for call in self._queue)

    def next(self, accepted):
        """Return (call, wait_ms): the call to send now or None, and how long until one may be due (None: unknown).

        accepted -- False before BootNotification is accepted: only direct calls go.
        """
        if self._direct:
            return self._direct[0], 0
        if not accepted:
            return None, None
        now = self._clock.uptime_ms()
        wait = None
        for call in self._queue:
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
        if text is None:
            try:
                text = json.loads(self._store.read(call.seq))[5]
            except (KeyError, ValueError, IndexError, TypeError):
                self._log.error("outbox", "%s is unreadable" % call.action)
                self._discard(call)
                return None
        if TX in text:
            text = text.replace(TX, str(self.tx_ids.get(call.tx, -1)))
        while TIME_MARK in text:
            head, mark, tail = text.split(TIME_MARK, 2)
            text = head + self._late_time(mark) + tail
        call.text = text
        return text

    def _late_time(self, mark):
        from .timestamp import format_utc

        boot, uptime = mark.split(":")
        if int(boot) != self.boot:
            uptime = 0  # that boot never learnt the time: this boot's start is the latest it can have been
        return format_utc(self._clock.utc_at(int(uptime)))

    # -- taking out

    def answered(self, call, payload):
        """The call has its CALLRESULT. The handler runs before the message leaves the store."""
        if call.kind is None:
            self._settle_direct(call, payload, None)
        elif call.kind == KIND_STATUS:
            self._drop(call)
        elif call.kind == KIND_VENDOR and payload["status"] != "Accepted":
            self.refused(call, "status " + payload["status"])
        else:
            self._finish(call, payload)

    def refused(self, call, error):
        """CALLERROR, unusable answer, or none in time, while the link was up: one attempt is used up."""
        if call.kind is None:
            self._settle_direct(call, None, error)
            return
        if call.kind == KIND_STATUS:
            self._drop(call)
            return
        call.tries += 1
        attempts, wait_ms = self._policy(call)
        if call.tries < attempts:
            call.not_before = self._clock.uptime_ms() + wait_ms
            self._on_answer(call, None, False)
            return
        self.gave_up += 1
        self._log.error("outbox", "%s given up after %d attempts: %s" % (call.action, call.tries, error))
        self._finish(call, None)

    def find_waiting(self, uid):
        """The queued call with that id which waits for its next attempt, or None: a late answer still counts."""
        for call in self._queue:
            if call.uid == uid and call.tries:
                return call
        return None

    def link_lost(self):
        """The link broke: statuses are history, direct calls fail, the rest stays where it is."""
        self._queue = [call for call in self._queue if call.kind != KIND_STATUS]
        for call in list(self._direct):
            self._settle_direct(call, None, "link lost")

    def drop(self, action, tx):
        """Take waiting messages of that action and transaction key out, unsent."""
        for call in [c for c in self._queue if c.action == action and c.tx == tx]:
            self._discard(call)

    def set_tx_id(self, key, tx_id):
        """The CSMS named the transaction: durable before StartTransaction leaves the store."""
        self.tx_ids[key] = tx_id
        self._store.put("txids", list(self.tx_ids.items()))

    def _settle_direct(self, call, payload, error):
        if call in self._direct:
            self._direct.remove(call)
            if call.then is not None:
                call.then(payload, error)

    def _finish(self, call, payload):
        self._on_answer(call, payload, True)
        if call.seq is not None and payload is None:
            self._store.bury(call.seq)
            self._drop(call)
        else:
            self._discard(call)
        if call.tx in self.tx_ids and call.action == "StopTransaction":
            del self.tx_ids[call.tx]
            self._store.put("txids", list(self.tx_ids.items()))

    def _discard(self, call):
        if call.seq is not None:
            self._store.discard(call.seq)
        self._drop(call)

    def _drop(self, call):
        if call in self._queue:
            self._queue.remove(call)

    def _thin(self):
        """Drop every second MeterValues that may go, oldest first, not the ones that were already tried."""
        drop = False
        for call in [c for c in self._queue if not c.keep and not c.tries]:
            if drop:
                self._discard(call)
                self.thinned += 1
            drop = not drop

    def _new_uid(self):
        self._uid_count += 1
        return self._uid_prefix + str(self._uid_count)


def _random_hex():
    import binascii
    import os

    return str(binascii.hexlify(os.urandom(4)), "utf-8")
