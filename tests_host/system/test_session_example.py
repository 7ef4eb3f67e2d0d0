"""The example of lib/ocpp16/README.md, as it is printed there, against the bench central system."""

import re
from pathlib import Path

from tests_host.conftest import interpreter
from tests_host.system.rig import system_test
from tools.csms import BenchCsms
from tools.demo.process import Child

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "lib" / "ocpp16" / "README.md"
URL = "ws://127.0.0.1:9000/ocpp"
WAIT_S = 15.0


def example() -> str:
    """The first Python block of the README."""
    block = re.search(r"^```python\n(.*?)^```$", README.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert block, "the README has no Python block"
    return block.group(1)


def test_is_about_thirty_lines() -> None:
    """It is short enough to be read: what the reader must write is not much more than the promise."""
    lines = [line for line in example().splitlines() if line.strip() and not line.lstrip().startswith('"""')]
    assert len(lines) <= 60


@system_test
async def test_example_charges(tmp_path: Path) -> None:
    """It boots, is accepted, starts a transaction when asked to, and ends it."""
    code = example()
    assert code.count(URL) == 1
    charger = Child("example")
    async with BenchCsms(identities=["CP-1"]) as csms:
        (tmp_path / "main.py").write_text(code.replace(URL, csms.url), encoding="utf-8")
        path = {"MICROPYPATH": f"{ROOT / 'lib'}:.frozen"}
        await charger.start([interpreter(64), tmp_path / "main.py"], tmp_path, path)
        try:
            boot = await charger.meanwhile(csms.wait_for("BootNotification", timeout=WAIT_S))
            assert boot.payload == {"chargePointVendor": "Example", "chargePointModel": "Thirty Lines"}
            await charger.meanwhile(csms.wait_for("StatusNotification", lambda p: p["status"] == "Preparing"))
            answer = await csms.call("CP-1", "RemoteStartTransaction", {"idTag": "TAG", "connectorId": 1}, WAIT_S)
            assert answer == {"status": "Accepted"}
            start = await charger.meanwhile(csms.wait_for("StartTransaction"))
            assert start.payload["meterStart"] == 1000
            await charger.wait_line(lambda line: line == "session 1", WAIT_S)
            await charger.meanwhile(csms.wait_for("StatusNotification", lambda p: p["status"] == "Charging"))
            answer = await csms.call("CP-1", "RemoteStopTransaction", {"transactionId": 1}, WAIT_S)
            assert answer == {"status": "Accepted"}
            stop = await charger.meanwhile(csms.wait_for("StopTransaction"))
            assert stop.payload["meterStop"] == 1000 and stop.payload["reason"] == "Remote"
            await charger.meanwhile(csms.wait_for("StatusNotification", lambda p: p["status"] == "Finishing"))
            assert not csms.violations, csms.violations
        except BaseException:
            print(charger.tail(100))
            raise
        finally:
            await charger.stop()
        assert (tmp_path / "ocpp-data").is_dir()
