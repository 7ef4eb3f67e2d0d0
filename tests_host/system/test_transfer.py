"""lib/transfer on MicroPython against real servers: whole files, broken ones, hostile ones; resume, redirects."""

import asyncio
import hashlib
import random
import textwrap
from pathlib import Path
from typing import Any

from tests_host.system.file_server import Fault, FileServer, FtpServer
from tests_host.system.ws_rig.client import say
from tools.csms.certificates import make_certificates

_SINK = """
import hashlib
from transfer import address
from transfer.way import Way

class Sink:
    def __init__(self, limit=1 << 20):
        self.limit, self.offset, self.tag, self.size, self.begins = limit, 0, "", None, []
        self.hash, self.largest = hashlib.sha256(), 0

    def begin(self, offset, size, tag):
        self.begins.append([offset, size])
        if size is not None and size > self.limit:
            raise ValueError("too large")
        if not offset:
            self.hash = hashlib.sha256()
        self.offset, self.size, self.tag = offset, size, tag

    def write(self, view):
        if self.offset + len(view) > self.limit:
            raise OSError(28)
        self.largest = max(self.largest, len(view))
        self.hash.update(view)
        self.offset += len(view)

async def fetch(url, way, sink):
    try:
        await way.download(url, sink)
    except OSError as exc:
        return str(exc)
    return ""
"""
_DATA = random.Random(7).randbytes(20_011)


async def _say(body: str, *, bits: int = 64, **arguments: Any) -> list[list[Any]]:
    return await say(_SINK + textwrap.dedent(body), bits=bits, **arguments)


_FETCH = """
    files = open_files()
    for url in urls:
        way = Way(cadata=pem and pem.encode(), check_hostname=name, idle_ms=600, total_ms=total)
        sink = Sink(limit)
        for _ in range(tries):
            error = await fetch(url, way, sink)
            if not error:
                break
        say(error, sink.offset, sink.hash.digest().hex(), sink.begins, sink.largest)
    gc.collect()
    say(open_files() - files, idle())
"""


async def _fetch(*urls: str, tries: int = 1, pem: str = "", limit: int = 1 << 20, **more: Any) -> list[list[Any]]:
    """For each URL: [error, bytes, hash, begins, largest piece]. Checks that nothing is left open."""
    arguments = {"name": True, "total": 20_000, **more}
    said = await _say(_FETCH, urls=urls, tries=tries, pem=pem, limit=limit, **arguments)
    assert said[-1] == [0, True], said
    return said[:-1]


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_whole_files() -> None:
    """Length, chunks, neither; empty; both word sizes; pieces no larger than the buffer."""

    async def run() -> None:
        with FileServer() as http:
            http.files |= {"/a": _DATA, "/empty": b"", "/chunked": _DATA, "/plain": _DATA, "/slow": _DATA[:3000]}
            http.files["/p?q=1%20"] = b"query"
            for _ in range(2):
                http.faults["/chunked"] = [Fault(chunked=True)]
                http.faults["/plain"] = [Fault(plain=True)]
                http.faults["/slow"] = [Fault(pace=0.2)]
                bits = 32 if http.requests else 64
                names = ("/a", "/empty", "/chunked", "/plain", "/slow", "/p?q=1%20#x")
                said = await _fetch(*[http.url(name) for name in names], bits=bits)
                for name, (error, size, digest, begins, largest) in zip(names, said, strict=True):
                    data = http.files[name.removesuffix("#x")]
                    assert (error, size, digest) == ("", len(data), _hash(data)), name
                    assert begins == [[0, None if name in ("/chunked", "/plain") else len(data)]]
                    assert largest <= 1024
            assert {headers["host"] for _, _, headers in http.requests} == {f"127.0.0.1:{http.port}"}

    asyncio.run(run())


