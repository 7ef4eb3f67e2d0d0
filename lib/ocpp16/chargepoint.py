"""The charge point: registration, clock, heartbeat, and the joint between link, queue and connectors.

Sources: OCPP 1.6 edition 2, sections 4.2 (BootNotification), 4.6 (Heartbeat), 5; OCPP-J 1.6, section 5.
"""

import asyncio
import json
import random

from cold import cold
from micropython import const

from . import rpc
from .config import Configuration
from .connector import Connector
from .link import Link, wait_event
from .outbox import KIND_VENDOR, Outbox
from .timestamp import format_utc

_BOOT_RETRY_MS = const(30_000)  # no answer, or interval 0: try again after this plus a random part
_CLOCK_STEP_S = const(2)  # smaller differences are left alone: they are network delay

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
        self._boot_due = 0  # uptime ms of the next BootNotification
        self._boot_pending = False
        self._was_accepted = False
        self._heartbeat_at = 0  # uptime ms of the last one
        self._after_answer = []
        self.config.on_change("MeterValueSampleInterval", self._interval_changed)
        self.config.on_change("WebSocketPingInterval", self._ping_changed)

    # -- services: run both for ever, under whatever restarts them

    @property
    def online(self):
        """Connected and registered: messages leave now."""
        return self._ws is not None and self.registration == ACCEPTED

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
            self._boot_pending = False
            self.log.info("ocpp", "connected")
            if self.registration == ACCEPTED:
                self._welcome()
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
        id_tag = id_tag[:20]
        candidates = [c for c in self.connectors if connector_id in (0, c.id)]
        for connector in candidates:
            tx = connector.transaction
            if tx is not None and tx.id_tag.lower() == id_tag.lower():
                connector.stop("Local", id_tag)
                return
        free = [c for c in candidates if c.can_start(id_tag)]
        free.sort(key=lambda c: not c.plugged)
        if not free:
            self.log.warn("ocpp", "id tag presented, but no connector can start")
        elif not self.online:
            self.log.warn("ocpp", "id tag presented, but the central system cannot be asked")
        else:
            self.authorize(id_tag, free[0])

    def authorize(self, id_tag, connector):
        """Ask the central system; when it accepts, the connector may start with that tag."""

        def answered(conf, error):
            if conf is None:
                self.log.warn("ocpp", "Authorize: " + error)
            elif conf["idTagInfo"]["status"] != "Accepted":
                self.log.warn("ocpp", "id tag refused: " + conf["idTagInfo"]["status"])
            elif connector.can_start(id_tag):
                connector.claim(id_tag)

        self.outbox.direct("Authorize", '{"idTag":%s}' % json.dumps(id_tag), answered)

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
            if not self._boot_pending and now >= self._boot_due:
                self._boot_pending = True
                self.outbox.direct("BootNotification", json.dumps(self._boot_info), self._timed(self._booted))
        elif now - self._heartbeat_at >= self.config.get("HeartbeatInterval") * 1000:
            self._heartbeat_at = now
            self.outbox.direct("Heartbeat", "{}", self._timed(self._beaten))

    def _timed(self, then):
        """Pass the answer on with the uptime at which its call was queued, for the clock."""
        asked = self.clock.uptime_ms()
        return lambda conf, error: then(conf, asked)

    def _booted(self, conf, asked):
        now = self.clock.uptime_ms()
        self._boot_pending = False
        if conf is None:
            if self._ws is not None:
                self._boot_due = now + self._boot_wait(0)
            return
        self._set_clock(conf["currentTime"], now - asked)
        interval = conf["interval"]
        self.registration = conf["status"]
        self.log.info("ocpp", "registration " + self.registration)
        if self.registration != ACCEPTED:
            self._boot_due = now + self._boot_wait(interval)
            return
        if interval > 0:
            self.config.set_internal("HeartbeatInterval", str(interval))
        self._heartbeat_at = now
        self._welcome()

    def _boot_wait(self, interval):
        if interval > 0:
            return interval * 1000
        return _BOOT_RETRY_MS + random.getrandbits(14)

    def _welcome(self):
        """A connection is usable: the present status of everything goes before what waits."""
        self._was_accepted = True
        statuses = [(0, self.status_text(0, "Available", "NoError"))]
        for connector in self.connectors:
            statuses.append((connector.id, connector.announce()))
        self.outbox.status_first(statuses)

    def _beaten(self, conf, asked):
        if conf is not None:
            self._set_clock(conf["currentTime"], self.clock.uptime_ms() - asked)

    def _set_clock(self, text, round_trip_ms):
        try:
            seconds, ms = cold("ocpp16.timeparse").parse_ms(text)
        except ValueError:
            self.log.warn("ocpp", "currentTime is unreadable")
            return
        ms += round_trip_ms // 2
        seconds += ms // 1000
        now = self.clock.utc()
        if now is None or abs(seconds - now) > _CLOCK_STEP_S:
            self.clock.set_utc(seconds, ms % 1000)
            self.log.info("ocpp", "clock set to " + format_utc(seconds))

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
