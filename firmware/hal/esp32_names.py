"""Host names to addresses without stopping the program: the port's getaddrinfo blocks everything for up to 20 s.

A DNS query over UDP for one A record (RFC 1035, sections 4.1 and 3.2.2). `resolve` takes the place of wsclient.resolve:
it answers at once from what is known, and otherwise fails and has the name looked up for the next attempt.
"""

import asyncio
import errno
import os
import socket

from cold import cold
from micropython import const

_KEPT = const(4)  # names: the central system, NTP, and what a download needs
_FRESH_MS = const(600_000)
_TRIES = const(3)
_WAIT_MS = const(2000)
_NAP_MS = const(20)
_PORT = const(53)


class Names:
    """server -- callable: address of the name server or None; may_block -- callable: a block would disturb nobody

    failed -- how many lookups found nothing
    """

    def __init__(self, server, may_block, clock, log, port=_PORT):
        self._server = server
        self._may_block = may_block
        self._clock = clock
        self._log = log
        self._port = port
        self._known = {}  # name -> (address, uptime ms)
        self._wanted = []
        self._asked = asyncio.Event()
        self.failed = 0

    def resolve(self, host, port):
        """getaddrinfo tuples of a name or an address; never waits. OSError: not known yet."""
        address = self.find(host)
        if address is None:
            if not host.endswith(".local") or not self._may_block():  # names of the local network: only the port can
                raise OSError(errno.EHOSTUNREACH)
            address = host
        return socket.getaddrinfo(address, port, 0, socket.SOCK_STREAM)

    def find(self, host):
        """Address of a name as text, or None: it is being looked up."""
        if all("0" <= c <= "9" or c == "." for c in host):
            return host
        address, at = self._known.get(host, (None, 0))
        if address is None or self._clock.uptime_ms() - at > _FRESH_MS:
            if host not in self._wanted and len(self._wanted) < _KEPT:
                self._wanted.append(host)
            self._asked.set()
        return address

    async def run(self):
        """Look up what is wanted, for ever."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            while self._wanted:
                host = self._wanted[0]
                server = self._server()
                while server is None:
                    await asyncio.sleep_ms(200)
                    server = self._server()
                address = await self._look_up(host, server)
                self._wanted.remove(host)
                if address is None:
                    self.failed += 1
                    self._log.warn("names", "no address for %s from %s" % (host, server))
                    continue
                if len(self._known) >= _KEPT and host not in self._known:
                    self._known.pop(min(self._known, key=lambda name: self._known[name][1]))
                self._known[host] = (address, self._clock.uptime_ms())

    async def _look_up(self, host, server):
        pure = cold("hal.esp32_dns")
        for _ in range(_TRIES):
            ident = os.urandom(2)
            try:
                data = await exchange(server, self._port, pure.query(ident, host), ident, _WAIT_MS)
            except OSError:
                data = None
            except ValueError:
                return None  # no name that DNS could know
            if data is not None:
                return pure.answer(data, ident, host)
        return None


async def exchange(server, port, request, mark, wait_ms):
    """Send one datagram to an address; return the first that comes back with `mark` in it, or None. OSError: cannot."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.connect(socket.getaddrinfo(server, port)[0][-1])  # then only this peer's datagrams come in
        sock.send(request)
        for _ in range(wait_ms // _NAP_MS):
            await asyncio.sleep_ms(_NAP_MS)
            try:
                data = sock.recv(512)
            except OSError as exc:
                if exc.errno != errno.EAGAIN:
                    raise
                continue
            if mark in data:
                return data
        return None
    finally:
        sock.close()
