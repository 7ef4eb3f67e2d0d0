"""A small charger on python-can against the simulated vehicle and power module, frame by frame."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Awaitable, Callable
from typing import Any

import can
import pytest

from tests_host.sim.bench import MiniCharger, Wire, open_line, running_site
from tools.sim import frames
from tools.sim.client import SimClient

Scene = Callable[[SimClient, MiniCharger, Wire], Awaitable[None]]


def play(scene: Scene, ramp: float = 1000.0) -> None:
    """Run `scene` with a site, a charger on bus pm and python-can on bus bms."""

    async def run() -> None:
        async with running_site() as sim, MiniCharger(sim.address.pm()) as charger, Wire(sim.address.bms()) as bms:
            await sim.wait_state(lambda state: all(state["buses"][name]["open_clients"] == 1 for name in ("pm", "bms")))
            await sim.cmd("module", ramp=ramp)
            await scene(sim, charger, bms)

    asyncio.run(run())


async def seq(sim: SimClient) -> int:
    """Return the number of the last event."""
    return int((await sim.state())["last_seq"])


def request(message: Any) -> can.Message:
    """Return a request without content."""
    return can.Message(arbitration_id=message.frame_id, data=bytes(8))


def test_a_charge_from_plug_to_discharge() -> None:
    async def scene(sim: SimClient, charger: MiniCharger, bms: Wire) -> None:
        await sim.cmd("plug")
        limits = await bms.expect(frames.BMS_REQUEST)
        assert limits == {
            "MaxChargeVoltage": 84.0,
            "MaxChargeCurrent": 90.0,
            "ChargeControl": 0,
            "ModeByte": 0,
            "Byte6": 0,
            "Byte7": 0,
        }
        rest = await charger.expect(frames.TERMINAL_POWER, lambda v: v["TerminalVoltage"] > 0)
        assert rest["TerminalVoltage"] == pytest.approx(76.4, abs=1e-4)

        await charger.voltage(84.0)
        assert (await charger.echo(0x00))["VoltageSetpoint"] == 84.0
        await charger.current(30.0)
        assert (await charger.echo(0x03))["CurrentSetpoint"] == pytest.approx(30.0)
        assert (await sim.state())["setpoints"] == {"voltage": 84.0, "current": 30.0}
        assert not (await sim.state())["output_on"]

        await charger.on()
        assert await charger.echo(0x32) == {"AckCode": 1, "Function": 0x32, "Reserved2": 0, "OutputOff": 0}
        rising = await charger.expect(frames.TERMINAL_POWER, lambda v: 1 < v["TerminalCurrent"] < 29)
        await charger.expect(frames.TERMINAL_STATUS, lambda v: (v["StatusClass"], v["ChargeState"]) == (3, 2))
        full = await charger.expect(frames.TERMINAL_POWER, lambda v: v["TerminalCurrent"] == 30.0)
        assert full["TerminalVoltage"] > rising["TerminalVoltage"] > rest["TerminalVoltage"]
        assert (await charger.ask(0x84))["OutputVoltage"] == pytest.approx(full["TerminalVoltage"], abs=0.01)
        assert (await charger.ask(0x82))["OutputCurrentRaw"] == 300

        before = await sim.state()
        after = await sim.wait_state(lambda state: state["energy_wh"] > before["energy_wh"] + 0.2)
        gained = (after["soc"] - before["soc"]) / 100 * 90 * after["voltage"]
        assert after["energy_wh"] - before["energy_wh"] == pytest.approx(gained, rel=0.002)

        await charger.off()
        assert (await charger.echo(0x32))["OutputOff"] == 1
        await charger.expect(frames.TERMINAL_POWER, lambda v: v["TerminalCurrent"] == 0.0)
        await charger.expect(frames.TERMINAL_STATUS, lambda v: (v["StatusClass"], v["ChargeState"]) == (3, 1))
        done = await sim.state()
        assert done["last_off"] > done["last_on"] and (done["on_frames"], done["off_frames"]) == (1, 1)

        await sim.cmd("unplug")
        first = await charger.expect(frames.TERMINAL_POWER)
        await charger.expect(
            frames.TERMINAL_POWER, lambda v: 70 < v["TerminalVoltage"] < first["TerminalVoltage"] - 0.1
        )
        kinds = [event["type"] for event in await sim.events()]
        order = ("plug", "limits", "setpoint", "output_on", "power_on", "output_off", "power_off", "unplug")
        assert [kind for kind in dict.fromkeys(kinds) if kind in order] == list(order)
        assert (await sim.state())["alarms"] == []

    play(scene, ramp=25.0)


def test_events_carry_comparable_times() -> None:
    async def scene(sim: SimClient, charger: MiniCharger, bms: Wire) -> None:
        loop = asyncio.get_running_loop()
        await sim.cmd("plug")
        await charger.start()
        on = await sim.wait_event("power_on")
        sent = loop.time()
        await charger.off()
        off = await sim.wait_event("output_off", since=on["seq"])
        gone = await sim.wait_event("power_off", since=on["seq"])
        assert sent <= off["t"] <= gone["t"] <= loop.time()
        stop = await sim.cmd("ev", allow=False)
        said = await sim.wait_event("limits", since=gone["seq"], allow=False)
        assert said["t"] >= stop["t"] and said["seq"] > stop["seq"]
        record = next(event for event in await sim.events(types=["cmd"]) if event["seq"] == stop["seq"])
        assert record["cmd"] == "ev" and record["arguments"] == {"allow": False}

    play(scene)


def test_permission_and_limits_are_said_at_once() -> None:
    async def scene(sim: SimClient, charger: MiniCharger, bms: Wire) -> None:
        await sim.cmd("bms", period_ms=60_000)
        await sim.cmd("plug", max_current=60, max_voltage=83.5)
        await bms.expect(frames.BMS_REQUEST, lambda v: (v["MaxChargeCurrent"], v["MaxChargeVoltage"]) == (60.0, 83.5))
        await sim.cmd("ev", allow=False)
        await bms.expect(frames.BMS_REQUEST, lambda v: v["ChargeControl"] == 1)
        await sim.cmd("ev", allow=True, max_current=12.5, max_voltage=80, heating=True)
        await bms.expect(
            frames.BMS_REQUEST,
            lambda v: (
                (v["ChargeControl"], v["MaxChargeCurrent"], v["MaxChargeVoltage"], v["ModeByte"]) == (0, 12.5, 80.0, 1)
            ),
        )
        assert (await sim.state())["limits"] == {"voltage": 80.0, "current": 12.5, "allow": True}

    play(scene)


@pytest.mark.parametrize(("max_current", "class_ah"), [(30, 30), (60, 60), (90, 90)])
def test_the_counters_give_the_true_state_of_charge(max_current: float, class_ah: float) -> None:
    async def scene(sim: SimClient, charger: MiniCharger, bms: Wire) -> None:
        await sim.cmd("plug", soc=43.2, max_current=max_current)
        await bms.expect(frames.BMS_REQUEST)
        await sim.cmd("ev", max_current=5)  # the class stays the one of the first frame
        await bms.send(request(frames.DISCHARGE_AH_REQUEST))
        discharged = (await bms.expect(frames.DISCHARGE_AH_RESPONSE))["TotalDischargeAh"]
        await bms.send(request(frames.CHARGE_AH_REQUEST))
        charged = (await bms.expect(frames.CHARGE_AH_RESPONSE))["TotalChargeAh"]
        assert discharged >= 300
        assert (charged - discharged) / class_ah * 100 == pytest.approx(43.2, abs=0.005)

    play(scene)


def test_daly_and_request_frame_sources() -> None:
    async def scene(sim: SimClient, charger: MiniCharger, bms: Wire) -> None:
        await sim.cmd("bms", daly=True, soc_in_frame=True, ah_counters=False)
        await sim.cmd("plug", soc=55.5, temperature=31)
        limits = await bms.expect(frames.BMS_REQUEST)
        assert limits["ModeByte"] * 256 + limits["Byte6"] == 555
        for asked in (frames.CHARGE_AH_REQUEST, frames.SOC_REQUEST, frames.TEMPERATURE_REQUEST):
            await bms.send(request(asked))
        pack = await bms.expect(frames.SOC_RESPONSE)
        assert pack["StateOfCharge"] == 55.5 and pack["PackCurrent"] == 0.0
        assert pack["PackVoltage"] == pytest.approx(73.2, abs=0.06)
        warm = await bms.expect(frames.TEMPERATURE_RESPONSE)
        assert (warm["HighestTemperature"], warm["LowestTemperature"]) == (31, 30)
        assert f"0x{frames.CHARGE_AH_RESPONSE.frame_id:08X}" not in (await sim.state())["sent"]["bms"]

    play(scene)


def test_the_bms_hears_the_charger_status_only_while_plugged() -> None:
    async def scene(sim: SimClient, charger: MiniCharger, bms: Wire) -> None:
        fields = {signal.name: 0 for signal in frames.CHARGER_STATUS.signals}
        status = frames.encode(frames.CHARGER_STATUS, {**fields, "OutputVoltage": 76.5, "CommTimeout": 1})
        await bms.send(status)
        await bms.send(request(frames.CHARGE_AH_REQUEST))
        state = await sim.wait_state(lambda state: len(state["frames"]["bms"]) == 2)
        assert state["charger_status"] is None
        await sim.cmd("plug")
        await bms.send(status)
        state = await sim.wait_state(lambda state: state["charger_status"] is not None)
        assert state["charger_status"]["OutputVoltage"] == 76.5 and state["charger_status"]["CommTimeout"] == 1
        await bms.send(can.Message(arbitration_id=status.arbitration_id, data=b"\x00"))
        await sim.wait_state(lambda state: state["bad_frames"]["bms"] == 1)
        await sim.cmd("unplug")
        assert (await sim.state())["charger_status"] is None
        assert f"0x{frames.CHARGE_AH_RESPONSE.frame_id:08X}" not in (await sim.state())["sent"]["bms"]

    play(scene)


def test_a_stuck_bms_repeats_and_a_silent_or_corrupt_one_says_nothing_valid() -> None:
    async def scene(sim: SimClient, charger: MiniCharger, bms: Wire) -> None:
        await sim.cmd("bms", period_ms=20)
        await sim.cmd("plug")
        await bms.expect(frames.BMS_REQUEST)
        await sim.cmd("bms", stuck=True)
        await sim.cmd("ev", allow=False, max_current=5)
        for _ in range(6):
            assert (await bms.expect(frames.BMS_REQUEST))["ChargeControl"] == 0
        await sim.cmd("bms", stuck=False, corrupt=True)
        sent = sum((await sim.state())["sent"]["bms"].values())
        await sim.wait_state(lambda state: sum(state["sent"]["bms"].values()) > sent + 10)
        await sim.cmd("bms", corrupt=False, silent=True)
        quiet = (await sim.state())["sent"]["bms"]
        await sim.cmd("bms", silent=False)
        fresh = await bms.expect(frames.BMS_REQUEST, lambda v: v["ChargeControl"] == 1)
        assert fresh["MaxChargeCurrent"] == 5
        assert sum(quiet.values()) > 15
        await sim.cmd("bms", control_byte=7)
        await bms.expect(frames.BMS_REQUEST, lambda v: v["ChargeControl"] == 7)
        await sim.cmd("bms", control_byte=None)
        await bms.expect(frames.BMS_REQUEST, lambda v: v["ChargeControl"] == 1)

    play(scene)


def test_a_corrupt_module_says_nothing_valid() -> None:
    async def scene(sim: SimClient, charger: MiniCharger, bms: Wire) -> None:
        await sim.cmd("module", corrupt=True, terminal_ms=5, garbage=500)
        for _ in range(60):
            frame = await charger.recv()
            assert frame is not None
            values = frames.decode(frames.TERMINAL_POWER, frame)
            if values is not None:  # garbage: floats that nobody can believe
                volts, amperes = values["TerminalVoltage"], values["TerminalCurrent"]
                assert not (0 <= volts <= 150 and -5 <= amperes <= 400)
            else:
                assert all(frames.decode(message, frame) is None for message in frames.FROM_MODULE)
        await sim.cmd("module", corrupt=False, garbage=0)
        await charger.expect(frames.TERMINAL_POWER, lambda v: v["TerminalVoltage"] == 0.0)

    play(scene)


def test_module_that_refuses_or_does_not_echo_or_is_stuck() -> None:
    async def scene(sim: SimClient, charger: MiniCharger, bms: Wire) -> None:
        await sim.cmd("plug")
        await sim.cmd("module", refuse=True)
        await charger.on()
        assert await charger.echo(0x32) == {"AckCode": 0x21, "Function": 0x32, "Reserved2": 0, "OutputOff": 1}
        await sim.cmd("module", refuse=False, no_echo=True)
        await charger.start(amperes=10)
        await sim.wait_state(lambda state: state["current"] == 10.0)
        assert (await sim.state())["sent"]["pm"][f"0x{frames.CONTROL_RESPONSE.frame_id:08X}"] == 1
        await sim.cmd("module", no_echo=False, stuck=True)
        await charger.off()
        assert (await charger.echo(0x32))["OutputOff"] == 0  # it says what it does
        assert (await sim.state())["current"] == 10.0
        await sim.cmd("module", stuck=False)
        await charger.off()
        assert (await charger.echo(0x32))["OutputOff"] == 1
        await sim.cmd("module", stuck="on")
        await sim.wait_state(lambda state: state["current"] == 10.0)
        assert (await sim.state())["off_frames"] == 2

    play(scene)


def test_module_latency_and_malformed_commands() -> None:
    async def scene(sim: SimClient, charger: MiniCharger, bms: Wire) -> None:
        await sim.cmd("module", latency_ms=300)
        await charger.voltage(80.0)
        await sim.wait_state(lambda state: state["setpoints"]["voltage"] == 80.0)  # seen, not yet obeyed
        assert f"0x{frames.CONTROL_RESPONSE.frame_id:08X}" not in (await sim.state())["sent"]["pm"]
        assert (await charger.echo(0x00))["VoltageSetpoint"] == 80.0
        number = frames.CONTROL_REQUEST.frame_id
        good = bytes.fromhex("0132000000000000")
        for bad in (
            can.Message(arbitration_id=number, data=good[:7]),
            can.Message(arbitration_id=number, is_remote_frame=True, dlc=8),
            can.Message(arbitration_id=number, data=bytes.fromhex("0232000000000000")),
            can.Message(arbitration_id=number, data=bytes.fromhex("0199000000000000")),
        ):
            await charger.send(bad)
        state = await sim.wait_state(lambda state: state["bad_frames"]["pm"] == 4)
        assert state["on_frames"] == 0 and not state["module"]["on"]

    play(scene)


def test_terminal_frames_and_heartbeat_can_be_missing_one_by_one() -> None:
    async def scene(sim: SimClient, charger: MiniCharger, bms: Wire) -> None:
        names = {
            "terminal_power": frames.TERMINAL_POWER,
            "terminal_status": frames.TERMINAL_STATUS,
            "heartbeat": frames.CHARGER_STATUS,
        }
        ids = {name: f"0x{message.frame_id:08X}" for name, message in names.items()}
        await sim.cmd("module", terminal_ms=10, heartbeat_ms=10)
        for missing in names:
            await sim.cmd("module", **{name: name != missing for name in names})
            before = (await sim.state())["sent"]["pm"]
            others = [ids[name] for name in names if name != missing]

            def came(state: dict[str, Any], others: list[str] = others, before: dict[str, int] = before) -> bool:
                return all(state["sent"]["pm"].get(one, 0) > before.get(one, 0) + 3 for one in others)

            after = (await sim.wait_state(came))["sent"]["pm"]
            assert after.get(ids[missing], 0) == before.get(ids[missing], 0)
        await sim.cmd("module", terminal_power=True, terminal_status=True, heartbeat=True, nan=True)
        await charger.expect(
            frames.TERMINAL_POWER, lambda v: math.isnan(v["TerminalVoltage"]) and math.isnan(v["TerminalCurrent"])
        )
        await charger.expect(frames.CHARGER_STATUS, lambda v: v["BatteryNotConnected"] == 1)

    play(scene)


def test_module_temperature() -> None:
    async def scene(sim: SimClient, charger: MiniCharger, bms: Wire) -> None:
        rest = await charger.ask(0x80)
        assert rest["TemperatureRawHigh"] == 0 and rest["ModuleTemperature"] == pytest.approx(27.136)  # 26.5 x 1024
        await sim.cmd("module", temperature=72)
        hot = await charger.ask(0x80)
        raw = hot["TemperatureRawHigh"] * 65536 + round(hot["ModuleTemperature"] * 1000)
        assert raw == 72 * 1024
        await sim.cmd("fault", kind="overtemperature", active=True)
        assert (await sim.state())["module"]["now_temperature"] == 85.0
        await sim.cmd("fault", kind="overtemperature", active=False)
        assert (await sim.state())["module"]["now_temperature"] == pytest.approx(26.5, abs=0.1)
        assert (await charger.ask(0x79))["Metric79"] == 0
        assert (await charger.ask(0x83))["Metric83"] == 0

    play(scene)


@pytest.mark.parametrize(("offline", "current"), [("off", 0.0), ("hold", 20.0), ("full", 33.0)])
def test_what_the_module_does_when_the_bus_goes_silent(offline: str, current: float) -> None:
    async def scene(sim: SimClient, charger: MiniCharger, bms: Wire) -> None:
        await sim.cmd("plug")
        await charger.start(amperes=20)
        await sim.wait_state(lambda state: state["current"] == 20.0)
        await sim.cmd("module", offline=offline, offline_ms=100)
        if offline != "hold":
            await sim.wait_event("module_offline", output=offline == "full")
        state = await sim.wait_state(lambda state: state["current"] == current)
        assert state["output_on"] == (offline != "off")

    play(scene)


def test_needs_both_groups() -> None:
    async def scene(sim: SimClient, charger: MiniCharger, bms: Wire) -> None:
        await sim.cmd("module", needs_both=True)
        await charger.off()
        await sim.wait_state(lambda state: state["module"]["fault"])
        await charger.ask(0x84)
        await sim.wait_state(lambda state: not state["module"]["fault"])

    play(scene)


@pytest.mark.parametrize("kind", ["module", "mains"])
def test_a_broken_module_gives_no_power(kind: str) -> None:
    async def scene(sim: SimClient, charger: MiniCharger, bms: Wire) -> None:
        await sim.cmd("plug")
        await charger.start(amperes=10)
        await sim.wait_state(lambda state: state["current"] == 10.0)
        await sim.cmd("fault", kind=kind, active=True)
        await sim.wait_event("power_off")
        state = await sim.state()
        assert (state["output_on"], state["faults"]) == (False, [kind])
        await sim.cmd("fault", kind=kind, active=False)
        await sim.wait_state(lambda state: state["current"] == 10.0)

    play(scene)


def test_a_cut_bus_takes_frames_both_ways() -> None:
    async def scene(sim: SimClient, charger: MiniCharger, bms: Wire) -> None:
        await sim.cmd("plug")
        await bms.expect(frames.BMS_REQUEST)
        await sim.cmd("bus", name="bms", state="cut")
        await sim.cmd("bus", name="pm", state="cut")
        before = await sim.state()
        await charger.on()
        await bms.send(request(frames.CHARGE_AH_REQUEST))
        start = await seq(sim)
        await sim.cmd("bus", name="pm", state="up")
        await charger.off()
        await sim.wait_event("output_off", since=start)
        after = await sim.state()
        assert after["on_frames"] == 0
        assert after["frames"]["bms"] == before["frames"]["bms"] and after["sent"]["bms"] == before["sent"]["bms"]

    play(scene)


def test_sins_of_a_charger_are_alarms() -> None:
    async def scene(sim: SimClient, charger: MiniCharger, bms: Wire) -> None:
        await sim.cmd("plug", max_current=30)
        await charger.start(amperes=20)
        await sim.wait_state(lambda state: state["current"] == 20.0)
        assert (await sim.state())["alarms"] == []
        await sim.cmd("ev", max_current=10)
        await sim.wait_event("alarm", alarm="over_current", timeout=4)
        await sim.cmd("ev", allow=False)
        await sim.wait_event("alarm", alarm="power_without_permission", timeout=4)
        await sim.cmd("ev", max_voltage=70)
        await sim.wait_event("alarm", alarm="over_voltage", timeout=4)
        await sim.cmd("unplug")
        await sim.wait_event("alarm", alarm="unplugged_under_load", timeout=4)
        assert (await sim.state())["current"] == 0.0
        await sim.cmd("plug")
        assert (await sim.state())["alarms"] == []

    play(scene)


def test_a_full_pack_withdraws_its_permission_and_a_paused_one_takes_nothing() -> None:
    async def scene(sim: SimClient, charger: MiniCharger, bms: Wire) -> None:
        await sim.cmd("plug", soc=99.94, capacity_ah=1, max_current=30)
        await sim.wait_event("limits", allow=True)
        await charger.start(amperes=5)
        await sim.wait_event("limits", allow=False)
        await charger.off()
        await sim.cmd("unplug")
        await sim.cmd("ev", pause=True)
        await sim.cmd("plug", soc=50)
        await charger.start(amperes=20)
        state = await sim.wait_state(lambda state: state["voltage"] == 84.0 and state["limits"])
        assert state["current"] == 0.0 and state["limits"]["allow"]
        await sim.cmd("ev", pause=False)
        await sim.wait_state(lambda state: state["current"] == 20.0)

    play(scene)


def test_plug_without_soc_brings_the_same_charge_again() -> None:
    async def scene(sim: SimClient, charger: MiniCharger, bms: Wire) -> None:
        await sim.cmd("plug", soc=50, capacity_ah=1)
        await charger.start(amperes=30)
        await sim.wait_state(lambda state: state["soc"] > 50.5)
        await charger.off()
        await sim.wait_event("power_off")
        left = (await sim.cmd("unplug"), await sim.state())[1]
        await sim.cmd("plug", same=True)
        assert (await sim.state())["soc"] == left["soc"]
        await sim.cmd("unplug")
        await sim.cmd("plug")
        state = await sim.state()
        assert state["soc"] == 50.0
        assert state["session_wh"] == 0.0 and state["energy_wh"] == left["energy_wh"]
        before = state["last_seq"]
        await sim.cmd("plug", soc=60)  # plugged already: another charge, no second plug-in
        assert (await sim.state())["soc"] == 60.0
        assert await sim.events(since=before, types=["plug"]) == []

    play(scene)


def test_the_contactor_of_the_board_breaks_the_path() -> None:
    async def scene(sim: SimClient, charger: MiniCharger, bms: Wire) -> None:
        reader, writer = await open_line(sim.address.io)
        levels = [json.loads(await reader.readline()) for _ in range(6)]
        assert levels == [
            {"input": name, "connector": 1, "value": False}
            for name in ("estop", "door", "plug", "fault", "lock", "contactor")
        ]

        async def contactor(value: bool) -> None:
            start = await seq(sim)
            writer.write(json.dumps({"output": "contactor", "connector": 1, "value": value}).encode() + b"\n")
            await sim.wait_event("contactor", since=start, value=value)

        await sim.cmd("plug")
        assert json.loads(await reader.readline()) == {"input": "plug", "connector": 1, "value": True}
        await contactor(False)
        await charger.start(amperes=10)
        await sim.wait_state(lambda state: state["module"]["output_voltage"] == 84.0)
        assert (await sim.state())["current"] == 0.0
        await contactor(True)
        assert json.loads(await reader.readline()) == {"input": "contactor", "connector": 1, "value": True}
        await sim.wait_state(lambda state: state["current"] == 10.0 and state["contactor"])
        await sim.cmd("fault", kind="jam", active=True)  # it falls open, and its auxiliary contact says so
        assert json.loads(await reader.readline()) == {"input": "contactor", "connector": 1, "value": False}
        assert (await sim.state())["current"] == 0.0
        await sim.cmd("fault", kind="jam", active=False)
        assert json.loads(await reader.readline()) == {"input": "contactor", "connector": 1, "value": True}
        await sim.wait_state(lambda state: state["current"] == 10.0)
        await contactor(False)
        await sim.wait_event("alarm", alarm="contactor_opened_under_load")
        assert (await sim.state())["current"] == 0.0
        await contactor(True)
        await sim.wait_state(lambda state: state["current"] == 10.0)
        writer.close()  # the board dies: its contactor falls open
        await sim.wait_event("board", connected=False)
        state = await sim.state()
        assert (state["contactor"], state["current"]) == (False, 0.0)
        await sim.cmd("fault", kind="weld", active=True)
        await sim.wait_state(lambda state: state["current"] == 10.0)

    play(scene)


def test_a_bolt_locks_the_plug_unless_it_is_jammed() -> None:
    async def scene(sim: SimClient, charger: MiniCharger, bms: Wire) -> None:
        reader, writer = await open_line(sim.address.io)
        for _ in range(6):
            await reader.readline()  # the levels at the start

        async def lock(value: bool) -> None:
            writer.write(json.dumps({"output": "lock", "connector": 1, "value": value}).encode() + b"\n")
            await sim.wait_event("lock", value=value)

        async def feedback() -> Any:
            return json.loads(await asyncio.wait_for(reader.readline(), 5))

        await lock(True)
        assert await feedback() == {"input": "lock", "connector": 1, "value": True}
        await sim.cmd("fault", kind="lock", active=True)
        await lock(False)
        with pytest.raises(TimeoutError):
            await sim.wait_event("bolt", value=False, timeout=0.3)
        state = await sim.state()
        assert (state["lock"], state["bolt"], state["inputs"]["lock"]) == (False, True, True)
        await sim.cmd("fault", kind="lock", active=False)
        assert await feedback() == {"input": "lock", "connector": 1, "value": False}

    play(scene)


def test_the_enable_line_stops_the_converter() -> None:
    async def scene(sim: SimClient, charger: MiniCharger, bms: Wire) -> None:
        _, writer = await open_line(sim.address.io)
        await sim.cmd("plug")
        await charger.start(amperes=10)
        await sim.wait_state(lambda state: state["current"] == 10.0 and state["enable"] is None)

        async def enable(value: bool) -> None:
            start = await seq(sim)
            writer.write(json.dumps({"output": "enable", "connector": 1, "value": value}).encode() + b"\n")
            await sim.wait_event("enable", since=start, value=value)

        await enable(False)
        await sim.wait_state(lambda state: state["current"] == 0.0)
        await enable(True)
        await sim.wait_state(lambda state: state["current"] == 10.0)
        writer.close()
        await sim.wait_state(lambda state: state["enable"] is False and state["current"] == 0.0)

    play(scene)


def test_offline_registers_rule_while_the_bus_is_silent() -> None:
    async def scene(sim: SimClient, charger: MiniCharger, bms: Wire) -> None:
        await sim.cmd("plug")
        await sim.cmd("module", offline="registers", offline_ms=300)
        start = await seq(sim)
        await charger.start(amperes=10)
        await sim.wait_event("module_offline", since=start, output=True)  # never written: full power
        await sim.wait_state(lambda state: state["current"] > 30.0)
        await charger.command(0x01, OfflineVoltage=48.0)
        assert (await charger.echo(0x01))["OfflineVoltage"] == 48.0
        start = await seq(sim)
        await charger.command(0x04, OfflineCurrent=0.0)
        assert (await charger.echo(0x04))["OfflineCurrent"] == 0.0
        await sim.wait_event("module_offline", since=start, output=False)
        await sim.wait_state(lambda state: state["current"] == 0.0)
        await sim.cmd("module", offline_registers=False)
        await charger.command(0x04, OfflineCurrent=0.0)
        assert (await charger.echo(0x04))["AckCode"] == 0x21

    play(scene)


def test_two_connectors_are_apart() -> None:
    async def run() -> None:
        async with running_site(connectors=2) as sim:
            async with MiniCharger(sim.address.pm(2)) as charger, Wire(sim.address.bms(2)) as bms:
                await sim.cmd("plug", connector=2, soc=20)
                await bms.expect(frames.BMS_REQUEST)
                await sim.cmd("module", connector=2, ramp=1000)
                await charger.start(amperes=20)
                on = await sim.wait_event("power_on")
                assert on["connector"] == 2
                two = await sim.wait_state(lambda state: state["current"] == 20.0, connector=2)
                one = await sim.state(1)
                assert (two["plugged"], two["inputs"]["plug"], two["connectors"]) == (True, True, 2)
                assert (one["plugged"], one["inputs"]["plug"], one["current"], one["energy_wh"]) == (False, False, 0, 0)
                assert one["soc"] == 87.0 and one["frames"] == {"bms": {}, "pm": {}}

    asyncio.run(run())
