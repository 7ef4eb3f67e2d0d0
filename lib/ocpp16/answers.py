"""What an answer, or none, does to the messages of an outbox. A cold module (see lib/cold.py)."""

from cold import cold
from micropython import const

from .outbox import KIND_STATUS, KIND_VENDOR

_NAMED = const(16)  # transactions that are named and not told ended: more than connectors


def answered(outbox, call, payload):
    """The call has its CALLRESULT. The handler runs before the message leaves the store."""
    if call.kind is None:
        _settle(outbox, call, payload, None)
    elif call.kind == KIND_STATUS:
        outbox.discard(call)
    elif call.kind == KIND_VENDOR and payload["status"] != "Accepted":
        refused(outbox, call, "status " + payload["status"])
    else:
        _finish(outbox, call, payload)


def refused(outbox, call, error):
    """CALLERROR, unusable answer, or none in time, while the link was up: one attempt is used up."""
    if call.kind is None:
        _settle(outbox, call, None, error)
        return
    if call.kind == KIND_STATUS:
        outbox.discard(call)
        return
    call.tries += 1
    attempts, wait_ms = outbox.policy(call)
    if call.tries < attempts:
        call.not_before = outbox.clock.uptime_ms() + wait_ms
        outbox.on_answer(call, None, False)
        return
    outbox.gave_up += 1
    outbox.log.error("outbox", "%s given up after %d attempts: %s" % (call.action, call.tries, error))
    _finish(outbox, call, None)


def waiting(outbox, uid):
    """The queued call with that id which waits for its next attempt, or None: a late answer still counts."""
    for call in [outbox.head] + outbox.tail:
        if call is not None and call.uid == uid and call.tries:
            return call
    return None


def link_lost(outbox):
    """The link broke: statuses are history, direct calls fail, the rest stays where it is."""
    outbox.tail = [call for call in outbox.tail if call.kind != KIND_STATUS]
    for call in list(outbox.calls):
        _settle(outbox, call, None, "link lost")


def set_tx_id(outbox, key, tx_id):
    """The central system named the transaction: durable when StartTransaction leaves the store."""
    outbox.tx_ids[key] = tx_id
    for old in sorted(outbox.tx_ids)[:-_NAMED]:
        del outbox.tx_ids[old]
    _save_ids(outbox)


def _save_ids(outbox):
    outbox.store.put("txids", list(outbox.tx_ids.items()) or None, False)


def _settle(outbox, call, payload, error):
    if call in outbox.calls:
        outbox.calls.remove(call)
        if call.then is not None:
            call.then(payload, error)


def _finish(outbox, call, payload):
    outbox.on_answer(call, payload, True)
    if payload is None and call.seq > 0 and call.action != "MeterValues":
        cold("ocpp16.dead_letters").bury(outbox, call)
    outbox.discard(call)
    if call.tx in outbox.tx_ids and call.action == "StopTransaction":  # not before: a cut in between would repeat it
        del outbox.tx_ids[call.tx]
        _save_ids(outbox)
