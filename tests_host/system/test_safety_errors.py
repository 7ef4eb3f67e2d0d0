"""An exception anywhere in the program, in the middle of a session: the module ends up off, or the session is unharmed.

The real program runs on the real interpreter; sabotage.py makes one function fail once. The table says what follows.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests_host.system.rig import Rig, system_test
from tests_host.system.safety_steps import (
    BOUND_S,
    FLOW_S,
    Event,
    Loss,
    Step,
    all_at_once,
    assert_lawful,
    charge,
    command,
    in_batches,
)
from tools.csms import CallFailed, NotConnected
from tools.demo.firmware import ROOT, Firmware

_HOLD_MS = 3000
_MODULE_BUS, _BMS_BUS = "_module_bus", "_bms_bus"
_SCRIPT = ROOT / "tests_host" / "system" / "sabotage.py"


@dataclass(frozen=True)
class Sabotaged(Firmware):
    """The firmware, started through sabotage.py."""

    plan: str = ""

    def command(self, data: Path, factory: Path) -> tuple[list[str], dict[str, str]]:
        """As usual, with the script and its plan in the place of main.py."""
        argv, env = super().command(data, factory)
        at = argv.index(str(ROOT / "firmware" / "main.py"))
        return [*argv[:at], str(_SCRIPT), self.plan, *argv[at + 1 :]], env


Follows = Callable[[Rig, int, Event], Awaitable[None]]


@dataclass(frozen=True)
class Failure:
    """Which function fails with which exception, and what follows.

    trigger: what makes it be called, where the session alone does not. skip: so many calls succeed after the output has
    come on. bus: only of that CAN controller.
    block_ms: everything is late when it happens.
    """

    name: str
    owner: str
    function: str
    follows: Follows
    error: str = "RuntimeError"
    skip: int = 2
    bus: str | None = None
    trigger: Step | None = None
    block_ms: int = 0

    @property
    def plan(self) -> str:
        """For sabotage.py."""
        plan = {"owner": self.owner, "function": self.function, "error": self.error, "skip": self.skip, "times": 1}
        return json.dumps({**plan, "bus": self.bus, "block_ms": self.block_ms})


async def failure_time(rig: Rig) -> Event:
    """The failure as an event on the simulator's clock."""
    line = await rig.wait_line("SABOTAGE", 15.0)
    state = await rig.sim.state()
    return {"t": int(line.split()[1]) / 1e6 - (state["wall"] - state["t"]), "seq": 0}


async def first_off(rig: Rig, failure: Event, bound_s: float = BOUND_S) -> Event:
    """The first off frame behind the failure; asserts that it came in time."""
    event = await rig.sim.wait_event("output_off", 0)
    while event["t"] < failure["t"] - 0.001:  # the clocks of two processes
        event = await rig.sim.wait_event("output_off", event["seq"])
    late = event["t"] - failure["t"]
    assert late <= bound_s, f"off {late * 1000:.1f} ms after the failure"
    return event


def off_within(bound_s: float, *alarms: str) -> Follows:
    """Off in time, Faulted, the session ends; what died lives again: the next session works."""

    async def follows(rig: Rig, transaction: int, failure: Event) -> None:
        await first_off(rig, failure, bound_s)
        fault = await rig.expect("StatusNotification", status="Faulted")
        assert fault.payload["vendorErrorCode"] == "Software", fault.payload
        await rig.expect("StopTransaction", transactionId=transaction, reason="Other")
        await rig.expect("StatusNotification", status="Finishing")
        await rig.unplug()
        await charge(rig)
        await rig.stop_session()
        loss = Loss(failure["t"] + bound_s, failure["t"] + _HOLD_MS / 1000)
        await assert_lawful(rig, [loss], alarms, bound_s + FLOW_S)

    return follows


off = off_within(BOUND_S)
# The link to the board's lines is closed by what died, and the contactor falls open in the same moment.
off_without_link = off_within(BOUND_S, "contactor_opened_under_load")
# Off is the first word on a module bus that lives again; were it later than 2 s, the contactor would have to open.
off_with_bus = off_within(2.0)


async def unharmed(rig: Rig, transaction: int, failure: Event) -> None:
    """Power stays on; what died lives again: the session ends by remote control, complete."""
    await asyncio.sleep(1.0)
    assert not [e for e in await rig.sim.events(types=["output_off"]) if e["t"] > failure["t"]]
    await rig.stop_session(transaction)
    rig.assert_count("DataTransfer(SessionSummary)", 1)
    await assert_lawful(rig)


async def reconnects(rig: Rig, transaction: int, failure: Event) -> None:
    """The same, after a new connection to the central system."""
    await rig.firmware.meanwhile(rig.csms.wait_connected(rig.identity, timeout=15, since=1))
    await unharmed(rig, transaction, failure)


