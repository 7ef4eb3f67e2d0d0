"""`python -m tools.demo.wire`: every scene of README.md between the firmware and a central system, played anew.

Prints what came over the wire as blocks; `--write` puts those that do not tell the same any more into README.md;
`--check` only says which these are. tools/demo/wire_text.py has the form of a block.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from tools.demo.stage import Stage
from tools.demo.wire_scenes import PLAYS, Play
from tools.demo.wire_text import blocks, brief, difference, fold, renewed

README = Path(__file__).resolve().parent / "README.md"


async def play(plays: Iterable[Play] = PLAYS) -> dict[str, list[str]]:
    """All plays at once; their blocks by name. Raises what failed first, with the play's name."""
    with tempfile.TemporaryDirectory(prefix="charger-wire-") as folder:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_one(Path(folder), one)) for one in plays]
    played = {name: lines for task in tasks for name, lines in task.result().items()}
    brief(played.values())
    return played


async def _one(folder: Path, one: Play) -> dict[str, list[str]]:
    name = one.run.__name__
    try:
        async with Stage(folder / name, one.interval_s) as stage:
            await one.run(stage)
    except Exception as error:
        error.add_note(f"play: {name}")
        raise
    if tuple(stage.blocks) != one.scenes:
        raise ValueError(f"{name} gave {tuple(stage.blocks)}")
    return stage.blocks


def findings(text: str, played: dict[str, list[str]]) -> list[str]:
    """What is wrong with the blocks of a README, with the difference; empty: nothing."""
    shown = blocks(text)
    wrong = [f"{name}: not in the README" for name in played if name not in shown]
    wrong += [f"{name}: there is no such scene" for name in shown if name not in played]
    for name in shown:
        if name in played and (told := difference(shown[name], played[name])):
            wrong.append(f"{name}: another course on the wire\n{told}")
    return wrong


def main() -> int:
    """0: done, or the README is true; 1: it is not (--check); 2: it could not be played."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.demo.wire", description="Play the scenes of tools/demo/README.md and show their wire."
    )
    parser.add_argument("scenes", nargs="*", metavar="SCENE", help="only the plays with these scenes (all)")
    parser.add_argument(
        "--write", action="store_true", help="renew the blocks of the README that are not true any more"
    )
    parser.add_argument("--check", action="store_true", help="only say what is not true any more")
    options = parser.parse_args()
    known = [name for one in PLAYS for name in one.scenes]
    if unknown := set(options.scenes) - set(known):
        parser.error(f"no scene {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    if options.scenes and (options.write or options.check):
        parser.error("--write and --check play all scenes")
    plays = [one for one in PLAYS if not options.scenes or set(one.scenes) & set(options.scenes)]
    try:
        played = asyncio.run(play(plays))
    except ExceptionGroup as errors:
        for error in errors.exceptions:
            print(f"{type(error).__name__}: {error}", *getattr(error, "__notes__", []), sep="\n", file=sys.stderr)
        return 2
    if options.check or options.write:
        text = README.read_text(encoding="utf-8")
        wrong = findings(text, played)
        print("\n".join(wrong) or "every block is true")
        if options.write:
            README.write_text(renewed(text, played), encoding="utf-8")
        return 1 if wrong and not options.write else 0
    for name, lines in played.items():
        print(f"\n{name}", *map(fold, lines), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
