"""One charging point of the site: circuit, BMS, power module, two buses, outputs of the board, alarms."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

from .bms import Bms
from .bus import CanBus, Recorder
from .circuit import Circuit
from .events import EventLog
from .module import PowerModule
from .uart_bms import UartBms
from .uartline import UartLine

FAULT_KINDS = ("input", "module", "mains", "overtemperature", "weld", "jam", "lock")
_BOLT_S = 0.05  # the time a bolt needs
_HOT_C = 85.0  # above the 70 degC at which a charger has to stop, below the module's own trip

# A charger that does one of these for longer than the seconds given earns an alarm.
_PATIENCE_S = {"over_current": 1.0, "over_voltage": 0.4, "power_without_permission": 1.0, "power_into_silence": 5.0}


class Connector:
    """Owner of everything that belongs to one plug."""

    def __init__(
        self, number: int, soc: float, rng: random.Random, events: EventLog, record: Recorder | None = None
    ) -> None:
        self.number = number
        self.next_soc = soc
        """SoC in % of the vehicle that comes when `plug` names none."""
        self.alarms: dict[str, float] = {}
        """Alarm -> monotonic time, since the last plug-in."""
        self.outputs: dict[str, Any] = {"contactor": False, "enable": False, "lock": False, "led": None}
        self.faults: set[str] = set()
        self.bolt = False
        """Is the plug locked in? Follows the output `lock`, unless the bolt is jammed."""
        self._bolt_due = 0.0
        self.pm = CanBus("pm", number, events, rng, record)
        self.bms_bus = CanBus("bms", number, events, rng, record)
        self.circuit = Circuit(now=time.monotonic(), on_step=self._stepped)
        self.circuit.battery.soc = soc
        self.bms = Bms(self.bms_bus, self.circuit.battery, rng, self.refresh, self._limits_sent)
        self.uart = UartLine(number, events, rng)
        self.uart_bms = UartBms(self.uart, self.bms, self.circuit.battery, rng, self.refresh, self._limits_sent)
        self.module = PowerModule(self.pm, self.circuit, rng, events)
        self._events = events
        self._said: tuple[float, float, bool] | None = None  # limits last sent to the charger
        self._said_t = 0.0
        self._flowing = False
        self._wrong_since: dict[str, float] = {}
        self._session_start_wh = 0.0

    def refresh(self) -> None:
        """Bring the physics up to now."""
        self.circuit.advance(time.monotonic())

    def tick(self) -> None:
        """Physics and supervision; called every few ms."""
        self.refresh()
        self.module.supervise(self.circuit.now)
        wanted = self.outputs["lock"] is True
        if self.bolt != wanted and "lock" not in self.faults and time.monotonic() >= self._bolt_due:
            self.bolt = wanted
            self._events.add("bolt", self.number, value=wanted)
        if self.bms.awake and self._said is not None and self._said[2] and self.circuit.current > 0:
            if not self.bms.limits()[2] and not self.bms.options.stuck:
                self.bms.send_now()  # the pack became full

    async def close(self) -> None:
        """Stop timers and servers."""
        self.bms.close()
        self.module.close()
        self.uart_bms.changed()
        await asyncio.gather(self.pm.close(), self.bms_bus.close(), self.uart.close())

    # --- the driver

    def plug(
        self,
        soc: float | None = None,
        capacity_ah: float | None = None,
        max_current: float | None = None,
        max_voltage: float | None = None,
        temperature: float | None = None,
        same: bool = False,
    ) -> None:
        """Put the plug in; when it is in already, change the vehicle."""
        self.refresh()
        battery, vehicle, fresh = self.circuit.battery, self.bms.vehicle, not self.circuit.plugged
        if soc is not None:
            self.next_soc = soc
        if soc is not None or (fresh and not same):
            battery.soc = self.next_soc
        if temperature is not None:
            battery.temperature = battery.ambient = temperature
        elif fresh and not same:
            battery.temperature = battery.ambient
        if capacity_ah is not None:
            battery.capacity_ah = capacity_ah
        if max_current is not None:
            vehicle.max_current = max_current
        if max_voltage is not None:
            vehicle.max_voltage = max_voltage
        if not fresh:
            self.bms.send_now()
            return
        self.alarms.clear()
        self._wrong_since.clear()
        self._said = None
        self._session_start_wh = self.circuit.energy_wh
        self.circuit.plugged = True
        self._events.add("plug", self.number, soc=battery.soc)
        self.bms.wake(lambda: self.circuit.current)
        self.uart_bms.changed()

    def unplug(self) -> None:
        """Pull the plug, under load if it must be."""
        self.refresh()
        if not self.circuit.plugged:
            return
        if self.circuit.is_flowing:
            self._alarm("unplugged_under_load")
        if self.bolt:
            self._alarm("unplugged_while_locked")
        self.bms.sleep()
        self.uart_bms.changed()
        self.circuit.plugged = False
        self.circuit.interrupt()
        self._events.add("unplug", self.number, soc=self.circuit.battery.soc)
        self._watch_flow(time.monotonic())

    def ev(
        self,
        allow: bool | None = None,
        max_current: float | None = None,
        max_voltage: float | None = None,
        pause: bool | None = None,
        heating: bool | None = None,
        taper: bool | None = None,
    ) -> None:
        """Change what the vehicle permits; the BMS says so at once."""
        self.refresh()
        vehicle = self.bms.vehicle
        if allow is not None and allow != vehicle.allow:
            vehicle.allow = allow
            self._events.add("permission", self.number, allow=allow)
        if max_current is not None:
            vehicle.max_current = max_current
        if max_voltage is not None:
            vehicle.max_voltage = max_voltage
        if heating is not None:
            vehicle.heating = heating
        if taper is not None:
            vehicle.taper = taper
        if pause is not None:
            self.circuit.battery.paused = pause
        if not self.bms.options.stuck:
            self.bms.send_now()

    # --- the board

    def output(self, name: str, value: Any) -> None:
        """The board drives an output; contactor and enable line count as fitted from their first command on."""
        self.refresh()
        fitted = {"contactor": self.circuit.contactor, "enable": self.circuit.stage.enable}
        if self.outputs[name] != value or fitted.get(name, value) is None:
            self.outputs[name] = value
            self._events.add(name, self.number, value=value)
        if name == "lock":
            self._bolt_due = time.monotonic() + _BOLT_S
        elif name == "enable":
            self.circuit.stage.enable = value
        elif name == "contactor":
            self._move_contactor(value, self.circuit.jammed)

    def _move_contactor(self, closed: bool | None, jammed: bool) -> None:
        circuit = self.circuit
        flowing = circuit.is_flowing
        circuit.contactor, circuit.jammed = closed, jammed
        if flowing and not circuit.conducting:
            if not jammed:
                self._alarm("contactor_opened_under_load")
            circuit.interrupt()
            self._watch_flow(time.monotonic())

    def board_gone(self) -> None:
        """The board lost power or its link: its contactor falls open."""
        if self.circuit.contactor is not None:
            self.output("contactor", False)
        if self.circuit.stage.enable is not None:
            self.output("enable", False)

    def fault(self, kind: str, active: bool) -> None:
        """Let one thing break, or repair it."""
        self.refresh()
        (self.faults.add if active else self.faults.discard)(kind)
        if kind == "module":
            self.module.hardware_fault = active
            self.module.supervise(self.circuit.now)
        elif kind == "mains":
            self.circuit.stage.mains = not active
        elif kind == "overtemperature":
            self.module.options.temperature = _HOT_C if active else None
            self.module.options_changed()
        elif kind == "weld":
            self.circuit.welded = active
        elif kind == "jam":
            self._move_contactor(self.circuit.contactor, active)

    # --- supervision

    def _limits_sent(self, volts: float, amperes: float, allowed: bool) -> None:
        said = (volts, amperes, allowed)
        if said != self._said:
            self._said = said
            self._events.add("limits", self.number, voltage=volts, current=amperes, allow=allowed)
        self._said_t = time.monotonic()

    def _stepped(self, t: float) -> None:
        self._watch_flow(t)
        circuit, said = self.circuit, self._said
        if not circuit.plugged or said is None:
            return
        flowing = circuit.is_flowing
        self._patience("over_current", circuit.current > said[1] * 1.05 + 0.5, t)
        self._patience("over_voltage", circuit.voltage > said[0] + 0.5, t)
        self._patience("power_without_permission", flowing and not said[2], t)
        self._patience("power_into_silence", flowing and t - self._said_t > 1.5, t)

    def _watch_flow(self, t: float) -> None:
        if self.circuit.is_flowing != self._flowing:
            self._flowing = self.circuit.is_flowing
            self._events.add(
                "power_on" if self._flowing else "power_off",
                self.number,
                t=t,
                voltage=self.circuit.voltage,
                current=self.circuit.current,
            )

    def _patience(self, alarm: str, wrong: bool, t: float) -> None:
        if not wrong:
            self._wrong_since.pop(alarm, None)
        elif t - self._wrong_since.setdefault(alarm, t) > _PATIENCE_S[alarm]:
            self._alarm(alarm)

    def _alarm(self, alarm: str) -> None:
        if alarm not in self.alarms:
            self.alarms[alarm] = time.monotonic()
            self._events.add("alarm", self.number, alarm=alarm, current=self.circuit.current)

    # --- report

    def state(self) -> dict[str, Any]:
        """Return the truth about this connector, at this moment."""
        self.refresh()
        circuit, stage, module, bms = self.circuit, self.circuit.stage, self.module, self.bms
        skew = time.time() - time.monotonic()
        return {
            "connector": self.number,
            "plugged": circuit.plugged,
            "output_on": stage.enabled,
            "contactor": circuit.contactor is True,
            "contactor_fitted": circuit.contactor is not None,
            "enable": stage.enable,
            "lock": self.outputs["lock"],
            "bolt": self.bolt,
            "led": self.outputs["led"],
            "voltage": circuit.voltage,
            "current": circuit.current,
            "power": circuit.voltage * circuit.current,
            "soc": circuit.battery.soc,
            "energy_wh": circuit.energy_wh,
            "session_wh": circuit.energy_wh - self._session_start_wh,
            "temperature": circuit.battery.temperature,
            "last_on": module.last_on,
            "last_off": module.last_off,
            "last_on_wall": None if module.last_on is None else module.last_on + skew,
            "last_off_wall": None if module.last_off is None else module.last_off + skew,
            "on_frames": module.on_frames,
            "off_frames": module.off_frames,
            "setpoints": module.setpoints,
            "frames": {"bms": _by_id(self.bms_bus.seen), "pm": _by_id(self.pm.seen)},
            "sent": {"bms": _by_id(self.bms_bus.sent), "pm": _by_id(self.pm.sent)},
            "bad_frames": {"bms": bms.bad_frames, "pm": module.bad_frames},
            "uart": {
                "frames": _by_id(self.uart_bms.seen, 2),
                "sent": _by_id(self.uart_bms.sent, 2),
                "bad_bytes": self.uart_bms.bad_bytes,
                **self.uart.summary(),
            },
            "limits": None
            if self._said is None or not circuit.plugged
            else {"voltage": self._said[0], "current": self._said[1], "allow": self._said[2]},
            "charger_status": bms.charger_status,
            "charger_status_t": bms.charger_status_t,
            "vehicle": vars(bms.vehicle)
            | {"pause": circuit.battery.paused, "capacity_ah": circuit.battery.capacity_ah},
            "bms": vars(bms.options).copy(),
            "module": vars(module.options)
            | {
                "on": stage.on,
                "output_voltage": stage.voltage,
                "now_temperature": stage.temperature,
                "fault": stage.fault,
                "tripped": stage.tripped,
            },
            "alarms": list(self.alarms),
            "faults": sorted(self.faults),
            "buses": {"bms": self.bms_bus.summary(), "pm": self.pm.summary()},
        }


def _by_id(counts: dict[int, int], digits: int = 8) -> dict[str, int]:
    return {f"0x{frame_id:0{digits}X}": count for frame_id, count in sorted(counts.items())}
