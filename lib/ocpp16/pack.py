"""Answers as text of OCPP-J message arrays, see rpc. Pure, and a cold module (see lib/cold.py)."""

import json

from micropython import const

_MAX_DESCRIPTION = const(255)  # later OCPP editions give this limit; nothing longer helps a reader
_COMPACT = (",", ":")


def result(uid, payload):
    """Return the text of a CALLRESULT, or the pieces of it.

    payload -- dict; JSON text, where json could not print it; or pieces of it when it is too large to be put together
    """
    head = "[3,%s," % json.dumps(uid)
    if type(payload) is list:
        payload.insert(0, head)
        payload.append("]")
        return payload
    return head + (payload if type(payload) is str else dumps(payload)) + "]"


def error(uid, code, description="", details=None):
    """Return the text of a CALLERROR; a long description is cut."""
    return "[4,%s,%s,%s,%s]" % (
        json.dumps(uid),
        json.dumps(code),
        json.dumps(description[:_MAX_DESCRIPTION]),
        dumps(details or {}),
    )


def dumps(value):
    """Compact JSON text. Do not pass floats: the port prints 76.4 with 16 digits."""
    return json.dumps(value, separators=_COMPACT)
