"""Runs the OCA test cases: each is a pytest function of its own, but several are on their way at the same time.

    @oca(ocpp={"ConnectionTimeOut": "2"})            # presets of the charger of this case, see charger.Charger
    async def test_tc_004_2_identification_first_times_out(cp: Charger) -> None:
        ...

All selected cases run on one event loop, AT_ONCE at a time, in the order of collection. The loop turns while a test
waits for its own case; a case that fails shows its transcript in its own test. One that is selected alone runs alone.
"""

import asyncio
import inspect
import io
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests_host.oca.charger import Charger
from tests_host.system.steps import assert_repeats_are_the_same

AT_ONCE = 6
LIMIT_S = 90.0  # one case
Body = Callable[[Charger], Awaitable[None]]
Make = Callable[[Path], dict[str, Any]]


@dataclass(frozen=True, eq=False)
class Case:
    """One test case: its name (of the function), what is done and seen, the presets of its charger (`make`: those
    that need files, from the case's folder)."""

    name: str
    body: Body
    presets: dict[str, Any] = field(default_factory=dict)
    make: Make | None = None


def oca(make: Make | None = None, **presets: Any) -> Callable[[Body], Callable[["Runner"], None]]:
    """Make the async function a pytest test that awaits its result. `presets`, and what `make(folder)` returns when
    the case begins: arguments of `Charger`."""

    def decorate(body: Body) -> Callable[["Runner"], None]:
        assert inspect.iscoroutinefunction(body)
        case = Case(body.__name__, body, presets, make)

        def test(runner: "Runner") -> None:
            runner.result(case)

        test.__name__, test.__qualname__ = body.__name__, body.__qualname__
        test.__module__, test.__doc__ = body.__module__, body.__doc__
        test.__dict__["case"] = case
        return test

    return decorate


class Runner:
    """All cases of one pytest run; `folder` gets one folder per case."""

    def __init__(self, cases: list[Case], folder: Path) -> None:
        self._loop = asyncio.new_event_loop()
        self._folder = folder
        self._turn = asyncio.Semaphore(AT_ONCE)  # first come, first served
        self._reports = {case: io.StringIO() for case in cases}
        self._tasks = {case: self._loop.create_task(self._run(case)) for case in cases}

    def result(self, case: Case) -> None:
        """Wait for one case; raises what made it fail, after its transcript."""
        try:
            self._loop.run_until_complete(self._tasks[case])
        finally:
            print(self._reports[case].getvalue(), end="")

    async def _run(self, case: Case) -> None:
        async with self._turn, asyncio.timeout(LIMIT_S):
            folder = self._folder / case.name
            presets = case.presets | (case.make(folder) if case.make else {})
            async with Charger(folder, self._reports[case], **presets) as cp:
                await case.body(cp)
                cp.assert_schemas()
                assert_repeats_are_the_same(cp)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """End what still runs, e.g. after Ctrl-C."""
        for task in self._tasks.values():
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*self._tasks.values(), return_exceptions=True))
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()
