"""Named values in a journal, and its dead letters. A cold module: see journal_store.

Kinds of records: 1 in the queue, 2 a dead letter, 3 a value. A value is a record `name value`, its tag made from
the name, so that no table of names lies in RAM.
"""

import binascii
import json

from cold import cold
from journal import Journal
from micropython import const

_QUEUED = const(1)
_BURIED = const(2)
_VALUE = const(3)
_MAX_BURIED = const(32)


def fill(store, files, clock, limits):
    """Open the journal; of each name the last value counts."""
    names = {}  # name -> number of the record with its value

    def found(seq, kind, data):
        if kind != _VALUE:
            return None
        name = str(data[: data.find(b" ")], "utf-8")
        old = names.get(name, seq)
        names[name] = seq
        return old if old != seq else None  # the same: a copy made for tidying up

    Journal.__init__(store, files, clock, found=found, **limits)
    store.folder = store.where if isinstance(store.where, str) else None


def put(store, name, value, urgent):
    """See journal_store."""
    seq, data = _look(store, name)
    if value is None:
        if seq:
            store.discard(seq, urgent)
        return
    text = (name + " " + json.dumps(value)).encode()
    if text != data:
        store.append(text, True, urgent, _tag(name), _VALUE, seq)
    elif urgent and store.waiting:
        store.flush()


def get(store, name, default):
    """See journal_store."""
    seq, data = _look(store, name)
    if not seq:
        return default
    try:
        value = json.loads(str(data[len(name.encode()) + 1 :], "utf-8"))
        if default is None or type(value) is type(default):
            return value
    except ValueError:
        pass
    store.discard(seq, False)
    return default


def bury(store, seq, back):
    """See journal_store."""
    try:
        cold("journal_tidy").change(store, seq, _QUEUED if back else _BURIED)
    except ValueError:
        return
    for old in store.buried()[:-_MAX_BURIED]:
        store.discard(old, False)


def _tag(name):
    return binascii.crc32(name.encode()) & 0x3FFF


def _look(store, name):
    """(number of the record with that value, its data), or (0, None)."""
    info = _tag(name) << 16 | _VALUE << 14
    begin = (name + " ").encode()
    for i in range(len(store.infos) - 1, -1, -1):
        if store.infos[i] & ~0x3FFF == info:
            seq = store.seqs[i]
            try:
                data = store.read(seq)
            except KeyError:  # damaged
                store.discard(seq, False)
                break
            if data[: len(begin)] == begin:
                return seq, data
    return 0, None
