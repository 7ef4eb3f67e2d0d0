"""The SLCAN server: line format, adapter commands, clients, bus states; with raw sockets and with python-can."""

from __future__ import annotations

import asyncio
import random
import socket

import can
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests_host.sim.bench import HOST, Wire, open_line, running_site
from tools.sim import frames, slcan
from tools.sim.noise import damage, foreign_frames, garbage_source, text_garbage


class Tty:
    """A raw SLCAN client."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, port: int, *, is_open: bool = False, rate: bytes = b"S5") -> Tty:
        tty = cls(*await open_line(port))
        if is_open:
            assert await tty.ask(rate) == b"\r"
            assert await tty.ask(b"O") == b"\r"
        return tty

    async def ask(self, line: bytes) -> bytes:
        """Send a line; return the answer with its end, passing over frames."""
        self.writer.write(line + b"\r")
        while (answer := await self.line())[:1] in (b"T", b"t", b"R", b"r"):
            pass
        return answer

    async def line(self) -> bytes:
        """Return everything up to the next CR or BELL."""
        found = b""
        async with asyncio.timeout(3):
            while not found.endswith((b"\r", b"\x07")):
                byte = await self.reader.read(1)
                if not byte:
                    raise ConnectionError("closed")
                found += byte
        return found

    async def close(self) -> None:
        self.writer.close()


async def quiet(sim_port_client: object) -> None:
    """Silence the module so that only test frames are on its bus."""
    await sim_port_client.cmd("module", silent=True)  # type: ignore[attr-defined]


@given(
    st.booleans(),
    st.booleans(),
    st.integers(0, 2**29 - 1),
    st.binary(max_size=8),
    st.integers(0, 8),
)
def test_every_frame_survives_the_line_format(extended: bool, remote: bool, number: int, data: bytes, dlc: int) -> None:
    frame = can.Message(
        arbitration_id=number if extended else number & 0x7FF,
        is_extended_id=extended,
        is_remote_frame=remote,
        dlc=dlc if remote else len(data),
        data=None if remote else data,
    )
    back = slcan.decode(slcan.encode(frame))
    assert back is not None and back.equals(frame, timestamp_delta=None, check_channel=False, check_direction=False)
    lower = slcan.encode(frame)
    again = slcan.decode(lower[:1] + lower[1:].lower())
    assert again is not None and again.equals(frame, timestamp_delta=None, check_direction=False)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"T",
        b"t",
        b"T1806E5F4",
        b"T1806E5F48",
        b"T1806E5F48034803840000000",
        b"T1806E5F4803480384000000001",
        b"T1806E5F480348038400000000FF",
        b"T1806E5F4903480384000000FFFF",
        b"T2000000000",
        b"TFFFFFFFF0",
        b"t8000",
        b"tFFF0",
        b"T1806E5G40",
        b"T1806E5F4803480384000000 0",
        b"R1806E5F4800",
        b"x1806E5F40",
        "T1806E5F4१".encode(),
    ],
)
def test_a_malformed_line_is_no_frame(line: bytes) -> None:
    assert slcan.decode(line) is None


def test_damaged_and_foreign_frames_are_never_good_ones() -> None:
    rng = random.Random(3)
    good = frames.encode(frames.BMS_REQUEST, {s.name: 0 for s in frames.BMS_REQUEST.signals})
    for _ in range(300):
        assert all(frames.decode(message, damage(rng, good)) is None for message in frames.DATABASE.messages)
    for frame in foreign_frames(rng, 300):
        assert not frame.is_extended_id or frame.arbitration_id not in frames.KNOWN_IDS
    make = garbage_source(rng, frames.FROM_BMS)
    for _ in range(300):
        bad = make()
        assert all(frames.decode(message, bad) is None for message in frames.DATABASE.messages)


def test_text_garbage_is_never_a_frame() -> None:
    for text in text_garbage(random.Random(3), 500):
        assert text.endswith(b"\r") and text.count(b"\r") == 1
        assert slcan.decode(text[:-1]) is None


def test_adapter_commands() -> None:
    async def run() -> None:
        async with running_site() as sim:
            await quiet(sim)
            tty = await Tty.connect(sim.address.pm())
            for line, answer in (
                (b"C", b"\x07"),  # closed already
                (b"", b"\r"),
                (b"O", b"\x07"),  # no rate yet
                (b"F", b"\x07"),  # only while open
                (b"S9", b"\x07"),
                (b"S", b"\x07"),
                (b"s01", b"\x07"),
                (b"s01xx", b"\x07"),
                (b"Z1", b"\r"),
                (b"Z0", b"\r"),
                (b"Z2", b"\x07"),
                (b"V", b"V1010\r"),
                (b"N", b"N0010\r"),
                (b"T1806E5F40", b"\x07"),  # closed
                (b"s011C", b"\r"),
                (b"S5", b"\r"),
                (b"O", b"\r"),
                (b"O", b"\x07"),  # open already
                (b"S5", b"\x07"),
                (b"Z1", b"\x07"),
                (b"F", b"F00\r"),
                (b"T012345672AABB", b"Z\r"),
                (b"t1230", b"z\r"),
                (b"r1231", b"z\r"),
                (b"R012345678", b"Z\r"),
                (b"T01234567", b"\x07"),
                (b"X1", b"\x07"),
                (b"?", b"\x07"),
                (b"\xff\xfe", b"\x07"),
                (b"T" + b"0" * 100, b"\x07"),  # too long
                (b"\nF", b"F00\r"),  # LF is ignored
                (b"C", b"\r"),
                (b"L", b"\r"),
                (b"T012345670", b"\x07"),  # listens only
                (b"C", b"\r"),
            ):
                assert await tty.ask(line) == answer, line
            state = await sim.state()
            assert state["buses"]["pm"]["bad_lines"] > 0
            assert state["frames"]["pm"] == {"0x00000123": 2, "0x01234567": 2}
            await tty.close()

    asyncio.run(run())


def test_frames_go_to_all_other_open_clients_in_order() -> None:
    async def run() -> None:
        async with running_site() as sim:
            await quiet(sim)
            port = sim.address.pm()
            sender, other, third = [await Tty.connect(port, is_open=True) for _ in range(3)]
            closed = await Tty.connect(port)
            for i in range(50):
                assert await sender.ask(b"t%03X1%02X" % (i, i)) == b"z\r"
            for listener in (other, third):
                assert [await listener.line() for _ in range(50)] == [b"t%03X1%02X\r" % (i, i) for i in range(50)]
            assert await closed.ask(b"V") == b"V1010\r"  # nothing came before this answer
            assert await sender.ask(b"F") == b"F00\r"  # and the sender did not hear itself
            for tty in (sender, other, third, closed):
                await tty.close()

    asyncio.run(run())


def test_timestamps_are_milliseconds_of_a_minute() -> None:
    async def run() -> None:
        async with running_site() as sim:
            await quiet(sim)
            port = sim.address.pm()
            stamped = await Tty.connect(port)
            for line in (b"S5", b"Z1", b"O"):
                assert await stamped.ask(line) == b"\r"
            sender = await Tty.connect(port, is_open=True)
            await sender.ask(b"t12311F")
            line = await stamped.line()
            assert line.startswith(b"t12311F") and len(line) == 12
            assert int(line[7:11], 16) < 60_000
            await stamped.close()
            await sender.close()

    asyncio.run(run())


def test_a_client_at_another_rate_hears_nothing_and_is_not_heard() -> None:
    async def run() -> None:
        async with running_site() as sim:
            await quiet(sim)
            port = sim.address.pm()
            wrong = await Tty.connect(port, is_open=True, rate=b"S6")
            right = await Tty.connect(port, is_open=True)
            assert await right.ask(b"t1230") == b"z\r"
            assert await wrong.ask(b"F") == b"F80\r"
            assert await wrong.ask(b"t1240") == b"\x07"
            assert (await sim.state())["frames"]["pm"] == {"0x00000123": 1}
            await wrong.close()
            await right.close()

    asyncio.run(run())


def test_a_slow_client_loses_the_oldest_lines_and_is_told() -> None:
    async def run() -> None:
        async with running_site() as sim:
            await quiet(sim)
            port = sim.address.pm()
            loop = asyncio.get_running_loop()
            slow = socket.socket()
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            slow.setblocking(False)
            await loop.sock_connect(slow, (HOST, port))
            await loop.sock_sendall(slow, b"S5\rO\r")
            await sim.wait_state(lambda state: state["buses"]["pm"]["open_clients"] == 1)
            await sim.cmd("bus", name="pm", load=20_000)
            await sim.wait_state(lambda state: state["buses"]["pm"]["dropped"] > 100, timeout=10)
            await sim.cmd("bus", name="pm", load=0)
            await loop.sock_sendall(slow, b"F\r")
            heard = b""
            async with asyncio.timeout(5):
                while b"\rF" not in heard:
                    heard += await loop.sock_recv(slow, 65_536)
            lines = heard.split(b"\r")
            assert lines[0] == lines[1] == b""
            assert all(line[:1] == b"F" or slcan.decode(line) for line in lines[2:-1]), "a line was torn"
            flags = next(line for line in lines if line[:1] == b"F")
            assert int(flags[1:], 16) & 0x08
            slow.close()

    asyncio.run(run())


def test_bus_states() -> None:
    async def run() -> None:
        async with running_site() as sim:
            await quiet(sim)
            port = sim.address.pm()
            one, two = [await Tty.connect(port, is_open=True) for _ in range(2)]

            await sim.cmd("bus", name="pm", state="cut")
            assert await one.ask(b"t1230") == b"z\r"

            await sim.cmd("bus", name="pm", state="off")
            assert await one.ask(b"t1240") == b"\x07"
            assert int((await one.ask(b"F"))[1:3], 16) & 0xA0 == 0xA0
            assert int((await one.ask(b"F"))[1:3], 16) & 0xA0 == 0xA0  # it lasts

            await sim.cmd("bus", name="pm", state="up")
            assert await one.ask(b"F") == b"F00\r"
            assert await one.ask(b"t1250") == b"z\r"
            assert await two.line() == b"t1250\r"  # and nothing of 123, 124

            await sim.cmd("bus", name="pm", state="down")
            for tty in (one, two):
                with pytest.raises(ConnectionError):
                    await tty.line()
            late = await Tty.connect(port)
            with pytest.raises(ConnectionError):
                await late.line()
            await sim.cmd("bus", name="pm", state="up")
            again = await Tty.connect(port, is_open=True)
            await again.close()
            states = [event["state"] for event in await sim.events(types=["bus"])]
            assert states == ["cut", "off", "up", "down", "up"]

    asyncio.run(run())


def test_load_and_text_garbage_leave_true_lines_whole() -> None:
    async def run() -> None:
        async with running_site() as sim:
            tty = await Tty.connect(sim.address.pm(), is_open=True)
            await sim.cmd("bus", name="pm", load=1900, text_garbage=500)
            terminal = bad = noise = 0
            async with asyncio.timeout(10):
                while terminal < 10:
                    line = (await tty.reader.readuntil(b"\r"))[:-1]
                    frame = slcan.decode(line)
                    if frame is None:
                        bad += 1
                    elif frames.decode(frames.TERMINAL_POWER, frame) is not None:
                        terminal += 1
                    else:
                        noise += 1
            assert bad > 50 and noise > 200
            await sim.cmd("bus", name="pm", load=0, text_garbage=0)
            await tty.close()

    asyncio.run(run())


def test_python_can_talks_to_it_both_ways() -> None:
    async def run() -> None:
        async with running_site() as sim:
            await quiet(sim)
            port = sim.address.pm()
            async with Wire(port) as one, Wire(port) as two:
                await sim.wait_state(lambda state: state["buses"]["pm"]["open_clients"] == 2)
                for frame in (
                    can.Message(arbitration_id=0x1806E5F4, data=range(8)),
                    can.Message(arbitration_id=0x123, is_extended_id=False, data=b"\x01"),
                    can.Message(arbitration_id=0x7FF, is_extended_id=False, is_remote_frame=True, dlc=4),
                ):
                    await one.send(frame)
                    got = await two.recv()
                    assert got is not None and got.equals(
                        frame, timestamp_delta=None, check_channel=False, check_direction=False
                    )
                assert await asyncio.to_thread(one.bus.get_version, 1) == (10, 10)  # type: ignore[attr-defined]
            await sim.wait_state(lambda state: state["buses"]["pm"]["clients"] == 0)

    asyncio.run(run())
