"""The battery, the output stage and the circuit, in virtual time: no process, no sockets, no waiting."""

from __future__ import annotations

import itertools
import math

import pytest

from tools.sim.battery import FULL_V, Battery, open_circuit_voltage
from tools.sim.circuit import Circuit
from tools.sim.stage import TRIP_C, OutputStage


def charging(amperes: float = 30.0, volts: float = 84.0, **battery: float) -> Circuit:
    circuit = Circuit(now=0.0, battery=Battery(**battery), plugged=True)  # type: ignore[arg-type]
    circuit.stage.voltage_setpoint, circuit.stage.current_setpoint, circuit.stage.on = volts, amperes, True
    return circuit


def test_the_open_circuit_voltage_rises_everywhere_and_meets_the_known_points() -> None:
    curve = [open_circuit_voltage(i / 10) for i in range(1001)]
    assert all(a < b for a, b in itertools.pairwise(curve))
    assert [curve[0], curve[870], curve[1000]] == pytest.approx([60.0, 76.4, FULL_V])
    assert open_circuit_voltage(-5) == 60.0 and open_circuit_voltage(105) == FULL_V


def test_the_energy_is_the_integral_of_a_much_finer_one() -> None:
    circuit, fine = charging(), charging()
    steps = 120_000
    energy = 0.0
    for i in range(1, steps + 1):  # 1 ms steps, rectangles, on its own
        fine.advance(i * 0.001)
        energy += fine.voltage * fine.current * 0.001 / 3600.0
    circuit.advance(120.0)
    assert energy > 70
    assert circuit.energy_wh == pytest.approx(energy, rel=0.0005)


def test_energy_is_conserved() -> None:
    circuit = charging(soc=50.0)
    charged = heat = 0.0
    before = circuit.battery.soc
    for i in range(1, 10_001):
        soc, current = circuit.battery.soc, circuit.current
        circuit.advance(i * 0.02)
        amperes = (current + circuit.current) / 2
        middle = open_circuit_voltage((soc + circuit.battery.soc) / 2)
        charged += middle * (circuit.battery.soc - soc) / 100 * circuit.battery.capacity_ah
        heat += amperes**2 * circuit.battery.resistance * 0.02 / 3600
    assert circuit.battery.soc - before == pytest.approx(30 * 199 / 36 / 90, rel=0.01)
    assert circuit.energy_wh == pytest.approx(charged + heat, rel=0.0005)


def test_a_late_step_is_divided() -> None:
    often, late = charging(), charging()
    for i in range(1, 1001):
        often.advance(i * 0.02)
    late.advance(20.0)
    assert late.energy_wh == pytest.approx(often.energy_wh, rel=1e-6)
    assert late.battery.soc == pytest.approx(often.battery.soc, rel=1e-9)
    late.advance(19.0)  # a clock that went back
    assert late.energy_wh == pytest.approx(often.energy_wh, rel=1e-6)


def test_the_current_rises_with_a_ramp_and_falls_at_once() -> None:
    circuit = charging()
    circuit.advance(1.0)
    assert 14.0 < circuit.current < 16.0
    circuit.advance(3.0)
    assert circuit.current == 30.0
    assert circuit.voltage == pytest.approx(circuit.battery.ocv + 30.0 * 0.040)
    circuit.stage.on = False
    circuit.advance(3.1)
    assert circuit.current == 0.0
    assert circuit.voltage == pytest.approx(circuit.battery.ocv)


def test_thirty_five_seconds_are_worth_twenty_to_thirty_watt_hours() -> None:
    circuit = charging(amperes=90.0)
    circuit.advance(35.0)
    assert circuit.current == 33.0
    assert 20.0 < circuit.energy_wh < 30.0


def test_the_power_limit_holds() -> None:
    circuit = charging(amperes=90.0)
    circuit.stage.max_current = 90.0
    circuit.advance(10.0)
    assert circuit.voltage * circuit.current == pytest.approx(2800.0, rel=0.001)


