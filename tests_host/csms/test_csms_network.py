"""The network side of the bench: handshakes, credentials, TLS, being down."""

import asyncio
import base64
import ssl
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, NegotiationError
from websockets.typing import Subprotocol

from tests_host.system.rig import system_test
from tools.csms import BenchCsms
from tools.csms.certificates import make_certificates

OCPP = [Subprotocol("ocpp1.6")]


def basic(user: bytes, password: bytes) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(user + b":" + password).decode()}


async def refused(url: str, **kwargs: Any) -> int:
    with pytest.raises(InvalidStatus) as error:
        async with connect(url, subprotocols=OCPP, **kwargs):
            pass
    return error.value.response.status_code


@system_test
async def test_identities_and_paths() -> None:
    async with BenchCsms(identities=["RDAM 123", "a/b"]) as csms:
        for identity in ("RDAM 123", "a/b"):
            async with connect(csms.network.url_of(identity), subprotocols=OCPP) as socket:
                assert socket.subprotocol == "ocpp1.6"
                assert await csms.wait_connected(identity) == identity
        assert csms.network.url_of("RDAM 123").endswith("/ocpp/RDAM%20123")
        assert await refused(csms.url + "/CP-9") == 404
        assert await refused(csms.url + "/") == 404
        assert await refused(csms.url.replace("/ocpp", "/other") + "/a%2Fb") == 404


@system_test
async def test_basic_auth_is_bytes() -> None:
    key = bytes(range(0x80, 0x94))
    async with BenchCsms(basic_auth={"CP-1": key}) as csms:
        url = csms.network.url_of("CP-1")
        async with connect(url, subprotocols=OCPP, additional_headers=basic(b"CP-1", key)):
            pass
        assert await refused(url) == 401
        assert await refused(url, additional_headers=basic(b"CP-1", key + b"x")) == 401
        assert await refused(url, additional_headers=basic(b"CP-2", key)) == 401
        assert await refused(url, additional_headers={"Authorization": "Basic !!"}) == 401
        assert await refused(csms.network.url_of("CP-2"), additional_headers=basic(b"CP-2", key)) == 401


@system_test
async def test_subprotocol() -> None:
    async with BenchCsms() as csms:
        url = csms.network.url_of("CP-1")
        async with connect(url, subprotocols=[Subprotocol("ocpp2.0.1"), *OCPP]) as socket:
            assert socket.subprotocol == "ocpp1.6"
        async with connect(url, subprotocols=[Subprotocol("ocpp2.0.1")]) as socket:
            assert socket.subprotocol is None
            with pytest.raises(ConnectionClosed, match="1002"):
                await socket.recv()
        csms.handshake("no subprotocol")
        async with connect(url, subprotocols=OCPP) as socket:
            assert socket.subprotocol is None
            await socket.send('[2,"a","Heartbeat",{}]')
            await socket.recv()
        csms.handshake("wrong subprotocol")
        with pytest.raises((NegotiationError, InvalidHandshake)):
            async with connect(url, subprotocols=OCPP):
                pass
        csms.handshake(503)
        with pytest.raises(InvalidStatus):
            await connect(url, subprotocols=OCPP, process_exception=lambda error: error)
        csms.handshake()
        async with connect(url, subprotocols=OCPP) as socket:
            assert socket.subprotocol == "ocpp1.6"


@system_test
async def test_tls(tmp_path: Path) -> None:
    certificates = make_certificates(tmp_path, "127.0.0.1")
    async with BenchCsms(ssl=certificates.server_context()) as csms:
        assert csms.url.startswith("wss://")
        trusting = ssl.create_default_context(cafile=str(certificates.ca_file))
        async with connect(csms.network.url_of("CP-1"), subprotocols=OCPP, ssl=trusting) as socket:
            await socket.send('[2,"a","Heartbeat",{}]')
            await socket.recv()
        with pytest.raises(ssl.SSLCertVerificationError):
            async with connect(csms.network.url_of("CP-1"), subprotocols=OCPP, ssl=ssl.create_default_context()):
                pass


