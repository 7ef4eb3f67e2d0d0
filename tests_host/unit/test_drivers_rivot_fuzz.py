"""drivers/bms/rivot_can and drivers/power/rivot_can: random frames (how many: can_fuzz.py)."""
# heapsize: 1m
# timeout: 300

from can_fuzz import Frames, Memory, Permission, rand, share
from fakes import FakeCan, FakeClock

from drivers.bms.rivot_can import SOC_SOURCES
from drivers.can import FLAG_EXT
from drivers.can.rivot_ids import BMS, MODULE
from drivers.power.rivot_can import RivotModule


def test_frames_of_a_vehicle():
    total = share(False) // len(SOC_SOURCES)
    for number, source in enumerate(SOC_SOURCES):
        it = Permission(source)
        frames = Frames(100 + number, BMS + MODULE[4:])
        memory = Memory()
        ours = fed = 0
        while fed < total:
            frames.next()
            data = frames.views[frames.size]
            ours += it.feed(frames.can_id, frames.flags, data)
            it.heard(frames.can_id, frames.flags, data)
            fed += 1
            if fed & 7 == 0:
                it.clock.advance(rand(4))
                it.check()
                if fed & 0x3FF == 0:
                    it.clock.advance(rand(12))  # up to 4 s of silence
                    it.check()
                    it.bms.new_vehicle()
                    it.check()
                    if fed & 0xFFFF == 0:
                        memory.check()
        assert it.permitted > total // 100 and it.refused > total // 100 and ours > total // 20, (it.permitted, ours)


def number_of(data, at):
    """An IEEE 754 single in thousandths, by the machine's own floats; None for what is no number."""
    import struct

    value = struct.unpack(">f", bytes(data[at : at + 4]))[0]
    return value * 1000 if -1e9 < value < 1e9 else None


def test_frames_of_a_power_module():
    """Off is confirmed, and values are told, only by frames that say so."""
    total = share(False)
    clock = FakeClock()
    can = FakeCan()
    can.up = False  # nothing is kept
    module = RivotModule(can, clock)
    told = []
    module.on_power = lambda mv, ma: told.append((mv, ma))
    frames = Frames(200, MODULE + BMS[:1])
    memory = Memory()
    echo = off_at = power_at = None
    ours = fed = confirmed = 0
    power = 0
    now = 0
    while fed < total:
        frames.next()
        can_id, flags, data = frames.can_id, frames.flags, frames.views[frames.size]
        kind = rand(5)
        if can_id == 0x0681817E and kind < 6 and len(data) == 8:  # answers that mean something
            data[0], data[1], data[3] = 1 if kind else 0x21, (0x32, 0x32, 0x32, 0, 3, 0x80)[kind], kind & 1
        elif can_id == 0x00433F01 and kind < 12 and len(data) == 8:
            data[0], data[1], data[4], data[5] = 0x42, 0x90 | kind, (0, 0x3E, 0x3F, 0x41)[kind & 3], 0
            if not kind & 3:
                data[6] = data[7] = 0
        ours += module.feed(can_id, flags, data)
        fed += 1
        if flags == FLAG_EXT and len(data) == 8:
            if can_id == 0x0681817E and data[1] == 0x32 and not data[0] & 0xF0:
                echo, off_at = data[3] == 0, now
            elif can_id == 0x00433F01 and told:
                power, power_at = told[-1][1], now
                mv, ma = number_of(data, 0), number_of(data, 4)
                assert mv is not None and ma is not None
                assert abs(mv - told[-1][0]) <= 1 and abs(ma - told[-1][1]) <= 1, (bytes(data), told)
                assert 0 <= told[-1][0] <= 150_000 and -5_000 <= told[-1][1] <= 400_000
        told.clear()
        if fed & 7 == 0:
            step = rand(4)
            if fed & 0x3FF == 0:
                step = rand(12)
                if fed & 0xFFFF == 0:
                    memory.check()
            clock.advance(step)
            now += step
            known = echo if off_at is not None and now - off_at < 3000 else None
            assert module.echo_on == known, (module.echo_on, known)
            fresh = power_at is not None and now - power_at < 3000
            assert module.terminal_ma() == (power if fresh else None)
            off = fresh and -500 < power < 500 and known is False
            assert module.is_off() == bool(off), (power, known)
            confirmed += off
            dc = module.temperature_dc()
            assert (dc is None or 0 <= dc <= 1250) and len(module.raw) <= 12
            assert module.is_healthy() in (True, False) and module.is_charging() in (True, False, None)
            if fed & 0xFF == 0:
                module.tick()
    assert ours > total // 10 and confirmed > total // 1000, (ours, confirmed)
