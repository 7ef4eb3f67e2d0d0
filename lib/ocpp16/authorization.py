"""Who may charge: decisions as pure functions. A cold module (see lib/cold.py).

An *entry* is what is known of an id tag: (status, expiry, parent) -- AuthorizationStatus, Unix seconds or None, id of
its group or None. Source: OCPP 1.6 edition 2, sections 3.5, 4.1, 4.10 and 9.1, with errata.
"""

from micropython import const

ACCEPT = const(0)
REFUSE = const(1)
ASK = const(2)  # the central system decides


def same(one, other):
    """Are these the same id tag (or group)? The letter case does not count (CiString20). None is like nothing."""
    return one is not None and other is not None and one.lower() == other.lower()


def entry_of(info, parse):
    """Entry, as a list, of an idTagInfo. parse -- timeparse.parse. ValueError: expiryDate is unreadable."""
    expiry = info.get("expiryDate")
    if expiry is not None:
        expiry = parse(expiry, any_year=True)
    return [info["status"], expiry, info.get("parentIdTag")]


def is_valid(entry, now, listed=False):
    """May the owner of this entry charge?

    now -- Unix seconds; None: the clock was never set, and no entry with an end can be trusted.
    listed -- the entry is of the local list, where ConcurrentTx stands for a valid tag (section 3.5.2).
    """
    status, expiry, _ = entry
    if status != "Accepted" and not (listed and status == "ConcurrentTx"):
        return False
    return expiry is None or (now is not None and now < expiry)


def decide(listed, cached, online, now, keys):
    """Return (ACCEPT, REFUSE or ASK, parent of an accepted tag or None) for a presented or remote id tag.

    listed, cached -- entry of the local list and of the cache, or None
    keys -- get(name, default) of the configuration: LocalAuthListEnabled, AuthorizationCacheEnabled,
    LocalPreAuthorize, LocalAuthorizeOffline, AllowOfflineTxForUnknownId; a key that is not there is a function that is
    not there. The list comes before the cache. Offline, a known tag is never treated as an unknown one.
    """
    entry = None
    if listed is not None and keys("LocalAuthListEnabled", False):
        entry, valid = listed, is_valid(listed, now, True)
    elif cached is not None and keys("AuthorizationCacheEnabled", False):
        entry, valid = cached, is_valid(cached, now)
    if entry is None:
        if online:
            return ASK, None
        return (ACCEPT if keys("AllowOfflineTxForUnknownId", False) else REFUSE), None
    if valid and keys("LocalPreAuthorize" if online else "LocalAuthorizeOffline", not online):
        return ACCEPT, entry[2]
    return (ASK if online else REFUSE), None


def may_stop(tx_tag, tx_parent, id_tag):
    """Does an id tag end the transaction of another or the same tag?

    ACCEPT: yes, it is the same. REFUSE: no, and nobody needs to be asked: the transaction belongs to no group.
    ASK: when `decide` or the central system accepts the tag, and `same(tx_parent, its parent)`.
    """
    if same(tx_tag, id_tag):
        return ACCEPT
    return REFUSE if tx_parent is None else ASK


def contradicts(listed, status, now):
    """Does an answer of the central system contradict the entry of the local list (LocalListConflict)?

    Without a clock the end of an entry is not judged.
    """
    if now is None:
        listed = (listed[0], None, None)
    return is_valid(listed, now, True) != (status in ("Accepted", "ConcurrentTx"))
