"""The whole charger under test: firmware process, simulated site, bench central system, all over TCP.

    @system_test
    async def test_session(tmp_path: Path) -> None:
        async with Rig(tmp_path) as rig:                    # everything runs, the charger is registered
            await rig.plug(soc=50)                          # Preparing and VehicleInfo have come
            transaction = await rig.start_session("TAG")    # Charging has come, the module is on
            await rig.expect("MeterValues", context="Sample.Periodic", timeout=15)
            await rig.stop_session()                        # StopTransaction has come, the module is off
            await rig.unplug()                              # Available has come
            rig.assert_session(Session(unplugged=True))     # order, payloads, times, energies, schemas

`rig.csms` is the `BenchCsms` (behave, call, drop, stop_listening, store, ...), `rig.sim` the `SimClient` (cmd, state,
events, wait_event, wait_state), `rig.firmware` the process (`lines`, `write` to its console, `signal`, `wait`).

Waiting: `rig.expect(action, field=value, ...)` takes the next CALL of the charger that fits and moves on behind it, so
successive calls check an order; `rig.expect_sequence` takes several. `rig.mark()` and `rig.calls(mark)` look back.
Every wait has a deadline and ends at once when the firmware ends. When the body fails, the transcript, the simulator's
events and the firmware's output are printed. Nothing is left running.
"""

import asyncio
import signal
from collections.abc import Callable, Coroutine
from functools import partial, wraps
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from tools.csms import FROM_CHARGER, BenchCsms, Frame
from tools.csms.frames import relative_lines
from tools.demo.charger import Charger
from tools.demo.firmware import Firmware
from tools.transcript import Session, check, one_session

IDENTITY = "CP-1"
START_S = 20.0
WAIT_S = 10.0
Coro = Coroutine[Any, Any, None]


def system_test(test: Callable[..., Coro]) -> Callable[..., None]:
    """Run an async test function on an event loop of its own. Fixtures work as usual."""

    @wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


def label(frame: Frame) -> str:
    """A short name of a CALL: the action with what matters of it, e.g. StatusNotification(1 Charging),
    DataTransfer(VehicleInfo), MeterValues(Sample.Periodic), StopTransaction(Remote)."""
    payload = frame.payload if isinstance(frame.payload, dict) else {}
    detail = ""
    if frame.action == "StatusNotification":
        detail = f"{payload.get('connectorId')} {payload.get('status')}"
    elif frame.action == "DataTransfer":
        detail = str(payload.get("messageId"))
    elif frame.action == "MeterValues":
        detail = field_of(frame, "context")
    elif frame.action == "StopTransaction":
        detail = payload.get("reason", "Local")
    return f"{frame.action}({detail})" if detail else str(frame.action)


def field_of(frame: Frame, name: str) -> Any:
    """A field of the payload; context, timestamp and measurands of MeterValues are looked up inside."""
    payload = frame.payload
    if name in payload or "meterValue" not in payload:
        return payload.get(name)
    value = payload["meterValue"][0]
    if name == "timestamp":
        return value["timestamp"]
    if name == "context":
        return value["sampledValue"][0].get("context")
    return next((sample["value"] for sample in value["sampledValue"] if sample.get("measurand") == name), None)


