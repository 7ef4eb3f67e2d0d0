"""drivers/bms/rivot_can: ages, sources of SoC, class, what is sent and when."""

import random

from fakes import PERIOD, FakeCan, FakeClock

from drivers.bms.rivot_can import RivotBms
from drivers.can import FLAG_EXT, FLAG_RTR

LIMITS = 0x1806E5F4
STATUS = 0x18FF50E5
CHARGE, DISCHARGE = 0x160B8001, 0x160D8001
ASK_CHARGE, ASK_DISCHARGE = 0x160B0180, 0x160D0180
PACK, TEMPERATURE = 0x18904001, 0x18924001
ASK_PACK, ASK_TEMPERATURE = 0x18900140, 0x18920140


def limits(decivolt=840, deciampere=300, control=0, byte5=0, byte6=0):
    return bytes((decivolt >> 8, decivolt & 255, deciampere >> 8, deciampere & 255, control, byte5, byte6, 0))


def make(clock=None, **options):
    clock = clock or FakeClock()
    bms = RivotBms(FakeCan(), clock, **options)
    return bms, clock


def hear(bms, **values):
    assert bms.feed(LIMITS, FLAG_EXT, limits(**values))


def count(bms, charge=None, discharge=None):
    if charge is not None:
        assert bms.feed(CHARGE, FLAG_EXT, charge.to_bytes(4, "big") + bytes(4))
    if discharge is not None:
        assert bms.feed(DISCHARGE, FLAG_EXT, discharge.to_bytes(4, "big"))


def run(bms, clock, ms, step=10, alive=True):
    """Tick every `step` ms; a limits frame each second while `alive`. Return [(ms, id, data)] of what was sent."""
    sent = []
    for now in range(0, ms, step):
        if alive and now % 1000 == 0:
            hear(bms)
        bms.tick()
        for can_id, data, flags in bms._can.sent:
            assert flags == FLAG_EXT
            sent.append((now, can_id, data))
        bms._can.sent.clear()
        clock.advance(step)
    return sent


def test_nothing_known_at_first():
    bms, _ = make()
    assert not bms.is_alive() and not bms.permits() and not bms.heating
    assert bms.silent_ms() is None
    assert bms.max_mv == 0 and bms.max_ma == 0
    assert bms.soc is bms.pack_mv is bms.temperature_dc is bms.capacity_ah is None


def test_limits_expire():
    bms, clock = make(timeout_ms=3000)
    hear(bms, deciampere=301, byte5=1)
    assert (bms.max_mv, bms.max_ma) == (84_000, 30_100)
    assert bms.is_alive() and bms.permits() and bms.heating
    clock.advance(2999)
    assert bms.is_alive() and bms.permits() and bms.silent_ms() == 2999
    clock.advance(1)
    assert not bms.is_alive() and not bms.permits() and not bms.heating
    assert bms.max_mv == 0 and bms.max_ma == 0
    clock.advance(PERIOD - 3000)  # the tick counter shows the same reading again
    assert not bms.is_alive() and bms.silent_ms() == PERIOD


def test_only_a_valid_limits_frame_keeps_the_bms_alive():
    bms, clock = make()
    hear(bms)
    for n in range(30):
        clock.advance(100)
        count(bms, 1000 + n, 500)
        bms.feed(0x00433F01, FLAG_EXT, b"\x42\xa8\x00\x00\x41\xf0\x00\x00")  # the module's terminal frame
        bms.feed(STATUS, FLAG_EXT, bytes(8))
        assert not bms.feed(LIMITS, FLAG_EXT, limits()[:7])
        assert not bms.feed(LIMITS, FLAG_EXT | FLAG_RTR, b"")
        assert not bms.feed(LIMITS, 0, limits())
        bms.tick()
    assert not bms.is_alive() and not bms.permits()
    assert bms.bad_frames == 60  # the standard frame is nobody's


def test_permission():
    bms, _ = make()
    for control in range(256):
        hear(bms, control=control)
        assert bms.is_alive() and bms.permits() == (control == 0)


def test_not_available():
    bms, _ = make()
    hear(bms, decivolt=0xFFFF, deciampere=0xFFFE)
    assert bms.is_alive() and bms.max_mv == 0 and bms.max_ma == 6_553_400
    hear(bms, deciampere=0xFFFF)
    assert bms.max_mv == 84_000 and bms.max_ma == 0


