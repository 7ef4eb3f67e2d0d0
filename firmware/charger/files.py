"""Small JSON files that survive a power cut at any write."""

import json
import os


def write_json(path, value):
    """Write aside and rename over: after a cut the file is the old one or the new one. OSError: nothing changed."""
    aside = path + ".tmp"
    with open(aside, "w") as f:
        json.dump(value, f)
        f.flush()
    os.rename(aside, path)


def read_json(path, limit=8192):
    """Return the value in the file. OSError: cannot be read; ValueError: no JSON, or longer than `limit` bytes."""
    with open(path, "rb") as f:
        data = f.read(limit + 1)
    if len(data) > limit:
        raise ValueError("longer than %d bytes" % limit)
    return json.loads(str(data, "utf-8"))  # UnicodeError is a ValueError
