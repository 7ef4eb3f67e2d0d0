"""One charging transaction, as the charge point remembers it."""


class Transaction:
    """From the start to the end of one transaction on one connector.

    key -- local number, unique for ever; the CSMS's transactionId may come late or never.
    Times are uptimes in ms of the boot `boot`; all timestamps of the transaction count from
    its own start, so a clock that is corrected meanwhile does not disturb their spacing.
    extra -- a small JSON-able value of the application, renewed with every checkpoint.
    Its record in the store and its timestamps: see session_record and timestamp.
    """

    def __init__(self, key, id_tag, boot, start_uptime):
        self.key = key
        self.id_tag = id_tag
        self.boot = boot
        self.start_uptime = start_uptime
        self.start_utc = None  # Unix seconds; None: the clock is not set yet
        self.meter_start = 0  # Wh
        self.id = None  # transactionId; None: not told yet
        self.stop_uptime = start_uptime  # last checkpoint; the stop, once `reason` is set
        self.meter_last = 0  # Wh at that time
        self.reason = None  # Reason of the end; None: running
        self.stop_id_tag = None
        self.extra = None
        self.parent = None  # group of the id tag
        self.data = None  # for StopTransaction, see stop_data
        self.accepted = None  # answer to StartTransaction: None not yet, else True/False
        self.allowed_wh = None  # register up to which a refused tag may charge; None: not at all
        self.offered = False  # energy was offered once
        self.done = 0  # steps of its end that are behind it
