"""The control port, the I/O link, the command line: what they accept, and what they refuse."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests_host.sim.bench import HOST, MiniCharger, open_line, running_site
from tools.sim.client import SimAddress, SimClient, SimError, simulator
from tools.sim.control import COMMANDS
from tools.sim.events import EventLog

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "tools" / "sim" / "README.md"

# Names of fields that never move by themselves; the rest of `state` follows the clock.
_LASTING = (
    "plugged", "output_on", "contactor", "soc", "energy_wh", "vehicle", "bms", "alarms", "faults", "inputs", "buses",
    "setpoints",
)  # fmt: skip


def lasting(state: dict[str, Any]) -> dict[str, Any]:
    """Return what only a command may change."""
    return {name: state[name] for name in _LASTING}


BAD_REQUESTS = [
    b"",
    b"{",
    b"[]",
    b"null",
    b'"plug"',
    b"\xff\xfe{}",
    b"[" * 10_000,
    b'{"cmd": null}',
    b'{"cmd": "fly"}',
    b'{"cmd": ["plug"]}',
    b'{"connector": 1}',
    b'{"cmd": "plug", "soc": "50"}',
    b'{"cmd": "plug", "soc": true}',
    b'{"cmd": "plug", "soc": -1}',
    b'{"cmd": "plug", "soc": 100.1}',
    b'{"cmd": "plug", "soc": NaN}',
    b'{"cmd": "plug", "soc": Infinity}',
    b'{"cmd": "plug", "soc": 1e999}',
    b'{"cmd": "plug", "soc": null}',
    b'{"cmd": "plug", "max_current": 10, "colour": "red"}',
    b'{"cmd": "plug", "max_current": 10, "soc": "x"}',
    b'{"cmd": "plug", "connector": 2}',
    b'{"cmd": "plug", "connector": 0}',
    b'{"cmd": "plug", "connector": "1"}',
    b'{"cmd": "plug", "connector": 1.5}',
    b'{"cmd": "ev", "allow": 0}',
    b'{"cmd": "ev", "allow": false, "pause": "no"}',
    b'{"cmd": "bms", "silent": 1}',
    b'{"cmd": "bms", "period_ms": 0}',
    b'{"cmd": "bms", "control_byte": 256}',
    b'{"cmd": "bms", "garbage": -5}',
    b'{"cmd": "module", "stuck": "off"}',
    b'{"cmd": "module", "stuck": 1}',
    b'{"cmd": "module", "offline": true}',
    b'{"cmd": "swipe"}',
    b'{"cmd": "swipe", "id_tag": ""}',
    b'{"cmd": "swipe", "id_tag": 12}',
    b'{"cmd": "swipe", "id_tag": "A", "connector": 2}',
    b'{"cmd": "estop"}',
    b'{"cmd": "estop", "active": "yes"}',
    b'{"cmd": "door", "active": true, "kind": "input"}',
    b'{"cmd": "fault", "active": true, "kind": "cosmic"}',
    b'{"cmd": "bus", "state": "down"}',
    b'{"cmd": "bus", "name": "eth", "state": "down"}',
    b'{"cmd": "bus", "name": "pm", "state": "sideways"}',
    b'{"cmd": "bus", "name": "pm", "state": "down", "load": "much"}',
    b'{"cmd": "io", "state": "off"}',
    b'{"cmd": "events", "since": -1}',
    b'{"cmd": "events", "types": "plug"}',
    b'{"cmd": "events", "types": [1]}',
    b'{"cmd": "events", "limit": 0}',
    b'{"cmd": "events", "wait": 1000}',
    b'{"cmd": "state", "since": 1}',
    b'{"cmd": "quit", "connector": 1}',
]


def test_bad_requests_are_refused_and_change_nothing() -> None:
    async def run() -> None:
        async with running_site() as sim:
            before = await sim.state()
            reader, writer = await open_line(sim.address.base)
            for request in BAD_REQUESTS:
                writer.write(request + b"\n")
                answer = json.loads(await reader.readline())
                assert answer["ok"] is False and isinstance(answer["error"], str) and answer["error"], request
                assert set(answer) == {"ok", "error"}
            after = await sim.state()
            assert lasting(after) == lasting(before)
            assert after["last_seq"] == before["last_seq"] == 0
            writer.close()

    asyncio.run(run())


def test_an_endless_request_ends_the_connection_only() -> None:
    async def run() -> None:
        async with running_site() as sim:
            reader, writer = await open_line(sim.address.base)
            writer.write(b" " * 200_000)
            answer = json.loads(await reader.readline())
            assert answer["ok"] is False
            writer.close()
            await sim.state()

    asyncio.run(run())


def test_the_client_says_why_a_request_was_refused() -> None:
    async def run() -> None:
        async with running_site() as sim:
            with pytest.raises(SimError, match="soc: must be a number from 0 to 100"):
                await sim.cmd("plug", soc=101)
            with pytest.raises(TimeoutError, match="no event plug"):
                await sim.wait_event("plug", timeout=0.05)
            with pytest.raises(TimeoutError, match="state not reached"):
                await sim.wait_state(lambda state: False, timeout=0.05)

    asyncio.run(run())


def test_requests_in_one_segment_and_in_pieces_are_answered_in_order() -> None:
    async def run() -> None:
        async with running_site() as sim:
            reader, writer = await open_line(sim.address.base)
            writer.write(b'{"cmd": "state"}\n{"cmd": "plug"}\r\n{"cmd": "sta')
            assert json.loads(await reader.readline())["plugged"] is False
            assert json.loads(await reader.readline())["seq"] == 1
            writer.write(b'te"}\n')
            assert json.loads(await reader.readline())["plugged"] is True
            writer.close()

    asyncio.run(run())


def test_options_are_kept_until_they_are_given_again() -> None:
    async def run() -> None:
        async with running_site() as sim:
            await sim.cmd("bms", period_ms=50, daly=True)
            await sim.cmd("bms", garbage=3)
            await sim.cmd("module", latency_ms=1, stuck="on", temperature=40)
            await sim.cmd("module", terminal_ms=20)
            await sim.cmd("ev", max_current=12)
            await sim.cmd("plug", capacity_ah=40)
            state = await sim.state()
            assert (state["bms"]["period_ms"], state["bms"]["daly"], state["bms"]["garbage"]) == (50, True, 3)
            module = state["module"]
            assert (module["latency_ms"], module["stuck"], module["temperature"], module["terminal_ms"]) == (
                1,
                "on",
                40,
                20,
            )
            assert (state["vehicle"]["max_current"], state["vehicle"]["capacity_ah"]) == (12, 40)
            await sim.cmd("module", stuck=False, temperature=None)
            assert (await sim.state())["module"]["temperature"] is None

    asyncio.run(run())


def test_events_since_types_limit_and_wait() -> None:
    async def run() -> None:
        async with running_site() as sim:
            for _ in range(3):
                await sim.cmd("plug")
                await sim.cmd("unplug")
            everything = await sim.events()
            assert [event["seq"] for event in everything] == list(range(1, len(everything) + 1))
            assert all(event["t"] > 0 and event["wall"] > 1.6e9 for event in everything)
            assert [event["type"] for event in everything if event["type"] != "cmd"] == ["plug", "unplug"] * 3
            part = await sim.cmd("events", types=["plug"], limit=2)
            assert [event["type"] for event in part["events"]] == ["plug", "plug"]
            rest = await sim.cmd("events", types=["plug"], since=part["next"])
            assert len(rest["events"]) == 1 and rest["dropped"] == 0
            assert await sim.events(since=everything[-1]["seq"]) == []

            waiting = asyncio.create_task(sim.wait_event("estop", active=True, timeout=5))
            await sim.cmd("door", active=True)
            await sim.cmd("estop", active=True)
            assert (await waiting)["connector"] == 1

    asyncio.run(run())


def test_the_event_log_is_bounded_and_says_what_it_lost() -> None:
    log = EventLog(keep=10)
    for i in range(25):
        log.add("led", 1, value=i)
    found, reached = log.since(0)
    assert [event["value"] for event in found] == list(range(15, 25))
    assert (reached, log.dropped_after(0), log.dropped_after(20)) == (25, 15, 0)
    assert log.since(3)[0] == found and log.since(25) == ([], 25) and log.since(99) == ([], 99)


def test_io_lines() -> None:
    async def run() -> None:
        async with running_site(connectors=2) as sim:
            await sim.cmd("estop", active=True, connector=2)
            reader, writer = await open_line(sim.address.io)

            async def line() -> dict[str, Any]:
                async with asyncio.timeout(3):
                    message: dict[str, Any] = json.loads(await reader.readline())
                    return message

            levels = [await line() for _ in range(12)]
            assert [message for message in levels if message["value"]] == [
                {"input": "estop", "connector": 2, "value": True}
            ]
            await sim.cmd("estop", active=True, connector=2)  # nothing new, nothing sent
            await sim.cmd("door", active=True)
            assert await line() == {"input": "door", "connector": 1, "value": True}
            await sim.cmd("fault", active=True)
            assert await line() == {"input": "fault", "connector": 1, "value": True}
            await sim.cmd("swipe", id_tag="ABC123")
            assert await line() == {"input": "swipe", "connector": 0, "value": "ABC123"}
            await sim.cmd("swipe", id_tag="ABC123", connector=2)
            assert await line() == {"input": "swipe", "connector": 2, "value": "ABC123"}

            bad = [
                b"{", b"[]", b"\xff", b"1", b'{"output": "laser", "connector": 1, "value": true}',
                b'{"output": "contactor", "connector": 3, "value": true}', b'{"output": "contactor", "connector": 1}',
                b'{"output": "contactor", "connector": true, "value": true}',
                b'{"output": "contactor", "connector": 1, "value": 1}',
                b'{"output": ["led"], "connector": 1, "value": 1}',
            ]  # fmt: skip
            writer.write(b"\n".join(bad) + b"\n")
            await sim.wait_state(lambda state: state["io"]["bad_lines"] == len(bad))
            writer.write(b'{"output": "led", "connector": 2, "value": "green"}\n')
            await sim.wait_event("led", connector=2, value="green")
            state = await sim.state()
            assert (state["contactor_fitted"], state["led"]) == (False, None)

            await sim.cmd("io", state="down")
            assert await reader.read() == b""
            await sim.wait_event("board", connected=False)
            late, other = await open_line(sim.address.io)
            with pytest.raises(ConnectionError):
                if await late.read() == b"":
                    raise ConnectionError
            await sim.cmd("io", state="up")
            again, third = await open_line(sim.address.io)
            assert json.loads(await again.readline())["input"] == "estop"
            for one in (writer, other, third):
                one.close()

    asyncio.run(run())


def test_every_command_and_field_is_in_the_readme() -> None:
    text = README.read_text(encoding="utf-8")
    for name, command in COMMANDS.items():
        for word in (name, *command.fields):
            assert re.search(rf"`[^`\n]*\b{word}\b[^`\n]*`|### [a-z, ]*\b{word}\b", text), f"{name}: {word}"


def test_every_state_field_is_in_the_readme() -> None:
    async def run() -> dict[str, Any]:
        async with running_site() as sim:
            return await sim.state()

    text = README.read_text(encoding="utf-8")
    for name in asyncio.run(run()):
        assert f"`{name}`" in text or name == "ok", name


def test_a_run_of_its_own_process_ends_cleanly_and_leaves_a_log(tmp_path: Path) -> None:
    log = tmp_path / "frames.log"

    async def run() -> None:
        async with simulator("--connectors", "2", "--soc", "12.5", "--log", str(log)) as sim:
            assert sim.address.base > 1024
            assert (await sim.state(2))["soc"] == 12.5
            async with MiniCharger(sim.address.pm()) as charger:
                await sim.cmd("plug")
                await charger.on()
                await sim.wait_event("output_on")
                await sim.wait_event("limits")
            await sim.quit()

    asyncio.run(run())
    text = log.read_text(encoding="utf-8")
    assert re.search(r"\(\d+\.\d+\) pm1 068181FE#0132000000000000", text)
    assert re.search(r"\(\d+\.\d+\) bms1 1806E5F4#0348", text)


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tools.sim", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly_with_clients_connected(number: signal.Signals) -> None:
    with start("--listen", f"{HOST}:0", "--verbose") as process:
        assert process.stdout is not None
        address = SimAddress.parse(json.loads(process.stdout.readline())["listening"])
        with (
            socket.create_connection((HOST, address.base)) as control,
            socket.create_connection((HOST, address.io)),
            socket.create_connection((HOST, address.bms())),
        ):
            control.sendall(b'{"cmd": "plug"}\n{"cmd": "bus", "name": "pm", "load": 1000}\n')
            assert control.recv(100)
            process.send_signal(number)
            out, err = process.communicate(timeout=10)
    assert (process.returncode, out) == (0, "")
    assert '"type": "plug"' in err and "Traceback" not in err and "exception" not in err.lower()


def test_a_taken_port_and_wrong_arguments_are_said_plainly() -> None:
    async def taken() -> str:
        async with running_site() as sim:
            process = start("--listen", str(SimAddress(HOST, sim.address.base - 1)))
            _, err = await asyncio.to_thread(process.communicate, timeout=10)
            assert process.returncode == 1
            return err

    err = asyncio.run(taken())
    assert "cannot listen" in err and "Traceback" not in err
    for arguments in (["--listen", "nowhere"], ["--connectors", "0"], ["--soc", "101"], ["--listen", f"{HOST}:65530"]):
        with start(*arguments) as process:
            _, err = process.communicate(timeout=10)
        assert process.returncode == 2 and "error:" in err


async def _client(address: SimAddress) -> SimClient:
    return await SimClient.connect(address)


def test_several_control_clients() -> None:
    async def run() -> None:
        async with running_site() as sim, await _client(sim.address) as other:
            await sim.cmd("plug")
            assert (await other.state())["plugged"]

    asyncio.run(run())
