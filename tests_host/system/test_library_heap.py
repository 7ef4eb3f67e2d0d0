"""The library alone in the heap of an ESP32: every profile, from .mpy on the 32-bit port.

A central system sends all that is large, as large as it may be. Nothing runs out of memory, and a session goes on.
"""

import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tests_host.conftest import interpreter
from tests_host.system.rig import system_test
from tools.build_mpy import build
from tools.csms import BenchCsms
from tools.demo.firmware import HEAP_32, ROOT
from tools.demo.process import Child

WAIT_S = 20.0
NAME = "CP-1"
PROFILES = ("core", "local_auth", "reservation", "smart_charging", "remote_trigger", "firmware")
ACCEPTED = {"status": "Accepted"}
DAY_S = 86_400
TAGS = 1000
CHUNK = 20  # SendLocalListMaxLength
PERIODS = 24  # ChargingScheduleMaxPeriods
LEVELS = 9  # ChargeProfileMaxStackLevel and 0
INSTALLED = 10  # MaxChargingProfilesInstalled

PROGRAM = """
import asyncio, gc, sys
from clock import Clock
from log import Log
from ocpp16 import ChargePoint
from ocpp16.dial import Access
from ocpp16.journal_store import JournalStore

class Outlet:
    on = False
    def plugged(self): return True
    def ev_ready(self): return True
    def evse_ready(self): return self.on
    def fault(self): return None
    def energy_wh(self): return 1000
    def sample(self, measurand): return ("1000", "Wh") if measurand.startswith("Energy") else None
    def permit(self, allowed, limit_ma=None, limit_w=None):
        self.on = allowed and limit_ma != 0
        print("limit", limit_ma, limit_w)
    def is_settled(self): return not self.on
    def session_begin(self, tx): pass
    def limits(self): return 32000, 2500, 77000, 500

async def watch():
    while True:
        gc.collect()
        print("free", gc.mem_free())
        await asyncio.sleep_ms(200)

clock = Clock()
charge_point = ChargePoint(
    clock, JournalStore("data", clock), Log(clock, print), [Outlet()],
    {"chargePointVendor": "V", "chargePointModel": "M"},
    Access(sys.argv[1], "CP-1").dial, profiles=PROFILES,
    config_defaults={"LocalAuthListMaxLength": "1000", "MeterValueSampleInterval": "2"},
)
charge_point.restore()

async def main():
    await asyncio.gather(watch(), charge_point.run())

asyncio.run(main())
"""


def compile_program(folder: Path) -> Path:
    """The program and the library as the firmware is compiled; the folder of the result."""
    tree = folder / "source"
    (tree / "firmware").mkdir(parents=True)
    shutil.copytree(ROOT / "lib", tree / "lib")
    (tree / "firmware" / "main.py").write_text(PROGRAM.replace("PROFILES", repr(PROFILES)), encoding="utf-8")
    build(tree, "sim", folder / "built")
    return folder / "built"


def tags(first: int, count: int) -> list[dict[str, Any]]:
    """Entries of a local list, as long as they can be."""
    info = {"status": "Accepted", "expiryDate": "2030-01-01T00:00:00Z", "parentIdTag": "GROUP-OF-TWENTY-CHAR"}
    return [{"idTag": f"0412ABCD{number:012d}", "idTagInfo": info} for number in range(first, first + count)]


def charging_profile(number: int) -> dict[str, Any]:
    """A profile with as many periods as there can be: TxDefaultProfiles of nine levels, and a ChargePointMaxProfile."""
    periods = [{"startPeriod": n * 3600, "limit": 7.7 + n, "numberPhases": 3} for n in range(PERIODS)]
    return {
        "chargingProfileId": 1_000_000 + number,
        "stackLevel": number % LEVELS,
        "chargingProfilePurpose": "TxDefaultProfile" if number < LEVELS else "ChargePointMaxProfile",
        "chargingProfileKind": "Recurring",
        "recurrencyKind": "Daily",
        "validFrom": "2026-01-01T00:00:00Z",
        "validTo": "2036-01-01T00:00:00Z",
        "chargingSchedule": {
            "chargingRateUnit": "A",
            "chargingSchedulePeriod": periods,
            "duration": DAY_S,
            "startSchedule": "2026-01-01T00:00:00Z",
            "minChargingRate": 6.5,
        },
    }


