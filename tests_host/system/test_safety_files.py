"""Garbage on the command line and in every file: one clear sentence, or a start with what is good."""

import asyncio
import json
import random
import struct
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests_host.system.rig import Rig, system_test
from tests_host.system.safety_steps import all_at_once, assert_lawful, charge, in_batches
from tools.demo.firmware import ROOT

_PROGRAM = ROOT / ".toolchain" / "bin" / "micropython"
_NOISE = random.Random(1).randbytes(700)
_SIM = {"board": {"sim": "127.0.0.1:21000"}}
_GOOD = ("--board", "sim", "--data", "DATA")
_WRONG_USAGE = 2


@dataclass(frozen=True)
class Line:
    """Arguments ("DATA", "FILE" and "FOLDER" stand for paths), what FILE holds, and a part of the sentence."""

    name: str
    arguments: tuple[str, ...]
    says: str
    file: bytes | None = None

    @classmethod
    def factory(cls, name: str, content: bytes | dict[str, Any] | list[Any], says: str) -> "Line":
        """A good command line with this factory file."""
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        return cls(f"factory-{name}", (*_GOOD, "--factory", "FILE"), says, data)


LINES = (
    Line("nothing", (), "--board is missing"),
    Line("no-data", ("--board", "sim"), "--data is missing"),
    Line("unknown-option", (*_GOOD, "--fast"), "unknown argument --fast"),
    Line("unknown-word", (*_GOOD, "now"), "unknown argument now"),
    Line("single-dash", ("-board", "sim", "--data", "DATA"), "unknown argument -board"),
    Line("value-missing", ("--board", "sim", "--data"), "--data needs a value"),
    Line("value-is-option", ("--board", "--data", "DATA"), "--board needs a value"),
    Line("value-empty", ("--board=", "--data", "DATA"), "--board needs a value"),
    Line("twice", (*_GOOD, "--data", "DATA"), "--data is given twice"),
    Line("no-such-board", ("--board", "mars", "--data", "DATA"), "there is no board mars"),
    Line("board-elsewhere", ("--board", "../boards/sim", "--data", "DATA"), "--board is a name"),
    Line("board-of-device", ("--board", "rivot_dcfc", "--data", "DATA"), "rivot_dcfc"),
    Line("on-reset", (*_GOOD, "--on-reset", "maybe"), "--on-reset is exit or restart"),
    Line("no-simulator", _GOOD, '"sim" must be'),
    Line("factory-missing", (*_GOOD, "--factory", "FILE"), "cannot read the factory file"),
    Line("factory-is-folder", (*_GOOD, "--factory", "FOLDER"), "cannot read the factory file"),
    Line.factory("empty", b"", "is not whole JSON"),
    Line.factory("noise", _NOISE, "is not whole JSON"),
    Line.factory("cut", json.dumps(_SIM).encode()[:-1], "is not whole JSON"),
    Line.factory("two-objects", b"{}{}", "is not whole JSON"),
    Line.factory("huge", b"[" + b" " * 1_000_000 + b"]", "is not whole JSON"),
    Line.factory("deep", b"[" * 4000 + b"]" * 4000, "must hold one JSON object"),
    Line.factory("list", [1], "must hold one JSON object"),
    Line.factory("number", b"7", "is not whole JSON"),
    Line.factory("unknown-part", {**_SIM, "colour": {}}, "unknown part colour"),
    Line.factory("wrong-part", {"board": []}, "must be an object"),
    Line.factory("wrong-settings", {**_SIM, "settings": 5}, "must be an object"),
    Line.factory("wrong-ocpp", {**_SIM, "ocpp": None}, "must be an object"),
    Line.factory("board-key", {"board": {**_SIM["board"], "wings": 2}}, "unknown key wings"),
    Line.factory("board-number", {"board": {**_SIM["board"], "connectors": 0}}, "connectors must be"),
    Line.factory("board-type", {"board": {**_SIM["board"], "connectors": "2"}}, "connectors must be"),
    Line.factory("board-bool", {"board": {**_SIM["board"], "lock": 1}}, "lock must be true or false"),
    Line.factory("board-port", {"board": {"sim": "127.0.0.1:port"}}, '"sim" must be'),
    Line.factory("board-sim-type", {"board": {"sim": 21000}}, '"sim" must be'),
)


