"""Plays a recorded session back into the firmware, and says what it does otherwise.

    python -m tools.replay --can bus.log --ocpp wire.jsonl [--factory presets.json]

The real firmware runs on the unix port. Around it stand the frames and the central system of the recording: what the
devices sent comes at its time, what was asked for comes when the firmware asks, and the central system says what it
said then. Where the firmware must have acted first (the output on or off, a message), the recording waits for it; so a
firmware that is a little slower is no difference, and one that acts otherwise is.

Recording: `python -m tools.sim --log bus.log ...` and `python -m tools.csms --record wire.jsonl ...`; or candump -L of
a real bus, with --bus can0=pm1 --bus can1=bms1.
"""

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections import defaultdict, deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import can

from tools.csms import SILENCE, BenchCsms, CallFailed, Frame, NotConnected
from tools.csms.behaviour import Answer, Call, CallError
from tools.csms.frames import FROM_CHARGER, TO_CHARGER
from tools.demo.firmware import ROOT, Firmware, write_factory
from tools.demo.process import Child, StartError
from tools.recording import BadRecordingError, Recording, is_from_charger, read, switched
from tools.replay_compare import asked, differences, said
from tools.sim.bus import CanBus
from tools.sim.events import EventLog
from tools.sim.iolink import IoLink
from tools.sim.site import free_base

_HOST = "127.0.0.1"
_AHEAD_S = 0.5  # of the devices, before the charger was connected
_TAIL_S = 2.0  # after the end of the recording
_QUIET = ("Heartbeat", "MeterValues")  # nobody waits for them


