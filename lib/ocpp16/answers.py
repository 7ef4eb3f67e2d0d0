"""What an answer, or none, does to the messages of an outbox. A cold module (see lib/cold.py)."""

from .outbox import KIND_STATUS, KIND_VENDOR


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
    for call in outbox.queue:
        if call.uid == uid and call.tries:
            return call
    return None


def link_lost(outbox):
    """The link broke: statuses are history, direct calls fail, the rest stays where it is."""
    outbox.queue = [call for call in outbox.queue if call.kind != KIND_STATUS]
    for call in list(outbox.calls):
        _settle(outbox, call, None, "link lost")


def set_tx_id(outbox, key, tx_id):
    """The central system named the transaction: durable before StartTransaction leaves the store."""
    outbox.tx_ids[key] = tx_id
    outbox.store.put("txids", list(outbox.tx_ids.items()))


def _settle(outbox, call, payload, error):
    if call in outbox.calls:
        outbox.calls.remove(call)
        if call.then is not None:
            call.then(payload, error)


def _finish(outbox, call, payload):
    outbox.on_answer(call, payload, True)
    if call.seq is not None and payload is None:
        outbox.store.bury(call.seq)
        call.seq = None
    outbox.discard(call)
    if call.tx in outbox.tx_ids and call.action == "StopTransaction":
        del outbox.tx_ids[call.tx]
        outbox.store.put("txids", list(outbox.tx_ids.items()))
