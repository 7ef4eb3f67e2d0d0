"""`python -m tools.flash install|repl|logs|test --board NAME --port PORT`: what `make flash` and the others run."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from tools import manifest
from tools.build_mpy import BuildError, build
from tools.flash import board as device
from tools.flash.errors import FlashError
from tools.flash.install import ROOT, Report, install
from tools.flash.link import Link
from tools.flash.ports import find
from tools.flash.watch import watch

_SELFTEST_S = 40.0  # the self-test speaks 6 s after the start; Wi-Fi and a slow flash may come before


@contextmanager
def _bar(console: Console) -> Iterator[Callable[[str, int, int], None]]:
    with Progress(TextColumn("{task.description:9}"), BarColumn(), TextColumn("{task.percentage:3.0f} %"),
                  console=console, transient=True) as progress:  # fmt: skip
        tasks: dict[str, TaskID] = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=total)
            progress.update(tasks[what], completed=done, total=total)

        yield show


def flash(board: str, port: str, out: Path, console: Console, other: bool, wait: float) -> int:
    """Install a build; return the exit status."""
    about = manifest.read(out / manifest.NAME)
    device.has_chip(about)
    with Link(find(port)) as link:
        console.print(f"{link.path}: stopping the program ...")
        link.interrupt()
        who = device.identify(link)
        device.judge(who, about)
        console.print(f"{who.machine}, MicroPython {'.'.join(map(str, who.version))}, "
                      f"{who.blocks_free * who.block // 1024:,} kB free")  # fmt: skip
        _same_board(link, who, board, other)
        with _bar(console) as progress:
            report = install(link, who, out, about, progress)
        _tell(console, report, about)
        if not report.changed and not who.running:
            raise FlashError("boot.py did not start a program.", "press EN and look: make logs")
        link.restart()
        if wait <= 0:
            return 0
        console.print("restarted; waiting for the self-test ...")
        seen = watch(link.listen(wait), lambda line: console.print(f"  [dim]{escape(line)}[/dim]", soft_wrap=True))
    if seen.dead:
        raise FlashError(
            f"The program does not start: {seen.dead}", "read what it says above; `make repl` to look around"
        )
    if seen.good < 0:
        raise FlashError(f"No self-test within {wait:.0f} s.", "look what it does: make logs")
    console.print(f"self-test: {seen.good} of {seen.tests} good")
    for row in seen.failures:
        console.print(f"  [yellow]{escape(row)}[/yellow]", soft_wrap=True)
    return 0


def _same_board(link: Link, who: device.Identity, board: str, other: bool) -> None:
    """FlashError: what runs there was made for another board, so its pins are others."""
    if not who.running or other:
        return
    try:
        text = link.run(f"with open('/{who.running}/{manifest.NAME}') as f: print(f.readline())")
        there = manifest.parse(text.strip().rstrip(",") + ',"files":{}}').board
    except (OSError, manifest.ManifestError):
        return  # nothing that says so: the slot is written anew
    if there != board:
        raise FlashError(
            f"This board runs the program for {there}; with BOARD={board} its pins would drive something else.",
            f"use BOARD={there}, or if the hardware is another one: ARGS=--other-board",
        )


def _tell(console: Console, report: Report, about: manifest.Manifest) -> None:
    version = f"{about.board} {about.version}"
    if report.sent or report.copied or report.removed:
        console.print(
            f"{version}: {len(report.sent)} files sent, {len(report.copied)} copied on the board, "
            f"{report.kept} were there, {len(report.removed)} removed"
        )
    else:
        console.print(f"{version}: 0 files sent, the board has them all")
    for name in report.outside:
        console.print(f"/{name} replaced")
    console.print(f"{'switched to' if report.switched else 'starts from'} /{report.slot}; every hash is right")


def logs(port: str, console: Console) -> int:
    """Show what the board says until Ctrl-C; the board is not disturbed."""
    with Link(find(port)) as link:
        console.print(f"{link.path}: Ctrl-C ends this, the board goes on")
        try:
            while True:
                for piece in link.listen(3600):
                    console.out(piece.decode("utf-8", "replace").replace("\r", ""), end="", highlight=False)
        except KeyboardInterrupt:
            console.print()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tools.flash",
        description="Put the program onto a board, talk to it, watch it. If it is interrupted the old one starts.",
    )
    parser.add_argument("what", choices=("install", "repl", "logs", "test"))
    parser.add_argument("--board", default="", help="a folder of boards/")
    parser.add_argument("--port", default="", help="serial port, or id:SERIAL-NUMBER (default: the only one there is)")
    parser.add_argument("--out", type=Path, help="folder of the build (default build/BOARD, brought up to date)")
    parser.add_argument("--other-board", action="store_true", help="the board runs the program of another one now")
    parser.add_argument("--wait", type=float, default=_SELFTEST_S, help="seconds for the self-test; 0: do not wait")
    parser.add_argument("--only", default="", help="test: names of test files that contain this")
    return parser


def main() -> int:
    """Return the exit status."""
    options = _parser().parse_args()
    console = Console(highlight=False)
    try:
        if options.what == "install":
            out = options.out or ROOT / "build" / options.board
            if options.out is None:
                build(ROOT, options.board, out)
            return flash(options.board, options.port, out, console, options.other_board, options.wait)
        if options.what == "logs":
            return logs(options.port, console)
        if options.what == "repl":
            command = [sys.executable, "-m", "mpremote", "connect", find(options.port), "repl"]
            return subprocess.run(command).returncode
        from tools.flash.on_board import run

        return run(find(options.port), options.only, console)
    except (FlashError, BuildError, manifest.ManifestError) as exc:
        console.print(f"[red]{escape(str(exc))}[/red]", soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        console.print("interrupted; the program that ran before still starts")
        return 130


if __name__ == "__main__":
    sys.exit(main())
