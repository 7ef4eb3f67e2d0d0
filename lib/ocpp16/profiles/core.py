"""Core profile: what takes more than a line is in the room it concerns.

Source: OCPP 1.6 edition 2, sections 5.2-5.4, 5.6, 5.8, 5.11, 5.12, 5.14 and 5.18.
"""

from cold import cold


def on_GetConfiguration(cp, payload):
    return "ocpp16.config_answer", cp.config, payload.get("key")


def on_ChangeAvailability(cp, payload):
    return {"status": cold("ocpp16.availability").change(cp, payload["connectorId"], payload["type"])}


def on_ChangeConfiguration(cp, payload):
    key, value = payload["key"], payload["value"]
    status = cold("ocpp16.access").change(cp.access, key, value) if cp.access is not None else None
    status = status or cp.config.change(key, value)
    if key.lower() == "clockaligneddatainterval":
        cp.aligned_at = 0
    cp.poke()  # it counts from now on
    return {"status": status}


def on_DataTransfer(cp, payload):
    handler = cp.data_transfer_handlers.get(payload["vendorId"])
    if handler is None:
        return {"status": "UnknownVendorId"}
    status, data = handler(payload.get("messageId"), payload.get("data"))
    return {"status": status} if data is None else {"status": status, "data": data}


def on_ClearCache(cp, payload):
    return {"status": cold("ocpp16.tag_info").clear_cache(cp)}


def on_RemoteStartTransaction(cp, payload):
    """Accepted means "will try": the answer goes first, then Authorize (if needed), then the start.

    Without smart charging a charging profile is passed over.
    """
    profile = payload.get("chargingProfile", ())
    if profile and cp.charging is not None:
        profile = cold("ocpp16.profiles.smart_charging").start_profile(cp, profile)
        if profile is None:
            return {"status": "Rejected"}
    else:
        profile = ()
    id_tag = payload["idTag"]
    listed, cached = cold("ocpp16.auth_store").known(cp, id_tag)  # here: one large room after the other
    status = cold("ocpp16.tags").remote_start(cp, id_tag, listed or cached, payload.get("connectorId", 0), profile)
    return {"status": status}


def on_RemoteStopTransaction(cp, payload):
    """Power goes off before the answer is even made; the messages of the end follow later.

    A central system that gave two transactions the same number means both.
    """
    status = "Rejected"
    for connector in cp.connectors:
        tx = connector.transaction
        if cp.online and tx is not None and tx.reason is None and tx.id == payload["transactionId"]:
            connector.stop("Remote", tx.id_tag)
            status = "Accepted"
    return {"status": status}


def on_Reset(cp, payload):
    """The application ends the sessions and starts again, after the answer."""
    if cp.installing or not hasattr(cp.hooks, "reset"):
        return {"status": "Rejected"}
    hard = payload["type"] == "Hard"
    cp.after_answer(lambda: cp.hooks.reset(hard))
    return {"status": "Accepted"}


async def on_UnlockConnector(cp, payload):
    return {"status": await cold("ocpp16.lock").unlock(cp, payload["connectorId"])}
