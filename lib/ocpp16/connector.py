"""One connector: who may charge, the transaction, and the status that follows from both.

The hardware side is an `Evse` (see README.md): questions and one output. Nothing here
blocks; `poll` is called at least every 100 ms and whenever the hardware side has news. What a
session does once only is in session: `poll` calls it when its time has come, until it succeeds.
Sources: OCPP 1.6 edition 2, sections 3.5-3.7, 4.8-4.10, 5.11.
"""

from cold import cold
from micropython import const

_START_GRACE_MS = const(15_000)  # a started transaction stays Preparing this long until energy is offered
_UNKNOWN_MS = const(60_000)  # the hardware must know by then whether a vehicle is there
_POLL_MS = const(100)
_IDLE = ("Available", "Reserved", "Unavailable", "Faulted")  # nobody is being served
_SHOWN = ("Finishing", "Faulted", "Unavailable")  # said enough about the end of a session


class Connector:
    """Connector `id` (>= 1) of charge point `cp` with its `evse`.

    transaction -- the running Transaction, also while its output is being switched off; None otherwise.
    """

    def __init__(self, cp, connector_id, evse):
        self.cp = cp
        self.id = connector_id
        self.evse = evse
        self.transaction = None
        self.plugged = False
        self.id_tag = None  # accepted, and waits for the vehicle
        self.parent = None  # group of that tag
        self.claimed_at = 0  # uptime ms
        self.resuming = False  # the transaction outlived a power cut; is its vehicle still there?
        self.finishing = False  # a transaction ended and its vehicle has not left
        self.locked = False  # the plug is kept in
        self.opens = None  # the id tag that opens the lock, when no session runs
        self.info = ""  # of the Finishing
        self.interval_ms = 0  # between two samples; 0: none
        self.sample_at = 0  # uptime ms of the next one
        self.checkpoint_at = 0
        self.values = None  # the sample at the start, sent right after the first status of the session
        self.profile = None  # charging profile of that RemoteStartTransaction, a row of charging_limits
        self.limit = None  # (mA, W) given to the running transaction with its power; None: neither yet
        self.told = None  # (status, errorCode, vendorErrorCode, info) last queued; None: to be told
        self._news = None  # the same, seen last ...
        self._news_at = 0  # ... and since when

    # -- what others ask for

    def claim(self, id_tag, parent=None, profile=None):
        """An id tag was accepted for this connector: start as soon as the vehicle is there. None: it does not come.

        parent -- its group; profile -- a charging profile for its transaction, see profiles.smart_charging
        """
        self.id_tag = id_tag
        self.parent = parent
        self.profile = profile
        self.claimed_at = self.cp.clock.uptime_ms()
        self.poke()

    def stop(self, reason, id_tag=None):
        """End the transaction: power off now, messages later. The first reason stays; no transaction: no effect."""
        tx = self.transaction
        if tx is None or tx.reason is not None:
            return
        self.evse.permit(False)
        tx.reason = reason
        tx.stop_id_tag = id_tag
        tx.stop_uptime = self.cp.clock.uptime_ms()
        self.poke()

    def permit(self):
        """Power for the running transaction, unless its end has begun or its tag was refused."""
        tx = self.transaction
        if tx is None or tx.reason is not None or self.resuming:
            return
        if tx.accepted is not False or tx.allowed_wh is not None:
            charging = self.cp.charging
            self.limit = (None, None) if charging is None else charging.limit(self, self.cp.clock.uptime_ms())
            self.evse.permit(True, *self.limit)

    def poke(self):
        self.cp.poke()

    # -- the loop

    def poll(self):
        """Take one look at everything and act on it."""
        evse = self.evse
        config = self.cp.config
        now = self.cp.clock.uptime_ms()
        plugged = evse.plugged()
        if self.resuming and (plugged is not None or now - self.claimed_at >= _UNKNOWN_MS):
            cold("ocpp16.recovery").decide(self, plugged)
        if plugged is not None and plugged != self.plugged:
            if not plugged and config.get("StopTransactionOnEVSideDisconnect"):
                self.stop("EVDisconnected")
            cold("ocpp16.session_start").plug_changed(self, plugged)
        tx = self.transaction
        if tx is not None:
            if tx.start_utc is None:  # as soon as it can be known
                tx.start_utc = self.cp.clock.utc_at(tx.start_uptime)
            if tx.reason is not None:
                if evse.is_settled():
                    cold("ocpp16.session_end").end(self, tx)
            elif now >= self.checkpoint_at:
                cold("ocpp16.session_record").checkpoint(self, tx, now)
            elif tx.allowed_wh is not None and evse.energy_wh() >= tx.allowed_wh:
                cold("ocpp16.session_judged").refuse(self, tx)
        if self.id_tag is not None:
            ending = self.cp.installing or self.cp.closing
            if plugged and self.transaction is None and evse.fault() is None and not ending:
                if self.cp.hooks.may_start(self):
                    cold("ocpp16.session_start").begin(self, now)
            elif now - self.claimed_at >= config.get("ConnectionTimeOut") * 1000:
                self.cp.log.info("ocpp", "connector %d: nobody plugged in" % self.id)
                self.id_tag = None
        elif self._is_stale(now):
            self.finishing = True
        tx = self.transaction
        if tx is not None and tx.reason is None:
            charging = self.cp.charging
            if charging is not None and self.limit is not None and charging.limit(self, now) != self.limit:
                self.permit()
            interval_ms = config.get("MeterValueSampleInterval") * 1000
            if interval_ms != self.interval_ms:  # a new value: the schedule starts again now
                self.interval_ms = interval_ms
                self.sample_at = now + interval_ms
            elif interval_ms and now >= self.sample_at:
                cold("ocpp16.session_values").sample(self, tx, now)
        self.update_status()

    def _is_stale(self, now):
        """Has a vehicle waited too long for an id tag? Where a reader serves several connectors, the next tag that is
        presented is somebody else's.
        """
        return (
            self.plugged
            and not self.finishing
            and self.transaction is None
            and len(self.cp.connectors) > 1
            and self._news is not None
            and self._news[0] == "Preparing"
            and now - self._news_at >= self.cp.config.get("ConnectionTimeOut") * 1000
        )

    def wait_ms(self, now):
        """Milliseconds until this connector must be polled next, at most 100."""
        tx = self.transaction
        if tx is not None and tx.reason is None and self.interval_ms:
            return max(0, min(_POLL_MS, self.sample_at - now))
        return _POLL_MS

    # -- status (section 4.9)

    def derive(self, now):
        """(status, errorCode, vendorErrorCode, info) of now.

        Order of precedence: a fault hides everything, and SuspendedEVSE wins over SuspendedEV.
        """
        tx = self.transaction
        offering = tx is not None and tx.reason is None and self.evse.evse_ready()
        if offering:
            tx.offered = True
        fault = self.evse.fault()
        if fault is not None:
            return ("Faulted",) + fault
        info = ""
        busy = self.plugged or self.finishing or self.id_tag is not None
        if tx is not None:
            waited_ms = now - max(tx.start_uptime, self.claimed_at)
            if not self.plugged:
                state = "SuspendedEV"
                info = "EV side disconnected"
            elif not tx.offered and waited_ms < _START_GRACE_MS and 0 not in (self.limit or ()):
                state = "Preparing"
            elif not offering:
                state = "SuspendedEVSE"
            else:
                state = "Charging" if self.evse.ev_ready() else "SuspendedEV"
        elif self.cp.is_out(self.id) and not (busy and self._news and self._news[0] not in _IDLE):
            state = "Unavailable"  # who is being served may finish first
        elif self.finishing:
            state = "Finishing"
            info = self.info
        elif self.id_tag is not None:
            state = "Preparing"
        elif self.id in self.cp.reserved and not (self.plugged and self._news and self._news[0] == "Preparing"):
            state = "Reserved"  # a vehicle that came before the reservation stays Preparing, one after changes nothing
        else:
            state = "Preparing" if self.plugged else "Available"
        return (state, "NoError", "", info)

    def update_status(self):
        """Tell the central system what is new."""
        tx = self.transaction
        if tx is not None and tx.reason is not None:
            return  # being switched off: SessionSummary goes out before the next status
        cp, told = self.cp, self.told
        online = cp.online
        # The end of the session shows as Finishing once, even when the vehicle is already gone.
        if self.finishing and not self.plugged and (not online or told is None or told[0] in _SHOWN):
            self.finishing = False
        now = cp.clock.uptime_ms()
        news = self.derive(now)
        if news != self._news:
            if cp.reserved_until is not None:
                cold("ocpp16.reservations").refresh(cp)
            self._news = news
            self._news_at = now
        if not online or news == told:
            return
        if told and news[0] != "Faulted" and now - self._news_at < cp.config.get("MinimumStatusDuration") * 1000:
            return
        cold("ocpp16.statuses").tell(cp, self.id, news)
        self.told = news
        if self.values is not None and news[0] != "Preparing":
            cold("ocpp16.session_values").flush_begin(self, tx)

    def announce(self):
        """The current status, for the start of a connection: as told()."""
        self.told = news = self._news = self.derive(self.cp.clock.uptime_ms())
        if self.values is not None and news[0] != "Preparing":  # this is the first status of the session
            cold("ocpp16.session_values").flush_begin(self, self.transaction)
        return news