async def unharmed_end(rig: Rig, transaction: int, failure: Event) -> None:
    """It failed while the session was being ended: SessionSummary and StopTransaction are sent all the same, once."""
    await first_off(rig, failure | {"t": failure["t"] - 1.0}, 2.0)
    await rig.expect("StopTransaction", transactionId=transaction, reason="Remote", timeout=15)
    await rig.unplug()
    rig.assert_count("DataTransfer(SessionSummary)", 1)
    rig.assert_count("StopTransaction(Remote)", 1)
    await charge(rig)
    await rig.stop_session()
    await assert_lawful(rig)


def ends(status: int) -> Follows:
    """The program ends in an orderly way, with this status: off first, confirmed, and the stop in the store. A crash
    leaves its traceback on flash, and the next start names it."""

    async def follows(rig: Rig, transaction: int, failure: Event) -> None:
        assert await asyncio.wait_for(rig.firmware.wait(), 10) == status
        await first_off(rig, failure)
        assert (await rig.sim.state())["current"] == 0
        await assert_lawful(rig, [Loss(failure["t"])])
        kept = [file.read_text() for file in rig.data.glob("crash-report-*")]
        assert len(kept) == (1 if status == 1 else 0), kept
        assert all("Traceback" in text and text.endswith("Error: sabotage\n") for text in kept), kept
        await rig.start_firmware(wait_registered=False)
        await rig.expect("StopTransaction", transactionId=transaction, reason="Reboot", timeout=15)
        if kept:
            await rig.wait_line("it had crashed in main, 1 times:")

    return follows


async def remote_stop(rig: Rig) -> None:
    """The end of the session is what calls it."""
    await rig.stop_session(wait=False)


async def remote_call(rig: Rig) -> None:
    """A CALL, which may remain without an answer."""
    with suppress(CallFailed, NotConnected, TimeoutError):
        await rig.call("GetConfiguration", {"key": []}, timeout=2)


other_tag = command("swipe", id_tag="OTHER")

CRITICAL = (
    Failure("watchdog", "hal.unix:Hal", "feed_watchdog", off),
    Failure("register", "charger.register:Register", "update", off),
    Failure("wait", "charger.outlet:Outlet", "wait_ms", off),
    Failure("interlock", "charger.interlock", "interlock", off),
    Failure("gate", "charger.gate:Gate", "poll", off, "MemoryError"),
    Failure("plug", "charger.plug:Plug", "update", off),
    Failure("faults", "charger.faults:Faults", "update", off),
    Failure("module-tick", "drivers.power.rivot_can:RivotModule", "tick", off),
    Failure("module-feed", "drivers.power.rivot_can:RivotModule", "feed", off),
    Failure("module-send", "drivers.can.slcan:Slcan", "send", off, bus=_MODULE_BUS),
    Failure("bms-tick", "drivers.bms.rivot_can:RivotBms", "tick", off),
    Failure("bms-feed", "drivers.bms.rivot_can:RivotBms", "feed", off, "MemoryError"),
    Failure("bms-send", "drivers.can.slcan:Slcan", "send", off, bus=_BMS_BUS),
    Failure("meter", "charger.metering:Meter", "add", off),
    Failure("meter-memory", "charger.metering:Meter", "add", off, "MemoryError"),
    Failure("report", "drivers.bms.rivot_can:RivotBms", "report", off),
    Failure("output", "charger.outlet:Outlet", "_tell", off),
    Failure("connector", "ocpp16.connector:Connector", "poll", off),
    Failure("connector-wait", "ocpp16.connector:Connector", "wait_ms", off),
    Failure("connector-memory", "ocpp16.connector:Connector", "wait_ms", unharmed, "MemoryError"),  # tries again
    Failure("sample", "cold ocpp16.metervalues", "payload", off),
    Failure("sampled-values", "charger.outlet:Outlet", "sample", unharmed, "MemoryError"),
    Failure("outbox-add", "ocpp16.outbox:Outbox", "add", off),
    Failure("outbox-tick", "ocpp16.outbox:Outbox", "tick", off, "OSError"),
)

