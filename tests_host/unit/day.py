"""A day of a charger with two connectors, its central system and its truth; both outlive every power cut.

`World` is what exists outside: the vehicles, the energy that really flowed, what the central system received, the clock
on the wall, the flash. `Life` is the time between two boots. `check` compares what was told with what happened.
"""

import asyncio
import json

from fakes import FakeClock
from powerfiles import PowerFiles
from scripted_csms import T0, Bench, Csms, Dropped, FakeEvse

from ocpp16.journal_store import JournalStore

PROFILES = ("core", "reservation", "smart_charging")
SMALL = {"segment": 8192, "segments": 5, "records": 200}  # so that old segments are tidied up within the day
CONFIG = {
    "AllowOfflineTxForUnknownId": "true",
    "TransactionMessageRetryInterval": "2",
    "MeterValueSampleInterval": "5",
    "ConnectionTimeOut": "20",
}


class World:
    """What a power cut does not change. `copy` is the world at that moment."""

    def __init__(self):
        self.disk = {}
        self.utc = T0  # at the last boot
        self.seen = []  # [life, side, message], every message both ways
        self.ids = {}  # message id of StartTransaction -> transactionId
        self.listening = True
        self.plugged = [False, False]
        self.truth = {}  # id tag -> [connector, mWh delivered, powered, ended before the cut]
        self.promised = {}  # what was Accepted: key -> value
        self.asked = {}  # what was asked for and not answered yet
        self.lives = 0
        self.step = 0

    def copy(self, now_ms):
        other = World()
        other.disk = dict(self.disk)
        other.utc = self.utc + now_ms // 1000 + 1
        other.seen = list(self.seen)
        other.ids = dict(self.ids)
        other.listening = self.listening
        other.plugged = list(self.plugged)
        other.truth = {tag: list(row) for tag, row in self.truth.items()}
        other.promised = dict(self.promised)
        other.asked = dict(self.asked)
        other.lives = self.lives
        other.step = self.step
        return other


class Watched(PowerFiles):
    """Calls `moment(torn)` before each operation; torn: bytes that a cut in it may leave of a write, or None."""

    def __init__(self, disk):
        super().__init__(disk)
        self.disk = disk  # the world's
        self.moment = None

    def note(self, operation, name, what):
        if self.moment is not None and operation != "flush":
            self.moment(operation, name, what)


class Outlet(FakeEvse):
    """The hardware of one connector: it tells the world what really flowed."""

    world = None
    number = 0

    def __init__(self, clock):
        super().__init__(clock, 300, 100)
        self.row = [0, 0, False, False]

    def _meter(self):
        before = self.mwh
        super()._meter()
        self.row[1] += self.mwh - before

    def session_begin(self, tx):
        super().session_begin(tx)
        self.row = self.world.truth.setdefault(tx.id_tag, [self.number, 0, False, False])

    def permit(self, allowed, limit_ma=None, limit_w=None):
        super().permit(allowed, limit_ma, limit_w)
        if allowed:
            self.row[2] = True

    def limits(self):
        return 32_000, 2500, 77_000, 500


class System(Csms):
    """The central system. A repeated StartTransaction (the same message id) has the same answer."""

    def __init__(self, clock, world):
        super().__init__(clock)
        self.world = world
        self.t0 = world.utc
        self.listening = world.listening
        self.seen = []  # of this life
        self._uid = world.lives * 1000
        self.fault = None  # (when, number of the message): the link drops there; see take and send
        self.taken = self.given = 0  # messages

    async def dial(self, ping_ms):
        socket = await super().dial(ping_ms)
        self.world.seen.append((self.world.lives, "link", None))
        return socket

    def take(self, socket, text):
        """A message of the charge point. The link drops "before" it arrives, or when it "arrived"."""
        self.taken += 1
        if self.fault == ("before", self.taken):
            self.drop()
            raise Dropped("link dropped")
        message = json.loads(text)
        if message[0] == 2 and message[2] == "StartTransaction":
            self.world.ids.setdefault(message[1], 500 + len(self.world.ids))
        self.world.seen.append((self.world.lives, "cp", message))
        super().take(socket, text)
        if self.fault == ("arrived", self.taken):
            self.drop()

    def send(self, message):
        if self.socket is not None:
            self.world.seen.append((self.world.lives, "cs", message))
            super().send(message)
            self.given += 1
            if self.fault == ("given", self.given):  # it is still read
                self.drop()

    def _default(self, action):
        answer = super()._default(action)
        if action == "StartTransaction":
            uid = [m[1] for _, side, m in self.seen if side == "cp" and m[0] == 2 and m[2] == action][-1]
            answer["transactionId"] = self.world.ids[uid]
        return answer


