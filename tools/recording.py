"""A recorded session as files: a CAN log (candump -L) and a transcript of tools/csms, sorted for playing it back."""

from collections import defaultdict, deque
from dataclasses import dataclass, field
from pathlib import Path

import can
from can.io import CanutilsLogReader

from tools.csms import Frame
from tools.sim import frames as dbc
from tools.transcript import load

_ANSWER_S = 0.25  # an answer on a bus comes within this
_SWITCH = 0x32  # function of the module's control group: output on or off

# What the charger sends, and the id of the answer it gets (None: none)
_REQUESTS = {
    dbc.CONTROL_REQUEST.frame_id: dbc.CONTROL_RESPONSE.frame_id,
    dbc.TELEMETRY_REQUEST.frame_id: dbc.TELEMETRY_RESPONSE.frame_id,
    dbc.CHARGE_AH_REQUEST.frame_id: dbc.CHARGE_AH_RESPONSE.frame_id,
    dbc.DISCHARGE_AH_REQUEST.frame_id: dbc.DISCHARGE_AH_RESPONSE.frame_id,
    dbc.SOC_REQUEST.frame_id: dbc.SOC_RESPONSE.frame_id,
    dbc.TEMPERATURE_REQUEST.frame_id: dbc.TEMPERATURE_RESPONSE.frame_id,
}
_WITH_FUNCTION = (dbc.CONTROL_REQUEST.frame_id, dbc.TELEMETRY_REQUEST.frame_id)


class BadRecordingError(Exception):
    """The recording cannot be played; the text says why."""


def is_from_charger(channel: str, frame: can.Message) -> bool:
    """Did the charger send it? Its status and the module's heartbeat have one id, on different buses."""
    if frame.arbitration_id == dbc.CHARGER_STATUS.frame_id:
        return channel.startswith("bms")
    return frame.arbitration_id in _REQUESTS


def switched(frame: can.Message) -> bool | None:
    """True: a command to switch the output on; False: off; None: another frame."""
    if frame.arbitration_id != dbc.CONTROL_REQUEST.frame_id or len(frame.data) < 4 or frame.data[1] != _SWITCH:
        return None
    return frame.data[3] == 0


@dataclass
class Bus:
    """One recorded bus: what was sent unasked, the answers by request, and when the output was switched."""

    unasked: list[tuple[float, can.Message]] = field(default_factory=list)
    answers: dict[tuple[int, bytes], deque[tuple[float, can.Message]]] = field(
        default_factory=lambda: defaultdict(deque)
    )
    last: dict[tuple[int, bytes], tuple[float, can.Message]] = field(default_factory=dict)
    edges: list[tuple[float, bool]] = field(default_factory=list)

    def take(self, channel: str, messages: list[can.Message]) -> None:
        """Sort the frames of the recording."""
        open_ones: dict[int, deque[can.Message]] = defaultdict(deque)
        for frame in messages:
            if is_from_charger(channel, frame):
                answer = _REQUESTS.get(frame.arbitration_id)
                if answer is not None:
                    open_ones[answer].append(frame)
                on = switched(frame)
                if on is not None and (not self.edges or self.edges[-1][1] != on):
                    self.edges.append((frame.timestamp, on))
                continue
            waiting = open_ones.get(frame.arbitration_id)
            if waiting is None:
                self.unasked.append((frame.timestamp, frame))
                continue
            for request in list(waiting):
                delay = frame.timestamp - request.timestamp
                if delay > _ANSWER_S:
                    waiting.remove(request)
                elif request.arbitration_id not in _WITH_FUNCTION or request.data[1] == frame.data[1]:
                    waiting.remove(request)
                    self.answers[_key(request)].append((delay, frame))
                    self.last[_short_key(request)] = (delay, frame)
                    break

    def answer(self, request: can.Message) -> tuple[float, can.Message] | None:
        """(seconds, frame): what this request gets. One that was not recorded gets what others of its kind got, with
        its own value."""
        queue = self.answers.get(_key(request))
        if queue:
            return queue.popleft() if len(queue) > 1 else queue[0]
        found = self.last.get(_short_key(request))
        if found is None or request.arbitration_id != dbc.CONTROL_REQUEST.frame_id:
            return found
        delay, frame = found
        data = bytes(frame.data[:2]) + bytes(request.data[2:])
        return delay, can.Message(arbitration_id=frame.arbitration_id, is_extended_id=True, data=data)


def _key(frame: can.Message) -> tuple[int, bytes]:
    return frame.arbitration_id, bytes(frame.data)


def _short_key(frame: can.Message) -> tuple[int, bytes]:
    return frame.arbitration_id, bytes(frame.data[:2]) if frame.arbitration_id in _WITH_FUNCTION else b""


@dataclass
class Recording:
    """What is played. `buses` by name (pm1, bms1, ...); `frames` of one charge point, up to the end of its session."""

    buses: dict[str, Bus]
    frames: list[Frame]
    identity: str
    opened: float  # Unix time of its first connection

    @property
    def connectors(self) -> int:
        return max(int(name.lstrip("pmbs")) for name in self.buses)


def read(can_log: Path, wire: Path, names: dict[str, str]) -> Recording:
    """A recording from its files. Raises BadRecordingError."""
    by_bus: dict[str, list[can.Message]] = defaultdict(list)
    try:
        with CanutilsLogReader(can_log) as reader:
            for frame in reader:
                by_bus[names.get(str(frame.channel), str(frame.channel))].append(frame)
    except (OSError, ValueError) as error:
        raise BadRecordingError(f"{can_log}: not a candump -L log: {error}") from None
    for name in by_bus:
        if not (name.startswith(("pm", "bms")) and name.lstrip("pmbs").isdigit()):
            raise BadRecordingError(f"{can_log}: bus {name}: which is it? Say --bus {name}=pm1 (module) or {name}=bms1")
    if not by_bus:
        raise BadRecordingError(f"{can_log}: there are no frames in it")
    try:
        frames = load(wire)
    except (OSError, ValueError, TypeError) as error:
        raise BadRecordingError(f"{wire}: not a transcript of tools/csms (--record): {error}") from None
    opened = next((frame for frame in frames if frame.kind == "OPEN"), None)
    if opened is None:
        raise BadRecordingError(f"{wire}: no charge point connects in it")
    frames = [frame for frame in frames if frame.identity == opened.identity]
    buses = {}
    for name, messages in by_bus.items():
        buses[name] = Bus()
        buses[name].take(name, messages)
    for number in range(1, Recording(buses, frames, "", 0).connectors + 1):
        for kind in ("pm", "bms"):
            buses.setdefault(f"{kind}{number}", Bus())
    return Recording(buses, frames, opened.identity, opened.wall)
