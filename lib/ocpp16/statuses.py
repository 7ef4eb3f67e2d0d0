"""StatusNotification: its text, and when a connection begins. A cold module (see lib/cold.py).

Source: OCPP 1.6 edition 2, section 4.9.
"""

import json

from cold import cold

from .outbox import KIND_STATUS


def tell(cp, connector_id, status, first=False):
    """Queue the status that is true now: (status, errorCode, vendorErrorCode, info); first -- before all that waits."""
    text = text_of(cp, connector_id, status)
    cp.outbox.add("StatusNotification", text, KIND_STATUS, connector_id, False, first=first)


def text_of(cp, connector_id, status):
    """JSON text of StatusNotification.req."""
    state, error_code, vendor_error_code, info = status
    text = '{"connectorId":%d,"errorCode":"%s","status":"%s"' % (connector_id, error_code, state)
    if info:
        text += ',"info":%s' % json.dumps(info[:50])
    if vendor_error_code:
        text += ',"vendorErrorCode":%s' % json.dumps(vendor_error_code[:50])
    now = cp.clock.utc()
    if now is not None:
        text += ',"timestamp":"%s"' % cold("ocpp16.timestamp").format_utc(now)
    return text + "}"


def welcome(cp):
    """A connection is usable: the present status of everything goes before what waits, connector 0 at the head."""
    cp.was_accepted = True
    for connector in reversed(cp.connectors):
        tell(cp, connector.id, connector.announce(), True)
    tell_zero(cp, first=True)


def tell_zero(cp, error_code="NoError", first=False):
    """Queue the status of connector 0, the charge point itself."""
    tell(cp, 0, of_zero(cp, error_code), first)


def of_zero(cp, error_code="NoError"):
    """The status of connector 0, as `Connector.derive`."""
    return ("Unavailable" if cp.is_out(0) else "Available", error_code, "", "")
