"""`python -m tools.csms`: the bench central system as a program. README.md has examples."""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import sys
from pathlib import Path

from tools.csms.certificates import make_certificates
from tools.csms.control import Control, log_line, serve_peer
from tools.csms.server import BenchCsms


def address(text: str) -> tuple[str, int]:
    """HOST:PORT; port 0 takes a free one."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 0xFFFF:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT")
    return host.strip("[]"), int(port)


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.csms",
        description="Bench central system for OCPP 1.6J charge points. Commands on stdin: help, start id_tag=A, ...",
    )
    parser.add_argument("--listen", type=address, default=("127.0.0.1", 9000), metavar="HOST:PORT")
    parser.add_argument("--control", type=address, metavar="HOST:PORT", help="JSON lines over TCP as well as stdin")
    parser.add_argument("--db", default=":memory:", metavar="FILE", help="sqlite file to keep")
    parser.add_argument("--identity", action="append", metavar="NAME", help="known charge point; others get HTTP 404")
    parser.add_argument("--auth", metavar="KEY", help="password for HTTP Basic: 32-40 hex digits are taken as bytes")
    parser.add_argument("--tls", type=Path, metavar="DIR", help="wss with a new certificate; DIR/ca.pem to verify it")
    parser.add_argument("--interval", type=int, default=300, metavar="S", help="heartbeat interval to hand out")
    parser.add_argument("--transaction-start", type=int, default=1, metavar="N", help="first transaction id")
    parser.add_argument("--record", type=Path, metavar="FILE", help="write every frame to FILE (JSON lines)")
    parser.add_argument("--quiet", action="store_true", help="no line per frame")
    return parser


def key_bytes(text: str | None) -> bytes | None:
    """A password as bytes; AuthorizationKey travels as hex (OCPP 1.6 security white paper, section 2.3)."""
    if text is None:
        return None
    if 32 <= len(text) <= 40 and len(text) % 2 == 0 and all(c in "0123456789abcdefABCDEF" for c in text):
        return bytes.fromhex(text)
    return text.encode()


async def run(options: argparse.Namespace) -> None:
    """Serve until quit, a signal, or the end of stdin when that is a pipe (whoever started us is gone)."""
    ssl = None
    if options.tls:
        options.tls.mkdir(parents=True, exist_ok=True)
        ssl = make_certificates(options.tls, options.listen[0]).server_context()
    async with BenchCsms(
        host=options.listen[0],
        port=options.listen[1],
        db=options.db,
        ssl=ssl,
        basic_auth=key_bytes(options.auth),
        identities=options.identity,
        transaction_start=options.transaction_start,
    ) as csms:
        csms.register("Accepted", options.interval)
        control = Control(csms)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, control.quit_asked.set)
        hello = {"listening": csms.url}
        server = None
        if options.control:
            server = await asyncio.start_server(
                lambda reader, writer: serve_peer(control, csms, reader, writer), *options.control
            )
            host, port = server.sockets[0].getsockname()[:2]
            hello["control"] = f"{host}:{port}"
        print(json.dumps(hello), flush=True)
        if not options.quiet:
            csms.transcript.listeners.append(lambda frame: print(log_line(frame), flush=True))
        record = None
        if options.record:
            record = options.record.open("w", encoding="utf-8", buffering=1)
            csms.transcript.listeners.append(lambda frame: print(json.dumps(frame.to_dict()), file=record))
        commands = asyncio.create_task(_commands(control))
        await control.quit_asked.wait()
        commands.cancel()
        if server is not None:
            server.close()
    if record is not None:
        record.close()


async def _commands(control: Control) -> None:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    piped = not os.isatty(sys.stdin.fileno())
    try:
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    except (ValueError, OSError):
        return  # stdin is /dev/null or a file: no commands from there
    while line := await reader.readline():
        if line.strip():
            print(json.dumps(await control.handle(line.decode("utf-8", "replace"))), flush=True)
    if piped:
        control.quit_asked.set()


def main() -> int:
    """0 after a normal end, 2 when it cannot start."""
    options = arguments().parse_args()
    try:
        with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
            asyncio.run(run(options))
    except OSError as error:
        print(f"cannot start: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
