"""OCA test cases of smart charging: composite schedules as the central system calculates them.

Numbers and expectations: OCTT test case document, FINAL 2024-04; of TC_066 see its text here.
"""

import time
from typing import Any

from tests_host.oca.charger import ACCEPTED, REJECTED, TAG, Charger
from tests_host.oca.runner import oca
from tests_host.system.steps import utc
from tools.csms.logic import utc_text

Periods = list[tuple[int, float]]  # (seconds, limit in A), the first at 0
DAY_S = 86_400


class Schedules:
    """Profiles of one case, which all start at the same moment: now."""

    def __init__(self, cp: Charger) -> None:
        self.cp = cp
        self.start = int(time.time())

    def profile(self, number: int, purpose: str, level: int, duration: int, periods: Periods, **more: Any) -> Any:
        """A ChargingProfile of kind Absolute in amperes."""
        return {
            "chargingProfileId": number,
            "stackLevel": level,
            "chargingProfilePurpose": purpose,
            "chargingProfileKind": "Absolute",
            "chargingSchedule": {
                "startSchedule": utc_text(self.start),
                "duration": duration,
                "chargingRateUnit": "A",
                "chargingSchedulePeriod": [{"startPeriod": start, "limit": limit} for start, limit in periods],
            },
            **more,
        }

    async def set(self, profile: Any, connector: int = 1) -> None:
        """SetChargingProfile that must be accepted."""
        request = {"connectorId": connector, "csChargingProfiles": profile}
        assert await self.cp.call("SetChargingProfile", request) == ACCEPTED

    async def composite(self, duration: int, connector: int = 1) -> tuple[int, Periods]:
        """GetCompositeSchedule in amperes: how long after the common start it begins, and its periods."""
        request = {"connectorId": connector, "duration": duration, "chargingRateUnit": "A"}
        answer = await self.cp.call("GetCompositeSchedule", request)
        assert (answer["status"], answer["connectorId"]) == ("Accepted", connector), answer
        assert abs(utc(answer["scheduleStart"]) - time.time()) < 3, answer
        schedule = answer["chargingSchedule"]
        assert (schedule["duration"], schedule["chargingRateUnit"]) == (duration, "A"), answer
        periods = [(period["startPeriod"], period["limit"]) for period in schedule["chargingSchedulePeriod"]]
        return round(utc(answer["scheduleStart"]) - self.start), periods

    async def shows(self, duration: int, wanted: Periods) -> None:
        """The composite schedule is `wanted` (seconds from the common start)."""
        x, periods = await self.composite(duration)
        assert periods == seen_after(wanted, x), f"{x} s after the start: {periods}"

    async def local_limit(self) -> float:
        """What the connector gives without any profile."""
        _, [(start, limit)] = await self.composite(350)
        assert start == 0
        return limit


def seen_after(periods: Periods, x: int) -> Periods:
    """These periods as they look `x` seconds later: what is over is gone, starts count from then."""
    seen: Periods = []
    for start, limit in periods:
        at = max(0, start - x)
        if seen and seen[-1][0] == at:
            seen.pop()
        seen.append((at, limit))
    return seen


STEPS: Periods = [(0, 6.0), (60, 10.0), (120, 8.0)]


@oca()
async def test_tc_056_tx_default_profile(cp: Charger) -> None:
    made = Schedules(cp)
    limit = await made.local_limit()
    await made.set(made.profile(1, "TxDefaultProfile", 0, 300, STEPS))
    await made.shows(350, [*STEPS, (300, limit)])


@oca()
async def test_tc_057_tx_profile(cp: Charger) -> None:
    transaction = await cp.charging()
    made = Schedules(cp)
    limit = await made.local_limit()
    await made.set(made.profile(1, "TxProfile", 0, 300, STEPS, transactionId=transaction))
    await made.shows(350, [*STEPS, (300, limit)])
    await cp.sim.wait_state(lambda state: 5.0 < state["current"] < 6.5, 10)


@oca()
async def test_tc_058_1_tx_profile_without_transaction(cp: Charger) -> None:
    profile = Schedules(cp).profile(1, "TxProfile", 0, 300, STEPS)
    request = {"connectorId": 1, "csChargingProfiles": profile}
    await cp.refused("SetChargingProfile", request, "PropertyConstraintViolation")


