"""A central system and a charger's hardware for engine tests: in one process, under virtual time."""

import asyncio
import json

import cold
from fakes import FakeLog, virtual_run


class Rooms:
    """Stands in for `cold.cold`: keeps cold modules, since from source each load would compile them again.

    fail -- callable(name) that may raise what loading may raise, or None
    """

    def __init__(self, load):
        self._load = load
        self._kept = {}
        self.fail = None

    def __call__(self, name):
        if self.fail is not None:
            self.fail(name)
        if name not in self._kept:
            self._kept[name] = self._load(name)
        return self._kept[name]


rooms = cold.cold = Rooms(cold.cold)  # before anything of ocpp16 is imported

from supervisor import Supervisor

from ocpp16 import ChargePoint
from ocpp16.hooks import Hooks
from ocpp16.ramstore import RamStore

T0 = 1_769_000_000  # 2026-01-21T12:53:20Z


class Dropped(Exception):
    """The link broke."""


class Socket:
    """The charge point's end of a websocket."""

    def __init__(self, csms):
        self._csms = csms
        self._inbox = []
        self._ready = asyncio.Event()
        self.ping_ms = None

    def deliver(self, text):
        self._inbox.append(text)
        self._ready.set()

    async def recv(self):
        while not self._inbox:
            self._ready.clear()
            await self._ready.wait()
        text = self._inbox.pop(0)
        if text is None:
            raise Dropped("link dropped")
        return text

    async def send(self, text):
        if self._csms.socket is not self:
            raise Dropped("link dropped")
        self._csms.take(self, "".join(text) if isinstance(text, list) else text)

    def set_ping(self, ms):
        self.ping_ms = ms

    async def close(self):
        if self._csms.socket is self:
            self._csms.socket = None
        self.deliver(None)


