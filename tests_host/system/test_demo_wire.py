"""The transcripts for integrators are what comes over the wire, and the charger dials anybody's central system."""

import asyncio
import re
import sys
from pathlib import Path

import pytest

from tests_host.system.rig import system_test
from tests_host.system.steps import together
from tools.csms import BenchCsms
from tools.demo.firmware import ROOT
from tools.demo.process import Child
from tools.demo.wire import README, findings, play
from tools.demo.wire_text import blocks, difference, fold, masked, renewed, same, shorten

LIBRARY = ROOT / "lib" / "ocpp16"
KEY = "a-password-of-20-chr"


async def _transcripts() -> None:
    wrong = findings(README.read_text(encoding="utf-8"), await play())
    assert not wrong, "\n".join(["`make wire ARGS=--write` renews the blocks; read what else is said:", *wrong])


async def _own_central_system(path: Path) -> None:
    """`--url`: one session moved by lines on stdin, and a power cut that leaves the flash."""
    async with BenchCsms(identities=["CP-7"], basic_auth=KEY.encode()) as csms:
        desk = Child("desk")
        options = ["--url", csms.url, "--identity", "CP-7", "--key", KEY, "--data", str(path / "flash")]
        await desk.start([sys.executable, "-m", "tools.demo", *options], ROOT, stdin=True)
        try:
            await desk.meanwhile(csms.wait_for("StatusNotification", lambda p: p["connectorId"] == 1, timeout=30))
            desk.write("colour\nplug soc=41\nswipe id_tag=CARD-1\nstate\n")
            await desk.wait_line(lambda line: line.startswith("no: "), 10)
            await desk.wait_line(lambda line: '"plugged": true' in line, 10)
            await desk.meanwhile(csms.wait_for("MeterValues", timeout=20))
            desk.write("power\n")
            stop = await desk.meanwhile(csms.wait_for("StopTransaction", timeout=30))
            assert stop.payload["reason"] == "PowerLoss"
            assert csms.store.rows("vehicle_info")[0]["soc"] == 41
            desk.close_stdin()
            assert await asyncio.wait_for(desk.wait(), 20) == 0, desk.tail()
            assert not csms.violations and KEY not in "\n".join(desk.lines)
        finally:
            await desk.stop()


@system_test
async def test_wire(tmp_path: Path) -> None:
    await together(transcripts=_transcripts(), desk=_own_central_system(tmp_path))


def test_the_table_of_actions_is_complete() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ((?:[A-Z]\w+(?:, )?)+) \|$", (LIBRARY / "README.md").read_text(), re.MULTILINE)
    shown = {name: text.split(", ") for name, text in rows}
    handlers = {path.stem: re.findall(r"def on_(\w+)", path.read_text()) for path in LIBRARY.glob("profiles/*.py")}
    assert shown == {name: sorted(found) for name, found in handlers.items() if found}


SAMPLE = (
    '→ MeterValues {"connectorId":1,"transactionId":%d,"meterValue":[{"timestamp":"2026-11-22T15:45:%02dZ",'
    '"sampledValue":[{"measurand":"Voltage","value":"%s","unit":"V","context":"Sample.Periodic"}]}]}'
)


def test_only_what_varies_is_masked() -> None:
    line = SAMPLE % (1, 7, "76.40")
    assert same([line], [SAMPLE % (123, 59, "8.01")])
    for wrong in (
        SAMPLE % (1, 7, "76.4"),
        SAMPLE % (1, 7, "-76"),
        line.replace("Voltage", "Current"),
        line.replace("Z", ".5Z"),
        line.replace("→", "←"),
        line.replace('"connectorId":1,"transactionId":1', '"transactionId":1,"connectorId":1'),
        line.replace('"unit":"V",', ""),
        line.replace('"connectorId":1', '"connectorId":2'),
    ):
        assert wrong != line and difference([line], [wrong]), wrong
    assert masked(r'"data":"{\"soc\":87.0,\"voltage\":76.4}"') == r'"data":"{\"soc\":87.0,\"voltage\":0.0}"'
    assert not same(["- one"], ["- one", "- two"]) and not same(["a", "b"], ["b", "a"])


def test_repeated_samples_are_one_and_more() -> None:
    pairs = [line for second in range(3) for line in (SAMPLE % (1, second, "76.40"), "← {}")]
    assert shorten(["- before", *pairs, "- behind"]) == ["- before", *pairs[:2], "…", "- behind"]
    assert shorten(pairs[:2]) == pairs[:2]
    other = [line.replace("Voltage", "SoC") for line in pairs[:2]]
    assert shorten([*pairs[:2], *other]) == [*pairs[:2], *other]


def test_blocks_are_renewed_only_where_they_are_wrong() -> None:
    def readme(*lines: str) -> str:
        return "text\n<!-- wire: one -->\n```text\n" + "".join(f"{fold(line)}\n" for line in lines) + "```\nmore\n"

    first, later = SAMPLE % (1, 7, "76.40"), SAMPLE % (2, 8, "9.99")
    text = readme("- x", first)
    assert len(max(text.splitlines(), key=len)) < 120 < len(first)
    assert blocks(text) == {"one": ["- x", first]}
    assert renewed(text, {"one": ["- x", later]}) == text
    assert renewed(text, {"one": ["- y", later]}) == readme("- y", later)
    with pytest.raises(KeyError):
        renewed(text, {})
    assert findings(text, {"one": ["- x", first]}) == []
    wrong: list[dict[str, list[str]]] = [{}, {"one": []}, {"one": ["- x", first], "two": []}]
    assert [len(findings(text, played)) for played in wrong] == [1, 1, 1]