class Life:
    """One boot of the charger in a world, until `end`. strict -- everything must succeed: no cut has come yet."""

    def __init__(self, clock, world, strict, resume=False):
        self.world = world
        self.strict = strict
        world.lives += 1
        self.files = Watched(world.disk)
        self.clock = clock
        store = JournalStore(self.files, clock, **SMALL)
        self.bench = b = Bench(clock, store, 2, CONFIG, Outlet, profiles=PROFILES, backoff=(1000, 500, 3000))
        self.csms = b.csms = System(clock, world)
        b.cp._dial = self.csms.dial
        for n, evse in enumerate(b.evses):
            evse.world, evse.number = world, n + 1
            evse.is_plugged = None
        self.cp = b.cp
        self.cp.restore("PowerLoss", resume)

    async def begin(self):
        self.bench.start()
        await asyncio.sleep_ms(700)  # then it is known what is plugged in
        for n, there in enumerate(self.world.plugged):
            self.bench.evses[n].is_plugged = there
        if self.world.listening:
            await self.until(lambda: self.cp.online)

    async def until(self, condition, ms=15_000):
        for _ in range(ms // 20):
            if condition():
                return True
            await asyncio.sleep_ms(20)
        if self.strict:
            what = (self.csms.story()[-12:], self.bench.log.lines[-5:])
            raise AssertionError("never happened; story: %s; log: %s" % what)
        return False

    # -- what people and the central system do

    def plug(self, number, there=True):
        self.world.plugged[number - 1] = self.bench.evses[number - 1].is_plugged = there

    def tx(self, number):
        return self.cp.connectors[number - 1].transaction

    async def link(self, up):
        self.world.listening = self.csms.listening = up
        if up:
            await self.until(lambda: self.cp.online)
            await self.until(self.is_told)
        else:
            self.csms.drop()

    def is_told(self):
        """Nothing waits."""
        box = self.cp.outbox
        return self.cp.online and not (box.tail or box.calls or self.cp.store.pending())

    async def ask(self, action, promise=None, **payload):
        """Send a CALL; returns the answer's status, or None. promise -- (key, value) that holds once it is Accepted."""
        if self.csms.socket is None or not self.cp.online:
            return None
        uid = self.csms.call(action, payload)
        if promise:
            self.world.asked[promise[0]] = promise[1]
        answered = await self.until(lambda: self.csms.answer_to(uid) is not None, 2000)
        answer = self.csms.answer_to(uid) if answered else None
        status = answer.get("status") if isinstance(answer, dict) else answer
        if promise and answered:
            self.world.asked.pop(promise[0], None)
            if status in ("Accepted", "Scheduled"):
                self.world.promised[promise[0]] = promise[1]
        return status

    async def start(self, number, tag, local=False):
        """Plug in and start; an own tag for each session."""
        tag = "%s-%d" % (tag, self.world.lives)
        self.plug(number)
        await asyncio.sleep_ms(300)
        if local:
            self.cp.swipe(tag, number)
        else:
            await self.ask("RemoteStartTransaction", idTag=tag, connectorId=number)
        await self.until(lambda: self.tx(number) is not None and self.bench.evses[number - 1].permitted, 5000)
        return tag

    async def stopped(self, number):
        await self.until(lambda: self.tx(number) is None)

    async def stop(self, number):
        tx = self.tx(number)
        if tx is not None:
            if self.strict:
                await self.until(lambda: tx.id is not None)
            if await self.ask("RemoteStopTransaction", transactionId=tx.id or 0) != "Accepted":
                self.cp.connectors[number - 1].stop("Other")
        await self.stopped(number)

    async def leave(self, number):
        self.plug(number, False)
        await self.stopped(number)
        await asyncio.sleep_ms(300)


# -- the day


async def remote_session(life):
    await life.start(1, "A")
    await asyncio.sleep_ms(23_000)  # past the first checkpoint, and some samples
    await life.stop(1)
    await life.leave(1)


async def settings(life):
    for key, value in (("MeterValueSampleInterval", "4"), ("HeartbeatInterval", "900"), ("ConnectionTimeOut", "15")):
        await life.ask("ChangeConfiguration", (key, value), key=key, value=value)
        await asyncio.sleep_ms(300)


async def two_at_once_and_a_lost_link(life):
    await life.start(2, "B")
    await life.start(1, "C")
    await asyncio.sleep_ms(6_000)
    await life.link(False)
    await asyncio.sleep_ms(6_000)
    life.cp.connectors[0].stop("Local", "C")
    await life.stopped(1)
    await life.leave(1)
    await life.start(1, "D", local=True)
    await asyncio.sleep_ms(7_000)
    await life.link(True)
    await asyncio.sleep_ms(3_000)
    await life.stop(2)
    await life.leave(1)
    await life.leave(2)


async def out_of_order(life):
    await life.ask("ChangeAvailability", ("inoperative", 2), connectorId=2, type="Inoperative")
    await asyncio.sleep_ms(1000)
    await life.ask("ChangeAvailability", ("inoperative", 0), connectorId=2, type="Operative")


async def reserved(life):
    tag = "E-%d" % life.world.lives
    until = "2026-01-23T00:00:00Z"
    await life.ask("ReserveNow", ("reserved", 1), connectorId=1, expiryDate=until, idTag=tag, reservationId=9)
    await asyncio.sleep_ms(1000)
    life.world.asked["reserved"] = 0
    await life.start(1, "E")
    life.world.asked.pop("reserved", None)
    life.world.promised["reserved"] = 0
    await asyncio.sleep_ms(4_000)
    await life.leave(1)


async def limited_and_answered_late(life):
    schedule = {"chargingRateUnit": "A", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 10}]}
    profile = {
        "chargingProfileId": 4,
        "stackLevel": 0,
        "chargingProfilePurpose": "TxDefaultProfile",
        "chargingProfileKind": "Relative",
        "chargingSchedule": schedule,
    }
    await life.ask("SetChargingProfile", ("profile", True), connectorId=0, csChargingProfiles=profile)
    life.csms.answers["StartTransaction"] = [("error", "InternalError")]
    await life.start(2, "F")
    await asyncio.sleep_ms(9_000)
    await life.stop(2)
    await life.leave(2)


