"""The serial console as a person sees it, mostly while a session runs: a pty, a keyboard, and the real rest."""

import asyncio
import json
import random
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tests_host.conftest import interpreter
from tests_host.system.person import DEADLINE_S, Desk, Person
from tests_host.system.rig import IDENTITY, Rig, system_test
from tools.build_mpy import build
from tools.csms import SILENCE
from tools.csms.certificates import make_certificates
from tools.demo.firmware import ROOT
from tools.transcript import Session

PIN = "47110815"
KEY = "0123456789abcdef0123"
SCHEMA = re.search(r'_SCHEMA = """\n(.*?)"""', (ROOT / "firmware/charger/settings_table.py").read_text(), re.DOTALL)
Case = Callable[[Path], Awaitable[None]]


def settings() -> list[list[str]]:
    """name, type, default, range, marks, unit, help of every setting."""
    assert SCHEMA
    return [line.split(";", 6) for line in SCHEMA[1].strip().split("\n")]


def commands() -> list[str]:
    """Names of all commands."""
    table = (ROOT / "firmware/charger/commands/help.py").read_text()
    return re.findall(r"^([a-z-]+);[^;\n]*;[^;\n]+", table, re.MULTILINE)


def assert_prompt(took: dict[str, float]) -> None:
    """Answers are there soon: within 200 ms, see what is printed; a busy machine may take longer."""
    slow = {
        text: seconds for text, seconds in took.items() if not text.startswith("can 1")
    }  # that one takes its second
    for text, seconds in sorted(slow.items(), key=lambda row: -row[1])[:8]:
        print(f"{seconds * 1000:6.0f} ms  {text[:60]}")
    print(f"{len(slow)} answers, {sorted(slow.values())[len(slow) // 2] * 1000:.1f} ms in the middle")
    assert max(slow.values()) < 2


def wrong_values(kind: str, span: str) -> list[str]:
    """What must be refused, for a type and a range."""
    if kind == "int":
        low, high = (int(n) for n in span.split(".."))
        return [str(low - 1), str(high + 1), "1.5", "1e3", "", "x", "0x10", "99999999999", "--5"]
    if kind == "bool":
        return ["maybe", "2", "", "truefalse"]
    if kind == "choice":
        return ["none of them", "", span.split("|", maxsplit=1)[0] + "x"]
    return ["y" * (int(span.split("..")[1]) + 1)]


