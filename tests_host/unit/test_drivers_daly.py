"""drivers/bms/daly_uart: vectors, permission, ages, echoes, the rhythm of the requests."""
# heapsize: 2m

import micropython
from clock import Clock
from fakes import PERIOD
from uart_bench import (
    Line,
    daly_answer,
    daly_faults,
    daly_frame,
    daly_pack,
    daly_status,
    daly_temperatures,
    vectors,
)

from drivers.bms.daly_uart import Daly

IDS = (0x93, 0x98, 0x92, 0x90)
ANY_PACK = (0, 150_000)
NOTHING = (False, False, 0, 0, None, None, None, None, False)


def line(**options):
    return Line(Daly(), **options)


def ask_for(one, data_id):
    """Bring the driver to the point where it waits for the answer to `data_id`."""
    one.bms._protocol._next = IDS.index(data_id)
    one.bms._now()
    one.bms.tick()
    assert one.asked()[-1][2] == data_id


def tell(one, frame):
    """`frame` as the answer that is waited for."""
    ask_for(one, frame[2])
    one.hear(frame)


def permitted(**options):
    one = line(**options)
    for frame in (daly_status(), daly_faults(), daly_temperatures(), daly_pack()):
        assert not one.bms.permits()
        tell(one, frame)
    assert one.bms.permits()
    return one


# -- frames


def test_vectors():
    used = 0
    for row in vectors("daly"):
        name, data, wanted = row["name"], row["bytes"], row.get("decoded", {})
        data_id = data[2] if data[2] in IDS else 0x90
        one = line(window=ANY_PACK)
        ask_for(one, data_id)
        one.hear(data)
        bms = one.bms
        if not row["valid"] or data[1] != 1 or data[2] not in IDS:
            assert one.known() == NOTHING and bms.bad_frames == 0, name
            continue
        used += 1
        assert bms.is_alive() and bms.silent_ms() == 0, name
        if data_id == 0x90:
            absurd = not -500 < wanted["current_raw_A"] < 500
            assert bms.pack_mv == (None if absurd else int(wanted["voltage_V"] * 1000 + 0.5)), name
            assert bms.soc == (None if absurd else int(wanted["soc_percent"] * 100 + 0.5)), name
            assert bms.bad_frames == absurd, name
        elif data_id == 0x92:
            assert bms.temperature_dc == wanted["max_temp_C"] * 10, name
        elif data_id == 0x93:
            tell(one, daly_faults())
            tell(one, daly_pack())
            assert bms.permits() == wanted["charge_fet"], name
        else:
            tell(one, daly_status())
            tell(one, daly_pack())
            bits = wanted["bits"]
            assert bms.permits() == (name in ("faults_none", "faults_synthetic")), (name, bits)
    assert used == 17, used


def test_vectors_between_other_bytes():
    rows = {row["name"]: row["bytes"] for row in vectors("daly")}
    one = line(window=ANY_PACK)
    ask_for(one, 0x90)
    one.hear(rows["info_14s_leading_zeroes"] + rows["soc_checksum_bad"] + rows["cells_16s_noise_before"])
    assert one.known() == NOTHING
    one.hear(rows["soc_57V_49_3"])
    assert one.bms.soc == 4930 and one.bms.pack_mv == 57_000


def test_requests_are_those_of_the_vectors():
    rows = {row["name"]: row["bytes"] for row in vectors("daly")}
    wanted = {rows["req_0x%02x_host40" % data_id] for data_id in (0x90, 0x92, 0x93)} | {daly_frame(0x98, b"", 0x40)}
    one = line()
    assert {request for _, request in one.run(2000, daly_answer)} == wanted


def test_every_level_2_and_defect_forbids():
    may = {(0, 1), (0, 5), (1, 1), (1, 3), (2, 1), (2, 5), (3, 1), (3, 3)}  # level 2, about charging or a difference
    may |= {(4, bit) for bit in range(8)} | {(5, bit) for bit in (0, 1, 2, 3, 7)} | {(6, bit) for bit in range(4)}
    one = permitted()
    for byte in range(8):
        for bit in range(8):
            bits = bytearray(8)
            bits[byte] = 1 << bit
            tell(one, daly_faults(bytes(bits)))
            assert one.bms.is_alive() and one.bms.permits() == ((byte, bit) not in may), (byte, bit)
    tell(one, daly_faults())
    for state in range(256):
        tell(one, daly_status(1, state))
        assert one.bms.permits() == (state < 3), state
    for fet in range(256):
        tell(one, daly_status(fet))
        assert one.bms.permits() == (fet == 1), fet
    assert one.bms.bad_frames == 253 + 254


