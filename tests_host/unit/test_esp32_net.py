# timeout: 120
"""Wi-Fi ladder, host names, time and secrets of the ESP32 HAL: pure parts, and the services under a virtual clock."""

import asyncio
import os
import socket

import fake_esp32
from clock import Clock
from fakes import FakeClock, FakeLog, run_limited, virtual_run

CHIP = fake_esp32.install()

from hal import esp32_clock, esp32_dns, esp32_nvs, esp32_sntp, esp32_system
from hal.esp32_image import Image
from hal.esp32_ladder import ASSOCIATE, NOTHING, RADIO, RESTART, Ladder
from hal.esp32_names import Names
from hal.esp32_wifi import Wifi


def setup():
    CHIP.__init__()


# -- ladder


def climb(seconds, has_address, is_served, is_idle, is_hopeless=False, ladder=None, start=1000):
    """[(second, action)] of a ladder that is asked once a second; every argument may be a function of the second."""
    ladder = ladder or Ladder(start)
    found = []
    for n in range(seconds):
        values = [v(n) if callable(v) else v for v in (has_address, is_served, is_idle, is_hopeless)]
        action = ladder.step(start + n, *values)
        if action != NOTHING:
            found.append((n, action))
            if action == RESTART:
                break
    return found


def test_a_good_network_is_left_alone():
    assert climb(10_000, True, True, True) == [(0, RADIO)]
    assert climb(10_000, True, None, True) == [(0, RADIO)]  # no central system to ask


def test_no_address_climbs_with_growing_patience():
    found = climb(1000, False, False, False)
    assert found[:5] == [(0, RADIO), (30, ASSOCIATE), (90, RADIO), (210, ASSOCIATE), (450, RADIO)], found
    assert found[5:] == [(690, ASSOCIATE), (930, RADIO)], found


def test_restart_is_the_last_resort_and_only_while_idle():
    found = climb(20_000, False, False, False)
    assert RESTART not in [action for _, action in found]
    assert climb(20_000, False, False, lambda n: n > 9000)[-1] == (9001, RESTART)
    assert climb(20_000, False, False, True)[-1] == (7200, RESTART)
    assert RESTART not in [action for _, action in climb(20_000, False, False, True, True)]  # wrong password


def test_an_address_without_the_central_system():
    found = climb(10_000, True, False, False)
    assert found[:4] == [(0, RADIO), (601, ASSOCIATE), (1801, RADIO), (4201, ASSOCIATE)], found
    assert RESTART not in [action for _, action in found]
    ladder = Ladder(1000)
    assert climb(50_000, True, False, True, ladder=ladder)[-1] == (43_200, RESTART)
    assert ladder.step(1000 + 43_201, True, False, True) == RESTART  # asked again until somebody does it


def test_the_ladder_starts_anew_after_the_network_was_back():
    ladder = Ladder(0)
    climb(500, False, False, False, ladder=ladder, start=0)
    assert climb(10, True, True, False, ladder=ladder, start=500) == []
    assert climb(100, False, False, False, ladder=ladder, start=510) == [(30, ASSOCIATE), (90, RADIO)]


def test_time_that_passed_without_a_question_is_no_reason_to_hurry():
    """The loop was blocked, or the clock of a test jumped."""
    ladder = Ladder(0)
    ladder.step(0, True, True, True)
    ladder.step(1, True, True, True)
    assert ladder.step(100_000, True, True, True) == NOTHING
    assert ladder.step(100_001, False, True, True) == NOTHING


# -- Wi-Fi service


class FakeHal:
    def __init__(self):
        self.idle, self.served = False, True
        self.is_idle = lambda: self.idle
        self.is_online = lambda: self.served
        self.light = []
        self.restarts = 0

    def online(self, value):
        if self.light[-1:] != [value]:
            self.light.append(value)

    def request_restart(self):
        self.restarts += 1


def wifi(script, **radio):
    """Run `await script(wifi, hal, log, clock)` beside the service, under a virtual clock."""
    for name, value in radio.items():
        setattr(CHIP.wlan, name, value)

    async def main(clock):
        hal, log = FakeHal(), FakeLog()
        service = Wifi(hal, clock, log, "depot", "secret", "rivot-0102ff", "DE")
        task = asyncio.create_task(service.run())
        await script(service, hal, log, clock)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            pass
        assert service.address is None and hal.light[-1] is False

    virtual_run(main)


