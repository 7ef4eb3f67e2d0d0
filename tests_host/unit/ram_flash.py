"""A littlefs in RAM that remembers every write, so that a test can look at the flash after a power cut anywhere.

    flash = RamFlash()
    flash.mount()
    ... use POINT + "/..." with open() and os ...
    for image in flash.cuts(): RamFlash(image).mount() and compare
"""

import os

import vfs

POINT = "/flash"
_BLOCK = 4096


class RamFlash:
    """image -- bytes to begin with; None: a new, empty file system"""

    def __init__(self, image=None, blocks=96):
        self.image = bytearray(_BLOCK * blocks) if image is None else bytearray(image)
        self._before = None
        self._changes = []  # (position, bytes); None: a block was erased
        if image is None:
            vfs.VfsLfs2.mkfs(self)

    def mount(self):
        self.unmount()
        vfs.mount(vfs.VfsLfs2(self), POINT)

    def load(self, image):
        """Another content; not mounted any more, and nothing is recorded."""
        self.unmount()
        self.image[:] = image
        self._before = None

    def record(self):
        """Remember what is written from now on."""
        self._before = bytes(self.image)
        self._changes = []

    def cuts(self):
        """Yield the flash after a cut before and in the middle of every write or erase since `record`, and the end."""
        image = bytearray(self._before)
        for at, data in self._changes:
            yield image
            data = b"\xff" * _BLOCK if data is None else data
            half = len(data) // 2
            image[at : at + half] = data[:half]
            yield image
            image[at : at + len(data)] = data
        yield image

    def unmount(self):
        try:
            vfs.umount(POINT)
        except OSError:
            pass  # it was not mounted

    def readblocks(self, n, buf, offset=0):
        at = n * _BLOCK + offset
        buf[:] = self.image[at : at + len(buf)]

    def writeblocks(self, n, buf, offset=0):
        at = n * _BLOCK + offset
        if self._before is not None:
            self._changes.append((at, bytes(buf)))
        self.image[at : at + len(buf)] = buf

    def ioctl(self, op, arg):
        if op == 4:
            return len(self.image) // _BLOCK
        if op == 5:
            return _BLOCK
        if op == 6:
            if self._before is not None:
                self._changes.append((arg * _BLOCK, None))
            self.image[arg * _BLOCK : (arg + 1) * _BLOCK] = b"\xff" * _BLOCK
        return 0


def tree(folder=POINT):
    """{path below the folder: content} of everything in it; a folder is None."""
    found = {}
    for name in os.listdir(folder):
        path = folder + "/" + name
        if os.stat(path)[0] & 0x4000:
            found[name] = None
            for below, content in tree(path).items():
                found[name + "/" + below] = content
        else:
            with open(path, "rb") as f:
                found[name] = f.read()
    return found


def put(path, data):
    """Write a file on the flash; make the folders on the way."""
    made = ""
    for part in path.split("/")[1:-1]:
        made += "/" + part
        try:
            os.stat(made)
        except OSError:
            os.mkdir(made)
    with open(path, "wb") as f:
        f.write(data)