async def every_command_in_a_session(path: Path) -> None:
    """All that looks, wrong input for every setting, keys, noise and a long paste: the session goes on."""
    desk = Desk()
    async with Rig(path, program=desk, ocpp={"MeterValueSampleInterval": "1"}) as rig:
        person = Person(desk)
        await rig.plug(soc=50)
        await rig.start_session("SECRETTAG")
        assert "help lists" in await person.come()
        await person.says("help", "status", "doctor", "queue", "Tab completes")
        for name in commands():
            await person.says("help " + name, name)
        await person.says("help set", "set NAME [VALUE]")
        await person.says("status", "Charging", "plugged in, SoC 5", "running", "connected, Accepted", "s ago)")
        await person.says("session", "transaction 1", "SE*****AG")
        await person.says("meter", "lifetime", "kWh")
        await person.says("bms", "permits charging", "limits 84.0 V")
        await person.says("power", "running", "healthy", "echo 84.0 V")
        await person.says("can 1806E5F4 1", "BMS limits 84.0 V", "charge")
        await person.says("can xyz", "hex digits")
        await person.says("test", "power module 1", "Nothing has to be done.")
        await person.says("test move", "left out", "a session runs")
        await person.says("log", "registration Accepted")
        await person.says("log 1 E")
        await person.says("diag", "on board sim, boot 1", "off because of 0 ", "bus pm1", "[last crashes]", "-- boot")
        await person.says("diag now", "no arguments")
        await person.says("log 1 Q", "follow")
        await person.type("log follow\r")
        await person.read("any key ends")
        await person.type("x")
        await person.read()
        await person.says("doctor", "HTTP          ok", "ocpp1.6", "Boot          ok")
        await person.says("wifi scan", "uses its network")
        await person.says("wifi", "wifi scan, or wifi join")
        await person.says("queue", "wait in the store", "0 dead letters")
        await person.says("queue drop 7x", "queue [list")
        await person.says("queue resend 7", "There is no such dead letter")
        await person.says("python", "A session runs")
        await person.says("factory-reset", "A session runs")
        await person.says("cert", "0 certificates")
        await person.says("update", "not from a slot")
        await person.says("update rollback", "A session runs")
        await person.says("update x", "update [rollback]")
        await person.says("show power.", "power.max_ma", "(default)")
        await person.says("get power.max_ma", "0 to 400000 mA", "from the next start")
        await person.says("set power.max_ma 20A", "whole number")
        await person.says("set power.max_ma 20000", "will be 20000 mA")
        await person.says("unset power.max_ma", "the factory's")
        await person.says("revert", "1 forgotten")
        assert json.loads((await person.command("export")).strip())["ocpp.vendor"] == "Rivot"
        await person.says("logout", "There is no PIN")
        await person.says("hlep", "no such command")
        await person.says("s", "Unclear")
        await person.type("reboot\r")
        await person.read('Type "yes": ')
        await person.type("y\r")
        assert "Nothing is done" in await person.read()
        # editing
        await person.says("stattus\x1b[D\x1b[D\x1b[D\x7f", "connector 1")
        await person.type("sess\t")
        await person.read("session ")
        await person.type("\r")
        assert "transaction 1" in await person.read()
        await person.type("\x1b[A\r")
        assert "transaction 1" in await person.read()
        for end in ("\n", "\r\n"):
            await person.type("session" + end)
            assert "transaction 1" in await person.read()
        await person.type("python\x03")
        await person.read()
        await person.type("\x03")
        await person.read()
        # wrong input
        for name, kind, _, span, marks, _, _ in settings():
            for value in wrong_values(kind, span):
                if "S" in marks and not value:
                    continue
                answer = await person.command(f"set {name} {value}")
                assert (name if value else "value is missing") in answer, (name, value, answer)
                assert "\n" not in answer and "will be" not in answer, (name, value, answer)
        for name, value in (("ocpp.url", "http://x"), ("service.pin", "123"), ("service.pin", "12a4")):
            await person.says(f"set {name} {value}", name + " must")
        await person.says("set power.nothing 5", "no such setting")
        await person.says("set power.max_ma", "value is missing")
        await person.says("save", "Nothing was set")
        # noise and paste
        random.seed(5)
        noise = bytes(random.choice([*range(4), *range(5, 10), *range(14, 256)]) for _ in range(3000))
        await asyncio.to_thread(desk_write, desk, noise + b"\xff\r")
        await person.settle()
        await asyncio.to_thread(desk_write, desk, b"x" * 100_000 + b"\r")
        await person.read("longer than 2048")
        await person.settle()
        await person.says("session", "transaction 1")
        await asyncio.to_thread(desk_write, desk, b"\r\n" * 300)
        await person.settle()
        await person.says("session", "transaction 1")
        await rig.expect("MeterValues", context="Sample.Periodic")
        await rig.stop_session()
        await rig.unplug()
        rig.assert_session(Session(interval_s=1))
        rig.assert_schemas()
        assert_sound(rig, person)
        assert_prompt(person.took)


def make_folder(path: Path) -> Path:
    path.mkdir(parents=True)
    return path


def desk_write(desk: Desk, data: bytes) -> None:
    """Bytes as they are, as fast as the other side takes them."""
    import os

    sent = 0
    while sent < len(data):
        sent += os.write(desk.ends[0], data[sent : sent + 1024])


def assert_sound(rig: Rig, person: Person) -> None:
    lines = [line for line in rig.firmware.lines if "Traceback" in line or "E console" in line]
    assert not lines and "This command failed" not in person.seen, "\n".join(rig.firmware.lines)


