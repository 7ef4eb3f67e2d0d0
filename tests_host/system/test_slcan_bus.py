"""python-can's SLCAN client and the firmware's SLCAN driver on one bus, through an adapter that this test provides."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import can
import pytest

from tests_host.conftest import ROOT, interpreter

FRAMES = 2000
TO_DEVICE, FROM_DEVICE = 0x00100000, 0x00200000  # + number of the frame
START, REPORT = 0x7F0, 0x7F1  # 11-bit ids
DEADLINE_S = 30.0

# Runs on MicroPython: the driver under the real supervisor and HAL. Prints {"up": ...} at each change.
DEVICE = """
import asyncio, json, sys
from clock import Clock
from supervisor import Supervisor
from drivers.can import FLAG_EXT
from drivers.can.slcan import Slcan
from hal.unix import Hal
from log import Log

async def main(url, folder, frames):
    clock = Clock()
    log = Log(clock)
    hal = Hal(folder, None, log)
    can = Slcan(lambda: hal.open_stream(url), clock)
    seen = {"got": 0, "wrong": 0}
    start = asyncio.Event()

    def take(can_id, flags, data):
        if flags == 0 and can_id == 0x7F0:
            start.set()
        elif flags == 0 and can_id == 0x7F1:
            print(json.dumps({"seen": seen, "counters": can.counters()}))
            seen["got"] = seen["wrong"] = 0
        else:
            n = seen["got"] % frames
            if can_id != 0x00100000 + n or flags != FLAG_EXT or bytes(data) != n.to_bytes(8, "big"):
                seen["wrong"] += 1
            seen["got"] += 1

    async def talk():
        while True:
            await start.wait()
            start.clear()
            for n in range(frames):
                while not can.send(0x00200000 + n, n.to_bytes(8, "little")):
                    await asyncio.sleep_ms(1)
                await asyncio.sleep_ms(0)

    async def watch():
        was = None
        while True:
            if can.is_up != was:
                was = can.is_up
                print(json.dumps({"up": was}))
            await asyncio.sleep_ms(2)

    can.on_frame = take
    tasks = [asyncio.create_task(talk()), asyncio.create_task(watch())]
    Supervisor(clock, log, lambda: None).start("can", can.run, backoff_max_ms=500)
    await asyncio.gather(*tasks)

asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""

# Lines that mean nothing. Each ends, so that the frame behind it is whole; the third number is that of the bad lines.
NOISE = (
    b"garbage\r",
    b"\x00\x00\x00\r",
    b"T1806E5F4802D0\r",
    b"T2000000080011223344556677\r",
    b"\xff\xfe\xfd\x80\r",
    b"T1806E5F48zz11223344556677\r",
    b"U" * 400 + b"\r",
    b"t8001AA\r",
    b"T1806E5F480011223344556677ABCD\r",
)


class Adapter:
    """A CAN bus with two SLCAN adapters: one port for the firmware, one for python-can.

    Frames of one side go to the other one whole and in order. `noise`: one line of NOISE goes to the firmware before
    every tenth frame.
    """

    def __init__(self, noise: bool = False) -> None:
        self.noise = noise
        self.noise_sent = 0
        self._forwarded = 0
        self.device_port = self.peer_port = 0
        self._listeners: list[socket.socket] = []
        self._clients: dict[str, socket.socket] = {}
        self._locks = {"device": threading.Lock(), "peer": threading.Lock()}
        self._open: set[str] = set()

    def start(self) -> None:
        """Listen; after a stop() on the same ports again."""
        for role in ("device", "peer"):
            listener = socket.create_server(("127.0.0.1", getattr(self, f"{role}_port")))
            setattr(self, f"{role}_port", listener.getsockname()[1])
            self._listeners.append(listener)
            threading.Thread(target=self._accept, args=(role, listener), daemon=True).start()

    def stop(self) -> None:
        """The adapters die: nothing listens, all connections are gone."""
        for sock in [*self._listeners, *self._clients.values()]:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        self._listeners.clear()
        self._clients.clear()
        self._open.clear()

    def _accept(self, role: str, listener: socket.socket) -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._clients[role] = sock
            self._serve(role, sock)
            if self._clients.get(role) is sock:  # else stop() has cleaned up, and a next life may have begun
                self._open.discard(role)

    def _serve(self, role: str, sock: socket.socket) -> None:
        pending = b""
        while True:
            try:
                chunk = sock.recv(4096)
            except OSError:
                return
            if not chunk:
                return
            *lines, pending = (pending + chunk).split(b"\r")
            for line in lines:
                self._take(role, line)

    def _take(self, role: str, line: bytes) -> None:
        letter = line[:1]
        if letter in (b"T", b"t"):
            other = "peer" if role == "device" else "device"
            if role in self._open and other in self._open:
                if other == "device":
                    self._forwarded += 1
                    if self.noise and self._forwarded % 10 == 0:
                        self._write(other, NOISE[self.noise_sent % len(NOISE)])
                        self.noise_sent += 1
                self._write(other, line + b"\r")
            self._write(role, b"Z\r")
        elif letter == b"F":
            self._write(role, b"F00\r" if role in self._open else b"\x07")
        else:
            if letter == b"O":
                self._open.add(role)
            elif letter == b"C":
                self._open.discard(role)
            self._write(role, b"\r")

    def _write(self, role: str, data: bytes) -> None:
        sock = self._clients.get(role)
        if sock is not None:
            with self._locks[role], contextlib.suppress(OSError):
                sock.sendall(data)

    def wait_open(self, role: str) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while role not in self._open:
            assert time.monotonic() < deadline, f"{role} did not open its channel"
            time.sleep(0.002)


