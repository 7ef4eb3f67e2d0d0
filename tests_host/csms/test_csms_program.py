"""`python -m tools.csms`: start-up, commands over TCP and stdin, the end; and the commands one by one."""

import asyncio
import json
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from tests_host.system.rig import system_test
from tools.csms import BenchCsms, CallError, Raw, Special
from tools.csms.behaviour import answer_from_json
from tools.csms.control import Control, parse_line
from tools.demo.control import CsmsClient
from tools.demo.process import Child
from tools.transcript import load

ROOT = Path(__file__).resolve().parents[2]
OCPP = [Subprotocol("ocpp1.6")]
PROGRAM = [sys.executable, "-m", "tools.csms", "--listen", "127.0.0.1:0"]


@asynccontextmanager
async def charger(url: str, status: str = "Accepted") -> AsyncIterator[ClientConnection]:
    """A charge point that answers every CALL with a status."""

    async def answer(websocket: ClientConnection) -> None:
        async for message in websocket:
            kind, uid, *_ = json.loads(message)
            if kind == 2:
                await websocket.send(json.dumps([3, uid, {"status": status}]))

    async with connect(url + "/CP-1", subprotocols=OCPP) as websocket:
        task = asyncio.create_task(answer(websocket))
        try:
            yield websocket
        finally:
            task.cancel()


@system_test
async def test_commands_over_tcp(tmp_path: Path) -> None:
    child = Child("csms")
    await child.start(
        [*PROGRAM, "--control", "127.0.0.1:0", "--db", tmp_path / "db", "--identity", "CP-1"], ROOT, stdin=True
    )
    client = CsmsClient(lambda frame: seen.put_nowait(frame.action))
    seen: asyncio.Queue[str | None] = asyncio.Queue()
    try:
        hello = await child.hello(20)
        await client.connect(hello["control"])
        assert (await client.ask("start"))["ok"] is False  # nobody is connected
        async with charger(hello["listening"]) as websocket:
            await websocket.send('[2,"1","BootNotification",{"chargePointVendor":"R","chargePointModel":"D"}]')
            assert (await client.ask("wait", action="BootNotification"))["frame"]["uid"] == "1"
            assert await client.ask("start", id_tag="A") == {"ok": True, "answer": {"status": "Accepted"}}
            assert (await client.ask("stop"))["error"] == "ValueError: no transaction is open"
            start = {"connectorId": 1, "idTag": "A", "meterStart": 0, "timestamp": "2026-01-21T09:52:30Z"}
            await websocket.send(json.dumps([2, "2", "StartTransaction", start]))
            await client.ask("wait", action="StartTransaction", kind="CALLRESULT", direction="out")
            assert (await client.ask("stop"))["ok"] is True
            assert (await client.ask("rows", table="transactions", connector=1))["rows"][0]["remote_stopped"] == 1
            points = (await client.ask("charge_points"))["charge_points"]
            assert points == [{"identity": "CP-1", "connected": True, "registered": "Accepted"}]
        async with asyncio.timeout(5):
            while await seen.get() != "RemoteStopTransaction":
                pass
        transcript = await client.ask("transcript", action="RemoteStartTransaction")
        assert [frame["kind"] for frame in transcript["frames"]] == ["CALL", "CALLRESULT"]
        assert any("RemoteStartTransaction" in line for line in child.lines)
        assert (await client.ask("quit"))["ok"] is True
        assert await asyncio.wait_for(child.wait(), 10) == 0
    finally:
        await client.close()
        await child.stop()
    assert (tmp_path / "db").stat().st_size > 0


