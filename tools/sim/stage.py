"""The output stage of the power module as physics: set-points, ramps, limits, heat, capacitor. No frames, no clock."""

from __future__ import annotations

import math
from dataclasses import dataclass

CAPACITOR_TAU_S = 190.0
"""Bleed of the output capacitor: 83 V need 75 s to fall to 56 V."""

_RAMP_DOWN = 400.0  # A/s
_VOLT_RAMP = 200.0  # V/s into an open output
_EFFICIENCY = 0.95
_THERMAL_RESISTANCE = 0.20  # K/W, case to air
_THERMAL_TAU_S = 240.0
TRIP_C = 95.0
"""The module switches itself off here and stays off until it has cooled by 10 K and gets a new "on"."""


@dataclass
class OutputStage:
    """Set-points as received, and what the hardware makes of them."""

    voltage_setpoint: float = 0.0
    current_setpoint: float = 0.0
    on: bool = False
    """The output register: what was commanded and accepted."""
    max_voltage: float = 100.0
    max_current: float = 33.0
    max_power: float = 2800.0
    ramp: float = 15.0
    """Rise of the current in A/s."""
    fault: bool = False
    """Hardware failure: no output, whatever the register says."""
    enable: bool | None = None
    """Level of the enable line, None: not wired."""
    mains: bool = True
    ambient: float = 26.5
    temperature: float = 26.5
    """degC"""
    forced_temperature: float | None = None
    tripped: bool = False
    voltage: float = 0.0
    """Voltage in V at the module's own output, before the contactor."""
    current: float = 0.0

    @property
    def enabled(self) -> bool:
        """True while the converter runs."""
        return self.on and self.mains and not self.fault and not self.tripped and self.enable is not False

    @property
    def target_voltage(self) -> float:
        """Voltage limit in V."""
        return min(self.voltage_setpoint, self.max_voltage)

    def current_limit(self, volts: float, seconds: float) -> float:
        """Return the most current in A that the stage may give `seconds` after now at `volts`, ramps included."""
        wanted = min(self.current_setpoint, self.max_current, self.max_power / max(volts, 1.0)) if self.enabled else 0.0
        if wanted >= self.current:
            return min(wanted, self.current + self.ramp * seconds)
        return max(wanted, self.current - _RAMP_DOWN * seconds)

    def open_voltage(self, before: float, seconds: float) -> float:
        """Return what an unloaded output at `before` V has become after `seconds`: driven up, or bleeding down."""
        bled = before * math.exp(-seconds / CAPACITOR_TAU_S)
        if self.enabled and bled < self.target_voltage:
            return min(self.target_voltage, bled + _VOLT_RAMP * seconds)
        return bled

    def warm(self, watts: float, seconds: float) -> None:
        """Let the losses at `watts` of output heat the case; trip when too hot."""
        end = self.ambient + watts * (1.0 / _EFFICIENCY - 1.0) * _THERMAL_RESISTANCE
        self.temperature += (end - self.temperature) * (1.0 - math.exp(-seconds / _THERMAL_TAU_S))
        if self.forced_temperature is not None:
            self.temperature = self.forced_temperature
        if self.temperature >= TRIP_C:
            self.tripped = True
            self.on = False
        elif self.temperature < TRIP_C - 10.0:
            self.tripped = False
