"""Two transcripts of a charge point, side by side: what it said otherwise. Pure.

Left aside are times, message ids, Heartbeats and repeats of a message. Numbers may differ by 5 % and 1: they depend on
the moment of a sample. MeterValues are compared among themselves, as they may come before or after others.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

from tools.csms.frames import FROM_CHARGER, TO_CHARGER, Frame

RELATIVE, ABSOLUTE = 0.05, 1.0
_TIMES = ("timestamp", "currentTime")
_METER = ("meterStart", "meterStop")


@dataclass(frozen=True)
class Said:
    """One thing a charge point said: a CALL or an answer, with its short name."""

    label: str
    payload: Any


def said(frames: Iterable[Frame]) -> list[Said]:
    """What the charge point said, in order."""
    found = []
    seen: set[str | None] = set()
    for frame in frames:
        if frame.direction != FROM_CHARGER or frame.action == "Heartbeat":
            continue
        if frame.kind == "CALL" and frame.uid not in seen:
            seen.add(frame.uid)
            found.append(Said(_label(frame.action, frame.payload), frame.payload))
        elif frame.kind in ("CALLRESULT", "CALLERROR"):
            found.append(Said(f"answer to {frame.action or 'an unknown CALL'}", frame.payload))
    return found


def asked(frames: Iterable[Frame]) -> list[Frame]:
    """The CALLs of the central system."""
    return [frame for frame in frames if frame.direction == TO_CHARGER and frame.kind == "CALL"]


def differences(recorded: Iterable[Frame], replayed: Iterable[Frame], values: bool = True) -> list[str]:
    """Sentences about what the second transcript has otherwise. values False: MeterValues do not count."""
    old, new = said(recorded), said(replayed)
    found = _aligned([one for one in old if not _is_meter(one)], [one for one in new if not _is_meter(one)])
    if values:
        found += _meters([one for one in old if _is_meter(one)], [one for one in new if _is_meter(one)])
    return found


def _aligned(old: Sequence[Said], new: Sequence[Said]) -> list[str]:
    found = []
    matcher = SequenceMatcher(None, [one.label for one in old], [one.label for one in new], autojunk=False)
    for _, old_from, old_to, new_from, new_to in matcher.get_opcodes():
        pairs = min(old_to - old_from, new_to - new_from)
        if [one.label for one in old[old_from:old_to]] != [one.label for one in new[new_from:new_to]]:
            pairs = 0
        for n in range(pairs):
            a, b = old[old_from + n], new[new_from + n]
            found += [f"{old_from + n + 1}. {a.label}: {text}" for text in unlike(a.payload, b.payload)]
        found += [f"{n + 1}. {old[n].label} is missing: {_short(old[n])}" for n in range(old_from + pairs, old_to)]
        found += [f"not in the recording: {new[n].label} {_short(new[n])}" for n in range(new_from + pairs, new_to)]
    return found


def _meters(old: Sequence[Said], new: Sequence[Said]) -> list[str]:
    found = []
    for label in sorted({one.label for one in (*old, *new)}):
        a, b = ([one for one in side if one.label == label] for side in (old, new))
        if abs(len(a) - len(b)) > 1:  # one more or less may lie behind the end
            found.append(f"{label}: {len(b)} instead of {len(a)}")
        for n, (left, right) in enumerate(zip(a, b, strict=False), 1):
            found += [f"{label} {n}: {text}" for text in unlike(left.payload, right.payload)]
    return found


def unlike(old: Any, new: Any, where: str = "") -> list[str]:
    """Sentences about where two payloads differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        found = []
        for key in [*old, *(key for key in new if key not in old)]:
            path = f"{where}.{key}" if where else key
            if key in _TIMES:
                continue
            if key not in new:
                found.append(f"{path} is missing, it was {old[key]!r}")
            elif key not in old:
                found.append(f"{path} is {new[key]!r}, it was not there")
            else:
                found += unlike(old[key], new[key], path)
        return found
    if isinstance(old, list) and isinstance(new, list):
        if len(old) != len(new):
            return [f"{where} has {len(new)} entries instead of {len(old)}"]
        return [text for n, (a, b) in enumerate(zip(old, new, strict=True)) for text in unlike(a, b, f"{where}[{n}]")]
    if old == new or _is_near(old, new, where):
        return []
    inner, other = _object(old), _object(new)
    if inner is not None and other is not None:  # the data of a vendor message
        return unlike(inner, other, where)
    return [f"{where} is {new!r} instead of {old!r}"]


def _is_near(old: Any, new: Any, where: str) -> bool:
    """Numbers, as they depend on a moment; whole ones are ids and counts, but for those of the meter."""
    if isinstance(old, bool) or isinstance(new, bool) or (isinstance(old, int) and not where.startswith(_METER)):
        return False
    try:
        a, b = float(old), float(new)
    except (TypeError, ValueError):
        return False
    return abs(a - b) <= RELATIVE * max(abs(a), abs(b)) + ABSOLUTE


def _object(value: Any) -> Any:
    try:
        found = json.loads(value)
    except (TypeError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _is_meter(one: Said) -> bool:
    return one.label.startswith("MeterValues")


def _label(action: str | None, payload: Any) -> str:
    detail = ""
    if action == "StatusNotification":
        detail = f"(connector {payload.get('connectorId')})"
    elif action == "DataTransfer":
        detail = f"({payload.get('messageId')})"
    elif action == "MeterValues":
        detail = f"({payload['meterValue'][0]['sampledValue'][0].get('context')})"
    return f"{action}{detail}"


def _short(one: Said) -> str:
    text = json.dumps(one.payload)
    return text if len(text) < 120 else text[:117] + "..."
