"""Checks of a charging profile beyond its schema, and its form as a row of charging_limits. A cold module.

Source: OCPP 1.6 edition 2, sections 3.13.1, 5.16, 7.8, 7.13 and 7.14, with errata.
"""

from cold import cold


def read(profile, connector, tx, get):
    """Row of a ChargingProfile that fits the schema, or None: it cannot be carried out.

    connector -- where it is for; tx -- key of the transaction of a TxProfile, None for other purposes
    get -- value of a configuration key
    """
    purpose = profile["chargingProfilePurpose"]
    schedule = profile["chargingSchedule"]
    if purpose == "ChargePointMaxProfile" and connector:
        return None
    if profile["stackLevel"] > get("ChargeProfileMaxStackLevel"):
        return None
    unit = schedule["chargingRateUnit"]
    if not allows(get, unit):
        return None
    start = _time(schedule, "startSchedule")
    duration = schedule.get("duration")
    kind = profile["chargingProfileKind"]
    if kind == "Recurring":
        kind = {"Daily": 86400, "Weekly": 604800}.get(profile.get("recurrencyKind"))
    elif kind == "Relative" or (start is None and purpose != "ChargePointMaxProfile"):
        kind, start = 0, None  # Absolute without a start: from the start of charging
    else:
        kind = 1
    if kind is None or (kind == 0 and purpose == "ChargePointMaxProfile") or (kind and start is None) or duration == 0:
        return None
    valid_from, valid_to = _time(profile, "validFrom"), _time(profile, "validTo")
    if valid_from is not None and valid_to is not None and valid_to <= valid_from:
        return None
    periods = _periods(schedule["chargingSchedulePeriod"], get("ChargingScheduleMaxPeriods"))
    if periods is None:
        return None
    return [
        profile["chargingProfileId"],
        connector,
        purpose,
        profile["stackLevel"],
        kind,
        unit,
        start,
        duration,
        valid_from,
        valid_to,
        tx,
        periods,
    ]


def allows(get, unit):
    """Is this rate unit, A or W, one of ChargingScheduleAllowedChargingRateUnit?"""
    return ("Current" if unit == "A" else "Power") in get("ChargingScheduleAllowedChargingRateUnit")


def _time(fields, name):
    text = fields.get(name)
    return None if text is None else cold("ocpp16.timeparse").parse(text, any_year=True)


def _periods(items, most):
    """Flat list of first seconds and limits, or None."""
    if not 0 < len(items) <= most:
        return None
    flat = []
    for item in items:
        second = item["startPeriod"]
        # A float is single on the device: 7.3 times 10 is nearly 73, never 72.
        limit = item["limit"] * 10
        if type(limit) is float:
            limit = round(limit)
        if limit < 0 or (second <= flat[-2] if flat else second):
            return None
        flat += [second, limit]
    return flat