OTHERS = (
    Failure("vendor-tick", "charger.vendor:VendorMessages", "tick", unharmed, "MemoryError"),
    Failure("link-receive", "cold ocpp16.inbound", "take", reconnects),
    Failure("link-memory", "cold ocpp16.inbound", "take", reconnects, "MemoryError"),
    Failure("link-transmit", "ocpp16.outbox:Outbox", "next", reconnects),
    Failure("link-answered", "cold ocpp16.answers", "answered", reconnects, "OSError"),
    Failure(
        "link-serve",
        "cold ocpp16.served",
        "answer",
        reconnects,
        skip=0,
        trigger=remote_call,
    ),
    Failure("inputs", "hal.unix:Hal", "_line", off_without_link, skip=0, trigger=other_tag),
    Failure(
        "inputs-told",
        "hal.unix:Hal",
        "_tell",
        off_without_link,
        "MemoryError",
        0,
        None,
        other_tag,
    ),
    Failure("bms-bus", "drivers.can.slcan:Slcan", "_parse", off, bus=_BMS_BUS),
    Failure("bms-bus-poll", "drivers.can.slcan:Slcan", "_check", off, "MemoryError", bus=_BMS_BUS),
    Failure("module-bus", "drivers.can.slcan:Slcan", "_parse", off_with_bus, bus=_MODULE_BUS),
    Failure("module-bus-poll", "drivers.can.slcan:Slcan", "_check", off_with_bus, "MemoryError", bus=_MODULE_BUS),
    Failure("swipe", "ocpp16.chargepoint:ChargePoint", "swipe", unharmed, skip=0, trigger=other_tag),
    Failure("store-full", "cold journal_write", "write", unharmed_end, "OSError", 0, None, remote_stop),
    Failure("store-memory", "cold journal_write", "flush", unharmed_end, "MemoryError", 0, None, remote_stop),
    Failure(
        "store-append", "ocpp16.journal_store:JournalStore", "append", unharmed_end, "OSError", 0, None, remote_stop
    ),
    Failure("store-save", "cold ocpp16.unsaved", "save", unharmed_end, "MemoryError", 0, None, remote_stop),
    Failure("store-put", "cold ocpp16.journal_values", "put", unharmed_end, "OSError", 0, None, remote_stop),
    Failure("checkpoint", "charger.vendor:VendorMessages", "checkpoint", unharmed_end, skip=0, trigger=remote_stop),
    Failure("summary", "charger.vendor:VendorMessages", "session_ended", unharmed_end, skip=0, trigger=remote_stop),
    Failure("session-end", "cold ocpp16.session_end", "end", unharmed_end, "MemoryError", 0, None, remote_stop),
    Failure(
        "session-values", "cold ocpp16.session_end", "_last_values", unharmed_end, "MemoryError", 0, None, remote_stop
    ),
    Failure(
        "session-status", "cold ocpp16.session_end", "_tell_finishing", unharmed_end, "OSError", 0, None, remote_stop
    ),
    Failure("session-stop", "cold ocpp16.session_end", "queue_stop", unharmed_end, "MemoryError", 0, None, remote_stop),
    Failure("summary-text", "charger.vendor", "cold", unharmed_end, "MemoryError", 0, None, remote_stop),
    Failure("main-loop", "hal.unix:Hal", "is_terminating", ends(1)),
    Failure("main-loop-memory", "hal.unix:Hal", "is_terminating", ends(1), "MemoryError"),
    Failure("ctrl-c-in-meter", "charger.metering:Meter", "add", ends(130), "KeyboardInterrupt"),
    Failure("ctrl-c-in-gate", "charger.gate:Gate", "poll", ends(130), "KeyboardInterrupt"),
    Failure("ctrl-c-in-connector", "ocpp16.connector:Connector", "poll", ends(130), "KeyboardInterrupt"),
    Failure("ctrl-c-late", "ocpp16.connector:Connector", "poll", ends(130), "KeyboardInterrupt", block_ms=60),
    Failure("main-loop-late", "hal.unix:Hal", "is_terminating", ends(1), block_ms=60),
    Failure("ctrl-c-in-link", "cold ocpp16.inbound", "take", ends(130), "KeyboardInterrupt"),
)


async def fail(tmp_path: Path, case: Failure) -> None:
    """One session, one failure, once."""
    async with Rig(
        tmp_path,
        program=Sabotaged(plan=case.plan),
        settings={"power.fault_hold_ms": _HOLD_MS},
        ocpp={"MeterValueSampleInterval": "1"},
    ) as rig:
        transaction = await charge(rig, 0.5 if case.trigger is None else 30)
        if case.trigger is not None:
            await case.trigger(rig)
        await case.follows(rig, transaction, await failure_time(rig))


@in_batches(CRITICAL, 12)
@system_test
async def test_critical(tmp_path: Path, batch: tuple[Failure, ...]) -> None:
    """What power depends on."""
    await all_at_once(tmp_path, batch, fail)


@in_batches(OTHERS, 12)
@system_test
async def test_other(tmp_path: Path, batch: tuple[Failure, ...]) -> None:
    """Services around it, the end of a session, the end of the program."""
    await all_at_once(tmp_path, batch, fail)