# -- what is sent


def test_silent_until_heard():
    bms, clock = make()
    assert run(bms, clock, 20_000, alive=False) == []
    bms.new_vehicle()
    assert run(bms, clock, 5_000, alive=False) == []
    sent = run(bms, clock, 50)
    assert [(at, can_id) for at, can_id, _ in sent] == [(0, STATUS), (0, ASK_CHARGE), (10, ASK_DISCHARGE)], sent


def test_status_period_and_comm_timeout():
    bms, clock = make()
    bms.report(77_249, 29_750, False, False, False)
    sent = [(at, data) for at, can_id, data in run(bms, clock, 3000) if can_id == STATUS]
    assert [at for at, _ in sent] == list(range(0, 3000, 100))
    assert all([data == b"\x03\x04\x01\x2a\x00\x00\x00\x00" for _, data in sent]), sent[0]  # 77.2 V, 29.8 A
    # The last limits frame was heard 1000 ms before this.
    sent = [(at, data[4]) for at, can_id, data in run(bms, clock, 20_000, alive=False) if can_id == STATUS]
    assert sent[-1][0] == 9000, sent[-1]  # 10 s of silence: we fall silent as well
    assert next(at for at, bits in sent if bits == 16) == 4100  # more than 5 s
    assert {bits for _, bits in sent} == {0, 16}
    sent = run(bms, clock, 10)  # heard again: answered at once
    assert (0, STATUS, b"\x03\x04\x01\x2a\x00\x00\x00\x00") in sent and (0, ASK_CHARGE, bytes(8)) in sent


def test_status_period_with_slow_ticks():
    bms, clock = make()
    times = [at for at, can_id, _ in run(bms, clock, 10_000, step=50) if can_id == STATUS]
    assert times == list(range(0, 10_000, 100))
    clock.advance(700)  # a pause of the loop is not made up for by a burst
    assert len([1 for _, can_id, _ in run(bms, clock, 200, step=50) if can_id == STATUS]) == 2


def test_status_bits_and_clamp():
    bms, clock = make()
    for bits, flags in ((1, (True, False, False)), (2, (False, True, False)), (8, (False, False, True))):
        bms.report(0, 0, *flags)
        hear(bms)
        clock.advance(100)
        bms.tick()
        assert bms._can.sent[-1][1] == bytes((0, 0, 0, 0, bits, 0, 0, 0)) or bms._can.sent[0][1][4] == bits
        bms._can.sent.clear()
    for mv, ma, wanted in (
        (-5000, -120, b"\x00\x00\x00\x00"),
        (49, 50, b"\x00\x00\x00\x01"),
        (50, 49, b"\x00\x01\x00\x00"),
        (6_553_449, 6_553_450, b"\xff\xfe\xff\xff"),
        (7_000_000, 9_000_000, b"\xff\xff\xff\xff"),
    ):
        bms.report(mv, ma, 0, 0, 0)
        hear(bms)
        clock.advance(100)
        bms._can.sent.clear()
        bms.tick()
        status = [data for can_id, data, _ in bms._can.sent if can_id == STATUS]
        assert status == [wanted + bytes(4)], (mv, ma, status)


def test_requests():
    for source, first, second in (("ah_counters", ASK_CHARGE, ASK_DISCHARGE), ("daly", ASK_PACK, ASK_TEMPERATURE)):
        bms, clock = make(soc_source=source)
        sent = [(at, can_id) for at, can_id, data in run(bms, clock, 6000) if can_id != STATUS]
        wanted = []
        for at in (0, 2000, 4000):
            wanted += [(at, first), (at + 10, second)]
        assert sent == wanted, sent
        run(bms, clock, 500)
        bms.new_vehicle()
        sent = [(at, can_id) for at, can_id, data in run(bms, clock, 2500, step=50) if can_id != STATUS]
        assert sent == [(0, first), (50, second), (2000, first), (2050, second)], sent
    for source in ("none", "request_frame"):
        bms, clock = make(soc_source=source)
        assert {can_id for _, can_id, _ in run(bms, clock, 6000)} == {STATUS}


# -- state of charge


