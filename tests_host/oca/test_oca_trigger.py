"""OCA test cases of remote trigger (TC_054, TC_055).

Numbers and expectations: OCTT test case document, FINAL 2024-04.
"""

from typing import Any

from tests_host.oca.charger import ACCEPTED, Charger
from tests_host.oca.runner import oca
from tests_host.system.rig import field_of
from tools.csms import Frame


async def _triggered(cp: Charger, message: str, **more: Any) -> Frame:
    """TriggerMessage is accepted, and the message follows the answer."""
    mark = cp.mark()
    assert await cp.call("TriggerMessage", {"requestedMessage": message, **more}) == ACCEPTED
    answer = await cp.csms.wait_for("TriggerMessage", kind="CALLRESULT", since=mark)
    return await cp.wait_call(message, since=answer.n)


@oca()
async def test_tc_054_trigger_message(cp: Charger) -> None:
    values = await _triggered(cp, "MeterValues", connectorId=1)
    assert field_of(values, "context") == "Trigger" and values.payload["connectorId"] == 1
    await _triggered(cp, "Heartbeat")
    status = await _triggered(cp, "StatusNotification", connectorId=1)
    assert (status.payload["connectorId"], status.payload["status"]) == (1, "Available")
    for message in ("DiagnosticsStatusNotification", "FirmwareStatusNotification"):
        assert (await _triggered(cp, message)).payload == {"status": "Idle"}


@oca()
async def test_tc_055_trigger_message_rejected(cp: Charger) -> None:
    mark = cp.mark()
    wrong = {"requestedMessage": "MeterValues", "connectorId": 2}
    await cp.refused("TriggerMessage", wrong, "PropertyConstraintViolation")
    await cp.settled()
    assert cp.calls(mark) == []