@system_test
async def test_refusing_and_coming_back_on_the_same_port() -> None:
    async with BenchCsms() as csms:
        url = csms.network.url_of("CP-1")
        async with connect(url, subprotocols=OCPP) as socket:
            await csms.wait_connected("CP-1")
            await csms.stop_listening()
            with pytest.raises(ConnectionClosed):
                await socket.recv()
        with pytest.raises(OSError):
            await connect(url, subprotocols=OCPP, process_exception=lambda error: error)
        await csms.resume()
        async with connect(url, subprotocols=OCPP) as socket:
            await socket.send('[2,"a","Heartbeat",{}]')
            await socket.recv()


@system_test
async def test_black_hole() -> None:
    async with BenchCsms() as csms:
        url = csms.network.url_of("CP-1")
        async with connect(url, subprotocols=OCPP) as socket:
            await csms.wait_connected("CP-1")
            await csms.stop_listening("black hole")
            mark = csms.mark()
            await socket.send('[2,"a","Heartbeat",{}]')
            pong = asyncio.ensure_future(await socket.ping())
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(socket.recv(), 0.1)
            with pytest.raises(TimeoutError):
                await connect(csms.network.url_of("CP-2"), subprotocols=OCPP, open_timeout=0.1)
            assert csms.frames(mark) == [] and not pong.done()
            await csms.resume()
            assert str(await socket.recv()).startswith('[3,"a"')
            await pong


@system_test
async def test_black_hole_ends_with_the_bench() -> None:
    async with BenchCsms() as csms:
        async with connect(csms.network.url_of("CP-1"), subprotocols=OCPP) as socket:
            await csms.wait_connected("CP-1")
            await csms.stop_listening("black hole")
            await csms.stop_listening()
            with pytest.raises(ConnectionClosed):
                await socket.recv()
            await csms.stop_listening("black hole")


@system_test
async def test_drop_and_garbage() -> None:
    async with BenchCsms() as csms:
        for code in (None, 1000, 1012):
            async with connect(csms.network.url_of("CP-1"), subprotocols=OCPP) as socket:
                await csms.wait_connected("CP-1", since=csms.mark() - 1 if code else 0)
                await csms.drop("CP-1", code, "bye")
                with pytest.raises(ConnectionClosed) as closed:
                    await socket.recv()
                assert (closed.value.rcvd.code if closed.value.rcvd else None) == code
        async with connect(csms.network.url_of("CP-2"), subprotocols=OCPP) as socket:
            await csms.wait_connected("CP-2")
            await csms.send_raw("CP-2", "{}")
            await csms.send_raw("CP-2", b"\x00\x01")
            assert (await socket.recv(), await socket.recv()) == ("{}", b"\x00\x01")
            await csms.send_raw("CP-2", b"\x83\x00", how="tcp")  # a frame with a reserved opcode
            with pytest.raises(ConnectionClosed, match="1002"):
                await socket.recv()
        assert csms.violations == []


@system_test
async def test_a_second_connection_replaces_the_first() -> None:
    async with BenchCsms() as csms:
        async with connect(csms.network.url_of("CP-1"), subprotocols=OCPP) as old:
            await csms.wait_connected("CP-1")
            async with connect(csms.network.url_of("CP-1"), subprotocols=OCPP) as new:
                with pytest.raises(ConnectionClosed):
                    await old.recv()
                await new.send('[2,"a","Heartbeat",{}]')
                await new.recv()
                assert csms.charge_point().identity == "CP-1"
        kinds = [(frame.kind, frame.connection) for frame in csms.frames() if frame.kind in ("OPEN", "CLOSE")]
        assert kinds[:3] == [("OPEN", 1), ("OPEN", 2), ("CLOSE", 1)]
