"""The store of a charge point on a journal: the face of `store`, and what a long queue needs.

Beyond that face:

    append(text, vital=False, urgent=True, tag=0)   vital: may use the space kept for Start and StopTransaction;
                                                    urgent=False: durable within 60 s; tag: 0..16383, see `tag`
    discard(seq, urgent=True), put(name, value, urgent=True)
    pending(after=0, limit=None)                    part of the queue, so that nobody must hold all of it
    tag(seq)                                        without reading the record
    buried()                                        numbers of the dead letters, oldest first; read and discard work
    flush(), tick()                                 now; about once a second
    journal                                         its counters, and `on_full`

A dead letter more than 32 replaces the oldest one. Names have up to 48 bytes and no space. OSError(ENOSPC): no space,
also after `journal.on_full` was asked to discard something.
"""

import json

from micropython import const

_QUEUED = const(1)
_BURIED = const(2)
_VALUE = const(3)

_MAX_BURIED = const(32)


class JournalStore:
    """journal -- a Journal that is not open yet. OSError when there is no file system."""

    def __init__(self, journal):
        self.journal = journal
        self._names = names = {}  # name -> number of the record with its value

        def found(seq, kind, data):
            if kind != _VALUE:
                return None
            name = str(data[: data.find(b" ")], "utf-8")
            old = names.get(name, seq)
            names[name] = seq
            return old if old != seq else None  # the same: a copy made for tidying up

        journal.open(found)
        alive = journal.numbers(_VALUE)
        for name in list(names):
            if names[name] not in alive:
                del names[name]

    def append(self, text, vital=False, urgent=True, tag=0):
        return self.journal.append(_QUEUED, text.encode(), tag, urgent, vital)

    def read(self, seq):
        return str(self.journal.read(seq), "utf-8")

    def tag(self, seq):
        return self.journal.tag(seq)

    def discard(self, seq, urgent=True):
        self.journal.drop(seq, urgent)

    def bury(self, seq):
        try:
            self.journal.change(seq, _BURIED)
        except KeyError:
            return
        for old in self.buried()[:-_MAX_BURIED]:
            self.journal.drop(old, False)

    def pending(self, after=0, limit=None):
        return self.journal.numbers(_QUEUED, after, limit)

    def buried(self):
        return self.journal.numbers(_BURIED)

    def put(self, name, value, urgent=True):
        journal = self.journal
        old = self._names.get(name, 0)
        if value is None:
            if old:
                del self._names[name]
                journal.drop(old, urgent)
            return
        data = (name + " " + json.dumps(value)).encode()
        if old:
            try:
                if journal.read(old) == data:
                    if urgent and journal.waiting:
                        journal.flush()
                    return
            except KeyError:  # damaged
                journal.drop(old, False)
                old = 0
        self._names[name] = journal.append(_VALUE, data, 0, urgent, True, old)

    def get(self, name, default=None):
        seq = self._names.get(name)
        if seq is not None:
            try:
                return json.loads(str(self.journal.read(seq)[len(name.encode()) + 1 :], "utf-8"))
            except (KeyError, ValueError):
                self.put(name, None)
        return default

    def flush(self):
        self.journal.flush()

    def tick(self):
        self.journal.tick()