@system_test
async def test_every_profile_at_its_largest(tmp_path: Path) -> None:
    built = compile_program(tmp_path)
    charger = Child("charger")
    async with BenchCsms(identities=[NAME]) as csms:
        path = {"MICROPYPATH": f"{built}/firmware:{built}/lib:.frozen"}
        argv: list[str | Path] = [interpreter(32), "-X", f"heapsize={HEAP_32}", "-m", "main", csms.url]
        await charger.start(argv, tmp_path, path)
        try:
            await charger.meanwhile(csms.wait_for("StatusNotification", lambda p: p["status"] == "Preparing"))

            async def call(action: str, payload: dict[str, Any] | None = None) -> dict[str, Any]:
                return await charger.meanwhile(csms.call(NAME, action, payload, WAIT_S))

            await _everything(csms, charger, call)
            assert not csms.violations, csms.violations
            lines = [line for line in charger.lines if "MemoryError" in line]
            assert not lines, "\n".join(charger.lines)
            free = [int(line.split()[1]) for line in charger.lines if line.startswith("free ")]
            print(f"least free heap after a collection: {min(free)} bytes of {HEAP_32}")
        except BaseException:
            print(charger.tail(100))
            raise
        finally:
            await charger.stop()


async def _everything(csms: BenchCsms, charger: Child, call: Callable[..., Awaitable[dict[str, Any]]]) -> None:
    assert await call("RemoteStartTransaction", {"idTag": "TAG", "connectorId": 1}) == ACCEPTED
    await charger.meanwhile(csms.wait_for("StatusNotification", lambda p: p["status"] == "Charging"))
    await _local_list(call)
    for number in range(INSTALLED):
        sent = {"connectorId": 0, "csChargingProfiles": charging_profile(number)}
        assert await call("SetChargingProfile", sent) == ACCEPTED, number
    one_more = {"connectorId": 1, "csChargingProfiles": {**charging_profile(0), "chargingProfileId": 5}}
    assert await call("SetChargingProfile", one_more) == {"status": "Rejected"}
    await _composite(call)
    keys = [row["key"] for row in (await call("GetConfiguration"))["configurationKey"]]
    assert len(keys) == len(set(keys)) > 25 and {"SendLocalListMaxLength", "MaxChargingProfilesInstalled"} <= set(keys)
    assert len((await call("GetConfiguration", {"key": keys}))["configurationKey"]) == len(keys)
    reserve = {"connectorId": 1, "expiryDate": "2030-01-01T00:00:00Z", "idTag": "T" * 20, "reservationId": 1}
    assert await call("ReserveNow", reserve) == {"status": "Occupied"}
    mark = csms.mark()
    for _ in range(2):
        await charger.meanwhile(csms.wait_for("MeterValues", since=mark))
        mark = csms.mark()
    assert await call("ClearChargingProfile", {}) == ACCEPTED
    assert await call("RemoteStopTransaction", {"transactionId": 1}) == ACCEPTED
    stop = await charger.meanwhile(csms.wait_for("StopTransaction"))
    assert stop.payload["reason"] == "Remote"


async def _local_list(call: Callable[..., Awaitable[dict[str, Any]]]) -> None:
    version = 0
    for first in range(0, TAGS, CHUNK):
        version += 1
        kind = "Differential" if first else "Full"
        payload = {"listVersion": version, "updateType": kind, "localAuthorizationList": tags(first, CHUNK)}
        assert await call("SendLocalList", payload) == ACCEPTED, first
    for entries in (tags(TAGS, 1), tags(0, CHUNK + 1)):  # one more than there is room for, and too many at once
        payload = {"listVersion": version + 1, "updateType": "Differential", "localAuthorizationList": entries}
        assert await call("SendLocalList", payload) == {"status": "Failed"}
    assert await call("GetLocalListVersion") == {"listVersion": version}


async def _composite(call: Callable[..., Awaitable[dict[str, Any]]]) -> None:
    for number, unit in ((1, "A"), (0, "W")):
        answer = await call(
            "GetCompositeSchedule", {"connectorId": number, "duration": DAY_S, "chargingRateUnit": unit}
        )
        assert answer["status"] == "Accepted" and len(answer["chargingSchedule"]["chargingSchedulePeriod"]) > 20, answer