class Player:
    """Plays one recording into one firmware. `replayed`: what went over the wire; `notes`: what the firmware did not do
    on the buses."""

    def __init__(self, recording: Recording, speed: float, patience: float, show: bool) -> None:
        self.notes: list[str] = []
        self.replayed: list[Frame] = []
        self._recording = recording
        self._speed = speed
        self._patience = patience
        self._show = show
        self._csms: BenchCsms
        self._firmware = Child("firmware")
        self._edges: dict[str, list[bool]] = defaultdict(list)
        self._events = EventLog()
        self._cans = {
            name: CanBus("pm" if name[0] == "p" else "bms", int(name.lstrip("pmbs")), self._events, random.Random(1))
            for name in recording.buses
        }
        self._io = IoLink(range(1, recording.connectors + 1), self._output, lambda _: None)
        self._answers = self._recorded_answers()
        self._given: dict[str, Answer] = {}
        self._asked: list[asyncio.Task[None]] = []
        self._shift = 0.0  # of the recording's time to ours
        self._begin = self._end = recording.opened

    async def play(self, factory: dict[str, Any], bits: int) -> None:
        """The whole recording. Raises StartError, OSError."""
        base = free_base(_HOST, self._recording.connectors)
        with tempfile.TemporaryDirectory() as folder:
            async with BenchCsms(identities=[self._recording.identity]) as self._csms:
                self._csms.behave(None, answer=self._answer)
                await self._listen(base)
                try:
                    presets = Path(folder) / "factory.json"
                    write_factory(
                        presets,
                        f"{_HOST}:{base}",
                        self._csms.url,
                        self._recording.identity,
                        connectors=self._recording.connectors,
                        settings={**factory.get("settings", {}), "ocpp.url": self._csms.url},
                        ocpp=factory.get("ocpp"),
                        board={**factory.get("board", {}), "sim": f"{_HOST}:{base}"},
                    )
                    argv, env = Firmware(bits).command(Path(folder) / "data", presets)
                    await self._firmware.start(argv, ROOT, env)
                    await self._firmware.meanwhile(self._run())
                    self.replayed = self._csms.frames(0, self._recording.identity)
                finally:
                    await self._firmware.stop()
                    await self._io.close()
                    await asyncio.gather(*(bus.close() for bus in self._cans.values()))
                    for task in self._asked:
                        task.cancel()

    @property
    def log(self) -> list[str]:
        """What the firmware printed."""
        return list(self._firmware.lines)

    async def _listen(self, base: int) -> None:
        await self._io.listen(_HOST, base + 1)
        for name, bus in self._cans.items():
            number = int(name.lstrip("pmbs"))
            bus.attach(_Devices(self, name))
            await bus.listen(_HOST, base + 10 * number + (name[0] == "b"))

    # -- the timeline

    async def _run(self) -> None:
        events = sorted(self._timeline(), key=lambda event: event[0])
        self._begin = self._recording.opened - _AHEAD_S
        events = [event for event in events if event[0] >= self._begin]
        self._end = max(event[0] for event in events)
        self._shift = time.time() - self._begin
        shown = 0.0
        for at, do, *what in events:
            while (wait := self._begin + (at - self._begin) / self._speed + self._shift - time.time()) > 0:
                await asyncio.sleep(min(wait, 1.0))
                if self._show and time.time() - shown > 1:
                    shown = time.time()
                    self._progress(at)
            await do(at, *what)
        if self._show:
            self._progress(self._end)
            print(file=sys.stderr)
        await asyncio.sleep(_TAIL_S)

    def _progress(self, at: float) -> None:
        done, all_of_it = at - self._begin, self._end - self._begin
        count = len(said(self._csms.frames(0, self._recording.identity)))
        print(f"\r{done:6.1f} of {all_of_it:.1f} s, {count} messages ", end="", file=sys.stderr, flush=True)

    def _timeline(self) -> Iterator[tuple[Any, ...]]:
        for name, bus in self._recording.buses.items():
            for at, message in bus.unasked:
                yield at, self._send, name, message
            for count, (at, on) in enumerate(bus.edges, 1):
                yield at, self._wait_edge, name, count, on
        seen: set[str | None] = set()
        counts: dict[str, int] = defaultdict(int)
        for frame in self._recording.frames:
            if frame.direction == FROM_CHARGER and frame.kind == "OPEN":
                counts["OPEN"] += 1
                yield frame.wall, self._wait_for, "OPEN", "", counts["OPEN"]
            elif frame.kind == "CLOSE" and frame.n < self._recording.frames[-1].n:
                yield frame.wall, self._close
            elif frame.kind == "CALL" and frame.direction == TO_CHARGER:
                yield frame.wall, self._ask, frame
            elif frame.kind == "CALL" and frame.uid not in seen and frame.action not in _QUIET:
                seen.add(frame.uid)
                if frame.action == "Authorize":
                    yield frame.wall - 0.02, self._swipe, frame.payload["idTag"]
                counts[str(frame.action)] += 1
                yield frame.wall, self._wait_for, "CALL", frame.action, counts[str(frame.action)]

    async def _send(self, _at: float, name: str, frame: can.Message) -> None:
        self._cans[name].send(frame)

    async def _wait_edge(self, at: float, name: str, count: int, on: bool) -> None:
        what = f"{at - self._begin:.1f} s: {name}: the output is not switched {'on' if on else 'off'}"
        await self._patiently(lambda: len(self._edges[name]) >= count, what)

    async def _wait_for(self, at: float, kind: str, action: str, count: int) -> None:
        def came() -> bool:
            frames = self._csms.frames(0, self._recording.identity)
            uids = {f.uid if kind == "CALL" else f.n for f in frames if f.kind == kind and self._is(f, action)}
            return len(uids) >= count

        await self._patiently(came, f"{at - self._begin:.1f} s: no {action or 'connection'} (number {count})")

    @staticmethod
    def _is(frame: Frame, action: str) -> bool:
        return frame.direction == FROM_CHARGER and (not action or frame.action == action)

    async def _patiently(self, has_come: Any, otherwise: str) -> None:
        """Wait for the firmware; the rest of the recording waits, too."""
        began = time.time()
        while not has_come():
            if time.time() - began > self._patience:
                self.notes.append(f"{otherwise} within {self._patience:g} s")
                break
            await asyncio.sleep(0.002)
        self._shift += time.time() - began

    async def _close(self, _at: float) -> None:
        try:
            await self._csms.drop(self._recording.identity)
        except NotConnected:
            pass  # it has left by itself, as it did then

    async def _swipe(self, _at: float, id_tag: str) -> None:
        self._io.swipe(id_tag, 0)

    async def _ask(self, _at: float, frame: Frame) -> None:
        async def ask() -> None:
            try:
                await self._csms.call(self._recording.identity, str(frame.action), frame.payload, 30, on_purpose=True)
            except (CallFailed, TimeoutError, NotConnected):
                pass  # the transcript tells

        self._asked.append(asyncio.create_task(ask()))

    # -- what answers

    def _recorded_answers(self) -> dict[tuple[str | None, str | None], deque[Answer]]:
        answers = {
            frame.uid: frame
            for frame in self._recording.frames
            if frame.direction == TO_CHARGER and frame.kind in ("CALLRESULT", "CALLERROR")
        }
        found: dict[tuple[str | None, str | None], deque[Answer]] = defaultdict(deque)
        seen = set()
        for frame in self._recording.frames:
            if frame.direction == FROM_CHARGER and frame.kind == "CALL" and frame.uid not in seen:
                seen.add(frame.uid)
                answer = answers.get(frame.uid)
                said_then: Answer = SILENCE
                if answer is not None:
                    said_then = answer.payload
                    if answer.kind == "CALLERROR":
                        said_then = CallError(*answer.payload.values())
                found[frame.action, frame.payload.get("messageId")].append(said_then)
        return found

    def _answer(self, call: Call) -> Answer:
        """As then; a repeat gets the same, what was not said then the normal answer."""
        if call.uid not in self._given:
            queue = self._answers[call.action, call.payload.get("messageId")]
            self._given[call.uid] = queue.popleft() if queue else None
        return self._given[call.uid]

    def on_frame(self, name: str, frame: can.Message) -> None:
        """The charger has sent a frame."""
        on = switched(frame)
        if on is not None and (not self._edges[name] or self._edges[name][-1] != on):
            self._edges[name].append(on)
        answer = self._recording.buses[name].answer(frame)
        if answer is not None:
            asyncio.get_running_loop().call_later(answer[0], self._cans[name].send, answer[1])

    def _output(self, connector: int, name: str, value: Any) -> None:
        if name == "contactor":
            self._io.set("contactor", connector, bool(value))
        elif name == "lock":
            self._io.set("lock", connector, bool(value))


