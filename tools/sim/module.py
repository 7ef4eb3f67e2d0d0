"""The power module as a bus node: obeys the control group, answers both groups, reports its terminals unasked."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import can

from . import frames
from .bus import CanBus
from .circuit import Circuit
from .events import EventLog
from .noise import damage, garbage_source
from .timing import Periodic, Rate

OFFLINE = ("off", "hold", "full", "registers")
STUCK_ON = "on"
_HEADER = 0x01
_ACK, _REFUSED = 0x01, 0x21
_VOLTAGE, _CURRENT, _OUTPUT = 0x00, 0x03, 0x32
_OFFLINE_VOLTAGE, _OFFLINE_CURRENT = 0x01, 0x04
_T_VOLTAGE, _T_CURRENT, _T_79, _T_TEMPERATURE, _T_83 = 0x84, 0x82, 0x79, 0x80, 0x83
_FULL_V = 84.0  # offline set-point of a module that runs to full power when the bus goes silent
_BOTH_GROUPS_S = 3.0
_SETPOINTS = {  # function -> what it is called in events, signal of the DBC
    _VOLTAGE: ("voltage", "VoltageSetpoint"),
    _CURRENT: ("current", "CurrentSetpoint"),
    _OFFLINE_VOLTAGE: ("offline_voltage", "OfflineVoltage"),
    _OFFLINE_CURRENT: ("offline_current", "OfflineCurrent"),
}


@dataclass
class ModuleOptions:
    """How the module behaves or misbehaves (`module` command)."""

    silent: bool = False
    corrupt: bool = False
    stuck: bool | Literal["on"] = False
    garbage: float = 0.0
    latency_ms: float = 15.0
    no_echo: bool = False
    refuse: bool = False
    offline_registers: bool = True
    temperature: float | None = None
    nan: bool = False
    offline: str = "off"
    offline_ms: float = 5000.0
    needs_both: bool = False
    telemetry: bool = True
    current_q10: bool = False
    terminal_ms: float = 100.0
    terminal_power: bool = True
    terminal_status: bool = True
    heartbeat: bool = True
    heartbeat_ms: float = 1000.0
    max_voltage: float = 100.0
    max_current: float = 33.0
    max_power: float = 2800.0
    ramp: float = 15.0


class PowerModule:
    """One module on bus pm, working on the circuit of its connector."""

    def __init__(self, bus: CanBus, circuit: Circuit, rng: random.Random, events: EventLog) -> None:
        self.options = ModuleOptions()
        self.last_on: float | None = None
        """Monotonic time of the last "on" frame seen on the bus; last_off likewise."""
        self.last_off: float | None = None
        self.on_frames = self.off_frames = self.bad_frames = 0
        self.hardware_fault = False
        self._bus = bus
        self._circuit = circuit
        self._stage = circuit.stage
        self._rng = rng
        self._events = events
        self._loop = asyncio.get_running_loop()
        self._control_t: float | None = None
        self._telemetry_t: float | None = None
        self._asked: dict[str, float] = {}  # set-points last seen on the bus
        self.offline_voltage = _FULL_V
        """Registers that rule while the bus is silent, V; offline_current in A, None: as much as there is."""
        self.offline_current: float | None = None
        self._offline = False
        self._garbage: Rate | None = None
        self._garbage_frame = garbage_source(rng, frames.FROM_MODULE)
        self._terminal: Periodic | None = None
        self._heartbeat: Periodic | None = None
        bus.attach(self)
        self.options_changed()

    # --- life

    def options_changed(self) -> None:
        """Apply options: periods, limits, forced values."""
        self.close()
        options, stage = self.options, self._stage
        self._terminal = Periodic(options.terminal_ms / 1000.0, self._send_terminal)
        self._heartbeat = Periodic(options.heartbeat_ms / 1000.0, self._send_heartbeat)
        self._garbage = Rate(options.garbage, self._emit_garbage) if options.garbage else None
        stage.max_voltage, stage.max_current = options.max_voltage, options.max_current
        stage.max_power, stage.ramp = options.max_power, options.ramp
        if stage.forced_temperature is not None and options.temperature is None:
            stage.temperature = stage.ambient
        stage.forced_temperature = options.temperature
        if options.temperature is not None:
            stage.temperature = options.temperature
        if options.stuck == STUCK_ON:
            stage.on = True

    def close(self) -> None:
        """Stop all timers."""
        for timer in (self._terminal, self._heartbeat, self._garbage):
            if timer is not None:
                timer.stop()

    def supervise(self, now: float) -> None:
        """Watch for a silent controller; call every few ms."""
        options, stage = self.options, self._stage
        silent = self._control_t is not None and (now - self._control_t) * 1000.0 > options.offline_ms
        if silent and not self._offline and options.stuck is False:
            if options.offline == "off" and stage.on:
                stage.on = False
                self._events.add("module_offline", self._bus.connector, output=False)
            elif options.offline == "full":
                stage.voltage_setpoint, stage.current_setpoint, stage.on = _FULL_V, stage.max_current, True
                self._events.add("module_offline", self._bus.connector, output=True)
            elif options.offline == "registers":
                amperes = stage.max_current if self.offline_current is None else self.offline_current
                stage.voltage_setpoint, stage.current_setpoint, stage.on = self.offline_voltage, amperes, True
                self._events.add("module_offline", self._bus.connector, output=amperes > 0)
        self._offline = silent
        stage.fault = self.hardware_fault or (options.needs_both and self._misses_a_group(now))

    def _misses_a_group(self, now: float) -> bool:
        heard = [t is not None and now - t < _BOTH_GROUPS_S for t in (self._control_t, self._telemetry_t)]
        return heard[0] != heard[1]

    # --- what it hears

    def on_frame(self, frame: can.Message) -> None:
        """Take a frame of the controller; count what is malformed."""
        if frame.arbitration_id == frames.CONTROL_REQUEST.frame_id:
            values = frames.decode(frames.CONTROL_REQUEST, frame)
            if values is None or values["Header"] != _HEADER:
                self.bad_frames += 1
                return
            self._control_t = self._loop.time()
            self._note(values)
            self._later(partial(self._control, values))
        elif frame.arbitration_id == frames.TELEMETRY_REQUEST.frame_id:
            values = frames.decode(frames.TELEMETRY_REQUEST, frame)
            if values is None or values["Header"] != _HEADER:
                self.bad_frames += 1
                return
            self._telemetry_t = self._loop.time()
            if self.options.telemetry:
                self._later(partial(self._telemetry, int(values["Function"])))

    def _later(self, work: Callable[[], None]) -> None:
        self._loop.call_later(self.options.latency_ms / 1000.0, work)

    def _note(self, values: dict[str, int | float]) -> None:
        """Log a command as seen on the bus, whatever comes of it."""
        connector, now = self._bus.connector, self._loop.time()
        if values["Function"] == _OUTPUT:
            if values["OutputOff"] == 0:
                self.last_on, self.on_frames = now, self.on_frames + 1
                self._events.add("output_on", connector, t=now)
            else:
                self.last_off, self.off_frames = now, self.off_frames + 1
                self._events.add("output_off", connector, t=now)
            return
        what, signal = _SETPOINTS[int(values["Function"])]
        value = round(values[signal], 3)
        if self._asked.get(what) != value:
            self._asked[what] = value
            self._events.add("setpoint", connector, t=now, what=what, value=value)

    @property
    def setpoints(self) -> dict[str, float | None]:
        """Set-points last seen on the bus, V and A."""
        return {what: self._asked.get(what) for what in ("voltage", "current")}

    def _control(self, values: dict[str, int | float]) -> None:
        function, stage = int(values["Function"]), self._stage
        is_offline = function in (_OFFLINE_VOLTAGE, _OFFLINE_CURRENT)
        refuses = self.options.refuse or (is_offline and not self.options.offline_registers)
        obeys = not refuses and self.options.stuck is False
        self._circuit.advance(self._loop.time())
        if obeys:
            if function == _VOLTAGE:
                stage.voltage_setpoint = float(values["VoltageSetpoint"])
            elif function == _CURRENT:
                stage.current_setpoint = float(values["CurrentSetpoint"])
            elif function == _OFFLINE_VOLTAGE:
                self.offline_voltage = float(values["OfflineVoltage"])
            elif function == _OFFLINE_CURRENT:
                self.offline_current = float(values["OfflineCurrent"])
            else:
                stage.on = values["OutputOff"] == 0
        if self.options.no_echo:
            return
        answer: dict[str, int | float] = {
            "AckCode": _REFUSED if refuses else _ACK,
            "Function": function,
            "Reserved2": 0,
        }
        if function == _VOLTAGE:
            answer["VoltageSetpoint"] = stage.voltage_setpoint
        elif function == _CURRENT:
            answer["CurrentSetpoint"] = stage.current_setpoint
        elif function == _OFFLINE_VOLTAGE:
            answer["OfflineVoltage"] = self.offline_voltage
        elif function == _OFFLINE_CURRENT:
            answer["OfflineCurrent"] = stage.max_current if self.offline_current is None else self.offline_current
        else:
            answer["OutputOff"] = 0 if stage.on else 1
        self._send(frames.encode(frames.CONTROL_RESPONSE, answer))

    def _telemetry(self, function: int) -> None:
        self._circuit.advance(self._loop.time())
        stage = self._stage
        answer: dict[str, int | float] = {"AckCode": _ACK, "Function": function}
        if function == _T_VOLTAGE:
            answer["OutputVoltage"] = stage.voltage
        elif function == _T_CURRENT:
            raw = round(stage.current * (1024 if self.options.current_q10 else 10))
            answer["OutputCurrentRawHigh"], answer["OutputCurrentRaw"] = divmod(raw, 65536)
        elif function == _T_TEMPERATURE:
            raw = round(
                max(stage.temperature, 0.0) * 1024
            )  # 32-bit Q10; below 64 degC the low half reads nearly 0.001 degC
            high, low = divmod(raw, 65536)
            answer["TemperatureRawHigh"], answer["ModuleTemperature"] = high, low / 1000.0
        elif function == _T_79:
            answer["Metric79"] = 0
        elif function == _T_83:
            answer["Metric83"] = 0.0
        else:
            return
        self._send(frames.encode(frames.TELEMETRY_RESPONSE, answer))

    # --- what it says unasked

    def _send_terminal(self) -> None:
        circuit, options = self._circuit, self.options
        circuit.advance(self._loop.time())
        if options.terminal_power:
            volts, amperes = (math.nan, math.nan) if options.nan else (circuit.voltage, circuit.current)
            self._send(frames.encode(frames.TERMINAL_POWER, {"TerminalVoltage": volts, "TerminalCurrent": amperes}))
        if options.terminal_status:
            state = 0 if self._stage.fault else 2 if circuit.is_flowing else 1
            self._send(
                frames.encode(
                    frames.TERMINAL_STATUS, {"Bytes0to3": 0, "Bytes4to5": 0, "StatusClass": 3, "ChargeState": state}
                )
            )

    def _send_heartbeat(self) -> None:
        if not self.options.heartbeat:
            return
        circuit, stage = self._circuit, self._stage
        circuit.advance(self._loop.time())
        self._send(
            frames.encode(
                frames.CHARGER_STATUS,
                {
                    "OutputVoltage": round(circuit.voltage, 1),
                    "OutputCurrent": round(circuit.current, 1),
                    "HardwareFailure": int(stage.fault),
                    "OverTemperature": int(stage.tripped),
                    "InputVoltageFault": int(not stage.mains),
                    "BatteryNotConnected": 1,  # seen from the module: 1 = alive
                    "CommTimeout": int(self._offline),
                    "StatusReserved": 0,
                    "TemperatureRaw": 0,
                    "Reserved67": 0,
                },
            )
        )

    def _send(self, frame: can.Message) -> None:
        if not self.options.silent:
            self._bus.send(damage(self._rng, frame) if self.options.corrupt else frame, self)

    def _emit_garbage(self, count: int) -> None:
        for _ in range(count):
            self._bus.send(self._garbage_frame(), self)
