"""wifi scan, wifi join, and the guided dialogue's questions about Wi-Fi, on a board that has a radio."""

import asyncio
import os

import fake_esp32
from fakes import FakeLog

fake_esp32.install()

from charger.commands import network
from charger.commands import setup as dialogue
from hal import esp32_system

RADIO = fake_esp32.chip.wlan
ROWS = [  # as MicroPython gives them: the strongest first
    (b"depot", b"\1" * 6, 6, -48, 3, False),
    (b"depot", b"\2" * 6, 6, -71, 3, False),
    (b"depot", b"\3" * 6, 11, -79, 3, False),
    (b"caf\xc3\xa9", b"\4" * 6, 1, -88, 0, False),
    (b"", b"\5" * 6, 1, -50, 3, True),
]


class Thing:
    pass


class Desk:
    """A console that is answered from a list; None: Ctrl-C. `said`: its screen; `hidden`: questions whose answer is not
    shown."""

    def __init__(self, *answers, idle=True):
        self.answers = list(answers)
        self.said = []
        self.hidden = []
        self.staged = {}
        self.trusted = True
        self.is_idle = lambda: idle
        self.app = Thing()
        self.app.log = FakeLog()
        self.app.hal = Thing()
        self.app.hal.wifi = Thing()
        self.app.hal.scan = esp32_system.scan

    async def say(self, text=""):
        self.said.append(text)

    async def ask(self, question, hidden=False):
        if hidden:
            self.hidden.append(self.said[-1] if question == "> " else question)
        return self.answers.pop(0)

    async def sure(self, question):
        return False

    def does(self, command, text):
        """What it says to it."""
        self.said.clear()
        try:
            asyncio.run(command(self, text))
        except ValueError as exc:
            return str(exc)
        return "\n".join(self.said)


def wifi(desk, text):
    return desk.does(network.COMMANDS[0], text)


def setup():
    fake_esp32.install()
    global RADIO
    RADIO = fake_esp32.chip.wlan
    RADIO.heard = ROWS


def test_scan():
    told = wifi(Desk(), "scan").split("\n")
    assert told[0] == "Listening ..." and told[-1] == "3 networks.", told
    assert [line.split() for line in told[1:-1]] == [
        ["depot", "channel", "6", "-48", "dBm,", "strong"],
        ["depot", "channel", "11", "-79", "dBm,", "weak"],
        ["caf??", "channel", "1", "-88", "dBm,", "very", "weak,", "open"],
    ], told


def test_scan_while_the_radio_tries_a_wrong_network():
    RADIO.on, RADIO.wanted = True, ("gone", "password")
    assert wifi(Desk(), "scan").endswith("3 networks.")


def test_scan_is_refused():
    assert "A session runs" in wifi(Desk(idle=False), "scan") and not RADIO.calls
    RADIO.dead = True
    assert wifi(Desk(), "scan").startswith("The radio does not answer (")
    assert wifi(Desk(), "") == "wifi scan, or wifi join NAME"


def test_join():
    desk = Desk("correct horse")
    assert wifi(desk, "join depot") == "Will be joined after save and reboot."
    assert desk.staged == {"wifi.ssid": "depot", "wifi.password": "correct horse"} and len(desk.hidden) == 1
    desk = Desk("depot", "")
    wifi(desk, "join")
    assert desk.staged == {"wifi.ssid": "depot", "wifi.password": ""}


def test_join_is_refused_or_left():
    for text, answers, said in (
        ("join depot", ["short"], "8 characters"),
        ("join " + "x" * 33, [], "wifi.ssid"),
        ("join", [""], ""),
        ("join", [None], ""),
        ("join depot", [None], ""),
    ):
        desk = Desk(*answers)
        assert said in wifi(desk, text) and not desk.staged, text


def test_the_dialogue_asks_for_the_network():
    folder = "/tmp/wifi-" + "".join(["%02x" % byte for byte in os.urandom(6)])
    os.mkdir(folder)
    try:
        desk = Desk("CP-7", "ws://csms.example/ocpp", "", "depot", "correct horse", "", "")
        desk.app.hal.data_dir = folder
        desk.app.hal.secrets = lambda: None
        desk.app.settings_defaults = {}
        told = desk.does(dialogue.COMMANDS[0], "")
        assert "Name of the Wi-Fi network" in told and "Stored." in told, told
        assert [question[:12] for question in desk.hidden[:2]] == ["Password for", "Its password"], desk.hidden
        assert "correct horse" not in told
    finally:
        for name in os.listdir(folder):
            os.remove(folder + "/" + name)
        os.rmdir(folder)
