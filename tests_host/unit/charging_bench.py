"""What smart charging needs of a charge point, and requests to it as they come from the wire. Runs on MicroPython."""

import json

from cold import cold
from fakes import FakeClock, FakeLog

from ocpp16.charging import Charging
from ocpp16.config import Configuration
from ocpp16.errors import OcppError
from ocpp16.ramstore import RamStore
from ocpp16.timestamp import format_utc
from ocpp16.transaction import Transaction

T0 = 1_769_040_000  # 2026-01-22T00:00:00Z, a Thursday
DAY = 86400
MAX = "ChargePointMaxProfile"
DEFAULT = "TxDefaultProfile"
TX = "TxProfile"


class Connector:
    """With an Evse that has nothing but its limits: mA, W, mV, least mA."""

    def __init__(self, connector_id, limits):
        self.id = connector_id
        self.transaction = None
        self.evse = self
        self.limits = lambda: limits


class Outbox:
    boot = 1


class Site:
    """A charge point with `connectors` connectors of 100 A, 8 kW at 80 V; its clock shows T0, or nothing.

    hardware -- other limits, for each connector
    """

    def __init__(self, connectors=1, store=None, timed=True, clock=None, fall_back=True, hardware=None, **keys):
        keys["TxDefaultAfterTxProfile"] = "true" if fall_back else "false"
        hardware = hardware or [(100_000, 8000, 80_000, 1)] * connectors
        self.clock = clock or FakeClock()
        self.store = store or RamStore()
        self.log = FakeLog()
        self.outbox = Outbox()
        self.config = Configuration(
            lambda: cold("ocpp16.config_keys").core_rows(connectors, ("smart_charging",)),
            keys,
            dict,
            None,
        )
        self.connectors = [Connector(n + 1, limits) for n, limits in enumerate(hardware)]
        self.charging = Charging(self)
        self.pokes = 0
        self.keys = 0
        if timed:
            self.clock.set_utc(T0)

    def connector(self, number):
        return self.connectors[number - 1] if 1 <= number <= len(self.connectors) else None

    def poke(self):
        self.pokes += 1

    # -- what the engine does

    def begin(self, number=1, row=None, tx_id=77):
        """A transaction starts now; row -- what came with its RemoteStartTransaction."""
        self.keys += 1
        tx = Transaction(self.keys, "TAG", self.outbox.boot, self.clock.uptime_ms())
        tx.id = tx_id
        tx.start_utc = self.clock.utc()
        if row is not None:
            cold("ocpp16.charging_profiles").adopt(self, row, number, tx.key)
        self.connectors[number - 1].transaction = tx
        self.charging.changed()
        return tx

    def end(self, number=1):
        self.connectors[number - 1].transaction = None
        self.charging.changed()

    def limit(self, number=1):
        """(mA, W) as the engine asks for it."""
        return self.charging.limit(self.connectors[number - 1], self.clock.uptime_ms())

    # -- what the central system does

    def call(self, action, **payload):
        """Payload of the answer, or the code of the error."""
        try:
            cold("ocpp16.schema").check_request(action, payload)
            answer = getattr(cold("ocpp16.profiles.smart_charging"), "on_" + action)(self, payload)
        except OcppError as exc:
            return exc.code
        return json.loads("".join(answer)) if isinstance(answer, list) else answer

    def put(self, number, profile):
        """Status of SetChargingProfile."""
        answer = self.call("SetChargingProfile", connectorId=number, csChargingProfiles=profile)
        return answer if isinstance(answer, str) else answer["status"]

    def clear(self, **fields):
        return self.call("ClearChargingProfile", **fields)["status"]

    def schedule(self, number=1, duration=400, **unit):
        """The composite schedule in short: "0:8 50:11.5 /400 A"; its status when that is not Accepted."""
        answer = self.call("GetCompositeSchedule", connectorId=number, duration=duration, **unit)
        if isinstance(answer, str) or answer["status"] != "Accepted":
            assert isinstance(answer, str) or list(answer) == ["status"]
            return answer if isinstance(answer, str) else answer["status"]
        assert answer["connectorId"] == number and answer["scheduleStart"] == format_utc(self.clock.utc())
        schedule = answer["chargingSchedule"]
        assert "startSchedule" not in schedule
        text = ""
        for period in schedule["chargingSchedulePeriod"]:
            assert len(period) == 2
            tenths = round(period["limit"] * 10)
            text += "%d:%s " % (
                period["startPeriod"],
                str(tenths // 10) + (".%d" % (tenths % 10) if tenths % 10 else ""),
            )
        return text + "/%d %s" % (schedule["duration"], schedule["chargingRateUnit"])


def profile(number, purpose, periods, kind="Absolute", level=0, start=T0, duration=None, unit="A", **more):
    """A ChargingProfile. periods -- "0:6 60:10.5"; start, validFrom, validTo -- Unix seconds."""
    items = []
    for part in periods.split():
        second, limit = part.split(":")
        items.append({"startPeriod": int(second), "limit": float(limit) if "." in limit else int(limit)})
    schedule = {"chargingRateUnit": unit, "chargingSchedulePeriod": items}
    if start is not None and kind != "Relative":
        schedule["startSchedule"] = format_utc(start)
    if duration is not None:
        schedule["duration"] = duration
    for name in ("validFrom", "validTo"):
        if name in more:
            more[name] = format_utc(more[name])
    more.update(
        chargingProfileId=number,
        stackLevel=level,
        chargingProfilePurpose=purpose,
        chargingProfileKind=kind,
        chargingSchedule=schedule,
    )
    return more
