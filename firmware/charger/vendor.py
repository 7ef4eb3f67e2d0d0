"""The two vendor messages: VehicleInfo once per plug-in, SessionSummary once per transaction.

`data` is JSON in a string; its numbers are made from integers, because floats print badly.
"""

from fixed import fixed

VENDOR_ID = "RivotMotors"
VEHICLE_INFO = "VehicleInfo"
SESSION_SUMMARY = "SessionSummary"


def vehicle_info(soc, max_ma, mv, ma, temperature_dc):
    """Text of VehicleInfo, one decimal each; what is None is left out.

    soc -- 0.01 %; max_ma, ma -- mA; mv -- mV; temperature_dc -- 0.1 degC
    >>> vehicle_info(8700, 90_000, 76_400, 0, 265)
    '{"soc":87.0,"maxCurrent":90.0,"voltage":76.4,"current":0.0,"temperature":26.5}'
    """
    return _members(
        ("soc", soc, 2), ("maxCurrent", max_ma, 3), ("voltage", mv, 3), ("current", ma, 3),
        ("temperature", temperature_dc, 1), decimals=1,
    )  # fmt: skip


def session_summary(soc, mwh, duration_ms):
    """Text of SessionSummary, two decimals each; an unknown SoC (None) is left out.

    The energy is cut, not rounded, so that its whole Wh are those of StopTransaction.

    >>> session_summary(8718, 3390, 90_000)
    '{"finalSoc":87.18,"energyDelivered":3.39,"durationMinutes":1.50}'
    """
    hundredths = (max(0, duration_ms) + 300) // 600
    return _members(
        ("finalSoc", soc, 2), ("energyDelivered", mwh // 10, 2), ("durationMinutes", hundredths, 2), decimals=2
    )  # fmt: skip


def _members(*rows, decimals):
    return "{%s}" % ",".join(
        ['"%s":%s' % (name, fixed(value, scale, decimals)) for name, value, scale in rows if value is not None]
    )


class VendorMessages:
    """The charge point's hooks (see lib/ocpp16): decides when the two messages are queued.

    outlets -- connector id -> Outlet (asked for vehicle_values(), soc() and session_mwh())
    send    -- callable(connector, vendor_id, message_id, data_text, tx_key=None): ordered, kept, retried
    wait_ms -- VehicleInfo waits this long after plug-in for data that is still missing
    """

    def __init__(self, outlets, send, clock, wait_ms=3000):
        self._outlets = outlets
        self._send = send
        self._clock = clock
        self._wait_ms = wait_ms
        self._waiting = {}  # connector id -> (connector, uptime of the plug-in)
        self._told = set()  # connector ids whose vehicle has been reported
        self._last_ended = {}  # connector id -> last transaction summed up

    def plugged_in(self, connector):
        """A vehicle came. Again for the same vehicle: nothing happens."""
        key = connector.id
        if key not in self._waiting and key not in self._told:
            self._waiting[key] = (connector, self._clock.uptime_ms())

    def unplugged(self, connector):
        self._waiting.pop(connector.id, None)
        self._told.discard(connector.id)

    def tick(self):
        """Queue each VehicleInfo that is complete or has waited long enough. Call a few times a second."""
        if self._waiting:
            for key in sorted(self._waiting):  # dicts have no order here
                connector, since = self._waiting[key]
                values = self._outlets[connector.id].vehicle_values()
                if None not in values or self._clock.uptime_ms() - since >= self._wait_ms:
                    self._tell(connector)

    def before_start(self, connector):
        """A transaction is about to start: the last moment for VehicleInfo. None was seen plugged in: it is now."""
        if connector.id not in self._told:
            self._tell(connector)

    def checkpoint(self, connector, tx):
        """What the summary needs, kept with the transaction: after a power cut it is all that is left."""
        outlet = self._outlets[connector.id]
        return [outlet.session_mwh(), outlet.soc()]

    def session_ended(self, connector, tx):
        """Queue the SessionSummary of a transaction, once, from its last checkpoint."""
        if self._last_ended.get(connector.id) is tx:
            return
        self._last_ended[connector.id] = tx
        try:
            mwh, soc = tx.extra
            text = session_summary(soc, mwh, tx.stop_uptime - tx.start_uptime)
        except (TypeError, ValueError):  # cut before the first checkpoint, or a damaged record
            text = session_summary(None, 0, tx.stop_uptime - tx.start_uptime)
        self._send(connector, VENDOR_ID, SESSION_SUMMARY, text, tx.key)

    def _tell(self, connector):
        self._waiting.pop(connector.id, None)
        self._told.add(connector.id)
        self._send(connector, VENDOR_ID, VEHICLE_INFO, vehicle_info(*self._outlets[connector.id].vehicle_values()))
