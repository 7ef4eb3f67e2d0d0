"""Runs the real program on MicroPython, but one function of it fails once a session runs.

    micropython sabotage.py PLAN [ARGUMENTS OF main.py]

PLAN is a JSON object: `owner` "module", "module:Class" or "cold module" (see lib/cold.py), `function` its attribute,
`error` name of the exception, `skip` so many calls succeed from a second after the output has come on, `times` so many
calls fail then (0: all), `bus` only of the CAN controller that is this attribute of the outlet (null: any), `block_ms`
nothing else runs for so long before it. Each failure is a line "SABOTAGE <Unix time in us>" on stderr.
"""

import builtins
import json
import sys
import time

try:
    from typing import Any
except ImportError:
    pass  # MicroPython does not look at annotations

FIRMWARE = __file__.rsplit("/", 3)[0] + "/firmware"
RUNNING = 3  # charger/gate.py
SETTLED_MS = 1000
sleep_ms: Any = getattr(time, "sleep_ms", None)
ticks_ms: Any = getattr(time, "ticks_ms", None)
ticks_diff: Any = getattr(time, "ticks_diff", None)


def find(path: str) -> Any:
    """A module, or a class in it."""
    name, _, attribute = path.partition(":")
    __import__(name)
    module = sys.modules[name]
    return getattr(module, attribute) if attribute else module


class Saboteur:
    """Knows what fails, when, and how often."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self.app: Any = None
        self.on_at: int | None = None  # ticks
        self.bus = plan["bus"]
        self.skip = plan["skip"]
        self.left = plan["times"] or -1
        self.block_ms = plan["block_ms"]
        self.error = getattr(builtins, plan["error"])
        kind, _, name = plan["owner"].rpartition(" ")
        if kind == "cold":
            self.spoil_cold(name, plan["function"])  # before anybody takes `cold` from its module
        self.watch(find("charger.app:App"), find("charger.gate:Gate"))
        if not kind:
            self.spoil(find(name), plan["function"])

    def watch(self, app_class: Any, gate_class: Any) -> None:
        """See the program being built, and its output come on."""
        build, enter = app_class.__init__, gate_class._enter

        def built(app: Any, *args: Any) -> None:
            self.app = app
            build(app, *args)

        def entered(gate: Any, state: int) -> None:
            enter(gate, state)
            if state == RUNNING and self.on_at is None:
                self.on_at = ticks_ms()

        app_class.__init__ = built
        gate_class._enter = entered

    def spoil(self, owner: Any, function: str) -> None:
        """Put a function that fails in time in the place of a good one."""
        good = getattr(owner, function)

        def failing(*args: Any, **kwargs: Any) -> Any:
            if self.is_due(args):
                sleep_ms(self.block_ms)
                print("SABOTAGE", time.time_ns() // 1000, file=sys.stderr)
                raise self.error("sabotage")
            return good(*args, **kwargs)

        setattr(owner, function, failing)

    def spoil_cold(self, name: str, function: str) -> None:
        """The same in a cold module: in each copy that is loaded, once in the one that is kept."""
        home = find("cold")
        load = home.cold

        def spoiling(wanted: str) -> Any:
            module = load(wanted)
            if wanted == name and not hasattr(module, "_sabotaged"):
                module._sabotaged = True
                self.spoil(module, function)
            return module

        home.cold = spoiling

    def is_due(self, args: Any) -> bool:
        """Count a call; must it fail?"""
        if self.on_at is None or ticks_diff(ticks_ms(), self.on_at) < SETTLED_MS or not self.left:
            return False
        if self.bus is not None and args[0] is not getattr(self.app.outlets[0], self.bus):
            return False
        self.skip -= 1
        if self.skip >= 0:
            return False
        self.left -= 1
        return True


def run(plan: str, arguments: list[str]) -> int:
    """Start the program with one weak point; its exit status."""
    sys.path.insert(0, FIRMWARE)
    main = find("main")
    main.find_rooms()
    Saboteur(json.loads(plan))
    return int(main.main(arguments))


if __name__ == "__main__":
    sys.exit(run(sys.argv[1], sys.argv[2:]))
