"""LocalAuthListManagement profile. Source: OCPP 1.6 edition 2, sections 5.10, 5.15 and 3.5.2, with errata.

The list is read and written where the store keeps its files; a store without a folder has no list.
"""

import asyncio

from cold import cold


def on_GetLocalListVersion(cp, payload):
    """-1: no list, or switched off; 0: it is empty."""
    if not _enabled(cp):
        return {"listVersion": -1}
    try:
        return {"listVersion": cold("ocpp16.auth_store").version(cp.store.folder)}
    except ValueError as exc:  # damaged, and set aside now
        cp.log.error("ocpp", exc)
        return {"listVersion": 0}


async def on_SendLocalList(cp, payload):
    """Takes about 60 ms of flash for each 4 kB of list, and pauses between its steps: others charge meanwhile."""
    if not _enabled(cp):
        return {"status": "NotSupported"}
    auth_store = cold("ocpp16.auth_store")
    folder, number = cp.store.folder, payload["listVersion"]
    full = payload["updateType"] == "Full"
    try:
        if number <= 0:
            raise ValueError("listVersion %d" % number)
        if not full and number <= auth_store.version(folder):
            return {"status": "VersionMismatch"}
        rows, most = payload.get("localAuthorizationList") or [], cp.config.get("SendLocalListMaxLength")
        changes = _changes(rows, full, most, auth_store.head)
        limit = cp.config.get("LocalAuthListMaxLength")
        for _ in auth_store.change(folder, auth_store.LIST, number, changes, not full, limit):
            await asyncio.sleep_ms(0)
    except (OSError, ValueError) as exc:
        cp.log.error("ocpp", exc)
        return {"status": "Failed"}
    cold("ocpp16.tag_info").list_changed(cp, changes)
    return {"status": "Accepted"}


def _enabled(cp):
    return cp.store.folder is not None and cp.config.get("LocalAuthListEnabled", False)


def _changes(rows, full, limit, head_of):
    """{head: entry, or None for "take it out"} of a request. ValueError when it is not one that can be served."""
    if len(rows) > limit:
        raise ValueError("%d tags in one SendLocalList" % len(rows))
    entry_of, parse = cold("ocpp16.authorization").entry_of, cold("ocpp16.timeparse").parse
    changes = {}
    while rows:
        row = rows.pop()  # its memory is free again
        info = row.get("idTagInfo")
        if full and info is None:
            raise ValueError("id tag without idTagInfo")
        head = head_of(row["idTag"])
        if head in changes:
            raise ValueError("id tag comes twice")
        changes[head] = info and entry_of(info, parse)
    return changes
