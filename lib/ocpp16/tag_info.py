"""What the central system says about id tags: cache, and conflicts with the list. A cold module (see lib/cold.py).

Source: OCPP 1.6 edition 2, sections 3.4, 3.5 and 5.4.
"""

import json

from cold import cold
from micropython import const

_CACHE_SIZE = const(100)  # tags in the cache: some 5 kB of flash


def answered(cp, call, payload):
    """A queued call was answered: StartTransaction and StopTransaction say something about the tag they carry."""
    info = payload.get("idTagInfo")
    if info is not None and call.action in ("StartTransaction", "StopTransaction"):
        id_tag = json.loads(call.text).get("idTag")
        if id_tag is not None:
            learned(cp, id_tag, info)


def learned(cp, id_tag, info):
    """Keep an idTagInfo of the central system in the cache; of a listed tag, tell if it contradicts the list."""
    authorization, auth_store = cold("ocpp16.authorization"), cold("ocpp16.auth_store")
    now = cp.clock.utc()
    try:
        listed, _ = auth_store.known(cp, id_tag)
        if listed is not None:
            if authorization.contradicts(listed, info["status"], now):
                cp.log.warn("ocpp", "the local list is wrong about an id tag")
                cp.counters["list_conflicts"] = cp.counters.get("list_conflicts", 0) + 1
                cold("ocpp16.statuses").tell_zero(cp, "LocalListConflict")
        elif _has_cache(cp):
            entry = authorization.entry_of(info, cold("ocpp16.timeparse").parse)
            auth_store.remember(
                cp.store.folder, id_tag, entry, _CACHE_SIZE, lambda other: authorization.is_valid(other, now)
            )
    except (OSError, ValueError) as exc:  # the answer is as good without
        cp.log.error("ocpp", exc)


def clear_cache(cp):
    """Status of ClearCache.conf."""
    if not _has_cache(cp):
        return "Rejected"
    auth_store = cold("ocpp16.auth_store")
    try:
        auth_store.remove(cp.store.folder, auth_store.CACHE)
    except OSError as exc:
        cp.log.error("ocpp", exc)
        return "Rejected"
    return "Accepted"


def list_changed(cp, changes):
    """A new local list is in force: what is in it leaves the cache, and a conflict that was told is over."""
    try:
        cold("ocpp16.auth_store").forget(cp.store.folder, [head for head in changes if changes[head] is not None])
    except (OSError, ValueError) as exc:
        cp.log.error("ocpp", exc)
    if cp.counters.pop("list_conflicts", 0):
        cold("ocpp16.statuses").tell_zero(cp)


def _has_cache(cp):
    return cp.store.folder is not None and cp.config.get("AuthorizationCacheEnabled", False)
