"""How the demo looks: three cards, the wire, the processes, the keys. Fits 80 x 24."""

from rich import box
from rich.align import Align
from rich.console import Group, RenderableType
from rich.layout import Layout
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from tools.demo.process import Child
from tools.demo.view import CHARGING, COMPLETE, VEHICLE, View, brief_line, clock

KEYS = (
    ("p", "plug/unplug"),
    ("s", "start"),
    ("x", "stop"),
    ("e", "e-stop"),
    ("n", "network"),
    ("q", "quit"),
)
_CARDS_HEIGHT = 9
_BAR = 12


def screen(
    view: View, children: tuple[Child, ...], began: float, message: str, network_down: bool, width: int, height: int
) -> Layout:
    """Everything, for a terminal of this size."""
    layout = Layout()
    layout.split_column(
        Layout(_header(view, children, network_down), name="header", size=2),
        Layout(name="cards", size=_CARDS_HEIGHT),
        Layout(_wire(view, began, width, max(1, height - _CARDS_HEIGHT - 6)), name="wire"),
        Layout(_footer(message), name="footer", size=2),
    )
    layout["cards"].split_row(Layout(_vehicle(view)), Layout(_charging(view)), Layout(_complete(view)))
    return layout


def _header(view: View, children: tuple[Child, ...], network_down: bool) -> RenderableType:
    processes = Text()
    for child in children:
        if child.pid is None:
            processes.append(f"○ {child.name}  ", "dim")
        elif child.running:
            processes.append("● ", "green")
            processes.append(f"{child.name}  ")
        else:
            processes.append(f"● {child.name} ended ({child.code})  ", "red")
    link = "network down" if network_down else "online" if view.connected else "offline"
    state = Text.assemble(
        ("Connector 1: ", "dim"),
        (view.status, "bold red" if view.error else "bold"),
        (f" {view.error}" if view.error else "", "red"),
        ("   Link: ", "dim"),
        (link, "green" if link == "online" else "bold red"),
        (f"   {view.violations} frames broke the rules" if view.violations else "", "bold red"),
    )
    return Group(processes, state)


def _card(title: str, rows: list[tuple[str, str]], last: Text | None, active: bool, colour: str) -> Panel:
    table = Table.grid(padding=(0, 1))
    for name, value in rows:
        table.add_row(Text(name, "" if active else "dim"), Text(value, "bold" if active else "dim"))
    body: list[RenderableType] = [table]
    if last is not None:
        body.append(last)
    return Panel(
        Group(*body),
        title=Text(title, f"bold {colour}" if active else "dim"),
        title_align="left",
        border_style=colour if active else "dim",
        box=box.ROUNDED,
        height=_CARDS_HEIGHT,
    )


def _number(value: object, unit: str, decimals: int) -> str:
    return f"{value:.{decimals}f} {unit}" if isinstance(value, int | float) else "–"


def _vehicle(view: View) -> Panel:
    v = view.vehicle
    rows = [
        ("SOC", _number(v.get("soc"), "%", 1)),
        ("Max", _number(v.get("maxCurrent"), "A", 1)),
        ("Voltage", _number(v.get("voltage"), "V", 1)),
        ("Temp", _number(v.get("temperature"), "°C", 1)),
    ]
    if not v:
        return _card("Vehicle Connected", [("", "no vehicle")], Text("\n[p] plug in", "dim"), False, "cyan")
    hint = Text("\n[s] Start Charging", "cyan") if view.phase in (VEHICLE, COMPLETE) else None
    return _card("Vehicle Connected", rows, hint, True, "cyan")


def _charging(view: View) -> Panel:
    s = view.sample
    if s is None:
        return _card("Charging Active", [("", "no session")], None, False, "green")
    rows = [
        ("SOC", _number(s.soc, "%", 2) + (" ▲" if view.rising else "")),
        ("Power", _number(s.power, "W", 0)),
        ("Energy", _number(s.energy, "Wh", 0)),
        ("Time", clock(s.seconds)),
    ]
    filled = round((s.soc or 0) / 100 * _BAR)
    active = view.phase == CHARGING
    bar = Text.assemble(
        ("█" * filled, "green" if active else "dim"),
        ("░" * (_BAR - filled), "dim"),
        f" {s.soc:.0f} %" if s.soc is not None else " – %",
    )
    if active:
        bar.append("\n[x] Stop Charging", "green")
    return _card("Charging Active", rows, bar, active, "green")


def _complete(view: View) -> Panel:
    s = view.summary
    if not s:
        return _card("Session Complete", [("", "not yet")], None, False, "magenta")
    minutes = s.get("durationMinutes")
    rows = [
        ("Final", _number(s.get("finalSoc"), "%", 2)),
        ("Energy", _number(s.get("energyDelivered"), "Wh", 2)),
        ("Time", clock(round(minutes * 60)) if isinstance(minutes, int | float) else "–"),
    ]
    return _card("Session Complete ✓", rows, None, True, "magenta")


def _wire(view: View, began: float, width: int, lines: int) -> Panel:
    text = Text(no_wrap=True, overflow="ellipsis")
    for frame in list(view.last)[-lines:]:
        style = "red" if frame.violation else "yellow" if frame.direction == "out" else ""
        text.append(brief_line(frame, began, width - 4) + "\n", style)
    return Panel(text, title="Wire", title_align="left", border_style="dim", box=box.ROUNDED)


def _footer(message: str) -> RenderableType:
    keys = Text()
    for key, what in KEYS:
        keys.append(f" {key} ", "reverse")
        keys.append(f" {what}   ")
    return Group(Text(message or " ", "yellow", no_wrap=True, overflow="ellipsis"), Align.left(keys))
