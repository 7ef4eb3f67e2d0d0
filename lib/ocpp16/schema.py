"""Check of what the central system sends, against compact tables. Source: OCPP 1.6 edition 2, sections 6 and 7, with
errata; security white paper for OCPP 1.6-J, section 5.

The tables are in messages/, one module for each profile. This module and the tables are cold (see lib/cold.py): they
cost RAM while a message is checked, and a profile that a build leaves out costs nothing. Only what a charge point
receives is there. See messages/__init__.py for the notation.
"""

from cold import cold
from micropython import const

from .errors import OcppError

_MAX_INT = const(1 << 53)  # integers beyond are not interchangeable: RFC 8259, section 6
_MISSING = "OccurenceConstraintViolation"
_TYPE = "TypeConstraintViolation"
_VALUE = "PropertyConstraintViolation"
_STRUCTURE = "FormationViolation"


def check_request(action, payload, profiles=None):
    """Check the payload of a CALL that came in. Returns None or raises OcppError, whose description names the field.

    NotImplemented -- not an action of OCPP 1.6;  NotSupported -- one that only a charge point sends;
    FormationViolation -- payload not an object, or a field that the action does not have;
    OccurenceConstraintViolation -- a required field is missing, a list is empty that must not be;
    TypeConstraintViolation -- wrong JSON type (10.0 is not an integer, null is not absent);
    PropertyConstraintViolation -- unknown enum value, string too long, number out of range, date-time unreadable.
    profiles -- those of the charge point, None: all. An action of another one is not checked: nobody serves it.
    """
    actions = cold("ocpp16.actions")
    row = actions.known(action)
    if row is None:
        raise OcppError("NotImplemented", "unknown action")
    profile, direction = row
    if not direction & actions.DOWN:
        raise OcppError("NotSupported", action)
    actions = None  # the tables need the room
    if profiles is not None and profile not in profiles:
        return
    tables = {}
    table = _table(tables, profile)
    if not table:
        return
    if type(payload) is not dict:
        raise OcppError(_STRUCTURE, "payload is not an object")
    _object(tables, profile, _line(table, action + ".req"), payload, "", True)


def check_response(action, payload):
    """Check the answer to an own CALL. Returns None or raises OcppError with the codes of check_request.

    Lenient where central systems are sloppy and nothing depends on it: unknown fields, null for an absent optional
    field, strings over their length. Strict about required fields, types, enum values and date-times. Date-times have
    any year: read them with timeparse.parse(text, any_year=True), except currentTime.
    action -- one that this build sends.
    """
    if type(payload) is not dict:
        raise OcppError(_STRUCTURE, "payload is not an object")
    profile = cold("ocpp16.actions").known(action)[0]
    tables = {}
    _object(tables, profile, _line(_table(tables, profile), action + ".conf"), payload, "", False)


def _has(words, word):
    """Is this one of the words of a text with blanks between and around them?"""
    return " " not in word and " " + word + " " in words


def _table(tables, profile):
    """Table of a profile; "": it is not in this build. tables -- those that one check has loaded so far."""
    table = tables.get(profile)
    if table is None:
        try:
            table = cold("ocpp16.messages." + profile).TABLE
        except ImportError:
            table = ""
        tables[profile] = table
    return table


def _line(table, name):
    """What follows a name at the start of a line."""
    start = table.find("\n" + name + " ") + len(name) + 2
    return table[start : table.find("\n", start)]


def _object(tables, profile, fields, value, path, strict):
    unchecked = len(value)
    if fields == "-":
        fields = ""
    for field in fields.split():
        name, kind = field.split(":")
        required = name[-1] == "!"
        if required:
            name = name[:-1]
        if name in value:
            unchecked -= 1
            item = value[name]
            if strict or required or item is not None:
                _value(tables, profile, kind, item, path + name, strict)
        elif required:
            raise OcppError(_MISSING, path + name + ": missing")
    if strict and unchecked:
        for name in value:
            if type(name) is not str or not _has(_names(fields), name):
                raise OcppError(_STRUCTURE, "%s%s: unknown field" % (path, str(name)[:40]))


def _names(fields):
    names = " "
    for field in fields.split():
        names += field.split(":")[0].rstrip("!") + " "
    return names


def _value(tables, profile, kind, value, path, strict):
    """Check one value. path -- where it is, for the description."""
    if kind[-1] == "]":
        if type(value) is not list:
            raise OcppError(_TYPE, path + ": not a list")
        kind, _, least = kind.partition("[")
        if not value and least != "]":
            raise OcppError(_MISSING, path + ": empty")
        for i in range(len(value)):
            _value(tables, profile, kind, value[i], "%s[%d]" % (path, i), strict)
    elif kind[:3] == "int":
        if type(value) is not int:  # bool is another type on MicroPython, as it should be
            raise OcppError(_TYPE, path + ": not an integer")
        if not -_MAX_INT < value < _MAX_INT or (kind != "int" and value < int(kind[3:])):
            raise OcppError(_VALUE, path + ": out of range")
    elif kind == "num1":
        if type(value) is not int and type(value) is not float:
            raise OcppError(_TYPE, path + ": not a number")
        if not _is_tenths(value):
            raise OcppError(_VALUE, path + ": more than one decimal, or out of range")
    elif kind[0] < "a" or "." in kind:
        _named(tables, profile, kind, value, path, strict)
    elif kind != "any":
        if type(value) is not str:
            raise OcppError(_TYPE, path + ": not a string")
        _string(tables, kind, value, path, strict)


def _string(tables, kind, value, path, strict):
    if kind == "dt":
        parse = tables.get(kind)
        if parse is None:
            parse = tables[kind] = cold("ocpp16.timeparse").parse
        try:
            parse(value, any_year=True)
        except ValueError:
            raise OcppError(_VALUE, path + ": not a date-time")
    elif kind == "uri":
        if ":" not in value[1:]:
            raise OcppError(_VALUE, path + ": not a URI")
    elif strict and kind != "s" and len(value) > int(kind[1:]):
        raise OcppError(_VALUE, "%s: longer than %s" % (path, kind[1:]))


def _named(tables, profile, kind, value, path, strict):
    """An object or an enumeration: `Name` of the same profile or `profile.Name`."""
    home, _, name = kind.rpartition(".")
    profile = home or profile
    table = _table(tables, profile)
    content = _line(table, name) if table else ""  # a type of a profile left out: any object, nobody will look inside
    if content[:1] == "=":
        if type(value) is not str:
            raise OcppError(_TYPE, path + ": not a string")
        if not _has(content + " ", value):
            raise OcppError(_VALUE, "%s: not one of%s" % (path, content[1:]))
    elif type(value) is not dict:
        raise OcppError(_TYPE, path + ": not an object")
    elif table:
        _object(tables, profile, content, value, path + ".", strict)


def _is_tenths(value):
    """Has this number at most one decimal? Within what 32-bit floats can tell; infinities have none."""
    tenths = value * 10
    if not -_MAX_INT < tenths < _MAX_INT:
        return False
    if type(value) is int:
        return True
    return abs(tenths - round(tenths)) <= abs(tenths) * 2e-7
