"""Connector status: one pure function of everything it depends on.

Source: OCPP 1.6 edition 2, section 4.9 (StatusNotification) and its transition table.
"""

AVAILABLE = "Available"
PREPARING = "Preparing"
CHARGING = "Charging"
SUSPENDED_EV = "SuspendedEV"
SUSPENDED_EVSE = "SuspendedEVSE"
FINISHING = "Finishing"
UNAVAILABLE = "Unavailable"
FAULTED = "Faulted"


def derive(faulted, operative, plugged, claimed, in_transaction, starting, evse_ready, ev_ready, finishing):
    """Return the ChargePointStatus of a connector. All arguments are bools.

    claimed -- an accepted id tag waits for the vehicle, or a stopped session for its user
    starting -- the transaction has not offered energy yet: the connector is still preparing
    finishing -- a transaction ended and the vehicle has not left since
    Order of precedence: a fault hides everything, a transaction hides availability (it is
    changed only after its end), and SuspendedEVSE wins over SuspendedEV.
    """
    if faulted:
        return FAULTED
    if in_transaction:
        if starting:
            return PREPARING
        if not evse_ready:
            return SUSPENDED_EVSE
        return CHARGING if ev_ready else SUSPENDED_EV
    if finishing:
        return FINISHING
    if not operative:
        return UNAVAILABLE
    if plugged or claimed:
        return PREPARING
    return AVAILABLE
