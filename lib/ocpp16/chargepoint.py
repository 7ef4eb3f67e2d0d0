"""The charge point: its two services, and the joint between link, queue and connectors.

Sources: OCPP 1.6 edition 2, sections 4.2 (BootNotification), 4.6 (Heartbeat), 5; OCPP-J 1.6, section 5.
"""

import asyncio
import json
import random

from cold import cold

from .config import Configuration
from .connector import Connector
from .link import Link, wait_event
from .outbox import KIND_VENDOR, Outbox


class ChargePoint:
    """An OCPP 1.6J charge point with one `Evse` per connector.

    boot_info -- dict of BootNotification.req fields
    dial -- async callable(ping_interval_ms) -> websocket, see `dial.Access`
    hooks -- see hooks.Hooks
    profiles -- names of modules in `ocpp16.profiles`
    config_rows -- texts of further configuration keys (see config_rows)
    backoff -- (first wait ms, random part ms, longest wait ms) between two connection attempts
    data_transfer_policy -- callable -> (attempts, interval_ms, timeout_ms) for ordered DataTransfers
    """

    def __init__(
        self,
        clock,
        store,
        log,
        evses,
        boot_info,
        dial,
        hooks=None,
        profiles=("core",),
        config_rows=(),
        config_defaults=None,
        backoff=(2000, 3000, 300_000),
        data_transfer_policy=None,
    ):
        self.clock = clock
        self.store = store
        self.log = log
        if hooks is None:
            from .hooks import Hooks

            hooks = Hooks()
        self.hooks = hooks
        self.profiles = profiles
        self.counters = {}
        self.config = Configuration(
            lambda: cold("ocpp16.config_keys").all_rows(self, evses, config_rows),
            config_defaults or {},
            lambda: store.get("config", {}),
            lambda values: store.put("config", values),
            log,
        )
        self.inoperative = ()  # see availability
        self.installing = False  # new firmware: no sessions meanwhile
        self.jobs = {}  # name -> task; see jobs
        self.closing = False  # the program ends: no session starts
        self.registration = "Offline"  # then Booting, and what BootNotification.conf says
        self.data_transfer_handlers = {}  # vendorId -> handler(messageId, data), each text or None -> (status, data)
        self.charging = None
        if "smart_charging" in profiles:
            from .charging import Charging

            self.charging = Charging(self)
        self.outbox = Outbox(clock, store, log, self._retry_policy, self._queue_answer)
        self.connectors = [Connector(self, n + 1, evse) for n, evse in enumerate(evses)]
        self.last_error = ""  # why the last connection ended, in words
        self.boot_info = json.dumps(boot_info)
        self.boot_due = 0  # uptime ms of the next BootNotification
        self.boot_pending = False
        self.was_accepted = False  # on this connection
        self.heartbeat_at = 0  # uptime ms of the last one
        self.aligned_at = 0  # uptime ms of the next clock-aligned values; 0: to be found, the clock or the key is new
        self.reserved = ()  # connectors that are kept for somebody; see reservations
        self.reserved_until = None
        self.access = None  # the dial.Access that was joined
        self._dial = dial
        self._backoff = backoff
        self._transfer_policy = data_transfer_policy or (lambda: (3, 2000, 10_000))
        self._ws = None
        self._ping_s = 0
        self._poke = asyncio.Event()
        self._after_answer = []

    # -- services: run both for ever, under whatever restarts them

    @property
    def online(self):
        """Connected and registered: messages leave now."""
        return self._ws is not None and self.registration == "Accepted"

    @property
    def connected(self):
        return self._ws is not None

    async def run_connectors(self):
        """The charging logic; needs no network. Restartable.

        What fails for want of memory is tried again at the next look, for some 5 s: a long answer that is being made
        meanwhile must not cost a session. Switching off needs no memory.
        """
        failed = 0
        while True:
            self._poke.clear()
            wait = 100
            try:
                for connector in self.connectors:
                    connector.poll()
                self.outbox.tick()
                now = self.clock.uptime_ms()
                if self.reserved_until is not None and now >= self.reserved_until:
                    cold("ocpp16.reservations").refresh(self)
                if self._ws is not None:
                    self._tick(now)
                wait = min([connector.wait_ms(now) for connector in self.connectors])
                if self.config.get("ClockAlignedDataInterval"):
                    if now >= self.aligned_at:
                        cold("ocpp16.aligned").tick(self, now)
                    wait = min(wait, max(0, self.aligned_at - now))
                failed = 0
            except MemoryError as exc:
                failed += 1
                if failed > 50:
                    raise
                if failed == 1:
                    self.log.warn("ocpp", exc)
            await wait_event(self._poke, wait)

    async def run_link(self):
        """Connect, serve, and connect again with growing, jittered pauses. Restartable."""
        first, spread, longest = self._backoff
        wait = first
        while True:
            try:
                self.was_accepted = False
                await self._connection()
            except Exception as exc:  # noqa: BLE001 - whatever ended it, the next attempt follows
                self.last_error = "%s: %s" % (type(exc).__name__, exc)
                self.log.warn("ocpp", "connection: " + self.last_error)
            if self.was_accepted:
                wait = first
            await asyncio.sleep_ms(wait + random.getrandbits(16) * spread // 65536)
            wait = min(wait * 2, longest)

    async def run(self):
        """Both services, for programs without a supervisor."""
        await asyncio.gather(self.run_connectors(), self.run_link())

    async def _connection(self):
        self._ping_s = self.config.get("WebSocketPingInterval")
        ws = await self._dial(self._ping_s * 1000)
        try:
            self._ws = ws
            self.boot_pending = False
            self.log.info("ocpp", "connected")
            if self.registration == "Accepted":
                cold("ocpp16.statuses").welcome(self)
            elif self.registration == "Offline":
                self.registration = "Booting"
            self.poke()
            await Link(self, ws).run()
        finally:
            self._ws = None
            try:
                cold("ocpp16.registration").link_lost(self)
            finally:
                await ws.close()

    def _tick(self, now):
        """What is due on a connection: registration, heartbeat, a new ping interval."""
        get = self.config.get
        if self.registration != "Accepted":
            if not self.boot_pending and now >= self.boot_due:
                cold("ocpp16.registration").boot(self, now)
        elif now - self.heartbeat_at >= get("HeartbeatInterval") * 1000:
            cold("ocpp16.registration").beat(self, now)
        if get("WebSocketPingInterval") != self._ping_s:
            self._ping_s = get("WebSocketPingInterval")
            self._ws.set_ping(self._ping_s * 1000)

    # -- for the application

    def poke(self):
        """Something changed: look at the connectors now."""
        self._poke.set()

    async def close(self):
        """Take leave of the central system: the program ends, and starts again soon."""
        cold("ocpp16.recovery").leave(self)
        if self._ws is not None:
            await self._ws.close()

    def restore(self, reason="PowerLoss", resume=False):
        """Once after construction: close what a power cut (or `reason`) left open.

        resume -- True: what can go on goes on when its vehicle is still there.
        """
        for connector in self.connectors:
            cold("ocpp16.recovery").restore(self, connector, reason, resume)
        cold("ocpp16.recovery").come_back(self)
        self.inoperative = tuple(self.store.get("inoperative", []))
        if "reservation" in self.profiles:
            cold("ocpp16.reservations").refresh(self, False)

    def swipe(self, id_tag, connector_id=0):
        """An id tag was presented: ends the session it started, or asks to start one.

        connector_id -- 0: the reader belongs to all connectors.
        """
        cold("ocpp16.tags").swipe(self, id_tag, connector_id)

    def send_data_transfer(self, connector, vendor_id, message_id, data, tx=None):
        """Queue a DataTransfer in the order of the session; stored, and repeated until Accepted or given up.

        data -- text; tx -- key of the transaction it belongs to, if any: then durable with its StopTransaction.
        """
        words = tuple([json.dumps(word) for word in (vendor_id, message_id, data)])
        text = '{"vendorId":%s,"messageId":%s,"data":%s}' % words
        self.outbox.add("DataTransfer", text, KIND_VENDOR, tx, tx is None)

    def is_out(self, connector_id):
        """Does this connector take no new sessions? 0: the charge point."""
        return self.installing or 0 in self.inoperative or connector_id in self.inoperative

    def connector(self, connector_id):
        """Connector by its number, or None."""
        if 1 <= connector_id <= len(self.connectors):
            return self.connectors[connector_id - 1]
        return None

    # -- for handlers of requests, and the link

    def after_answer(self, action):
        """Run `action()` once the answer being made has been sent."""
        self._after_answer.append(action)

    def answered(self):
        """The answer was sent, or its link is gone."""
        actions, self._after_answer = self._after_answer, []
        for action in actions:
            action()

    def timeout_ms(self, call):
        """How long the answer to a call may take."""
        if call.kind == KIND_VENDOR:
            return self._transfer_policy()[2]
        return self.config.get("MessageTimeout") * 1000

    def _queue_answer(self, call, payload, final):
        """A queued call was answered, failed once, or was given up: transactions want to know."""
        if call.action == "StartTransaction":
            cold("ocpp16.session_judged").start_answered(self, call, payload, final)
        if payload and "idTagInfo" in payload:
            try:
                cold("ocpp16.tag_info").answered(self, call, payload)
            except Exception as exc:  # noqa: BLE001 - the session is as good without
                self.log.error("ocpp", exc)

    def _retry_policy(self, call):
        get = self.config.get
        if call.kind == KIND_VENDOR:
            return self._transfer_policy()[:2]
        return get("TransactionMessageAttempts"), get("TransactionMessageRetryInterval") * 1000 * call.tries
