"""Energy against the simulator's truth, sampling times with the network up and down, and the time to power."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from tests_host.system.rig import Rig, field_of, system_test
from tests_host.system.steps import (
    REMOTE_STOP,
    TAG,
    QuickRig,
    after_start,
    answer_to,
    assert_in_order_of_events,
    assert_sent_once,
    begin,
    calls_of,
    charge,
    finish,
    outage,
    reconnected,
    together,
    utc,
    whole_session,
)
from tools.transcript import ENERGY, Session

_TOLERANCE = 0.005  # of the energy
_TO_POWER_S = 3.0


async def _assert_energy(rig: Rig, what: str) -> None:
    """SessionSummary, last MeterValues and meterStop agree, also with the simulator's own truth."""
    truth = float((await rig.sim.state())["session_wh"])
    told = rig.csms.store.rows("session_summary")[-1]["energy_delivered"]
    start, stop = calls_of(rig, "StartTransaction")[-1], calls_of(rig, "StopTransaction")[-1]
    last = int(field_of(calls_of(rig, "MeterValues")[-1], ENERGY))
    assert start.payload["meterStart"] == 0
    assert stop.payload["meterStop"] == last == int(told)
    error = told / truth - 1
    print(f"{what}: {told:.2f} Wh told, {truth:.4f} Wh true, {error:+.3%}")
    assert abs(error) <= _TOLERANCE


async def _assert_soon_on(rig: Rig, what: str) -> None:
    """From the accepted StartTransaction to current at the module's terminals."""
    accepted = answer_to(rig, calls_of(rig, "StartTransaction")[-1])
    power = [event for event in await rig.sim.events(types=["power_on"]) if event["t"] > accepted.mono]
    took = power[0]["t"] - accepted.mono
    print(f"{what}: power after {took:.3f} s")
    assert took <= _TO_POWER_S


def _assert_sampled_in_time(rig: Rig) -> None:
    """While the network is up, each periodic sample is on the wire in the second that its timestamp names."""
    for frame in calls_of(rig, "MeterValues"):
        if field_of(frame, "context") == "Sample.Periodic":
            late = frame.wall - utc(field_of(frame, "timestamp"))
            assert -0.2 < late < 1.5, f"{late:.2f} s after its timestamp: {frame}"


async def _full_power(path: Path) -> None:
    """35 s with nothing changed: every preset and every model parameter at its default."""
    async with Rig(path) as rig:
        await rig.plug()
        await rig.start_session()
        await rig.expect("MeterValues", context="Sample.Periodic", timeout=40, timestamp=after_start(rig, 30))
        await charge(rig, 3.0)
        await rig.stop_session()
        await rig.unplug()
        rig.assert_session(Session(unplugged=True))
        rig.assert_schemas()
        _assert_sampled_in_time(rig)
        await _assert_soon_on(rig, "35 s")
        await _assert_energy(rig, "35 s")


async def _link_down(path: Path) -> None:
    """The websocket is away while the samples of 10 s and 20 s are due."""
    async with Rig(path) as rig:
        await rig.plug()
        await rig.start_session()
        await charge(rig, 4.0)
        mark = await outage(rig, 15)
        frames = await reconnected(rig, mark, 30)
        await rig.wait_call("MeterValues", context="Sample.Periodic", timestamp=after_start(rig, 30), timeout=30)
        due = after_start(rig, 10)
        assert utc(due) < frames[0].wall, "the outage was too early or too short"
        assert due in [field_of(frame, "timestamp") for frame in calls_of(rig, "MeterValues", since=frames[0].n)]
        assert_in_order_of_events(rig.frames())
        await rig.stop_session()
        await rig.unplug()
        rig.assert_session(Session(unplugged=True))
        rig.assert_schemas()
        assert_sent_once(rig)
        await _assert_energy(rig, "link down")


async def _changing(path: Path) -> None:
    """The vehicle asks for more and less, pauses, forbids for a moment, and never stops the transaction."""
    async with QuickRig(path, settings={"vehicle.bms_stop_ms": 5000}) as rig:
        await rig.sim.cmd("module", ramp=15)  # a power step inside one 100 ms sample is half unseen
        transaction = await begin(rig)
        for amperes in (15, 28, 40):
            await rig.sim.cmd("ev", max_current=amperes)
            await charge(rig, 4.0, timeout=20)
        await rig.sim.cmd("ev", pause=True)
        await rig.sim.wait_state(lambda state: bool(state["current"] < 0.5))
        await rig.expect("MeterValues", context="Sample.Periodic")
        await rig.sim.cmd("ev", pause=False)
        await charge(rig, 1.0)
        await rig.sim.cmd("ev", allow=False)
        await rig.wait_output(False)
        await rig.expect("StatusNotification", status="SuspendedEV")
        await rig.sim.cmd("ev", allow=True)
        await rig.expect("StatusNotification", status="Charging")
        await charge(rig, 1.0)
        await finish(rig, transaction)
        rig.assert_session(REMOTE_STOP.session)
        rig.assert_schemas()
        _assert_sampled_in_time(rig)
        await _assert_energy(rig, "changing")


async def _lifetime_register(path: Path) -> None:
    """`meter.register = lifetime`: the second session begins where the first one ended, also after a restart."""
    async with QuickRig(path, settings={"meter.register": "lifetime"}) as rig:
        await whole_session(rig)
        first = calls_of(rig, "StopTransaction")[-1].payload["meterStop"]
        assert calls_of(rig, "StartTransaction")[-1].payload["meterStart"] == 0 < first
        await whole_session(rig)
        session = replace(REMOTE_STOP.session, lifetime=True)
        rig.assert_session(session)
        assert calls_of(rig, "StartTransaction")[-1].payload["meterStart"] == first
        second = calls_of(rig, "StopTransaction")[-1].payload["meterStop"]
        await rig.restart_firmware()
        await whole_session(rig)
        rig.assert_session(session)
        assert calls_of(rig, "StartTransaction")[-1].payload["meterStart"] >= second


async def _late_answer(rig: Rig) -> None:
    rig.csms.behave("StartTransaction", delay=2, times=1)
    await rig.plug()
    await rig.start_session(TAG)


async def _again(rig: Rig) -> None:
    await begin(rig)
    await rig.stop_session()
    await rig.start_session(TAG)


async def _plug_later(rig: Rig) -> None:
    assert await rig.call("RemoteStartTransaction", {"idTag": TAG}) == {"status": "Accepted"}
    await rig.plug()


STARTS = {"late": _late_answer, "again": _again, "plug-later": _plug_later}


async def _soon_on(path: Path, name: str, start: Callable[[Rig], Awaitable[None]]) -> None:
    """A late answer, a second session without unplugging, a plug that comes last: current within 3 s of the answer."""
    async with QuickRig(path, name) as rig:
        await start(rig)
        await rig.wait_output(True)
        await charge(rig)
        await _assert_soon_on(rig, name)


@system_test
async def test_energy_and_times(tmp_path: Path) -> None:
    await together(
        full_power=_full_power(tmp_path / "full"),
        link_down=_link_down(tmp_path / "down"),
        changing=_changing(tmp_path / "changing"),
        lifetime=_lifetime_register(tmp_path / "lifetime"),
        **{f"soon_on_{name}": _soon_on(tmp_path, name, start) for name, start in STARTS.items()},
    )
