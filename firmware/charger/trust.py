"""Who may sign an update. A cold module, apart from what else is judged: checking a signature needs the memory."""

import os

from cold import cold
from micropython import const

_KEYS = const(4)
_KEY_MAX = const(1024)  # RSA with 4096 bits takes 800


def signed(digest, signature, keys):
    """ValueError: nobody with a public key in that folder (*.pem, the first four) has signed this SHA-256."""
    try:
        names = [name for name in sorted(os.listdir(keys)) if name.endswith(".pem")][:_KEYS]
    except OSError:
        names = []
    if not names:
        raise ValueError("there is no key to verify it with: %s/*.pem" % keys)
    for name in names:
        verify = _load("%s/%s" % (keys, name))
        if verify is not None and verify(digest, signature):
            return
    raise ValueError("bad signature: nobody with a key in %s has made it" % keys)


def _load(path):
    """verify() of the key in that file; None: it is none, and the others count."""
    try:
        with open(path, "rb") as f:
            return cold("signing.public_key").load(f.read(min(_KEY_MAX, os.stat(path)[6])))
    except ValueError:
        return None
