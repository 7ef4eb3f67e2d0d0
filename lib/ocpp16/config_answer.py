"""GetConfiguration.conf, in pieces of some 250 characters: no other answer is as long. A cold module.

Source: OCPP 1.6 edition 2, section 5.8, with errata.
"""

import json

from cold import cold
from micropython import const

from .errors import OcppError

_MAX_ASKED = const(250)  # keys in one GetConfiguration: far above GetConfigurationMaxKeys, it bounds the work
_PIECE = const(200)  # characters; a piece has the entry that crosses it


def answer(config, keys=None):
    """Pieces of the JSON text of GetConfiguration.conf: some 4 kB for all keys, so no dict and no copy is made.

    keys -- list of str from the request; None or empty: all that can be read. A key asked for twice comes once. The
    entries come in the order they were asked for. Raises OcppError when more are asked for than can be served.
    """
    if keys:
        if len(keys) > _MAX_ASKED:
            raise OcppError("OccurenceConstraintViolation", "key: more than %d" % _MAX_ASKED)
        found = {}  # lower case: the entry; "", while there is none
        for key in keys:
            found[key.lower()] = ""
        for name, text in _entries(config, found):
            found[name.lower()] = text
        unknown = []
        texts = []
        for key in keys:
            text = found.pop(key.lower(), None)
            if text:
                texts.append(text)
            elif text is not None:
                unknown.append(key)
        found = None
        tail = json.dumps(unknown, separators=(",", ":")) if unknown else ""
        if not texts:
            return ['{"unknownKey":%s}' % tail]
        tail = '],"unknownKey":%s}' % tail if tail else "]}"
    else:
        texts = (text for _, text in _entries(config, None))
        tail = "]}"
    pieces = []
    piece = '{"configurationKey":['
    comma = ""
    for text in texts:
        piece += comma + text
        comma = ","
        if len(piece) > _PIECE:
            pieces.append(piece)
            piece = ""
    pieces.append(piece + tail)
    return pieces


def _entries(config, wanted):
    """(name, JSON text) of every key that can be read, or of the wanted (lower case: anything)."""
    for columns in cold("ocpp16.config_rows").each_once(config.rows()):
        name, access, _, default = columns[:4]
        if access == "W" if wanted is None else name.lower() not in wanted:
            continue
        text = '{"key":"%s","readonly":%s' % (name, "true" if access == "R" else "false")
        if access != "W":
            text += ',"value":' + json.dumps(config.texts.get(name, default))
        yield name, text + "}"