@oca()
async def test_tc_058_2_tx_profile_of_another_transaction(cp: Charger) -> None:
    transaction = await cp.charging()
    profile = Schedules(cp).profile(1, "TxProfile", 0, 300, STEPS, transactionId=transaction + 1)
    assert await cp.call("SetChargingProfile", {"connectorId": 1, "csChargingProfiles": profile}) == REJECTED


@oca()
async def test_tc_059_remote_start_with_profile(cp: Charger) -> None:
    made = Schedules(cp)
    limit = await made.local_limit()
    await cp.charging(chargingProfile=made.profile(1, "TxProfile", 0, 300, STEPS))
    await made.shows(350, [*STEPS, (300, limit)])


@oca()
async def test_tc_060_remote_start_with_wrong_purpose(cp: Charger) -> None:
    await cp.plug()
    profile = Schedules(cp).profile(1, "TxDefaultProfile", 0, 300, STEPS)
    start = {"idTag": TAG, "connectorId": 1, "chargingProfile": profile}
    await cp.refused("RemoteStartTransaction", start, "PropertyConstraintViolation")
    await cp.settled()
    cp.assert_count("StartTransaction", 0)


@oca()
async def test_tc_066_composite_schedule(cp: Charger) -> None:
    """The TxProfile ends at 260 s. From then on the TxDefaultProfile counts, which ends at 300 s."""
    transaction = await cp.charging()
    made = Schedules(cp)
    default: Periods = [(0, 6.0), (60, 10.0), (120, 8.0), (180, 15.0), (260, 8.0)]
    own: Periods = [(0, 8.0), (50, 11.0), (140, 16.0), (200, 6.0), (240, 12.0)]
    await made.set(made.profile(1, "ChargePointMaxProfile", 0, DAY_S, [(0, 10.0)]), 0)
    await made.set(made.profile(2, "TxDefaultProfile", 0, 300, default))
    await made.set(made.profile(3, "TxProfile", 0, 260, own, transactionId=transaction))
    await made.shows(400, [(0, 8.0), (50, 10.0), (200, 6.0), (240, 10.0), (260, 8.0), (300, 10.0)])


@oca()
async def test_tc_067_clear_profiles(cp: Charger) -> None:
    made = Schedules(cp)
    limit = await made.local_limit()
    await made.set(made.profile(1, "TxDefaultProfile", 2, DAY_S, [(0, 6.0)]))
    await made.set(made.profile(2, "TxDefaultProfile", 1, DAY_S, [(0, 7.0), (100, 9.0)]))
    await made.set(made.profile(3, "ChargePointMaxProfile", 0, DAY_S, [(0, 11.0), (200, 12.0)]), 0)
    await made.shows(350, [(0, 6.0)])
    assert await cp.call("ClearChargingProfile", {"id": 1}) == ACCEPTED
    await made.shows(350, [(0, 7.0), (100, 9.0)])
    level = {"chargingProfilePurpose": "TxDefaultProfile", "stackLevel": 1}
    assert await cp.call("ClearChargingProfile", level) == ACCEPTED
    await made.shows(350, [(0, 11.0), (200, 12.0)])
    assert await cp.call("ClearChargingProfile") == ACCEPTED
    await made.shows(350, [(0, limit)])


@oca()
async def test_tc_072_stacking(cp: Charger) -> None:
    made = Schedules(cp)
    await made.set(made.profile(1, "TxDefaultProfile", 0, 400, [(0, 6.0), (100, 8.0), (200, 10.0)]))
    await made.set(made.profile(2, "TxDefaultProfile", 1, 150, [(0, 7.0), (100, 9.0)]))
    await made.shows(350, [(0, 7.0), (100, 9.0), (150, 8.0), (200, 10.0)])


@oca()
async def test_tc_082_tx_default_in_transaction(cp: Charger) -> None:
    await cp.charging()
    made = Schedules(cp)
    limit = await made.local_limit()
    await made.set(made.profile(1, "TxDefaultProfile", 0, 300, STEPS))
    await made.shows(350, [*STEPS, (300, limit)])
    await cp.sim.wait_state(lambda state: 5.0 < state["current"] < 6.5, 10)