async def settings_are_changed(path: Path) -> None:
    """Put aside, forgotten, saved, in use after a restart; exported and imported; reset."""
    desk = Desk()
    async with Rig(path, program=desk) as rig:
        person = Person(desk)
        await person.come()
        await person.says("set power.max_ma 20000 mA", "will be 20000 mA")
        await person.says("show max_ma", "-> 20000 mA, not saved")
        await person.says("revert", "1 forgotten")
        await person.says("set power.window_low_mv 90000", "will be")
        await person.says("save", "power.window_low_mv must be below power.window_high_mv")
        await person.says("set power.window_high_mv 95000", "will be")
        await person.says("save", "2 stored")
        await person.says("unset power.window_low_mv", "the factory's")
        await person.says("unset power.window_high_mv", "the factory's")
        await person.says('import {"ocpp.model": "Other", "no.such": 1}', "Nothing is set")
        await person.says('import {"ocpp.model": "Oth', "no whole line")
        await person.says('import {"ocpp.model": 5}', "must be text")
        await person.says('import {"ocpp.model": "Imported", "vehicle.capacity_ah": 55}', "2 set")
        await person.says("save", "4 stored")
        exported = json.loads((await person.command("export")).strip())
        assert exported["ocpp.model"] == "Imported" and "power.window_low_mv" not in exported
        await person.says("get ocpp.model", "Imported", "stored", "from the next start")
        mark = rig.mark()
        await person.type("reboot\r")
        await person.read('Type "yes": ')
        await person.type("yes\r")
        boot = await rig.wait_call("BootNotification", since=mark, timeout=DEADLINE_S)
        assert boot.payload["chargePointModel"] == "Imported"
        await rig.wait_call("StatusNotification", since=boot.n, timeout=DEADLINE_S)
        await person.come()
        mark = rig.mark()
        await person.type("factory-reset\r")
        await person.read('Type "yes": ')
        await person.type("yes\r")
        boot = await rig.wait_call("BootNotification", since=mark, timeout=DEADLINE_S)
        assert boot.payload["chargePointModel"] == "DCFC"
        await person.come()
        await person.type("python\r")
        await person.read('Type "yes": ')
        await person.type("yes\r")
        async with asyncio.timeout(DEADLINE_S):
            assert await rig.firmware.wait() == 130
        assert_sound(rig, person)


async def pin_and_lock_out(path: Path) -> None:
    """Who does not know the PIN can look; three wrong ones shut the door, also over a power cut."""
    desk = Desk()
    async with Rig(path, program=desk, settings={"ocpp.security_profile": "0"}) as rig:
        person = Person(desk)
        await person.come()
        await person.type("pin\r")
        for _ in range(2):
            await person.read("(none|more): |Once more: |empty: none")
            await person.type(PIN + "\r")
        assert "The PIN is set" in await person.read()
        await person.says("set ocpp.model Known", "will be")  # who set it is trusted
        await person.says("save", "1 stored")
        await person.says("logout", "Logged out")
        await person.type("login\r")
        await person.read("Service PIN: ")
        await person.type(PIN + "\r")
        assert "allowed" in await person.read()
        await person.leave()
        await person.come()
        await rig.plug()
        await rig.start_session()
        for attempt in range(3):
            await person.type("set ocpp.model Thief\r")
            await person.read("Service PIN: ")
            await person.type(f"000{attempt}\r")
            assert "Wrong PIN" in await person.read()
        await person.says("set ocpp.model Thief", "Too many wrong PINs: wait")
        await person.says("login", "Too many wrong PINs: wait")
        await person.says("status", "connector 1: Charging")
        await rig.stop_session()
        await rig.unplug()
        rig.assert_session()
        await rig.restart_firmware()
        await person.come()
        await person.says("unset ocpp.model", "Too many wrong PINs: wait")
        await person.says("show ocpp.model", "Known")
        assert_sound(rig, person)
        everything = person.seen + "\n".join([*rig._old_lines, *rig.firmware.lines])
        assert PIN not in everything and "0002" not in everything.replace(IDENTITY, "")


async def secrets_stay_inside(path: Path) -> None:
    """No value of a secret is ever on the screen or in the log, however it went in."""
    desk = Desk()
    values = {"ocpp.authorization_key": KEY, "wifi.password": "correcthorse", "service.pin": PIN}
    assert set(values) == {row[0] for row in settings() if "S" in row[4]}
    async with Rig(path, program=desk) as rig:
        person = Person(desk)
        await person.come()
        for name, value in values.items():
            await person.says(f"set {name} {value}", "(set)")
            await person.type(f"set {name}\r" if name != "service.pin" else f"set {name} {value}\r")
            if name != "service.pin":
                await person.read("not shown: ")
                await person.type(value + "\r")
            await person.read()
            await person.says(f"set {name} {value}\x01\x06\x06\x06x", "no such command")
            await person.says(f"set {name}x {value}", "no such setting")
        await person.says("import " + json.dumps(values), "3 set")
        await person.says("save", "3 stored")
        await person.type("\x1b[A\x1b[A\x1b[A\x1b[A\x15\r")
        await person.read()
        for word in ("show", "export", "status", "log", "get wifi.password", "queue export", "doctor", "help import"):
            await person.command(word)
        await person.type("wifi join\r")
        await person.read()
        log = "\n".join(rig.firmware.lines)
        for name, value in values.items():
            assert value not in person.seen and value not in log, name
            assert value[:6] not in person.seen, name
        assert json.loads((rig.data / "settings.json").read_text())["wifi.password"] == "correcthorse"
        await rig.restart_firmware(wait_registered=False)
        await rig.wait_line("selftest:", DEADLINE_S)
        for value in values.values():
            assert value not in "\n".join(rig.firmware.lines)
        assert_sound(rig, person)


