"""The compiled program of a board, with its joined modules and its short names, charges on the fake chip.

A real central system over TCP starts and stops it; pins, both MCP2515, vehicle and module are models in the same
process (tests_host/unit/chip_main.py).
"""

import asyncio
import json
from pathlib import Path

from tests_host.conftest import interpreter
from tests_host.system.rig import system_test
from tools.build_mpy import build
from tools.csms import BenchCsms
from tools.demo.firmware import ROOT
from tools.demo.process import Child

BOARD = "rivot_dcfc"
WAIT_S = 60.0


@system_test
async def test_a_compiled_board_charges(tmp_path: Path) -> None:
    out = ROOT / "build" / BOARD
    build(ROOT, BOARD, out)
    lines = [line.split() for line in (out / "names.txt").read_text().splitlines()]
    names = {old: new for new, old in lines}
    path = [out / "firmware", out / "lib", out / "boards" / BOARD, ROOT / "tests_host/unit", ".frozen"]
    program = Child("board")
    async with BenchCsms() as csms:
        settings = {"ocpp.url": csms.url, "ocpp.identity": "BOARD", "wifi.ssid": "depot", "vehicle.soc_source": "none"}
        presets = {"settings": {**settings, "vehicle.info_wait_ms": 0}, "ocpp": {"MeterValueSampleInterval": "1"}}
        (tmp_path / "factory.json").write_text(json.dumps(presets))
        command = [str(interpreter(32)), "-X", "heapsize=2m", "tests_host/unit/chip_main.py", str(tmp_path)]
        command += [names.get(name, name) for name in ("main", "DATA", "FACTORY")]
        command.append(names["device"].removesuffix(".mpy"))
        await program.start(command, ROOT, {"MICROPYPATH": ":".join(map(str, path))})
        try:

            async def call(action: str, status: str | None = None) -> None:
                coming = csms.wait_for(action, lambda p: status in (None, p.get("status")), timeout=WAIT_S)
                await program.meanwhile(coming)

            await call("StatusNotification", status="Preparing")
            await program.wait_line(lambda line: " good" in line, WAIT_S)  # the self-test: not during a session
            answer = await csms.call("BOARD", "RemoteStartTransaction", {"idTag": "TAG", "connectorId": 1})
            assert answer == {"status": "Accepted"}
            await call("StatusNotification", status="Charging")
            await program.wait_line(lambda line: line == "PIN contactor 1", WAIT_S)
            await program.wait_line(lambda line: line == "PIN led_charging 1", WAIT_S)
            await program.wait_line(lambda line: line == "PIN led_network 1", WAIT_S)
            await call("MeterValues")
            transaction = csms.store.open_transactions("BOARD")[0]["transaction_id"]
            await csms.call("BOARD", "RemoteStopTransaction", {"transactionId": transaction})
            await call("StopTransaction")
            assert await csms.call("BOARD", "Reset", {"type": "Hard"}) == {"status": "Accepted"}
            await program.wait_line(lambda line: line == "RESETS ['hard'] FEEDS True", WAIT_S)
            pins = [line for line in program.lines if line.startswith("PIN contactor")]
            assert pins == ["PIN contactor 0", "PIN contactor 1", "PIN contactor 0"]
            assert not [line for line in program.lines if "Traceback" in line]
        except BaseException:
            print("\n".join(program.lines))
            raise
        finally:
            await asyncio.shield(program.stop())
