"""OCA test cases of remote trigger (TC_054, TC_055).

Numbers and expectations: OCTT test case document, FINAL 2024-04.
"""

from tests_host.oca.charger import Charger
from tests_host.oca.runner import oca


@oca()
async def test_tc_055_trigger_message_rejected(cp: Charger) -> None:
    mark = cp.mark()
    wrong = {"requestedMessage": "MeterValues", "connectorId": 2}
    await cp.refused("TriggerMessage", wrong, "PropertyConstraintViolation")
    await cp.settled()
    assert cp.calls(mark) == []
