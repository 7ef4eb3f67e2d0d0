"""After a boot: what a power cut left open. A cold module (see lib/cold.py)."""

from cold import cold


def restore(cp, connector, reason):
    """Close the transaction that was running on a connector when the power went.

    Its SessionSummary and StopTransaction are queued from the last checkpoint, unless they are there already: the cut
    may have come at any point of its end.
    """
    session = cold("ocpp16.session")
    name = "tx%d" % connector.id
    record = cp.store.get(name)
    if record is None:
        return
    try:
        tx = session.restored(record)
    except ValueError:
        cp.log.error("ocpp", "transaction record of connector %d is unreadable" % connector.id)
        cp.store.put(name, None)
        return
    waiting = [call.action for call in cp.outbox.queue if call.tx == tx.key]
    started = tx.id is not None or tx.key in cp.outbox.tx_ids or "StartTransaction" in waiting
    if started and "StopTransaction" not in waiting:
        if tx.reason is None:
            tx.reason = reason
        if "DataTransfer" not in waiting:
            cp.hooks.session_ended(connector, tx)
        session.queue_stop(cp, tx)
        connector.finishing = connector.plugged = True  # until the hardware knows: no Available in between
        resumed = getattr(cp.hooks, "resumed", None)
        if resumed is not None:
            resumed(connector)
    # else: cut before its start was queued, or after its end was
    cp.store.put(name, None)
