"""One condition for power is missing: no "on" frame, no current, whatever is asked for. When it is back, it works."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests_host.system.rig import Rig, system_test
from tests_host.system.safety_steps import Event, Step, all_at_once, assert_lawful, command, in_batches

_TRIES_S = 3.5  # longer than a start sequence with one repetition
_STALE_S = 3.2
_ON_S = 15.0
_AGAIN_S = 1.1  # a start in the same second would be taken for a repetition of the last one
_TAG = "TAG"


@dataclass(frozen=True)
class Missing:
    """What is missing, and how it comes back.

    after_s: it goes missing after plug-in, and is known to be missing so much later; None: before plug-in.
    alarms: what the simulator may say, because the case provokes it.
    """

    name: str
    remove: Step
    restore: Step
    after_s: float | None = None
    alarms: frozenset[str] = frozenset()


async def refuse_tag(rig: Rig) -> None:
    """The central system knows no tag any more."""
    rig.csms.unknown_id_tags("Invalid")


async def accept_tag(rig: Rig) -> None:
    """It does again."""
    rig.csms.unknown_id_tags("Accepted")


async def do_not_answer(rig: Rig) -> None:
    """StartTransaction is never accepted: every try ends with an error."""
    rig.csms.behave("StartTransaction", answer={"idTagInfo": {"status": "Blocked"}, "transactionId": 77})


async def answer(rig: Rig) -> None:
    """It is."""
    rig.csms.forget()


def option(node: str, name: str, bad: object, good: object, after_s: float | None = None) -> Missing:
    """One option of the simulated BMS, module or vehicle is wrong."""
    title = f"{node}-{name}-{bad}".replace("_", "-").replace("-True", "")
    return Missing(title, command(node, **{name: bad}), command(node, **{name: good}), after_s)


def replug(cmd: str, **fields: Any) -> Step:
    """One command, and another vehicle comes."""

    async def restore(rig: Rig) -> Event:
        await rig.sim.cmd(cmd, **fields)
        await rig.unplug()
        done: Event = await rig.sim.cmd("plug")
        return done

    return restore


def line(name: str) -> Missing:
    """One input line of the board is active."""
    return Missing(name, command(name, active=True), command(name, active=False))


CASES = (
    Missing("plug", command("unplug"), command("plug"), after_s=_STALE_S),
    option("bms", "silent", True, False),
    option("bms", "corrupt", True, False),
    option("bms", "control_byte", 1, None),
    option("bms", "control_byte", 2, None, 0),
    option("ev", "max_current", 0, 90),
    Missing("above-window", command("ev", max_voltage=86), command("ev", max_voltage=84)),
    Missing(
        "below-window",
        command("ev", max_voltage=55.9),
        command("ev", max_voltage=84),
        alarms=frozenset({"over_voltage"}),  # the pack is above its own limit
    ),
    option("module", "silent", True, False),
    option("module", "corrupt", True, False),
    option("module", "nan", True, False, _STALE_S),
    option("module", "terminal_power", False, True, _STALE_S),
    Missing(
        "module-2-of-3",
        command("module", heartbeat=False, terminal_status=False),
        command("module", heartbeat=True, terminal_status=True),
        _STALE_S,
    ),
    # an "off" that nobody confirms is a fault that stays until the vehicle has left
    Missing("module-no-echo", command("module", no_echo=True), replug("module", no_echo=False)),
    Missing("module-refuse", command("module", refuse=True), replug("module", refuse=False)),
    option("module", "telemetry", False, True),
    option("module", "temperature", 0, 26),
    option("module", "temperature", 71, 26, 1.2),
    line("estop"),
    line("door"),
    line("fault"),
    Missing("io-link", command("io", state="down"), command("io", state="up")),
    *(
        Missing(f"{name}-bus-{state}", command("bus", name=name, state=state), command("bus", name=name, state="up"))
        for name in ("bms", "pm")
        for state in ("down", "off", "cut")
    ),
    Missing("unknown-tag", refuse_tag, accept_tag),
    Missing("blocked-by-answer", do_not_answer, answer),
)


async def ask(rig: Rig, local: bool = False) -> None:
    """Ask for a session, unless one runs; what the charger answers does not matter."""
    if rig.csms.store.open_transactions(rig.identity):
        return
    if local:
        await rig.swipe(_TAG)
    else:
        await rig.call("RemoteStartTransaction", {"idTag": _TAG, "connectorId": 1})


async def attempt(tmp_path: Path, case: Missing) -> None:
    """Ask in vain, put right what was wrong, ask again."""
    async with Rig(tmp_path, settings={"power.fault_hold_ms": 200}, ocpp={"AuthorizeRemoteTxRequests": "true"}) as rig:
        await rig.sim.cmd("module", ramp=1000)
        if case.after_s is not None:
            await rig.plug()
        await case.remove(rig)
        if case.after_s is None:
            await rig.sim.cmd("plug")
        await asyncio.sleep(case.after_s or 0.3)
        await ask(rig)
        await asyncio.sleep(_TRIES_S / 2)
        await ask(rig, local=True)
        await asyncio.sleep(_TRIES_S)
        state = await rig.sim.state()
        assert state["on_frames"] == 0 and state["session_wh"] == 0, state
        back = await case.restore(rig)
        async with asyncio.timeout(_ON_S):  # "on" frames of before the vehicle was changed do not count
            while not await rig.sim.events(back["seq"] if back else 0, types=["power_on"]):
                await ask(rig)
                await asyncio.sleep(_AGAIN_S)
        await assert_lawful(rig, alarms=case.alarms)
        rig.assert_schemas()


@in_batches(CASES, 17)
@system_test
async def test_missing(tmp_path: Path, batch: tuple[Missing, ...]) -> None:
    """Every single condition is necessary."""
    await all_at_once(tmp_path, batch, attempt)


@system_test
async def test_nobody_asks(tmp_path: Path) -> None:
    """Everything is there but a transaction: a vehicle alone, and a session that was stopped, get no power."""
    async with Rig(tmp_path) as rig:
        await rig.plug()
        await asyncio.sleep(_TRIES_S)
        assert (await rig.sim.state())["on_frames"] == 0
        await rig.start_session()
        await rig.stop_session()
        seq = (await rig.sim.state())["last_seq"]
        await asyncio.sleep(_TRIES_S)
        assert not await rig.sim.events(seq, types=["output_on", "power_on"])
        await assert_lawful(rig)
