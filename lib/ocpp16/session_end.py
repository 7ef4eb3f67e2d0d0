"""The end of a charging session. A cold module (see lib/cold.py).

Called by a connector when power is off and the meter final, and again at the next look when it failed (no memory, no
file). Sources: OCPP 1.6 edition 2, sections 4.9 and 4.10.
"""

import json

from cold import cold
from micropython import const

from .outbox import KIND_TX, TX

_TRIES = const(30)  # to forget a transaction: 3 s
_NEEDED = (
    "ocpp16.session_values", "ocpp16.session_record", "ocpp16.metervalues", "ocpp16.timestamp", "ocpp16.statuses",
)  # fmt: skip


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
    if not cold("ocpp16.session_record").forget(connector) and tx.done < _TRIES:
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
    values = cold("ocpp16.session_values")
    values.note(connector, tx, tx.stop_uptime, "Transaction.End")
    cold("ocpp16.session_record").remember(connector, tx)
    values.flush_begin(connector, tx)
    values.queue(connector, tx, tx.stop_uptime, values.values(connector, "Transaction.End"), True)


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
    stamp = cold("ocpp16.timestamp").stamp(tx, tx.stop_uptime)
    text += '"meterStop":%d,"timestamp":"%s","reason":"%s"' % (tx.meter_last, stamp, tx.reason)
    if tx.data:
        try:
            text += cold("ocpp16.stop_data").text_of(cp, tx, stamp)
        except Exception as exc:  # noqa: BLE001 - the stop without it is worth more than none
            cp.log.error("ocpp", exc)
    cp.outbox.add("StopTransaction", text + "}", KIND_TX, tx.key)
