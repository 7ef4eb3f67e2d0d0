"""Core profile: configuration, remote start and stop, DataTransfer.

Source: OCPP 1.6 edition 2, sections 5.3, 5.6, 5.8, 5.11 and 5.12.
"""

from cold import cold

NAME = "Core"


def on_GetConfiguration(cp, payload):
    return cp.config.get_configuration(payload.get("key"))


def on_ChangeConfiguration(cp, payload):
    return {"status": cp.config.change(payload["key"], payload["value"])}


def on_DataTransfer(cp, payload):
    handler = cp.data_transfer_handlers.get(payload["vendorId"])
    if handler is None:
        return {"status": "UnknownVendorId"}
    status, data = handler(payload.get("messageId"), payload.get("data"))
    return {"status": status} if data is None else {"status": status, "data": data}


def on_RemoteStartTransaction(cp, payload):
    """Accepted means "will try": the answer goes first, then Authorize (if configured), then the start."""
    id_tag = payload["idTag"]
    tags = cold("ocpp16.tags")
    connector = tags.startable(cp, payload.get("connectorId", 0), id_tag) if cp.online else None
    if connector is None:
        return {"status": "Rejected"}
    if cp.config.get("AuthorizeRemoteTxRequests"):
        cp.after_answer(lambda: tags.authorize(cp, id_tag, connector))
    else:
        cp.after_answer(lambda: connector.claim(id_tag))
    return {"status": "Accepted"}


def on_RemoteStopTransaction(cp, payload):
    """Power goes off before the answer is even made; the messages of the end follow later."""
    for connector in cp.connectors:
        tx = connector.transaction
        if cp.online and tx is not None and tx.reason is None and tx.id == payload["transactionId"]:
            connector.stop("Remote", tx.id_tag)
            return {"status": "Accepted"}
    return {"status": "Rejected"}
