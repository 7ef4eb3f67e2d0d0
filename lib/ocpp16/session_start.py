"""The start of a charging session. A cold module (see lib/cold.py).

Called by a connector when its time has come, and again at the next look when it failed (no memory, no file): power
goes on after the last step of a start. Sources: OCPP 1.6 edition 2, sections 4.8 and 5.11.
"""

import json

from cold import cold
from micropython import const

from .outbox import KIND_TX
from .transaction import Transaction

_FIRST_MS = const(10_000)  # a power cut loses at most this much of a session's beginning


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
    measured = cold("ocpp16.session_values")
    values = measured.values(connector, "Transaction.Begin")
    measured.note(connector, tx, now, "Transaction.Begin")
    measured = None
    interval_ms = cp.config.get("MeterValueSampleInterval") * 1000
    cold("ocpp16.session_record").save(connector, tx)
    text = '{"connectorId":%d,"idTag":%s,"meterStart":%d,"timestamp":"%s"' % (
        connector.id,
        json.dumps(tx.id_tag),
        tx.meter_start,
        cold("ocpp16.timestamp").stamp(tx, now),
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
