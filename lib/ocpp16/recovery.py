"""After a boot: what was left open by a power cut. A cold module (see lib/cold.py)."""

from .transaction import Transaction


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
