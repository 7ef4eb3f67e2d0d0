"""Where the charge point keeps what must survive a power cut: numbered records and named values.

Two stores with one face, `FileStore` here and `ramstore.RamStore`:

    append(text) -> seq      durable when it returns; seq only grows, also across reboots
    read(seq) -> text        KeyError when it is not there (or was damaged)
    discard(seq)             after the answer; unknown numbers are ignored
    bury(seq)                keep it, but out of the queue: given up after too many attempts
    pending() -> [seq, ...]  ascending
    folder                   where others may keep files of their own; None: nowhere
    put(name, value)         replace a small JSON-able value, durable when it returns; None deletes
    get(name, default=None)  the default also when its type is another: such a file is damaged, too

OSError: the storage failed; nothing was changed.
"""

import binascii
import json
import os


class FileStore:
    """One small file per record and per value, written aside and renamed over.

    littlefs and POSIX rename atomically, so after a cut a file is old or new, never half.
    Each file starts with its CRC-32; what does not match is renamed to `bad-...`, counted
    in `damaged`, and never blocks the queue.
    """

    def __init__(self, folder):
        self.folder = folder
        self.damaged = 0
        _make_folder(folder)
        self._pending = []
        last = 0
        for name in os.listdir(folder):
            kind, _, number = name.partition("-")
            if kind in ("q", "dead", "bad") and number.isdigit():
                last = max(last, int(number))
                if kind == "q":
                    self._pending.append(int(number))
        self._pending.sort()
        # The counter is kept as well: the queue is empty most of the time, and numbers must not return.
        self._next = max(last, self.get("seq", 0)) + 1
        self._reserved = 0

    def append(self, text):
        seq = self._next
        if seq > self._reserved:  # one write of the counter per 100 records
            self.put("seq", seq + 99)
            self._reserved = seq + 99
        self._write("q-%08d" % seq, text)
        self._next = seq + 1
        self._pending.append(seq)
        return seq

    def read(self, seq):
        text = self._read("q-%08d" % seq)
        if text is None:
            raise KeyError(seq)
        return text

    def discard(self, seq):
        if seq in self._pending:
            self._pending.remove(seq)
            _remove(self._path("q-%08d" % seq))

    def bury(self, seq):
        if seq in self._pending:
            self._pending.remove(seq)
            os.rename(self._path("q-%08d" % seq), self._path("dead-%08d" % seq))

    def pending(self):
        return list(self._pending)

    def put(self, name, value):
        if value is None:
            _remove(self._path("v-" + name))
        else:
            self._write("v-" + name, json.dumps(value))

    def get(self, name, default=None):
        text = self._read("v-" + name)
        if text is None:
            return default
        try:
            value = json.loads(text)
            if default is None or type(value) is type(default):
                return value
        except ValueError:
            pass
        self._quarantine("v-" + name)
        return default

    def _path(self, name):
        return self.folder + "/" + name

    def _write(self, name, text):
        data = text.encode()
        path = self._path(name)
        with open(path + ".tmp", "wb") as f:
            f.write(b"%08x " % binascii.crc32(data))
            f.write(data)
        os.rename(path + ".tmp", path)

    def _read(self, name):
        path = self._path(name)
        try:
            with open(path, "rb") as f:
                data = f.read()
        except OSError:
            return None
        try:
            if int(data[:8], 16) == binascii.crc32(data[9:]) and data[8:9] == b" ":
                return str(data[9:], "utf-8")
        except ValueError:
            pass
        self._quarantine(name)
        return None

    def _quarantine(self, name):
        self.damaged += 1
        os.rename(self._path(name), self._path("bad-" + name.partition("-")[2]))


def _make_folder(path):
    made = ""
    for part in path.split("/"):
        made += part + "/"
        try:
            os.mkdir(made[:-1])
        except OSError:
            pass  # it exists; a real failure shows at the first write


def _remove(path):
    try:
        os.remove(path)
    except OSError:
        pass
