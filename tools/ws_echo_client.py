"""Echo client for websocket conformance rigs, run by MicroPython; --help says more."""

import gc
import os
import sys

sys.path.insert(0, (sys.argv[0].rpartition("/")[0] or ".") + "/../lib")

import asyncio

import wsclient

_HEAP = 80
_MAX_SIZE = 1 << 24
_CHILD = "WS_ECHO_CLIENT_CHILD"  # set for the second start, so that there is never a third
_USAGE = "usage: micropython [-X heapsize=80m] ws_echo_client.py URL [AGENT]"
_HELP = """
URL is the fuzzing server, ws://HOST:PORT. As Autobahn|Testsuite defines it, the client asks /getCaseCount, runs
/runCase?case=N&agent=AGENT for N = 1 to the count, echoing every message as the type it came in, and ends with
/updateReports?agent=AGENT. The verdicts are the server's. Messages up to 16 MiB are echoed.

Exit status: 0 all cases were run, 1 a connection could not be opened, 2 wrong arguments.
Long messages need more heap than MicroPython starts with (it holds a message twice): the program starts itself again
with -X heapsize=80m unless it already has that much."""


def quoted(text):
    """text as one word for the shell."""
    return "'" + text.replace("'", "'\\''") + "'"


def encoded(text):
    """text percent-encoded for a query (RFC 3986 section 3.4)."""
    return "".join(
        [
            chr(b) if b < 128 and (chr(b).isalpha() or chr(b).isdigit() or b in b"-._~") else "%%%02X" % b
            for b in text.encode()
        ]
    )


async def echo(url):
    """One connection: echo until it ends; return (messages, WsClosed)."""
    ws = await wsclient.connect(url, max_size=_MAX_SIZE)
    count = 0
    try:
        while True:
            await ws.send(await ws.recv())
            count += 1
    except wsclient.WsClosed as exc:
        await ws.close()
        return count, exc


async def case_count(url):
    """The number that the rig says."""
    ws = await wsclient.connect(url)
    try:
        return int(await ws.recv())
    finally:
        await ws.close()


async def run(url, agent):
    """Run all cases; return the exit status."""
    status = 0
    try:
        total = await case_count(url + "/getCaseCount")
        for number in range(1, total + 1):
            try:
                count, end = await echo("%s/runCase?case=%d&agent=%s" % (url, number, encoded(agent)))
                print("case %d/%d: %d echoed, closed %d %s" % (number, total, count, end.code, end.reason))
            except wsclient.HandshakeError as exc:
                print("case %d/%d: not opened: %s" % (number, total, exc.reason))
                status = 1
            gc.collect()
        await echo("%s/updateReports?agent=%s" % (url, encoded(agent)))
    except wsclient.HandshakeError as exc:
        print("not opened:", exc.reason)
        return 1
    return status


def main(arguments):
    if "-h" in arguments or "--help" in arguments:
        print(_USAGE + _HELP)
        return 0
    if not 1 <= len(arguments) <= 2 or not arguments[0].startswith("ws"):
        print(_USAGE)
        return 2
    if gc.mem_free() + gc.mem_alloc() < (_HEAP << 20) * 9 // 10 and not os.getenv(_CHILD):
        words = [sys.executable, "-X", "heapsize=%dm" % _HEAP, sys.argv[0]] + arguments
        return 1 if os.system(_CHILD + "=1 exec " + " ".join([quoted(word) for word in words])) else 0
    url = arguments[0]
    while url.endswith("/"):
        url = url[:-1]
    return asyncio.run(run(url, arguments[1] if len(arguments) > 1 else "micropython-wsclient"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