async def first_commissioning(path: Path) -> None:
    """A new board: the dialogue leads to a registered charger, with nothing but a terminal."""
    desk = Desk()
    async with Rig(path, program=desk, settings={"ocpp.url": "", "ocpp.identity": ""}, wait_registered=False) as rig:
        person = Person(desk)
        await rig.wait_line("ocpp.url is not set", DEADLINE_S)
        await person.type("\r")
        await person.read(r"Set it up now\? \[Y/n\] ")
        await person.type("n\r")
        await person.read()
        await person.says("doctor", "ocpp.url is not set")
        await person.type("setup\r")
        await person.read(r"knows it:\s+> ")
        await person.type("\r")
        await person.read("must not be empty")
        await person.type("NEW-1\r")
        for wrong in ("http://x/", "ws://", "ws://a b/", "ws://user@host/"):
            await person.read(r"identity:\s+> ")
            await person.type(wrong + "\r")
        await person.read(r"identity:\s+> ")
        await person.type(rig.csms.url + "\r")
        await person.read(r"none\):\s+> ")
        await person.type("\r")
        for _ in range(2):
            await person.read("New PIN.*: |Once more: ")
            await person.type(PIN + "\r")
        await person.read('Type "yes": ')
        await person.type("yes\r")
        boot = await rig.firmware.meanwhile(
            rig.csms.transcript.wait(lambda f: f.action == "BootNotification" and f.identity == "NEW-1", 0, DEADLINE_S)
        )
        assert boot.kind == "CALL"
        await person.come()
        await person.type("set ocpp.model X\r")
        await person.read("Service PIN: ")
        await person.type(PIN + "\r")
        assert "will be X" in await person.read()
        assert_sound(rig, person)


async def doctor_names_the_layer(path: Path) -> None:
    """Identity, key, a server that is away, a registration that is pending: each with its next step."""
    desk = Desk()
    async with Rig(path / "a", program=desk, csms={"identities": ["ELSE"]}, wait_registered=False) as rig:
        person = Person(desk)
        await person.come()
        await person.says("doctor", "HTTP          FAIL", "404", "register it there")
        rig.csms.network.identities = None
        await rig.wait_call("BootNotification", timeout=DEADLINE_S)
        await rig.csms.stop_listening()
        await person.says("doctor", "TCP           FAIL", "does not answer")
        assert_sound(rig, person)
    desk = Desk()
    async with Rig(path / "b", program=desk, csms={"basic_auth": KEY.encode()}, wait_registered=False) as rig:
        person = Person(desk)
        await person.come()
        await person.says("doctor", "HTTP          FAIL", "401", "ocpp.authorization_key")
        assert_sound(rig, person)
    desk = Desk()

    def pending(csms: Any) -> None:
        csms.register("Pending")

    async with Rig(path / "c", program=desk, prepare=pending, wait_registered=False) as rig:
        person = Person(desk)
        await rig.wait_call("BootNotification", timeout=DEADLINE_S)
        await person.come()
        await person.says("doctor", "subprotocol   ok", "Boot          FAIL", "has not released")
        assert_sound(rig, person)


