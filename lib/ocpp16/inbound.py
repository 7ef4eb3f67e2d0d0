"""What a received message does: requests are served, answers reach their call. A cold module (see lib/cold.py).

Sources: OCPP-J 1.6, sections 4.1 and 4.2.
"""

from cold import cold

from .errors import OcppError

_EMPTY = ("MeterValues", "StatusNotification")  # their answers say nothing


def take(cp, link, message):
    """Handle one message (str; bytes are counted and dropped); return the text of the answer to send, or None.

    A coroutine that returns the text, when the handler is one.
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
        return _serve(cp, uid, third, fourth)
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


def _serve(cp, uid, action, payload):
    """Answer text for a CALL; None when it must stay unanswered. Never raises."""
    if cp.registration == "Rejected":
        return None
    try:
        answer = _handled(cp, action, payload)
        return _later(cp, uid, answer) if hasattr(answer, "send") else cold("ocpp16.pack").result(uid, answer)
    except OcppError as exc:
        _count(cp, "refused_calls")
        cp.log.warn("ocpp", "%s refused: %s %s" % (action, exc.code, exc.description))
        return cold("ocpp16.pack").error(uid, exc.code, exc.description)
    except Exception as exc:  # noqa: BLE001 - a bug of ours must not cost the connection
        cp.log.error("ocpp", exc)
        return cold("ocpp16.pack").error(uid, "InternalError", type(exc).__name__)


def _handled(cp, action, payload):
    """Payload of the answer. A function of its own: what it loaded is garbage when the answer is put together."""
    schema = cold("ocpp16.schema")
    schema.check_request(action, payload, cp.profiles)
    schema = None
    profile = cold("ocpp16.actions").known(action)[0]
    return _handler(cp, profile, action)(cp, payload or {})


async def _later(cp, uid, answer):
    try:
        payload = await answer
        return cold("ocpp16.pack").result(uid, payload)
    except Exception as exc:  # noqa: BLE001 - as above
        cp.log.error("ocpp", exc)
        return cold("ocpp16.pack").error(uid, "InternalError", type(exc).__name__)


def _handler(cp, profile, action):
    handler = None
    if profile in cp.profiles:
        handler = getattr(cold("ocpp16.profiles." + profile), "on_" + action, None)
    return handler or cold("ocpp16.profiles.absent").handler(action)


def _count(cp, name):
    cp.counters[name] = cp.counters.get(name, 0) + 1
