"""Give many boards their settings from one file: `python -m tools.provision FILE`.

The file names each board by its port, or by the serial number of its USB chip (`make provision FILE=...`):

    CSV    serial,ocpp.identity,ocpp.url,wifi.ssid,wifi.password
           0001,CP-0001,wss://central.example/ocpp,depot,...
    JSON   {"common": {"ocpp.url": "..."}, "boards": [{"port": "/dev/ttyUSB0", "ocpp.identity": "CP-0001"}]}
    TOML   [common] and [[boards]] with the same names; [common.ocpp] url = "..." is ocpp.url

Everything is checked against the schema of the firmware before the first board is touched. Other settings of a board
stay; an empty cell of a CSV leaves its setting alone. Secrets go into the chip's NVS and are never shown.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from tools.flash import board as device
from tools.flash.errors import FlashError
from tools.flash.link import Link
from tools.flash.ports import attached, find

ROOT = Path(__file__).resolve().parent.parent
INTERPRETER = ROOT / ".toolchain" / "bin" / "micropython"
_SETTINGS = "/data/settings.json"
_NVS = ROOT / "firmware" / "hal" / "esp32_nvs.py"
# The firmware's own schema judges, in MicroPython: rows of {name: value} in, (values, secrets, problems) of each out.
_JUDGE = """
import json, sys
from charger import settings_table
from charger.settings import Settings
class Log:
    def __init__(self):
        self.lines = []
    def warn(self, tag, text):
        self.lines.append(text.replace(", ignored", "").replace("factory file: ", ""))
    info = error = warn
found = []
for raw in json.loads(sys.stdin.read()):
    values, secrets, problems = {}, {}, []
    for name, value in raw.items():
        try:
            row = settings_table.row(name)
            value = settings_table.check(row, value)
            (secrets if row[5] & settings_table.SECRET else values)[name] = value
        except KeyError:
            problems.append(name + ": there is no such setting")
        except ValueError as exc:
            problems.append(str(exc))
    log = Log()
    Settings(None, log, values)
    found.append((values, secrets, problems + log.lines))
print(json.dumps(found))
"""
_KEEP = """
_s = Secrets()
for _n, _t in _new.items():
    _s.put(_n, _t)
print(all([_s.get(_n) == _t for _n, _t in _new.items()]))
_new = None
"""


class FileError(Exception):
    """The file cannot be used; the text has a line for each reason."""


@dataclass
class Entry:
    """One board of the file. where -- how the file names it; port -- path or id:SERIAL; raw -- as in the file"""

    where: str
    port: str
    raw: dict[str, Any]
    values: dict[str, Any] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    result: str = ""

    @property
    def identity(self) -> str:
        return str(self.values.get("ocpp.identity", ""))


def read(path: Path) -> list[Entry]:
    """The boards of a file, checked. FileError: see there."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as exc:
        raise FileError(f"{path}: {exc}") from None
    try:
        entries = _csv(text) if path.suffix.lower() == ".csv" else _tree(path, text)
    except (ValueError, TypeError, AttributeError, csv.Error) as exc:
        raise FileError(f"{path}: {exc}") from None
    if not entries:
        raise FileError(f"{path}: there is no board in it")
    problems = [f"{entry.where}: needs a port or a serial" for entry in entries if entry.port in ("", "id:")]
    problems += [f"{port} is there {n} times" for port, n in Counter(e.port for e in entries).items() if n > 1 and port]
    problems += _judge(entries)
    names = Counter(entry.identity for entry in entries if entry.identity)
    problems += [f"ocpp.identity {name} is there {n} times" for name, n in names.items() if n > 1]
    if problems:
        raise FileError("\n".join(problems))
    return entries


def _csv(text: str) -> list[Entry]:
    found = []
    reader = csv.DictReader(text.splitlines(), skipinitialspace=True)
    for row in reader:
        if None in row or None in row.values():
            raise ValueError(f"line {reader.line_num}: not as many cells as the first line has names")
        found.append(_entry(f"line {reader.line_num}", {k: v for k, v in row.items() if v != ""}, {}))
    return found


def _tree(path: Path, text: str) -> list[Entry]:
    data = tomllib.loads(text) if path.suffix.lower() == ".toml" else json.loads(text)
    if isinstance(data, list):
        data = {"boards": data}
    unknown = sorted(set(data) - {"common", "boards"})
    if unknown:
        raise ValueError(f"unknown part {', '.join(unknown)}: common and boards are known")
    common = _flat(data.get("common", {}))
    return [_entry(f"board {n}", _flat(board), common) for n, board in enumerate(data.get("boards", []), 1)]


def _entry(where: str, row: dict[str, Any], common: Mapping[str, Any]) -> Entry:
    port, serial = str(row.pop("port", "")), str(row.pop("serial", ""))
    return Entry(where, port or "id:" + serial, {**common, **row})


