"""What is answered for a profile that is not built in. A cold module (see lib/cold.py).

Source: OCPP-J 1.6, section 4.2.3; OCPP 1.6 edition 2, sections 5.10, 5.13 and 5.15: three answers have a word for it.
"""

from ..errors import OcppError

_ANSWERS = {
    "GetLocalListVersion": {"listVersion": -1},
    "ReserveNow": {"status": "Rejected"},
    "SendLocalList": {"status": "NotSupported"},
}


def handler(action):
    """A handler for an action nobody serves; OcppError for one whose answer cannot say so."""
    answer = _ANSWERS.get(action)
    if answer is None:
        raise OcppError("NotSupported", action)
    return lambda cp, payload: answer