def test_failures() -> None:
    cases: dict[str, tuple[Fault, str]] = {
        "/404": (Fault(status=404), "HTTP 404 Not Found"),
        "/500": (Fault(status=500), "HTTP 500"),
        "/cut": (Fault(cut_at=1000), "19011 bytes are missing"),
        "/reset": (Fault(drop_at=1000), "ECONNRESET"),
        "/more": (Fault(claim=30_000), "9989 bytes are missing"),
        "/huge": (Fault(claim=1 << 24), "too large"),
        "/nonsense": (Fault(raw=b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n"), "nonsense"),
        "/digits": (Fault(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n"), "nonsense"),
        "/not-http": (Fault(raw=b"SSH-2.0-x\r\n\r\n"), "not HTTP"),
        "/header": (Fault(raw=b"HTTP/1.1 200 OK\r\nX: " + b"x" * 5000), "line above"),
        "/headers": (Fault(raw=b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100), "header lines"),
        "/nothing": (Fault(raw=b"\r\n"), "not HTTP"),
        "/closed": (Fault(raw=b"HTTP/1.1 200 OK\r\nX:"), "connection closed"),
        "/coded": (Fault(raw=b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx"), "encoding"),
        "/chunk": (Fault(raw=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), "nonsense"),
        "/chunk-end": (Fault(raw=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n"), "chunk"),
        "/chunk-cut": (Fault(chunked=True, cut_at=600), "connection closed"),
        "/silent": (Fault(silent=2), "ETIMEDOUT"),
        "/partial": (Fault(raw=b"HTTP/1.1 206 Partial\r\nContent-Range: bytes 0-4/5\r\n\r\nabcde"), "206"),
        "/ftp": (Fault(location="ftp://127.0.0.1/x"), "redirect"),
        "/file": (Fault(location="file:///etc/passwd"), "no address"),
        "/nowhere": (Fault(raw=b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n"), "404"),
        "/break": (Fault(location="/a%0d b"), "encoded"),
    }

    async def run() -> None:
        with FileServer() as http:
            for name, (fault, _) in cases.items():
                http.files[name] = _DATA
                http.faults[name] = [fault]
            http.faults["/loop"] = [Fault(location="/loop")] * 9
            http.faults["/nowhere"] = [*http.faults["/nowhere"], Fault(status=404)]
            http.files["/drip"] = _DATA
            http.faults["/drip"] = [Fault(pace=0.3)]
            urls = [http.url(name) for name in (*cases, "/loop")]
            urls += ["gopher://h/x", "http://", "http://h:99999/x", "https://127.0.0.1/x", "http://127.0.0.1:1/x"]
            said = await _fetch(*urls)
            wanted = [word for _, word in cases.values()]
            wanted += ["redirects", "gopher", "valid host", "port", "without CA", "ECONNREFUSED"]
            for url, word, (error, *_) in zip(urls, wanted, said, strict=True):
                assert word in error and "\n" not in error, (url, error)
            slow = await _fetch(http.url("/drip"), total=1500)
            assert "too long" in slow[0][0] or "ETIMEDOUT" in slow[0][0], slow
            without_length = await _fetch(http.url("/a"), limit=5000)
            assert "404" in without_length[0][0]
            http.files["/a"], http.faults["/a"] = _DATA, [Fault(plain=True)]
            full = await _fetch(http.url("/a"), limit=5000)
            assert "28" in full[0][0] and full[0][1] <= 5000, full

    asyncio.run(run())


def test_resume() -> None:
    """What is there is not fetched again, unless it is of another file, or the server cannot tell."""

    async def run() -> None:
        with FileServer() as http:
            names = ("/dropped", "/changed", "/no-range", "/no-tag", "/weak")
            for name in names:
                http.files[name] = _DATA
            http.faults = {
                "/dropped": [Fault(drop_at=5000), Fault(drop_at=5000), Fault(cut_at=7)],
                "/changed": [Fault(drop_at=5000, tag='"old"')],
                "/no-range": [Fault(drop_at=5000), Fault(no_range=True)],
                "/no-tag": [Fault(cut_at=5000, tag="")],
                "/weak": [Fault(cut_at=5000, tag='W/"x"')],
            }
            said = await _fetch(*[http.url(name) for name in names], tries=6)
            for name, (error, size, digest, begins, _) in zip(names, said, strict=True):
                assert (error, size, digest) == ("", len(_DATA), _hash(_DATA)), (name, error)
                offsets = [begin[0] for begin in begins]
                assert (offsets[-1] > 0) == (name == "/dropped") and {begin[1] for begin in begins} == {len(_DATA)}
                assert name != "/dropped" or offsets == sorted(offsets)
            ranges = [headers.get("range") for _, path, headers in http.requests if path in ("/no-tag", "/weak")]
            assert ranges == [None] * 4

    asyncio.run(run())


def test_redirects_and_credentials(tmp_path: Path) -> None:
    """Relative and absolute; to another server, without the credentials of the first; never from https to http."""
    certificates = make_certificates(tmp_path, "127.0.0.1")

    async def run() -> None:
        with (
            FileServer(auth=("us", "p@ss")) as first,
            FileServer() as second,
            FileServer(ssl=certificates.server_context()) as secure,
        ):
            second.files["/b"] = _DATA
            secure.files["/x"] = second.files["/down"] = b"x"
            for name, target in {
                "/1": "/2",
                "/2": "sub/3",
                "/sub/3": f"//127.0.0.1:{second.port}/b",
                "/elsewhere": second.url("/b"),
                "/up": secure.url("/x"),
            }.items():
                first.faults[name] = [Fault(location=target)] * 2
            secure.faults["/down"] = [Fault(location=second.url("/down"))]
            login = "us:p%40ss@"
            urls = [first.url("/1", login), first.url("/elsewhere", login), first.url("/up", login)]
            said = await _fetch(*urls, secure.url("/down"), first.url("/1"), pem=certificates.ca_file.read_text())
            assert [line[0] for line in said[:4]] == ["", "", "", "redirect from https to http"], said
            assert "401" in said[4][0] and said[0][2] == said[1][2] == _hash(_DATA)
            assert not any("authorization" in headers for _, _, headers in second.requests + secure.requests)
            assert "p%40ss" not in str(said) and "p@ss" not in str(said)

    asyncio.run(run())


def test_https(tmp_path: Path) -> None:
    good = make_certificates(tmp_path, "127.0.0.1")
    for name in ("other", "elsewhere", "old"):
        (tmp_path / name).mkdir()
    other = make_certificates(tmp_path / "other", "127.0.0.1")
    elsewhere = make_certificates(tmp_path / "elsewhere", "elsewhere.example")
    expired = make_certificates(tmp_path / "old", "127.0.0.1", -1)

    async def run() -> None:
        for server, trusted, name, word in (
            (good, good, True, ""),
            (good, other, True, "trusted"),
            (elsewhere, elsewhere, True, "match"),
            (expired, expired, True, "expired"),
            (elsewhere, elsewhere, False, ""),
            (elsewhere, other, False, "trusted"),
        ):
            with FileServer(ssl=server.server_context()) as http:
                http.files["/a"] = _DATA
                http.faults["/a"] = [Fault(cut_at=3000)] if not word else []
                pem = trusted.ca_file.read_text()
                said = await _fetch(http.url("/a"), pem=pem, name=name, tries=3)
                if word:
                    assert word in said[0][0] and not http.requests, said
                else:
                    assert said[0][0] == "" and said[0][2] == _hash(_DATA), said
                    assert len(http.requests) == 2, said
                    assert http.requests[1][2].get("range", "").startswith("bytes="), said

    asyncio.run(run())


_UPLOAD = """
    calls = []
    def source():
        calls.append(1)
        for n in range(count):
            yield "line %d \\u00e9\\n" % n
        if grows and len(calls) > 1:
            yield "more"
        if shrinks and len(calls) == 1:
            yield "less"
    files = open_files()
    for url in urls:
        del calls[:]
        try:
            await Way(cadata=pem and pem.encode(), idle_ms=800, post=lambda: post).upload(url, source)
            say("")
        except OSError as exc:
            say(str(exc))
    gc.collect()
    say(open_files() - files, idle())
"""


async def _upload(*urls: str, count: int = 500, pem: str = "", **more: Any) -> list[str]:
    arguments = {"post": False, "grows": False, "shrinks": False, **more}
    said = await _say(_UPLOAD, urls=urls, count=count, pem=pem, **arguments)
    assert said[-1] == [0, True], said
    return [line[0] for line in said[:-1]]


def _text(count: int = 500) -> bytes:
    return "".join(f"line {n} é\n" for n in range(count)).encode()


def test_http_uploads(tmp_path: Path) -> None:
    certificates = make_certificates(tmp_path, "127.0.0.1")

    async def run() -> None:
        with FileServer() as http, FileServer(ssl=certificates.server_context(), auth=("u", "p")) as secure:
            http.faults["/moved"] = [Fault(location="/there", status=307)]
            http.faults["/refused"] = [Fault(status=403)]
            http.faults["/early"] = [Fault(read=100, status=413)]
            http.faults["/silent"] = [Fault(silent=3)]
            names = ("/a", "/moved", "/refused", "/early", "/silent")
            pem = certificates.ca_file.read_text()
            urls = [http.url(name) for name in names]
            said = await _upload(*urls, secure.url("/s", "u:p@"), secure.url("/s", "u:x@"), pem=pem)
            assert said[:2] == ["", ""] and "403" in said[2] and "ETIMEDOUT" in said[4], said
            assert "413" in said[3] or "ECONNRESET" in said[3], said
            assert said[5] == "" and "401" in said[6]
            assert http.uploads == {"/a": _text(), "/there": _text()} and secure.uploads == {"/s": _text()}
            http.uploads.clear()
            # The promised length is kept, whatever the source does.
            assert await _upload(http.url("/g"), grows=True) == [""]
            assert await _upload(http.url("/s"), shrinks=True, bits=32) == [""]
            assert await _upload(http.url("/e"), count=0) == [""]
            assert http.uploads == {"/g": _text(), "/s": _text() + b"\n" * 4, "/e": b""}
            assert await _upload(http.url("/d/p%20q.txt?x=1"), post=True) == [""]
            method, path, headers = http.requests[-1]
            assert (method, path) == ("POST", "/d/p%20q.txt?x=1")
            assert headers["content-disposition"] == 'attachment; filename="p%20q.txt"'

    asyncio.run(run())


def test_ftp() -> None:
    async def run() -> None:
        with FtpServer(user="us er", password="p:w") as ftp:
            login = "us%20er:p:w@"
            said = await _upload(ftp.url("logs/new/a%20b.txt", login), ftp.url("%2Flogs/c", login))
            assert said == ["", ""] and ftp.files == {"/logs/new/a b.txt": _text(), "/logs/c": _text()}, said
            ftp.files["/logs/fw"] = _DATA
            (fetched,) = await _fetch_ftp(ftp, login)
            assert fetched[:3] == ["", len(_DATA), _hash(_DATA)]
            ftp.drop_at = 6000
            (dropped,) = await _fetch_ftp(ftp, login, tries=1)
            assert dropped[0] == f"{len(_DATA) - 6000} bytes are missing"
            for url, word in (
                (ftp.url("x", "us%20er:wrong@"), "530"),
                (ftp.url("x"), "530"),
                (ftp.url("none/x", login), "550"),
                (ftp.url("logs/", login), "names no file"),
                (ftp.url("a%0D%0ADELE%20b", login), "line break"),
            ):
                assert word in (await _upload(url))[0], url
            assert not any("DELE" in command for command in ftp.commands)
            for command, reply, word in (
                ("TYPE", b"500 no", "FTP 500"),
                ("STOR", b"553 no", "FTP 553"),
                ("STOR", b"", "connection closed"),
                ("EPSV", b"229 Entering (|||0|)", "no port"),
                ("EPSV", b"nonsense", "not FTP"),
                ("USER", b"331-a\r\n" * 60 + b"331-", "without end"),
            ):
                ftp.faults[command] = [reply]
                assert word in (await _upload(ftp.url("y", login)))[0], (command, reply)
            ftp.drop_at = 1000
            said = await _upload(ftp.url("logs/full", login), count=50_000)
            assert said[0] and "/logs/full" not in ftp.files, said
        with FtpServer(epsv=False) as ftp:  # an old one, which tells an address behind its router
            ftp.lie = True
            assert await _upload(ftp.url("old"), bits=32) == [""] and ftp.files == {"/old": _text()}
        with FtpServer(epsv=False, pasv=False) as ftp:
            assert "502" in (await _upload(ftp.url("old")))[0]

    asyncio.run(run())


async def _fetch_ftp(ftp: FtpServer, login: str, tries: int = 2) -> list[list[Any]]:
    return await _fetch(ftp.url("logs/fw", login), tries=tries)


def test_quiet_time_is_waited_for() -> None:
    """What blocks the program waits until it may; an address in numbers needs no look-up and goes at once."""

    async def run() -> None:
        with FileServer() as http:
            http.files["/a"] = b"x"
            said = await _say(
                """
                asked = []
                def quiet():
                    asked.append(1)
                    return len(asked) > 2
                for url in urls:
                    del asked[:]
                    say(await fetch(url, Way(quiet=quiet), Sink()), len(asked))
                """,
                urls=[http.url("/a"), http.url("/a", host="localhost")],
            )
            assert said == [["", 0], ["", 3]]

    asyncio.run(run())


def test_addresses() -> None:
    async def run() -> None:
        said = await _say(
            """
            for url in urls:
                try:
                    parts = list(address.parse(url))
                    say([str(p, "utf-8") if isinstance(p, bytes) else p for p in parts])
                except ValueError as exc:
                    say("ValueError", "secret" in str(exc))
            for location, name in joins:
                say(address.join(location, name))
            say(address.shown("https://u:secret@h:1/secret"))
            """,
            urls=[
                "HTTP://h",
                "https://u:p%3A%40@h:8443/a/b?c#d",
                "ftp://[2001:db8::1]:2121/x",
                "http://u@h?x",
                "ftp://a:secret@",
                "http://h:/x",
                "http://h:0/x",
                "http://h:1:2/",
                "http://[::1/x",
                "http://h/a b",
                "ws://h/",
                "secret",
                "http://u:secret%zz@h/",
                "http://u:secret%4@h/",
            ],
            joins=[
                ["http://h/d/", "n"],
                ["http://h/put", "n"],
                ["ftp://h", "n"],
                ["FTP://h/d", "n"],
                ["ftp://h/d/", "n"],
            ],
        )
        assert said[:4] == [
            [["http", "h", 80, "h", None, None, "/"]],
            [["https", "h", 8443, "h:8443", "u", "p:@", "/a/b?c"]],
            [["ftp", "2001:db8::1", 2121, "[2001:db8::1]:2121", None, None, "/x"]],
            [["http", "h", 80, "h", "u", "", "/?x"]],
        ]
        assert said[5] == [["http", "h", 80, "h:", None, None, "/x"]]
        assert all(said[n] == ["ValueError", False] for n in (4, *range(6, 14))), said
        assert [line[0] for line in said[14:]] == [
            "http://h/d/n",
            "http://h/put",
            "ftp://h/n",
            "FTP://h/d/n",
            "ftp://h/d/n",
            "https://h:1",
        ]

    asyncio.run(run())
