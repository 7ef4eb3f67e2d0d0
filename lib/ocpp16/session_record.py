"""What a power cut must not take of a session: its record in the store. A cold module (see lib/cold.py)."""

from micropython import const

from .transaction import Transaction

_CHECKPOINT_MS = const(60_000)  # a power cut loses at most this much of a session's meter

_RECORD = (  # attributes of a transaction that are stored, in this order, with their types; a capital: or None
    "key:i id_tag:s boot:i start_uptime:i start_utc:I meter_start:i id:I stop_uptime:i meter_last:i reason:S "
    "stop_id_tag:S parent:S accepted:B data:L extra:"
).split()


def checkpoint(connector, tx, now):
    """Remember what a power cut must not take."""
    remember(connector, tx, True)
    connector.checkpoint_at = now + _CHECKPOINT_MS


def remember(connector, tx, urgent=False):
    """Store the meter of now, or of the stop; durable with the next message, or now (urgent)."""
    if tx.reason is None:
        tx.stop_uptime = connector.cp.clock.uptime_ms()
    tx.meter_last = max(tx.meter_last, connector.evse.energy_wh())
    tx.extra = connector.cp.hooks.checkpoint(connector, tx)
    save(connector, tx, urgent)


def save(connector, tx, urgent=False):
    """Store a running transaction, durable with the next message or now (urgent). A failure is logged."""
    try:
        record = [getattr(tx, column.partition(":")[0]) for column in _RECORD]
        connector.cp.store.put("tx%d" % connector.id, record, urgent)
    except Exception as exc:  # noqa: BLE001 - the session goes on, whatever the storage does
        connector.cp.log.error("ocpp", exc)


def forget(connector):
    """There is no transaction any more. False: the store failed, which is logged."""
    try:
        connector.cp.store.put("tx%d" % connector.id, None, False)
        return True
    except Exception as exc:  # noqa: BLE001 - recovery sees a StopTransaction that is still queued
        connector.cp.log.error("ocpp", exc)
        return False


def restored(record):
    """Rebuild a transaction from its record; ValueError when it does not have that shape."""
    if not isinstance(record, list) or len(record) != len(_RECORD):
        raise ValueError("transaction record")
    tx = Transaction(None, None, None, None)
    for column, value in zip(_RECORD, record):
        name, _, kind = column.partition(":")
        types = {"i": int, "s": str, "b": bool, "l": list}
        fits = type(value) is types.get(kind.lower()) or (value is None and kind in "ISBL")
        if kind and not fits:
            raise ValueError(name)
        setattr(tx, name, value)
    return tx
