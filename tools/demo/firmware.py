"""How the firmware is started on a computer: factory presets and command line, in one place for demo and tests."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
HEAP_32 = "112k"  # what the ESP32 has to spare, with pointers and heap blocks of the same width

# What makes the desk show all of the quick reference: a known SoC, and answers soon when something fails.
SETTINGS = {"ocpp.vendor": "Rivot", "ocpp.model": "DCFC", "ocpp.serial_number": "SIM-0001"}
OCPP = {"MeterValueSampleInterval": "10"}


@dataclass(frozen=True)
class Firmware:
    """Which firmware to run: pointer width, compiled or from source, heap ("112k"; None: as much as there is)."""

    bits: int = 64
    mpy: bool = False
    heap: str | None = None
    options: tuple[str, ...] = field(default=())  # after --factory, e.g. ("--on-reset", "exit")

    def command(self, data: Path, factory: Path) -> tuple[list[str], dict[str, str]]:
        """argv and extra environment, to be started in ROOT. Raises FileNotFoundError, with what to do, when something
        is not built."""
        program = ROOT / ".toolchain" / "bin" / ("micropython" if self.bits == 64 else "micropython32")
        if not program.exists():
            raise FileNotFoundError(f"{program.relative_to(ROOT)} is missing: run `make setup`")
        heap = self.heap or (HEAP_32 if self.bits == 32 and self.mpy else None)
        argv = [str(program), *(["-X", f"heapsize={heap}"] if heap else [])]
        env: dict[str, str] = {}
        if self.mpy:
            build = "build/sim"  # a module's path stays in RAM, on the device it is as short as this
            if not (ROOT / build / "firmware" / "main.mpy").exists():
                raise FileNotFoundError("build/sim/firmware/main.mpy is missing: run `make build`")
            env["MICROPYPATH"] = f"{build}/firmware:{build}/lib:.frozen"
            argv += ["-m", "main"]
        else:
            main = ROOT / "firmware" / "main.py"
            if not main.exists():
                raise FileNotFoundError("firmware/main.py is missing")
            argv.append(str(main))
        return [*argv, "--board", "sim", "--data", str(data), "--factory", str(factory), *self.options], env


def write_factory(
    path: Path,
    sim: str,
    url: str,
    identity: str,
    *,
    connectors: int = 1,
    settings: dict[str, Any] | None = None,
    ocpp: dict[str, str] | None = None,
    board: dict[str, Any] | None = None,
) -> None:
    """Write the factory presets: simulator at `sim` ("host:port"), central system at `url`, more of each kind."""
    presets = {
        "board": {"sim": sim, "connectors": connectors, "lock": False, **(board or {})},
        "settings": {**SETTINGS, "ocpp.url": url, "ocpp.identity": identity, **(settings or {})},
        "ocpp": {**OCPP, **(ocpp or {})},
    }
    path.write_text(json.dumps(presets, indent=2), encoding="utf-8")
