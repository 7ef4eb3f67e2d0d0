"""Reservations: who may start where, and until when. A cold module (see lib/cold.py).

They are kept in the store as rows [id, connectorId, id tag, parent or None, expiry, made], times in Unix seconds. What
the running charge point must know of them are two values, renewed by `refresh`:

    cp.reserved        ids of the connectors that are kept for somebody now, a tuple
    cp.reserved_until  uptime ms of the next expiry, None: there is no reservation

A reservation of connector 0 holds no connector as long as more can be used than are promised that way; then it holds
all that are left. Once its owner was accepted for a connector, it is that connector.
Source: OCPP 1.6 edition 2, sections 3.4, 5.2 and 5.13, with errata.
"""

from cold import cold
from micropython import const

_KEY = "reservations"
_ID = const(0)
_CONNECTOR = const(1)
_TAG = const(2)
_PARENT = const(3)
_EXPIRY = const(4)
_MADE = const(5)

_FREE = ("Available", "Reserved")
_GONE = ("Faulted", "Unavailable")


# -- pure


def matches(row, id_tag, parent, parent_known=True):
    """Is the reservation for this id tag or its group? parent_known -- False: could it be, once the parent is known?"""
    same = cold("ocpp16.authorization").same
    if same(row[_TAG], id_tag):
        return True
    return same(row[_PARENT], parent) if parent_known else row[_PARENT] is not None


def judge(states, rows, wanted, now, zero_supported):
    """ReservationStatus for a new reservation.

    states -- ChargePointStatus of connectors 1, 2, ...; rows -- the other reservations, without one of the same id
    wanted -- the new row
    now -- None: the clock was never set, and no expiry date means anything
    """
    connector_id = wanted[_CONNECTOR]
    if now is None or wanted[_EXPIRY] <= now or connector_id > len(states) or not (connector_id or zero_supported):
        return "Rejected"
    own = [row[_CONNECTOR] for row in rows if row[_CONNECTOR]]
    free = [n + 1 for n, state in enumerate(states) if state in _FREE and n + 1 not in own]
    if len(free) > len(rows) - len(own) and (connector_id == 0 or connector_id in free):
        return "Accepted"
    if connector_id:
        states = (states[connector_id - 1],)
    for state in states:
        if state not in _GONE:
            return "Occupied"
    return "Unavailable" if "Unavailable" in states else "Faulted"


def kept(usable, rows):
    """Connector ids that are kept by reservations. usable -- ids of the connectors where somebody could start."""
    own = [row[_CONNECTOR] for row in rows if row[_CONNECTOR]]
    left = [n for n in usable if n not in own]
    if len(left) <= len(rows) - len(own) and len(rows) > len(own):
        own += left
    return tuple(own)


# -- asked by the profile


def reserve(cp, payload):
    """ReserveNow: returns its status. Accepted is durable; a reservation with the same id is replaced."""
    wanted = [
        payload["reservationId"],
        payload["connectorId"],
        payload["idTag"],
        payload.get("parentIdTag"),
        cold("ocpp16.timeparse").parse(payload["expiryDate"], any_year=True),
        cp.clock.utc(),
    ]
    rows = [row for row in _rows(cp) if row[_ID] != wanted[_ID]]
    states = _states(cp)
    zero_supported = cp.config.get("ReserveConnectorZeroSupported", False)
    status = judge(states, _pinned(cp, rows), wanted, wanted[_MADE], zero_supported)
    if status == "Accepted" and not _save(cp, rows + [wanted]):
        return "Rejected"
    return status


def cancel(cp, reservation_id):
    """CancelReservation: False when there is none with that id."""
    rows = _rows(cp)
    left = [row for row in rows if row[_ID] != reservation_id]
    return len(left) < len(rows) and _save(cp, left)


# -- asked by the engine


