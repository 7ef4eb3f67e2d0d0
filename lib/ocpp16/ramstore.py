"""A store that forgets: see journal_store for the face."""

import json


class RamStore:
    """Keeps everything in memory: for tests, and for chargers that may forget."""

    def __init__(self):
        self.folder = None  # no place for files
        self.records = {}  # number -> (data, tag)
        self.dead = {}
        self.values = {}
        self._next = 1

    def append(self, data, vital=False, urgent=True, tag=0):
        seq = self._next
        self._next += 1
        self.records[seq] = (data, tag)
        return seq

    def read(self, seq):
        return self._record(seq)[0]

    def tag(self, seq):
        return self._record(seq)[1]

    def _record(self, seq):
        return (self.records if seq in self.records else self.dead)[seq]

    def discard(self, seq, urgent=True):
        self.records.pop(seq, None)
        self.dead.pop(seq, None)

    def bury(self, seq, back=False):
        if back:
            self.records[seq] = self.dead.pop(seq)
        elif seq in self.records:
            self.dead[seq] = self.records.pop(seq)
            if len(self.dead) > 32:
                self.dead.pop(min(self.dead))

    def pending(self, after=0, limit=None):
        return sorted([seq for seq in self.records if seq > after])[:limit]

    def buried(self):
        return sorted(self.dead)

    def put(self, name, value, urgent=True):
        if value is None:
            self.values.pop(name, None)
        else:
            self.values[name] = json.dumps(value)

    def get(self, name, default=None):
        text = self.values.get(name)
        value = None if text is None else json.loads(text)
        if text is None or (default is not None and type(value) is not type(default)):
            return default
        return value

    def flush(self):
        pass

    def tick(self):
        pass
