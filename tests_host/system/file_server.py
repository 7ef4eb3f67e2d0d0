"""Servers for transfers: HTTP(S) on http.server, and a small FTP server (RFC 959, RFC 2428). Both misbehave on demand.

with FileServer(ssl=context) as http:        # http.url("/name")
    http.files["/name"] = data
    http.faults["/name"] = [Fault(drop_at=5000), Fault(status=503)]   # one request each, then the normal answer
    ...
    http.uploads["/name"], http.requests
with FtpServer(user="u", password="p") as ftp:   # ftp.url("folder/name"); ftp.files, ftp.commands
"""

import base64
import hashlib
import socket
import socketserver
import ssl as ssl_module
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self


@dataclass(frozen=True)
class Fault:
    """What one request meets. status: this answer. location: a redirect (with status 302 unless given). drop_at: the
    connection is reset after so many bytes of the body. cut_at: it is closed in order there, as if that were all.
    claim: the length that is told. chunked: no length, chunks. plain: neither length nor chunks. pace: seconds between
    pieces of 512 bytes. no_range: the whole file, whatever was asked for. tag: the ETag told. raw: these bytes are the
    whole answer. silent: seconds without any answer. read: bytes of an upload that are read before the answer."""

    status: int = 0
    location: str = ""
    drop_at: int | None = None
    cut_at: int | None = None
    claim: int | None = None
    chunked: bool = False
    plain: bool = False
    pace: float = 0.0
    no_range: bool = False
    tag: str | None = None
    raw: bytes = b""
    silent: float = 0.0
    read: int | None = None


NORMAL = Fault()
_PIECE = 512


class FileServer:
    """See the module's text. auth: user and password that every request must have."""

    def __init__(self, *, ssl: ssl_module.SSLContext | None = None, auth: tuple[str, str] | None = None) -> None:
        self.files: dict[str, bytes] = {}
        self.faults: dict[str, list[Fault]] = {}
        self.uploads: dict[str, bytes] = {}
        self.requests: list[tuple[str, str, dict[str, str]]] = []  # method, path, headers (lower-case names)
        self.finished = threading.Semaphore(0)  # one more for each upload
        self.auth = auth
        self._scheme = "https" if ssl else "http"
        outer = self

        class Handler(_Handler):
            server_of_files = outer

        self._server = _Server(("127.0.0.1", 0), Handler)
        self._server.context = ssl
        self.port = int(self._server.server_address[1])

    def url(self, path: str, login: str = "", host: str = "127.0.0.1") -> str:
        return f"{self._scheme}://{login}{host}:{self.port}{path}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def take_fault(self, path: str) -> Fault:
        faults = self.faults.get(path)
        return faults.pop(0) if faults else NORMAL


class _Server(ThreadingHTTPServer):
    context: ssl_module.SSLContext | None = None
    daemon_threads = True

    def finish_request(self, request: Any, client_address: Any) -> None:
        request.settimeout(20)
        if self.context is not None:
            request = self.context.wrap_socket(request, server_side=True)
        super().finish_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.close_request(request)  # without the orderly end before it: a reset shall be one

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up, or does not like our certificate, is part of the test."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_of_files: FileServer

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        fault = self._enter()
        if fault is None:
            return
        data = self.server_of_files.files.get(self.path)
        if data is None:
            self._answer(404)
            return
        tag = fault.tag if fault.tag is not None else f'"{hashlib.sha256(data).hexdigest()[:16]}"'
        begin = 0
        asked = self.headers.get("Range")
        if asked and not fault.no_range and self.headers.get("If-Range") in (None, tag):
            begin = int(asked.removeprefix("bytes=").rstrip("-"))
        self.send_response(206 if begin else 200)
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(data) - 1}/{len(data)}")
        if tag:
            self.send_header("ETag", tag)
        if fault.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        elif not fault.plain:
            self.send_header("Content-Length", str(fault.claim if fault.claim is not None else len(data) - begin))
        self.end_headers()
        self._body(data[begin:], fault)

    def _body(self, data: bytes, fault: Fault) -> None:
        end = min(n for n in (fault.drop_at, fault.cut_at, len(data)) if n is not None)
        for at in range(0, end, _PIECE):
            piece = data[at : min(at + _PIECE, end)]
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if fault.chunked else piece)
            if fault.pace:
                self.wfile.flush()
                time.sleep(fault.pace)
        if fault.chunked and fault.drop_at is None and fault.cut_at is None:
            self.wfile.write(b"0\r\nTrailer: x\r\n\r\n")
        if fault.drop_at is not None:
            self.wfile.flush()
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.close_connection = True

    def do_PUT(self) -> None:
        fault = self._enter()
        if fault is None:
            return
        size = int(self.headers["Content-Length"])
        data = b""
        while len(data) < (size if fault.read is None else fault.read):
            piece = self.rfile.read1(min(4096, size - len(data)))
            if not piece:
                return
            data += piece
        if fault.read is not None:
            self._answer(fault.status or 413)
            return
        self.server_of_files.uploads[self.path] = data
        self._answer(fault.status or 201)
        self.server_of_files.finished.release()

    do_POST = do_PUT

    def _enter(self) -> Fault | None:
        """What this request meets; None: it has its answer."""
        server = self.server_of_files
        server.requests.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}))
        if server.auth is not None:
            wanted = "Basic " + base64.b64encode(":".join(server.auth).encode()).decode()
            if self.headers.get("Authorization") != wanted:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self._answer(401)
                return None
        fault = server.take_fault(self.path)
        if fault.silent:
            time.sleep(fault.silent)
            self.close_connection = True
            return None
        if fault.raw:
            self.wfile.write(fault.raw)
            self.close_connection = True
            return None
        if fault.location or (fault.status and fault.read is None):
            self.rfile.read(int(self.headers.get("Content-Length", 0)))  # else the answer is lost in a reset
        if fault.location:
            self._answer(fault.status or 302, fault.location)
            return None
        if fault.status and fault.read is None:
            self._answer(fault.status)
            return None
        return fault

    def _answer(self, status: int, location: str = "") -> None:
        self.send_response(status)
        if location:
            self.send_header("Location", location)
        self.send_header("Content-Length", "0")
        self.end_headers()
        self.close_connection = True


