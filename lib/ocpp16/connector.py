"""One connector: who may charge, the transaction, and the status that follows from both.

The hardware side is an `Evse` (see README.md): questions and one output. Nothing here
blocks; `poll` is called at least every 100 ms and whenever the hardware side has news.
Sources: OCPP 1.6 edition 2, sections 3.5-3.7, 4.8-4.10, 5.11.
"""

import json

from micropython import const

from . import metervalues, status
from .outbox import KIND_TX, TX
from .transaction import Transaction

_START_GRACE_MS = const(15_000)  # a started transaction stays Preparing this long until energy is offered
_CHECKPOINT_MS = const(60_000)  # a power cut loses at most this much of a session's meter


class Connector:
    """Connector `id` (>= 1) of charge point `cp` with its `evse`.

    transaction -- the running Transaction, also while its output is being switched off; None otherwise.
    """

    def __init__(self, cp, connector_id, evse):
        self._cp = cp
        self.id = connector_id
        self.evse = evse
        self.transaction = None
        self.plugged = False
        self._claim = None  # accepted id tag that waits for the vehicle
        self._claim_since = 0  # uptime ms
        self.finishing = False  # a transaction ended and its vehicle has not left
        self._info = ""
        self._schedule = None
        self._begin_values = None  # the sample at the start, sent right after the first status of the session
        self._next_checkpoint = 0
        self._reported = None  # (status, errorCode, vendorErrorCode, info) last queued; None: to be told
        self._candidate = None
        self._candidate_since = 0

    # -- what others ask for

    def can_start(self, id_tag=None):
        """Could a session start here, now or as soon as a vehicle is plugged in?

        A connector that already waits for the vehicle of another tag cannot; the same tag again can.
        """
        if self.transaction is not None or self.evse.fault() is not None:
            return False
        return self._claim is None or (id_tag is not None and self._claim.lower() == id_tag.lower())

    def claim(self, id_tag):
        """An id tag was accepted for this connector: start as soon as the vehicle is there."""
        self._claim = id_tag
        self._claim_since = self._cp.clock.uptime_ms()
        self.poke()

    def stop(self, reason, id_tag=None):
        """End the transaction: power off now, messages later. The first reason stays; no transaction: no effect."""
        tx = self.transaction
        if tx is None or tx.reason is not None:
            return
        self.evse.permit(False)
        tx.reason = reason
        tx.stop_id_tag = id_tag
        tx.last_uptime = self._cp.clock.uptime_ms()
        self.poke()

    def poke(self):
        self._cp.poke()

    # -- the loop

    def poll(self):
        """Take one look at everything and act on it."""
        now = self._cp.clock.uptime_ms()
        plugged = self.evse.plugged()
        tx = self.transaction
        if tx is not None:
            tx.anchor(self._cp.clock)
            if tx.reason is not None:
                if self.evse.is_settled():
                    self._end(tx)
            elif now >= self._next_checkpoint:
                self._checkpoint(tx, now)
        if plugged != self.plugged:
            self._plug_changed(plugged)
        if self._claim is not None:
            timeout_ms = self._cp.config.get("ConnectionTimeOut") * 1000
            if plugged and self.transaction is None and self.evse.fault() is None:
                self._begin(self._claim, now)
            elif now - self._claim_since >= timeout_ms:
                self._cp.log.info("ocpp", "connector %d: nobody plugged in, start dropped" % self.id)
                self._claim = None
        self._sample(now)
        self._update_status(now)

    def wait_ms(self, now):
        """Milliseconds until this connector must be polled next, at most 100."""
        wait = 100
        tx = self.transaction
        if tx is not None and tx.reason is None and self._schedule is not None:
            due = self._schedule.wait_ms(now)
            if due is not None and due < wait:
                wait = due
        return wait

    def _plug_changed(self, plugged):
        self.plugged = plugged
        if plugged:
            self._update_status(self._cp.clock.uptime_ms())  # Preparing goes out before the vehicle's data
            self._cp.hooks.plugged_in(self)
            return
        self.stop("EVDisconnected")
        if self.transaction is None:
            self._claim = None
        self._cp.hooks.unplugged(self)

    # -- transaction

    def _begin(self, id_tag, now):
        cp = self._cp
        cp.hooks.before_start(self)
        self._claim = None
        self.finishing = False
        key = cp.new_tx_key()
        tx = Transaction(key, self.id, id_tag, cp.outbox.boot, now, 0)
        tx.anchor(cp.clock)
        self.evse.session_begin(tx)
        tx.meter_start = tx.meter_last = self.evse.energy_wh()
        self._info = ""
        self.transaction = tx
        self._save(tx)
        cp.outbox.add(
            "StartTransaction",
            '{"connectorId":%d,"idTag":%s,"meterStart":%d,"timestamp":"%s"}'
            % (self.id, json.dumps(id_tag), tx.meter_start, tx.stamp(now)),
            KIND_TX,
            key,
        )
        self._next_checkpoint = now + _CHECKPOINT_MS
        self._schedule = metervalues.Schedule(now, self._interval_ms())
        self._begin_values = self._values("Transaction.Begin")
        cp.log.info("ocpp", "connector %d: transaction starts" % self.id)
        if not cp.online:
            self._permit(tx)  # offline rules: the tag was accepted before; the answer judges later

    def start_answered(self, conf, final):
        """The answer to StartTransaction, or None when an attempt failed (final: the last one)."""
        tx = self.transaction
        if conf is not None:
            tx.id = conf["transactionId"]
            tx.accepted = conf["idTagInfo"]["status"] == "Accepted"
            self._save(tx)
            if not tx.accepted:
                self._cp.log.warn("ocpp", "id tag refused: " + conf["idTagInfo"]["status"])
                if self._cp.config.get("StopTransactionOnInvalidId"):
                    self.stop("DeAuthorized")
                else:
                    self.evse.permit(False)
                return
        elif final:
            tx.id = -1
        self._permit(tx)

    def link_lost(self):
        """Nobody will answer StartTransaction soon: go on with what was accepted before; forget what was told."""
        tx = self.transaction
        self._reported = None
        if tx is not None and tx.accepted is None:
            self._permit(tx)

    def _permit(self, tx):
        if tx.reason is None and tx.accepted is not False:
            self.evse.permit(True)

    def _end(self, tx):
        cp = self._cp
        self._checkpoint(tx, tx.last_uptime)
        self._flush_begin(tx)
        self._queue_values(tx, tx.last_uptime, self._values("Transaction.End"), keep=True)
        self.transaction = None
        self._schedule = None
        self.finishing = True
        self._info = "EV side disconnected" if tx.reason == "EVDisconnected" else ""
        cp.hooks.session_ended(self, tx)
        self._update_status(cp.clock.uptime_ms())
        self.queue_stop(tx)
        cp.log.info("ocpp", "connector %d: transaction ended, %s" % (self.id, tx.reason))

    def queue_stop(self, tx):
        """Queue the StopTransaction of an ended transaction, and forget that it ran."""
        text = '{"transactionId":%s,' % TX
        if tx.stop_id_tag is not None:
            text += '"idTag":%s,' % json.dumps(tx.stop_id_tag)
        text += '"meterStop":%d,"timestamp":"%s","reason":"%s"}' % (tx.meter_last, tx.stamp(tx.last_uptime), tx.reason)
        self._cp.outbox.add("StopTransaction", text, KIND_TX, tx.key)
        self._cp.store.put("tx%d" % self.id, None)

    def _checkpoint(self, tx, uptime):
        """Remember the meter; `uptime` is now, or the moment of the stop."""
        tx.last_uptime = uptime
        tx.meter_last = max(tx.meter_last, self.evse.energy_wh())
        tx.extra = self._cp.hooks.checkpoint(self, tx)
        self._next_checkpoint = uptime + _CHECKPOINT_MS
        self._save(tx)

    def _save(self, tx):
        try:
            self._cp.store.put("tx%d" % self.id, tx.record())
        except OSError as exc:
            self._cp.log.error("ocpp", exc)

    # -- meter values

    def _interval_ms(self):
        return self._cp.config.get("MeterValueSampleInterval") * 1000

    def interval_changed(self):
        """MeterValueSampleInterval has a new value: the schedule starts again now."""
        if self._schedule is not None:
            self._schedule = metervalues.Schedule(self._cp.clock.uptime_ms(), self._interval_ms())

    def _values(self, context):
        return metervalues.sampled_values(self.evse, self._cp.config.get("MeterValuesSampledData"), context)

    def _sample(self, now):
        tx = self.transaction
        if tx is None or tx.reason is not None or self._schedule.wait_ms(now) != 0:
            return
        due = self._schedule.take(now)
        values = self._values("Sample.Periodic")
        self._flush_begin(tx)
        self._queue_values(tx, due, values)

    def _flush_begin(self, tx):
        values, self._begin_values = self._begin_values, None
        if values:
            self._queue_values(tx, tx.start_uptime, values, keep=True)

    def _queue_values(self, tx, uptime, values, keep=False):
        if values:
            self._cp.outbox.add(
                "MeterValues",
                metervalues.payload(self.id, tx.stamp(uptime), values),
                KIND_TX,
                tx.key,
                urgent=False,
                keep=keep,
            )

    # -- status

    def _derive(self, now):
        tx = self.transaction
        fault = self.evse.fault()
        offering = tx is not None and tx.reason is None and self.evse.evse_ready()
        if offering:
            tx.offered = True
        state = status.derive(
            fault is not None,
            True,
            self.plugged,
            self._claim is not None,
            tx is not None,
            tx is not None and not tx.offered and now - tx.start_uptime < _START_GRACE_MS,
            offering,
            self.evse.ev_ready(),
            self.finishing,
        )
        if fault is not None:
            return (state,) + fault
        return (state, "NoError", "", self._info if state == status.FINISHING else "")

    def _update_status(self, now):
        tx = self.transaction
        if tx is not None and tx.reason is not None:
            return  # being switched off: SessionSummary goes out before the next status
        if self.finishing and not self.plugged and self._told_finishing():
            self.finishing = False
        told = self._derive(now)
        if told != self._candidate:
            self._candidate = told
            self._candidate_since = now
        if not self._cp.online or told == self._reported:
            return
        hold_ms = self._cp.config.get("MinimumStatusDuration") * 1000
        if told[0] != status.FAULTED and self._reported and now - self._candidate_since < hold_ms:
            return
        self._reported = told
        self._cp.outbox.status(self.id, self._cp.status_text(self.id, *told))
        if self._begin_values is not None and told[0] != status.PREPARING:
            self._flush_begin(tx)

    def _told_finishing(self):
        """The end of the session shows as Finishing once, even when the vehicle is already gone."""
        return not self._cp.online or self._reported is None or self._reported[0] in (status.FINISHING, status.FAULTED)

    def announce(self):
        """Text of the current status, for the start of a connection."""
        self._reported = self._candidate = self._derive(self._cp.clock.uptime_ms())
        return self._cp.status_text(self.id, *self._reported)
