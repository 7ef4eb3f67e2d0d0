"""The steps of a charging session: its start, its samples, its end. A cold module (see lib/cold.py).

Each is called by a connector when its time has come, and again at the next look when it failed (no memory, no file):
power is off before any step of an end, and goes on after the last step of a start.
Sources: OCPP 1.6 edition 2, sections 4.7, 4.8, 4.10, 5.11.
"""

import json

from cold import cold
from micropython import const

from .outbox import KIND_TX, TIME_MARK, TX
from .transaction import Transaction

_CHECKPOINT_MS = const(60_000)  # a power cut loses at most this much of a session's meter
_FIRST_MS = const(10_000)  # and this much of its beginning
_TRIES = const(30)  # to forget a transaction: 3 s

_RECORD = (  # attributes of a transaction that are stored, in this order, with their types; a capital: or None
    "key:i id_tag:s boot:i start_uptime:i start_utc:I meter_start:i id:I stop_uptime:i meter_last:i reason:S "
    "stop_id_tag:S parent:S accepted:B data:L extra:"
).split()
_ENERGY = ("Energy.Active.Import.Register",)  # where no measurand is configured
_NEEDED = ("ocpp16.metervalues", "ocpp16.timestamp", "ocpp16.statuses")  # by an end


def plug_changed(connector, plugged):
    """A vehicle came or left."""
    connector.plugged = plugged
    if plugged:
        connector.update_status()  # Preparing goes out before the vehicle's data
        connector.cp.hooks.plugged_in(connector)
        return
    if connector.transaction is None:
        connector.id_tag = None
    connector.cp.hooks.unplugged(connector)


def begin(connector, now):
    """Start the transaction of the accepted id tag; StartTransaction is queued."""
    cp, evse = connector.cp, connector.evse
    cp.hooks.before_start(connector)
    key = cp.store.get("txkey", 0) + 1
    cp.store.put("txkey", key, False)
    if connector.profile is not None:
        try:
            cold("ocpp16.charging_profiles").adopt(cp, connector.profile, connector.id, key)
        except OSError as exc:  # no session without the limit that was promised for it
            cp.log.error("ocpp", exc)
            connector.claim(None)
            return
    tx = Transaction(key, connector.id_tag, cp.outbox.boot, now)
    tx.parent = connector.parent
    tx.start_utc = cp.clock.utc_at(now)
    evse.session_begin(tx)
    tx.meter_start = tx.meter_last = evse.energy_wh()
    values = _values(connector, "Transaction.Begin")
    _note(connector, tx, now, "Transaction.Begin")
    interval_ms = cp.config.get("MeterValueSampleInterval") * 1000
    _save(connector, tx)
    text = '{"connectorId":%d,"idTag":%s,"meterStart":%d,"timestamp":"%s"' % (
        connector.id,
        json.dumps(tx.id_tag),
        tx.meter_start,
        _stamp(tx, now),
    )
    if cp.reserved_until is not None:
        reservation_id = cold("ocpp16.reservations").take(cp, connector.id, tx.id_tag, tx.parent)
        if reservation_id is not None:
            text += ',"reservationId":%d' % reservation_id
    cp.outbox.add("StartTransaction", text + "}", KIND_TX, key)
    for other in cp.connectors:
        if other.id_tag == tx.id_tag:  # the tag waited for the first vehicle, wherever it came
            other.id_tag = None
    connector.finishing = False
    connector.locked = True
    connector.opens = None
    connector.info = ""
    connector.checkpoint_at = now + _FIRST_MS
    connector.interval_ms = interval_ms
    connector.sample_at = now + interval_ms
    connector.values = values
    connector.transaction = tx
    connector.profile = connector.limit = None
    if cp.charging is not None:
        cp.charging.changed(True)
    cp.log.info("ocpp", "connector %d: transaction starts" % connector.id)
    if not cp.online:
        connector.permit()  # offline rules: the tag was accepted before; the answer judges later


def start_answered(cp, call, payload, final):
    """StartTransaction was answered (payload), failed once (None, False), or was given up (None, True)."""
    if payload is not None:
        cold("ocpp16.answers").set_tx_id(cp.outbox, call.tx, payload["transactionId"])
    for connector in cp.connectors:
        tx = connector.transaction
        if tx is not None and tx.key == call.tx:
            if payload is not None:
                _judged(connector, tx, payload)
            elif final:
                tx.id = -1
                _remember(connector, tx, cp.clock.uptime_ms() if tx.reason is None else tx.stop_uptime)
            connector.permit()