class FtpServer:
    """See the module's text. epsv, pasv: which of the two it knows. lie: the address that PASV tells is another one's.
    faults: command -> replies, one for each use (None: the normal one; b"": hang up)."""

    def __init__(
        self, *, user: str = "anonymous", password: str | None = None, epsv: bool = True, pasv: bool = True
    ) -> None:
        self.user, self.password, self.epsv, self.pasv = user, password, epsv, pasv
        self.lie = False
        self.files: dict[str, bytes] = {}
        self.folders = {"/", "/logs", "/logs/new"}
        self.commands: list[str] = []
        self.faults: dict[str, list[bytes | None]] = {}
        self.drop_at: int | None = None  # bytes of the next file that are sent or taken
        outer = self

        class Handler(_Ftp):
            ftp = outer

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])

    def url(self, path: str, login: str = "") -> str:
        return f"ftp://{login}127.0.0.1:{self.port}/{path}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Ftp(socketserver.StreamRequestHandler):
    ftp: FtpServer
    timeout = 20
    folder = "/"
    listener: socket.socket | None = None
    logged_in = False
    named = ""

    def handle(self) -> None:
        try:
            self._say(b"220-Hello\r\n220-  220 is not the end\r\n220 there")
            while line := self.rfile.readline():
                word, _, argument = line.decode().rstrip("\r\n").partition(" ")
                self.ftp.commands.append(word if word == "PASS" else f"{word} {argument}".strip())
                told = (self.ftp.faults.get(word) or [None]).pop(0) if self.ftp.faults.get(word) else None
                if told == b"":
                    return
                if told is not None:
                    self._say(told)
                elif word not in ("USER", "PASS") and not self.logged_in:
                    self._say(b"530 Who are you?")
                elif not getattr(self, f"do_{word}", self._unknown)(argument):
                    return
        except OSError:
            pass
        finally:
            if self.listener is not None:
                self.listener.close()

    def _say(self, text: bytes) -> bool:
        self.wfile.write(text + b"\r\n")
        return True

    def _unknown(self, _argument: str) -> bool:
        return self._say(b"502 What?")

    def do_USER(self, name: str) -> bool:
        self.logged_in = name == self.ftp.user and self.ftp.password is None
        self.named = name
        return self._say(b"230 In." if self.logged_in else b"331 Password?")

    def do_PASS(self, word: str) -> bool:
        self.logged_in = self.named == self.ftp.user and word == self.ftp.password
        return self._say(b"230 In." if self.logged_in else b"530 No.")

    def do_TYPE(self, _kind: str) -> bool:
        return self._say(b"200 Ok.")

    def do_CWD(self, name: str) -> bool:
        folder = name if name.startswith("/") else f"{self.folder.rstrip('/')}/{name}"
        if folder not in self.ftp.folders:
            return self._say(b"550 No such folder.")
        self.folder = folder
        return self._say(b"250 Ok.")

    def do_SIZE(self, name: str) -> bool:
        data = self.ftp.files.get(self._path(name))
        return self._say(b"550 No." if data is None else b"213 %d" % len(data))

    def do_EPSV(self, _argument: str) -> bool:
        if not self.ftp.epsv:
            return self._unknown("")
        return self._say(b"229 Extended (|||%d|)" % self._listen())

    def do_PASV(self, _argument: str) -> bool:
        if not self.ftp.pasv:
            return self._unknown("")
        port = self._listen()
        host = b"192,0,2,1" if self.ftp.lie else b"127,0,0,1"
        return self._say(b"227 Passive (%b,%d,%d)." % (host, port >> 8, port & 255))

    def do_RETR(self, name: str) -> bool:
        data = self.ftp.files.get(self._path(name))
        if data is None or self.listener is None:
            return self._say(b"550 No such file.")
        self._say(b"150 Here it comes.")
        with self.listener.accept()[0] as connection:
            connection.sendall(data[: self.ftp.drop_at])
        return self._end()

    def do_STOR(self, name: str) -> bool:
        if self.listener is None:
            return self._say(b"425 Where?")
        self._say(b"150 Go on.")
        data = b""
        with self.listener.accept()[0] as connection:
            while piece := connection.recv(4096):
                data += piece
                if self.ftp.drop_at is not None and len(data) >= self.ftp.drop_at:
                    self.ftp.drop_at = None
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                    return self._say(b"452 Full.")
        self.ftp.files[self._path(name)] = data
        return self._end()

    def do_QUIT(self, _argument: str) -> bool:
        self._say(b"221 Bye.")
        return False

    def _end(self) -> bool:
        self.ftp.drop_at = None
        return self._say(b"226 Done.")

    def _path(self, name: str) -> str:
        return f"{self.folder.rstrip('/')}/{name}"

    def _listen(self) -> int:
        if self.listener is not None:
            self.listener.close()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(10)
        return int(self.listener.getsockname()[1])
