"""What a manifest says: the whole, and each file (format: tools/manifest.py). A cold module: see install.py."""

import binascii
import json

from micropython import const

_LINE_MAX = const(256)


def head(path):
    """What the manifest in that file says about the whole, a dict. ValueError: it is none."""
    try:
        with open(path, "rb") as f:
            found = json.loads(str(_line(f).rstrip(b",\n"), "utf-8") + "}")
        texts = [found[name] for name in ("board", "chip", "micropython", "port", "version")]
        if all([isinstance(text, str) for text in texts]) and isinstance(found["mpy"], int):
            return found
    except (OSError, ValueError, KeyError):
        pass
    raise ValueError("%s is unreadable" % path)


def rows(path, check_name):
    """(path, bytes, sha256) of each file in a manifest, in its order. ValueError: not as it must be.

    check_name -- of ustar
    """
    before = ""
    with open(path, "rb") as f:
        _line(f)
        if _line(f) != b'"files": {\n':
            raise ValueError("unknown kind of manifest")
        while True:
            line = _line(f)
            if line[:1] != b'"':
                break
            try:
                ((name, (size, digest)),) = json.loads("{%s}" % str(line.rstrip(b",\n"), "utf-8")).items()
                check_name(name)
                digest = binascii.unhexlify(digest)
                ours = name in ("trial", "manifest.json")
                if name <= before or ours or not 0 <= size <= 1 << 20 or len(digest) != 32:
                    raise ValueError(name)
            except (ValueError, TypeError) as exc:
                raise ValueError("manifest: %s" % exc)
            before = name
            yield name, size, digest
        if line != b"}}\n" or f.read(1):
            raise ValueError("manifest: cut off")


def _line(file):
    line = file.readline(_LINE_MAX)
    if line[-1:] != b"\n":
        raise ValueError("manifest: line too long, or cut off")
    return line
