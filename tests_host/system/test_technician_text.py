"""The technician's page shows what the console shows: its blocks are typed, and their text is compared."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests_host.system.person import PROMPT, Desk, Person
from tests_host.system.rig import Rig, system_test
from tools.demo.firmware import ROOT

PAGE = ROOT / "firmware/charger/commands/README.md"
PIN = "47110815"
IDENTITY = "SITE7-03"
EXAMPLE = "ws://csms.example/ocpp"  # stands for the address of the bench
# What the console asks, and a person answers on the same line.
ASKS = (
    r"rivot\*?> ",
    r"> ",
    r"Set it up now\? \[Y/n\] ",
    r"New PIN, 4 to 12 digits \(empty: none\): ",
    r"Once more: ",
    r"Service PIN: ",
    r'Start again now\? Type "yes": ',
)
_ASK = re.compile("|".join(ASKS))


def blocks() -> dict[str, list[str]]:
    """{name: lines} of the page's blocks, from their first prompt on."""
    text = PAGE.read_text(encoding="utf-8")
    return {name: body.splitlines() for name, body in re.findall(r"^```console (\w+)\n(.*?)^```", text, re.M | re.S)}


def masked(line: str, url: str) -> str:
    """Without what differs from run to run: numbers and the address of the bench."""
    line = line.replace(url.removesuffix("/ocpp"), EXAMPLE.removesuffix("/ocpp")).rstrip()
    line = re.sub(r"^(name +ok +).*", r"\1host", re.sub(r"^(\d+\.\d+\.\d+) \w+,", r"\1 commit,", line))
    return re.sub(r"\d+(\.\d+)?", "#", line)


def plain(raw: str) -> list[str]:
    """The lines as they stand on the screen at last; none is empty."""
    lines = [re.sub(r"\x1b\[[0-9;]*[A-Za-z]|\x07", "", line.rstrip("\r").split("\r")[-1]) for line in raw.split("\n")]
    return [line for line in lines if line.strip()]


async def play(person: Person, name: str, url: str) -> None:
    """Type what a block says was typed; the screen must show the rest of it. A prompt is there, or the first line."""
    lines = [line for line in blocks()[name] if line.strip()]
    began = person.seen.rfind("\n") + 1
    if _ASK.match(lines[0]) is None:
        await person.type("\r")
    for number, line in enumerate(lines):
        ask = _ASK.match(line)
        if ask is None:
            continue
        if number:
            await person.read(r"\n" + next(pattern for pattern in ASKS if re.match(pattern, line)))
        typed = line[ask.end() :]
        await person.type({"*" * len(PIN): PIN, "****": "1234"}.get(typed, typed).replace(EXAMPLE, url) + "\r")
    await person.read("yes" if lines[-1].startswith("Start again") else PROMPT)
    shown = [masked(line, url) for line in plain(person.seen[began:])]
    wanted = [masked(line, EXAMPLE) for line in lines]
    if wanted[0].startswith("Rivot"):
        shown = shown[shown.index(wanted[0]) :]
    assert shown[: len(wanted)] == wanted, name + "\n" + "\n".join(shown)


async def new_board(path: Path) -> None:
    """The guided dialogue; then the charger is at its central system."""
    desk = Desk()
    async with Rig(path, program=desk, settings={"ocpp.url": "", "ocpp.identity": ""}, wait_registered=False) as rig:
        await rig.wait_line("ocpp.url is not set")
        await play(Person(desk), "new", rig.csms.url)
        await rig.firmware.meanwhile(rig.csms.wait_for("BootNotification", identity=IDENTITY, timeout=20))


async def at_work(path: Path) -> None:
    """Self-test, a session, a setting."""
    desk = Desk()
    async with Rig(path, program=desk, settings={"service.pin": PIN}) as rig:
        person = Person(desk)
        await rig.wait_line("selftest:")
        await person.come()
        await play(person, "well", rig.csms.url)
        await rig.plug(soc=50)
        await rig.start_session("DRIVER-0815")
        await play(person, "charging", rig.csms.url)
        await play(person, "setting", rig.csms.url)
        await rig.stop_session()


async def unreachable(path: Path) -> None:
    """An identity that the central system does not know."""
    desk = Desk()
    known: dict[str, list[str]] = {"identities": [IDENTITY]}
    settings = {"service.pin": PIN}
    async with Rig(
        path, program=desk, settings=settings, csms=known, identity="SITE7-30", wait_registered=False
    ) as rig:
        await rig.wait_line("404")
        person = Person(desk)
        await person.come()
        await play(person, "unreachable", rig.csms.url)


CASES: tuple[Callable[[Path], Awaitable[None]], ...] = (new_board, at_work, unreachable)


@system_test
async def test_what_the_page_shows(tmp_path: Path) -> None:
    """All blocks, at once."""
    for case in CASES:
        (tmp_path / case.__name__).mkdir()
    await asyncio.gather(*(case(tmp_path / case.__name__) for case in CASES))


def test_every_block_is_played() -> None:
    played = re.findall(r'play\(\w+\(?\w*\)?, "(\w+)"', Path(__file__).read_text(encoding="utf-8"))
    assert sorted(played) == sorted(blocks())
