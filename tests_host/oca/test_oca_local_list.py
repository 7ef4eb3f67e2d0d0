"""OCA test cases of the local authorization list, the cache and groups of tags.

Numbers and expectations: OCTT test case document, FINAL 2024-04.
"""

from tests_host.oca.charger import GROUP, OTHER, TAG, Charger
from tests_host.oca.runner import oca
from tests_host.system.steps import calls_of

# Groups


@oca()
async def test_tc_069_stop_with_parent(cp: Charger) -> None:
    for tag in (TAG, OTHER):
        cp.csms.id_tag(tag, parent=GROUP)
    await cp.plug()
    await cp.swipe(TAG)
    transaction = await cp.started()
    await cp.swipe(OTHER)
    await cp.expect("Authorize", idTag=OTHER)
    stop = await cp.stopped("Local", transaction)
    assert stop.payload["idTag"] == OTHER
    assert [f.payload["idTag"] for f in calls_of(cp, "Authorize")] == [TAG, OTHER]
