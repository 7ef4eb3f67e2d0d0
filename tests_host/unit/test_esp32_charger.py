# heapsize: 2m
# timeout: 120
"""The whole program on the fake chip: boot.py, main.py, two MCP2515 at register level, a scripted vehicle and module.

What runs here is what a board runs after a reset, with the real command line (none), but under a virtual clock.
"""

import asyncio
import json
import os
import sys

import fake_esp32
from chip_site import Site
from fakes import virtual_time
from mcp2515_chip import WireClock
from scripted_csms import Csms

CHIP = fake_esp32.install()

import device
import main

from charger import selftest
from hal.esp32_nvs import Secrets

BOARD = "boards/rivot_dcfc"
ESTOP, CONTACTOR = 34, 27
LED_CHARGING, LED_FAULT, LED_NETWORK = 26, 32, 33
TAG = "04A1B2C3"

folder = None


def setup():
    global folder
    folder = "/tmp/chip-" + "".join("%02x" % b for b in os.urandom(6))
    os.mkdir(folder)
    sys.path.insert(0, BOARD)


def teardown():
    sys.path.remove(BOARD)
    for name in ("boot", "board"):
        sys.modules.pop(name, None)
    os.system("rm -rf " + folder)


def boot(factory, script):
    """Start the board with presets; run `await script(site, app, hal)` beside the program until the board resets.

    The central system is in here too: site.csms. Returns (site, log lines).
    """
    with open(folder + "/factory.json", "w") as f:
        json.dump(factory, f)
    device.DATA, device.FACTORY = folder + "/data", folder + "/factory.json"
    site, clock = Site(), WireClock()
    clock.chips = [site.bms, site.module]
    device.Clock = lambda: clock
    __import__("boot")
    board = __import__("board")
    assert all(CHIP.driven[number] == level for number, level in board.SAFE_PINS)
    found, failed = [], []
    serve = main.serve

    def spy(app, hal, log):
        found.append(log)
        site.csms = Csms(app.clock)
        app.cp._dial = site.csms.dial

        async def scripted():
            try:
                await script(site, app, hal)
            except Exception as exc:
                failed.append(exc)
            app.request_reset(True)

        tasks.append(asyncio.create_task(scripted()))
        return serve(app, hal, log)

    tasks = []

    def start():
        tasks.append(asyncio.create_task(site.run()))
        try:
            main.main([])
            raise AssertionError("main returned on a board")
        except fake_esp32.Reset:
            pass

    main.serve = spy
    try:
        virtual_time(clock, start)
    finally:
        main.serve = serve
    log = found[0]
    for exc in failed:
        for line in log.lines:
            print(line)
        raise exc
    return site, log.lines


