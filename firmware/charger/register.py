"""The lifetime energy register across restarts: it never goes back, and flash is written at most once a minute."""

from cold import cold
from micropython import const

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
        self._written = (0, 0)  # (mwh, mark) in the file
        self._at = None  # uptime of the last write

    def load(self):
        """Return the register in mWh. Missing or damaged: 0, and damage is logged."""
        self._written = cold("charger.register_file").load(self._path, self._log)
        return self._written[1]

    def update(self, mwh, flowing, final=False):
        """Call regularly: writes when the minute is over, the mark is near, or the flow has ended.

        final -- the program ends: what is missing is written now
        """
        written = self._written
        if written == (mwh, mwh):
            return
        now = self._clock.uptime_ms()
        if self._at is not None and not final:
            passed = now - self._at
            if flowing:
                if written[1] > mwh and passed < _PERIOD_MS:
                    return
            elif passed < 1000:
                return  # the last frames of a session come in a bunch
        mark = mwh + self._reserve if flowing else mwh
        self._at = now
        try:
            cold("charger.files").write_json(self._path, [mwh, mark])
            self._written = (mwh, mark)
        except OSError as exc:
            self._log.error("meter", exc)
