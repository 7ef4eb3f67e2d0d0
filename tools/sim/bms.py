"""The vehicle's BMS as a bus node: sends limits while plugged, answers queries, reads the charger's status."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass

import can

from . import frames
from .battery import Battery
from .bus import CanBus
from .noise import damage, garbage_source
from .timing import Periodic, Rate

WAKE_S = 0.1
"""From plug-in to the first frame."""
_ANSWER_S = 0.02
_FULL_SOC = 99.95  # charging ends here and is forbidden until _AGAIN_SOC
_AGAIN_SOC = 99.0


@dataclass
class Vehicle:
    """What the driver or the `ev` command decides."""

    max_voltage: float = 84.0
    max_current: float = 90.0
    allow: bool = True
    heating: bool = False
    taper: bool = True
    """False: the limit stays at max_current up to the last percent."""


@dataclass
class BmsOptions:
    """How the BMS behaves or misbehaves (`bms` command)."""

    silent: bool = False
    corrupt: bool = False
    stuck: bool = False
    period_ms: float = 200.0
    garbage: float = 0.0
    soc_in_frame: bool = False
    daly: bool = False
    ah_counters: bool = True
    control_byte: int | None = None
    protocol: str = "can"
    """"jbd", "daly": this vehicle has a BMS on the serial line instead, see uart_bms.py."""
    asleep: bool = False
    protection: int = 0
    """Protection and fault bits of a BMS on the serial line."""


PROTOCOLS = ("can", "jbd", "daly")


def class_capacity(max_current: float) -> float:
    """Return the Ah of the model class that a charger derives from the current limit: 30, 60 or 90."""
    return 30.0 if max_current <= 30.0 else 60.0 if max_current <= 60.0 else 90.0


class Bms:
    """One BMS. Awake while plugged."""

    def __init__(
        self,
        bus: CanBus,
        battery: Battery,
        rng: random.Random,
        refresh: Callable[[], None],
        on_limits: Callable[[float, float, bool], None],
    ) -> None:
        """`refresh` brings the physics up to now; `on_limits(volts, amperes, allowed)` hears each limits frame."""
        self.vehicle = Vehicle()
        self.options = BmsOptions()
        self.charger_status: dict[str, int | float] | None = None
        self.charger_status_t: float | None = None
        self.bad_frames = 0
        self._bus = bus
        self._battery = battery
        self._rng = rng
        self._refresh = refresh
        self._on_limits = on_limits
        self._loop = asyncio.get_running_loop()
        self._periodic: Periodic | None = None
        self._garbage: Rate | None = None
        self._garbage_frame = garbage_source(rng, frames.FROM_BMS)
        self._full = False
        self._last: can.Message | None = None
        self._class_ah: float | None = None
        self._discharged_ah = round(rng.uniform(300.0, 900.0), 3)
        self._pack_current: Callable[[], float] = lambda: 0.0
        bus.attach(self)

    # --- life

    @property
    def awake(self) -> bool:
        """True while the plug is in."""
        return self._periodic is not None

    @property
    def is_full(self) -> bool:
        """True from the end of charge until some of it is gone."""
        return self._full

    def pack_current(self) -> float:
        """Return the charge current in A."""
        return self._pack_current()

    def wake(self, pack_current: Callable[[], float]) -> None:
        """The plug went in: start sending. `pack_current` gives the charge current in A."""
        self._pack_current = pack_current
        self._full = False
        self._last = None
        self._class_ah = None
        self._discharged_ah = round(self._rng.uniform(300.0, 900.0), 3)  # another vehicle, another life
        self._schedule(WAKE_S)

    def sleep(self) -> None:
        """The plug was pulled: the vehicle is off the bus."""
        if self._periodic is not None:
            self._periodic.stop()
            self._periodic = None
        self.charger_status = self.charger_status_t = None
        self._set_garbage(0.0)

    def options_changed(self) -> None:
        """Apply a new period or garbage rate now."""
        if self.awake:
            self._schedule(0.0)

    def send_now(self) -> None:
        """Send the limits without waiting for the period; a real BMS reports a lost permission at once."""
        if self.awake:
            self._schedule(0.0)

    def close(self) -> None:
        """Stop all timers."""
        self.sleep()

    def _schedule(self, delay_s: float) -> None:
        if self._periodic is not None:
            self._periodic.stop()
        self._periodic = Periodic(self.options.period_ms / 1000.0, self._send_limits, delay_s)
        self._set_garbage(self.options.garbage)

    def _set_garbage(self, per_second: float) -> None:
        if self._garbage is not None:
            self._garbage.stop()
        self._garbage = Rate(per_second, self._emit_garbage) if per_second else None

    def _emit_garbage(self, count: int) -> None:
        if self.options.protocol != "can":
            return
        for _ in range(count):
            self._bus.send(self._garbage_frame(), self)

    # --- what it says

    def limits(self) -> tuple[float, float, bool]:
        """Return (volts, amperes, allowed) as the next frame says them; a full pack allows nothing."""
        vehicle, battery = self.vehicle, self._battery
        if battery.soc >= _FULL_SOC:
            self._full = True
        elif battery.soc < _AGAIN_SOC:
            self._full = False
        amperes = vehicle.max_current
        if vehicle.taper:
            amperes = min(amperes, battery.accepted_current())
        return vehicle.max_voltage, round(amperes, 1), vehicle.allow and not self._full

    def _send_limits(self) -> None:
        if self.options.stuck and self._last is not None:
            self._send(self._last)
            return
        self._refresh()
        volts, amperes, allowed = self.limits()
        control = self.options.control_byte
        if control is None:
            control = 0 if allowed else 1
        mode, byte6 = int(self.vehicle.heating), 0
        if self.options.soc_in_frame:
            mode, byte6 = divmod(round(self._battery.soc * 10), 256)
        self._last = frames.encode(
            frames.BMS_REQUEST,
            {
                "MaxChargeVoltage": volts,
                "MaxChargeCurrent": amperes,
                "ChargeControl": control,
                "ModeByte": mode,
                "Byte6": byte6,
                "Byte7": 0,
            },
        )
        if self._class_ah is None:
            self._class_ah = class_capacity(amperes)
        if self._send(self._last):
            self._on_limits(volts, amperes, control == 0)

    def _send(self, frame: can.Message) -> bool:
        """Send unless silent; True when it was a good frame on a bus that is up."""
        if self.options.silent or self.options.protocol != "can":
            return False
        if self.options.corrupt:
            frame = damage(self._rng, frame)
        self._bus.send(frame, self)
        return not self.options.corrupt and self._bus.state == "up"

    # --- what it hears

    def on_frame(self, frame: can.Message) -> None:
        """Take a frame of the charger; ignore everything malformed."""
        if not self.awake:
            return
        if (status := frames.decode(frames.CHARGER_STATUS, frame)) is not None:
            self.charger_status, self.charger_status_t = status, self._loop.time()
        elif self.options.ah_counters and frames.decode(frames.CHARGE_AH_REQUEST, frame) is not None:
            self._answer(self._charge_ah)
        elif self.options.ah_counters and frames.decode(frames.DISCHARGE_AH_REQUEST, frame) is not None:
            self._answer(self._discharge_ah)
        elif self.options.daly and frames.decode(frames.SOC_REQUEST, frame) is not None:
            self._answer(self._daly_pack)
        elif self.options.daly and frames.decode(frames.TEMPERATURE_REQUEST, frame) is not None:
            self._answer(self._daly_temperature)
        elif frame.arbitration_id in frames.KNOWN_IDS and not self._is_unsupported_request(frame):
            self.bad_frames += 1

    @staticmethod
    def _is_unsupported_request(frame: can.Message) -> bool:
        requests = (
            frames.CHARGE_AH_REQUEST,
            frames.DISCHARGE_AH_REQUEST,
            frames.SOC_REQUEST,
            frames.TEMPERATURE_REQUEST,
        )
        return any(frames.decode(request, frame) is not None for request in requests)

    def _answer(self, make: Callable[[], can.Message]) -> None:
        def send() -> None:
            if self.awake:
                self._refresh()
                self._send(make())

        self._loop.call_later(_ANSWER_S, send)

    def _charge_ah(self) -> can.Message:
        """Lifetime counters: charged - discharged = SoC x the Ah of the model class, so that the difference is true."""
        class_ah = self._class_ah or class_capacity(self.limits()[1])
        total = self._discharged_ah + self._battery.soc / 100.0 * class_ah
        return frames.encode(frames.CHARGE_AH_RESPONSE, {"TotalChargeAh": round(total, 3), "Tail4567": 0})

    def _discharge_ah(self) -> can.Message:
        return frames.encode(frames.DISCHARGE_AH_RESPONSE, {"TotalDischargeAh": self._discharged_ah, "Tail4567": 0})

    def _daly_pack(self) -> can.Message:
        amperes = self._pack_current()
        volts = self._battery.ocv + amperes * self._battery.resistance
        return frames.encode(
            frames.SOC_RESPONSE,
            {
                "PackVoltage": round(volts, 1),
                "GatherVoltage": 0,
                "PackCurrent": round(-amperes, 1),  # captures: positive is discharging
                "StateOfCharge": round(self._battery.soc, 1),
            },
        )

    def _daly_temperature(self) -> can.Message:
        celsius = round(self._battery.temperature)
        return frames.encode(
            frames.TEMPERATURE_RESPONSE,
            {
                "HighestTemperature": celsius,
                "HighestSensor": 1,
                "LowestTemperature": celsius - 1,
                "LowestSensor": 2,
                "Tail4567": 0,
            },
        )