def test_wifi_connects_and_tells():
    async def script(service, hal, log, clock):
        await asyncio.sleep_ms(3000)
        assert service.address == "192.168.7.20" and service.rssi() == -60 and hal.light == [False, True]
        assert service.server() == "10.0.0.53"
        assert CHIP.wlan.hostname == "rivot-0102ff" and CHIP.wlan.country == "DE"
        calls = len(CHIP.wlan.calls)
        await asyncio.sleep_ms(3_600_000)
        assert len(CHIP.wlan.calls) == calls  # the driver reconnects by itself
        hal.served = False
        await asyncio.sleep_ms(2000)
        assert hal.light[-1] is False

    wifi(script, networks={"depot": "secret"}, nameserver="10.0.0.53")


def test_wifi_of_a_stack_that_hangs_until_the_radio_was_off():
    async def script(service, hal, log, clock):
        await asyncio.sleep_ms(3000)
        CHIP.wlan.stuck = True
        await asyncio.sleep_ms(60_000)
        assert service.address is None and ("disconnect",) in CHIP.wlan.calls
        await asyncio.sleep_ms(60_000)
        assert service.address == "192.168.7.20", CHIP.wlan.calls
        assert hal.restarts == 0

    wifi(script, networks={"depot": "secret"})


def test_wifi_asks_for_a_restart_only_while_idle():
    async def script(service, hal, log, clock):
        await asyncio.sleep_ms(3 * 3_600_000)
        assert hal.restarts == 0
        hal.idle = True
        await asyncio.sleep_ms(2000)
        assert hal.restarts

    wifi(script, networks={"depot": "secret"}, dead=True)


def test_wifi_says_in_words_what_is_wrong():
    async def script(service, hal, log, clock):
        hal.idle = True
        await asyncio.sleep_ms(9_000_000)
        assert ("I", "wifi", "wrong password?") in log.lines
        assert hal.restarts == 0
        CHIP.wlan.networks = {}
        await asyncio.sleep_ms(3000)
        assert ("I", "wifi", "no such network in reach") in log.lines
        assert len(log.lines) < 400  # changes and steps, not every second

    wifi(script, networks={"depot": "changed"})


def test_wifi_survives_a_driver_that_refuses_everything():
    class Broken:
        def __init__(self, interface):
            self.calls = 0

        def isconnected(self):
            return False

        def status(self, what=None):
            return 1000

        def active(self, on=None):
            if on is None:
                return True
            raise OSError("Wifi Internal Error")

        disconnect = connect = config = lambda self, *a, **k: (_ for _ in ()).throw(OSError("Wifi Internal Error"))

    import hal.esp32_wifi as module

    class Network:
        STA_IF = 0
        WLAN = Broken
        hostname = country = staticmethod(lambda name: None)

    real, module.network = module.network, Network
    try:

        async def script(service, hal, log, clock):
            await asyncio.sleep_ms(100_000)
            assert service.errors >= 8 and service.address is None

        wifi(script)
    finally:
        module.network = real


# -- names


