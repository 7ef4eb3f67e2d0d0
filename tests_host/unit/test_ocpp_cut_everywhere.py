"""A day of sessions with a power cut at every storage operation: nothing lost, nothing twice, nothing invented."""
# heapsize: 64m
# timeout: 480

import sys

from day import DAY, Life, World, check, evening, new_clock
from fakes import virtual_run


def watch(life, moments):
    """Keep the world at every storage operation of this life."""

    def moment(operation, name, what):
        if operation == "write" and len(what) == 4:
            return  # the checksum: a record without it is no record, as without its data
        now = life.world.copy(life.clock.uptime_ms())
        if operation == "write" and len(what) > 12:
            now.disk[name] += what[: len(what) // 2]
        moments.append(now)

    life.files.moment = moment


def whole_day():
    """The day without a cut; returns the worlds at every storage operation."""
    world = World()
    moments = []

    async def main(clock):
        life = Life(clock, world, True)

        watch(life, moments)
        await life.begin()
        for number, step in enumerate(DAY):
            world.step = number
            await step(life)
        life.files.moment = None
        await evening(life)
        await life.bench.end()

    virtual_run(main)
    check(world)
    return moments


def after(world, resume, moments=None):
    """Boot in this world, go on with the day, and compare. moments -- list that gets the worlds of the first minute."""
    cut = [tag for tag in world.truth]
    asked, promised = dict(world.asked), dict(world.promised)
    running = []

    async def main(clock):
        life = Life(clock, world, False, resume)
        cp = life.cp
        if moments is not None:
            watch(life, moments)
        running.extend([c.transaction.id_tag for c in cp.connectors if c.transaction is not None])
        await life.begin()
        await check_promises(life, promised, asked)
        if moments is not None:
            await life.link(True)
            life.files.moment = None
        for step in DAY[world.step + 1 :]:
            await step(life)
        await evening(life)
        assert cp.store.damaged == 0 and [line for line in life.bench.log.lines if line[0] == "E"] == []
        await life.bench.end()

    virtual_run(main, new_clock())
    check(world, cut)
    return running


async def check_promises(life, promised, asked):
    """What was Accepted before the cut holds after it; what was only asked for may hold or not."""
    cp = life.cp
    for key in ("MeterValueSampleInterval", "HeartbeatInterval", "ConnectionTimeOut"):
        if key in promised and key not in asked and not (key == "HeartbeatInterval" and cp.online):
            assert str(cp.config.get(key)) == promised[key], key
    if "inoperative" not in asked:
        assert cp.inoperative == ((2,) if promised.get("inoperative") else ())
    if "reserved" not in asked:
        assert len(cp.store.get("reservations", [])) == promised.get("reserved", 0)
    if "profile" not in asked:
        assert (cp.store.get("profile0") is not None) == promised.get("profile", False)


def each(moments, resume, stride, first=0):
    """Boot at every `stride`-th of these moments; returns how many transactions went on."""
    resumed = 0
    for k in range(first, len(moments), stride):
        try:
            resumed += len(after(moments[k], resume))
        except Exception:
            print("cut", k, "of", len(moments), "in step", moments[k].step)
            raise
    return resumed


def stride(wide, narrow):
    return wide if sys.maxsize > 1 << 32 else narrow


def test_cut_everywhere():
    moments = whole_day()
    assert len(moments) > 250
    assert each(moments, False, stride(1, 9)) == 0


def test_cut_everywhere_and_resume():
    assert each(whole_day(), True, stride(1, 9), 1) > stride(100, 10)


def test_second_cut_during_the_recovery_from_the_first():
    count = 0
    moments = whole_day()
    for resume in (False, True):
        for k in range(resume, len(moments), stride(11, 41)):
            again = []
            after(moments[k].copy(0), resume, again)
            each(again, resume, stride(4, 16), k % 4)
            count += len(again)
    assert count > stride(250, 50), count  # how many writes a recovery has depends on the clock