def test_unknown_source():
    try:
        make(soc_source="guess")
    except ValueError:
        return
    raise AssertionError("accepted")


def test_soc_from_counters():
    bms, _ = make()
    hear(bms, deciampere=900)
    count(bms, charge=1_000_000)
    assert bms.soc is None  # the discharge counter is missing: not 100 %
    count(bms, discharge=955_000)
    assert bms.soc is None  # the class is not known yet
    hear(bms, deciampere=900)
    assert bms.capacity_ah == 90 and bms.soc == 5000
    count(bms, charge=1_000_004)
    assert bms.soc == 5000
    count(bms, charge=1_000_005)
    assert bms.soc == 5001  # 0.00556 % rounds up
    for charge, discharge, soc in (
        (100, 200, 0),
        (1, 0, 0),
        (90_000, 0, 10_000),
        (500_000, 0, 10_000),
        (0xFFFFFFFE, 0xFFFFFFFE - 78_300, 8700),
        (0, 0, None),  # a counter that does not count
    ):
        count(bms, charge, discharge)
        assert bms.soc == soc, (charge, discharge, bms.soc)
    count(bms, 1000, 0)
    assert bms.soc == 111
    count(bms, charge=0xFFFFFFFF)  # not available
    assert bms.soc is None
    count(bms, charge=1000)
    assert bms.soc == 111


def test_each_counter_has_its_own_age():
    bms, clock = make(capacity_ah=60)
    count(bms, 60_000, 30_000)
    assert bms.soc == 5000
    for n in range(4):
        clock.advance(2000)
        count(bms, charge=60_000)
    clock.advance(1999)
    assert bms.soc == 5000
    clock.advance(1)
    assert bms.soc is None  # the discharge counter is 10 s old
    count(bms, discharge=30_000)
    assert bms.soc == 5000


def test_next_vehicle_inherits_nothing():
    bms, _ = make()
    hear(bms)
    hear(bms)
    count(bms, 30_000, 15_000)
    assert bms.soc == 5000 and bms.capacity_ah == 30
    bms.new_vehicle()
    assert bms.soc is None and bms.capacity_ah is None
    assert bms.is_alive() and bms.max_ma == 30_000  # its limits frame announced it
    count(bms, charge=30_000)
    hear(bms, deciampere=600)
    hear(bms, deciampere=600)
    assert bms.capacity_ah == 60 and bms.soc is None  # the old discharge counter does not count
    count(bms, discharge=0)
    assert bms.soc == 5000


def test_class_is_the_first_stable_limit():
    bms, _ = make()
    for deciampere, wanted in (
        (0, None),
        (300, None),
        (0, None),
        (300, None),  # not consecutive
        (301, None),
        (600, 60),  # twice the same class
        (900, 60),  # latched
        (900, 60),
        (10, 60),
        (0, 60),
    ):
        hear(bms, deciampere=deciampere)
        assert bms.capacity_ah == wanted, (deciampere, bms.capacity_ah)
    for deciampere, wanted in ((1, 30), (300, 30), (301, 60), (600, 60), (601, 90), (0xFFFE, 90), (0xFFFF, None)):
        bms.new_vehicle()
        hear(bms, deciampere=deciampere)
        assert bms.capacity_ah is None
        hear(bms, deciampere=deciampere)
        assert bms.capacity_ah == wanted, (deciampere, bms.capacity_ah)


def test_heating_limit_is_no_class():
    bms, _ = make()
    for _ in range(3):
        hear(bms, deciampere=50, byte5=1)
    assert bms.heating and bms.capacity_ah is None
    hear(bms, deciampere=900)
    hear(bms, deciampere=900)
    assert bms.capacity_ah == 90 and not bms.heating


def test_capacity_setting_wins():
    bms, _ = make(capacity_ah=45)
    hear(bms, deciampere=900)
    hear(bms, deciampere=900)
    count(bms, 45_000, 22_500)
    assert bms.capacity_ah == 45 and bms.soc == 5000


