"""The traction battery as physics: 20 Li-ion cells in series, nominal 72 V. No frames, no clock."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

FULL_V = 84.0  # charge-end voltage, 20 x 4.20 V
EMPTY_V = 60.0  # 20 x 3.00 V

# State of charge in %, open-circuit voltage in V. Flat in the middle, steep at both ends; 76.4 V at 87 %.
_OCV = (
    (0.0, EMPTY_V),
    (4.0, 64.4),
    (10.0, 67.4),
    (20.0, 69.6),
    (30.0, 70.9),
    (40.0, 71.9),
    (50.0, 72.8),
    (60.0, 73.6),
    (70.0, 74.5),
    (80.0, 75.6),
    (87.0, 76.4),
    (92.0, 77.4),
    (96.0, 79.2),
    (98.5, 81.6),
    (100.0, FULL_V),
)
_SOC_POINTS = tuple(point[0] for point in _OCV)

_RESISTANCE = 0.040  # ohm, whole pack with cable
_HEAT_CAPACITY = 18_000.0  # J/K, about 20 kg
_HEAT_LOSS = 6.0  # W/K to the air


def open_circuit_voltage(soc: float) -> float:
    """Return the rest voltage in V at `soc` in % (0 to 100; beyond it the end value), linear between the points."""
    soc = min(max(soc, 0.0), 100.0)
    i = min(bisect_right(_SOC_POINTS, soc), len(_OCV) - 1)
    (soc_a, volt_a), (soc_b, volt_b) = _OCV[i - 1], _OCV[i]
    return volt_a + (volt_b - volt_a) * (soc - soc_a) / (soc_b - soc_a)


@dataclass
class Battery:
    """State of one pack. Charge current is positive; it never discharges here."""

    soc: float = 87.0
    """State of charge in %, 0 to 100."""
    capacity_ah: float = 90.0
    temperature: float = 26.5
    """Mean cell temperature in degC."""
    ambient: float = 26.5
    paused: bool = False
    """True: the charge transistor is off. Nothing flows in; its body diode still shows the pack voltage outside."""
    resistance: float = _RESISTANCE

    @property
    def ocv(self) -> float:
        """Rest voltage in V."""
        return open_circuit_voltage(self.soc)

    def advance(self, amperes: float, seconds: float) -> None:
        """Charge with `amperes` (mean over the step) for `seconds`."""
        self.soc = min(self.soc + amperes * seconds / (36.0 * self.capacity_ah), 100.0)
        heat = amperes * amperes * self.resistance - _HEAT_LOSS * (self.temperature - self.ambient)
        self.temperature += heat * seconds / _HEAT_CAPACITY

    def accepted_current(self) -> float:
        """Return the current in A that keeps the cells below their charge-end voltage now (the CV part of CC/CV)."""
        return max(0.0, (FULL_V - self.ocv) / self.resistance)
