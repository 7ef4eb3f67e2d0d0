"""charger.installer and charger.diagnostics: what is taken from a server, and what is told to one."""

import asyncio
import os

from fakes import FakeClock, FakeLog
from log import Log

from charger import files, installer, maintenance
from charger.maintenance import Files
from ocpp16 import ChargePoint, access
from ocpp16.dial import Access
from ocpp16.ramstore import RamStore

FOLDER = "test_maintenance.%02x%02x" % tuple(os.urandom(2))
SECRET = "sixteen letters!"


def setup():
    os.mkdir(FOLDER)


def teardown():
    for name in os.listdir(FOLDER):
        os.remove(FOLDER + "/" + name)
    os.rmdir(FOLDER)


def _refused(function, *arguments):
    try:
        function(*arguments)
    except (OSError, ValueError) as exc:
        return type(exc)
    return None


class Home:
    """What an installer sees of a program that does not run from a slot."""

    data_dir = FOLDER

    def __init__(self):
        self.hal = self


def test_nothing_is_installed_without_slots():
    """There is nowhere to put it; bundles into slots: test_update_install.py."""
    for data in (b"\x1f\x8b\x08" + bytes(3000), b"#!/bin/sh\n", b"x"):
        taken = installer.Installer(Home())
        taken.open(len(data))
        for at in range(0, len(data), 1024):
            taken.write(memoryview(data)[at : at + 1024])
        assert os.stat(FOLDER + "/update.part")[6] <= len(data)
        assert _refused(lambda taken=taken: asyncio.run(taken.install())) is ValueError
        assert asyncio.run(taken.outcome()) is None
        taken.abort()
        taken.abort()
        assert not os.listdir(FOLDER)


def test_size_is_bounded():
    taken = installer.Installer(Home())
    assert _refused(taken.open, (1 << 20) + 1) is ValueError and not os.listdir(FOLDER)
    for size in (None, 5):  # not told, or a lie
        taken.open(size)
        piece = memoryview(bytes(1 << 15))
        count = 0
        while _refused(taken.write, piece) is None:
            count += 1
        assert 1 <= count <= 1 << 5
        taken.abort()
        assert not os.listdir(FOLDER)


def test_full_flash():
    """64 kB stay free for transactions."""
    real = os.statvfs
    for free, size, opens in (
        (20, 16_384, True),
        (20, 16_385, False),
        (16, 1, False),
        (20, None, True),
        (0, None, True),
        (5, 4097, False),
    ):
        installer.os = type("Os", (), {"statvfs": lambda path: (4096, 4096, 100, free), "remove": os.remove})
        try:
            taken = installer.Installer(Home())
            assert (_refused(taken.open, size) is None) == opens, (free, size)
            if opens and size is None:
                assert (_refused(taken.write, memoryview(b"x")) is None) == (free > 16)
            taken.abort()
        finally:
            installer.os = os
    assert os.statvfs is real


class Outlet:
    number = 1

    def __init__(self, connector):
        self.connector = connector
        self.gate = self
        self.flows = False

    def may_flow(self):
        return self.flows


class Connector:
    transaction = None

    def derive(self, now):
        return ("Available", "NoError", "", "")


class Bus:
    is_up = True

    def counters(self):
        return {"rx": 7}


class App:
    data_dir = FOLDER

    def __init__(self):
        self.clock = FakeClock()
        self.clock.advance(1000)
        self.hal = self
        self.log = Log(self.clock)
        self.outlets = [Outlet(Connector())]
        self.buses = [("pm1", Bus(), None)]
        reach = Access("ws://csms.example/x", "RIVOT 7/a", SECRET)
        rows = (access.ROWS, "RivotUploadMethod RW csl PUT PUT|POST")
        self.cp = ChargePoint(self.clock, RamStore(), FakeLog(), [], {}, reach.dial, config_rows=rows)
        reach.join(self.cp)

    def reset_cause(self):
        return "power"


def test_diagnostics():
    app = App()
    files.write_json(FOLDER + "/settings.json", {"ocpp.authorization_key": SECRET, "power.max_ma": 20_000})
    app.cp.config.change("HeartbeatInterval", "77")
    app.log.info("a", "before the clock")
    app.clock.advance(10_000)
    app.log.info("b", "old")
    app.clock.advance(100_000)
    app.log.info("c", "new")
    name, source = Files(app).diagnostics(None, None)
    assert name == "RIVOT_7_a.txt"
    text = "".join(source())
    for part in ("identity RIVOT 7/a, url ws://csms", "connector 1: Available NoError", "bus pm1: {'rx': 7}"):
        assert part in text, text
    for part in (
        "power.max_ma = 20000\n",
        "ocpp.authorization_key = (set)\n",
        "HeartbeatInterval = 77\n",
        " I c: new\n",
    ):
        assert part in text, text
    assert SECRET not in text
    app.clock.set_utc(1_769_000_111)  # the log began at 1_769_000_000
    name, source = Files(app).diagnostics(1_769_000_050, None)
    assert name.startswith("RIVOT_7_a_2026") and name.endswith("Z.txt") and ":" not in name
    assert next(line for line in "".join(source()).split("\n") if " I " in line).endswith("c: new")
    lines = "".join(Files(app).diagnostics(None, 1_769_000_050)[1]())
    assert "b: old" in lines and "c: new" not in lines
    first = "".join(source())
    app.log.info("d", "later")
    app.clock.advance(60_000)
    assert "".join(source()) == first, "the same each time"


def test_memory_is_the_session_s_first():
    app = App()
    free = maintenance.gc.mem_free
    for kilobytes, flows, told in ((12, False, True), (12, True, False), (30, True, True)):
        app.outlets[0].flows = flows
        maintenance.gc = type("Gc", (), {"collect": lambda: 0, "mem_free": lambda size=kilobytes: size * 1000})
        try:
            assert (Files(app).diagnostics(None, None) is not None) == told
        finally:
            maintenance.gc = __import__("gc")
    assert maintenance.gc.mem_free is free


def test_settings_texts_and_addresses():
    """Of texts only what the schema calls no secret, and no login of an address."""
    app = App()
    values = {"wifi.ssid": "a network", "wifi.password": "geheim12", "no.such": "geheim34"}
    values["ocpp.url"] = "ws://u:geheim56@h/p?t=geheim78"
    files.write_json(FOLDER + "/settings.json", values)
    app.cp.access.values = (values["ocpp.url"],) + app.cp.access.values[1:]
    text = "".join(Files(app).diagnostics(None, None)[1]())
    assert "geheim" not in text, text
    for part in ("wifi.ssid = a network\n", "wifi.password = (set)\n", "no.such = (set)\n", "ocpp.url = ws://h/p\n"):
        assert part in text, text
    assert "identity RIVOT 7/a, url ws://h/p\n" in text


def test_damaged_settings_are_no_obstacle():
    app = App()
    with open(FOLDER + "/settings.json", "w") as f:
        f.write('{"a": 1')
    assert "[log in memory]" in "".join(Files(app).diagnostics(None, None)[1]())


def test_quiet_time():
    app = App()
    way = Files(app).way()
    assert way.quiet() and way.cadata() is None and not way.post() and way.check_hostname
    app.outlets[0].flows = True
    assert not way.quiet()
    app.outlets[0].flows = False
    app.outlets[0].connector.transaction = object()
    assert not way.quiet()
    assert app.cp.config.change("RivotUploadMethod", "POST") == "Accepted" and Files(app).way().post()