def _judged(connector, tx, conf):
    tx.id = conf["transactionId"]
    info = conf["idTagInfo"]
    tx.accepted = info["status"] == "Accepted"
    tx.parent = info.get("parentIdTag") or tx.parent
    if not tx.accepted:
        connector.cp.log.warn("ocpp", "id tag refused: " + info["status"])
        allowance_wh = connector.cp.config.get("MaxEnergyOnInvalidId", 0)
        if allowance_wh:
            tx.allowed_wh = connector.evse.energy_wh() + allowance_wh
        else:
            refuse(connector, tx)
    _remember(connector, tx, connector.cp.clock.uptime_ms() if tx.reason is None else tx.stop_uptime)


def refuse(connector, tx):
    """The running transaction of a refused tag gets no more energy."""
    tx.allowed_wh = None
    if connector.cp.config.get("StopTransactionOnInvalidId"):
        connector.stop("DeAuthorized")
    else:
        connector.evse.permit(False)


def link_lost(connector):
    """Nobody will answer StartTransaction soon: go on with what was accepted before; forget what was told."""
    connector.told = None
    tx = connector.transaction
    if tx is not None and tx.accepted is None:
        connector.permit()


def checkpoint(connector, tx, now):
    """Remember what a power cut must not take."""
    _remember(connector, tx, now, True)
    connector.checkpoint_at = now + _CHECKPOINT_MS


def _remember(connector, tx, uptime, urgent=False):
    """Store the meter, durable with the next message or now (urgent); `uptime` is now, or the moment of the stop."""
    tx.stop_uptime = uptime
    tx.meter_last = max(tx.meter_last, connector.evse.energy_wh())
    tx.extra = connector.cp.hooks.checkpoint(connector, tx)
    _save(connector, tx, urgent)


def sample(connector, tx, now):
    """Queue the sample that is due. Late, it keeps the time it was due; what was missed is skipped, not made up.

    Sampling times are absolute: start + n * interval, never "after the last one".
    """
    late = (now - connector.sample_at) // connector.interval_ms * connector.interval_ms
    due = connector.sample_at + late
    values = _values(connector, "Sample.Periodic")
    _note(connector, tx, due, "Sample.Periodic")
    flush_begin(connector, tx)
    _queue_values(connector, tx, due, values, False)
    connector.sample_at = due + connector.interval_ms


def sample_aligned(connector, tx, stamp):
    """Queue a sample of the clock grid, with the time of the grid."""
    measurands = connector.cp.config.get("MeterValuesAlignedData") or _ENERGY
    metervalues = cold("ocpp16.metervalues")
    values = metervalues.sampled_values(connector.evse, measurands, "Sample.Clock")
    if connector.cp.config.get("StopTxnAlignedData"):
        cold("ocpp16.stop_data").note(connector, tx, (None, stamp), "Sample.Clock")
    flush_begin(connector, tx)
    if values:
        text = metervalues.payload(connector.id, stamp, values)
        connector.cp.outbox.add("MeterValues", text, KIND_TX, tx.key, False, False)


def flush_begin(connector, tx):
    """Queue the sample of the start, once: right after the first status of the session."""
    if connector.values is not None:
        _queue_values(connector, tx, tx.start_uptime, connector.values, True)
        connector.values = None


def end(connector, tx):
    """Power is off and the meter final: queue all that ends the session.

    A step that fails is logged, tried once more, and passed over; what it says, it says last, so nothing is said twice.
    StopTransaction is tried until it is queued, and only then the transaction is forgotten.
    """
    cp = connector.cp
    for name in _NEEDED:
        cold(name)  # what cannot be loaded now is waited for, not passed over
    steps = (_last_values, cp.hooks.session_ended, _tell_finishing)
    while tx.done < len(steps):
        step = steps[tx.done]
        tx.done += 1
        for _ in range(2):
            try:
                step(connector, tx)
                break
            except Exception as exc:  # noqa: BLE001 - see above
                cp.log.error("ocpp", exc)
    if tx.done == len(steps):
        queue_stop(cp, tx)
        tx.done += 1
    if not _forget(connector) and tx.done < _TRIES:
        tx.done += 1
        return  # tried again at the next look: a record that stays would end the session once more after a boot
    connector.finishing = True
    connector.opens = _opener(connector, tx)
    connector.locked = connector.opens is not None
    connector.transaction = None
    if cp.charging is not None:
        cp.charging.changed()
    cp.log.info("ocpp", "connector %d: transaction ended, %s" % (connector.id, tx.reason))


