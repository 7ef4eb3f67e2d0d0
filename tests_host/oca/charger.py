"""The charger of an OCA test case: a quick rig, and the reusable states of the test case document.

The states are those of the document's section "Reusable states": each is reached over the wire, with its own checks.
"""

from itertools import pairwise
from pathlib import Path
from typing import Any, TextIO

from tests_host.system.rig import START_S, WAIT_S, label
from tests_host.system.steps import QuickRig, calls_of, utc
from tools.csms import FROM_CHARGER, CallFailed, Frame

TAG = "Tag-1"
OTHER = "Tag-2"
GROUP = "Group-1"
ACCEPTED = {"status": "Accepted"}
REJECTED = {"status": "Rejected"}
NOTHING_TO_START = "id tag presented, but there is nothing"  # the charger's log about a tag of no use


class Charger(QuickRig):
    """One charger with its site and central system. `presets` as of `QuickRig`; a failure is reported to `report`."""

    def __init__(self, folder: Path, report: TextIO, **presets: Any) -> None:
        super().__init__(folder, **presets)
        self.report_to = report

    # Waiting

    async def expect_all(self, *labels: str, timeout: float = WAIT_S) -> list[Frame]:
        """These CALLs, in any order ("messages may swap"), behind the last expected one; others may lie between."""
        frames = [await self.wait_label(wanted, self._cursor, timeout) for wanted in labels]
        self._cursor = max(frame.n for frame in frames) + 1
        return frames

    async def wait_label(self, wanted: str, since: int = 0, timeout: float = WAIT_S) -> Frame:
        """The first CALL with this label from `since` on; nothing is consumed."""

        def fits(frame: Frame) -> bool:
            return frame.kind == "CALL" and frame.direction == FROM_CHARGER and label(frame) == wanted

        try:
            return await self.firmware.meanwhile(self.csms.transcript.wait(fits, since, timeout))
        except TimeoutError:
            raise TimeoutError(f"no {wanted} within {timeout} s, but {self.calls(since)}") from None

    async def wait_new(self, wanted: str, count: int, since: int, timeout: float = WAIT_S) -> list[Frame]:
        """`count` CALLs with this label from `since` on, one after the other."""
        frames: list[Frame] = []
        for _ in range(count):
            frames.append(await self.wait_label(wanted, frames[-1].n + 1 if frames else since, timeout))
        return frames

    async def status(self, status: str, connector: int = 1, *, timeout: float = WAIT_S) -> Frame:
        """The next StatusNotification of this connector must be this one."""
        frame = await self.expect("StatusNotification", connectorId=connector, timeout=timeout)
        assert frame.payload["status"] == status, f"{status} wanted: {frame}"
        return frame

    async def registered(self, since: int, statuses: dict[int, str], timeout: float = START_S) -> None:
        """A boot from `since` on: BootNotification, then these statuses of the connectors, in any order."""
        boot = await self.wait_label("BootNotification", since, timeout)
        frames = [
            await self.wait_call("StatusNotification", since=boot.n, connectorId=connector, timeout=timeout)
            for connector in statuses
        ]
        assert {f.payload["connectorId"]: f.payload["status"] for f in frames} == statuses, self.calls(since)
        self._cursor = max(frame.n for frame in frames) + 1

    async def settled(self) -> None:
        """Everything the charger had to say so far is said: its answers come behind what it sent before."""
        for _ in range(2):
            await self.call("GetConfiguration", {"key": ["NumberOfConnectors"]})

    # Asking

    async def set(self, key: str, value: str) -> None:
        """ChangeConfiguration that must be accepted."""
        answer = await self.call("ChangeConfiguration", {"key": key, "value": value})
        assert answer == ACCEPTED, (key, value, answer)

    async def get(self, key: str) -> str:
        """The value of a configuration key."""
        [entry] = (await self.call("GetConfiguration", {"key": [key]}))["configurationKey"]
        return str(entry["value"])

    async def refused(self, action: str, payload: dict[str, Any], *codes: str) -> None:
        """The answer must be the status Rejected or a CALLERROR with one of these codes."""
        try:
            answer = await self.call(action, payload)
        except CallFailed as failed:
            assert failed.code in codes, failed
        else:
            assert answer == REJECTED, answer

    async def remote_start(self, tag: str = TAG, connector: int | None = 1, **more: Any) -> None:
        """RemoteStartTransaction that must be accepted."""
        where = {} if connector is None else {"connectorId": connector}
        assert await self.call("RemoteStartTransaction", {"idTag": tag, **where, **more}) == ACCEPTED

    async def remote_stop(self, transaction: int) -> None:
        """RemoteStopTransaction that must be accepted."""
        assert await self.call("RemoteStopTransaction", {"transactionId": transaction}) == ACCEPTED

    # Reusable states

    async def authorized(self, tag: str = TAG, connector: int = 1) -> None:
        """Authorized: the tag is shown; Authorize, and Preparing if it is not yet, in any order."""
        prepared = f"StatusNotification({connector} Preparing)"
        told = [f for f in calls_of(self, "StatusNotification") if f.payload["connectorId"] == connector]
        await self.swipe(tag)
        await self.expect_all("Authorize", *([] if told and label(told[-1]) == prepared else [prepared]))
        assert calls_of(self, "Authorize")[-1].payload == {"idTag": tag}

    async def charging(self, tag: str = TAG, connector: int = 1, *, reserved: bool = False, **more: Any) -> int:
        """Charging: the cable is plugged, a RemoteStartTransaction (with `more` in it) begins; the transaction id.
        reserved: the connector is Reserved for the tag, so that Preparing comes after the remote start."""
        asks = await self.get("AuthorizeRemoteTxRequests") == "true"
        mark = self.mark()
        await self.plug(connector, wait=not reserved)
        await self.remote_start(tag, connector, **more)
        if reserved:
            await self.expect("StatusNotification", connectorId=connector, status="Preparing")
        if asks:
            await self.wait_label("Authorize", mark)
        transaction = await self.started(tag, connector)
        assert asks or "Authorize" not in self.calls(mark), self.calls(mark)
        return transaction

    async def started(self, tag: str = TAG, connector: int = 1) -> int:
        """StartTransaction with this tag and Charging come, in any order; the transaction id."""
        start, _ = await self.expect_all("StartTransaction", f"StatusNotification({connector} Charging)")
        assert (start.payload["connectorId"], start.payload["idTag"]) == (connector, tag), start
        await self.wait_output(True, connector)
        answer = await self.csms.wait_for("StartTransaction", kind="CALLRESULT", direction="out", since=start.n)
        return int(answer.payload["transactionId"])

    async def stopped(self, reason: str, transaction: int, connector: int = 1) -> Frame:
        """StopTransaction with this reason and Finishing come, in any order."""
        stop, _ = await self.expect_all(f"StopTransaction({reason})", f"StatusNotification({connector} Finishing)")
        assert stop.payload["transactionId"] == transaction, stop
        return stop

    async def id_tag_cached(self, tag: str = TAG) -> None:
        """IdTagCached: one full charging cycle with this tag."""
        transaction = await self.charging(tag)
        await self.remote_stop(transaction)
        await self.stopped("Remote", transaction)
        await self.unplug()


def meter_times(frames: list[Frame]) -> list[float]:
    """The times of the samples in these MeterValues, in the order of the wire, Unix seconds."""
    return [utc(value["timestamp"]) for frame in frames for value in frame.payload["meterValue"]]


def steps(times: list[float]) -> list[float]:
    """What lies between each two of them."""
    return [later - earlier for earlier, later in pairwise(times)]
