"""One charger for the transcripts: firmware and simulated site as processes, the bench central system in this one."""

from pathlib import Path
from types import TracebackType
from typing import Any

from tools.csms import FROM_CHARGER, TO_CHARGER, Frame
from tools.demo.charger import Charger
from tools.demo.wire_text import line_of, shorten

IDENTITY = "CP-1"
SOC = 87.0
_WAIT_S = 20.0


class Stage(Charger):
    """`async with Stage(folder, interval_s) as stage:` everything runs; the charger connects in a moment.

    interval_s -- MeterValueSampleInterval. `blocks` has the lines of every scene that was `cut` so far.
    """

    def __init__(self, folder: Path, interval_s: int) -> None:
        presets = {"ocpp": {"MeterValueSampleInterval": str(interval_s)}}
        super().__init__(folder, IDENTITY, presets=presets, site=("--soc", str(SOC)))
        self.blocks: dict[str, list[str]] = {}
        self._lines: list[str] = []
        self._seen: dict[str, str] = {}
        self._at = 0  # number of the frame behind the last one that was waited for
        self.csms.transcript.listeners.append(self._record)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await super().__aexit__(kind, error, trace)
        if error is None and self.csms.violations:
            raise ValueError("\n".join(str(frame) for frame in self.csms.violations))

    async def failed(self, error: BaseException) -> None:
        error.add_note("\n".join([*self._lines, self.firmware.tail()]))

    # What is played

    async def network_down(self) -> None:
        """The central system is away, until `csms.resume`; returns when the connection has ended."""
        mark = self.csms.mark()
        await self.csms.stop_listening()
        await self.csms.wait_for(kind="CLOSE", since=mark, timeout=_WAIT_S)

    async def call(self, action: str, **payload: Any) -> dict[str, Any]:
        """A CALL of the central system; the payload of its answer."""
        return await self.firmware.meanwhile(self.csms.call(IDENTITY, action, payload, _WAIT_S))

    async def output(self, on: bool) -> None:
        """Until the power module is on, or off."""
        await self.firmware.meanwhile(self.sim.wait_state(lambda state: state["output_on"] is on, _WAIT_S))

    async def flows(self, wh: float) -> None:
        """Until that much energy has flowed since plug-in."""
        await self.firmware.meanwhile(self.sim.wait_state(lambda state: bool(state["session_wh"] >= wh), _WAIT_S))

    async def says(self, part: str) -> None:
        """Until a line of the firmware's log contains `part`."""
        await self.firmware.wait_line(lambda line: part in line, _WAIT_S)

    async def expect(self, *actions: str, timeout: float = _WAIT_S, **fields: Any) -> Frame:
        """Until the charger's next CALLs with these actions have come, in this order, the last one with these fields,
        and until that one is answered. Raises TimeoutError."""
        for number, action in enumerate(actions, 1):
            asked = await self._next(action, fields if number == len(actions) else {}, timeout)
        await self.firmware.meanwhile(
            self.csms.transcript.wait(
                lambda frame: frame.uid == asked.uid and frame.direction == TO_CHARGER, asked.n, timeout
            )
        )
        return asked

    async def _next(self, action: str, fields: dict[str, Any], timeout: float) -> Frame:
        def fits(frame: Frame) -> bool:
            return (frame.kind, frame.direction, frame.action) == (
                "CALL",
                FROM_CHARGER,
                action,
            ) and fields.items() <= frame.payload.items()

        try:
            frame = await self.firmware.meanwhile(self.csms.transcript.wait(fits, self._at, timeout))
        except TimeoutError:
            raise TimeoutError(f"no {action} {fields or ''} within {timeout:.0f} s") from None
        self._at = frame.n + 1
        return frame

    async def registered(self) -> None:
        """Until the statuses after the connection have come."""
        await self.expect("StatusNotification", "StatusNotification", connectorId=1)

    async def plug_in(self) -> None:
        """Until VehicleInfo is answered."""
        await self.sim.cmd("plug")
        await self.expect("DataTransfer", messageId="VehicleInfo")

    async def start(self, id_tag: str = "TAG-1") -> int:
        """RemoteStart; until the first MeterValues are answered. The transaction id."""
        await self.call("RemoteStartTransaction", idTag=id_tag, connectorId=1)
        return await self.charging()

    async def charging(self) -> int:
        """Until the first MeterValues of a transaction are answered; its id."""
        sample = await self.expect("MeterValues")
        await self.output(True)
        return int(sample.payload["transactionId"])

    async def leaves(self) -> None:
        """The plug is pulled, until Available is answered."""
        await self.sim.cmd("unplug")
        await self.expect("StatusNotification", connectorId=1, status="Available")

    # What is shown of it

    def note(self, text: str) -> None:
        """A line about what happens beside the wire."""
        self._lines.append(f"- {text}")

    def cut(self, name: str) -> None:
        """What came since the last cut is the scene `name`."""
        self.blocks[name] = shorten(self._lines)
        self._lines.clear()

    def skip(self) -> None:
        """What came since the last cut is not shown."""
        self._lines.clear()

    def _record(self, frame: Frame) -> None:
        self._lines.append(line_of(frame, self._seen))
