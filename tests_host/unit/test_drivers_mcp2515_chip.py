"""The register-level model of the MCP2515 itself, against examples from the data sheet."""

from mcp2515_chip import (
    CANINTE,
    CANINTF,
    CNF1,
    CONFIGURATION,
    EFLG,
    ERRIF,
    LISTEN,
    LOOPBACK,
    NORMAL,
    REC,
    RX0IF,
    RX0OVR,
    RX1IF,
    RX1OVR,
    RXB0CTRL,
    RXEP,
    TEC,
    TXBO,
    TXEP,
    TXREQ,
    WAKIF,
    Chip,
)

from drivers.can import FLAG_EXT, FLAG_RTR

TXB0 = 0x30


def talk(chip, *out):
    """One instruction; what the chip said."""
    out = bytes(out)
    into = bytearray(len(out))
    chip.cs(0)
    chip.spi.write_readinto(out, into)
    chip.cs(1)
    return bytes(into)


def ready(mode=NORMAL, everything=True):
    chip = Chip()
    chip.elapse(100)
    if everything:
        talk(chip, 2, 0x60, 0x64)
        talk(chip, 2, 0x70, 0x60)
    talk(chip, 2, CANINTE, 0x23)
    talk(chip, 2, 0x0F, mode << 5)
    chip.elapse(100)
    assert chip.mode == mode
    return chip


def load(chip, number, data=b"\x01", priority=0, can_id=0x1806E5F4):
    high = (can_id >> 21, can_id >> 13 & 0xE0 | 8 | can_id >> 16 & 3, can_id >> 8 & 255, can_id & 255)
    talk(chip, 2, 0x30 + 16 * number, priority, *high, len(data), *data)
    talk(chip, 0x80 | 1 << number)


def test_reset_needs_its_time():
    chip = ready()
    talk(chip, 0xC0)
    assert talk(chip, 3, 0x0E, 0, 0)[2:] == b"\x00\x00"  # too early
    chip.elapse(100)
    assert talk(chip, 3, 0x0E, 0, 0)[2:] == b"\x80\x87"
    assert talk(chip, 3, CANINTE, 0)[2] == 0


def test_configuration_is_locked_outside_its_mode():
    chip = Chip()
    chip.elapse(100)
    talk(chip, 2, 0x28, 0x02, 0xAD, 0x40)
    talk(chip, 2, 0x00, 0xC0, 0x2A, 0xE5, 0xF4)
    assert talk(chip, 3, 0x28, 0, 0, 0)[2:] == b"\x02\xad\x40"
    talk(chip, 2, 0x0F, 0)
    assert chip.mode == CONFIGURATION  # 11 bits
    chip.elapse(100)
    assert chip.mode == NORMAL and chip.violations == 0
    talk(chip, 2, CNF1, 0x00)
    assert chip.violations == 1 and talk(chip, 3, CNF1, 0)[2] == 0x40
    assert talk(chip, 3, 0x00, 0, 0, 0, 0)[2:] == bytes(4)  # filters read as 0


def test_a_dominant_bus_is_never_joined():
    chip = Chip()
    chip.elapse(100)
    chip.dominant = True
    talk(chip, 2, 0x0F, 0)
    chip.elapse(100_000)
    assert chip.mode == CONFIGURATION
    chip.dominant = False
    chip.elapse(100)
    assert chip.mode == NORMAL


def test_packing_of_identifiers():
    chip = ready()
    assert chip.arrive(0x1806E5F4, FLAG_EXT, b"\x11\x22")
    assert talk(chip, 0x90, *bytes(7))[1:] == b"\xc0\x2a\xe5\xf4\x02\x11\x22"
    assert chip.arrive(0x5F4, FLAG_RTR, b"")
    assert talk(chip, 0x90, *bytes(5))[1:3] == b"\xbe\x90"
    assert chip.arrive(0x1FFFFFFF, FLAG_EXT | FLAG_RTR, bytes(3))
    assert talk(chip, 0x90, *bytes(5))[1:] == b"\xff\xeb\xff\xff\x43"


def test_reading_a_buffer_frees_it_when_cs_rises():
    chip = ready()
    chip.arrive(1, FLAG_EXT, b"")
    assert chip.int_pin() == 0
    chip.cs(0)
    chip.spi.write(b"\x90\x00")
    assert chip.int_pin() == 0
    chip.cs(1)
    assert chip.int_pin() == 1 and chip.registers[CANINTF] & RX0IF == 0


def test_rollover_and_overrun():
    chip = ready()
    assert chip.arrive(1, FLAG_EXT, b"") and chip.arrive(2, FLAG_EXT, b"")
    assert talk(chip, 0xA0, 0)[1] == 3
    assert not chip.arrive(3, FLAG_EXT, b"")
    assert chip.registers[EFLG] == RX1OVR and chip.registers[CANINTF] == RX0IF | RX1IF | ERRIF
    talk(chip, 0x90, 0)
    talk(chip, 0x94, 0)
    assert chip.int_pin() == 0  # still the error
    talk(chip, 5, EFLG, 0xC0, 0)
    talk(chip, 5, CANINTF, ERRIF, 0)
    assert chip.int_pin() == 1 and chip.registers[EFLG] == 0
    talk(chip, 5, RXB0CTRL, 4, 0)  # no rollover
    chip.arrive(1, FLAG_EXT, b"")
    assert not chip.arrive(2, FLAG_EXT, b"") and chip.registers[EFLG] == RX0OVR


