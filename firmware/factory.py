"""The factory file: presets of a board, its settings and its OCPP keys. A cold module: needed once."""

from errno import ENOENT

from cold import cold


def read(path, may_be_missing=False):
    """Return the object in the factory file; {} without one: path None, or no file there where that may be.

    ValueError: it cannot be used; the text says why.
    """
    if path is None:
        return {}
    try:
        factory = cold("charger.files").read_json(path)
    except OSError as exc:
        if may_be_missing and exc.errno == ENOENT:
            return {}
        raise ValueError("cannot read the factory file %s (error %s)" % (path, exc.errno))
    except ValueError:
        raise ValueError("the factory file %s is not whole JSON" % path)
    if not isinstance(factory, dict):
        raise ValueError("the factory file %s must hold one JSON object" % path)
    for name in factory:
        if name not in ("board", "settings", "ocpp"):
            raise ValueError("the factory file %s has an unknown part %s" % (path, name))
        if not isinstance(factory[name], dict):
            raise ValueError("%s in the factory file %s must be an object" % (name, path))
    return factory
