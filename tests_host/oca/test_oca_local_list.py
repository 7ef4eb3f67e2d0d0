"""OCA test cases of the local authorization list, the cache and groups of tags.

Numbers and expectations: OCTT test case document, FINAL 2024-04.
"""

from typing import Any

from tests_host.oca.charger import ACCEPTED, GROUP, OTHER, TAG, Charger
from tests_host.oca.runner import oca
from tests_host.system.steps import calls_of
from tools.csms import CallFailed

SWITCHED_OFF = {"LocalAuthListEnabled": "false"}


def _entry(tag: str, status: str = "Accepted") -> dict[str, Any]:
    return {"idTag": tag, "idTagInfo": {"status": status}}


async def _send(cp: Charger, version: int, kind: str, *entries: dict[str, Any]) -> Any:
    payload: dict[str, Any] = {"listVersion": version, "updateType": kind}
    if entries:
        payload["localAuthorizationList"] = list(entries)
    return (await cp.call("SendLocalList", payload))["status"]


async def _version(cp: Charger) -> Any:
    return (await cp.call("GetLocalListVersion"))["listVersion"]


async def _unsupported(cp: Charger, action: str, payload: dict[str, Any], answer: dict[str, Any]) -> None:
    """This answer, or the CALLERROR NotSupported."""
    try:
        assert await cp.call(action, payload) == answer
    except CallFailed as failed:
        assert failed.code == "NotSupported"


@oca(ocpp={"LocalPreAuthorize": "true", "AuthorizeRemoteTxRequests": "true"})
async def test_tc_008_id_in_local_list(cp: Charger) -> None:
    version = await _version(cp)
    assert await _send(cp, version + 1, "Full", _entry(TAG)) == "Accepted"
    mark = cp.mark()
    await cp.plug()
    await cp.remote_start(TAG.upper())
    await cp.started(TAG.upper())
    assert "Authorize" not in cp.calls(mark)


@oca(ocpp=SWITCHED_OFF)
async def test_tc_042_1_list_version_unsupported(cp: Charger) -> None:
    await _unsupported(cp, "GetLocalListVersion", {}, {"listVersion": -1})


@oca()
async def test_tc_042_2_list_version_of_an_empty_list(cp: Charger) -> None:
    assert await _send(cp, 1, "Full") == "Accepted"
    assert await _version(cp) == 0


@oca()
async def test_tc_043_send_local_list(cp: Charger) -> None:
    assert await _send(cp, 1, "Full", _entry(TAG)) == "Accepted"
    assert await _version(cp) == 1
    assert await _send(cp, 2, "Differential", _entry(OTHER)) == "Accepted"
    assert await _version(cp) == 2


@oca(ocpp=SWITCHED_OFF)
async def test_tc_043_1_send_local_list_unsupported(cp: Charger) -> None:
    full = {"listVersion": 1, "updateType": "Full", "localAuthorizationList": [_entry(TAG)]}
    await _unsupported(cp, "SendLocalList", full, {"status": "NotSupported"})


@oca()
async def test_tc_043_2_version_mismatch(cp: Charger) -> None:
    assert await _send(cp, 2, "Full", _entry(TAG)) == "Accepted"
    assert await _send(cp, 5, "Differential", _entry(OTHER)) == "Accepted"
    assert await _send(cp, 4, "Differential", _entry(OTHER, "Blocked")) == "VersionMismatch"
    assert await _version(cp) == 5


@oca()
async def test_tc_043_3_send_local_list_failed(cp: Charger) -> None:
    """Forced by more entries than fit; what was there stays."""
    assert await _send(cp, 1, "Full", _entry(TAG)) == "Accepted"
    most = int(await cp.get("LocalAuthListMaxLength"))
    assert int(await cp.get("SendLocalListMaxLength")) <= most
    entries = [_entry(f"T{number}") for number in range(most + 1)]
    assert await _send(cp, 2, "Full", *entries) == "Failed"
    assert await _version(cp) == 1


# The cache


@oca(ocpp={"LocalPreAuthorize": "true", "ConnectionTimeOut": "2"})
async def test_tc_061_clear_cache(cp: Charger) -> None:
    await cp.id_tag_cached()
    mark = cp.mark()
    await cp.swipe(TAG)
    await cp.status("Preparing")
    await cp.status("Available")
    assert "Authorize" not in cp.calls(mark), "the tag was not in the cache"
    assert await cp.call("ClearCache") == ACCEPTED
    await cp.swipe(TAG)
    await cp.expect_all("Authorize", "StatusNotification(1 Preparing)")


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
