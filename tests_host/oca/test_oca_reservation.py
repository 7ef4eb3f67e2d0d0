"""OCA test cases of reservation (TC_046 to TC_053).

Numbers and expectations: OCTT test case document, FINAL 2024-04.
"""

import time
from typing import Any

from tests_host.oca.charger import ACCEPTED, GROUP, NOTHING_TO_START, OTHER, REJECTED, TAG, Charger
from tests_host.oca.runner import oca
from tests_host.system.steps import calls_of
from tools.csms.logic import utc_text

NUMBER = 7


async def _ask(cp: Charger, connector: int = 1, seconds: float = 300, **more: Any) -> Any:
    """ReserveNow for TAG; the status of the answer."""
    reservation = {"connectorId": connector, "idTag": TAG, "reservationId": NUMBER, **more}
    reservation["expiryDate"] = utc_text(time.time() + seconds)
    return (await cp.call("ReserveNow", reservation))["status"]


async def _reserved(cp: Charger, seconds: float = 300, **more: Any) -> None:
    """The reusable state Reserved."""
    assert await _ask(cp, seconds=seconds, **more) == "Accepted"
    await cp.status("Reserved")


def _reservation_of_the_start(cp: Charger) -> Any:
    [start] = calls_of(cp, "StartTransaction")
    return start.payload.get("reservationId")


async def _inoperative(cp: Charger, connector: int) -> None:
    assert await cp.call("ChangeAvailability", {"connectorId": connector, "type": "Inoperative"}) == ACCEPTED


# Reserve and start


@oca()
async def test_tc_046_1_reserve_local_start(cp: Charger) -> None:
    await _reserved(cp)
    mark = cp.mark()
    await cp.swipe(OTHER)
    await cp.wait_line(NOTHING_TO_START)
    await cp.settled()
    assert set(cp.calls(mark)) <= {"Authorize"}, cp.calls(mark)
    await cp.swipe(TAG)
    await cp.status("Preparing")
    await cp.sim.cmd("plug")
    await cp.started()
    assert _reservation_of_the_start(cp) == NUMBER


@oca()
async def test_tc_046_2_reserve_remote_start(cp: Charger) -> None:
    await _reserved(cp)
    await cp.charging(reserved=True)
    assert _reservation_of_the_start(cp) == NUMBER


@oca()
async def test_tc_047_reservation_expires(cp: Charger) -> None:
    begin = time.monotonic()
    await _reserved(cp, seconds=3)
    available = await cp.status("Available")
    assert 2 <= available.mono - begin <= 6, "not at the expiry date"
    await cp.authorized(OTHER)
    await cp.sim.cmd("plug")
    await cp.started(OTHER)
    assert _reservation_of_the_start(cp) is None


# Refused


@oca()
async def test_tc_048_1_reserve_faulted(cp: Charger) -> None:
    await cp.sim.cmd("fault", active=True)
    await cp.status("Faulted")
    assert await _ask(cp) == "Faulted"


@oca()
async def test_tc_048_2_reserve_occupied(cp: Charger) -> None:
    await cp.plug()
    assert await _ask(cp) == "Occupied"


@oca()
async def test_tc_048_3_reserve_unavailable(cp: Charger) -> None:
    await _inoperative(cp, 1)
    await cp.status("Unavailable")
    assert await _ask(cp) == "Unavailable"


# Connector 0


@oca(connectors=2)
async def test_tc_049_reserve_connector_zero(cp: Charger) -> None:
    await _inoperative(cp, 2)
    await cp.status("Unavailable", 2)
    assert await _ask(cp, 0) == "Accepted"
    await cp.status("Reserved")
    await cp.charging(reserved=True)
    assert _reservation_of_the_start(cp) == NUMBER


@oca(connectors=2)
async def test_tc_050_1_reserve_connector_zero_faulted(cp: Charger) -> None:
    for connector in (1, 2):
        await cp.sim.cmd("fault", active=True, connector=connector)
        await cp.status("Faulted", connector)
    assert await _ask(cp, 0) == "Faulted"


@oca(connectors=2)
async def test_tc_050_2_reserve_connector_zero_occupied(cp: Charger) -> None:
    for connector in (1, 2):
        await cp.plug(connector)
    assert await _ask(cp, 0) == "Occupied"


@oca(connectors=2)
async def test_tc_050_3_reserve_connector_zero_unavailable(cp: Charger) -> None:
    await _inoperative(cp, 0)
    await cp.expect_all(*(f"StatusNotification({connector} Unavailable)" for connector in range(3)))
    assert await _ask(cp, 0) == "Unavailable"


# Cancel


@oca()
async def test_tc_051_cancel_reservation(cp: Charger) -> None:
    await _reserved(cp)
    assert await cp.call("CancelReservation", {"reservationId": NUMBER}) == ACCEPTED
    await cp.status("Available")
    await cp.charging()
    assert _reservation_of_the_start(cp) is None


@oca()
async def test_tc_052_cancel_unknown_reservation(cp: Charger) -> None:
    await _reserved(cp)
    mark = cp.mark()
    assert await cp.call("CancelReservation", {"reservationId": NUMBER + 1}) == REJECTED
    await cp.settled()
    assert cp.calls(mark) == []


# Groups


@oca()
async def test_tc_053_reservation_with_parent(cp: Charger) -> None:
    cp.csms.id_tag(OTHER, parent=GROUP)
    await _reserved(cp, parentIdTag=GROUP)
    await cp.swipe(OTHER)
    await cp.expect("Authorize", idTag=OTHER)
    await cp.status("Preparing")
    await cp.sim.cmd("plug")
    await cp.started(OTHER)
    assert _reservation_of_the_start(cp) == NUMBER