class Device:
    """The MicroPython process and the lines it prints."""

    def __init__(self, bits: int, port: int, folder: str) -> None:
        path = ":".join([str(ROOT / "firmware"), str(ROOT / "lib"), ".frozen"])
        arguments = ["-X", "heapsize=256k", "-c", DEVICE, f"tcp://127.0.0.1:{port}", folder, str(FRAMES)]
        self.process = subprocess.Popen(
            [str(interpreter(bits)), *arguments],
            env={**os.environ, "MICROPYPATH": path},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._lines: queue.Queue[str] = queue.Queue()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put("")

    def wait_for(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The next printed object for which `wanted` is true."""
        deadline = time.monotonic() + DEADLINE_S
        passed = ""  # the supervisor's log: why a life ended
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"the device did not say it; it said:\n{passed}") from None
            assert line, f"the device program ended with status {self.process.wait()}:\n{passed}"
            passed += line
            if not line.startswith("{"):
                continue
            said: dict[str, Any] = json.loads(line)
            if wanted(said):
                return said

    def wait_up(self, up: bool) -> None:
        self.wait_for(lambda said: said.get("up") is up)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self._thread.join()


@pytest.fixture(params=[64, 32])
def bits(request: pytest.FixtureRequest) -> int:
    interpreter(request.param)  # skips where there is none
    return int(request.param)


@contextlib.contextmanager
def running(bits: int, adapter: Adapter, folder: str) -> Iterator[Device]:
    adapter.start()
    device = Device(bits, adapter.device_port, folder)
    try:
        yield device
    finally:
        device.end()
        adapter.stop()


@contextlib.contextmanager
def joined(adapter: Adapter) -> Iterator[can.BusABC]:
    """python-can on the other side of the bus."""
    channel = f"socket://127.0.0.1:{adapter.peer_port}"
    bus = can.Bus(interface="slcan", channel=channel, bitrate=250_000, sleep_after_open=0)
    try:
        adapter.wait_open("peer")
        yield bus
    finally:
        with contextlib.suppress(can.CanError, OSError):
            bus.shutdown()


def exchange(bus: can.BusABC, device: Device) -> dict[str, Any]:
    """Send FRAMES frames each way at once; check those from the device, return the device's report on the others."""
    bus.send(can.Message(arbitration_id=START, is_extended_id=False))

    def talk() -> None:
        for n in range(FRAMES):
            bus.send(can.Message(arbitration_id=TO_DEVICE + n, data=n.to_bytes(8, "big"), is_extended_id=True))
        bus.send(can.Message(arbitration_id=REPORT, is_extended_id=False))

    talker = threading.Thread(target=talk)
    talker.start()
    got: list[tuple[int, bytes]] = []
    deadline = time.monotonic() + DEADLINE_S
    while len(got) < FRAMES and time.monotonic() < deadline:
        message = bus.recv(timeout=1.0)
        if message is not None:
            assert message.is_extended_id and message.dlc == 8
            got.append((message.arbitration_id, bytes(message.data)))
    talker.join()
    assert got == [(FROM_DEVICE + n, n.to_bytes(8, "little")) for n in range(FRAMES)]
    return device.wait_for(lambda said: "seen" in said)


def test_no_loss_in_either_direction(bits: int, tmp_path: Any) -> None:
    adapter = Adapter(noise=True)
    with running(bits, adapter, str(tmp_path)) as device:
        device.wait_up(True)
        with joined(adapter) as bus:
            report = exchange(bus, device)
    assert report["seen"] == {"got": FRAMES, "wrong": 0}
    counters = report["counters"]
    assert counters["rx"] == FRAMES + 2
    assert adapter.noise_sent == (FRAMES + 2) // 10
    assert counters["bad"] == adapter.noise_sent
    assert counters["bus_off"] == counters["reopened"] == 0


def test_reconnects_after_the_adapter_died(bits: int, tmp_path: Any) -> None:
    adapter = Adapter()
    with running(bits, adapter, str(tmp_path)) as device:
        device.wait_up(True)
        for life in range(3):
            with joined(adapter) as bus:
                report = exchange(bus, device)
                assert report["seen"] == {"got": FRAMES, "wrong": 0}
                assert report["counters"]["reopened"] == life
                assert report["counters"]["bad"] == 0
                adapter.stop()
                device.wait_up(False)
            adapter.start()
            device.wait_up(True)