def test_soc_in_the_request_frame():
    bms, clock = make(soc_source="request_frame")
    hear(bms, byte5=1, byte6=0)  # 25.6 %, which is not "heating" here
    assert bms.soc == 2560 and not bms.heating
    count_before = bms.soc
    assert not bms.feed(CHARGE, FLAG_EXT, bytes(8)) and bms.soc == count_before
    for byte5, byte6, soc in ((3, 0xE8, 10_000), (3, 0xE9, None), (0, 0, 0), (0xFF, 0xFF, None), (2, 99, 6110)):
        hear(bms, byte5=byte5, byte6=byte6)
        assert bms.soc == soc, (byte5, byte6, bms.soc)
    clock.advance(3000)
    assert bms.soc is None
    hear(bms, byte5=2, byte6=99)
    bms.new_vehicle()
    assert bms.soc is None


def test_mode_byte_off():
    bms, _ = make(mode_byte=False)
    hear(bms, byte5=1)
    assert not bms.heating


def test_soc_from_daly():
    bms, clock = make(soc_source="daly")
    assert bms.feed(PACK, FLAG_EXT, b"\x02\xfc\x00\x00\x75\x30\x03\x66")
    assert bms.pack_mv == 76_400 and bms.soc == 8700 and bms.temperature_dc is None
    assert bms.feed(TEMPERATURE, FLAG_EXT, b"\x42\x01\x40\x02\x00\x00\x00\x00")
    assert bms.temperature_dc == 260
    clock.advance(9_999)
    assert bms.soc == 8700 and bms.pack_mv == 76_400 and bms.temperature_dc == 260
    clock.advance(1)
    assert bms.soc is None and bms.pack_mv is None and bms.temperature_dc is None
    for raw, wanted in ((0, None), (1, -390), (165, 1250), (166, None), (255, None)):
        bms.feed(TEMPERATURE, FLAG_EXT, bytes((raw, 1, 1, 1, 0, 0, 0, 0)))
        assert bms.temperature_dc == wanted, raw
    bms.feed(PACK, FLAG_EXT, b"\x02\xfc\x00\x00\x75\x30\x03\xe9")
    assert bms.pack_mv == 76_400 and bms.soc is None  # above 100 %
    bms.feed(PACK, FLAG_EXT, b"\xff\xff\x00\x00\x75\x30\x03\xe8")
    assert bms.pack_mv is None and bms.soc == 10_000
    bms.feed(PACK, FLAG_EXT, bytes(8))  # asleep
    assert bms.pack_mv is None and bms.soc is None
    bms.feed(PACK, FLAG_EXT, b"\x02\xfc\x00\x00\x75\x30\x03\x66")
    bms.feed(TEMPERATURE, FLAG_EXT, b"\x42\x01\x40\x02\x00\x00\x00\x00")
    bms.new_vehicle()
    assert bms.soc is None and bms.pack_mv is None and bms.temperature_dc is None
    assert not bms.feed(PACK, FLAG_EXT, bytes(7)) and bms.bad_frames == 1


def test_undeclared_sources_are_not_looked_at():
    for source in ("none", "ah_counters", "request_frame"):
        bms, _ = make(soc_source=source, capacity_ah=30)
        assert not bms.feed(PACK, FLAG_EXT, b"\x02\xfc\x00\x00\x75\x30\x03\x66")
        assert not bms.feed(TEMPERATURE, FLAG_EXT, bytes(8))
        assert bms.soc is None and bms.pack_mv is None and bms.bad_frames == 0
    bms, _ = make(soc_source="none", capacity_ah=30)
    assert not bms.feed(CHARGE, FLAG_EXT, b"\x00\x00\x75\x30") and not bms.feed(DISCHARGE, FLAG_EXT, bytes(4))
    assert bms.soc is None


def test_any_frame_is_survived():
    random.seed(5)
    ids = (LIMITS, STATUS, CHARGE, DISCHARGE, PACK, TEMPERATURE, ASK_CHARGE, 0x5F4, 0)
    for source in ("none", "ah_counters", "request_frame", "daly"):
        bms, clock = make(soc_source=source)
        buffer = bytearray(8)
        for _ in range(2000):
            for i in range(8):
                buffer[i] = random.getrandbits(8)
            bms.feed(random.choice(ids), random.getrandbits(2), memoryview(buffer)[: random.randint(0, 8)])
            clock.advance(random.randint(0, 300))
            bms.tick()
            assert bms.soc is None or 0 <= bms.soc <= 10_000
            assert bms.permits() <= bms.is_alive()
