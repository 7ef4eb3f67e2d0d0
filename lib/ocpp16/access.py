"""AuthorizationKey and SecurityProfile: their forms, their change, and the way back. A cold module (see lib/cold.py).

Source: security white paper for OCPP 1.6-J (edition 3), sections 2 and 5 (Basic, upgrade of the profile); RFC 7617.

What the central system sets is on trial until a connection was opened with it; what worked before is kept. After three
failures of the new one, the old one gets one attempt, then the new one again, and so on: the first that connects stays.
A key fails when it is refused (401, 403), a profile when it does not connect at all.
"""

import hashlib
from binascii import hexlify, unhexlify

from cold import cold
from micropython import const

from .errors import HangUp

# Configuration keys, for a charge point that joins an Access. Notation: see config_rows.
ROWS = """\
AuthorizationKey W str - 16..40
SecurityProfile RW int 0 0..2
"""

_NAME = "access"
_TRIES = const(3)
_REFUSED = (401, 403)
# The record: what is in use, and what is on trial
_MARK = const(0)  # stands for the local settings
_PROFILE = const(1)
_KEY = const(2)  # in hex
_NEXT_PROFILE = const(3)  # None: nothing is on trial
_NEXT_KEY = const(4)


def key_of(text):
    """Bytes of an AuthorizationKey: of an even number of 32 to 40 hex digits those they spell, else the text's own."""
    if 32 <= len(text) <= 40 and len(text) % 2 == 0:
        try:
            return unhexlify(text)
        except ValueError:
            pass
    return text.encode()


def _load(access):
    """The record: stored, or made from the local settings."""
    url, identity, key, profile = access.values[:4]
    key = _hex(key_of(key) if isinstance(key, str) else key or b"")
    if profile is None:
        profile = 0
        if key:
            profile = 2 if url[:6].lower() == "wss://" else 1
    mark = hashlib.sha256(repr((url, identity, key, profile)).encode()).digest()
    record = [_hex(mark[:8]), profile, key, None, ""]
    stored = access.cp.store.get(_NAME) if access.cp is not None else None
    if type(stored) is list and len(stored) == len(record) and stored[_MARK] == record[_MARK]:
        try:
            unhexlify(stored[_KEY]), unhexlify(stored[_NEXT_KEY])
            if stored[_PROFILE] in (0, 1, 2) and stored[_NEXT_PROFILE] in (None, 0, 1, 2):
                return stored
        except (ValueError, TypeError):
            pass  # damaged
    return record


def _is_on_trial(access, record):
    return record[_NEXT_PROFILE] is not None and access.tries < _TRIES


def tell(access):
    """Have GetConfiguration show the profile in use."""
    access.cp.config.set_internal("SecurityProfile", str(_load(access)[_PROFILE]))


def change(access, key, value):
    """ChangeConfiguration of one of the two keys: its status; None: it is another key.

    Accepted is durable; the connection ends as soon as the answer is sent, and the next one shows what it is worth.
    """
    key = key.lower()
    if key not in ("authorizationkey", "securityprofile"):
        return None
    cp, record = access.cp, _load(access)
    if record[_NEXT_PROFILE] is None:
        record[_NEXT_PROFILE:] = record[_PROFILE:_NEXT_PROFILE]
    if key[0] == "a":
        data = key_of(value)
        accepted = 16 <= len(data) <= 20
        record[_NEXT_KEY] = _hex(data)
    else:
        profile = record[_NEXT_PROFILE] = int(value) if value in ("1", "2") else 0
        accepted = profile > record[_PROFILE] and record[_NEXT_KEY] and (profile == 1 or _has_roots(access))
    if not accepted:
        return "Rejected"
    try:
        cp.store.put(_NAME, record)
    except Exception as exc:  # noqa: BLE001 - whatever the storage raises, the central system gets an answer
        cp.log.error("security", exc)
        return "Rejected"
    cp.log.info("security", "set by the central system: " + key)
    access.tries = 0
    cp.after_answer(_hang_up)
    return "Accepted"


def _hang_up():
    raise HangUp("the credentials have changed")


def _has_roots(access):
    try:
        return roots(access)
    except OSError:
        return None


def roots(access):
    """The trusted roots (bytes), or None. OSError."""
    cadata = access.values[5]
    if isinstance(cadata, str) and cadata:
        with open(cadata, "rb") as f:
            cadata = f.read()
    return cadata or None


def attempt(access):
    """What to try now: (URL, arguments for wsclient.connect). ValueError, OSError: it cannot be tried."""
    url, identity, _, _, tls_port, _, check_hostname, lenient = access.values
    record = _load(access)
    at = _NEXT_PROFILE if _is_on_trial(access, record) else _PROFILE
    profile, key = record[at : at + 2]
    if profile and not key:
        raise ValueError("security profile %d needs an AuthorizationKey" % profile)
    url = cold("ocpp16.url").endpoint(url, identity)
    if profile == 2:
        url = cold("ocpp16.url").with_tls(url, tls_port)
    options = {"allow_missing_subprotocol": lenient}
    if key:
        options["user"], options["password"] = identity.encode(), unhexlify(key)
        if ":" in identity:
            _warn(access, "the identity has a colon: HTTP Basic takes what follows it for the password")
    if url[:3] == "wss":
        options["cadata"] = roots(access)
        options["check_hostname"] = check_hostname
        if not check_hostname:
            _warn(access, "the name of the server is NOT checked (check_hostname is off)")
    return url, options


def refused(access, exc):
    """The attempt came to nothing."""
    record = _load(access)
    if not _is_on_trial(access, record):
        access.tries = 0
    elif record[_NEXT_PROFILE] != record[_PROFILE] or getattr(exc, "status", 0) in _REFUSED:
        access.tries += 1
        if access.tries == _TRIES:
            _warn(access, "the new credentials do not connect: the old ones get one attempt")


def welcome(access):
    """A connection is open: what opened it is from now on what is known to work."""
    record = _load(access)
    if record[_NEXT_PROFILE] is None:
        return
    if _is_on_trial(access, record):
        record[_PROFILE:_NEXT_PROFILE] = record[_NEXT_PROFILE:]
        _warn(access, "the new credentials work")
    else:
        _warn(access, "the old credentials work, the new ones are dropped")
    record[_NEXT_PROFILE:] = [None, ""]
    access.tries = 0
    try:
        access.cp.store.put(_NAME, record)
    except Exception as exc:  # noqa: BLE001 - still on trial: the next connection decides again
        access.cp.log.error("security", exc)
    tell(access)


def _warn(access, text):
    if access.cp is not None:
        access.cp.log.warn("security", text)


def _hex(data):
    return str(hexlify(data), "ascii")