async def certificates(path: Path) -> None:
    """A pasted certificate is checked, kept, named in the settings, listed with its days, deleted after a question."""
    desk = Desk()
    made = await asyncio.to_thread(make_certificates, make_folder(path), "127.0.0.1", 30)
    pem, other = made.ca_file.read_text(), made.certificate_file.read_text()

    async def paste(text: str) -> str:
        await person.type("cert paste\r")
        await person.read("Ctrl-C leaves it[^\\n]*\n")
        await person.type(text)
        return await person.read()

    async with Rig(path / "rig", program=desk) as rig:
        person = Person(desk)
        await person.come()
        await person.says("cert", "0 certificates, not used")
        assert "Nothing is changed" in await paste("-----BEGIN\r\x03")
        assert "damaged" in await paste(pem[:200] + "\n-----END CERTIFICATE-----\n")
        added = await paste(pem)
        assert "bench authority, issued by itself" in added and "29 days left" in added and "ca_file is " in added
        assert "already, as number 1" in await paste(pem.replace("\n", "\r"))
        assert "127.0.0.1, issued by bench authority" in await paste(other.replace("\n", "\r\n"))
        file = rig.data / "ca.pem"
        assert file.read_text() == pem + other
        await person.says("get ocpp.ca_file", "ca.pem", "stored")
        await person.says("cert list", "2 certificates", "1 bench authority", "2 127.0.0.1")
        await person.says("cert delete 3", "no certificate of this number")
        await person.says("cert remove", "cert [list")
        for answer, told in (("no", "Nothing is changed"), ("yes", "Deleted")):
            await person.type("cert delete 1\r")
            await person.read('Type "yes": ')
            await person.type(answer + "\r")
            assert told in await person.read()
        assert file.read_text() == other
        assert_sound(rig, person)


async def dead_letters(path: Path) -> None:
    """A message that was given up is listed, exported, sent again, and dropped after a question."""
    desk = Desk()
    keys = {"TransactionMessageAttempts": "1", "MessageTimeout": "1"}
    async with Rig(path, program=desk, ocpp=keys) as rig:
        person = Person(desk)
        await rig.plug()
        await rig.start_session()
        rule = rig.csms.behave("StopTransaction", answer=SILENCE)
        await rig.stop_session()
        await rig.wait_line("outbox", DEADLINE_S)
        await person.come()
        listed = await person.says("queue", "1 dead letters", "StopTransaction")
        found = re.search(r"^  (\d+) StopTransaction", listed, re.MULTILINE)
        assert found
        row = json.loads((await person.command("queue export")).strip())
        assert row["action"] == "StopTransaction" and row["payload"]["transactionId"] == 1
        rig.csms.rules.remove(rule)
        mark = rig.mark()
        await person.says(f"queue resend {found[1]}", "sent again")
        again = await rig.wait_call("StopTransaction", since=mark)
        assert again.payload == row["payload"]
        await person.says("queue", "0 dead letters")
        assert_sound(rig, person)


async def terminal_shared_with_the_log(path: Path) -> None:
    """On a device log and console share the line: the log keeps off while somebody types, and comes back after."""
    desk = Desk(shared=True)
    async with Rig(path, program=desk) as rig:
        person = Person(desk)
        await person.come()
        before = person.seen
        assert "registration Accepted" in before
        await rig.plug()
        await person.says("log 20", "plugged in")
        assert person.seen.count("plugged in") == 1
        await person.leave()
        await rig.unplug()
        await person.read("unplugged")
        await person.come()


async def small_heap(path: Path) -> None:
    """With the memory of a device the console looks into a session, then leaves it the memory by itself."""
    await asyncio.to_thread(build, ROOT, "sim", ROOT / "build" / "sim")
    desk = Desk(bits=32, mpy=True)
    async with Rig(path, program=desk, ocpp={"MeterValueSampleInterval": "1"}) as rig:
        person = Person(desk)
        await rig.plug(soc=50)
        await rig.start_session()
        await person.come()
        await person.says("status", "Charging", "plugged in", "connected, Accepted")
        await person.says("session", "transaction 1")
        await person.says("log 3", "RUNNING")
        await person.read("Closed: a session needs the memory")
        await rig.expect("MeterValues", context="Sample.Periodic")
        await rig.stop_session()
        await rig.unplug()
        rig.assert_session(Session(interval_s=1))
        assert_sound(rig, person)
        assert not [line for line in rig.firmware.lines if "MemoryError" in line]


CASES: tuple[Case, ...] = (
    every_command_in_a_session,
    settings_are_changed,
    pin_and_lock_out,
    secrets_stay_inside,
    first_commissioning,
    doctor_names_the_layer,
    certificates,
    dead_letters,
    terminal_shared_with_the_log,
    small_heap,
)


@system_test
async def test_console(tmp_path: Path) -> None:
    interpreter(32)
    results = await asyncio.gather(*(case(tmp_path / case.__name__) for case in CASES), return_exceptions=True)
    failed = [result for result in results if isinstance(result, BaseException)]
    if failed:
        raise ExceptionGroup("console", [error for error in failed if isinstance(error, Exception)])
