"""The acceptance filters let through exactly what the drivers read."""

from fakes import FakeCan, FakeClock

from drivers.bms.rivot_can import RivotBms
from drivers.can import FLAG_EXT, rivot_ids
from drivers.power.rivot_can import RivotModule

OTHERS = (0x18FF50E5, 0x160B0180, 0x160D0180, 0x18900140, 0x18920140, 0x068181FE, 0x068182FE, 0x1806E7F4)


def reads(driver, can_id):
    """Is it the driver's? A frame of no length is bad then, and else nothing."""
    before = driver.bad_frames
    driver.feed(can_id, FLAG_EXT, b"")
    return driver.bad_frames != before


def test_bms():
    read = set()
    for source in ("none", "ah_counters", "request_frame", "daly"):
        driver = RivotBms(FakeCan(), FakeClock(), source, 0, True)
        read |= {can_id for can_id in rivot_ids.BMS + rivot_ids.MODULE + OTHERS if reads(driver, can_id)}
    assert read == set(rivot_ids.BMS)


def test_module():
    driver = RivotModule(FakeCan(), FakeClock())
    wanted = {can_id for can_id in rivot_ids.BMS + rivot_ids.MODULE + OTHERS if reads(driver, can_id)}
    assert wanted == set(rivot_ids.MODULE)


def test_they_fit_the_filters_of_an_mcp2515():
    for ids in (rivot_ids.BMS, rivot_ids.MODULE):
        assert len(set(ids)) == len(ids) <= 6 and all(0 <= can_id < 1 << 29 for can_id in ids)
