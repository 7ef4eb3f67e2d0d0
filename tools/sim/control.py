"""The control port: JSON lines, one request, one answer. A request that is wrong in any way changes nothing."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .bms import PROTOCOLS
from .bus import BUS_STATES
from .connector import FAULT_KINDS
from .fields import Check, boolean, check_fields, choice, integer, nullable, number, text, texts
from .iolink import INPUTS
from .lineserver import LineServer
from .module import OFFLINE, STUCK_ON
from .site import Site

_LIMIT = 65_536  # bytes in one request
_MOST_EVENTS = 1000
_MOST_WAIT_S = 60.0
_CURRENT, _VOLTAGE, _CELSIUS = number(0, 6553.5), number(0, 6553.5), number(-40, 150)
_RATE = number(0, 20_000)  # units per second
_PERIOD_MS = number(5, 60_000)


@dataclass(frozen=True)
class Command:
    """Fields, their checks, and whether the execution is an event of type "cmd"."""

    fields: Mapping[str, Check]
    required: frozenset[str] = frozenset()
    is_action: bool = True
    has_connector: bool = True


_LINE = Command({"active": boolean}, frozenset({"active"}))

COMMANDS: dict[str, Command] = {
    "plug": Command(
        {
            "soc": number(0, 100),
            "capacity_ah": number(1, 1000),
            "max_current": _CURRENT,
            "max_voltage": _VOLTAGE,
            "temperature": _CELSIUS,
            "same": boolean,
        }
    ),
    "unplug": Command({}),
    "ev": Command(
        {
            "allow": boolean,
            "max_current": _CURRENT,
            "max_voltage": _VOLTAGE,
            "pause": boolean,
            "heating": boolean,
            "taper": boolean,
        }
    ),
    "bms": Command(
        {
            "silent": boolean,
            "corrupt": boolean,
            "stuck": boolean,
            "garbage": _RATE,
            "period_ms": _PERIOD_MS,
            "soc_in_frame": boolean,
            "daly": boolean,
            "ah_counters": boolean,
            "control_byte": nullable(integer(0, 255)),
            "protocol": choice(*PROTOCOLS),
            "asleep": boolean,
            "protection": integer(0, 2**53),
        }
    ),
    "module": Command(
        {
            "silent": boolean,
            "corrupt": boolean,
            "stuck": choice(False, True, STUCK_ON),
            "garbage": _RATE,
            "latency_ms": number(0, 10_000),
            "no_echo": boolean,
            "refuse": boolean,
            "temperature": nullable(_CELSIUS),
            "nan": boolean,
            "offline": choice(*OFFLINE),
            "offline_registers": boolean,
            "offline_ms": number(100, 600_000),
            "needs_both": boolean,
            "ramp": number(1, 10_000),
            "telemetry": boolean,
            "current_q10": boolean,
            "terminal_ms": _PERIOD_MS,
            "terminal_power": boolean,
            "terminal_status": boolean,
            "heartbeat": boolean,
            "heartbeat_ms": _PERIOD_MS,
            "max_voltage": number(1, 1000),
            "max_current": number(0, 1000),
            "max_power": number(0, 1_000_000),
        }
    ),
    "swipe": Command({"id_tag": text(255), "connector": integer(0, 255)}, frozenset({"id_tag"}), has_connector=False),
    "estop": _LINE,
    "door": _LINE,
    "fault": Command({"active": boolean, "kind": choice(*FAULT_KINDS)}, frozenset({"active"})),
    "bus": Command(
        {"name": choice("bms", "pm", "uart"), "state": choice(*BUS_STATES), "load": _RATE, "text_garbage": _RATE},
        frozenset({"name"}),
    ),
    "io": Command({"state": choice("up", "down")}, frozenset({"state"}), has_connector=False),
    "state": Command({}, is_action=False),
    "events": Command(
        {
            "since": integer(0, 2**53),
            "types": texts,
            "limit": integer(1, _MOST_EVENTS),
            "wait": number(0, _MOST_WAIT_S),
        },
        is_action=False,
        has_connector=False,
    ),
    "quit": Command({}, has_connector=False),
}


class Control:
    """Carries out requests on a site."""

    def __init__(self, site: Site, on_quit: Callable[[], None]) -> None:
        self._site = site
        self._on_quit = on_quit
        self._connector = integer(1, len(site.connectors))
        self._server = LineServer(self._serve, _LIMIT)
        self._handlers: dict[str, Callable[..., Awaitable[dict[str, Any]]]] = {
            name: getattr(self, "_" + name) for name in COMMANDS
        }

    async def listen(self, host: str, port: int) -> None:
        """Serve on host:port. Raises OSError when the port is taken."""
        await self._server.listen(host, port)

    async def close(self) -> None:
        """Drop all connections and stop listening."""
        await self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                line = await reader.readuntil(b"\n")
            except asyncio.LimitOverrunError:
                writer.write(_line({"ok": False, "error": f"a request has at most {_LIMIT} bytes"}))
                await writer.drain()
                return
            answer = await self.request(line)
            writer.write(_line(answer))
            await writer.drain()
            if answer.get("quit"):
                self._on_quit()
                return

    async def request(self, line: bytes) -> dict[str, Any]:
        """Return the answer to one request line."""
        try:
            name, fields = self._parse(line)
        except ValueError as error:
            return {"ok": False, "error": str(error)}
        stamp: dict[str, Any] = {"t": time.monotonic(), "wall": time.time()}
        if COMMANDS[name].is_action:
            arguments = {key: value for key, value in fields.items() if key != "connector"}
            event = self._site.events.add("cmd", fields.get("connector"), cmd=name, arguments=arguments)
            stamp = {"t": event["t"], "wall": event["wall"], "seq": event["seq"]}
        return {"ok": True, **stamp, **await self._handlers[name](**fields)}

    def _parse(self, line: bytes) -> tuple[str, dict[str, Any]]:
        try:
            request = json.loads(line.decode("utf-8"), parse_constant=_no_constant)
        except UnicodeDecodeError:
            raise ValueError("not UTF-8") from None
        except RecursionError:
            raise ValueError("nested too deeply") from None
        except ValueError as error:
            raise ValueError(f"not JSON: {error}") from None
        if type(request) is not dict:
            raise ValueError("a request is an object with the field cmd")
        name = request.pop("cmd", None)
        command = COMMANDS.get(name) if type(name) is str else None
        if command is None:
            raise ValueError("cmd must be one of " + ", ".join(COMMANDS))
        known = dict(command.fields)
        if command.has_connector:
            known["connector"] = self._connector
            request.setdefault("connector", 1)
        fields = check_fields(request, known, command.required)
        if name == "bus" and fields["name"] == "uart" and "text_garbage" in fields:
            raise ValueError("text_garbage: a serial line has no lines of text")
        if name == "swipe" and fields.setdefault("connector", 0) > len(self._site.connectors):
            raise ValueError(f"connector: must be a whole number from 0 to {len(self._site.connectors)}")
        return name, fields

    # --- one method per command; the fields are checked

    async def _plug(self, connector: int, **vehicle: Any) -> dict[str, Any]:
        self._site.plug(connector, **vehicle)
        return {}

    async def _unplug(self, connector: int) -> dict[str, Any]:
        self._site.unplug(connector)
        return {}

    async def _ev(self, connector: int, **wishes: Any) -> dict[str, Any]:
        self._site.connectors[connector].ev(**wishes)
        return {}

    async def _bms(self, connector: int, **options: Any) -> dict[str, Any]:
        bms = self._site.connectors[connector].bms
        for name, value in options.items():
            setattr(bms.options, name, value)
        bms.options_changed()
        self._site.connectors[connector].uart_bms.changed()
        return {}

    async def _module(self, connector: int, **options: Any) -> dict[str, Any]:
        one = self._site.connectors[connector]
        one.refresh()
        for name, value in options.items():
            setattr(one.module.options, name, value)
        one.module.options_changed()
        return {}

    async def _swipe(self, id_tag: str, connector: int) -> dict[str, Any]:
        self._site.io.swipe(id_tag, connector)
        return {}

    async def _estop(self, connector: int, active: bool) -> dict[str, Any]:
        self._site.line("estop", connector, active)
        return {}

    async def _door(self, connector: int, active: bool) -> dict[str, Any]:
        self._site.line("door", connector, active)
        return {}

    async def _fault(self, connector: int, active: bool, kind: str = "input") -> dict[str, Any]:
        self._site.fault(connector, kind, active)
        return {}

    async def _bus(
        self,
        connector: int,
        name: str,
        state: Any = None,
        load: float | None = None,
        text_garbage: float | None = None,
    ) -> dict[str, Any]:
        one = self._site.connectors[connector]
        if name == "uart":
            if state is not None:
                one.uart.set_state(state)
            if load is not None:
                one.uart.set_load(load)
            return {}
        bus = one.pm if name == "pm" else one.bms_bus
        if state is not None:
            bus.set_state(state)
        if load is not None:
            bus.set_load(load)
        if text_garbage is not None:
            bus.set_text_garbage(text_garbage)
        return {}

    async def _io(self, state: str) -> dict[str, Any]:
        self._site.io.set_up(state == "up")
        return {}

    async def _state(self, connector: int) -> dict[str, Any]:
        io = self._site.io
        return {
            **self._site.connectors[connector].state(),
            "inputs": {name: io.level(name, connector) for name in INPUTS},
            "io": {"up": io.up, "clients": io.clients, "bad_lines": io.bad_lines},
            "connectors": len(self._site.connectors),
            "last_seq": self._site.events.last,
        }

    async def _events(
        self, since: int = 0, types: list[str] | None = None, limit: int = _MOST_EVENTS, wait: float = 0.0
    ) -> dict[str, Any]:
        log = self._site.events
        dropped = log.dropped_after(since)
        found, reached = await log.wait(since, types, limit, wait)
        return {"events": found, "next": reached, "dropped": dropped}

    async def _quit(self) -> dict[str, Any]:
        return {"quit": True}


def _line(answer: dict[str, Any]) -> bytes:
    return json.dumps(answer, separators=(",", ":")).encode() + b"\n"


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")
