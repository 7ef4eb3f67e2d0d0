"""Date-times that central systems send, in pure integer arithmetic. A cold module (see lib/cold.py).

Source: OCPP 1.6 edition 2, section 3.15; RFC 3339 for the form.
"""

from micropython import const

_OLDEST = 1577836800  # 2020-01-01T00:00:00Z: before this a clock was never set
_BEYOND = 4102444800  # 2100-01-01T00:00:00Z
_DAY_S = const(86400)
_MONTH_DAYS = b"\x1f\x1c\x1f\x1e\x1f\x1e\x1f\x1f\x1e\x1f\x1e\x1f"


def parse(text, any_year=False):
    """Unix seconds of a date-time; a fraction is cut. See parse_ms.

    >>> parse("2026-01-21T11:52:30.999+02:00")
    1768989150
    """
    return parse_ms(text, any_year)[0]


def parse_ms(text, any_year=False):
    """(Unix seconds, milliseconds 0..999) of a date-time text.

    Form: YYYY-MM-DD, then T, t or a space, then HH:MM:SS, then optionally . or , and digits (any number), then
    optionally Z, z, +hh:mm, +hhmm or +hh (or -). Without a zone it is UTC, because servers exist that leave the Z out.
    A leap second (:60) reads as :59, so that no clock runs ahead.
    any_year -- False: years 2020 to 2099 only, for setting a clock; True: years 1 to 9999, for expiry dates, where
    "9999-12-31" and "0001-01-01" mean "never" and "always" (the result may be negative).
    Raises ValueError.
    """
    if type(text) is not str or len(text) < 19:
        raise ValueError("date-time form")
    if text[4] + text[7] != "--" or text[10] not in "Tt " or text[13] + text[16] != "::":
        raise ValueError("date-time form")
    year = _number(text[:4], 1, 9999)
    month = _number(text[5:7], 1, 12)
    last = 29 if month == 2 and _is_leap(year) else _MONTH_DAYS[month - 1]
    days = _days(year, month, _number(text[8:10], 1, last))
    seconds = _number(text[11:13], 0, 23) * 3600 + _number(text[14:16], 0, 59) * 60
    seconds += min(59, _number(text[17:19], 0, 60))
    zone, ms = text[19:], 0
    if zone[:1] in (".", ","):
        digits = 1
        while zone[digits : digits + 1].isdigit():
            digits += 1
        ms = _number((zone[1:digits] and zone[1:digits] + "00")[:3], 0, 999)
        zone = zone[digits:]
    seconds += days * _DAY_S - _offset(zone)
    if not (any_year or _OLDEST <= seconds < _BEYOND):
        raise ValueError("date-time out of range")
    return seconds, ms


def _days(year, month, day):
    """Days since 1970-01-01; the inverse of what timestamp.format_utc does."""
    if month <= 2:
        year -= 1
        month += 12
    return year * 365 + year // 4 - year // 100 + year // 400 + (153 * month - 457) // 5 + day - 719469


def _is_leap(year):
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def _offset(zone):
    """Seconds east of UTC of Z, z, +hh:mm, +hhmm, +hh or nothing."""
    if zone in ("", "Z", "z"):
        return 0
    sign, size = zone[0], len(zone)
    if sign not in "+-" or size not in (3, 5, 6) or (size == 6 and zone[3] != ":"):
        raise ValueError("date-time zone")
    offset = _number(zone[1:3], 0, 23) * 3600
    if size > 3:
        offset += _number(zone[-2:], 0, 59) * 60
    return offset if sign == "+" else -offset


def _number(digits, low, high):
    if not digits.isdigit():  # int() would take blanks, signs and underscores
        raise ValueError("date-time digits")
    value = int(digits)
    if not low <= value <= high:
        raise ValueError("date-time range")
    return value
