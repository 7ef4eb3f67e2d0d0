"""Date-times that we send, in pure integer arithmetic: no epoch of the port, no floats. Reading them: timeparse.

Source: OCPP 1.6 edition 2, section 3.15; RFC 3339 for the form. A cold module (see lib/cold.py).
"""

from .outbox import TIME_MARK


def stamp(tx, uptime):
    """Timestamp text for JSON of a transaction at that uptime, or the mark the outbox resolves later."""
    if tx.start_utc is None:
        return "%s%d:%d%s" % (TIME_MARK, tx.boot, uptime, TIME_MARK)
    return format_utc(tx.start_utc + (uptime - tx.start_uptime) // 1000)


def format_utc(unix_s):
    """Text of Unix seconds (int, years 1 to 9999).

    >>> format_utc(1768989150)
    '2026-01-21T09:52:30Z'
    """
    days, second = divmod(unix_s, 86400)
    # Years of the proleptic Gregorian calendar that begin on 1 March, so that the leap day comes last.
    days += 719468
    era, day = divmod(days, 146097)
    of_era = (day - day // 1460 + day // 36524 - day // 146096) // 365
    day -= 365 * of_era + of_era // 4 - of_era // 100
    month = (5 * day + 2) // 153
    day -= (153 * month + 2) // 5
    month += 3 if month < 10 else -9
    return "%04d-%02d-%02dT%02d:%02d:%02dZ" % (
        era * 400 + of_era + (month <= 2),
        month,
        day + 1,
        second // 3600,
        second // 60 % 60,
        second % 60,
    )
