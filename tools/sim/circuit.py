"""The electrical truth at one plug: module output, contactor, terminals, battery, and the energy that flowed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from .battery import Battery
from .stage import OutputStage

STEP_S = 0.020
"""Longest step of the integration; a late call is divided."""
FLOWING_A = 0.5


@dataclass
class Circuit:
    """Two nodes: the module's output (stage.voltage) and the terminals at the plug (voltage, current)."""

    now: float
    stage: OutputStage = field(default_factory=OutputStage)
    battery: Battery = field(default_factory=Battery)
    plugged: bool = False
    contactor: bool | None = None
    """None: nobody ever commanded one, so none is fitted and the path conducts."""
    welded: bool = False
    jammed: bool = False
    """The contactor does not close, or falls open."""
    voltage: float = 0.0
    """Terminals, V."""
    current: float = 0.0
    """Into the battery, A, never negative."""
    energy_wh: float = 0.0
    """Integral of voltage x current at the terminals since the start, trapezoidal, double precision."""
    on_step: Callable[[float], None] = lambda t: None
    """Called with the time after every step."""

    @property
    def conducting(self) -> bool:
        """True when the module's output and the terminals are one node."""
        return self.welded or (self.contactor is not False and not self.jammed)

    @property
    def is_flowing(self) -> bool:
        """True above 0.5 A."""
        return self.current > FLOWING_A

    def advance(self, now: float) -> None:
        """Bring everything up to the monotonic time `now` in s."""
        while (left := now - self.now) > 0:
            step = left if left <= STEP_S else STEP_S
            self.now = now if left <= STEP_S else self.now + step
            self._step(step)
            self.on_step(self.now)

    def _step(self, seconds: float) -> None:
        stage, battery = self.stage, self.battery
        watts_before, amperes_before = self.voltage * self.current, self.current
        amperes = 0.0
        if self.plugged and not battery.paused:
            if self.conducting:
                amperes = self._charge_current(seconds)
            self.voltage = battery.ocv + amperes * battery.resistance
        elif self.conducting:
            self.voltage = stage.open_voltage(self.voltage, seconds)
        else:
            self.voltage = OutputStage.open_voltage(_IDLE, self.voltage, seconds)
        if self.plugged and battery.paused:
            self.voltage = max(self.voltage, battery.ocv)  # body diode
        self.current = stage.current = amperes
        stage.voltage = self.voltage if self.conducting else stage.open_voltage(stage.voltage, seconds)
        watts = self.voltage * amperes
        self.energy_wh += (watts_before + watts) / 2.0 * seconds / 3600.0
        stage.warm(watts, seconds)
        if self.plugged:
            battery.advance((amperes_before + amperes) / 2.0, seconds)

    def _charge_current(self, seconds: float) -> float:
        """Constant current until the voltage limit is reached, then constant voltage."""
        battery, stage = self.battery, self.stage
        by_voltage = (stage.target_voltage - battery.ocv) / battery.resistance
        limit = stage.current_limit(self.voltage, seconds)
        if not stage.enabled:
            return limit  # the choke runs empty within milliseconds
        return max(0.0, min(limit, by_voltage))

    def interrupt(self) -> None:
        """Break the current at once: a plug or contactor was opened. The capacitor keeps its voltage."""
        self.current = self.stage.current = 0.0


_IDLE = OutputStage()