class Rig(Charger):
    """See the module's text. Arguments:

    tmp_path: the data folder (the charger's flash) is tmp_path/"data" and is kept over `restart_firmware`.
    bits, mpy, heap, options: which firmware, see tools/demo/firmware.py; or `program`, one that is made already.
    settings, ocpp, board: more factory presets; connectors; identity.
    soc: of the vehicle, %. csms: more arguments of `BenchCsms`. prepare: called with the `BenchCsms` before the
    firmware starts, to set its behaviour. wait_registered False: return as soon as the firmware process runs.
    sim_options: more arguments of tools.sim.
    """

    def __init__(
        self,
        tmp_path: Path,
        *,
        bits: int = 64,
        mpy: bool = False,
        heap: str | None = None,
        options: tuple[str, ...] = (),
        program: Firmware | None = None,
        settings: dict[str, Any] | None = None,
        ocpp: dict[str, str] | None = None,
        board: dict[str, Any] | None = None,
        connectors: int = 1,
        identity: str = IDENTITY,
        soc: float = 62.0,
        csms: dict[str, Any] | None = None,
        prepare: Callable[[BenchCsms], None] | None = None,
        wait_registered: bool = True,
        sim_options: tuple[str, ...] = (),
    ) -> None:
        presets = {"settings": settings, "ocpp": ocpp, "board": board, "connectors": connectors}
        site = ("--connectors", str(connectors), "--soc", str(soc), *sim_options)
        super().__init__(tmp_path, identity, program or Firmware(bits, mpy, heap, options), presets, site, csms)
        self._connectors = connectors
        self._prepare = prepare
        self._wait_registered = wait_registered
        self._cursor = 0
        self._old_lines: list[str] = []
        self.report_to: TextIO | None = None  # where a failure is reported; None: stdout

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await super().__aexit__(kind, error, trace)
        if error is None and self.csms.errors:
            raise self.csms.errors[0]

    async def begin(self) -> None:
        if self._prepare:
            self._prepare(self.csms)
        await self.start_site()
        await self.start_firmware(self._wait_registered)

    async def failed(self, error: BaseException) -> None:
        await self._report()

    # The firmware process

    async def start_firmware(self, wait_registered: bool = True) -> None:
        """Start it (it must not run); wait until every connector has reported its status."""
        mark = self.mark()
        self._old_lines += self.firmware.lines
        await self.power_up()
        if wait_registered:
            for connector in range(self._connectors + 1):
                await self.wait_call("StatusNotification", since=mark, timeout=START_S, connectorId=connector)
            self._cursor = self.mark()

    async def stop_firmware(self, kill: int = signal.SIGTERM) -> int | None:
        """End it with a signal; its exit status. SIGKILL is the power cut."""
        return await self.firmware.stop(kill)

    async def restart_firmware(self, kill: int = signal.SIGKILL, wait_registered: bool = True) -> None:
        """End it and start it again with the same flash. SIGKILL is the power cut, SIGTERM the orderly end."""
        await self.stop_firmware(kill)
        await self.start_firmware(wait_registered)

    # What people do; each waits until the charger has said so

    async def plug(self, connector: int = 1, *, wait: bool = True, **vehicle: Any) -> None:
        """Plug a vehicle in (`vehicle`: soc, capacity_ah, max_current, max_voltage, temperature); waits for Preparing
        and VehicleInfo."""
        await self.sim.cmd("plug", connector=connector, **vehicle)
        if wait:
            await self.expect("StatusNotification", connectorId=connector, status="Preparing")
            await self.expect("DataTransfer", messageId="VehicleInfo")

    async def start_session(self, id_tag: str = "TAG", connector: int = 1, *, wait: bool = True) -> int:
        """RemoteStartTransaction; waits for Charging and for the module to be on. Returns the transaction id."""
        answer = await self.call("RemoteStartTransaction", {"idTag": id_tag, "connectorId": connector})
        assert answer == {"status": "Accepted"}, answer
        start = await self.expect("StartTransaction", connectorId=connector)
        reply = await self.firmware.meanwhile(
            self.csms.wait_for("StartTransaction", kind="CALLRESULT", direction="out", since=start.n, timeout=WAIT_S)
        )
        if wait:
            await self.expect("StatusNotification", connectorId=connector, status="Charging")
            await self.wait_output(True, connector)
        return int(reply.payload["transactionId"])

    async def stop_session(self, transaction: int | None = None, *, wait: bool = True) -> None:
        """RemoteStopTransaction (None: of the newest open one); waits for StopTransaction and the module to be off."""
        if transaction is None:
            transaction = self.csms.store.open_transactions(self.identity)[0]["transaction_id"]
        connector = self.csms.store.rows("transactions", transaction_id=transaction)[-1]["connector"]
        answer = await self.call("RemoteStopTransaction", {"transactionId": transaction})
        assert answer == {"status": "Accepted"}, answer
        if wait:
            await self.expect("StopTransaction", transactionId=transaction)
            await self.wait_output(False, connector)

    async def unplug(self, connector: int = 1, *, wait: bool = True) -> None:
        """Pull the plug; waits for Available."""
        await self.sim.cmd("unplug", connector=connector)
        if wait:
            await self.expect("StatusNotification", connectorId=connector, status="Available")

    async def swipe(self, id_tag: str, connector: int | None = None) -> None:
        """Hold a tag to the reader (connector None: a reader for all)."""
        await self.sim.cmd("swipe", id_tag=id_tag, **({} if connector is None else {"connector": connector}))

    async def call(self, action: str, payload: dict[str, Any] | None = None, timeout: float = WAIT_S) -> dict[str, Any]:
        """Send a CALL of the central system; the payload of the answer. Raises CallFailed, TimeoutError."""
        return await self.firmware.meanwhile(self.csms.call(self.identity, action, payload, timeout))

    # Waiting

    def mark(self) -> int:
        """The number of the next frame."""
        return self.csms.mark()

    async def wait_call(self, action: str, *, since: int = 0, timeout: float = WAIT_S, **fields: Any) -> Frame:
        """The first CALL of the charger from `since` on whose fields equal `fields`; nothing is consumed. `fields` may
        name context, timestamp and measurands of MeterValues too. Raises TimeoutError."""

        def fits(frame: Frame) -> bool:
            return (
                frame.kind == "CALL"
                and frame.direction == FROM_CHARGER
                and frame.identity == self.identity
                and frame.action == action
                and all(field_of(frame, name) == value for name, value in fields.items())
            )

        try:
            return await self.firmware.meanwhile(self.csms.transcript.wait(fits, since, timeout))
        except TimeoutError:
            wanted = " ".join([action, *(f"{name}={value!r}" for name, value in fields.items())])
            raise TimeoutError(f"no {wanted} within {timeout} s, but {self.calls(since)}") from None

    async def expect(self, action: str, *, timeout: float = WAIT_S, **fields: Any) -> Frame:
        """As `wait_call`, from behind the last expected one; the next `expect` looks behind this one."""
        frame = await self.wait_call(action, since=self._cursor, timeout=timeout, **fields)
        self._cursor = frame.n + 1
        return frame

    async def expect_sequence(self, *labels: str, timeout: float = WAIT_S) -> list[Frame]:
        """The next CALLs with these labels (see `label`) in this order; others may come between them."""
        frames = []
        for wanted in labels:

            def fits(frame: Frame, wanted: str = wanted) -> bool:
                return frame.kind == "CALL" and frame.direction == FROM_CHARGER and label(frame) == wanted

            try:
                frame = await self.firmware.meanwhile(self.csms.transcript.wait(fits, self._cursor, timeout))
            except TimeoutError:
                raise TimeoutError(f"no {wanted} within {timeout} s, but {self.calls(self._cursor)}") from None
            self._cursor = frame.n + 1
            frames.append(frame)
        return frames

    async def wait_output(self, on: bool, connector: int = 1, timeout: float = WAIT_S) -> dict[str, Any]:
        """Until the simulated module's output is on or off; the simulator's state then."""
        return await self.firmware.meanwhile(
            self.sim.wait_state(lambda state: state["output_on"] is on, timeout, connector)
        )

    async def wait_line(self, part: str, timeout: float = WAIT_S) -> str:
        """The first line of the firmware's output that contains `part`."""
        return await self.firmware.wait_line(lambda line: part in line, timeout)

    # Looking back

    def frames(self, since: int = 0) -> list[Frame]:
        """All frames of this charger."""
        return self.csms.frames(since, self.identity)

    def calls(self, since: int = 0) -> list[str]:
        """The labels of the charger's CALLs, in order; heartbeats are left out."""
        return [
            label(frame)
            for frame in self.frames(since)
            if frame.kind == "CALL" and frame.direction == FROM_CHARGER and frame.action != "Heartbeat"
        ]

    def assert_order(self, *labels: str, since: int = 0) -> None:
        """These labels come in this order (others may lie between them)."""
        calls = iter(self.calls(since))
        missing = [wanted for wanted in labels if wanted not in calls]
        assert not missing, f"{missing[0]} does not come in its place: {self.calls(since)}"

    def assert_count(self, wanted: str, count: int, since: int = 0) -> None:
        """This label comes so many times."""
        assert self.calls(since).count(wanted) == count, f"{wanted} not {count} times: {self.calls(since)}"

    def assert_schemas(self) -> None:
        """Every frame of both sides is valid (except what the bench was told to send wrong)."""
        assert not self.csms.violations, "\n".join(f"{frame}" for frame in self.csms.violations)

    def assert_session(self, session: Session | None = None, number: int = -1) -> None:
        """The session `number` (-1: the last) keeps the promise of the quick reference, see tools/transcript.py."""
        session = session or Session()
        findings = check(one_session(self.frames(), session.connector, number), session)
        assert not findings, "\n".join(findings)

    async def _report(self) -> None:
        """Everything one wants to see of a failed test."""
        say = partial(print, file=self.report_to)
        say(f"---- wire of {self.identity} (s, direction, message)")
        for line in list(relative_lines(self.csms.transcript))[-200:]:
            say(line)
        say("---- simulator")
        try:
            async with asyncio.timeout(3):
                for event in (await self.sim.events())[-40:]:
                    say(event)
        except (AttributeError, OSError, TimeoutError):
            say(self.simulator.tail())
        say("---- firmware" + ("" if self.firmware.running else f" (ended with status {self.firmware.code})"))
        for text in [*self._old_lines, *self.firmware.lines][-200:]:
            say(text)
