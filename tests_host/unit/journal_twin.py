"""A journal store beside a plain model of it, a random workload, and the comparison after a cut."""

from ocpp16.journal_store import JournalStore

SMALL = {"segment": 512, "segments": 5, "records": 40}


class Twin:
    """Does everything twice, and notes what must be found after a cut during any operation of the files.

    files -- PowerFiles or anything whose `trace` grows with each operation.
    """

    def __init__(self, files, clock, seed=1, **limits):
        self._files = files
        self._clock = clock
        self.store = JournalStore(files, clock, **(limits or SMALL))
        self.thins = True
        self._now = {}  # ("q" queued or "d" dead, seq) -> text, ("v", name) -> value
        for seq in self.store.pending():
            self._now["q", seq] = str(self.store.read(seq), "utf-8")
        for seq in self.store.buried():
            self._now["d", seq] = str(self.store.read(seq), "utf-8")
        for name in NAMES:
            if self.store.get(name) is not None:
                self._now["v", name] = self.store.get(name)
        self._states = [dict(self._now)]
        self._calls = []  # (length of the trace, oldest state that a cut may lead back to)
        self._safe = 0
        self._random = seed
        self.counts = {}

    def random(self, below):
        self._random = (self._random * 1103515245 + 12345) & 0x3FFFFFFF
        return (self._random >> 8) % below

    def _thin(self):
        plain = [seq for seq in self.store.pending() if not self.store.tag(seq)]
        for seq in plain[::2]:
            self.store.discard(seq, False)
            self._now.pop(("q", seq))
        self.counts["thin"] = self.counts.get("thin", 0) + 1
        return plain

    def _append(self, *words):
        while True:
            try:
                return self.store.append(*words)
            except OSError as exc:
                if exc.errno != 28 or not self.thins or not self._thin():
                    raise exc

    def work(self, calls, only=None):
        for _ in range(calls):
            self.step(only)

    def step(self, only=None):
        """One call of the store, chosen at random, and the same in the model."""
        store, now = self.store, self._now
        self._calls.append((len(self._files.trace), self._safe))
        what = only or WORK[self.random(len(WORK))]
        urgent = self.random(3) > 0
        queue = store.pending()
        if what == "append":
            vital = self.random(4) == 0
            text = '{"n":%d,"t":"%s"}' % (len(self._states), "xé" * self.random(25))
            try:
                seq = self._append(text.encode(), vital, urgent, 1 if vital else 0)
                now["q", seq] = text
            except OSError as exc:
                assert exc.errno == 28
                what = "full"
        elif what == "discard" and queue:
            seq = queue[self.random(min(3, len(queue)))]
            del now["q", seq]
            store.discard(seq, urgent)
        elif what == "bury" and queue:
            now["d", queue[0]] = now.pop(("q", queue[0]))
            store.bury(queue[0])
            if len(store.buried()) > 3:
                old = store.buried()[0]
                del now["d", old]
                store.discard(old, urgent)
        elif what == "put":
            name = NAMES[self.random(len(NAMES))]
            value = None if self.random(6) == 0 else [len(self._states), "y" * self.random(40)]
            try:
                store.put(name, value, urgent)
                now.pop(("v", name), None)
                if value is not None:
                    now["v", name] = value
            except OSError as exc:
                assert exc.errno == 28
                what = "full"
        elif what == "tick":
            self._clock.advance(self.random(40_000))
            store.tick()
        elif what == "flush":
            store.flush()
        self.counts[what] = self.counts.get(what, 0) + 1
        self._states.append(dict(now))
        if not store.waiting:
            self._safe = len(self._states) - 1

    def check_now(self):
        """The store holds exactly what the model says."""
        compare(self.store, [self._now])

    def after_cut(self, position, store):
        """Compare a store that was opened again after a cut during that operation."""
        calls = self._calls
        call = len(calls) - 1
        low, high = 0, call
        while low < high:  # the last call that began with or before this operation
            middle = (low + high + 1) // 2
            if calls[middle][0] <= position:
                low = middle
            else:
                high = middle - 1
        compare(store, self._states[calls[low][1] : low + 2])


NAMES = ("boot", "tx1", "config", "txids")
WORK = ("append",) * 6 + ("discard",) * 4 + ("put",) * 3 + ("tick",) * 3 + ("bury", "flush")


def found_in(store):
    found = {}
    for seq in store.pending():
        found["q", seq] = str(store.read(seq), "utf-8")
    for seq in store.buried():
        found["d", seq] = str(store.read(seq), "utf-8")
    for name in NAMES:
        value = store.get(name)
        if value is not None:
            found["v", name] = value
    return found


def compare(store, window):
    """Raise unless the store is what it can be when the first state was confirmed and the last one begun."""
    found = found_in(store)
    pending = store.pending()
    assert pending == sorted(set(pending))
    for name in NAMES:
        value = found.get(("v", name))
        assert any(state.get(("v", name)) == value for state in window), (name, value)
    records = {key for state in window for key in state if key[0] != "v"}
    for key in found:
        if key[0] != "v":
            assert key in records, "%s came back" % (key,)
            assert any(state.get(key) == found[key] for state in window), "%s has another text" % (key,)
    for _, seq in records:
        there = ("q", seq) in found or ("d", seq) in found
        always = all(("q", seq) in state or ("d", seq) in state for state in window)
        assert there or not always, "%d is lost" % seq
    missing = None  # of what was not confirmed, a beginning is there
    for seq in sorted(seq for kind, seq in window[-1] if kind == "q"):
        if ("q", seq) not in window[0] and ("d", seq) not in window[0]:
            if ("q", seq) not in found:
                missing = missing or seq
            else:
                assert missing is None, "%d is there without %d" % (seq, missing)
