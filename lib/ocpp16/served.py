"""The answer to a CALL of the central system. A cold module (see lib/cold.py).

Sources: OCPP-J 1.6, sections 4.1 and 4.2. What a handler in profiles/ returns: see profiles/__init__.py.
"""

from cold import cold

from .errors import OcppError


def answer(cp, uid, action, payload):
    """Answer text for a CALL, a coroutine that returns it, or None: it must stay unanswered. Never raises."""
    if cp.registration == "Rejected":
        return None
    try:
        found = _handled(cp, action, payload)
        return _later(cp, uid, found) if hasattr(found, "send") else cold("ocpp16.pack").result(uid, found)
    except OcppError as exc:
        cp.counters["refused_calls"] = cp.counters.get("refused_calls", 0) + 1
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
    found = _handler(cp, profile, action)(cp, payload or {})
    if type(found) is tuple:  # a long one: the module that makes it, alone in the room, and its arguments
        found = cold(found[0]).answer(*found[1:])
    return found


async def _later(cp, uid, coming):
    try:
        payload = await coming
        return cold("ocpp16.pack").result(uid, payload)
    except Exception as exc:  # noqa: BLE001 - as above
        cp.log.error("ocpp", exc)
        return cold("ocpp16.pack").error(uid, "InternalError", type(exc).__name__)


def _handler(cp, profile, action):
    handler = None
    if profile in cp.profiles:
        handler = getattr(cold("ocpp16.profiles." + profile), "on_" + action, None)
    return handler or cold("ocpp16.profiles.absent").handler(action)
