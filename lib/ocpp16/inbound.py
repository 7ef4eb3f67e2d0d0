"""What a received message is; answers reach their call. A cold module (see lib/cold.py). Requests: see served.

Sources: OCPP-J 1.6, sections 4.1 and 4.2.
"""

from cold import cold

from .errors import OcppError

_EMPTY = ("MeterValues", "StatusNotification")  # their answers say nothing


def take(cp, link, message):
    """Handle one message (str; bytes are counted and dropped). Returns None, the text of an answer to send, or, when it
    is a CALL, what served.answer() needs: (uid, action, payload).
    """
    if not isinstance(message, str):
        _count(cp, "binary")
        return None
    rpc = cold("ocpp16.rpc")
    try:
        kind, uid, third, fourth, _ = rpc.unpack(message)
    except rpc.Malformed as exc:
        _count(cp, "malformed")
        if exc.uid is None:
            cp.log.warn("ocpp", "message dropped: " + exc.description)
            return None
        return cold("ocpp16.pack").error(exc.uid, exc.code, exc.description)
    is_call, is_error = kind == rpc.CALL, kind == rpc.CALLERROR
    rpc = None  # the rest needs the room
    if is_call:
        return uid, third, fourth
    answers = cold("ocpp16.answers")
    call = link.pending
    if call is not None and call.uid == uid:
        link.pending = None
        link.event.set()
    else:
        call = answers.waiting(cp.outbox, uid)
        if call is None:
            _count(cp, "late_answers")
            return None
    if is_error:
        _count(cp, "call_errors")
        answers.refused(cp.outbox, call, "CALLERROR %s %s" % (third, fourth))
        return None
    try:
        if call.action not in _EMPTY:
            cold("ocpp16.schema").check_response(call.action, third)
    except OcppError as exc:
        _count(cp, "bad_answers")
        answers.refused(cp.outbox, call, "unusable answer: " + exc.description)
    else:
        answers.answered(cp.outbox, call, third)
    return None


def timed_out(cp, call):
    """The pending call has had no answer in time."""
    _count(cp, "timeouts")
    cold("ocpp16.answers").refused(cp.outbox, call, "no answer")


def _count(cp, name):
    cp.counters[name] = cp.counters.get(name, 0) + 1
