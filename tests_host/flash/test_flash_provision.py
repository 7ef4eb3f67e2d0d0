"""Many boards from one file: the schema of the firmware judges, the boards keep it, no secret is shown."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests_host.conftest import ROOT
from tests_host.flash import toy
from tests_host.flash.test_flash_install import put
from tools.board.chip import Chip
from tools.board.virtual import VirtualBoard
from tools.flash.link import Link
from tools.provision import FileError, read

KEY, PASSWORD = "0123456789abcdefXYZ", "pa ss,w'o\"rd"
TOML = """
[common.ocpp]
url = "wss://central.example/ocpp"
[common.wifi]
ssid = "depot"
[[boards]]
serial = "0001"
power.max_ma = 20000
ocpp.identity = "CP-0001"
[[boards]]
port = "/dev/ttyX"
settings = { "ocpp.check_hostname" = false }
"""


def provision(path: Path, *more: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "tools.provision", str(path), *more]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60)


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_the_three_forms_say_the_same(tmp_path: Path) -> None:
    tree = [
        {"serial": "0001", "power.max_ma": 20000, "ocpp.identity": "CP-0001"},
        {"port": "/dev/ttyX", "settings": {"ocpp": {"check_hostname": False}}},
    ]
    common = {"ocpp.url": "wss://central.example/ocpp", "wifi": {"ssid": "depot"}}
    table = (
        "serial,port,ocpp.identity,ocpp.url,wifi.ssid,power.max_ma,ocpp.check_hostname\n"
        "0001,,CP-0001,wss://central.example/ocpp,depot,20000,\n"
        ",/dev/ttyX,,wss://central.example/ocpp,depot,,no\n"
    )
    found = [
        [(entry.port, entry.values, entry.secrets) for entry in read(path)]
        for path in (
            write(tmp_path / "a.toml", TOML),
            write(tmp_path / "a.json", json.dumps({"common": common, "boards": tree})),
            write(tmp_path / "a.csv", table),
        )
    ]
    shared = {"ocpp.url": "wss://central.example/ocpp", "wifi.ssid": "depot"}
    assert found[0] == found[1] == found[2]
    assert found[0] == [
        ("id:0001", {**shared, "power.max_ma": 20000, "ocpp.identity": "CP-0001"}, {}),
        ("/dev/ttyX", {**shared, "ocpp.check_hostname": False}, {}),
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("port,power.max_ma\n/dev/a,400001\n", "line 2: power.max_ma must be"),
        ("port,power.max_ma\n/dev/a,ten\n", "line 2: power.max_ma must be"),
        ("port,power.most\n/dev/a,1\n", "line 2: power.most: there is no such setting"),
        ("ocpp.identity\nA\n", "line 2: needs a port or a serial"),
        ("port,ocpp.identity\n/dev/a,A\n/dev/b,A\n", "ocpp.identity A is there 2 times"),
        ("port,ocpp.identity\n/dev/a,A\n/dev/a,B\n", "/dev/a is there 2 times"),
        ("port,ocpp.identity\n/dev/a\n", "line 2: not as many cells"),
        ("port,power.derate_dc,power.stop_dc\n/dev/a,700,600\n", "power.derate_dc must be below power.stop_dc"),
        ("port\n", "there is no board in it"),
    ],
)
def test_a_wrong_file_touches_no_board(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(FileError) as found:
        read(write(tmp_path / "a.csv", text))
    assert words in str(found.value)


def test_every_mistake_is_told_at_once_and_no_secret(tmp_path: Path) -> None:
    secret = "not-a-key-" * 5
    rows = f"/dev/a,{secret},1\n/dev/b,,x\n"
    done = provision(write(tmp_path / "a.csv", "port,ocpp.authorization_key,power.max_ma\n" + rows))
    assert done.returncode == 1 and "no board was touched" in done.stdout
    assert "line 2: ocpp.authorization_key" in done.stdout and "line 3: power.max_ma" in done.stdout
    assert "not-a-key" not in done.stdout + done.stderr


def test_boards_get_and_keep_their_settings(tmp_path: Path) -> None:
    out = toy.make(tmp_path, "1.0.0")
    with VirtualBoard(tmp_path / "a", Chip(blocks=64)) as one, VirtualBoard(tmp_path / "b", Chip(blocks=64)) as empty:
        put(one, out)
        one.wait_for(b"4 good")
        with Link(one.port) as link:
            link.interrupt()
            link.run("import os\nos.mkdir('/data')")
            link.write("/data/settings.json", b'{"power.max_ma": 10000, "wifi.country": "DE", "wifi.password": "old"}')
        rows = [
            {"port": one.port, "ocpp.identity": "CP-1", "power.max_ma": 20000, "ocpp.authorization_key": KEY,
             "wifi.password": PASSWORD},
            {"port": empty.port, "ocpp.identity": "CP-2"},
            {"port": str(tmp_path / "nothing"), "ocpp.identity": "CP-3"},
        ]  # fmt: skip
        path = write(tmp_path / "fleet.json", json.dumps(rows))
        assert provision(path, "--check").returncode == 0
        since = len(one.said)
        done = provision(path, "--report", str(tmp_path / "report.json"))
        assert done.returncode == 1 and "1 done, 2 failed" in done.stdout, done.stdout + done.stderr
        assert "2 (set)" in done.stdout
        one.wait_for(b"4 good", start=since)  # restarted
        results = json.loads((tmp_path / "report.json").read_text())
        assert [row["result"][:12] for row in results] == ["done", "There is no ", "The port " + str(tmp_path)[:3]]
        assert results[0]["secrets"] == ["ocpp.authorization_key", "wifi.password"]
        shown = done.stdout + done.stderr + (tmp_path / "report.json").read_text()
        for secret in (KEY, PASSWORD):
            assert secret not in shown
        with Link(one.port) as link:
            link.interrupt()
            stored = json.loads(link.run("with open('/data/settings.json') as f: print(f.read())"))
            assert stored == {"power.max_ma": 20000, "wifi.country": "DE", "ocpp.identity": "CP-1"}
            code = (ROOT / "firmware/hal/esp32_nvs.py").read_text() + "\nprint(repr(Secrets().get("
            assert link.run(code + "'ocpp.authorization_key')))").strip() == repr(KEY)
            assert link.run(code + "'wifi.password')))").strip() == repr(PASSWORD)
