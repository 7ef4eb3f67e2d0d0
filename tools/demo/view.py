"""What the cards of the demo show, worked out from the frames on the wire. Pure: no terminal, no clock."""

import json
from collections import deque
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tools.csms.frames import FROM_CHARGER, TO_CHARGER, Frame

WAITING, VEHICLE, CHARGING, COMPLETE = "waiting", "vehicle", "charging", "complete"


@dataclass
class Sample:
    """The newest MeterValues as numbers; None: not sent."""

    soc: float | None = None
    power: float | None = None
    energy: float | None = None
    voltage: float | None = None
    current: float | None = None
    seconds: float = 0.0  # since the start, by the timestamps


_FIELDS = {
    "SoC": "soc",
    "Power.Active.Import": "power",
    "Energy.Active.Import.Register": "energy",
    "Voltage": "voltage",
    "Current.Import": "current",
}


class View:
    """Fed with every frame in order; the attributes are what is to be seen."""

    def __init__(self, keep: int = 50) -> None:
        self.phase = WAITING
        self.connected = False
        self.status = "?"
        self.error: str | None = None
        self.vehicle: dict[str, Any] = {}
        self.sample: Sample | None = None
        self.rising = False
        self.summary: dict[str, Any] = {}
        self.violations = 0
        self.last: deque[Frame] = deque(maxlen=keep)
        self._started = 0.0
        self._meter_start = 0

    def feed(self, frame: Frame) -> None:
        """Take one frame into account."""
        self.violations += frame.violation is not None
        if frame.kind in ("OPEN", "CLOSE"):
            self.connected = frame.kind == "OPEN"
        elif frame.kind in ("CALL", "CALLERROR"):
            self.last.append(frame)
        if frame.kind != "CALL" or frame.direction != FROM_CHARGER:
            return
        payload = frame.payload
        if frame.action == "StatusNotification" and payload["connectorId"] == 1:
            self._new_status(payload)
        elif frame.action == "DataTransfer" and payload.get("messageId") == "VehicleInfo":
            self.vehicle = _object(payload.get("data"))
            self.phase = VEHICLE
        elif frame.action == "StartTransaction":
            self.sample, self.summary, self.rising = Sample(), {}, False
            self._started = _seconds(payload["timestamp"])
            self._meter_start = payload["meterStart"]
            self.phase = CHARGING
        elif frame.action == "MeterValues" and self.sample is not None:
            for value in payload["meterValue"]:
                self._new_sample(value)
        elif frame.action == "DataTransfer" and payload.get("messageId") == "SessionSummary":
            self.summary = _object(payload.get("data"))
            self.phase = COMPLETE

    def _new_status(self, payload: dict[str, Any]) -> None:
        self.status = payload["status"]
        code = payload["errorCode"]
        self.error = None if code == "NoError" else payload.get("vendorErrorCode") or code
        if self.status == "Available":
            self.phase, self.vehicle, self.sample = WAITING, {}, None
        elif self.status == "Preparing" and self.phase == WAITING:
            self.summary = {}

    def _new_sample(self, value: dict[str, Any]) -> None:
        before, sample = self.sample, Sample(seconds=max(0.0, _seconds(value["timestamp"]) - self._started))
        for one in value["sampledValue"]:
            name = _FIELDS.get(one.get("measurand", ""))
            if name:
                setattr(sample, name, float(one["value"]))
        if sample.energy is not None:
            sample.energy -= self._meter_start
        if before is not None and before.soc is not None and sample.soc is not None:
            self.rising = sample.soc > before.soc or (self.rising and sample.soc == before.soc)
        self.sample = sample


def brief_line(frame: Frame, began: float, width: int) -> str:
    """Relative seconds, direction, and what matters of a CALL, cut to `width`."""
    payload = frame.payload
    if frame.kind != "CALL":
        body = f"{payload.get('errorCode')} {payload.get('errorDescription')}" if isinstance(payload, dict) else ""
    elif frame.action == "StatusNotification":
        code = "" if payload["errorCode"] == "NoError" else f" {payload['errorCode']}"
        vendor = f" {payload['vendorErrorCode']}" if "vendorErrorCode" in payload else ""
        info = f" ({payload['info']})" if "info" in payload else ""
        body = f"{payload['connectorId']} {payload['status']}{code}{vendor}{info}"
    elif frame.action == "DataTransfer":
        body = f"{payload.get('messageId')} {payload.get('data')}"
    elif frame.action == "MeterValues":
        samples = payload["meterValue"][0]["sampledValue"]
        body = "  ".join(f"{one['value']} {one.get('unit', 'Wh').replace('Percent', '%')}" for one in samples)
    else:
        body = "  ".join(f"{name}={value}" for name, value in payload.items())
    arrow = "←" if frame.direction == TO_CHARGER else "→"
    line = f"{frame.mono - began:7.1f} {arrow} {frame.action}  {body}"
    return line if len(line) <= width else line[: max(0, width - 1)] + "…"


def wire_line(frame: Frame, began: float) -> str:
    """Relative seconds, direction, action and the whole payload."""
    seconds = f"{frame.mono - began:8.2f} s"
    if frame.kind in ("OPEN", "CLOSE"):
        return f"{seconds}  -  {'connected' if frame.kind == 'OPEN' else 'connection lost'}"
    arrow = "←" if frame.direction == TO_CHARGER else "→"
    body = json.dumps(frame.payload, ensure_ascii=False, separators=(",", ":"))
    name = str(frame.action) if frame.kind == "CALL" else f"{frame.action} {frame.kind.removeprefix('CALL').lower()}"
    return f"{seconds}  {arrow}  {name}  {body}"


def clock(seconds: float) -> str:
    """Minutes and seconds as the quick reference shows them: 1:30."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def _object(data: object) -> dict[str, Any]:
    try:
        values = json.loads(str(data))
    except ValueError:
        return {}
    return values if isinstance(values, dict) else {}


def _seconds(timestamp: str) -> float:
    try:
        return datetime.fromisoformat(timestamp.replace("Z", "+00:00")).timestamp()
    except ValueError:
        return 0.0
