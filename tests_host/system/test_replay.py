"""tools/replay.py: a session that was recorded is played back; the same firmware says the same, and an altered
recording is told from it."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from tests_host.system.rig import IDENTITY, system_test
from tests_host.system.steps import QUICK_OCPP, QUICK_SETTINGS, QuickRig, begin, finish
from tools.demo.firmware import OCPP, ROOT, SETTINGS

_PRESETS = {"settings": SETTINGS | QUICK_SETTINGS, "ocpp": OCPP | QUICK_OCPP}


async def _record(path: Path) -> tuple[Path, Path, Path]:
    """A session with a tag at the reader: CAN log, transcript, presets."""
    can_log, wire, presets = path / "bus.log", path / "wire.jsonl", path / "presets.json"
    async with QuickRig(path, IDENTITY, sim_options=("--log", str(can_log))) as rig:
        await rig.call("GetConfiguration", {"key": ["NumberOfConnectors"]})
        await finish(rig, await begin(rig))
        frames = rig.frames()
    wire.write_text("".join(json.dumps(frame.to_dict()) + "\n" for frame in frames))
    presets.write_text(json.dumps(_PRESETS))
    return can_log, wire, presets


async def _replay(can_log: Path, wire: Path, presets: Path, *more: str) -> tuple[int | None, str]:
    """Exit status and output of the program."""
    program = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tools.replay", "--can", str(can_log), "--ocpp", str(wire), "--factory", str(presets),
        *more, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await program.communicate()
    return program.returncode, output.decode()


def _altered_wire(wire: Path, new: Path) -> Path:
    """The recording says that the session had another reason, and that a message came which does not."""
    lines = []
    for line in wire.read_text().splitlines():
        frame: dict[str, Any] = json.loads(line)
        if frame["kind"] == "CALL" and frame["action"] == "StopTransaction":
            frame["payload"]["reason"] = "EmergencyStop"
        lines.append(json.dumps(frame))
    new.write_text("\n".join(lines) + "\n")
    return new


def _altered_bus(can_log: Path, new: Path) -> Path:
    """In the recording the vehicle forbids from the start."""
    lines = can_log.read_text().splitlines()
    for n, line in enumerate(lines):
        head, mark, data = line.partition("1806E5F4#")
        if mark:
            lines[n] = head + mark + data[:8] + "01" + data[10:]
    new.write_text("\n".join(lines) + "\n")
    return new


@system_test
async def test_a_recorded_session(tmp_path: Path) -> None:
    can_log, wire, presets = await _record(tmp_path)
    same, said_otherwise, acts_otherwise = await asyncio.gather(
        _replay(can_log, wire, presets),
        _replay(can_log, _altered_wire(wire, tmp_path / "altered.jsonl"), presets, "--quiet"),
        _replay(_altered_bus(can_log, tmp_path / "altered.log"), wire, presets, "--quiet", "--patience", "2"),
    )
    assert same[0] == 0 and "no differences" in same[1], same[1]
    assert " of " in same[1], "progress"
    status, text = said_otherwise
    assert status == 1 and "StopTransaction: reason is 'Remote' instead of 'EmergencyStop'" in text, text
    assert text.strip().endswith("1 differences"), text
    status, text = acts_otherwise
    assert status == 1 and "the output is not switched on within 2 s" in text, text