def listing(folder: Path) -> list[Path]:
    """What lies in it."""
    return sorted(folder.rglob("*"))


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.name)
@system_test
async def test_command_line(tmp_path: Path, line: Line) -> None:
    """Status 2, one sentence on stderr, and nothing is done: no folder, no file."""
    paths = {"DATA": tmp_path / "data", "FILE": tmp_path / "factory.json", "FOLDER": tmp_path}
    if line.file is not None:
        paths["FILE"].write_bytes(line.file)
    before = listing(tmp_path)
    arguments = [str(paths.get(word, word)) for word in line.arguments]
    process = await asyncio.create_subprocess_exec(
        _PROGRAM,
        ROOT / "firmware" / "main.py",
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 10)
    said = err.decode()
    assert process.returncode == _WRONG_USAGE, said
    assert out == b""
    assert said.count("\n") == 1 and said.startswith("main.py: ") and line.says in said, said
    assert listing(tmp_path) == before


@dataclass(frozen=True)
class Files:
    """What lies in the data folder before the start, and what comes of it.

    files: by name; None: a folder. says: part of the log. serial: the serial number in use. quarantined: how many files
    are put aside (None: not known). presets: of the factory file.
    """

    name: str
    files: dict[str, bytes | None]
    says: str | None = None
    serial: str = "SIM-0001"
    quarantined: int | None = 0
    presets: dict[str, Any] = field(default_factory=dict)


def frame(kind: int, number: int, data: bytes, tag: int = 0) -> bytes:
    """One frame of the journal, see lib/journal_open.py."""
    frame = struct.pack("<BBHII", 0xA7, kind, len(data), number, tag) + data
    return frame + struct.pack("<I", zlib.crc32(frame))


def segment(*frames: bytes, number: int = 1) -> dict[str, bytes | None]:
    """A file of the OCPP store with a right header."""
    return {log(number): frame(4, number, struct.pack("<III", 500, 0, 0), 1) + b"".join(frames)}


def log(number: int) -> str:
    """Name of a segment."""
    return f"ocpp/log-{number:08d}"


def value(name: str, content: Any, number: int = 1) -> bytes:
    """Frame of a named value with a right checksum."""
    return frame(
        3, number, f"{name} ".encode() + (content if isinstance(content, bytes) else json.dumps(content).encode())
    )


_SERIAL = {"ocpp.serial_number": "STORED-1"}
_LAST_GOOD = json.dumps({"ocpp.serial_number": "GOOD-1"}).encode()
_NO_CALLS = (
    b"",
    b"{}",
    b"\n",
    b"\xff{",
    b"1a-1 StartTransaction 1\n{}",
    b"a StartTransaction x 1\n{}",
    b"a b c d e f\n{}",
)
_CALL = frame(1, 7, b"1a-1 MeterValues 1 0\n{}")


def settings(
    name: str, content: Any, says: str | None = "ignored", serial: str = "SIM-0001", good: bool = False
) -> Files:
    """A settings file, and perhaps what the last start could read."""
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    files: dict[str, bytes | None] = {"settings.json": data}
    if good:
        files["settings.good.json"] = _LAST_GOOD
    return Files(f"settings-{name}", files, says, serial)


SETTINGS = (
    settings("good", _SERIAL, None, "STORED-1"),
    settings("noise", _NOISE),
    settings("empty", b""),
    settings("cut", json.dumps(_SERIAL).encode()[:-2]),
    settings("huge", b'{"a": "' + b"x" * 300_000 + b'"}'),
    settings("list", [1, 2]),
    settings("unknown-keys", {**_SERIAL, **{f"no.such.{i}": i for i in range(100)}}, "unknown setting", "STORED-1"),
    settings(
        "wrong-types",
        {
            **_SERIAL,
            "ocpp.url": 5,
            "power.max_ma": "90",
            "power.max_w": True,
            "meter.register": [],
            "power.over_mv": None,
        },
        "ignored",
        "STORED-1",
    ),
    settings("out-of-range", {**_SERIAL, "power.window_low_mv": 1, "power.stop_dc": 10**12}, "ignored", "STORED-1"),
    settings("contradiction", {**_SERIAL, "power.derate_dc": 800, "power.stop_dc": 700}, "ignored", "STORED-1"),
    settings("strange-keys", {**_SERIAL, "": 1, ";": 2, "\n": 3, "ocpp.url;text": "x"}, "ignored", "STORED-1"),
    settings("noise-after-good", _NOISE, "using settings.good.json", "GOOD-1", good=True),
    settings("cut-after-good", b'{"ocpp.serial_number": "STO', "using settings.good.json", "GOOD-1", good=True),
    Files("settings-both-noise", {"settings.json": _NOISE, "settings.good.json": _NOISE[::-1]}, "ignored"),
    Files("settings-is-folder", {"settings.json": None}),
    Files("presets-wrong", {}, "ignored", presets={"settings": {"power.max_mv": "high", "no.such": 1}}),
    Files("presets-ocpp-wrong", {}, presets={"ocpp": {"HeartbeatInterval": "often", "NoSuchKey": "1"}}),
)

