"""What charging profiles allow at a time: pure integer arithmetic over rows. A cold module (see lib/cold.py).

Source: OCPP 1.6 edition 2, sections 3.13 (smart charging) and 7.8, 7.13, 7.14, with errata.

A row is one installed profile, a list of what JSON can hold:
    id, connector, purpose, level, kind, unit, start, duration, valid_from, valid_to, tx, periods
    connector -- 0: the charge point, or all connectors;  purpose, unit -- the words of OCPP
    kind -- 0: counts from the start of the transaction; 1: from `start`; else recurring every `kind` seconds
    start, valid_from, valid_to -- Unix seconds (while planning: from now) or None
    duration -- seconds or None: the last period runs on
    tx -- local key of the transaction of a TxProfile, else None
    periods -- [first second, limit, first second, limit, ...], limit in 0.1 A or 0.1 W, the first second is 0

Amperes are those of the DC output, so the number of phases says nothing and is not kept. minChargingRate is a hint for
those who share out, and not a floor.
"""

from micropython import const

_MAX_STEPS = const(200)  # changes looked at for one composite schedule: bounds the time it takes


def value_at(row, t, began):
    """(limit or None, next time at which it may be another one or None) of one profile at time t.

    (None, None): it has run out.  began -- start of the transaction
    """
    kind, _, start, duration, valid_from, valid_to, _, periods = row[4:]
    if valid_to is not None and t >= valid_to:
        return None, None
    if valid_from is not None and t < valid_from:
        return None, valid_from
    base = start if kind else began
    if t < base:
        return None, lower(base, valid_to)
    limit = change = None
    if kind > 1:
        base = t - (t - start) % kind
        change = base + kind
    if duration is not None:
        if t >= base + duration:
            return None, change and lower(change, valid_to)
        change = lower(change, base + duration)
    for i in range(0, len(periods), 2):
        if base + periods[i] > t:
            change = lower(change, base + periods[i])
            break
        limit = periods[i + 1]
    return limit, lower(change, valid_to)


def lower(a, b):
    """The lower of two numbers of which each may be None: no limit."""
    return b if a is None or (b is not None and b < a) else a


class Plan:
    """The profiles that limit one connector's transaction (connector > 0), or the whole charge point (connector 0).

    Of one purpose the highest level that has a value counts; a TxProfile goes before the TxDefaultProfiles of the
    connector, and these before those of all connectors.
    rows -- those whose transaction is over are not among them; their times, and all others here, count from now
    began -- start of the transaction; None: not known
    timed -- the time of day is known. If not, what depends on dates is counted with the lowest limit it ever has,
    whether or not its time has come, together with what stands below it.
    fall_back -- TxDefaultProfiles count again when a TxProfile has run out before the end of its transaction.
    """

    def __init__(self, rows, connector, began, timed=True, fall_back=True):
        self._began = began
        self._fall_back = fall_back
        self._cells = []  # [rank, row, limit, next change, sure]
        for row in rows:
            place, purpose, level = row[1:4]
            if purpose == "TxProfile":
                rank = 2 if place == connector else None
            elif purpose == "TxDefaultProfile":
                rank = (1 if place else 0) if connector and place in (0, connector) else None
            else:
                rank = None if connector else 0
            if rank is None:
                continue
            if (timed or (not row[4] and row[8] is None and row[9] is None)) and (row[4] or began is not None):
                limit, change = value_at(row, 0, began)
                cell = [rank, level, row, limit, change, True]
            else:
                cell = [rank, level, row, min(row[11][1::2]), None, False]
            self._cells.append(cell)
        self._cells.sort(key=lambda cell: (-cell[0], -cell[1]))

    def move(self, t):
        """Go on to time t, never back. Return the next time at which something may change, or None."""
        nearest = None
        for cell in self._cells:
            if cell[4] is not None and t >= cell[4]:
                cell[3], cell[4] = value_at(cell[2], t, self._began)
            nearest = lower(nearest, cell[4])
        return nearest

    def limits(self):
        """(0.1 A, 0.1 W), each None where nothing limits."""
        amps = watts = None
        ran_out = False
        for rank, _, row, limit, change, sure in self._cells:
            if limit is None:
                if rank == 2 and change is None and not self._fall_back:
                    ran_out = True
                continue
            if ran_out and rank < 2:
                break
            if row[5] == "A":
                amps = lower(amps, limit)
            else:
                watts = lower(watts, limit)
            if sure:
                break
        return amps, watts


def applied(plans, cap):
    """([(mA, W), ...], next change or None): what each transaction may take now, None where nothing limits.

    plans -- a Plan for each connector with a transaction;  cap -- Plan of the charge point.
    Each transaction gets an equal share of the charge point's limit. Both units of a pair hold at the same time.
    """
    change = cap.move(0)
    share = [x and x // len(plans) for x in cap.limits()]
    out = []
    for plan in plans:
        change = lower(change, plan.move(0))
        amps, watts = [lower(own, most) for own, most in zip(plan.limits(), share)]
        out.append((None if amps is None else amps * 100, None if watts is None else watts // 10))
    return out, change


def composite(plans, cap, share, duration, most, unit, hardware):
    """(periods as in a row, duration covered) of the schedule for `duration` seconds from now.

    plans -- Plans of the connectors that are summed up: one, or all of them;  cap -- Plan of the charge point
    share -- the charge point's limit is divided by this;  most -- highest number of periods; what would need more, or
    changes too often, is cut: the second value tells where
    hardware -- for each plan (mA, W, mV): limits of the hardware, and the voltage that turns amperes into watts. The
    limits count only where no profile has one.
    """
    periods = []
    t = 0
    for _ in range(_MAX_STEPS):
        change = lower(cap.move(t), duration)
        total = None
        rest = 0
        for plan, (ma, w, mv) in zip(plans, hardware):
            change = lower(change, plan.move(t))
            part = _in_unit(plan.limits(), unit, mv)
            if part is None:
                rest += _in_unit((ma // 100, w * 10), unit, mv)
            else:
                total = (total or 0) + part
        if total is not None:
            total += rest
        limit = lower(total, _in_unit([x and x // share for x in cap.limits()], unit, hardware[0][2]))
        if limit is None:
            limit = rest
        if not periods or periods[-1] != limit:
            if len(periods) == 2 * most:
                break
            periods += [t, limit]
        t = change
        if t >= duration:
            break
    return periods, t


def _in_unit(limits, unit, mv):
    """The lower of (0.1 A, 0.1 W) in 0.1 A or 0.1 W, rounded down; None if both are."""
    amps, watts = limits
    if unit == "A":
        return lower(amps, None if watts is None else watts * 1000 // mv)
    return lower(watts, None if amps is None else amps * mv // 1000)
