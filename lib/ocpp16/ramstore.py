"""A store that forgets: see store for the face."""

import json


class RamStore:
    """Keeps everything in memory: for tests, and for chargers that may forget."""

    def __init__(self):
        self.folder = None  # no place for files
        self.records = {}
        self.values = {}
        self.buried = []
        self._next = 1

    def append(self, text):
        seq = self._next
        self._next += 1
        self.records[seq] = text
        return seq

    def read(self, seq):
        return self.records[seq]

    def discard(self, seq):
        self.records.pop(seq, None)

    def bury(self, seq):
        text = self.records.pop(seq, None)
        if text is not None:
            self.buried.append(text)

    def pending(self):
        return sorted(self.records)

    def put(self, name, value):
        if value is None:
            self.values.pop(name, None)
        else:
            self.values[name] = json.dumps(value)

    def get(self, name, default=None):
        text = self.values.get(name)
        return default if text is None else json.loads(text)
