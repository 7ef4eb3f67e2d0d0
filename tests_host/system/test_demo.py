"""The demo: by itself, in a terminal, and ended in every way."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

import pexpect
import pytest
from rich.console import Console

from tests_host.system.rig import system_test
from tools.csms.frames import Frame
from tools.demo.process import Child, StartError
from tools.demo.screen import screen
from tools.demo.view import View, brief_line, wire_line

ROOT = Path(__file__).resolve().parents[2]
DEMO = [sys.executable, "-m", "tools.demo"]


def children_of(pid: int) -> list[int]:
    """Processes started by `pid` that are still there."""
    out = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    return [int(child) for child, parent in (line.split() for line in out.splitlines()) if int(parent) == pid]


def alive(pid: int) -> bool:
    """Running, not merely unburied."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout.strip()
    return bool(state) and not state.startswith("Z")


def wait_until(true: Callable[[], bool], seconds: float = 10.0) -> bool:
    """Poll what cannot be waited for: the processes of somebody else."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_auto_prints_the_transcript_and_holds() -> None:
    done = subprocess.run(
        [*DEMO, "--auto", "--seconds", "12"],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=80,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    order = (
        r"→  BootNotification  \{",
        r'→  StatusNotification  \{.*"Preparing"',
        r'→  DataTransfer  \{"vendorId":"RivotMotors","messageId":"VehicleInfo","data":"\{\\"soc\\":62\.0,',
        r"←  RemoteStartTransaction  \{",
        r"→  StartTransaction  \{",
        r'→  StatusNotification  \{.*"Charging"',
        r'→  MeterValues  \{.*"Transaction\.Begin"',
        r'→  MeterValues  \{.*"Sample\.Periodic"',
        r"←  RemoteStopTransaction  \{",
        r'→  MeterValues  \{.*"Transaction\.End"',
        r'→  DataTransfer  \{"vendorId":"RivotMotors","messageId":"SessionSummary"',
        r'→  StatusNotification  \{.*"Finishing"',
        r"→  StopTransaction  \{",
        r'→  StatusNotification  \{.*"Available"',
        r"OK: ",
    )
    rest = done.stdout
    for pattern in order:
        found = re.search(pattern, rest)
        assert found, f"{pattern} is not in its place:\n{done.stdout}"
        rest = rest[found.end() :]
    times = [float(found) for found in re.findall(r"^ *(\d+\.\d\d) s ", done.stdout, re.MULTILINE)]
    assert len(times) > 20 and times == sorted(times)


class Terminal:
    """The demo in a terminal of 80 x 24."""

    def __init__(self) -> None:
        self.child = pexpect.spawn(
            DEMO[0], DEMO[1:], cwd=str(ROOT), dimensions=(24, 80), encoding="utf-8", timeout=25, env=self._env()
        )
        self.before = termios.tcgetattr(self.child.child_fd)

    @staticmethod
    def _env() -> "os._Environ[str]":
        os.environ["TERM"] = "xterm-256color"
        return os.environ

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *_: object) -> None:
        self.child.close(force=True)

    @property
    def pid(self) -> int:
        """Of the demo."""
        assert self.child.pid is not None
        return self.child.pid

    def press(self, key: str, *wanted: str) -> None:
        """Press a key; everything in `wanted` must appear afterwards, in this order."""
        self.child.send(key)
        for text in wanted:
            self.child.expect(text)

    def restored(self) -> bool:
        """The terminal is as the demo found it: echo, lines, cursor, the normal screen."""
        return bool(termios.tcgetattr(self.child.child_fd)[3] == self.before[3])


def test_keys() -> None:
    with Terminal() as terminal:
        terminal.child.expect("ready after")
        pids = children_of(terminal.pid)
        assert len(pids) == 3
        terminal.press("p", "62.0 %", "90.0 A", r"\[s\] Start Charging")
        terminal.press("s", r"\[x\] Stop Charging")
        terminal.press("x", "Session Complete ✓", "Finishing")
        terminal.press("n", "network down", "restore|down")
        terminal.press("n", "online")
        terminal.press("e", "Faulted.{0,20} EmergencyStop")
        terminal.press("e", "Connector 1: .{0,20}(Preparing|Finishing)")
        terminal.press("p", "Connector 1: .{0,20}Available")
        terminal.press("q", "\x1b\\[\\?1049l")  # leaves the alternate screen
        terminal.child.expect(pexpect.EOF)
        terminal.child.wait()
        assert terminal.child.exitstatus == 0
        assert wait_until(lambda: not any(map(alive, pids)))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_signals_restore_the_terminal_and_end_the_processes(number: signal.Signals) -> None:
    with Terminal() as terminal:
        terminal.child.expect("ready after")
        pids = children_of(terminal.pid)
        assert len(pids) == 3
        assert not terminal.restored()
        terminal.child.kill(number)
        assert wait_until(terminal.restored)
        terminal.child.expect("\x1b\\[\\?1049l")
        terminal.child.expect(pexpect.EOF)
        terminal.child.wait()
        assert terminal.child.exitstatus == 0
        assert wait_until(lambda: not any(map(alive, pids)))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children that their parent died")
@pytest.mark.parametrize("arguments", [["--auto"]])
def test_a_killed_demo_leaves_nothing_behind(arguments: list[str]) -> None:
    demo = subprocess.Popen([*DEMO, *arguments], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    try:
        assert demo.stdout is not None
        assert any("ready" in line for line in demo.stdout)
        pids = children_of(demo.pid)
        assert len(pids) == 3
        demo.kill()
        assert wait_until(lambda: not any(map(alive, pids)))
    finally:
        demo.kill()
        demo.communicate()


def test_without_a_terminal_it_says_what_to_do() -> None:
    done = subprocess.run(DEMO, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)
    assert done.returncode == 2
    assert "--auto" in done.stderr


def test_help_names_the_keys_and_exit_codes() -> None:
    done = subprocess.run([*DEMO, "--help"], cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0
    assert "p plug/unplug" in " ".join(done.stdout.split()) and "2 when it cannot start" in " ".join(
        done.stdout.split()
    )


@system_test
async def test_child_that_does_not_exist_or_ends_at_once() -> None:
    with pytest.raises(StartError, match="make setup"):
        await Child("nothing").start(["/nonexistent/program"], ROOT)
    child = Child("short")
    await child.start([sys.executable, "-c", "print('sorry'); raise SystemExit(3)"], ROOT)
    with pytest.raises(StartError, match=r"(?s)short ended with status 3.*short\| sorry"):
        await child.hello(10)
    with pytest.raises(StartError, match=r"(?s)short ended with status 3.*short\| sorry"):
        await child.meanwhile(asyncio.Event().wait())
    assert await child.stop() == 3


@system_test
async def test_child_that_says_nonsense() -> None:
    child = Child("odd")
    await child.start(
        [sys.executable, "-c", "print('a warning'); print('{nonsense', flush=True); input()"], ROOT, stdin=True
    )
    with pytest.raises(StartError, match=r"said '\{nonsense' instead"):
        await child.hello(10)
    await child.stop()


@system_test
async def test_child_that_does_not_want_to_end_is_killed() -> None:
    child = Child("stubborn")
    code = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('{}', flush=True); signal.pause()"
    await child.start([sys.executable, "-c", code], ROOT)
    await child.hello(10)
    with pytest.raises(StartError, match="did not say"):
        await child.wait_line(lambda line: line == "more", 0.05)
    assert await child.stop(timeout=0.1) == -signal.SIGKILL


def call(n: int, action: str, payload: dict[str, object], direction: str = "in") -> Frame:
    return Frame(n, 100.0 + n, 0.0, "CP", 1, direction, "CALL", str(n), action, payload, "")


def picture(view: View) -> list[str]:
    """The screen as text, in a terminal of 80 x 24."""
    console = Console(width=80, height=24, force_terminal=False)
    children = (Child("central system"), Child("simulator"), Child("firmware"))
    with console.capture() as capture:
        console.print(screen(view, children, 100.0, "message", False, 80, 24))
    return capture.get().splitlines()


def test_cards_follow_the_wire_and_fit() -> None:
    view = View()
    assert any("no vehicle" in line for line in picture(view))
    view.feed(call(0, "StatusNotification", {"connectorId": 1, "errorCode": "NoError", "status": "Preparing"}))
    view.feed(call(1, "DataTransfer", {"messageId": "VehicleInfo", "data": '{"soc":87.0,"maxCurrent":90.0}'}))
    text = "\n".join(picture(view))
    assert "87.0 %" in text and "90.0 A" in text and "Voltage –" in text and "[s] Start Charging" in text
    start = {"connectorId": 1, "idTag": "A", "meterStart": 1000, "timestamp": "2026-01-21T09:52:20Z"}
    view.feed(call(2, "StartTransaction", start))
    for n, soc in ((3, "87.07"), (4, "87.18")):
        sampled = [
            {"measurand": "Energy.Active.Import.Register", "value": "1003", "unit": "Wh"},
            {"measurand": "Power.Active.Import", "value": "142", "unit": "W"},
            {"measurand": "SoC", "value": soc, "unit": "Percent"},
        ]
        value = {"timestamp": "2026-01-21T09:53:50Z", "sampledValue": sampled}
        view.feed(call(n, "MeterValues", {"connectorId": 1, "transactionId": 7, "meterValue": [value]}))
    text = "\n".join(picture(view))
    for part in ("87.18 % ▲", "142 W", "Energy 3 Wh", "1:30", "██████████░░ 87 %", "[x] Stop Charging"):
        assert part in text, part
    summary = '{"finalSoc":87.18,"energyDelivered":3.39,"durationMinutes":1.50}'
    view.feed(call(5, "DataTransfer", {"messageId": "SessionSummary", "data": summary}))
    fault = {"connectorId": 1, "errorCode": "OtherError", "status": "Faulted", "vendorErrorCode": "EmergencyStop"}
    view.feed(call(6, "StatusNotification", fault))
    text = "\n".join(picture(view))
    assert "Session Complete ✓" in text and "3.39 Wh" in text and "Faulted EmergencyStop" in text
    lines = picture(view)
    assert len(lines) == 24 and max(map(len, lines)) <= 80
    assert "quit" in lines[-1] and "message" in lines[-2]
    view.feed(call(7, "StatusNotification", {"connectorId": 1, "errorCode": "NoError", "status": "Available"}))
    assert any("no vehicle" in line for line in picture(view))


def test_wire_lines() -> None:
    stop = call(2, "RemoteStopTransaction", {"transactionId": 7}, "out")
    assert wire_line(stop, 100.0) == '    2.00 s  ←  RemoteStopTransaction  {"transactionId":7}'
    assert brief_line(stop, 100.0, 80) == "    2.0 ← RemoteStopTransaction  transactionId=7"
    assert brief_line(stop, 100.0, 20).endswith("…") and len(brief_line(stop, 100.0, 20)) == 20
