"""What a presented id tag does, and the tag of a remote start. A cold module (see lib/cold.py).

Decisions are in authorization and reservations, what is known of tags in auth_store; here they meet the connectors.
Source: OCPP 1.6 edition 2, sections 3.4, 3.5, 4.1 and 5.11.
"""

from cold import cold
from micropython import const

_TWICE_MS = const(2000)  # a card that is read again so soon was not meant a second time


def swipe(cp, id_tag, connector_id):
    """See ChargePoint.swipe.

    A tag opens the lock that is kept for it, ends its session, gives up its claim, ends a session of its group, or may
    start one.
    """
    authorization = cold("ocpp16.authorization")
    id_tag = id_tag[:20]
    near = _near(cp, connector_id)
    for connector in near:
        if authorization.same(connector.opens, id_tag):
            connector.locked = False
            connector.opens = None
            connector.poke()
            return
    group = False
    for connector in near:
        tx = connector.transaction
        if tx is not None:
            verdict = authorization.may_stop(tx.id_tag, tx.parent, id_tag)
            if verdict == authorization.ACCEPT:
                connector.stop("Local", id_tag)
                return
            group = group or (verdict == authorization.ASK and tx.reason is None)
    waiting = [c for c in near if authorization.same(c.id_tag, id_tag)]
    if waiting:
        if cp.clock.uptime_ms() - waiting[0].claimed_at >= _TWICE_MS:
            cp.log.info("ocpp", "id tag presented again: start dropped")
            for connector in waiting:
                connector.claim(None)
        return
    if not group and not _usable(cp, id_tag, None, connector_id, False):
        cp.log.warn("ocpp", "id tag presented, but there is nothing it could start or stop")
        return
    _present(cp, id_tag, connector_id, None)


def remote_start(cp, id_tag, entry, connector_id, profile):
    """Status of RemoteStartTransaction.conf. What follows, follows after the answer.

    entry -- what is known of the tag, see authorization, or None
    connector_id -- 0: any;  profile -- a charging profile as a row, or () for none
    """
    parent = entry and entry[2]
    if not cp.online or not _usable(cp, id_tag, parent, connector_id, entry is not None):
        return "Rejected"
    if cp.config.get("AuthorizeRemoteTxRequests") or not _usable(cp, id_tag, parent, connector_id, True):
        cp.after_answer(lambda: _present(cp, id_tag, connector_id, profile))
    else:
        cp.after_answer(lambda: _accepted(cp, id_tag, parent, connector_id, profile))
    return "Accepted"


def authorized(cp, id_tag, connector_id, profile, conf, error):
    """The answer to Authorize, or the error. No answer: as if there were no link. For authorize.

    profile -- None: the tag was shown here; else as for remote_start
    """
    if conf is None:
        cp.log.warn("ocpp", "Authorize: " + error)
        verdict, parent = _decide(cp, id_tag, False)
    else:
        info = conf["idTagInfo"]
        cold("ocpp16.tag_info").learned(cp, id_tag, info)
        parent = info.get("parentIdTag")
        cp.log.info("ocpp", "id tag: " + info["status"])
        authorization = cold("ocpp16.authorization")
        verdict = authorization.ACCEPT if info["status"] == "Accepted" else authorization.REFUSE
    _act(cp, id_tag, connector_id, profile, verdict, parent)


def _near(cp, connector_id):
    return [c for c in cp.connectors if connector_id in (0, c.id)]


def _usable(cp, id_tag, parent, connector_id, parent_known):
    """[(how good a choice, connector), ...], best first, of the connectors where this tag may start.

    Best is one that is reserved for the tag, then one with a vehicle. A vehicle that has been served waits to be
    fetched: where there are more connectors, a tag that names none of them does not mean that one.
    """
    usable = []
    for connector in _near(cp, connector_id):
        if _can_start(connector, id_tag) and not (connector.finishing and connector_id == 0 and len(cp.connectors) > 1):
            standing = 1
            if cp.reserved_until is not None:
                standing = cold("ocpp16.reservations").standing(cp, connector.id, id_tag, parent, parent_known)
            if standing:
                usable.append((standing * 2 + (1 if connector.plugged else 0), connector))
    usable.sort(key=lambda row: -row[0])
    return usable


def _can_start(connector, id_tag):
    """Could a session start here, now or as soon as a vehicle is plugged in?

    A connector that already waits for the vehicle of another tag cannot; the same tag again can.
    """
    cp = connector.cp
    if connector.transaction is not None or connector.evse.fault() is not None or cp.closing or cp.is_out(connector.id):
        return False
    return connector.id_tag is None or cold("ocpp16.authorization").same(connector.id_tag, id_tag)


def _decide(cp, id_tag, online):
    listed, cached = cold("ocpp16.auth_store").known(cp, id_tag)
    return cold("ocpp16.authorization").decide(listed, cached, online, cp.clock.utc(), cp.config.get)


def _present(cp, id_tag, connector_id, profile):
    verdict, parent = _decide(cp, id_tag, cp.online)
    if verdict != cold("ocpp16.authorization").ASK:
        _act(cp, id_tag, connector_id, profile, verdict, parent)
    else:
        cold("ocpp16.authorize").ask(cp, id_tag, connector_id, profile)


def _act(cp, id_tag, connector_id, profile, verdict, parent):
    if verdict == cold("ocpp16.authorization").ACCEPT:
        _accepted(cp, id_tag, parent, connector_id, profile)
    else:
        cp.log.warn("ocpp", "id tag refused")


def _accepted(cp, id_tag, parent, connector_id, profile):
    """An accepted tag claims a connector; one that was shown here (profile None) may end the session of its group."""
    authorization = cold("ocpp16.authorization")
    if profile is None:
        for connector in _near(cp, connector_id):
            tx = connector.transaction
            if tx is not None and tx.reason is None and authorization.same(tx.parent, parent):
                connector.stop("Local", id_tag)
                return
    usable = _usable(cp, id_tag, parent, connector_id, True)
    if not usable:
        cp.log.warn("ocpp", "id tag accepted, but no connector can start")
        return
    best = usable[0][0]
    if best & 1 or (cp.reserved_until is not None and best < 4):
        usable = usable[:1]  # with a vehicle; or others are to keep what is left for a reservation
    for good, connector in usable:  # else the first vehicle decides: a reader that serves all says no more
        if good == best:
            connector.claim(id_tag, parent, profile or None)
