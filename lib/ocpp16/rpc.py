"""OCPP-J message arrays: text to fields. Pure, and a cold module (see lib/cold.py). Back to text: pack.

Source: OCPP-J 1.6, section 4, and its errata sheet.

CALL        [2, "<id>", "<Action>", {payload}]
CALLRESULT  [3, "<id>", {payload}]
CALLERROR   [4, "<id>", "<errorCode>", "<description>", {details}]
"""

import json

from cold import cold
from micropython import const

from .errors import OcppError

CALL = 2
CALLRESULT = 3
CALLERROR = 4

_MAX_ID = const(36)  # OCPP-J 1.6, section 4.1.4
_MAX_ECHO = const(255)  # an id longer than allowed is still echoed, up to here
_MAX_DEPTH = const(10)  # the deepest legal message (SetChargingProfile) needs 6
_MAX_STRUCTURE = const(4000)  # bytes that are neither blank nor inside a string: bounds the number of values and digits


class Malformed(OcppError):
    """Raised when a text is not a message that can be handled.

    uid -- what a CALLERROR must carry, or None: there is nobody to answer, the message is dropped and counted.
    """

    def __init__(self, description, uid=None):
        super().__init__("FormationViolation", description)
        self.uid = uid


def unpack(text):
    """Split one received text (str) into five fields.

    Returns (CALL, uid, action, payload dict, None), (CALLRESULT, uid, payload dict, None, None) or
    (CALLERROR, uid, code, description, details dict). A payload of null reads as {}. An answer of the wrong shape comes
    back as a CALLERROR: for the one who asked it is a failed request, and answers are never answered.
    A CALLERROR with missing parts is completed, because it says all that matters by being one.
    Raises Malformed. Payload fields are not checked here: see schema.
    """
    message = _parse(text)
    if type(message) is not list or not message:
        raise Malformed("not a JSON array")
    kind = message[0]
    if type(kind) is not int or not CALL <= kind <= CALLERROR:
        raise Malformed("message type")  # to be ignored: OCPP-J 1.6, section 4.1.3
    size = len(message)
    uid = message[1] if size > 1 else None
    if kind == CALL:
        return _call(message, size, uid)
    if type(uid) is not str:
        raise Malformed("answer without id")
    if kind == CALLERROR:
        message += [None] * 5
        code, description, details = message[2:5]
        return (
            CALLERROR,
            uid,
            code if type(code) is str and code else "GenericError",
            description if type(description) is str else "",
            details if type(details) is dict else {},
        )
    if size == 3:
        payload = {} if message[2] is None else message[2]
        if type(payload) is dict:
            return CALLRESULT, uid, payload, None, None
    return CALLERROR, uid, "FormationViolation", "malformed CALLRESULT", {}


def _call(message, size, uid):
    if type(uid) is not str:
        # A number can be echoed as it came; with anything else the sender could not match the answer.
        raise Malformed("id is not a string", uid if type(uid) is int else None)
    if len(uid) > _MAX_ID:
        raise Malformed("id longer than 36 characters", uid[:_MAX_ECHO])
    if size != 4:
        raise Malformed("a CALL has 4 elements, not %d" % size, uid)
    action, payload = message[2:]
    if type(action) is not str:
        raise Malformed("action is not a string", uid)
    if payload is None:
        payload = {}
    elif type(payload) is not dict:
        raise Malformed("payload is not an object", uid)
    return CALL, uid, action, payload, None


def _parse(text):
    """JSON text -> value, within the bounds of depth and structure. Raises Malformed."""
    data = text.encode()
    _check_brackets(data)
    try:
        return json.loads(cold("ocpp16.surrogates").join(data) if "\\u" in text else data)
    except ValueError:
        raise Malformed("not JSON")


def _check_brackets(data):
    """Raise Malformed unless the brackets of UTF-8 JSON bytes pair off, within the bounds.

    MicroPython's json closes what the text leaves open: half a message would pass for a whole one. It also nests
    without end. The Malformed of a message out of bounds has the id, if that came before the excess.
    """
    depth = structure = payload_at = braces = 0  # braces: one bit for each open level, 1 is {
    in_string = escaped = False
    at = -1
    for byte in data:
        at += 1
        if in_string:
            if escaped:
                escaped = False
            elif byte == 0x5C:  # backslash
                escaped = True
            elif byte == 0x22:  # quote
                in_string = False
            continue
        if byte <= 0x20:
            continue
        structure += 1
        if byte == 0x22:
            in_string = True
        elif byte == 0x5B or byte == 0x7B:  # [ {
            depth += 1
            braces = braces << 1 | (byte >> 5 & 1)
            if depth == 2 and not payload_at:
                payload_at = at
        elif byte == 0x5D or byte == 0x7D:  # ] }
            if not depth or braces & 1 != byte >> 5 & 1:
                raise Malformed("not JSON")
            depth -= 1
            braces >>= 1
        if depth > _MAX_DEPTH or structure > _MAX_STRUCTURE:
            raise Malformed("too deep or too many values", _uid_of(data[:payload_at]))
    if depth or in_string:
        raise Malformed("not JSON")


def _uid_of(head):
    """Id of a CALL whose text is known up to its payload, or None."""
    try:
        message = json.loads(head.decode().rstrip(", \t\r\n") + "]")
    except ValueError:
        return None
    if type(message) is list and len(message) == 3 and message[0] == CALL and type(message[1]) is str:
        return message[1][:_MAX_ECHO]
    return None