class Csms:
    """Answers as a central system would, unless told otherwise.

    answers -- action -> payload, function(payload) -> payload, "silence", ("error", code), or a list of those,
    used up one by one; delays -- action -> ms; seen -- [uptime ms, "cp" or "cs", message], every message both ways.
    """

    def __init__(self, clock):
        self.clock = clock
        self.socket = None
        self.listening = True
        self.seen = []
        self.answers = {}
        self.delays = {}
        self.next_tx = 130
        self.t0 = T0  # Unix time at uptime 0
        self.sockets = 0
        self._uid = 0

    async def dial(self, ping_ms):
        if not self.listening:
            raise OSError(111)
        self.sockets += 1
        self.socket = Socket(self)
        self.socket.ping_ms = ping_ms
        return self.socket

    def drop(self):
        socket, self.socket = self.socket, None
        if socket is not None:
            socket.deliver(None)

    def call(self, action, payload):
        """Send a CALL; returns its id."""
        self._uid += 1
        uid = "cs-%d" % self._uid
        self.send([2, uid, action, payload])
        return uid

    def send(self, message):
        self.seen.append((self.clock.uptime_ms(), "cs", message))
        self.socket.deliver(message if isinstance(message, str) else json.dumps(message))

    def answer_to(self, uid):
        for _, side, message in self.seen:
            if side == "cp" and message[0] in (3, 4) and message[1] == uid:
                return message[2] if message[0] == 3 else (message[2], message[3])
        return None

    def calls(self, action=None):
        """Payloads of the charge point's CALLs, or [(action, payload)] of all but Heartbeat."""
        out = [(m[2], m[3]) for _, side, m in self.seen if side == "cp" and m[0] == 2]
        if action is None:
            return [c for c in out if c[0] != "Heartbeat"]
        return [payload for name, payload in out if name == action]

    def story(self):
        """Short names of what happened, in order: statuses by name, vendor messages by id."""
        names = []
        for action, payload in self.calls():
            if action == "StatusNotification":
                if payload["connectorId"]:
                    names.append(payload["status"])
            elif action == "DataTransfer":
                names.append(payload["messageId"])
            else:
                names.append(action)
        return names

    def take(self, socket, text):
        message = json.loads(text)
        self.seen.append((self.clock.uptime_ms(), "cp", message))
        if message[0] == 2:
            asyncio.create_task(self._respond(socket, message))

    async def _respond(self, socket, message):
        _, uid, action, payload = message
        await asyncio.sleep_ms(self.delays.get(action, 5))
        answer = self.answers.get(action)
        if isinstance(answer, list):
            answer = answer.pop(0) if answer else None
        if answer == "silence" or self.socket is not socket:
            return
        if isinstance(answer, tuple):
            self.send([4, uid, answer[1], "", {}])
            return
        if callable(answer):
            answer = answer(payload)
        self.send([3, uid, self._default(action) if answer is None else answer])

    def _default(self, action):
        now = "2026-01-21T%02d:%02d:%02dZ" % _hms(self.t0 + self.clock.uptime_ms() // 1000)
        if action == "BootNotification":
            return {"status": "Accepted", "currentTime": now, "interval": 300}
        if action == "Heartbeat":
            return {"currentTime": now}
        if action == "StartTransaction":
            self.next_tx += 1
            return {"transactionId": self.next_tx - 1, "idTagInfo": {"status": "Accepted"}}
        if action == "Authorize":
            return {"idTagInfo": {"status": "Accepted"}}
        if action == "DataTransfer":
            return {"status": "Accepted"}
        return {}


def _hms(unix_s):
    s = unix_s % 86400
    return s // 3600, s // 60 % 60, s % 60


class FakeEvse:
    """A connector's hardware: power flows `start_ms` after permission, and stops `stop_ms` after its end."""

    def __init__(self, clock, start_ms=500, stop_ms=200):
        self.clock = clock
        self.is_plugged = False
        self.taking = True
        self.failure = None
        self.permitted = False
        self.given = (None, None)  # limits of the last permission: mA, W
        self.mwh = 0
        self.watts = 3600  # 1 Wh a second
        self.start_ms = start_ms
        self.stop_ms = stop_ms
        self.switches = []  # (uptime, permitted)
        self._changed = 0
        self._metered = 0

    def _meter(self):
        now = self.clock.uptime_ms()
        if self.permitted and 0 not in self.given:
            begin = max(self._metered, self._changed + self.start_ms)
            if now > begin:
                self.mwh += (now - begin) * self.watts // 3600
        self._metered = now

    def plugged(self):
        return self.is_plugged

    def evse_ready(self):
        return self.permitted and 0 not in self.given and self.clock.uptime_ms() - self._changed >= self.start_ms

    def ev_ready(self):
        return self.taking

    def fault(self):
        return self.failure

    def energy_wh(self):
        self._meter()
        return self.mwh // 1000

    def sample(self, measurand):
        self._meter()
        return {
            "Energy.Active.Import.Register": (str(self.mwh // 1000), "Wh"),
            "Power.Active.Import": (str(self.watts if self.evse_ready() else 0), "W"),
            "Voltage": ("77.15", "V"),
        }.get(measurand)

    def permit(self, allowed, limit_ma=None, limit_w=None):
        self._meter()
        self.given = (limit_ma, limit_w)
        if allowed != self.permitted:
            self.permitted = allowed
            self._changed = self.clock.uptime_ms()
            self.switches.append((self._changed, allowed))

    def limits(self):
        return 100_000, 8000, 80_000, 500

    def is_settled(self):
        return not self.permitted and self.clock.uptime_ms() - self._changed >= self.stop_ms

    def session_begin(self, tx):
        self.mwh = tx.extra or 0


class LockedEvse(FakeEvse):
    """One with a plug that is locked; `bolt` tells whether it opens."""

    has_lock = True
    opens = True

    async def unlock(self):
        await asyncio.sleep_ms(300)
        return self.opens


class VendorHooks(Hooks):
    """VehicleInfo at plug-in, SessionSummary at the end."""

    def __init__(self):
        self.cp = None
        self.resumed_ids = []
        self.ready = True  # may a transaction start?

    def resumed(self, connector):
        self.resumed_ids.append(connector.id)

    def may_start(self, connector):
        return self.ready

    def plugged_in(self, connector):
        self.cp.send_data_transfer(connector, "RivotMotors", "VehicleInfo", "{}")

    def checkpoint(self, connector, tx):
        return connector.evse.mwh

    def session_ended(self, connector, tx):
        self.cp.send_data_transfer(connector, "RivotMotors", "SessionSummary", json.dumps({"mwh": tx.extra}), tx.key)


class Bench:
    """A charge point with everything around it. `until(condition)` lets virtual time pass."""

    def __init__(self, clock, store=None, connectors=1, config=None, evse=FakeEvse, **options):
        self.clock = clock
        self.log = FakeLog()
        self.csms = Csms(clock)
        self.store = store or RamStore()
        self.evses = [evse(clock) for _ in range(connectors)]
        self.hooks = VendorHooks()
        self.cp = ChargePoint(
            clock,
            self.store,
            self.log,
            self.evses,
            {"chargePointVendor": "Test", "chargePointModel": "Bench"},
            self.csms.dial,
            hooks=self.hooks,
            config_defaults=config or {},
            data_transfer_policy=lambda: (3, 2000, 10_000),
            **options,
        )
        self.hooks.cp = self.cp
        self.evse = self.evses[0]
        self.connector = self.cp.connectors[0]
        self._task = None

    def start(self):
        self._task = asyncio.create_task(self.cp.run())

    def start_supervised(self):
        """Like `start`, under the supervisor of the product: what dies switches off and lives again."""
        self._task = asyncio.create_task(self._supervised())

    async def _supervised(self):
        supervisor = Supervisor(self.clock, self.log, lambda: [evse.permit(False) for evse in self.evses])
        supervisor.start("connectors", self.cp.run_connectors, critical=True, backoff_max_ms=2000)
        supervisor.start("ocpp", self.cp.run_link, critical=True)
        try:
            await asyncio.Event().wait()
        finally:
            await supervisor.stop_all()

    async def end(self):
        """Take the power away."""
        self._task.cancel()
        try:
            await self._task
        except asyncio.CancelledError:
            pass
        self.csms.drop()

    async def until(self, condition, ms=60_000):
        for _ in range(ms // 10):
            if condition():
                return
            await asyncio.sleep_ms(10)
        raise AssertionError("never happened; story: %s; log: %s" % (self.csms.story(), self.log.lines[-5:]))

    async def online(self, supervised=False):
        if supervised:
            self.start_supervised()
        else:
            self.start()
        await self.until(lambda: self.csms.story() == ["BootNotification", "Available"])

    async def plug(self):
        self.evse.is_plugged = True
        await self.until(lambda: "VehicleInfo" in self.csms.story())

    async def charging(self, id_tag="TAG1"):
        uid = self.csms.call("RemoteStartTransaction", {"idTag": id_tag, "connectorId": 1})
        await self.until(lambda: "Charging" in self.csms.story())
        assert self.csms.answer_to(uid) == {"status": "Accepted"}

    async def session(self):
        """From the first connection to a vehicle that charges."""
        await self.online()
        await self.plug()
        await self.charging()

    async def ask(self, action, payload=None, **fields):
        """Answer to a CALL of the central system: its payload, or (errorCode, errorDescription)."""
        uid = self.csms.call(action, fields if payload is None else payload)
        await self.until(lambda: self.csms.answer_to(uid) is not None)
        return self.csms.answer_to(uid)


def run_life(scenario, start=None, make=Bench, **options):
    """One life of a charge point under virtual time, until the power is taken away.

    start -- see fakes.virtual_run; make(clock, **options) -- the bench that `scenario` gets
    """

    async def main(clock):
        bench = make(clock, **options)
        await scenario(bench)
        if bench._task is not None:
            await bench.end()

    virtual_run(main, start)
