"""Authorize: the question. The answer goes to tags. A cold module, and small: it stays until the answer comes.

Source: OCPP 1.6 edition 2, section 4.1.
"""

import json

from cold import cold
from micropython import const

_MOST = const(4)  # cards whose answer is awaited


def ask(cp, id_tag, connector_id, profile):
    """Ask the central system about a tag. A card that is being asked about is not asked about again."""
    text = '{"idTag":%s}' % json.dumps(id_tag)
    waiting = [call.text for call in cp.outbox.calls if call.action == "Authorize"]
    if text not in waiting and len(waiting) < _MOST:
        cp.outbox.direct(
            "Authorize",
            text,
            lambda conf, error: cold("ocpp16.tags").authorized(cp, id_tag, connector_id, profile, conf, error),
        )
