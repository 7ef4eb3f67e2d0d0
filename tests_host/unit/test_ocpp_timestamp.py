"""ocpp16.timestamp: what servers send, what we send. Source: OCPP 1.6 edition 2, section 3.15; RFC 3339."""

import sys

from ocpp16 import timeparse, timestamp

GOOD = (
    ("2026-01-21T09:52:30Z", 1768989150, 0),
    ("2026-01-21T09:52:30z", 1768989150, 0),
    ("2026-01-21t09:52:30", 1768989150, 0),  # no zone: UTC
    ("2026-01-21 09:52:30Z", 1768989150, 0),
    ("2021-07-06T07:31:22.301252", 1625556682, 301),  # a Python server without a zone
    ("2026-01-21T09:52:30.5Z", 1768989150, 500),
    ("2026-01-21T09:52:30.05Z", 1768989150, 50),
    ("2026-01-21T09:52:30.999Z", 1768989150, 999),
    ("2026-01-21T09:52:30.876446300Z", 1768989150, 876),
    ("2026-01-21T09:52:30." + "9" * 300 + "Z", 1768989150, 999),
    ("2026-01-21T09:52:30,25Z", 1768989150, 250),
    ("2026-01-21T11:52:30+02:00", 1768989150, 0),
    ("2026-01-21T11:52:30+0200", 1768989150, 0),
    ("2026-01-21T11:52:30+02", 1768989150, 0),
    ("2026-01-21T11:52:30.123+02:00", 1768989150, 123),
    ("2026-01-21T04:22:30-05:30", 1768989150, 0),
    ("2026-01-21T09:52:30-00:00", 1768989150, 0),
    ("2026-01-22T00:22:30+14:30", 1768989150, 0),
    ("2024-02-29T23:59:59Z", 1709251199, 0),
    ("2024-12-31T23:59:60Z", 1735689599, 0),  # leap second: as :59
    ("2020-01-01T00:00:00Z", 1577836800, 0),
    ("2019-12-31T23:59:59-01:00", 1577840399, 0),  # what counts is the time in UTC
    ("2099-12-31T23:59:59Z", 4102444799, 0),
)

OUTSIDE = (  # legal dates, but no clock shows them
    ("1970-01-01T00:00:00Z", 0),
    ("2000-01-01T00:00:00Z", 946684800),
    ("2019-12-31T23:59:59Z", 1577836799),
    ("2020-01-01T00:00:00+00:01", 1577836740),
    ("2100-01-01T00:00:00Z", 4102444800),
    ("9999-12-31T23:59:59Z", 253402300799),
    ("0001-01-01T00:00:00Z", -62135596800),
    ("1900-03-01T00:00:00Z", -2203891200),
)

BAD = (
    "",
    "Z",
    "now",
    "2026-01-21",
    "2026-01-21T09:52Z",
    "2026-01-21T09:52:3Z",
    "2026-1-21T09:52:30Z",
    "2026-00-21T09:52:30Z",
    "2026-13-21T09:52:30Z",
    "2026-01-00T09:52:30Z",
    "2026-01-32T09:52:30Z",
    "2026-04-31T09:52:30Z",
    "2025-02-29T09:52:30Z",
    "2100-02-29T09:52:30Z",
    "2026-01-21T24:00:00Z",
    "2026-01-21T09:60:30Z",
    "2026-01-21T09:52:61Z",
    "2026-01-21T09:52:30.Z",
    "2026-01-21T09:52:30.12xZ",
    "2026-01-21T09:52:30ZZ",
    "2026-01-21T09:52:30 Z",
    "2026-01-21T09:52:30UTC",
    "2026-01-21T09:52:30+2",
    "2026-01-21T09:52:30+020",
    "2026-01-21T09:52:30+24:00",
    "2026-01-21T09:52:30+02:60",
    "2026-01-21T09:52:30+02.00",
    "2026-01-21T09:52:30+02:0",
    "2026-01-21T09:52:30+-2:00",
    "2026/01/21T09:52:30Z",
    "2026-01-21X09:52:30Z",
    "2026-01-21T09-52-30Z",
    "+026-01-21T09:52:30Z",
    " 026-01-21T09:52:30Z",
    "2_26-01-21T09:52:30Z",
    "2026-01-21T09:52: 0Z",
    "0000-01-01T00:00:00Z",
    " 2026-01-21T09:52:30Z",
    "2026-01-21T09:52:30Z ",
    "20260121T095230Z.....",
    "٢٠٢٦-01-21T09:52:30Z",
    1768989150,
    None,
    True,
    ["2026-01-21T09:52:30Z"],
    b"2026-01-21T09:52:30Z",
)


def _fails(text, any_year):
    try:
        timeparse.parse_ms(text, any_year)
    except ValueError:
        return True
    return False


def test_good():
    for text, seconds, ms in GOOD:
        assert timeparse.parse_ms(text) == (seconds, ms), text
        assert timeparse.parse(text) == seconds, text
        assert timeparse.parse_ms(text, any_year=True) == (seconds, ms), text


def test_bad():
    for text in BAD:
        assert _fails(text, False), text
        assert _fails(text, True), text


def test_any_year():
    for text, seconds in OUTSIDE:
        assert _fails(text, False), text
        assert timeparse.parse(text, any_year=True) == seconds, text


def test_format():
    for seconds, text in (
        (1768989150, "2026-01-21T09:52:30Z"),
        (0, "1970-01-01T00:00:00Z"),
        (951782400, "2000-02-29T00:00:00Z"),
        (951868799, "2000-02-29T23:59:59Z"),
        (951868800, "2000-03-01T00:00:00Z"),
        (1735689599, "2024-12-31T23:59:59Z"),
        (2147483648, "2038-01-19T03:14:08Z"),
        (4294967296, "2106-02-07T06:28:16Z"),
        (4107542400, "2100-03-01T00:00:00Z"),
        (-1, "1969-12-31T23:59:59Z"),
    ):
        assert timestamp.format_utc(seconds) == text, text


def test_every_day_of_the_window_there_and_back():
    """Against a calendar that is only counted on, day by day."""
    year, month, day = 2020, 1, 1
    lengths = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
    seconds = 1577836800
    while year < 2100:
        text = "%04d-%02d-%02dT12:34:56Z" % (year, month, day)
        assert timeparse.parse(text) == seconds + 45296, text
        assert timestamp.format_utc(seconds + 45296) == text, text
        seconds += 86400
        day += 1
        if day > lengths[month - 1] + (month == 2 and year % 4 == 0):
            day = 1
            month += 1
            if month > 12:
                month = 1
                year += 1
    assert seconds == 4102444800


def test_one_wrong_character_never_raises_anything_else():
    for text in ("2026-01-21T09:52:30.123+02:00", "2026-01-21T09:52:30Z"):
        for at in range(len(text)):
            for char in ("\x00", "x", "-", "9", "é", "😀", "Z", "+", " ", ""):
                try:
                    timeparse.parse_ms(text[:at] + char + text[at + 1 :])
                except ValueError:
                    pass


def test_epoch_of_the_port_is_not_used():
    assert "time" not in dir(timestamp) + dir(timeparse)
    assert sys.implementation.name == "micropython"