def _flat(tree: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """{"ocpp": {"url": x}} and {"ocpp.url": x} are the same; "settings" may stand around them."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        name = above + key
        if isinstance(value, Mapping):
            found.update(_flat(value, "" if name == "settings" else name + "."))
        else:
            found[name] = value
    return found


def _judge(entries: list[Entry]) -> list[str]:
    """Give each its values and secrets; return what is wrong."""
    done = subprocess.run(
        [str(INTERPRETER), "-X", "heapsize=8m", "-c", _JUDGE],
        input=json.dumps([entry.raw for entry in entries]),
        env={**os.environ, "MICROPYPATH": f"{ROOT / 'firmware'}:{ROOT / 'lib'}:.frozen"},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise FileError("the schema of the firmware cannot be read: run `make setup`, then `make unit`")
    problems = []
    for entry, (values, secrets, wrong) in zip(entries, json.loads(done.stdout), strict=True):
        entry.values, entry.secrets = values, secrets
        problems += [f"{entry.where}: {text}" for text in wrong]
    return problems


def provision(entry: Entry) -> None:
    """Bring the settings of one board onto it and restart it. FlashError: it did not work."""
    with Link(find(entry.port)) as link:
        link.interrupt()
        who = device.identify(link)
        if who.platform != "esp32":
            raise FlashError(f"This is no board of ours: {who.machine}.", "is it the right port?")
        if not who.running:
            raise FlashError("There is no program on this board.", "make flash BOARD=..., then repeat")
        try:
            if entry.secrets:
                code = f"{_NVS.read_text(encoding='utf-8')}\n_new={entry.secrets!r}\n{_KEEP}"
                if link.run(code).strip() != "True":
                    raise FlashError("The NVS does not keep the secrets.", "repeat; if it stays, replace the board")
            _store(link, entry)
        except OSError as exc:
            raise FlashError(f"The board cannot store its settings ({exc}).", "see whether its flash is full") from None
        link.restart()


def _store(link: Link, entry: Entry) -> None:
    """What the board has, and these; over by one rename. A secret that is still in the file would win at the start."""
    link.run("import os\ntry: os.mkdir('/data')\nexcept OSError: pass")
    try:
        stored = json.loads(link.run(f"with open({_SETTINGS!r}) as f: print(f.read())"))
        stored = stored if isinstance(stored, dict) else {}
    except (OSError, ValueError):
        stored = {}  # none yet, or damaged
    wanted = {name: value for name, value in {**stored, **entry.values}.items() if name not in entry.secrets}
    link.write(_SETTINGS + ".tmp", json.dumps(wanted).encode())
    if json.loads(link.run(f"with open({_SETTINGS + '.tmp'!r}) as f: print(f.read())")) != wanted:
        raise FlashError("The board reads something else than was written.", "repeat; if it stays, replace the board")
    link.run(f"import os\nos.rename({_SETTINGS + '.tmp'!r},{_SETTINGS!r})")


def _report(entries: list[Entry], console: Console, path: Path | None) -> None:
    table = Table(box=None, pad_edge=False)
    for title in ("board", "identity", "settings", "secrets", "result"):
        table.add_column(title)
    for e in entries:
        style = "" if e.result == "done" else "red"
        cells = (e.port, e.identity or "-", str(len(e.values)), f"{len(e.secrets)} (set)" if e.secrets else "-")
        table.add_row(*map(escape, cells), escape(e.result), style=style)
    console.print(table)
    if path is not None:
        rows = [
            {
                "port": e.port,
                "identity": e.identity,
                "settings": e.values,
                "secrets": sorted(e.secrets),
                "result": e.result,
            }
            for e in entries
        ]
        path.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def run(path: Path, console: Console, dry: bool, report: Path | None) -> int:
    """Return the exit status."""
    try:
        entries = read(path)
    except FileError as exc:
        console.print(f"[red]{escape(str(exc))}[/red]\nNext: correct the file; no board was touched.", soft_wrap=True)
        return 1
    console.print(f"{path.name}: {len(entries)} boards, all settings are right")
    if dry:
        return 0
    bar = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*bar, console=console, transient=True) as progress:
        task = progress.add_task("boards", total=len(entries))
        for entry in entries:
            progress.update(task, description=entry.port)
            try:
                provision(entry)
                entry.result = "done"
            except FlashError as exc:
                entry.result = str(exc).replace("\n", " ")
            progress.advance(task)
    _report(entries, console, report)
    failed = [entry for entry in entries if entry.result != "done"]
    console.print(f"{len(entries) - len(failed)} done, {len(failed)} failed")
    return 1 if failed else 0


def main() -> int:
    """Return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.provision",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", type=Path, nargs="?", help="CSV, JSON or TOML")
    parser.add_argument("--check", action="store_true", help="only look whether the file is right")
    parser.add_argument("--report", type=Path, help="write what was done as JSON, without the secrets")
    parser.add_argument("--list", action="store_true", help="show the attached boards with their serial numbers")
    options = parser.parse_args()
    console = Console(highlight=False)
    if options.list:
        for port in attached():
            console.print(str(port), soft_wrap=True)
        return 0
    if options.file is None:
        parser.error("name the file (--help shows its form)")
    return run(options.file, console, options.check, options.report)


if __name__ == "__main__":
    sys.exit(main())