def test_implausible_values_are_unknown():
    one = permitted()
    tell(one, daly_pack(soc=1001))
    assert one.bms.soc is None and one.bms.permits() and one.bms.bad_frames == 1
    for decivolt, ok in ((0, 0), (560, 0), (561, 1), (854, 1), (855, 0), (0xFFFF, 0)):
        tell(one, daly_pack(decivolt))
        assert one.bms.permits() == bool(ok) and one.bms.pack_mv == (decivolt * 100 if ok else None)
    assert one.bms.bad_frames == 5
    for current, ok in ((0, 0), (25_000, 0), (25_001, 1), (34_999, 1), (35_000, 0), (0xFFFF, 0)):
        tell(one, daly_pack(current=current))
        assert one.bms.permits() == bool(ok) and (one.bms.soc is None) == (not ok), current
        assert one.bms.is_alive()
    tell(one, daly_pack())
    bad = one.bms.bad_frames
    for raw, wanted in ((0, None), (1, -390), (165, 1250), (166, None), (255, None)):
        tell(one, daly_frame(0x92, bytes((raw, 1))))
        assert one.bms.temperature_dc == wanted and one.bms.permits()
    assert one.bms.bad_frames == bad + 3


def test_no_limits_no_permission():
    for limits in ((0, 30_000), (84_000, 0)):
        one = line(limits=limits)
        one.run(2000, daly_answer)
        assert one.bms.is_alive() and not one.bms.permits() and (one.bms.max_mv, one.bms.max_ma) == limits


def test_every_value_has_its_own_age():
    for lost in IDS:
        one = permitted()
        one.run(2900, lambda request, lost=lost: None if request[2] == lost else daly_answer(request))
        assert one.bms.is_alive()
        one.run(3000, lambda request, lost=lost: None if request[2] == lost else daly_answer(request))
        bms = one.bms
        assert bms.is_alive()  # it is there
        assert bms.permits() == (lost == 0x92), lost
        assert (bms.temperature_dc is None) == (lost == 0x92)
        assert (bms.soc is None) == (lost == 0x90) == (bms.pack_mv is None)
    one = permitted()
    one.clock.advance(2999)
    assert one.bms.is_alive() and one.bms.permits()
    one.clock.advance(1)
    assert one.known() == NOTHING
    one.clock.advance(PERIOD - 3000)
    assert one.known() == NOTHING


def test_new_vehicle_begins_with_the_permission():
    one = permitted()
    ask_for(one, 0x90)
    one.bms.new_vehicle()
    one.hear(daly_pack())  # the answer about the last vehicle
    assert one.known() == (True, False, 84_000, 30_000, None, None, None, None, False)
    asked = [request[2] for _, request in one.run(600, daly_answer)]
    assert asked[:4] == [0x93, 0x98, 0x92, 0x90] and one.bms.permits()


# -- echoes and noise


def test_an_echo_is_no_answer():
    one = line()
    one.run(20_000, lambda request: request)
    assert one.known() == NOTHING and one.bms.unanswered > 10 and one.bms.counters()["rx"] == 0
    one.run(1500, lambda request: request + daly_answer(request))  # a half duplex adapter repeats what it sends
    assert one.bms.permits()


def test_only_the_asked_id_answers():
    one = line()
    ask_for(one, 0x93)
    others = daly_faults(), daly_pack(), daly_temperatures(), daly_frame(0x94, b"\x10"), daly_frame(0x93, b"", 0x40)
    for frame in others:
        one.hear(frame)
        assert one.known() == NOTHING
    one.hear(daly_status())
    assert one.bms.is_alive()
    one.hear(daly_status(0))  # nobody asked
    ask_for(one, 0x98)
    one.run(600)
    one.hear(daly_faults(b"\xff"))  # later than the time-out: it will be asked for again
    assert one.bms.unanswered == 1 and one.bms._protocol._next == 1
    tell(one, daly_faults())
    tell(one, daly_pack())
    assert one.bms.permits()


