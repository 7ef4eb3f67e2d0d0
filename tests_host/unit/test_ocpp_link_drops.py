"""A day of sessions in which the link drops at a message: before it arrives, before its answer, after its answer."""
# heapsize: 64m
# timeout: 480

import sys

from day import DAY, Life, World, check, evening, new_clock
from fakes import virtual_run

STEPS = DAY[:3] + DAY[5:]


_HEARTBEATS = 3  # the pause before a reconnect has a random part: a day may have that many messages less


def day_with(fault, total=0):
    """Returns how many messages came from the charge point, and how many it was given. total -- without a fault."""
    world = World()
    counts = []

    async def main(clock):
        life = Life(clock, world, fault is None)
        life.csms.fault = fault
        await life.begin()
        for step in STEPS:
            await step(life)
        counts.extend([life.csms.taken, life.csms.given])
        happened = fault is None or counts[fault[0] == "given"] >= fault[1]
        assert happened or fault[1] > total - _HEARTBEATS, counts
        life.csms.fault = None
        await evening(life)
        log = [line for line in life.bench.log.lines if line[0] == "E"]
        assert log == [], log
        assert life.cp.outbox.gave_up == 0
        await life.bench.end()

    virtual_run(main, new_clock())
    check(world)
    return counts


def drops(when, stride):
    total = day_with(None)[when == "given"]
    assert total > 50, total
    for number in range(1, total + 1, stride):
        try:
            day_with((when, number), total)
        except Exception:
            print("link dropped", when, number, "of", total)
            raise


STRIDE = 1 if sys.maxsize > 1 << 32 else 8


def test_link_drops_before_a_message_arrives():
    drops("before", STRIDE)


def test_link_drops_before_the_answer():
    drops("arrived", STRIDE)


def test_link_drops_after_the_answer():
    drops("given", STRIDE)
