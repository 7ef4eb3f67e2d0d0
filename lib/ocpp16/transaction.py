"""One charging transaction, as the charge point remembers it."""

from .outbox import TIME_MARK
from .timestamp import format_utc


class Transaction:
    """From the start to the end of one transaction on one connector.

    key -- local number, unique for ever; the CSMS's transactionId may come late or never.
    Times are uptimes in ms of the boot `boot`; all timestamps of the transaction count from
    its own start, so a clock that is corrected meanwhile does not disturb their spacing.
    extra -- a small JSON-able value of the application, renewed with every checkpoint.
    """

    FIELDS = (
        "key",
        "connector_id",
        "id_tag",
        "boot",
        "start_uptime",
        "start_utc",
        "meter_start",
        "id",
        "last_uptime",
        "meter_last",
        "reason",
        "stop_id_tag",
        "extra",
    )

    def __init__(self, key, connector_id, id_tag, boot, start_uptime, meter_start):
        self.key = key
        self.connector_id = connector_id
        self.id_tag = id_tag
        self.boot = boot
        self.start_uptime = start_uptime
        self.start_utc = None
        self.meter_start = meter_start  # Wh
        self.id = None  # transactionId; None: not told yet
        self.last_uptime = start_uptime  # last checkpoint; the stop, once `reason` is set
        self.meter_last = meter_start  # Wh at that time
        self.reason = None  # Reason of the end; None: running
        self.stop_id_tag = None
        self.extra = None
        self.accepted = None  # answer to StartTransaction: None not yet, else True/False
        self.offered = False  # energy was offered once

    @property
    def stop_uptime(self):
        return self.last_uptime

    @property
    def duration_ms(self):
        return self.last_uptime - self.start_uptime

    def anchor(self, clock):
        """Fix the wall-clock time of the start as soon as it can be known."""
        if self.start_utc is None:
            self.start_utc = clock.utc_at(self.start_uptime)

    def stamp(self, uptime):
        """Timestamp text for JSON at that uptime, or the mark the outbox resolves later."""
        if self.start_utc is None:
            return "%s%d:%d%s" % (TIME_MARK, self.boot, uptime, TIME_MARK)
        return format_utc(self.start_utc + (uptime - self.start_uptime) // 1000)

    def record(self):
        return [getattr(self, name) for name in self.FIELDS]
