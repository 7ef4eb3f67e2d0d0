"""ChangeAvailability: which connectors take no sessions. A cold module (see lib/cold.py).

What was asked for is `cp.inoperative`, a tuple of ids, stored; 0 stands for the charge point with all its connectors.
A connector takes sessions when neither its own id nor 0 is in it. Whether it is Unavailable already, or will be when
its vehicle has left (Scheduled), follows from its status: see Connector.derive.
Source: OCPP 1.6 edition 2, sections 4.9 and 5.2, with errata.
"""

from cold import cold

_KEY = "inoperative"


def change(cp, connector_id, kind):
    """AvailabilityStatus for a ChangeAvailability of type `kind`; Accepted and Scheduled are durable."""
    if connector_id > len(cp.connectors):
        return "Rejected"
    wanted = [n for n in cp.inoperative if n != connector_id and type(n) is int]
    if kind == "Inoperative":
        wanted.append(connector_id)
    elif connector_id == 0:
        wanted = []
    wanted.sort()
    was_out = 0 in cp.inoperative
    if tuple(wanted) != cp.inoperative:
        try:
            cp.store.put(_KEY, wanted or None)
        except Exception as exc:  # noqa: BLE001 - whatever failed, nothing was changed
            cp.log.error("ocpp", exc)
            return "Rejected"
        cp.inoperative = tuple(wanted)
    if was_out != (0 in wanted):
        cp.after_answer(lambda: cold("ocpp16.statuses").tell_zero(cp))
    status = "Accepted"
    now = cp.clock.uptime_ms()
    for connector in cp.connectors:
        if kind == "Inoperative" and connector_id in (0, connector.id):
            if not connector.plugged and connector.transaction is None:
                connector.claim(None)
            if connector.derive(now)[0] not in ("Unavailable", "Faulted"):
                status = "Scheduled"
    cp.after_answer(cp.poke)
    return status
