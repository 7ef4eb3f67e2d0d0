"""Files in RAM that remember every operation, so that a test can look at the disk after a cut at any byte of any write.

    files = PowerFiles()
    ... use it as `journal.Files` ...
    for position, disk in files.cuts(): open(PowerFiles(disk)) and compare

The disk is the harshest that journalling file systems allow: written bytes arrive one by one, or their length arrives
before them; what was flushed is safe; operations on names are atomic and happen in order.
"""


class PowerFiles:
    """disk -- {name: bytes} to begin with."""

    def __init__(self, disk=None):
        self.disk = dict(disk or {})
        self._before = dict(self.disk)
        self.trace = []  # (operation, name, what)
        self.fail = None  # operations until every further one raises OSError(5); None: never
        self.reads = 0  # opened for reading

    def note(self, *operation):
        if self.fail is not None:
            if self.fail == 0:
                raise OSError(5)
            self.fail -= 1
        self.trace.append(operation)

    def names(self):
        return list(self.disk)

    def open(self, name, mode):
        if mode == "rb":
            self.reads += 1
            if name not in self.disk:
                raise OSError(2)
        elif mode == "wb" or name not in self.disk:
            self.note("create", name, None)
            self.disk[name] = b""
        return _File(self, name, len(self.disk[name]) if mode == "ab" else 0)

    def rename(self, old, new):
        if old not in self.disk:
            raise OSError(2)
        self.note("rename", old, new)
        self.disk[new] = self.disk.pop(old)

    def remove(self, name):
        if name not in self.disk:
            raise OSError(2)
        self.note("remove", name, None)
        del self.disk[name]

    def cuts(self, every=1):
        """Yield (operation in progress, disk after the cut).

        every -- how many bytes lie between two cuts in a write; its beginning, end and the byte before always count.
        """
        disk = dict(self._before)
        total = {}  # name -> length that the file will have at its next flush
        for position, (operation, name, what) in enumerate(self.trace):
            yield position, dict(disk)
            if operation == "create":
                disk[name] = b""
            elif operation == "write":
                if name not in total:
                    total[name] = len(disk[name])
                    for later, of, more in self.trace[position:]:
                        if of == name and later != "write":
                            break
                        if of == name:
                            total[name] += len(more)
                for n in range(1, len(what)):
                    if n % every == 0 or n == len(what) - 1:
                        torn = dict(disk)
                        torn[name] = disk[name] + what[:n]
                        yield position, torn
                        torn = dict(torn)
                        torn[name] += bytes(total[name] - len(torn[name]))
                        yield position, torn
                disk[name] += what
            elif operation == "flush":
                total.pop(name, None)
            elif operation == "rename":
                disk[what] = disk.pop(name)
            elif operation == "remove":
                del disk[name]
        yield len(self.trace), disk


class _File:
    def __init__(self, files, name, at):
        self._files = files
        self._name = name
        self._at = at

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        pass

    def seek(self, at, whence=0):
        self._at = at + (len(self._files.disk[self._name]) if whence == 2 else 0)
        return self._at

    def read(self, count):
        data = self._files.disk[self._name][self._at : self._at + count]
        self._at += len(data)
        return data

    def readinto(self, buf):
        data = self.read(len(buf))
        buf[: len(data)] = data
        return len(data)

    def write(self, data):
        if data:
            self._files.note("write", self._name, bytes(data))
            self._files.disk[self._name] += data
        return len(data)

    def flush(self):
        self._files.note("flush", self._name, None)
