"""lib/wsclient against servers that are slow, mute, wrong or gone, written on bare sockets."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from tests_host.system.ws_rig import client, say
from tests_host.system.ws_rig.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Received,
    close,
    frame,
    read_frame,
)
from tests_host.system.ws_rig.server import accept

Streams = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def raw(serve: Streams) -> AsyncIterator[str]:
    """A TCP server; yields its URL. What a connection's function raises fails the test."""
    failures: list[BaseException] = []
    tasks: set[asyncio.Task[None]] = set()

    async def guarded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await serve(reader, writer)
        except asyncio.CancelledError:
            pass
        except BaseException as exc:  # noqa: BLE001 - handed to the test
            failures.append(exc)
        finally:
            writer.close()

    server = await asyncio.start_server(guarded, "127.0.0.1", 0, limit=1 << 22)
    try:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        _, pending = await asyncio.wait(tasks, timeout=5) if tasks else (None, set())
        assert not pending, "the client left a connection open"
    finally:
        for task in tasks:
            task.cancel()
        server.close()
    assert not failures, failures


@contextlib.asynccontextmanager
async def websocket(serve: Streams) -> AsyncIterator[str]:
    """The same, with the opening handshake done."""

    async def opened(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await accept(reader, writer)
        await serve(reader, writer)

    async with raw(opened) as url:
        yield url


async def next_message(reader: asyncio.StreamReader) -> Received:
    got = await read_frame(reader)
    assert got is not None
    assert got.fin
    return got


async def goodbye(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer the client's close; the caller then closes TCP."""
    got = await next_message(reader)
    assert got.opcode == CLOSE, got
    writer.write(frame(CLOSE, got.payload))


# -- opening ---------------------------------------------------------------------------------------------------------

ANSWERS: list[tuple[bytes, int, str]] = [
    (b"", 0, "closed during the handshake"),
    (b"HTTP/1.1 101 Switching", 0, "closed during the handshake"),
    (b"HTTP/1.1 503 Busy\r\nX:", 503, "503 Busy"),
    (b"\x16\x03\x01 not http at all\r\n\r\n", 0, "answer is not HTTP"),
    (b"HTTP/1.1 401 No\r\n" + b"X-Long: " + b"x" * 10_000 + b"\r\n\r\n", 401, "401 No"),
    (b"HTTP/1.1 101 Yes\r\n" + b"X-Long: " + b"x" * 10_000 + b"\r\n\r\n", 0, "header above 4096 bytes"),
    (b"x" * 10_000, 0, "header above 4096 bytes"),
]


def test_answers_that_are_none() -> None:
    answers = iter(ANSWERS)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(next(answers)[0])

    async def run() -> None:
        async with raw(serve) as url:
            said = await say(
                """
                files = open_files()
                for _ in range(count):
                    try:
                        await connect(url)
                    except HandshakeError as exc:
                        say(exc.status, exc.reason)
                say(open_files() - files, idle())
                """,
                url=url,
                count=len(ANSWERS),
            )
            for (_, status, word), (got, reason) in zip(ANSWERS, said[:-1], strict=True):
                assert (got, reason) == (status, word)
            assert said[-1] == [0, True]

    asyncio.run(run())


def test_handshake_in_single_bytes_with_frames_behind_it() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        class Dribble:
            def write(self, data: bytes) -> None:
                self.data = data

        dribble = Dribble()
        await accept(reader, dribble)  # type: ignore[arg-type]
        for at in range(len(dribble.data) - 5):
            writer.write(dribble.data[at : at + 1])
            await writer.drain()
        writer.write(dribble.data[-5:] + frame(TEXT, b"first") + frame(PING, b"p") + frame(TEXT, b"se")[:-1])
        assert (await next_message(reader)).payload == b"p"
        writer.write(b"e")
        await goodbye(reader, writer)

    async def run() -> None:
        async with raw(serve) as url:
            said = await say(
                "ws = await connect(url)\nsay(await ws.recv(), await ws.recv())\nawait ws.close()", url=url
            )
            assert said == [["first", "se"]]

    asyncio.run(run())


def test_opening_ends_in_time_and_can_be_cancelled() -> None:
    ended = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal ended
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\n")
        try:
            await reader.read(-1)
        except ConnectionError:
            pass
        ended += 1

    async def run() -> None:
        async with raw(serve) as url:
            said = await say(
                """
                files = open_files()
                try:
                    await connect(url, timeout_ms=100)
                except HandshakeError as exc:
                    say(exc.status, exc.reason)
                try:
                    await asyncio.wait_for_ms(connect(url), 100)
                except asyncio.TimeoutError:
                    say("cancelled")
                try:
                    await connect("ws://127.0.0.1:1/")
                except HandshakeError as exc:
                    say(exc.status, exc.reason)
                try:
                    await connect("ws://no-such-host.invalid/")
                except HandshakeError as exc:
                    say(exc.status, bool(exc.reason))
                say(open_files() - files, idle())
                """,
                url=url,
            )
            assert said == [[0, "timeout"], ["cancelled"], [0, "ECONNREFUSED"], [0, True], [0, True]]
        assert ended == 2

    asyncio.run(run())


# -- reading ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [64, 32])
def test_no_byte_is_lost_when_waits_are_cancelled(bits: int) -> None:
    """recv() under wait_for with random, mostly too short times, while frames come in bits and pieces."""
    rng = random.Random(7)
    texts = [bytes(rng.choices(b"abc", k=rng.randrange(1, 200))) for _ in range(200)]
    stream = b""
    for text in texts:
        cut = rng.randrange(len(text) + 1)
        parts = (
            [frame(TEXT, text)]
            if rng.random() < 0.5
            else [frame(TEXT, text[:cut], fin=False), frame(PING, b"!"), frame(CONTINUATION, text[cut:])]
        )
        stream += b"".join(parts)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        at = 0
        while at < len(stream):
            n = rng.randrange(1, 120)
            writer.write(stream[at : at + n])
            at += n
            if rng.random() < 0.6:
                await asyncio.sleep(rng.random() * 0.006)
        writer.write(close(1000))
        while (got := await next_message(reader)).opcode != CLOSE:
            assert got.opcode == PONG

    async def run() -> None:
        async with websocket(serve) as url:
            said = await say(
                """
                ws = await connect(url)
                got, timeouts = [], 0
                while True:
                    try:
                        got.append(await asyncio.wait_for_ms(ws.recv(), random.randint(0, 4)))
                    except asyncio.TimeoutError:
                        timeouts += 1
                    except WsClosed as exc:
                        break
                await ws.close()
                say(timeouts > 20, got, idle())
                """,
                url=url,
                bits=bits,
            )
            assert said == [[True, [text.decode() for text in texts], True]]

    asyncio.run(run())


@pytest.mark.parametrize("bits", [64, 32])
def test_a_message_that_comes_as_the_wait_ends_is_not_lost(bits: int) -> None:
    """The loop is held up between the arrival of a message and the turn of the task that fetches it, until the timer
    of wait_for is due as well: the order in which MicroPython's wait_for by itself drops the message."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = 0
        while (await next_message(reader)).payload == b"next":
            number += 1
            writer.write(frame(TEXT, b"%d" % number))

    async def run() -> None:
        async with websocket(serve) as url:
            said = await say(
                """
                ws = await connect(url)
                async def hinder():
                    while True:
                        if ws._queue:
                            end = time.ticks_add(time.ticks_ms(), 8)
                            while time.ticks_diff(end, time.ticks_ms()) > 0:
                                pass
                        await asyncio.sleep_ms(0)
                async def through_a_helper():
                    return await ws.recv()
                hindrance = asyncio.create_task(hinder())
                outcomes = []
                for number in range(1, 91):
                    await ws.send("next")
                    awaitable = through_a_helper() if number % 3 else ws.recv()
                    waiting = asyncio.wait_for_ms(awaitable, 4)
                    if number % 2:
                        waiting = asyncio.create_task(waiting)
                    try:
                        got = await waiting
                    except asyncio.TimeoutError:
                        got = await asyncio.wait_for_ms(ws.recv(), 2000)
                        outcomes.append("late")
                    assert got == str(number), got
                say(len(outcomes) < 45)  # most came in time: the order that is meant was met
                hindrance.cancel()
                await ws.send("done")
                await ws.close()
                """,
                url=url,
                bits=bits,
            )
            assert said == [[True]]

    asyncio.run(run())


def test_flood_is_held_back_and_nothing_of_it_is_lost() -> None:
    """The application does not fetch: memory stays bounded, TCP stops the server, then everything arrives."""
    text = b"x" * 1000
    count = 8_000
    sent = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.transport.set_write_buffer_limits(high=1)
        for number in range(count):
            writer.write(frame(TEXT, b"%05d" % number + text))
            await writer.drain()
            sent = number
        writer.write(close(1000))
        await next_message(reader)

    async def run() -> None:
        async with (
            websocket(serve) as url,
            client(
                """
            ws = await connect(url)
            await asyncio.sleep_ms(400)
            gc.collect()
            say("idle", gc.mem_alloc())
            number = 0
            try:
                while True:
                    text = await ws.recv()
                    assert int(text[:5]) == number and len(text) == 1005
                    number += 1
            except WsClosed as exc:
                say(number, exc.code)
            await ws.close()
            """,
                url=url,
                heap="300k",
            ) as running,
        ):
            word, used = await running.hear()
            assert word == "idle"
            assert used < 120_000
            assert sent < count - 1000
            assert (await running.finish())[-1] == [count, 1000]

    asyncio.run(run())


def test_pings_do_not_kill_a_link_whose_application_is_slow() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for number in range(200):
            writer.write(frame(TEXT, b"%03d" % number + b"x" * 500))
        while (got := await read_frame(reader)) is not None:
            if got.opcode == PING:
                writer.write(frame(PONG, got.payload))
            elif got.opcode == CLOSE:
                writer.write(close(1000))
                break

    async def run() -> None:
        async with websocket(serve) as url:
            said = await say(
                """
                ws = await connect(url, ping_interval_ms=20, pong_timeout_ms=60)
                await asyncio.sleep_ms(400)  # several pong deadlines; the pongs are behind messages nobody fetches
                for number in range(200):
                    assert int((await ws.recv())[:3]) == number
                await asyncio.sleep_ms(200)
                say(ws.is_open)
                await ws.close()
                """,
                url=url,
            )
            assert said == [[True]]

    asyncio.run(run())


# -- writing ---------------------------------------------------------------------------------------------------------


def test_a_small_message_is_one_segment() -> None:
    """Header and payload arrive in one recv(), at once, also when the one before is not acknowledged yet."""
    sizes = [0, 1, 125, 126, 500, 1300, 1360]

    async def run() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            async with client(
                """
                ws = await connect(url)
                for n in sizes:
                    await ws.send("x" * n)
                    await ws.recv()
                await ws.close()
                """,
                url=f"ws://127.0.0.1:{listener.getsockname()[1]}/",
                sizes=sizes,
            ) as running:
                loop = asyncio.get_running_loop()
                listener.setblocking(False)
                async with asyncio.timeout(10):
                    conn, _ = await loop.sock_accept(listener)
                with conn:
                    await handshake_on(conn)
                    for size in sizes:
                        data = await loop.sock_recv(conn, 10_000)
                        assert len(data) == size + (6 if size < 126 else 8)
                        await loop.sock_sendall(conn, frame(TEXT, b"next"))
                    assert len(await loop.sock_recv(conn, 100)) == 6 + 2
                    await loop.sock_sendall(conn, close(1000))
                await running.finish()

    async def handshake_on(conn: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        reader.feed_data(await loop.sock_recv(conn, 4096))

        class Writer:
            data = b""

            def write(self, data: bytes) -> None:
                self.data = data

        writer = Writer()
        await accept(reader, writer)  # type: ignore[arg-type]
        await loop.sock_sendall(conn, writer.data)

    asyncio.run(run())


def test_cancelled_sends_are_whole_or_absent() -> None:
    """The server does not read for a while; sends time out. What arrives is in order, whole, and nothing twice."""

    async def run() -> None:
        start = asyncio.Event()
        got: list[bytes] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            await start.wait()
            writer.transport.resume_reading()  # type: ignore[attr-defined]
            while (frame_ := await read_frame(reader)) is not None:
                if frame_.opcode == CLOSE:
                    writer.write(close(1000))
                    break
                got.append(frame_.payload)

        async with (
            websocket(serve) as url,
            client(
                """
            ws = await connect(url)
            gc.collect()
            before = gc.mem_alloc()
            flushed, cancelled = [], 0
            number = 0
            while cancelled < 15:
                text = "%04d" % number + "x" * 200_000
                try:
                    await asyncio.wait_for_ms(ws.send(text), 20)
                    flushed.append(number)
                except asyncio.TimeoutError:
                    cancelled += 1
                number += 1
            text = None
            gc.collect()
            say("stuck", gc.mem_alloc() - before)
            await ws.send("after")
            await ws.close()
            say(flushed, number)
            """,
                url=url,
            ) as running,
        ):
            word, used = await running.hear()
            assert word == "stuck"
            assert used < 900_000  # one message in the writer's hands, not fifteen
            start.set()
            flushed, number = (await running.finish())[-1]
        assert got[-1] == b"after"
        arrived = [int(text[:4]) for text in got[:-1]]
        assert all(text[4:] == b"x" * 200_000 for text in got[:-1])
        assert arrived == sorted(set(arrived))
        assert set(flushed) <= set(arrived)
        assert number == len(flushed) + 15

    asyncio.run(run())


def test_ping_flood_of_a_server_that_does_not_read() -> None:
    """Pongs that cannot be sent do not pile up; the newest are sent when the server reads again."""

    async def run() -> None:
        go = asyncio.Event()
        pongs: list[bytes] = []
        count = 60_000

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            for number in range(count):
                writer.write(frame(PING, b"%06d" % number + b"x" * 100))
                if not number % 100:
                    await writer.drain()
            writer.write(frame(TEXT, b"all"))
            await writer.drain()
            await go.wait()
            writer.transport.resume_reading()  # type: ignore[attr-defined]
            while (got := await read_frame(reader)) is not None:
                if got.opcode == PONG:
                    pongs.append(got.payload)
                elif got.opcode == CLOSE:
                    writer.write(close(1000))
                    break

        async with (
            websocket(serve) as url,
            client(
                """
            ws = await connect(url)
            say(await ws.recv(), gc.mem_alloc())
            await ws.close()
            """,
                url=url,
                heap="250k",
            ) as running,
        ):
            word, _ = await running.hear(60)
            assert word == "all"
            go.set()
            await running.finish()
        numbers = [int(payload[:6]) for payload in pongs]
        assert numbers == sorted(set(numbers))
        assert numbers[-1] == count - 1
        assert len(numbers) < count

    asyncio.run(run())


# -- ending ----------------------------------------------------------------------------------------------------------


def test_a_dead_link_is_found_by_its_pong() -> None:
    """The server takes everything and answers nothing: closed with 1006 and the reason, for whoever waits."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (got := await read_frame(reader)) is not None:
            if got.opcode == PING:
                writer.write(frame(PONG, b"another"))  # no answer to this ping

    async def run() -> None:
        async with websocket(serve) as url:
            said = await say(
                """
                files = open_files()
                ws = await connect(url, ping_interval_ms=30, pong_timeout_ms=120)
                start = time.ticks_ms()
                try:
                    await ws.recv()
                except WsClosed as exc:
                    say(exc.code, exc.reason, time.ticks_diff(time.ticks_ms(), start) >= 140)
                await ws.close()
                say(ws.is_open, open_files() - files, idle())
                """,
                url=url,
            )
            assert said == [[1006, "no pong within 120 ms", True], [False, 0, True]]

    asyncio.run(run())


def test_a_stuck_send_is_ended_by_the_pong_deadline() -> None:
    async def run() -> None:
        over = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            await over.wait()

        async with websocket(serve) as url:
            said = await say(
                """
                files = open_files()
                ws = await connect(url, ping_interval_ms=100, pong_timeout_ms=200)
                try:
                    await ws.send(b"x" * 7_000_000)
                except WsClosed as exc:
                    say(exc.code, exc.reason)
                await ws.close()
                say(open_files() - files, idle())
                """,
                url=url,
                heap="32m",
            )
            over.set()
            assert said == [[1006, "no pong within 200 ms"], [0, True]]

    asyncio.run(run())


@pytest.mark.parametrize("how", ["fin", "rst", "mid-frame"])
def test_a_link_that_breaks(how: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(frame(TEXT, b"last words"))
        await next_message(reader)
        if how == "rst":
            linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        elif how == "mid-frame":
            writer.write(frame(TEXT, b"half")[:3])

    async def run() -> None:
        async with websocket(serve) as url:
            said = await say(
                """
                files = open_files()
                ws = await connect(url)
                say(await ws.recv())
                await ws.send("go")
                for call in (ws.recv(), ws.send("x"), ws.recv()):
                    try:
                        await call
                    except WsClosed as exc:
                        say(exc.code, exc.reason)
                await ws.close()
                await ws.close()
                say(ws.is_open, open_files() - files, idle())
                """,
                url=url,
            )
            assert said[0] == ["last words"]
            reason = {"rst": "connection lost: ECONNRESET"}.get(how, "connection lost")
            assert said[1:4] == [[1006, reason]] * 3
            assert said[4] == [False, 0, True]

    asyncio.run(run())


def test_a_close_frame_is_heard_though_sending_fails() -> None:
    """The server said why it goes and is gone; the client was just writing. (The system may drop what was received
    when the peer resets the connection: so the failure of the write is made here, after its bytes have left.)"""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert (await next_message(reader)).payload == b"go"
        writer.write(close(1012, b"restart"))

    async def run() -> None:
        async with websocket(serve) as url:
            said = await say(
                """
                ws = await connect(url)
                write = ws._link.write

                def broken(part):
                    write(part)
                    raise OSError(104)

                ws._link.write = broken
                try:
                    await ws.send("go")
                except WsClosed as exc:
                    say(exc.code, exc.reason)
                await ws.close()
                say(idle())
                """,
                url=url,
            )
            assert said == [[1012, "restart"], [True]]

    asyncio.run(run())


def test_messages_before_the_close_are_delivered_then_the_reason() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for number in range(5):
            writer.write(frame(BINARY, b"%d" % number))
        writer.write(close(1001, b"bye") + frame(TEXT, b"ghost"))
        got = await next_message(reader)
        assert (got.opcode, got.payload) == (CLOSE, b"\x03\xe9")

    async def run() -> None:
        async with websocket(serve) as url:
            said = await say(
                """
                ws = await connect(url)
                while ws.is_open:
                    await asyncio.sleep_ms(1)
                try:
                    while True:
                        say(str(await ws.recv(), "utf-8"))
                except WsClosed as exc:
                    say(exc.code, exc.reason)
                await ws.close()
                """,
                url=url,
            )
            assert said == [["0"], ["1"], ["2"], ["3"], ["4"], [1001, "bye"]]

    asyncio.run(run())


def test_a_server_that_leaves_tcp_open_after_the_close_frames() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await next_message(reader)
        writer.write(close(1000))
        assert await read_frame(reader) is None  # the client closes in the end

    async def run() -> None:
        async with websocket(serve) as url:
            said = await say(
                """
                ws = await connect(url)
                start = time.ticks_ms()
                await ws.close()
                say(time.ticks_diff(time.ticks_ms(), start) < 2500, idle())
                """,
                url=url,
            )
            assert said == [[True, True]]

    asyncio.run(run())


def test_close_is_bounded_and_wakes_everybody() -> None:
    """The peer ignores our close frame: close() returns all the same. Two of them, and a recv() that waits."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got = await next_message(reader)
        assert (got.opcode, got.payload) == (CLOSE, b"\x0f\xa1enough")
        writer.write(frame(TEXT, b"late") + frame(PING))
        assert await read_frame(reader) is None

    async def run() -> None:
        async with websocket(serve) as url:
            said = await say(
                """
                ws = await connect(url)
                async def wait():
                    try:
                        await ws.recv()
                    except WsClosed as exc:
                        return exc.code
                start = time.ticks_ms()
                got = await asyncio.gather(wait(), ws.close(4001, "enough"), ws.close())
                took = time.ticks_diff(time.ticks_ms(), start)
                say(got, 1000 < took < 6000, idle())
                try:
                    await ws.close(1005)
                except ValueError:
                    say("ValueError")
                """,
                url=url,
            )
            assert said == [[[4001, None, None], True, True], ["ValueError"]]

    asyncio.run(run())


def test_failed_connections_do_not_wait_for_a_peer_that_goes_on() -> None:
    """After a breach the client says so, listens to nothing more and leaves in bounded time, however much comes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(frame(TEXT, b"x", rsv=1))
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(frame(TEXT, b"y" * 1000))
                await writer.drain()
                await asyncio.sleep(0.001)

    async def run() -> None:
        async with websocket(serve) as url:
            said = await say(
                """
                ws = await connect(url)
                try:
                    await ws.recv()
                except WsClosed as exc:
                    say(exc.code, exc.reason)
                await ws.close()
                say(idle())
                """,
                url=url,
            )
            assert said == [[1002, "reserved bit"], [True]]

    asyncio.run(run())
