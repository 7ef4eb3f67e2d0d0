"""What a presented id tag does. A cold module (see lib/cold.py). Source: OCPP 1.6 edition 2, sections 3.5 and 4.1."""

import json


def swipe(cp, id_tag, connector_id):
    """See ChargePoint.swipe."""
    id_tag = id_tag[:20]
    candidates = [c for c in cp.connectors if connector_id in (0, c.id)]
    for connector in candidates:
        tx = connector.transaction
        if tx is not None and tx.id_tag.lower() == id_tag.lower():
            connector.stop("Local", id_tag)
            return
    free = [c for c in candidates if c.can_start(id_tag)]
    free.sort(key=lambda c: not c.plugged)
    if not free:
        cp.log.warn("ocpp", "id tag presented, but no connector can start")
    elif not cp.online:
        cp.log.warn("ocpp", "id tag presented, but the central system cannot be asked")
    else:
        authorize(cp, id_tag, free[0])


def authorize(cp, id_tag, connector):
    """See ChargePoint.authorize."""

    def answered(conf, error):
        if conf is None:
            cp.log.warn("ocpp", "Authorize: " + error)
        elif conf["idTagInfo"]["status"] != "Accepted":
            cp.log.warn("ocpp", "id tag refused: " + conf["idTagInfo"]["status"])
        elif connector.can_start(id_tag):
            connector.claim(id_tag)

    cp.outbox.direct("Authorize", '{"idTag":%s}' % json.dumps(id_tag), answered)