def test_the_voltage_limit_ends_the_constant_current_phase() -> None:
    circuit = charging(soc=97.0)
    circuit.advance(3.0)
    assert circuit.current == 30.0
    seen = []
    for i in range(1, 60):
        circuit.advance(3.0 + i * 30.0)
        seen.append((circuit.voltage, circuit.current))
    assert all(volts < 84.0 + 1e-6 for volts, _ in seen)
    assert seen[-1][1] < 5.0 and seen[-1][0] == pytest.approx(84.0, abs=0.01)
    assert all(a[1] >= b[1] - 1e-9 for a, b in itertools.pairwise(seen))


def test_a_limit_below_the_pack_gives_nothing() -> None:
    circuit = charging(volts=70.0)
    circuit.advance(5.0)
    assert (circuit.current, circuit.energy_wh) == (0.0, 0.0)


def test_the_capacitor_holds_its_voltage_for_more_than_a_minute() -> None:
    circuit = Circuit(now=0.0, voltage=83.0)
    while circuit.voltage > 56.0:
        circuit.advance(circuit.now + 1.0)
    assert 60.0 < circuit.now < 90.0


def test_terminals_show_the_pack_while_plugged_and_the_capacitor_after() -> None:
    circuit = charging()
    circuit.advance(5.0)
    loaded = circuit.voltage
    circuit.stage.on = False
    circuit.advance(6.0)
    assert circuit.voltage == circuit.battery.ocv < loaded
    circuit.plugged = False
    circuit.interrupt()
    circuit.advance(16.0)
    assert circuit.voltage == pytest.approx(circuit.battery.ocv * math.exp(-10 / 190), rel=1e-3)


def test_an_unplugged_output_that_is_on_shows_its_set_point() -> None:
    circuit = charging()
    circuit.plugged = False
    circuit.advance(2.0)
    assert (circuit.voltage, circuit.current) == (84.0, 0.0)


def test_the_contactor_decides_once_it_is_fitted() -> None:
    circuit = charging()
    circuit.contactor = False
    circuit.advance(3.0)
    assert circuit.current == 0.0
    assert circuit.voltage == circuit.battery.ocv  # the plug side
    assert circuit.stage.voltage == 84.0  # the module side
    circuit.contactor = True
    circuit.advance(6.0)
    assert circuit.current == 30.0
    circuit.contactor, circuit.welded = False, True
    circuit.advance(7.0)
    assert circuit.current == 30.0
    circuit.welded = False
    circuit.advance(7.02)
    assert circuit.current == 0.0


def test_a_paused_battery_takes_nothing_but_shows_its_voltage() -> None:
    circuit = charging()
    circuit.battery.paused = True
    circuit.advance(2.0)
    assert (circuit.voltage, circuit.current) == (84.0, 0.0)
    circuit.stage.on = False
    circuit.advance(300.0)
    assert circuit.voltage == circuit.battery.ocv


@pytest.mark.parametrize("broken", ["fault", "mains", "on"])
def test_no_output_without_register_mains_and_health(broken: str) -> None:
    circuit = charging()
    circuit.advance(3.0)
    setattr(circuit.stage, broken, broken == "fault")
    circuit.advance(3.2)
    assert (circuit.stage.enabled, circuit.current) == (False, 0.0)


def test_the_module_heats_up_and_trips_until_it_is_cool_and_told_again() -> None:
    circuit = charging(amperes=33.0, soc=20.0)
    circuit.advance(120.0)
    assert 30.0 < circuit.stage.temperature < 70.0
    circuit.stage.forced_temperature = TRIP_C
    circuit.advance(121.0)
    assert circuit.stage.tripped and circuit.current == 0.0
    circuit.stage.forced_temperature = 40.0
    circuit.advance(122.0)
    assert not circuit.stage.enabled
    circuit.stage.on = True
    circuit.advance(126.0)
    assert circuit.current > 30.0


def test_an_idle_stage_bleeds_and_never_drives() -> None:
    stage = OutputStage(voltage_setpoint=84.0)
    assert stage.open_voltage(80.0, 190.0) == pytest.approx(80.0 / math.e)
    assert stage.current_limit(76.0, 10.0) == 0.0
