"""Small JSON files that survive a power cut at any write. A cold module: nothing is written often."""

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
    """Return the object or list in the file. OSError: cannot be read; ValueError: damaged, or over `limit` bytes."""
    size = os.stat(path)[6]
    if size > limit:
        raise ValueError("longer than %d bytes" % limit)
    with open(path, "rb") as f:
        data = f.read(size)  # as much room as it needs: in a session there is no more
    text = str(data, "utf-8")  # UnicodeError is a ValueError
    if not is_whole(text):
        raise ValueError("cut off")
    return json.loads(text)


def remove(path):
    """Remove a file that may be there."""
    try:
        os.remove(path)
    except OSError:
        pass


def is_whole(text):
    """Is every bracket of this JSON object or list closed? MicroPython's parser takes the '{"ma":90' of a cut file."""
    open_ones = ""
    in_string = escaped = False
    for c in text:
        if in_string:
            if escaped:
                escaped = False
            elif c == "\\":
                escaped = True
            elif c == '"':
                in_string = False
        elif c == '"':
            in_string = True
        elif c in "{[":
            open_ones += c
        elif c in "}]":
            if open_ones[-1:] != ("{" if c == "}" else "["):
                return False
            open_ones = open_ones[:-1]
    return not open_ones and not in_string and text.strip()[-1:] in ("}", "]")