def _opener(connector, tx):
    """The id tag for which the plug stays locked: the tag was refused, or the cable is to stay. None: it is opened."""
    if not getattr(connector.evse, "has_lock", False):
        return None
    if tx.reason == "DeAuthorized" or (
        tx.reason == "EVDisconnected" and not connector.cp.config.get("UnlockConnectorOnEVSideDisconnect")
    ):
        return tx.id_tag
    return None


def _last_values(connector, tx):
    _note(connector, tx, tx.stop_uptime, "Transaction.End")
    _remember(connector, tx, tx.stop_uptime)
    flush_begin(connector, tx)
    _queue_values(connector, tx, tx.stop_uptime, _values(connector, "Transaction.End"), True)


def _tell_finishing(connector, tx):
    """The status follows the SessionSummary and goes before StopTransaction."""
    connector.finishing = True
    connector.info = "EV side disconnected" if tx.reason == "EVDisconnected" else ""
    connector.transaction = None
    try:
        connector.update_status()
    finally:
        connector.transaction = tx


def queue_stop(cp, tx):
    """Queue the StopTransaction of an ended transaction."""
    text = '{"transactionId":%s,' % TX
    if tx.stop_id_tag is not None:
        text += '"idTag":%s,' % json.dumps(tx.stop_id_tag)
    stamp = _stamp(tx, tx.stop_uptime)
    text += '"meterStop":%d,"timestamp":"%s","reason":"%s"' % (tx.meter_last, stamp, tx.reason)
    if tx.data:
        try:
            text += cold("ocpp16.stop_data").text_of(cp, tx, stamp)
        except Exception as exc:  # noqa: BLE001 - the stop without it is worth more than none
            cp.log.error("ocpp", exc)
    cp.outbox.add("StopTransaction", text + "}", KIND_TX, tx.key)


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


def _save(connector, tx, urgent=False):
    try:
        record = [getattr(tx, column.partition(":")[0]) for column in _RECORD]
        connector.cp.store.put("tx%d" % connector.id, record, urgent)
    except Exception as exc:  # noqa: BLE001 - the session goes on, whatever the storage does
        connector.cp.log.error("ocpp", exc)


def _forget(connector):
    try:
        connector.cp.store.put("tx%d" % connector.id, None, False)
        return True
    except Exception as exc:  # noqa: BLE001 - recovery sees a StopTransaction that is still queued
        connector.cp.log.error("ocpp", exc)
        return False


def _stamp(tx, uptime):
    """Timestamp text for JSON at that uptime, or the mark the outbox resolves later."""
    if tx.start_utc is None:
        return "%s%d:%d%s" % (TIME_MARK, tx.boot, uptime, TIME_MARK)
    return cold("ocpp16.timestamp").format_utc(tx.start_utc + (uptime - tx.start_uptime) // 1000)


def _values(connector, context):
    measurands = connector.cp.config.get("MeterValuesSampledData") or _ENERGY
    return cold("ocpp16.metervalues").sampled_values(connector.evse, measurands, context)


def _note(connector, tx, uptime, context):
    """For StopTransaction, where it is to carry samples."""
    try:
        if connector.cp.config.get("StopTxnSampledData"):
            stamps = _stamp(tx, tx.start_uptime), _stamp(tx, uptime)
            cold("ocpp16.stop_data").note(connector, tx, stamps, context)
    except Exception as exc:  # noqa: BLE001 - the session goes on without
        connector.cp.log.error("ocpp", exc)


def _queue_values(connector, tx, uptime, values, keep):
    if values:
        text = cold("ocpp16.metervalues").payload(connector.id, _stamp(tx, uptime), values)
        connector.cp.outbox.add("MeterValues", text, KIND_TX, tx.key, False, keep)
