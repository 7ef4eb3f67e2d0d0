"""After a boot: what a power cut left open. A cold module (see lib/cold.py)."""

import json

from .outbox import Call
from .transaction import Transaction


def waiting_calls(store, log):
    """The stored calls, oldest first, as an outbox wants them; unreadable ones are logged and dropped."""
    calls = []
    for seq in store.pending():
        try:
            uid, action, kind, tx, keep, _text = json.loads(store.read(seq))
        except (KeyError, ValueError, TypeError):
            log.error("outbox", "record %d is unreadable" % seq)
            store.discard(seq)
            continue
        calls.append(Call(uid, action, None, kind, tx, keep, seq))
    return calls


def restore(cp, connector, reason):
    """Close the transaction that was running on a connector when the power went.

    Its SessionSummary and StopTransaction are queued from the last checkpoint, unless they are there already: the cut
    may have come at any point of its end.
    """
    name = "tx%d" % connector.id
    record = cp.store.get(name)
    if record is None:
        return
    try:
        tx = _from_record(record)
    except ValueError:
        cp.log.error("ocpp", "transaction record of connector %d is unreadable" % connector.id)
        cp.store.put(name, None)
        return
    outbox = cp.outbox
    started = tx.id is not None or tx.key in outbox.tx_ids or outbox.has("StartTransaction", tx.key)
    if not started or outbox.has("StopTransaction", tx.key):
        cp.store.put(name, None)  # cut before its start was queued, or after its end was
        return
    if tx.reason is None:
        tx.reason = reason
    if not outbox.has("DataTransfer", tx.key):
        cp.hooks.session_ended(connector, tx)
    connector.queue_stop(tx)
    connector.finishing = True


def _from_record(record):
    """Rebuild a transaction from `record()`; ValueError when it does not have that shape."""
    if not isinstance(record, list) or len(record) != len(Transaction.FIELDS):
        raise ValueError("transaction record")
    tx = Transaction(None, None, None, None, None, None)
    for name, value in zip(Transaction.FIELDS, record):
        setattr(tx, name, value)
    return tx
