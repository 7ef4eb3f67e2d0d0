"""Transcripts as text: lines made from frames, what varies between two runs, and the blocks of a README. Pure.

A block is a sequence of lines between two fences behind `<!-- wire: NAME -->`:

    → Action {...}     a CALL of the charge point: action and payload as sent
    → (again) ...      the same CALL once more, to the byte and with its message id
    → {...}            its answer to the CALL before
    ←                  all of these from the central system
    - ...              what happens beside the wire
    …                  more of the same MeterValues

Long lines go on indented by four characters. In MeterValues whose samples were shown before, all but their context is
left out.
"""

import re
from collections.abc import Iterable, Mapping
from difflib import unified_diff

from tools.csms.frames import FROM_CHARGER, Frame

MORE = "…"
_WIDTH = 116
_INDENT = "    "
_SPACE = re.compile(r'("(?:\\.|[^"\\])*")|\s+')  # what means nothing in JSON; strings stay
_SAMPLES = re.compile(r'"meterValue":\[.*"context":"([A-Za-z.]+)".*\]')
_ADDRESS = re.compile(r"127\.0\.0\.1:\d+")
_BLOCK = re.compile(r"(?P<head><!-- wire: (?P<name>[a-z-]+) -->\n```text\n)(?P<body>.*?)(?P<tail>```\n)", re.DOTALL)
_DATE = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d"
_MEASURED = "voltage|current|temperature|finalSoc|energyDelivered|durationMinutes"
# What varies between two runs: its digits become zeros, its format stays.
_VOLATILE = re.compile(
    rf'"{_DATE}(?:\.\d+)?Z"'  # every date-time
    r"|_\d{8}T\d{6}Z"  # the one in the name of a file
    r'|(?<="value":")-?\d+(?:\.\d+)?(?=")'  # sampled values
    rf'|(?<=\\")(?:{_MEASURED})\\":-?\d+(?:\.\d+)?'  # those in the two vendor messages
    r'|(?<="meterStop":)\d+|(?<="transactionId":)-?\d+'
    r'|(?P<version>(?<="firmwareVersion":")[^"]+)'
)


def line_of(frame: Frame, seen: dict[str, str]) -> str:
    """One frame as one line. seen -- message id -> text of the CALLs so far; this one is added"""
    arrow = "→" if frame.direction == FROM_CHARGER else "←"
    if frame.kind == "OPEN":
        return f"- connected as /{frame.identity}, subprotocol {frame.payload['subprotocol']}"
    if frame.kind == "CLOSE":
        return "- the connection is lost"
    payload = frame.text.split(",", 3 if frame.kind == "CALL" else 2)[-1][:-1]
    payload = _ADDRESS.sub("files.example", _SPACE.sub(r"\1", payload))
    if frame.kind != "CALL":
        return f"{arrow} {'CALLERROR ' if frame.kind == 'CALLERROR' else ''}{payload}"
    again = "(again) " if seen.get(str(frame.uid)) == frame.text else ""
    seen[str(frame.uid)] = frame.text
    return f"{arrow} {again}{frame.action} {payload}"


def shorten(lines: Iterable[str]) -> list[str]:
    """Of periodic MeterValues that follow each other, with their answers, only the first; then "…"."""
    lines, short = list(lines), list[str]()
    at = 0
    while at < len(lines):
        pair = lines[at : at + 2]
        if _periodic(pair) and [masked(line) for line in pair] == [masked(line) for line in _last(short)]:
            if short[-1] != MORE:
                short.append(MORE)
            at += 2
        else:
            short.append(lines[at])
            at += 1
    return short


def _periodic(pair: list[str]) -> bool:
    return pair[0].startswith("→ MeterValues") and "Sample.Periodic" in pair[0] and len(pair) == 2


def _last(lines: list[str]) -> list[str]:
    return (lines[:-1] if lines and lines[-1] == MORE else lines)[-2:]


def brief(blocks: Iterable[list[str]]) -> None:
    """Leave out, in place, what was shown before of MeterValues: all of a sample but its context."""
    shown: set[str] = set()
    for lines in blocks:
        for number, line in enumerate(lines):
            if line.startswith("→ MeterValues"):
                if masked(line) in shown:
                    lines[number] = _SAMPLES.sub(r'"meterValue":[… \1 …]', line)
                shown.add(masked(line))


def masked(line: str) -> str:
    """The line without what varies: digits of times, measured values and transaction ids are zeros."""
    return _VOLATILE.sub(_zeros, line)


def _zeros(found: re.Match[str]) -> str:
    """Of a date every digit, of a number its decimals; the digits before them become one."""
    text = found[0]
    if found["version"]:
        return "0"
    if "Z" in text:
        return re.sub(r"\d", "0", text)
    whole, point, decimals = re.sub(r"-?\d+(?=\.|$)", "0", text, count=1).partition(".")
    return whole + point + "0" * len(decimals) if point else whole


def same(one: Iterable[str], other: Iterable[str]) -> bool:
    """Do two blocks tell the same, apart from what varies?"""
    return _comparable(one) == _comparable(other)


def difference(readme: Iterable[str], wire: Iterable[str]) -> str:
    """What differs, for people; empty: nothing."""
    return "\n".join(unified_diff(_comparable(readme), _comparable(wire), "README", "wire", lineterm="", n=1))


def _comparable(lines: Iterable[str]) -> list[str]:
    return [masked(line) for line in lines if line != MORE]


# Blocks of a README


def blocks(text: str) -> dict[str, list[str]]:
    """The blocks by name, long lines whole again. Raises ValueError when a name comes twice."""
    found: dict[str, list[str]] = {}
    for block in _BLOCK.finditer(text):
        if block["name"] in found:
            raise ValueError(f"two blocks {block['name']}")
        found[block["name"]] = block["body"].replace(f"\n{_INDENT}", "").splitlines()
    return found


def renewed(text: str, played: Mapping[str, list[str]]) -> str:
    """The text with new blocks in the place of those that do not tell the same any more. Raises KeyError when one has
    not been played."""

    def renew(block: re.Match[str]) -> str:
        before = block["body"].replace(f"\n{_INDENT}", "").splitlines()
        lines = played[block["name"]]
        if same(before, lines):
            return block[0]
        return block["head"] + "".join(f"{fold(line)}\n" for line in lines) + block["tail"]

    return _BLOCK.sub(renew, text)


def fold(line: str) -> str:
    """A line cut where JSON allows it, so that it fits a page; each sampled value begins one."""
    if len(line) <= _WIDTH:
        return line
    folded = [""]
    for part in re.split(r'(?<=[,\[])(?=\{"measurand":)', line):
        for number, piece in enumerate(re.findall(r'(?:"(?:\\.|[^"\\])*"|[^,"])+,?|,', part)):
            if folded[-1] and (number == 0 or len(folded[-1]) + len(piece) > _WIDTH - len(_INDENT)):
                folded.append(piece)
            else:
                folded[-1] += piece
    return f"\n{_INDENT}".join(folded)
