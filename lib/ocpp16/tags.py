"""What a presented id tag does, and where a session can start. A cold module (see lib/cold.py).

Source: OCPP 1.6 edition 2, sections 3.5 and 4.1.
"""

import json


def swipe(cp, id_tag, connector_id):
    """See ChargePoint.swipe."""
    id_tag = id_tag[:20]
    for connector in cp.connectors:
        tx = connector.transaction
        if connector_id in (0, connector.id) and tx is not None and tx.id_tag.lower() == id_tag.lower():
            connector.stop("Local", id_tag)
            return
    connector = startable(cp, connector_id, id_tag)
    if connector is None:
        cp.log.warn("ocpp", "id tag presented, but no connector can start")
    elif not cp.online:
        cp.log.warn("ocpp", "id tag presented, but the central system cannot be asked")
    else:
        authorize(cp, id_tag, connector)


def authorize(cp, id_tag, connector):
    """Ask the central system; when it accepts, the connector may start with that tag."""

    def answered(conf, error):
        if conf is None:
            cp.log.warn("ocpp", "Authorize: " + error)
        elif conf["idTagInfo"]["status"] != "Accepted":
            cp.log.warn("ocpp", "id tag refused: " + conf["idTagInfo"]["status"])
        elif _can_start(connector, id_tag):
            connector.claim(id_tag)

    cp.outbox.direct("Authorize", '{"idTag":%s}' % json.dumps(id_tag), answered)


def startable(cp, connector_id, id_tag):
    """The connector to start: that one, of all (0) a plugged one, else any that is free. None: there is none."""
    free = [c for c in cp.connectors if connector_id in (0, c.id) and _can_start(c, id_tag)]
    free.sort(key=lambda c: not c.plugged)
    return free[0] if free else None


def _can_start(connector, id_tag):
    """Could a session start here, now or as soon as a vehicle is plugged in?

    A connector that already waits for the vehicle of another tag cannot; the same tag again can.
    """
    if connector.transaction is not None or connector.evse.fault() is not None:
        return False
    return connector.id_tag is None or connector.id_tag.lower() == id_tag.lower()