def refresh(cp, ended=True):
    """Drop what is over, and renew `cp.reserved` and `cp.reserved_until`.

    To be called at the start, when reserved_until has come, when the clock was set, and, while there is a reservation,
    after each change of a connector's status. ended -- False at the start: a connector that is Faulted or Unavailable
    ends its reservations, but not before the hardware had its say.
    """
    rows = _rows(cp)
    if ended:
        states = _states(cp)
        rows = [row for row in rows if not _is_lost(row, states)]
    if len(rows) < len(cp.store.get(_KEY, [])):
        cp.log.info("ocpp", "reservation ended")
        if _save(cp, rows):
            return
    _publish(cp, rows)


def standing(cp, connector_id, id_tag, parent, parent_known=True):
    """May this id tag start on this connector? 0: no, it is kept for others; 1: yes; 2: yes, it is kept for this tag.

    parent_known -- False: as if the tag were of the group that the reservation is for.
    """
    rows = _pinned(cp, _rows(cp))
    holding = [row for row in rows if row[_CONNECTOR] == connector_id]
    if not holding and connector_id in kept(_usable(cp), rows):
        holding = [row for row in rows if row[_CONNECTOR] == 0]
    for row in holding:
        if matches(row, id_tag, parent, parent_known):
            return 2
    return 0 if holding else 1


def take(cp, connector_id, id_tag, parent):
    """A transaction starts: use up the reservation it is for, and return its id, or None. Durable, if storage works."""
    rows = _rows(cp)
    for wanted in (connector_id, 0):
        for row in rows:
            if row[_CONNECTOR] == wanted and matches(row, id_tag, parent):
                rows.remove(row)
                if not _save(cp, rows):
                    _publish(cp, rows)
                return row[_ID]
    return None


def _rows(cp):
    """Reservations that have not expired."""
    rows = cp.store.get(_KEY, [])
    now = _now(cp, rows)
    return [row for row in rows if row[_EXPIRY] > now]


def _now(cp, rows):
    """Unix seconds; while the clock is not set, the earliest that it can be."""
    now = cp.clock.utc()
    if now is None:
        now = max([row[_MADE] for row in rows] or (0,)) + cp.clock.uptime_ms() // 1000
    return now


def _pinned(cp, rows):
    """The same, but a reservation of connector 0 has the connector for which its owner was accepted."""
    rows = [list(row) for row in rows]
    for connector in cp.connectors:
        if connector.id_tag is not None and connector.id not in [row[_CONNECTOR] for row in rows]:
            for row in rows:
                if row[_CONNECTOR] == 0 and matches(row, connector.id_tag, connector.parent):
                    row[_CONNECTOR] = connector.id
                    break
    return rows


def _usable(cp):
    """Ids of the connectors where somebody could start: free, or with a vehicle that nobody has paid for."""
    usable = []
    for connector, state in zip(cp.connectors, _states(cp)):
        if state in _FREE or (state == "Preparing" and connector.transaction is None and connector.id_tag is None):
            usable.append(connector.id)
    return usable


def _states(cp):
    now = cp.clock.uptime_ms()
    return [connector.derive(now)[0] for connector in cp.connectors]


def _is_lost(row, states):
    """Can this reservation no longer be honoured? Connector 0: while one connector works, it can."""
    if 0 < row[_CONNECTOR] <= len(states):
        states = (states[row[_CONNECTOR] - 1],)
    for state in states:
        if state not in _GONE:
            return False
    return True


def _save(cp, rows):
    try:
        cp.store.put(_KEY, rows or None)
    except OSError as exc:
        cp.log.error("ocpp", exc)
        return False
    _publish(cp, rows)
    return True


def _publish(cp, rows):
    reserved = kept(_usable(cp), _pinned(cp, rows))
    cp.reserved_until = None
    if rows:
        left = min([row[_EXPIRY] for row in rows]) - _now(cp, rows)
        cp.reserved_until = cp.clock.uptime_ms() + left * 1000
    if reserved != cp.reserved:
        cp.reserved = reserved
        cp.poke()