async def offline(life):
    await life.link(False)
    for tag in ("G", "H"):
        await life.start(1, tag, local=True)
        await asyncio.sleep_ms(6_000)
        await life.leave(1)
    await life.link(True)


_DIRECT = ("BootNotification", "Heartbeat", "Authorize")  # they go whenever they must

DAY = (
    remote_session,
    settings,
    two_at_once_and_a_lost_link,
    out_of_order,
    reserved,
    limited_and_answered_late,
    offline,
)


async def evening(life):
    """Every vehicle leaves, everything is told, and the charger serves again."""
    life.strict = True
    for number in (1, 2):
        await life.leave(number)
    await life.link(True)
    for number in (1, 2):
        await life.ask("ChangeAvailability", connectorId=number, type="Operative")
    await life.ask("CancelReservation", reservationId=9)
    for number in (1, 2):
        await life.until(lambda number=number: status_of(life, number) == "Available")
        tag = await life.start(number, "Z%d" % number)
        await life.until(lambda number=number: status_of(life, number) == "Charging")
        await asyncio.sleep_ms(2000)
        await life.stop(number)
        await life.leave(number)
        assert tag in life.world.truth
    await life.until(life.is_told)
    await life.until(lambda: status_of(life, 1) == status_of(life, 2) == "Available")


def status_of(life, number):
    """The last that the central system was told in this life."""
    told = [p["status"] for p in life.csms.calls("StatusNotification") if p["connectorId"] == number]
    return told[-1] if told else None


