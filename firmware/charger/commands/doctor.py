"""What keeps this charger from its central system? One verdict and one next step per layer, from below. A cold module.

A charger that is connected is not disturbed by a second connection; and while a session runs nothing is tried, because
names and TLS stop the program for up to seconds.
"""

import asyncio

from cold import cold
from micropython import const

import wsclient

_TIMEOUT_MS = const(15_000)
_NAME_TRIES = const(8)
_NAME_MS = const(1000)


async def _doctor(console, text):
    app = console.app
    cp = app.cp

    async def row(name, good, step=""):
        await console.say("%-13s %-9s %s" % (name, {True: "ok", False: "FAIL", None: "left out"}[good], step))

    now = app.clock.utc()
    await row(
        "time", True if now is not None else None, "" if now is not None else "unknown; TLS may refuse certificates"
    )
    if not await _network(app, row):
        return
    if not app.online:
        await row("address", False, "ocpp.url is not set: the command setup asks for it")
        return
    access = cp.access
    try:
        url, options = cold("ocpp16.access").attempt(access)
    except (ValueError, OSError) as exc:
        await row("address", False, "%s" % exc)
        return
    await row("address", True, url)
    if cp.connected:
        for name in ("name", "TCP", "TLS") if url[:3] == "wss" else ("name", "TCP"):
            await row(name, True)
        await row("HTTP", True, "connected now")
        await row("subprotocol", True, "ocpp1.6")
        await boot(cp, row)
        return
    if not console.is_idle():
        await row(
            "connection", None, "a session runs: nothing is tried. Last time: %s" % (cp.last_error or "nothing yet")
        )
        await _say_step(row, status_in(cp.last_error))
        return
    await _try(cp, url, options, row)


async def _network(app, row):
    try:
        wifi = app.hal.wifi
    except AttributeError:
        await row("network", True, "that of this computer")
        return True
    if wifi is None:
        await row("Wi-Fi", False, "none is set: wifi join")
    elif not wifi.address:
        await row("Wi-Fi", False, "no address: log tells why; wifi scan shows what is in reach")
    else:
        await row("Wi-Fi", True, "%s, signal %s dBm" % (wifi.address, wifi.rssi()))
        return True
    return False


async def _try(cp, url, options, row):
    """Name, TCP, then all of it as the charger itself does."""
    host, port = cold("wsclient.handshake").parse_url(url)[1:3]
    for left in range(_NAME_TRIES, 0, -1):
        try:
            wsclient.resolve(host, port)
            break
        except OSError as exc:  # on a device it is asked in the background
            if left == 1:
                await row("name", False, "%s is not found (%s): the name in ocpp.url, or the name server" % (host, exc))
                return
            await asyncio.sleep_ms(_NAME_MS)
    await row("name", True, host)
    net = cold("net")
    try:
        raw, stream = await net.connect(host, port, net.Deadline(_TIMEOUT_MS), None, True, wsclient.resolve)
        net.close(raw, stream)
    except (OSError, ValueError) as exc:
        await row(
            "TCP", False, "port %d does not answer (%s): port in ocpp.url, firewall, is the server up?" % (port, exc)
        )
        return
    del net
    await row("TCP", True, "port %d" % port)
    secure = url[:3] == "wss"
    status, reason = 0, ""
    try:
        ws = await wsclient.connect(url, subprotocols=("ocpp1.6",), timeout_ms=_TIMEOUT_MS, **options)
        await ws.close()
        status = 101
    except wsclient.HandshakeError as exc:
        status, reason = exc.status, exc.reason
    if secure:
        if not status:
            await row("TLS", False, "%s: certificate, ocpp.ca_file, and the time of day" % reason)
            return
        await row("TLS", True)
    if status != 101:
        await row("HTTP", False, reason or "no answer")
        await _say_step(row, status)
        return
    await row("HTTP", True, "101")
    if reason:
        await row("subprotocol", False, "%s: the server does not speak OCPP 1.6J at this address" % reason)
        return
    await row("subprotocol", True, "ocpp1.6")
    await boot(cp, row)


async def _say_step(row, status):
    if not status:
        return
    step = {
        400: "refuses the request: identity (ocpp.identity) or subprotocol is not what it expects",
        401: "wants another password: ocpp.authorization_key must be what is stored there for this identity",
        403: "forbids this charger: is it blocked, or is the identity of somebody else?",
        404: "does not know this identity: register it there, letter by letter, or correct the path in ocpp.url",
        426: "wants another protocol: the address is not that of an OCPP 1.6J endpoint",
    }.get(status)
    if step is None:
        step = "has trouble of its own: its operator must look" if status >= 500 else "is no OCPP server at this path"
    await row("next step", False, "the server " + step)


async def boot(cp, row):
    """The row of the registration."""
    step = {
        "Accepted": "",
        "Pending": "the central system has not released this charger yet: it does so by itself, or its operator",
        "Rejected": "the central system refuses this charger: register it there",
    }.get(cp.registration, "not asked yet: it follows the connection")
    await row("Boot", True if cp.registration == "Accepted" else False if step[:3] == "the" else None, step)


def status_in(text):
    """HTTP status in the words of a failed connection, or 0."""
    at = text.find("HandshakeError: (")
    number = text[at + 17 : at + 20] if at >= 0 else ""
    return int(number) if len(number) == 3 and number.isdigit() else 0


COMMANDS = (_doctor,)  # in the order of table.py
