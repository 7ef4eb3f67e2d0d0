"""When the two vendor messages are queued: VehicleInfo once per plug-in, SessionSummary once per transaction."""

import gc

from cold import cold

VENDOR_ID = "RivotMotors"
_TEXTS = "charger.vendor_texts"


class VendorMessages:
    """The charge point's hooks (see lib/ocpp16).

    outlets -- connector id -> Outlet (asked for vehicle_values(), soc and its meter's session_mwh)
    wait_ms -- VehicleInfo waits this long after plug-in for data that is still missing
    send    -- set it: callable(connector, vendor_id, message_id, data_text, tx_key=None): ordered, kept, retried
    reset   -- set it: callable(hard)
    files   -- set it: callable -> maintenance.Files
    """

    def __init__(self, outlets, clock, wait_ms=3000):
        self.send = self.reset = self.files = None
        self._outlets = outlets
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

    def resumed(self, connector):
        """After a power cut in a session: its vehicle has been reported before, and still counts as there."""
        self._told.add(connector.id)

    def unplugged(self, connector):
        self._waiting.pop(connector.id, None)
        self._told.discard(connector.id)

    def tick(self):
        """Queue each VehicleInfo that is complete or has waited long enough. Call a few times a second."""
        if self._waiting:
            for key in sorted(self._waiting):  # dicts have no order here
                if self._is_due(key):
                    self.before_start(self._waiting[key][0])

    def may_start(self, connector):
        """False: a transaction should wait, for the plug to be locked or for VehicleInfo, which goes first."""
        key = connector.id
        lock = self._outlets[key].lock
        return (lock is None or lock.is_closed()) and (key not in self._waiting or self._is_due(key))

    def _is_due(self, key):
        if None not in self._outlets[key].vehicle_values():
            return True
        return self._clock.uptime_ms() - self._waiting[key][1] >= self._wait_ms

    def before_start(self, connector):
        """The last moment for VehicleInfo, unless it has been sent. None was seen plugged in: it is now."""
        key = connector.id
        if key not in self._told:
            self._waiting.pop(key, None)
            self._told.add(key)
            text = cold(_TEXTS).vehicle_info(*self._outlets[key].vehicle_values())
            self.send(connector, VENDOR_ID, "VehicleInfo", text)

    def checkpoint(self, connector, tx):
        """What the summary needs, kept with the transaction: after a power cut it is all that is left."""
        outlet = self._outlets[connector.id]
        return [outlet.meter.session_mwh, outlet.soc]

    def session_ended(self, connector, tx):
        """Queue the SessionSummary of a transaction, once, from its last checkpoint."""
        if self._last_ended.get(connector.id) is not tx:
            try:
                text = cold(_TEXTS).summary_of(tx)
            except (MemoryError, OSError):  # loading needs room for a moment, and this message has no second chance
                gc.collect()
                text = cold(_TEXTS).summary_of(tx)
            self.send(connector, VENDOR_ID, "SessionSummary", text, tx.key)
            self._last_ended[connector.id] = tx
