"""RemoteTrigger profile. Source: OCPP 1.6 edition 2, section 5.17, with errata."""

from cold import cold

NAME = "RemoteTrigger"


def on_TriggerMessage(cp, payload):
    status = cold("ocpp16.trigger").trigger(cp, payload["requestedMessage"], payload.get("connectorId"))
    return {"status": status}
