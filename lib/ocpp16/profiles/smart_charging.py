"""Smart charging: profiles in, profiles out, and the schedule that follows from them.

Source: OCPP 1.6 edition 2, sections 5.5, 5.7, 5.11 and 5.16, with errata.
"""

from cold import cold
from fixed import fixed

from ..errors import OcppError
from ..timestamp import format_utc


def on_SetChargingProfile(cp, payload):
    number, profile = payload["connectorId"], payload["csChargingProfiles"]
    if number > len(cp.connectors):
        raise OcppError("PropertyConstraintViolation", "connectorId: no such connector")
    key = None
    if profile["chargingProfilePurpose"] == "TxProfile":
        tx = cp.connectors[number - 1].transaction if number else None
        if tx is None or tx.reason is not None or profile.get("transactionId", tx.id) != tx.id:
            return {"status": "Rejected"}
        key = tx.key
    row = cold("ocpp16.charging_check").read(profile, number, key, cp.config.get)
    profile = None
    payload.clear()  # room for what the storage needs
    accepted = row is not None and cold("ocpp16.charging_profiles").install(cp, row)
    cp.poke()
    return {"status": "Accepted" if accepted else "Rejected"}


def start_profile(cp, profile):
    """Row of the profile in RemoteStartTransaction.req, for `charging_profiles.adopt`; None: the start is Rejected."""
    if profile["chargingProfilePurpose"] != "TxProfile" or "transactionId" in profile:
        return None
    profiles = cold("ocpp16.charging_profiles")
    if not profiles.has_room(cp, profiles.load(cp)):
        return None
    return cold("ocpp16.charging_check").read(profile, 1, None, cp.config.get)


def on_ClearChargingProfile(cp, payload):
    get = payload.get
    found = cold("ocpp16.charging_profiles").clear(
        cp, get("connectorId"), get("chargingProfilePurpose"), get("stackLevel"), get("id")
    )
    cp.poke()
    return {"status": "Accepted" if found else "Unknown"}


def on_GetCompositeSchedule(cp, payload):
    """Pieces of JSON text: the limits are decimal numbers, which the port would print with 16 digits.

    What is done with goes at once: profiles may be as large as all of the code for them.
    """
    number, duration, unit = payload["connectorId"], payload["duration"], payload.get("chargingRateUnit")
    allows = cold("ocpp16.charging_check").allows
    if unit is None:
        unit = "A" if allows(cp.config.get, "A") else "W"
    t = cp.clock.utc()
    if number > len(cp.connectors) or duration == 0 or t is None or not allows(cp.config.get, unit):
        return {"status": "Rejected"}
    allows = None
    chosen = [cp.connectors[number - 1]] if number else cp.connectors
    share = 1
    if number:  # of a connector without a transaction: what it would get if one started now
        share = sum([c.transaction is not None or c is chosen[0] for c in cp.connectors])
    limits = cold("ocpp16.charging_limits")
    made, cap = cold("ocpp16.charging_profiles").plans(cp, limits, chosen, t, True)
    periods, duration = limits.composite(
        made,
        cap,
        share,
        duration,
        cp.config.get("ChargingScheduleMaxPeriods"),
        unit,
        [connector.evse.limits()[:3] for connector in chosen],
    )
    made = cap = limits = None
    pieces = [
        '{"status":"Accepted","connectorId":%d,"scheduleStart":"%s","chargingSchedule":'
        '{"duration":%d,"chargingRateUnit":"%s","chargingSchedulePeriod":[' % (number, format_utc(t), duration, unit)
    ]
    for i in range(0, len(periods), 2):
        limit = periods[i + 1]
        piece = '{"startPeriod":%d,"limit":%s}' % (periods[i], fixed(limit, 1, 1 if limit % 10 else 0))
        pieces.append("," + piece if i else piece)
    pieces.append("]}}")
    return pieces
