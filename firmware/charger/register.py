"""The lifetime energy register across restarts: it never goes back, and flash is written at most once a minute."""

from micropython import const

from .files import read_json, write_json

_PERIOD_MS = const(60_000)


class Register:
    """Keeps `meter.lifetime_mwh` of one connector in a small file.

    While energy flows, the file also holds a mark that the register cannot pass before the
    next write. After a power cut the register goes on from the mark: at most a minute of
    full power lies between, which belongs to no transaction, and no reported value is
    ever followed by a smaller one.
    path -- of the file; max_w -- most power the connector can give
    """

    def __init__(self, path, clock, log, max_w):
        self._path = path
        self._clock = clock
        self._log = log
        self._reserve = max_w * 25  # mWh: 90 s of full power
        self._written = None  # (mwh, mark) in the file, once this life has written it
        self._loaded = 0
        self._at = None  # uptime of the last write

    def load(self):
        """Return the register in mWh. Missing or damaged: 0, and damage is logged."""
        try:
            mwh, mark = read_json(self._path)
            if not (isinstance(mwh, int) and isinstance(mark, int) and 0 <= mwh <= mark):
                raise ValueError("not a register")
        except OSError:
            return 0
        except (ValueError, TypeError) as exc:
            self._log.error("meter", "%s: %s" % (self._path, exc))
            return 0
        if mark > mwh:
            self._log.warn("meter", "restart while charging: register goes on from %d mWh" % mark)
            self._loaded = None  # the file is wrong until it is written
        else:
            self._loaded = mark
        return mark

    def update(self, mwh, flowing, final=False):
        """Call regularly: writes when the minute is over, the mark is near, or the flow has ended.

        final -- the program ends: what is missing is written now
        """
        written = self._written
        if written == (mwh, mwh) or (written is None and mwh == self._loaded):
            return
        now = self._clock.uptime_ms()
        if flowing and written is not None and written[1] > mwh and self._at is not None:
            if now - self._at < _PERIOD_MS:
                return
        elif not (flowing or final) and self._at is not None and now - self._at < 1000:
            return  # the last frames of a session come in a bunch
        mark = mwh + self._reserve if flowing else mwh
        self._at = now
        try:
            write_json(self._path, [mwh, mark])
            self._written = (mwh, mark)
        except OSError as exc:
            self._log.error("meter", exc)
