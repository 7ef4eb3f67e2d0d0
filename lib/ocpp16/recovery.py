"""After a boot: what a power cut or a restart left open. A cold module (see lib/cold.py).

Source: OCPP 1.6 edition 2, section 4.10; test case TC_032_2.
"""

from cold import cold
from micropython import const

_RESUMED = "resumed"  # value in the store: [key, Wh] of the transaction that was resumed last
_FIRST_MS = const(10_000)  # from then on a second power cut is another one, not the same again
_START, _STOP, _VENDOR = 1, 2, 3  # as in the tags of stored calls, see backlog
_SLOTS = const(48)
_THERE = "there"  # ids of connectors with the vehicle of an ended session


def profile_slots(cp):
    """Bit mask of the charging profiles in the store; their names are those of charging_profiles."""
    return sum([1 << slot for slot in range(_SLOTS) if cp.store.get("profile%d" % slot) is not None])


def restore(cp, connector, reason, resume):
    """End the transaction that was running on a connector when the power went, or have it go on (resume).

    Its SessionSummary and StopTransaction are queued from the last checkpoint, unless they are there already: the cut
    may have come at any point of its end.
    """
    if cp.charging is not None and cp.charging.slots is None:
        cp.charging.slots = profile_slots(cp)
    name = "tx%d" % connector.id
    record = cp.store.get(name)
    if record is None:
        return
    try:
        tx = cold("ocpp16.session_record").restored(record)
    except ValueError:
        cp.log.error("ocpp", "transaction record of connector %d is unreadable" % connector.id)
        cp.store.put(name, None)
        return
    if tx.id is None:
        tx.id = cp.outbox.tx_ids.get(tx.key)
    waits = cold("ocpp16.backlog").waits(cp.outbox, tx.key)
    if (tx.id is not None or _START in waits) and _STOP not in waits:
        if resume and _VENDOR not in waits and _go_on(cp, connector, tx):
            return
        if tx.reason is None:
            tx.reason = reason
        if _VENDOR not in waits:
            cp.hooks.session_ended(connector, tx)
        cold("ocpp16.session_end").queue_stop(cp, tx)
        connector.finishing = True
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
            connector.finishing = True
            _vehicle_is_there(cp, connector)
    if ids:
        cp.store.put(_THERE, None)


def _vehicle_is_there(cp, connector):
    """Until the hardware knows: no Available in between, no VehicleInfo again."""
    connector.plugged = True
    resumed = getattr(cp.hooks, "resumed", None)
    if resumed is not None:
        resumed(connector)


def _go_on(cp, connector, tx):
    """Have the transaction go on as soon as its vehicle is known to be there. False: it cannot.

    Not with a refused tag, not when the meter cannot continue where it was at the checkpoint, not when it is unknown
    how long ago the start was, and not again without any progress: a supply that breaks down under the load would do
    it for ever.
    """
    now = cp.clock.uptime_ms()
    progress = [tx.key, tx.meter_last]
    unknown_start = tx.start_utc is None and tx.boot != cp.outbox.boot
    if tx.reason is not None or tx.accepted is False or unknown_start or cp.store.get(_RESUMED) == progress:
        return False
    try:
        connector.evse.session_begin(tx)
        if connector.evse.energy_wh() != tx.meter_last:
            return False
    except Exception as exc:  # noqa: BLE001 - what the application kept there may be of another build
        cp.log.error("ocpp", exc)
        return False
    # From now on its times count in this boot; the dark hours are no part of its duration.
    tx.start_uptime = now - (tx.stop_uptime - tx.start_uptime)
    tx.stop_uptime = now
    tx.boot = cp.outbox.boot
    tx.start_utc = cp.clock.utc_at(tx.start_uptime)
    if tx.id is not None:
        tx.accepted = True
    cp.store.put(_RESUMED, progress)
    connector.transaction = tx
    connector.resuming = True
    connector.claimed_at = connector.checkpoint_at = now
    _vehicle_is_there(cp, connector)
    cp.log.info("ocpp", "connector %d: transaction goes on when its vehicle is there" % connector.id)
    return True


def decide(connector, plugged):
    """It is known now whether the vehicle of a resumed transaction is still there (None: nobody can tell)."""
    connector.resuming = False
    if plugged:
        now = connector.cp.clock.uptime_ms()
        connector.claimed_at = now
        connector.checkpoint_at = now + _FIRST_MS
        connector.locked = True
        connector.permit()
    else:
        connector.stop("PowerLoss")
