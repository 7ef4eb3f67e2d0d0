"""After a boot: what a power cut or a restart left open. A cold module (see lib/cold.py)."""

from cold import cold
from micropython import const

_SLOTS = const(48)


def profile_slots(cp):
    """Bit mask of the charging profiles in the store; their names are those of charging_profiles."""
    return sum([1 << slot for slot in range(_SLOTS) if cp.store.get("profile%d" % slot) is not None])

_THERE = "there"  # ids of connectors with the vehicle of an ended session


def restore(cp, connector, reason):
    """Close the transaction that was running on a connector when the power went.

    Its SessionSummary and StopTransaction are queued from the last checkpoint, unless they are there already: the cut
    may have come at any point of its end.
    """
    if cp.charging is not None and cp.charging.slots is None:
        cp.charging.slots = profile_slots(cp)
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
        _vehicle_is_there(cp, connector)
    # else: cut before its start was queued, or after its end was
    cp.store.put(name, None)


def leave(cp):
    """Before a restart that was asked for: remember the vehicles that are still there after their sessions."""
    ids = [connector.id for connector in cp.connectors if connector.finishing and connector.plugged]
    if ids:
        cp.store.put(_THERE, ids)


def come_back(cp):
    """After the boot: what `leave` has remembered."""
    ids = cp.store.get(_THERE, [])
    for connector in cp.connectors:
        if connector.id in ids:
            _vehicle_is_there(cp, connector)
    if ids:
        cp.store.put(_THERE, None)


def _vehicle_is_there(cp, connector):
    """Finishing until the hardware knows more: no Available in between, no VehicleInfo again."""
    connector.finishing = connector.plugged = True
    resumed = getattr(cp.hooks, "resumed", None)
    if resumed is not None:
        resumed(connector)