@system_test
async def test_commands_on_stdin_and_the_end_of_stdin(tmp_path: Path) -> None:
    """And what was recorded is read again."""
    child = Child("csms")
    record = tmp_path / "wire.jsonl"
    await child.start([*PROGRAM, "--record", str(record)], ROOT, stdin=True)
    try:
        hello = await child.hello(20)
        async with charger(hello["listening"]):
            child.write("wait kind=OPEN\n")
            await child.wait_line(lambda line: '"kind": "OPEN"' in line, 10)
            child.write("set key=HeartbeatInterval value=60\n")
            await child.wait_line(lambda line: line == '{"ok": true, "answer": {"status": "Accepted"}}', 10)
            child.write("nonsense\n")
            await child.wait_line(lambda line: "unknown command 'nonsense'" in line, 10)
        child.close_stdin()
        assert await asyncio.wait_for(child.wait(), 10) == 0
        frames = load(record)
        assert [frame.kind for frame in frames] == ["OPEN", "CALL", "CALLRESULT", "CLOSE"], frames
        assert frames[1].payload == {"key": "HeartbeatInterval", "value": "60"}
    finally:
        await child.stop()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_it_cleanly(number: signal.Signals) -> None:
    program = subprocess.Popen(PROGRAM, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    assert program.stdout is not None
    assert json.loads(program.stdout.readline())["listening"].startswith("ws://127.0.0.1:")
    program.send_signal(number)
    program.communicate(timeout=10)
    assert program.returncode == 0


def test_a_taken_port_is_said() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        argv = [sys.executable, "-m", "tools.csms", "--listen", address]
        done = subprocess.run(argv, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)
    assert done.returncode == 2
    assert done.stderr.startswith("cannot start: ")


@system_test
async def test_tls_and_key_from_the_command_line(tmp_path: Path) -> None:
    child = Child("csms")
    key = "00ff" * 8
    await child.start([*PROGRAM, "--tls", tmp_path / "tls", "--auth", key], ROOT, stdin=True)
    try:
        hello = await child.hello(20)
        assert hello["listening"].startswith("wss://")
        import base64
        import ssl

        context = ssl.create_default_context(cafile=str(tmp_path / "tls" / "ca.pem"))
        header = {"Authorization": "Basic " + base64.b64encode(b"CP-1:" + bytes.fromhex(key)).decode()}
        url = hello["listening"] + "/CP-1"
        async with connect(url, subprotocols=OCPP, ssl=context, additional_headers=header) as websocket:
            assert websocket.subprotocol == "ocpp1.6"
    finally:
        await child.stop()


def test_lines() -> None:
    assert parse_line('{"cmd": "get", "keys": ["A"]}') == {"cmd": "get", "keys": ["A"]}
    assert parse_line("start id_tag='A B' connector=2") == {"cmd": "start", "id_tag": "A B", "connector": 2}
    for bad in ("start 5", "{nonsense", "start 'x"):
        with pytest.raises(ValueError):
            parse_line(bad)


@pytest.mark.parametrize(
    ("value", "answer"),
    [
        (None, None),
        ("Rejected", "Rejected"),
        ({"payload": {"a": 1}}, {"a": 1}),
        ({"error": "GenericError", "description": "x"}, CallError("GenericError", "x")),
        ({"raw": "nonsense"}, Raw("nonsense")),
        ({"special": "drop after"}, Special.DROP_AFTER),
    ],
)
def test_answers_from_json(value: Any, answer: Any) -> None:
    assert answer_from_json(value) == answer


@pytest.mark.parametrize("value", [5, {}, [], {"special": "magic"}, {"payload": 3}])
def test_bad_answers_from_json(value: Any) -> None:
    with pytest.raises(ValueError):
        answer_from_json(value)


async def ask(control: Control, **request: Any) -> dict[str, Any]:
    return await control.handle(json.dumps(request))


@system_test
async def test_every_command() -> None:
    async with BenchCsms() as csms:
        control = Control(csms)
        assert "behave" in (await ask(control, cmd="help"))["commands"]
        async with charger(csms.url) as websocket:
            await csms.wait_connected("CP-1")
            for request in (
                {"cmd": "trigger", "message": "Heartbeat"},
                {"cmd": "trigger", "message": "MeterValues", "connector": 1},
                {"cmd": "set", "key": "HeartbeatInterval", "value": 60},
                {"cmd": "call", "action": "Reset", "payload": {"type": "Soft"}},
            ):
                assert (await ask(control, **request))["answer"] == {"status": "Accepted"}, request
            assert (await ask(control, cmd="get", keys="A,B"))["ok"] is True  # a wrong answer of this charger
            assert csms.violations[-1].action == "GetConfiguration"
            sent = [frame.payload for frame in csms.frames() if frame.kind == "CALL"]
            assert sent[-1] == {"key": ["A", "B"]} and sent[2] == {"key": "HeartbeatInterval", "value": "60"}
            await ask(control, cmd="behave", action="Heartbeat", answer={"raw": "nonsense"}, times=1)
            assert len(csms.rules) == 1
            await ask(control, cmd="behave", action="Heartbeat", answer=["Rejected", {"special": "silence"}])
            await ask(control, cmd="forget")
            assert len(csms.rules) == 0
            await ask(control, cmd="register", status="Pending", interval=5)
            assert csms.logic.registration.status == "Pending"
            await ask(control, cmd="tag", id_tag="A", status="Blocked")
            await ask(control, cmd="tag", status="Invalid")
            assert (csms.logic.tag("a").status, csms.logic.tag("b").status) == ("Blocked", "Invalid")
            assert (await ask(control, cmd="violations"))["violations"][0]["action"] == "GetConfiguration"
            assert (await ask(control, cmd="raw", text="{}"))["ok"] is True
            assert (await ask(control, cmd="raw", hex="00ff"))["ok"] is True
            assert (await ask(control, cmd="drop", code=1012))["ok"] is True
            await websocket.wait_closed()
            assert websocket.close_code == 1012
        await ask(control, cmd="handshake", how=503)
        assert csms.network.handshake == 503
        for state in ("down", "black hole", "up"):
            assert (await ask(control, cmd="network", state=state))["state"] == state
        for bad in (
            {"cmd": "register", "status": "Maybe"},
            {"cmd": "network", "state": "sideways"},
            {"cmd": "handshake", "how": "odd"},
            {"cmd": "tag", "status": "odd"},
            {"cmd": "rows", "table": "transactions; DROP TABLE boots"},
            {"cmd": "behave", "action": "Heartbeat", "answer": 5},
            {"cmd": "behave", "action": "Heartbeat", "delay": -1},
            {"cmd": "wait", "action": "Heartbeat", "timeout": 0.01},
            {"cmd": "set", "key": "A"},
            {"cmd": "drop"},
            {"cmd": "__init__"},
            {},
        ):
            assert (await ask(control, **bad))["ok"] is False, bad
        assert not control.quit_asked.is_set()