def reply(ident, host, address=b"\x5d\xb8\xd8\x22", alias=False, flags=b"\x81\x80", count=None):
    """A DNS answer, written down by hand: header, question, an optional CNAME, an A record that points at the name."""
    question = b"".join([bytes([len(part)]) + part.encode() for part in host.split(".")]) + b"\x00\x00\x01\x00\x01"
    records = [b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x0e\x10\x00\x04" + address]
    if alias:
        records.insert(0, b"\xc0\x0c\x00\x05\x00\x01\x00\x00\x0e\x10\x00\x06\x03cdn\xc0\x10")
    head = ident + flags + b"\x00\x01" + bytes([0, len(records) if count is None else count]) + bytes(4)
    return head + question + b"".join(records)


def test_dns_question():
    want = b"ab\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x04csms\x07example\x00\x00\x01\x00\x01"
    assert esp32_dns.query(b"ab", "csms.example") == want
    assert esp32_dns.query(b"ab", "csms.example.") == want
    for host in ("", ".", "a..b", "x" * 64 + ".org", ".".join(["abcdefgh"] * 30)):
        try:
            esp32_dns.query(b"ab", host)
        except ValueError:
            continue
        raise AssertionError(host)


def test_dns_answer():
    def take(data, host="csms.example"):
        return esp32_dns.answer(data, b"ab", host)

    good = reply(b"ab", "csms.example")
    assert take(good) == "93.184.216.34"
    assert take(reply(b"ab", "csms.example", alias=True)) == "93.184.216.34"
    assert take(reply(b"ab", "CSMS.example")) == "93.184.216.34"
    assert take(reply(b"ba", "csms.example")) is None
    assert take(reply(b"ab", "evil.example")) is None
    assert take(reply(b"ab", "csms.example", flags=b"\x81\x83")) is None  # no such name
    assert take(reply(b"ab", "csms.example", flags=b"\x83\x80")) is None  # cut off: there is no TCP here
    assert take(reply(b"ab", "csms.example", flags=b"\x01\x00")) is None  # a question
    assert take(reply(b"ab", "csms.example", count=0)) is None
    for size in range(len(good)):
        assert take(good[:size]) is None, size
    assert take(esp32_dns.query(b"ab", "csms.example")) is None


def test_dns_answers_of_noise():
    import random

    random.seed(4)
    good = reply(b"ab", "csms.example", alias=True)
    for _ in range(5000):
        data = bytearray(good)
        for _ in range(random.randrange(1, 5)):
            data[random.randrange(2, len(data))] = random.getrandbits(8)
        found = esp32_dns.answer(bytes(data), b"ab", "csms.example")
        assert found is None or len(found.split(".")) == 4


class Server:
    """A UDP server on this computer: answers(data) -> bytes or None."""

    def __init__(self, answers):
        self.answers = answers
        self.asked = 0
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        for port in range(20_000 + os.urandom(1)[0] * 40, 65_000):
            try:
                self.sock.bind(socket.getaddrinfo("127.0.0.1", port)[0][-1])
            except OSError:
                continue
            self.port = port
            break
        self.sock.setblocking(False)

    async def run(self):
        while True:
            await asyncio.sleep_ms(2)
            try:
                data, peer = self.sock.recvfrom(512)
            except OSError:
                continue
            self.asked += 1
            answer = self.answers(data)
            if answer is not None:
                self.sock.sendto(answer, peer)


def with_server(answers, script):
    """Run `await script(server)` with the server beside it."""

    async def main():
        server = Server(answers)
        task = asyncio.create_task(server.run())
        try:
            await script(server)
        finally:
            task.cancel()
            server.sock.close()

    run_limited(main(), 20_000)


async def until(condition):
    while not condition():
        await asyncio.sleep_ms(2)


def test_a_name_is_looked_up_beside_the_program_and_known_from_then_on():
    async def script(server):
        names = Names(lambda: "127.0.0.1", lambda: False, Clock(), FakeLog(), server.port)
        task = asyncio.create_task(names.run())
        for host in ("csms.example", "second.example"):
            try:
                names.resolve(host, 443)
                raise AssertionError("blocked")
            except OSError:
                pass
        await until(lambda: names.find("csms.example") and names.find("second.example"))
        info = names.resolve("csms.example", 443)[0]
        assert info[:3] == socket.getaddrinfo("93.184.216.34", 443, 0, socket.SOCK_STREAM)[0][:3]
        assert bytes(info[-1]) == bytes(socket.getaddrinfo("93.184.216.34", 443)[0][-1])
        assert server.asked == 2
        task.cancel()

    with_server(lambda data: reply(data[:2], "csms.example" if b"csms" in data else "second.example"), script)


def test_addresses_need_no_server_and_local_names_only_when_nobody_is_disturbed():
    asked = []
    names = Names(lambda: None, lambda: bool(asked), Clock(), FakeLog())
    assert names.resolve("127.0.0.1", 80)
    try:
        names.resolve("csms.local", 80)
        raise AssertionError("blocked while charging")
    except OSError:
        pass
    asked.append(True)
    try:
        names.resolve("localhost.local", 80)
    except OSError:
        pass  # what the port says; the point is that it was asked


def test_a_lying_or_silent_server_changes_nothing():
    async def script(server):
        log = FakeLog()
        names = Names(lambda: "127.0.0.1", lambda: False, Clock(), log, server.port)
        task = asyncio.create_task(names.run())
        assert names.find("csms.example") is None
        await until(lambda: names.failed == 1)
        assert names.find("csms.example") is None and "no address for csms.example" in log.lines[-1][2]
        task.cancel()

    with_server(lambda data: reply(data[:2], "csms.example", flags=b"\x81\x82"), script)


def test_old_addresses_stay_until_there_is_a_new_one():
    async def script(server):
        clock = FakeClock()
        names = Names(lambda: "127.0.0.1", lambda: False, clock, FakeLog(), server.port)
        task = asyncio.create_task(names.run())
        names.find("csms.example")
        await until(lambda: names.find("csms.example"))
        assert server.asked == 1
        clock.advance(700_000)
        assert names.find("csms.example") == "93.184.216.34"  # and asked for again
        await until(lambda: server.asked == 2)
        for n in range(8):
            names.find("host%d.example" % n)
        await until(lambda: not names._wanted)
        assert len(names._known) <= 4
        task.cancel()

    def answers(data):
        end = data.find(b"\x00", 12)
        host = ""
        at = 12
        while at < end:
            host += ("." if host else "") + str(data[at + 1 : at + 1 + data[at]], "ascii")
            at += 1 + data[at]
        return reply(data[:2], host)

    with_server(answers, script)


# -- time


def ntp(cookie, seconds, fraction=0, stratum=2, mode=4, leap=0):
    data = bytearray(48)
    data[0], data[1] = leap << 6 | 4 << 3 | mode, stratum
    data[24:32] = cookie
    for i in range(4):
        data[40 + i] = (seconds >> (24 - 8 * i)) & 255
    data[44], data[45] = fraction >> 8, fraction & 255
    return bytes(data)


NOW = 1_780_000_000
NTP_NOW = NOW + 2_208_988_800


def test_sntp_messages():
    cookie = b"12345678"
    assert len(esp32_sntp.request(cookie)) == 48 and esp32_sntp.request(cookie)[0] == 0x23
    assert esp32_sntp.answer(ntp(cookie, NTP_NOW, 0x8000), cookie) == (NOW, 500)
    assert esp32_sntp.answer(ntp(cookie, 5), cookie) == (2_085_978_501, 0)  # 2036-02-07, the next era
    for wrong in (
        ntp(b"87654321", NTP_NOW),
        ntp(cookie, NTP_NOW, stratum=0),
        ntp(cookie, NTP_NOW, stratum=16),
        ntp(cookie, NTP_NOW, mode=3),
        ntp(cookie, NTP_NOW, leap=3),
        ntp(cookie, 0),
        ntp(cookie, NTP_NOW)[:47],
        b"",
    ):
        assert esp32_sntp.answer(wrong, cookie) is None, wrong


def test_the_chips_clock_counts_right():
    for date, unix_s in (
        ((2000, 1, 1, 5, 0, 0, 0, 0), 946_684_800),
        ((2024, 2, 29, 3, 23, 59, 59, 0), 1_709_251_199),
        ((2024, 3, 1, 4, 0, 0, 0, 0), 1_709_251_200),
        ((2026, 11, 22, 6, 12, 30, 5, 0), 1_795_350_605),
        ((2037, 12, 31, 3, 23, 59, 59, 0), 2_145_916_799),
    ):
        CHIP.now = date
        assert esp32_system.from_rtc() == unix_s, date
        esp32_system.to_rtc(unix_s)
        assert CHIP.now == date, CHIP.now
        assert esp32_system.from_rtc() == unix_s


class Address:
    """Names that knows one address, or none yet."""

    def __init__(self, address):
        self.address = address

    def find(self, host):
        return self.address


def test_after_a_loss_of_power_nothing_is_known_but_the_lower_bound():
    esp32_nvs.Numbers().put("time", NOW - 946_684_800)
    clock = Clock()
    keeper = esp32_clock.TimeKeeper(clock, FakeLog(), Address(None), "pool")
    assert clock.utc() is None and keeper.source == "" and keeper.bound == NOW
    assert esp32_system.from_rtc() == NOW  # certificates can be checked


def test_after_a_reset_the_chips_clock_counts():
    esp32_system.to_rtc(NOW + 60)
    esp32_nvs.Numbers().put("time", NOW - 946_684_800)
    clock = Clock()
    keeper = esp32_clock.TimeKeeper(clock, FakeLog(), Address(None), "pool")
    assert NOW + 60 <= clock.utc() <= NOW + 61 and keeper.source == "rtc"


def test_a_clock_before_the_bound_is_not_believed():
    esp32_system.to_rtc(NOW - 1)
    esp32_nvs.Numbers().put("time", NOW - 946_684_800)
    clock = Clock()
    esp32_clock.TimeKeeper(clock, FakeLog(), Address(None), "pool")
    assert clock.utc() is None and esp32_system.from_rtc() == NOW


def test_ntp_tells_the_time_until_the_central_system_does():
    async def script(server):
        clock, log = Clock(), FakeLog()
        keeper = esp32_clock.TimeKeeper(clock, log, Address("127.0.0.1"), "pool", server.port)
        task = asyncio.create_task(keeper.run())
        await until(lambda: keeper.source == "ntp")
        assert NOW <= clock.utc() <= NOW + 1
        await until(lambda: esp32_nvs.Numbers().get("time") is not None)
        assert abs(esp32_nvs.Numbers().get("time") - (NOW - 946_684_800)) <= 2
        assert abs(esp32_system.from_rtc() - NOW) <= 2
        clock.set_utc(NOW - 5000)  # the central system may lead back
        await until(lambda: keeper.source == "csms")
        await until(lambda: abs(esp32_system.from_rtc() - (NOW - 5000)) <= 3)
        assert abs(keeper.bound - (NOW - 5000)) <= 3
        assert server.asked == 1
        task.cancel()

    with_server(lambda data: ntp(data[40:48], NTP_NOW), script)


def test_ntp_that_leads_back_is_refused():
    async def script(server):
        esp32_nvs.Numbers().put("time", NOW + 100 - 946_684_800)
        clock, log = Clock(), FakeLog()
        keeper = esp32_clock.TimeKeeper(clock, log, Address("127.0.0.1"), "pool", server.port)
        task = asyncio.create_task(keeper.run())
        await until(lambda: [line for line in log.lines if "refused" in line[2]])
        assert clock.utc() is None and keeper.source == ""
        task.cancel()

    with_server(lambda data: ntp(data[40:48], NTP_NOW), script)


def test_the_last_certain_time_is_written_once_a_day():
    writes = []

    class Counting(esp32_nvs.Numbers):
        def put(self, key, value):
            writes.append(value)
            super().put(key, value)

    async def main(clock):
        keeper = esp32_clock.TimeKeeper(clock, FakeLog(), Address(None), "pool")
        task = asyncio.create_task(keeper.run())
        clock.set_utc(NOW)
        await asyncio.sleep_ms(3 * 86_400_000 + 60_000)
        task.cancel()
        assert keeper.source == "csms"

    real, esp32_nvs.Numbers = esp32_nvs.Numbers, Counting
    try:
        virtual_run(main)
    finally:
        esp32_nvs.Numbers = real
    assert len(writes) == 4, writes


# -- image


def image(script):
    async def main(clock):
        hal = FakeHal()
        it = Image(hal, clock, FakeLog())
        task = asyncio.create_task(it.run())
        await script(it, hal)
        task.cancel()

    virtual_run(main)


def test_an_image_is_kept_after_a_minute_with_the_central_system():
    async def script(it, hal):
        hal.served = False
        await asyncio.sleep_ms(300_000)
        hal.served = True
        await asyncio.sleep_ms(50_000)
        hal.served = False  # not yet long enough
        await asyncio.sleep_ms(20_000)
        assert it.kept is None and CHIP.confirmed == 0
        hal.served = True
        await asyncio.sleep_ms(70_000)
        assert it.kept is True
        await asyncio.sleep_ms(3_600_000)
        assert CHIP.confirmed == 1

    image(script)


def test_an_image_without_network_is_kept_after_a_quarter_of_an_hour():
    async def script(it, hal):
        hal.is_online = None
        await asyncio.sleep_ms(890_000)
        assert CHIP.confirmed == 0
        await asyncio.sleep_ms(20_000)
        assert CHIP.confirmed == 1

    image(script)


def test_one_image_only_is_no_error():
    async def script(it, hal):
        CHIP.rollback = False
        await asyncio.sleep_ms(120_000)
        assert it.kept is False

    image(script)


# -- secrets


def test_secrets_are_kept_and_forgotten():
    secrets = esp32_nvs.Secrets()
    assert secrets.get("wifi.password") is None
    secrets.put("wifi.password", None)  # twice is no error
    secrets.put("wifi.password", "gr\u00fcn")
    assert esp32_nvs.Secrets().get("wifi.password") == "gr\u00fcn"
    assert secrets.get("ocpp.authorization_key") is None
    secrets.put("wifi.password", None)
    assert secrets.get("wifi.password") is None
    try:
        secrets.put("wifi.password", "x" * 513)
        raise AssertionError("too long")
    except ValueError:
        pass
    assert all(len(key) <= 15 for _, key in CHIP.nvs)


def test_what_is_not_committed_is_lost():
    nvs = fake_esp32.NVS("rivot")
    nvs.set_i32("time", 5)
    assert esp32_nvs.Numbers().get("time") is None  # the fake is as strict as the chip
    esp32_nvs.Numbers().put("time", 5)
    assert esp32_nvs.Numbers().get("time") == 5


def test_names_of_all_secret_settings_differ():
    from charger import settings_table

    names = [row[0] for row in settings_table.rows() if row[5] & settings_table.SECRET]
    keys = {esp32_nvs._key(name) for name in names}
    assert len(names) >= 2 and len(keys) == len(names)
