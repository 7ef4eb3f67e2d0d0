"""The charge point: registration, clock, heartbeat, and the joint between link, queue and connectors.

Sources: OCPP 1.6 edition 2, sections 4.2 (BootNotification), 4.6 (Heartbeat), 5; OCPP-J 1.6, section 5.
"""

import asyncio
import json
import random

from cold import cold

from . import rpc
from .config import Configuration
from .connector import Connector
from .link import Link, wait_event
from .outbox import KIND_VENDOR, Outbox
from .timestamp import format_utc

OFFLINE = "Offline"
BOOTING = "Booting"
PENDING = "Pending"
REJECTED = "Rejected"
ACCEPTED = "Accepted"


class Hooks:
    """What the application may add to the course of a session. Every method returns quickly."""

    def plugged_in(self, connector):
        """A vehicle came; its Preparing is queued."""

    def unplugged(self, connector):
        """The vehicle left."""

    def before_start(self, connector):
        """StartTransaction is queued right after this returns."""

    def checkpoint(self, connector, tx):
        """Return a small JSON-able value to keep as `tx.extra`, or None; it survives a power cut."""

    def session_ended(self, connector, tx):
        """Power is off; Finishing and StopTransaction are queued right after this returns."""


class ChargePoint:
    """An OCPP 1.6J charge point with one `Evse` per connector.

    boot_info -- dict of BootNotification.req fields
    dial -- async callable(ping_interval_ms) -> websocket, see `dial.dialer`
    profiles -- names of modules in `ocpp16.profiles`; the first that has a handler for an action wins
    config_rows -- texts of further configuration keys (see config_edit)
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
        self.hooks = hooks or Hooks()
        self.counters = {}
        self.config = Configuration(
            lambda: (
                cold("ocpp16.config_keys").core_rows(len(evses), [cold("ocpp16.profiles." + name) for name in profiles])
                + tuple(config_rows)
            ),
            config_defaults or {},
            lambda: store.get("config", {}),
            lambda values: store.put("config", values),
            log,
        )
        self.registration = OFFLINE
        self.data_transfer_handlers = {}  # vendorId -> handler(messageId, data), each text or None -> (status, data)
        self.outbox = Outbox(clock, store, log, self._retry_policy, self._queue_answer)
        self.connectors = [Connector(self, n + 1, evse) for n, evse in enumerate(evses)]
        self.last_error = ""  # why the last connection ended, in words
        self._boot_info = boot_info
        self._dial = dial
        self._profiles = profiles
        self._backoff = backoff
        self._transfer_policy = data_transfer_policy or (lambda: (3, 2000, 10_000))
        self._ws = None
        self._poke = asyncio.Event()
        self.boot_due = 0  # uptime ms of the next BootNotification
        self.boot_pending = False
        self._was_accepted = False
        self.heartbeat_at = 0  # uptime ms of the last one
        self._after_answer = []
        self.config.on_change("MeterValueSampleInterval", self._interval_changed)
        self.config.on_change("WebSocketPingInterval", self._ping_changed)

    # -- services: run both for ever, under whatever restarts them

    @property
    def online(self):
        """Connected and registered: messages leave now."""
        return self._ws is not None and self.registration == ACCEPTED

    @property
    def connected(self):
        return self._ws is not None

    async def run_connectors(self):
        """The charging logic; needs no network. Restartable."""
        while True:
            self._poke.clear()
            now = self.clock.uptime_ms()
            for connector in self.connectors:
                connector.poll()
            self._tick(now)
            now = self.clock.uptime_ms()
            wait = min(connector.wait_ms(now) for connector in self.connectors)
            if wait:
                await wait_event(self._poke, wait)
            else:
                await asyncio.sleep_ms(0)

    async def run_link(self):
        """Connect, serve, and connect again with growing, jittered pauses. Restartable."""
        first, spread, longest = self._backoff
        wait = first
        while True:
            try:
                self._was_accepted = False
                await self._connection()
            except Exception as exc:  # noqa: BLE001 - whatever ended it, the next attempt follows
                self.last_error = "%s: %s" % (type(exc).__name__, exc)
                self.log.warn("ocpp", "connection: " + self.last_error)
            if self._was_accepted:
                wait = first
            await asyncio.sleep_ms(wait + random.getrandbits(16) * spread // 65536)
            wait = min(wait * 2, longest)

    async def run(self):
        """Both services, for programs without a supervisor."""
        await asyncio.gather(self.run_connectors(), self.run_link())

    async def _connection(self):
        ws = await self._dial(self.config.get("WebSocketPingInterval") * 1000)
        link = Link(
            ws,
            self.outbox,
            self.log,
            self.counters,
            self._serve,
            self._answered_call,
            self._timeout_ms,
            lambda: self.registration == ACCEPTED,
        )
        try:
            self._ws = ws
            self.boot_pending = False
            self.log.info("ocpp", "connected")
            if self.registration == ACCEPTED:
                self.welcome()
            elif self.registration == OFFLINE:
                self.registration = BOOTING
            self.poke()
            await link.run()
        finally:
            self._ws = None
            self.outbox.link_lost()
            self._answered_call()
            for connector in self.connectors:
                connector.link_lost()
            await ws.close()

    # -- for the application

    def poke(self):
        """Something changed: look at the connectors now."""
        self._poke.set()

    def restore(self, reason="PowerLoss"):
        """Once after construction: close what a power cut (or `reason`) left open."""
        for connector in self.connectors:
            cold("ocpp16.recovery").restore(self, connector, reason)

    def swipe(self, id_tag, connector_id=0):
        """An id tag was presented: ends the session it started, or asks to start one.

        connector_id -- 0: the reader belongs to all connectors.
        """
        cold("ocpp16.tags").swipe(self, id_tag, connector_id)

    def authorize(self, id_tag, connector):
        """Ask the central system; when it accepts, the connector may start with that tag."""
        cold("ocpp16.tags").authorize(self, id_tag, connector)

    def send_data_transfer(self, connector, vendor_id, message_id, data, tx=None):
        """Queue a DataTransfer in the order of the session; stored, and repeated until Accepted or given up.

        data -- text; tx -- key of the transaction it belongs to, if any.
        """
        text = '{"vendorId":%s,"messageId":%s,"data":%s}' % tuple(json.dumps(s) for s in (vendor_id, message_id, data))
        self.outbox.add("DataTransfer", text, KIND_VENDOR, tx)

    def after_answer(self, action):
        """Run `action()` once the answer being made has been sent. For handlers."""
        self._after_answer.append(action)

    def connector(self, connector_id):
        """Connector by its number, or None."""
        if 1 <= connector_id <= len(self.connectors):
            return self.connectors[connector_id - 1]
        return None

    def status_text(self, connector_id, state, error_code, vendor_error_code="", info=""):
        """Payload text of a StatusNotification that is true now."""
        text = '{"connectorId":%d,"errorCode":"%s","status":"%s"' % (connector_id, error_code, state)
        if info:
            text += ',"info":%s' % json.dumps(info[:50])
        if vendor_error_code:
            text += ',"vendorErrorCode":%s' % json.dumps(vendor_error_code[:50])
        now = self.clock.utc()
        if now is not None:
            text += ',"timestamp":"%s"' % format_utc(now)
        return text + "}"

    def new_tx_key(self):
        key = self.store.get("txkey", 0) + 1
        self.store.put("txkey", key)
        return key

    # -- registration, clock, heartbeat

    def _tick(self, now):
        self.outbox.tick()
        if self._ws is None:
            return
        if self.registration != ACCEPTED:
            if not self.boot_pending and now >= self.boot_due:
                self.boot_pending = True
                self.outbox.direct("BootNotification", json.dumps(self._boot_info), self._timed("booted"))
        elif now - self.heartbeat_at >= self.config.get("HeartbeatInterval") * 1000:
            self.heartbeat_at = now
            self.outbox.direct("Heartbeat", "{}", self._timed("beaten"))

    def _timed(self, answered):
        """Pass the answer on with the uptime at which its call was queued, for the clock. answered -- its name."""
        asked = self.clock.uptime_ms()
        return lambda conf, error: getattr(cold("ocpp16.registration"), answered)(self, conf, asked)

    def welcome(self):
        """A connection is usable: the present status of everything goes before what waits."""
        self._was_accepted = True
        statuses = [(0, self.status_text(0, "Available", "NoError"))]
        for connector in self.connectors:
            statuses.append((connector.id, connector.announce()))
        self.outbox.status_first(statuses)

    # -- calls from the central system

    def _serve(self, uid, action, payload):
        """Answer text for a CALL; None when it must stay unanswered. Never raises."""
        if self.registration == REJECTED:
            return None
        try:
            cold("ocpp16.schema").check_request(action, payload)
            return rpc.pack_result(uid, self._handler(action)(self, payload or {}))
        except rpc.OcppError as exc:
            self.counters["refused_calls"] = self.counters.get("refused_calls", 0) + 1
            self.log.warn("ocpp", "%s refused: %s %s" % (action, exc.code, exc.description))
            return rpc.pack_error(uid, exc.code, exc.description)
        except Exception as exc:  # noqa: BLE001 - a bug of ours must not cost the connection
            self.log.error("ocpp", exc)
            return rpc.pack_error(uid, "InternalError", type(exc).__name__)

    def _handler(self, action):
        for name in self._profiles:
            handler = getattr(cold("ocpp16.profiles." + name), "on_" + action, None)
            if handler is not None:
                return handler
        raise rpc.OcppError("NotSupported", action)

    def _answered_call(self):
        actions, self._after_answer = self._after_answer, []
        for action in actions:
            action()

    # -- answers from the central system

    def _queue_answer(self, call, payload, final):
        """A queued call was answered, failed once, or was given up: transactions want to know."""
        if call.action == "StartTransaction":
            if payload is not None:
                self.outbox.set_tx_id(call.tx, payload["transactionId"])
            for connector in self.connectors:
                tx = connector.transaction
                if tx is not None and tx.key == call.tx:
                    connector.start_answered(payload, final)

    def _timeout_ms(self, call):
        if call.kind == KIND_VENDOR:
            return self._transfer_policy()[2]
        return self.config.get("MessageTimeout") * 1000

    def _retry_policy(self, call):
        if call.kind == KIND_VENDOR:
            attempts, interval_ms, _ = self._transfer_policy()
            return attempts, interval_ms
        interval_ms = self.config.get("TransactionMessageRetryInterval") * 1000
        return self.config.get("TransactionMessageAttempts"), interval_ms * call.tries

    # -- live configuration

    def _interval_changed(self, key, value):
        for connector in self.connectors:
            connector.interval_changed()
        self.poke()

    def _ping_changed(self, key, value):
        if self._ws is not None:
            self._ws.set_ping(value * 1000)