def test_good_frame_behind_every_kind_of_garbage():
    good = daly_pack()
    for garbage in (
        b"\x00", b"\xa5", b"\xa5\x01", b"\xa5\x01\x90\x08", b"\xa5" * 100, b"\xa5\x01\x90\x08" * 9, good[:-1], good[1:],
        daly_frame(0x90, b"", 0x40), daly_frame(0x95, b"\x01\xa5\x01\x90\x08"), bytes(range(256)), good[:7],
        b"\xa5\x01\x90\x07" + bytes(9), b"\xa5\x02",
    ):  # fmt: skip
        for cut in (1, 5, 64):
            one = line()
            ask_for(one, 0x90)
            data = garbage + good
            for start in range(0, len(data), cut):
                one.hear(data[start : start + cut])
            assert one.found[-1] == (good, True), (garbage, cut)
            assert one.bms.soc == 6200 and one.bms._kept < 13


def test_one_flipped_bit_is_no_frame():
    good = daly_pack()
    for bit in range(8 * len(good)):
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        one = line()
        ask_for(one, 0x90)
        one.hear(bad)
        assert not one.found and not one.bms.is_alive(), bit


def test_receiving_allocates_nothing():
    one = line(clock=Clock())
    bms = one.bms
    bms.on_frame = None
    view = bms._view
    for make in (daly_status, daly_faults, daly_temperatures, daly_pack):
        good = make()
        ask_for(one, good[2])
        for chunk in (good[:5], b"\xa5\x01" + good, bytes(range(150, 200)), b"\xa5" * 60, good[:7], good):
            n = len(chunk)
            for i in range(n):
                view[i] = chunk[i]
            micropython.heap_lock()
            try:
                bms._parse(n)
                bms.permits()
            finally:
                micropython.heap_unlock()
    assert bms.permits() and bms.counters()["rx"] >= 8


# -- rhythm


def test_polls_one_after_the_other():
    one = line()
    asked = one.run(2000, daly_answer)
    assert [at for at, _ in asked] == list(range(0, 2000, 100))
    assert [request[2] for _, request in asked] == list(IDS) * 5
    assert one.bms.unanswered == 0


def test_lost_permission_is_asked_for_again_the_rest_waits():
    one = line()
    answers = {0x93: 2, 0x92: 1}

    def answer(request):
        left = answers.get(request[2], 0)
        answers[request[2]] = left - 1
        return None if left > 0 else daly_answer(request)

    asked = one.run(3000, answer)
    assert [(at, request[2]) for at, request in asked][:7] == [
        (0, 0x93), (700, 0x93), (1400, 0x93), (1500, 0x98), (1600, 0x92), (2300, 0x90), (2400, 0x93),
    ]  # fmt: skip
    assert one.bms.unanswered == 3


def test_an_id_that_is_never_answered_does_not_stop_the_rest():
    one = line()
    one.run(20_000, lambda request: None if request[2] == 0x92 else daly_answer(request))
    assert one.bms.permits() and one.bms.soc == 6200 and one.bms.temperature_dc is None
    silent = 0
    for _ in range(1000):
        one.run(20, lambda request: None if request[2] == 0x92 else daly_answer(request))
        silent = max(silent, one.bms.silent_ms())
        assert one.bms.permits()
    assert silent < 1000, silent


def test_back_off_while_nobody_answers():
    one = line()
    asked = one.run(20_000)
    times = [at for at, _ in asked]
    assert times[:7] == [0, 700, 1400, 2900, 3600, 4300, 5800], times
    assert not one.bms.is_alive()
    one.run(3000, daly_answer)
    assert one.bms.permits()


def test_silence_in_a_session_is_looked_into_quickly():
    """The first three lost answers make no long pause: the interlock would see a vehicle that has gone."""
    one = permitted()
    times = [at for at, _ in one.run(4000)]
    assert times[:5] == [100, 800, 1500, 2200, 2900], times