async def until(condition, ms=6000):
    for _ in range(ms // 2):
        if condition():
            return
        await asyncio.sleep_ms(2)
    raise AssertionError("waited %d ms" % ms)


FACTORY = {
    "settings": {
        "ocpp.url": "ws://csms.example/ocpp",
        "wifi.ssid": "depot",
        "vehicle.soc_source": "none",
        "vehicle.info_wait_ms": 0,
    },
    "ocpp": {"MeterValueSampleInterval": "1"},
}


def is_safe():
    return all(CHIP.driven[number] == level for number, level in __import__("board").SAFE_PINS)


def test_a_session_from_the_card_to_the_card():
    CHIP.__init__()
    CHIP.wlan.networks["depot"] = "secret"
    CHIP.wlan.nameserver = "127.0.0.1"
    Secrets().put("wifi.password", "secret")
    seen = {}

    async def script(site, app, hal):
        outlet = app.outlets[0]
        await until(lambda: all(bus.is_up for _, bus, _ in app.buses))
        await until(lambda: hal.wifi.address == "192.168.7.20")
        assert CHIP.wlan.hostname.startswith("rivot-")
        site.plugged = True
        await until(outlet.plugged)
        assert CHIP.driven[CONTACTOR] == 0 and not site.on
        await until(lambda: app.cp.online)
        hal.swipe(TAG)
        await until(lambda: site.on)
        assert CHIP.driven[CONTACTOR] == 1
        await until(lambda: site.ma >= 29_900 and outlet.meter.session_mwh > 100)
        await until(lambda: float(outlet.sample("Current.Import")[0]) > 29 and CHIP.driven[LED_CHARGING] == 1)
        seen["fed"] = CHIP.feeds
        hal.swipe(TAG)
        await until(lambda: not site.on and CHIP.driven[CONTACTOR] == 0 and outlet.connector.transaction is None)
        await until(lambda: site.csms.calls("StopTransaction") and "Finishing" in site.csms.story())
        seen["energy"] = outlet.energy_wh()
        for _, bus, _ in app.buses:
            counters = bus.counters()
            assert counters["rx"] > 10 and not counters["overrun"] and not counters["bus_off"], counters

    site, lines = boot(FACTORY, script)
    assert CHIP.resets == ["hard"] and CHIP.rtc == b"rivot:hard" and is_safe()
    assert CHIP.watchdogs == [8000] and seen["fed"] > 20
    assert site.ons and site.offs > 3
    text = "\n".join(lines)
    assert "gate: STOPPING -> OFF" in text, text
    assert CHIP.wlan.calls[:3] == [("active", False), ("active", True), ("connect", "depot")]
    story = site.csms.story()
    order = [
        "Preparing",
        "VehicleInfo",
        "StartTransaction",
        "Charging",
        "SessionSummary",
        "Finishing",
        "StopTransaction",
    ]
    places = [story.index(name) for name in order]
    assert places == sorted(places), story
    stop = site.csms.calls("StopTransaction")[0]
    assert stop["meterStop"] == seen["energy"] and stop["reason"] == "Local", stop
    assert os.stat(folder + "/data/meter1.json")
    # and nothing secret lies in a file
    for name in os.listdir(folder + "/data"):
        try:
            with open(folder + "/data/" + name) as f:
                assert "secret" not in f.read(), name
        except OSError:
            pass  # a folder


def test_the_self_test_of_a_board():
    CHIP.__init__()
    CHIP.wlan.networks["depot"] = ""

    async def script(site, app, hal):
        async def good():
            rows = await selftest.run(app, False)
            return [row for row in rows if row[1] != "ok"]

        site.plugged = True
        await until(lambda: hal.wifi.address is not None)
        await until(app.outlets[0].plugged)
        for _ in range(100):
            bad = await good()
            if len(bad) == 1:
                break
            await asyncio.sleep_ms(50)
        assert bad == [("contactor of 1", "open", "no feedback: listen for it at the next start and stop")], bad
        site.module.vanish()
        CHIP.wlan.dead = True
        await asyncio.sleep_ms(5000)
        names = [row[0] for row in await good()]
        assert "pm1" in names and "power module 1" in names and "wireless network" in names, names
        assert CHIP.driven[CONTACTOR] == 0 and not site.on

    boot(FACTORY, script)


def test_the_emergency_stop_opens_everything_and_holds():
    CHIP.__init__()
    took = {}

    async def script(site, app, hal):
        outlet = app.outlets[0]
        site.plugged = True
        await until(outlet.plugged)
        await until(lambda: app.cp.online)
        hal.swipe(TAG)
        await until(lambda: site.on and site.ma > 2_000)
        offs, began = site.offs, app.clock.ticks_ms()
        CHIP.levels[ESTOP] = 0
        await until(lambda: site.offs > offs)
        took["off"] = app.clock.ticks_diff(app.clock.ticks_ms(), began)
        await until(lambda: CHIP.driven[CONTACTOR] == 0 and CHIP.driven[LED_FAULT] == 1)
        CHIP.levels[ESTOP] = 1
        hal.swipe(TAG)
        await asyncio.sleep_ms(300)
        assert not site.on and CHIP.driven[CONTACTOR] == 0, "restarted before the hold time"

    boot(FACTORY, script)
    assert took["off"] <= 10 and is_safe(), took


def test_a_controller_that_dies_in_mid_session_is_power_off():
    CHIP.__init__()

    async def script(site, app, hal):
        outlet = app.outlets[0]
        site.plugged = True
        await until(outlet.plugged)
        await until(lambda: app.cp.online)
        hal.swipe(TAG)
        await until(lambda: site.on and site.ma > 2_000)
        site.bms.vanish()
        await until(lambda: not site.on and CHIP.driven[CONTACTOR] == 0)
        assert not dict((name, bus.is_up) for name, bus, _ in app.buses)["bms1"]

    boot(FACTORY, script)
    assert is_safe()


def test_the_networks_last_resort_ends_in_a_reset():
    CHIP.__init__()

    async def script(site, app, hal):
        app.request_reset = lambda hard: None
        await until(lambda: hal.is_idle())  # what the ladder asks before
        hal.request_restart()

    _, lines = boot({}, script)
    assert CHIP.resets == ["hard"] and CHIP.rtc == b"rivot:hard" and is_safe()
    assert "app: ended: Reboot" in "\n".join(lines)


def test_a_vehicle_on_a_uart():
    CHIP.__init__()

    async def script(site, app, hal):
        await until(lambda: 2 in CHIP.uarts and CHIP.uarts[2].sent)
        uart = CHIP.uarts[2]
        assert uart.baudrate == 9600 and uart.pins == (16, 17) and uart.sizes == (512, 512)
        assert uart.sent[:2] == b"\xdd\xa5"  # JBD: a question
        assert [name for name, _, _ in app.buses] == ["pm1", "bms1"]

    settings = {"vehicle.max_mv": 84_000, "vehicle.max_ma": 30_000}
    boot({"board": {"bms": "jbd_uart"}, "settings": settings}, script)


def test_a_broken_factory_file_starts_with_defaults_and_says_so():
    CHIP.__init__()

    async def script(site, app, hal):
        await until(lambda: all(bus.is_up for _, bus, _ in app.buses))

    _, lines = boot({"board": {"colour": True}, "settings": {"wifi.ssid": 5}}, script)
    text = "\n".join(lines)
    assert "unknown key colour; ignored" in text and "wifi.ssid is not set" in text, text


def test_ctrl_c_ends_safely_and_leaves_the_repl():
    CHIP.__init__()
    with open(folder + "/factory.json", "w") as f:
        json.dump({}, f)
    device.DATA, device.FACTORY = folder + "/data", folder + "/factory.json"
    Site()
    __import__("boot")

    def interrupted(app, hal, log):
        hal.feed_watchdog()
        hal.output("contactor", 1, True)
        return 130

    serve, main.serve = main.serve, interrupted
    try:
        assert main.main([]) is None
    finally:
        main.serve = serve
    assert is_safe() and not CHIP.resets
    assert CHIP.watchdogs == [8000, 600_000]


def test_a_program_that_cannot_be_built_waits_and_tries_again():
    CHIP.__init__()
    from hal import esp32_system

    waits = []
    device.DATA, device.FACTORY = "/proc/nowhere", folder + "/none.json"
    sleep, esp32_system.time = esp32_system.time, FakeSleep(waits)
    try:
        main.main([])
        raise AssertionError("started without storage")
    except fake_esp32.Reset:
        pass
    finally:
        esp32_system.time = sleep
    assert waits == [30] and CHIP.resets == ["hard"]
    assert CHIP.driven.get(CONTACTOR, 0) == 0


def test_a_crash_soon_after_the_start_waits_before_it_starts_again():
    from hal import esp32_system

    for uptime_ms, expected in ((0, [30]), (59_999, [30]), (60_000, []), (2_000_000_000, [])):
        CHIP.__init__()
        waits = []

        def crashed(app, hal, log):
            hal.feed_watchdog()
            hal.output("contactor", 1, True)
            log.error("main", ValueError("a bug"))
            hal._clock.uptime_ms = lambda: uptime_ms
            esp32_system.time = FakeSleep(waits)
            return 1

        device.DATA, device.FACTORY = folder + "/data", folder + "/factory.json"
        serve, main.serve = main.serve, crashed
        sleep = esp32_system.time
        try:
            main.main([])
            raise AssertionError("not started again")
        except fake_esp32.Reset:
            pass
        finally:
            main.serve, esp32_system.time = serve, sleep
        assert waits == expected and CHIP.resets == ["hard"] and CHIP.driven[CONTACTOR] == 0, uptime_ms
        # the watchdog must not end the wait
        assert CHIP.watchdogs == ([8000, 600_000] if expected else [8000])


class FakeSleep:
    """The module time, as far as give_up() uses it."""

    def __init__(self, waits):
        self.sleep = waits.append
