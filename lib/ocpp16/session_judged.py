"""What the central system says of a session's start, or does not. A cold module (see lib/cold.py).

Sources: OCPP 1.6 edition 2, sections 4.8 and 9.1.
"""

from cold import cold


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
                cold("ocpp16.session_record").remember(connector, tx)
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
    cold("ocpp16.session_record").remember(connector, tx)


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
