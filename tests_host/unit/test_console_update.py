"""The console's command `update`: what it shows of two slots on a disk, and going back from one."""

import asyncio
import os
import sys

from fakes import FakeLog

from charger.commands import update

HEAD = (
    '{"board": "sim", "chip": "x", "micropython": "1.25", "mpy": 6, "port": "unix", "version": "%s",\n"files": {\n}}\n'
)

root = None


class Console:
    """Somebody who answers everything so, and an app that notes a reset."""

    def __init__(self, answer, idle=True):
        self.app = self
        self.log = FakeLog()
        self.trusted = True
        self.said = ""
        self.hard = None
        self._answer = answer
        self._idle = idle

    def is_idle(self):
        return self._idle

    async def say(self, text=""):
        self.said += text + "\n"

    async def sure(self, question):
        return self._answer

    def request_reset(self, hard):
        self.hard = hard


def put(path, text):
    with open(root + path, "w") as f:
        f.write(text)


def marker():
    with open(root + "/slot.txt") as f:
        return f.read()


def setup():
    global root
    root = "/tmp/slots-" + "".join(["%02x" % b for b in os.urandom(6)])
    for path in ("", "/slot_a", "/slot_b"):
        os.mkdir(root + path)
    put("/slot_a/manifest.json", HEAD % "1.1.0")
    put("/slot.txt", "slot_a good\n")
    sys.path.insert(0, root + "/slot_a")


def teardown():
    sys.path.pop(0)
    for folder in (root + "/slot_a", root + "/slot_b", root):
        for name in os.listdir(folder):
            os.remove(folder + "/" + name) if name[:5] != "slot_" else None
        os.rmdir(folder)


def run(console, text=""):
    try:
        asyncio.run(update.COMMANDS[0](console, text))
    except ValueError as exc:
        console.said += str(exc) + "\n"
    return console.said


def test_states_and_nothing_to_go_back_to():
    assert run(Console(True)) == "slot_a: 1.1.0, runs\nslot_b: empty\n"
    assert "no other version" in run(Console(True), "rollback") and "update [rollback]" in run(Console(True), "back")
    sys.path[0] = root
    assert "not from a slot" in run(Console(True))


def test_back_only_when_asked_and_idle():
    put("/slot_b/manifest.json", HEAD % "1.0.0")
    assert run(Console(True)) == "slot_a: 1.1.0, runs\nslot_b: 1.0.0, ready\n"
    for console in (Console(False), Console(True, idle=False)):
        run(console, "rollback")
        assert console.hard is None and marker() == "slot_a good\n", console.said
    console = Console(True)
    assert "Back to 1.0.0" in run(console, "rollback") and console.hard is True and marker() == "slot_b good\n"