def test_filters():
    chip = Chip()
    chip.elapse(100)
    talk(chip, 2, 0x20, 0xFF, 0xE3, 0xFF, 0xFF, 0xFF, 0xE3, 0xFF, 0xFF)
    for base in (0x00, 0x04):
        talk(chip, 2, base, 0xC0, 0x2A, 0xE5, 0xF4)
    for base in (0x08, 0x10, 0x14, 0x18):
        talk(chip, 2, base, 0xB0, 0x4B, 0x80, 0x01)
    talk(chip, 2, 0x60, 4)
    talk(chip, 2, 0x0F, 0)
    chip.elapse(100)
    assert chip.arrive(0x1806E5F4, FLAG_EXT, b"")
    assert talk(chip, 0xA0, 0)[1] & 3 == 1
    assert chip.arrive(0x160B8001, FLAG_EXT, b"")
    assert talk(chip, 0xA0, 0)[1] & 3 == 3
    talk(chip, 0x90, 0)
    talk(chip, 0x94, 0)
    for can_id, flags in ((0x1806E5F5, FLAG_EXT), (0x601, 0), (0, FLAG_EXT), (0x160B8000, FLAG_EXT)):
        assert not chip.arrive(can_id, flags, b"")
    assert chip.registers[EFLG] == 0


def test_transmit_order():
    chip = ready()
    chip.occupied = True
    load(chip, 0, b"\x00", priority=0)
    load(chip, 1, b"\x01", priority=3)
    load(chip, 2, b"\x02", priority=0)
    chip.elapse(10_000)
    assert chip.sent == [] and chip.waiting == 3
    chip.occupied = False
    chip.elapse(2000)
    assert [data for _, data, _ in chip.sent] == [b"\x01", b"\x02", b"\x00"]
    assert talk(chip, 0xA0, 0)[1] == 0xA8  # all sent, nothing requested


def test_a_frame_on_the_wire_cannot_be_taken_back():
    chip = ready()
    load(chip, 0)
    load(chip, 1)
    chip.elapse(100)
    for base in (0x30, 0x40):
        talk(chip, 5, base, TXREQ, 0)
    assert talk(chip, 0xA0, 0)[1] & 0x14 == 0x04
    chip.elapse(2000)
    assert len(chip.sent) == 1 and chip.violations == 0
    load(chip, 2)
    talk(chip, 2, 0x51, 1)  # in use
    assert chip.violations == 1
    talk(chip, 2, 0x30, TXREQ)  # errata 4
    assert chip.violations == 2


def test_nobody_acknowledges():
    chip = ready()
    chip.acked = False
    load(chip, 0)
    chip.elapse(1_000_000)
    assert talk(chip, 3, TEC, 0, 0)[2:] == b"\x80\x00" and chip.registers[EFLG] & TXEP
    assert not chip.registers[EFLG] & TXBO and chip.waiting == 1
    chip.acked = True
    chip.elapse(2000)
    assert len(chip.sent) == 1 and chip.waiting == 0


def test_one_shot():
    chip = Chip()
    chip.elapse(100)
    talk(chip, 2, 0x0F, 8)
    chip.elapse(100)
    chip.acked = False
    load(chip, 0)
    chip.elapse(2000)
    assert chip.waiting == 0 and chip.sent == []


def test_bus_off_and_back():
    chip = ready()
    chip.broken = True
    load(chip, 0)
    chip.elapse(20_000)
    assert chip.registers[EFLG] & TXBO and chip.int_pin() == 0
    assert not chip.arrive(1, FLAG_EXT, b"")
    chip.broken = False
    chip.dominant = True
    chip.elapse(50_000)
    assert chip.registers[EFLG] & TXBO
    chip.dominant = False
    chip.elapse(7000)
    assert not chip.registers[EFLG] & TXBO and len(chip.sent) == 1  # what was requested survives


def test_receive_errors():
    chip = ready()
    chip.disturb(130)
    assert chip.registers[EFLG] & RXEP and chip.int_pin() == 0 and talk(chip, 3, REC, 0)[2] == 130
    chip.arrive(1, FLAG_EXT, b"")
    assert not chip.registers[EFLG] & RXEP


def test_modes():
    chip = ready(LOOPBACK)
    load(chip, 0, b"\x07")
    chip.elapse(1000)
    assert chip.sent == [] and talk(chip, 0xA0, 0)[1] & 1
    assert talk(chip, 0xB0, 0)[1] == 0x40 | 2 << 3
    chip = ready(LISTEN)
    assert chip.arrive(1, FLAG_EXT, b"")
    load(chip, 0)
    chip.elapse(2000)
    assert chip.sent == [] and chip.waiting == 1
    chip = ready()
    talk(chip, 2, 0x0F, 1 << 5)
    chip.elapse(100)
    assert not chip.arrive(1, FLAG_EXT, b"") and chip.mode == LISTEN and chip.registers[CANINTF] & WAKIF


def test_a_soft_interrupt_does_not_interrupt_itself():
    chip = ready()
    depth = []

    def handler(_pin):
        depth.append(1)
        assert len(depth) == 1
        talk(chip, 0x90, 0)
        if chip.int_pin.edges == 1:
            chip.arrive(2, FLAG_EXT, b"")
        depth.pop()

    chip.int_pin.irq(handler, chip.int_pin.IRQ_FALLING)
    chip.arrive(1, FLAG_EXT, b"")
    assert chip.int_pin.edges == 2 and chip.int_pin() == 1