# -- the comparison


def check(world, cut=()):
    """What the central system was told against what happened. cut -- id tags of sessions that a power cut ended."""
    calls = {}  # message id -> (action, payload)
    order = []
    for _, side, message in world.seen:
        if side == "cp" and message[0] == 2:
            _, uid, action, payload = message
            if uid in calls:
                assert calls[uid] == (action, payload), "repeated with another text: %s" % message
            else:
                calls[uid] = (action, payload)
                order.append(uid)
    starts = [uid for uid in order if calls[uid][0] == "StartTransaction"]
    told = {}
    open_on = {}
    for uid in starts:
        tag = calls[uid][1]["idTag"]
        assert tag not in told, "%s began twice" % tag
        told[tag] = uid
    for tag, (number, mwh, powered, _) in world.truth.items():
        assert tag in told or not powered, "%s is lost" % tag
        if tag not in told:
            continue
        start = calls[told[tag]][1]
        tx_id = world.ids[told[tag]]
        mine = [u for u in order if calls[u][1].get("transactionId") == tx_id]
        stops = [u for u in mine if calls[u][0] == "StopTransaction"]
        assert len(stops) == 1, "%s: %d StopTransactions" % (tag, len(stops))
        stop = calls[stops[0]][1]
        values = [calls[u][1] for u in mine if calls[u][0] == "MeterValues"]
        assert start["connectorId"] == number and all(v["connectorId"] == number for v in values)
        wh = stop["meterStop"] - start["meterStart"]
        if tag in cut:
            assert 0 <= wh <= mwh // 1000, "%s: told %d Wh of %d mWh" % (tag, wh, mwh)
            assert mwh // 1000 - wh <= 61, "%s: told only %d Wh of %d mWh" % (tag, wh, mwh)
        else:
            assert wh == mwh // 1000, "%s: told %d Wh of %d mWh" % (tag, wh, mwh)
            assert len(values) >= 2, tag
        at = order.index(told[tag])
        assert all(order.index(u) > at for u in mine), "%s: a message before its start" % tag
        assert order.index(mine[-1]) == order.index(stops[0]), "%s: a message after its end" % tag
        times = [start["timestamp"]] + [v["meterValue"][0]["timestamp"] for v in values]
        if tag in cut:  # it ended at its last checkpoint, which may be older than what was sent since
            assert stop["timestamp"] >= times[0], (tag, times)
        else:
            times.append(stop["timestamp"])
        assert times == sorted(times), (tag, times)
        meters = [int(v["meterValue"][0]["sampledValue"][0]["value"]) for v in values]
        assert meters == sorted(meters) or tag in cut, (tag, meters)
        # Between the start and the stop: its summary, once.
        summaries = []
        for uid in order[at : order.index(stops[0])]:
            action, payload = calls[uid]
            if action == "DataTransfer" and payload["messageId"] == "SessionSummary":
                summaries.append((uid, json.loads(payload["data"])["mwh"]))
        matching = [uid for uid, summed in summaries if (summed or 0) // 1000 == wh]
        assert matching, "%s: no summary of %d Wh before its end, but %s" % (tag, wh, summaries)
        open_on.setdefault(number, []).append((at, order.index(stops[0]), tag))
    vendor = [calls[uid][1]["messageId"] for uid in order if calls[uid][0] == "DataTransfer"]
    assert vendor.count("SessionSummary") == len(told), "%d sessions, but %s" % (len(told), vendor)
    assert len([1 for uid in order if calls[uid][0] == "StopTransaction"]) == len(told)
    told_on = None  # after a connection: the present status of everything, then what waited
    for _, side, message in world.seen:
        if side == "link":
            told_on = []
        elif side == "cp" and message[0] == 2 and message[2] not in _DIRECT and len(told_on) < 3:
            assert message[2] == "StatusNotification" and message[3]["connectorId"] == len(told_on), message
            told_on.append(message)
    for sessions in open_on.values():
        sessions.sort()
        for (_, end, tag), (begin, _, other) in zip(sessions, sessions[1:]):
            assert end < begin, "%s began before %s had ended" % (other, tag)


def new_clock():
    return FakeClock()
