"""Reads the file of the lifetime register. A cold module: see register.Register."""

from cold import cold


def load(path, log):
    """Return [mWh, mark] of the file; [0, 0] if it is missing, or damaged, which is logged."""
    try:
        mwh, mark = cold("charger.files").read_json(path)
        if not (isinstance(mwh, int) and isinstance(mark, int) and 0 <= mwh <= mark):
            raise ValueError("not a register")
    except OSError:
        return 0, 0
    except (ValueError, TypeError) as exc:
        log.error("meter", "%s: %s" % (path, exc))
        return 0, 0
    if mark > mwh:
        log.warn("meter", "restart while charging: register goes on from %d mWh" % mark)
    return mwh, mark