class _Devices:
    """What hears the charger on a bus."""

    def __init__(self, player: Player, name: str) -> None:
        self._player = player
        self._name = name

    def on_frame(self, frame: can.Message) -> None:
        if is_from_charger(self._name, frame):
            self._player.on_frame(self._name, frame)


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    summary, _, rest = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        prog="python -m tools.replay",
        description=summary,
        epilog=rest.partition("\n\n")[2] + "\nExit status: 0 the same, 1 differences, 2 it cannot be played.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--can", type=Path, required=True, metavar="FILE", help="candump -L log of the buses")
    parser.add_argument("--ocpp", type=Path, required=True, metavar="FILE", help="transcript of tools.csms --record")
    parser.add_argument("--factory", type=Path, metavar="FILE", help="presets that the recorded charger had")
    parser.add_argument("--bus", action="append", default=[], metavar="NAME=BUS", help="can0=pm1: what a bus is here")
    parser.add_argument("--speed", type=float, default=1.0, metavar="N", help="times faster; MeterValues do not count")
    parser.add_argument("--patience", type=float, default=6.0, metavar="S", help="how long it waits for the firmware")
    parser.add_argument("--bits", type=int, choices=(32, 64), default=64, help="which MicroPython (default 64)")
    parser.add_argument("--verbose", action="store_true", help="show what the firmware said and logged")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    return parser


async def run(options: argparse.Namespace) -> int:
    """Play and compare; the exit status."""
    names = dict(pair.partition("=")[::2] for pair in options.bus)
    factory: dict[str, Any] = {}
    if options.factory:
        factory = json.loads(options.factory.read_text(encoding="utf-8"))
    recording = read(options.can, options.ocpp, names)
    player = Player(recording, options.speed, options.patience, not options.quiet)
    await player.play(factory, options.bits)
    if options.verbose:
        print("\n".join([*(str(frame) for frame in player.replayed), *player.log]))
    found = player.notes + differences(recording.frames, player.replayed, options.speed == 1)
    for text in found:
        print(text)
    count, calls = len(said(player.replayed)), len(asked(player.replayed))
    print(f"{count} messages of the charger, {calls} of the central system: {len(found) or 'no'} differences")
    return 1 if found else 0


def main(words: list[str] | None = None) -> int:
    """The exit status."""
    parser = arguments()
    options = parser.parse_args(words)
    if any("=" not in pair for pair in options.bus) or options.speed <= 0:
        parser.error("--bus is NAME=BUS, --speed is above 0")
    try:
        return asyncio.run(run(options))
    except (BadRecordingError, StartError, OSError, ValueError) as error:
        print(f"cannot replay: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
