"""The charging profiles of a charge point in its store, and the limits that follow from them. A cold module.

Source: OCPP 1.6 edition 2, sections 3.13.1, 3.13.2, 5.5 and 5.16, with errata.

Each profile is one named value of the store, `profile0`, `profile1`, ..., a row as in charging_limits: to replace one
is one write. `cp.charging.slots` knows in RAM which there are; recovery looks after a boot. After a power cut between
two writes of one request the store holds the profiles of before, those of after, or both; the request was not answered
then, and comes again.
"""

from cold import cold
from micropython import const

_NAME = "profile%d"
_SLOTS = const(48)  # as in recovery: more than MaxChargingProfilesInstalled and one for each connector


def load(cp):
    """{slot: row} of what is installed. What can never count again is deleted: it ended, or its transaction did."""
    charging, utc = cp.charging, cp.clock.utc()
    if charging.slots is None:
        charging.slots = cold("ocpp16.recovery").profile_slots(cp)
    rows = {}
    for slot in range(_SLOTS):
        row = cp.store.get(_NAME % slot) if charging.slots >> slot & 1 else None
        if row is None:
            continue
        if type(row) is not list or len(row) != 12:
            cp.log.error("ocpp", "charging profile %d is unreadable" % slot)
        elif not _is_over(cp, row, utc):
            rows[slot] = row
            continue
        try:
            _put(cp, slot, None)
        except OSError as exc:  # it is passed over again after the next boot
            cp.log.error("ocpp", exc)
    charging.slots = sum([1 << slot for slot in rows])
    return rows


def install(cp, row):
    """Add a row; it replaces those with its id, and those of its purpose, level and connector. False: it cannot be."""
    rows = load(cp)
    same = _replaced_by(row, rows)
    if not same and not has_room(cp, rows):
        return False
    try:
        _replace(cp, rows, same, row)
    except OSError as exc:
        cp.log.error("ocpp", exc)
        return False
    return True


def has_room(cp, rows):
    """May one more be added to these?"""
    return len(rows) < cp.config.get("MaxChargingProfilesInstalled")


def adopt(cp, row, connector_id, tx_key):
    """The row that came with RemoteStartTransaction becomes the TxProfile of the transaction that starts now.

    Call this right before the connector gets that transaction. The profile was promised, so it has room even when
    others have filled the store since: one for each connector. OSError: the storage failed, and it is not kept.
    """
    row[1], row[10] = connector_id, tx_key
    rows = load(cp)
    _replace(cp, rows, _replaced_by(row, rows), row)


def clear(cp, connector_id=None, purpose=None, level=None, profile_id=None):
    """Delete what fits: the one with the id if there is an id, else all that fit the rest. None fits all. -> bool"""
    found = False
    try:
        for slot, row in load(cp).items():
            if profile_id is not None:
                fits = row[0] == profile_id
            else:
                fits = connector_id in (None, row[1]) and purpose in (None, row[2]) and level in (None, row[3])
            if fits:
                _put(cp, slot, None)
                found = True
    finally:  # where the storage fails, too
        cp.charging.changed()
    return found


def plans(cp, limits, connectors, t, timed):
    """(Plans of these connectors, Plan of the charge point), with time 0 now.

    limits -- module charging_limits, loaded before: code wants memory in one piece
    t -- now, in Unix seconds, or in seconds of uptime (timed is False). The times of the rows count from now then, so
    that the device calculates with small integers, which cost no memory.
    """
    fall_back = cp.config.get("TxDefaultAfterTxProfile", True)
    rows = list(load(cp).values())
    for row in rows:
        for i in (6, 8, 9):
            if row[i] is not None:
                row[i] -= t
    out = []
    for connector in connectors:
        tx = connector.transaction
        began = t
        if tx is not None:
            if tx.boot == cp.outbox.boot:
                began = cp.clock.utc_at(tx.start_uptime) if timed else tx.start_uptime // 1000
            else:
                began = tx.start_utc if timed else None  # it was taken up again after a power cut
        if began is not None:
            began -= t
        out.append(limits.Plan(rows, connector.id, began, timed, fall_back))
    return out, limits.Plan(rows, 0, 0, timed)


def evaluate(cp, now):
    """([(mA, W) for each connector], uptime ms of the next change or None) at uptime `now`.

    A limit below the least that the hardware can give is (0, 0): it pauses.
    """
    t = cp.clock.utc_at(now)
    timed = t is not None
    if not timed:
        t = now // 1000
    pairs = [(0, 0)] * len(cp.connectors)  # a connector that has no transaction yet gets nothing by mistake
    change = None
    busy = [connector for connector in cp.connectors if connector.transaction is not None]
    if busy:
        limits = cold("ocpp16.charging_limits")
        made, cap = plans(cp, limits, busy, t, timed)
        shares, change = limits.applied(made, cap)
        for connector, (ma, w) in zip(busy, shares):
            _, _, mv, least_ma = connector.evse.limits()
            if (ma is not None and ma < least_ma) or (w is not None and w * 1000 < mv * least_ma // 1000):
                ma = w = 0
            pairs[connector.id - 1] = (ma, w)
        if change is not None:
            change = _uptime_of(cp.clock, now, t, change) if timed else (t + change) * 1000
    return pairs, change


def _uptime_of(clock, now, t, seconds):
    """First uptime ms at which the clock shows t + seconds; at `now` it shows t."""
    last = now + seconds * 1000
    first = last - 999
    while first < last:
        middle = (first + last) // 2
        if clock.utc_at(middle) < t + seconds:
            first = middle + 1
        else:
            last = middle
    return last


def _is_over(cp, row, utc):
    """Can this never have a value again?"""
    kind, _, start, duration, _, valid_to, key, _ = row[4:]
    if row[2] == "TxProfile":
        connector = cp.connector(row[1])
        if connector is None or connector.transaction is None or connector.transaction.key != key:
            return True
    if utc is None or row[2] == "TxProfile":
        return False  # that a TxProfile has run out matters as long as its transaction runs
    return (valid_to is not None and utc >= valid_to) or (
        kind == 1 and duration is not None and utc >= start + duration
    )


def _replaced_by(row, rows):
    """Slots of those that this one replaces."""
    return [slot for slot, old in rows.items() if old[0] == row[0] or old[1:4] == row[1:4]]


def _replace(cp, rows, same, row):
    """Write a row in the place of those in slots `same`, or in a free one. `rows` is empty then."""
    if len(same) == 1 and rows[same[0]] == row:
        return  # central systems that balance loads repeat themselves: spare the flash
    if same:
        slot = same.pop()
    else:
        slot = 0
        while slot in rows:
            slot += 1
    rows.clear()  # room for what the storage needs
    try:
        _put(cp, slot, row)
        for other in same:
            _put(cp, other, None)
    finally:
        cp.charging.changed()


def _put(cp, slot, row):
    charging = cp.charging
    cp.store.put(_NAME % slot, row)
    charging.slots = charging.slots & ~(1 << slot) | (0 if row is None else 1 << slot)
