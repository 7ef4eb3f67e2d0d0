"""What takes minutes and ends: updates and uploads, each a task of its own. A cold module (see lib/cold.py)."""

import asyncio

from micropython import const

_ANSWERS = const(10)  # a status nobody answers is said so often
_LOOK_MS = const(1000)
_REPEAT_MS = const(60_000)


def start(cp, name, run):
    """Run `run()` (an async callable) as cp.jobs[name]; a job of that name is ended first."""
    cp.jobs[name] = asyncio.create_task(_life(cp, name, run, cp.jobs.get(name)))


async def _life(cp, name, run, before):
    task = asyncio.current_task()
    try:
        if before is not None:
            before.cancel()
            while not before.done():
                await asyncio.sleep_ms(0)
        coroutine = run()
        run = before = None  # type: ignore[assignment]  # they may hold much
        await coroutine
    except Exception as exc:  # noqa: BLE001 - nobody waits for it: say it, and go on charging
        cp.log.error(name, exc)
    finally:
        if cp.jobs.get(name) is task:
            del cp.jobs[name]


async def tell(cp, action, status, insist=False):
    """Send a status notification. insist -- wait for a connection, and repeat it until somebody answered.

    Without it: one attempt, and none while there is no connection. Returns when the answer is there, so that the
    statuses of a job keep their order.
    """
    left = _ANSWERS
    while left:
        while not cp.online:
            if not insist:
                return
            await asyncio.sleep_ms(_LOOK_MS)
        outcome = []
        event = asyncio.Event()

        def answered(payload, error, outcome=outcome, event=event):
            outcome.append(error)
            event.set()

        cp.outbox.direct(action, '{"status":"%s"}' % status, answered)
        await event.wait()
        error = outcome[0]
        if error is None or error.startswith("CALLERROR") or not insist:
            return
        if error != "link lost":
            left -= 1
            await asyncio.sleep_ms(_REPEAT_MS)


async def idle(cp):
    """Wait until no connector has a transaction, or is about to have one."""
    while is_busy(cp):
        await asyncio.sleep_ms(_LOOK_MS)


def is_busy(cp):
    """Has a connector a transaction, or a tag that waits for its vehicle?"""
    return any([connector.transaction is not None or connector.id_tag is not None for connector in cp.connectors])
