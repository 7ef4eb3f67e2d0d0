"""lib/wsclient against the conformance rig, through tools/ws_echo_client.py as a rig's user starts it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from tests_host.conftest import ROOT, interpreter
from tests_host.system.ws_rig import CASES, Case, Rig, Verdict
from tests_host.system.ws_rig.server import accept

TOOL = ROOT / "tools" / "ws_echo_client.py"
QUICK = [
    case for case in CASES if not case.id.startswith("9.") or case.id in ("9.1.3", "9.2.3", "9.3.3", "9.5.4", "9.7.4")
]


async def run_tool(bits: int, *arguments: str) -> tuple[int, str]:
    """(exit status, output) of the echo client."""
    process = await asyncio.create_subprocess_exec(
        str(interpreter(bits)),
        str(TOOL),
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(100):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode is not None
    return process.returncode, output.decode()


def check(verdicts: dict[str, Verdict], cases: Sequence[Case]) -> None:
    """Every case was run; all are OK, but 7.1.6 may be non-strict, being informational in Autobahn."""
    assert set(verdicts) == {case.id for case in cases}
    bad = {id: verdict for id, verdict in verdicts.items() if verdict.behaviour != "OK"}
    if "7.1.6" in bad and bad["7.1.6"].behaviour == "NON-STRICT":
        del bad["7.1.6"]
    assert not bad


@pytest.mark.parametrize(("bits", "cases"), [(64, CASES), (32, QUICK)])
def test_every_case(bits: int, cases: Sequence[Case]) -> None:
    async def run() -> None:
        async with Rig(cases) as rig:
            status, output = await run_tool(bits, rig.url + "/", "a & b/ä")
            assert status == 0, output
            check(rig.verdicts, cases)
            assert rig.agents == {"a & b/ä"}
            assert rig.reported
            assert f"case {len(cases)}/{len(cases)}: " in output

    asyncio.run(run())


def test_the_table_is_whole() -> None:
    """As many cases per family as Autobahn publishes, less the messages above 1 MiB of family 9."""
    counts: dict[str, int] = {}
    for case in CASES:
        family = case.id.rpartition(".")[0]
        counts[family] = counts.get(family, 0) + 1
    assert len({case.id for case in CASES}) == len(CASES)
    assert {family: n for family, n in counts.items() if not family.startswith("6.")} == {
        "1.1": 8, "1.2": 8, "2": 11, "3": 7, "4.1": 5, "4.2": 5, "5": 20, "7.1": 6, "7.3": 6, "7.5": 1, "7.7": 13,
        "7.9": 9, "7.13": 2, "9.1": 3, "9.2": 3, "9.3": 8, "9.4": 8, "9.5": 6, "9.6": 6, "9.7": 6, "9.8": 6, "10.1": 1,
    }  # fmt: skip
    sixth = [counts[f"6.{n}"] for n in range(1, 24)]
    assert sixth == [3, 4, 2, 4, 5, 11, 4, 2, 4, 3, 5, 8, 5, 10, 1, 3, 5, 5, 5, 7, 8, 34, 7]


def test_the_rig_catches_a_careless_client() -> None:
    """A client that masks and echoes but checks nothing: OK where nothing is wrong, FAILED in every refusal."""
    ids = ("1.1.2", "2.2", "2.5", "3.1", "4.1.1", "5.1", "5.9", "6.3.1", "6.4.1", "7.3.2", "7.5.1", "7.7.1", "7.9.1")
    cases = [case for case in CASES if case.id in ids]

    async def careless(url: str, number: int) -> None:
        host, port = url.removeprefix("ws://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            writer.write(f"GET /runCase?case={number}&agent=x HTTP/1.1\r\nSec-WebSocket-Key: x\r\n\r\n".encode())
            await reader.readuntil(b"\r\n\r\n")
            while head := await reader.read(2):
                size = head[1] & 127
                if size == 126:
                    size = int.from_bytes(await reader.readexactly(2), "big")
                payload = await reader.readexactly(size)
                opcode = {9: 10}.get(head[0] & 15, head[0] & 15)
                writer.write(bytes([0x80 | opcode, 0x80 | min(size, 125)]) + b"\0\0\0\0" + payload[:125])
                if opcode == 8:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def run() -> None:
        async with Rig(cases, patience=0.5) as rig:
            for number in range(1, len(cases) + 1):
                await careless(rig.url, number)
            async with asyncio.timeout(10):
                await rig.complete.wait()
            fine = {id for id, verdict in rig.verdicts.items() if verdict.behaviour == "OK"}
            assert fine == {"1.1.2", "2.2", "7.7.1"}, rig.verdicts

    asyncio.run(run())


def test_command_line() -> None:
    status, output = asyncio.run(run_tool(64, "--help"))
    assert status == 0
    assert "heapsize" in output
    assert "usage" in output
    for arguments in ((), ("http://x",), ("ws://x", "a", "b")):
        status, output = asyncio.run(run_tool(64, *arguments))
        assert status == 2
        assert "usage" in output


def test_exit_status_without_a_server() -> None:
    async def run() -> None:
        server = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        status, output = await run_tool(64, f"ws://127.0.0.1:{port}")
        assert status == 1
        assert "not opened" in output
        server.close()

    asyncio.run(run())


def test_accept_helper_matches_the_standard() -> None:
    """The rig's own handshake, with the example of RFC 6455 section 1.3: the client is not judged by a wrong judge."""

    async def run() -> bytes:
        got: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await accept(reader, writer)
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"GET / HTTP/1.1\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
        got.set_result(await reader.read())
        writer.close()
        server.close()
        return await got

    assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in asyncio.run(run())