STORES = (
    Files("log-noise", {log(1): _NOISE}, quarantined=1),
    Files("log-empty", {log(1): b""}),
    Files("log-is-folder", {log(2): None}, quarantined=1),
    Files("log-many", {log(i): _NOISE for i in range(1, 200)}, quarantined=2),
    Files(
        "log-copied",
        {log(1): segment(value("boot", 7))[log(1)], log(9): segment(value("boot", 7))[log(1)]},
        quarantined=1,
    ),
    Files("log-cut", {name: data[:-3] for name, data in segment(value("boot", 7), _CALL).items() if data}),
    Files("log-hurt", segment(_NOISE[:40], value("boot", 7, 9)), quarantined=1),
    Files("record-shapes", segment(*(frame(1, i + 1, data) for i, data in enumerate(_NO_CALLS)))),
    Files("record-kinds", segment(*(frame(kind, kind, b"x y") for kind in range(8))), quarantined=1),
    Files(
        "names", {"ocpp/log-": b"x", "ocpp/log-1": b"x", "ocpp/zzz": b"x", "ocpp/log-00000009.tmp": b"x", "ocpp/-": b""}
    ),
    *(
        Files(f"value-{name}-noise", segment(value(name, _NOISE[:200])))
        for name in ("boot", "config", "tx1", "txids", "txkey", "resumed")
    ),
    *(
        Files(f"value-{name}-shapes-{i}", segment(value(name, content)))
        for name, contents in {
            "boot": ("x", [], {}),
            "config": ([1], 5, {"HeartbeatInterval": 5, "NoSuchKey": [], "MeterValueSampleInterval": "x"}),
            "tx1": (5, [1], [None] * 12, {"id": 1}),
            "txids": (5, {"a": 1}, [1, 2], [[1]]),
            "txkey": ("x", [], -5),
        }.items()
        for i, content in enumerate(contents)
    ),
    Files("meter-noise", {"meter1.json": _NOISE}, "meter1.json"),
    Files("meter-shape", {"meter1.json": b'{"a": 1}'}, "meter1.json"),
    Files("unique-id-noise", {"unique_id": _NOISE}),
    Files("reset-cause-noise", {"reset_cause": _NOISE}),
    Files("reset-cause-folder", {"reset_cause": None}),
)


async def start(tmp_path: Path, case: Files) -> None:
    """It starts, says what it left out, uses what is good, and charges."""
    data = tmp_path / "data"
    for name, content in case.files.items():
        path = data / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            path.mkdir()
        else:
            path.write_bytes(content)
    async with Rig(tmp_path, **case.presets) as rig:
        boot = await rig.wait_call("BootNotification")
        assert boot.payload["chargePointSerialNumber"] == case.serial
        if case.says is not None:
            await rig.wait_line(case.says)
        await charge(rig, 0.5)
        await rig.stop_session()
        await rig.unplug()
        assert case.quarantined in (None, len(list(data.glob("ocpp/bad-*"))))
        rig.assert_count("StartTransaction", 1)
        await assert_lawful(rig)
        rig.assert_schemas()
    assert not [line for line in rig.firmware.lines if "Traceback" in line]


@in_batches(SETTINGS, 17)
@system_test
async def test_settings(tmp_path: Path, batch: tuple[Files, ...]) -> None:
    """Stored settings and presets: value by value what is right, else what was right last time, else the default."""
    await all_at_once(tmp_path, batch, start)


@in_batches(STORES, 16)
@system_test
async def test_store(tmp_path: Path, batch: tuple[Files, ...]) -> None:
    """Stored messages and values: what is damaged is put aside, and blocks nothing."""
    await all_at_once(tmp_path, batch, start)
