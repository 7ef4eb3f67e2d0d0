"""What is sent to the client and what it must do: the cases of Autobahn|Testsuite, families 1-7, 9 and 10.

Numbers and contents follow its published case list. Differences, all in the direction of a shorter run: waits are
0.15 s instead of 1 s, and of family 9 the messages above 1 MiB are left out (9.3 and 9.4 split 1 MiB, not 4).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

from .frames import BINARY, CONTINUATION, PING, PONG, TEXT, close, frame

WAIT_S = 0.15
MIB = 1 << 20

Event = tuple[str, object]


@dataclass(frozen=True)
class Send:
    """Bytes in one piece, or in pieces of `chop` bytes."""

    data: bytes
    chop: int = 0


@dataclass(frozen=True)
class Wait:
    """Time in which the client may answer; notes the event ("timeout", name) if it has not closed by then."""

    name: str


@dataclass(frozen=True)
class Echo:
    """Send one message `count` times, each when the one before has come back."""

    opcode: int
    payload: bytes
    count: int


Step = Send | Wait | Echo


@dataclass(frozen=True)
class Case:
    """Steps, the events that must be seen, and how it must end.

    ends: "server" the rig closes with 1000 once it has seen the events; "sent" one of the steps was a close frame;
    "client" the client must fail the connection. codes: what its close frame may carry (None: no code).
    non_strict: events that are allowed too, as Autobahn allows them.
    """

    id: str
    steps: tuple[Step, ...]
    events: tuple[Event, ...] = ()
    ends: str = "server"
    codes: tuple[int | None, ...] = (1000,)
    non_strict: tuple[tuple[Event, ...], ...] = field(default=())


def message(opcode: int, payload: bytes) -> Event:
    """The event of an echoed message."""
    return ("text" if opcode == TEXT else "binary", payload)


def pong(payload: bytes = b"") -> Event:
    return ("pong", payload)


def octets(*frames: bytes) -> tuple[Step, ...]:
    return (Send(b"".join(frames), chop=1),)


def apart(*frames: bytes) -> tuple[Step, ...]:
    return tuple(Send(one) for one in frames)


def together(*frames: bytes) -> tuple[Step, ...]:
    return (Send(b"".join(frames)),)


def fragments(opcode: int, payload: bytes, size: int) -> bytes:
    """A message cut into frames of `size` bytes."""
    parts = [payload[at : at + size] for at in range(0, len(payload), size)] or [b""]
    last = len(parts) - 1
    return b"".join(frame(CONTINUATION if i else opcode, part, fin=i == last) for i, part in enumerate(parts))


def refused(id: str, steps: tuple[Step, ...], events: tuple[Event, ...] = (), code: int = 1002) -> Case:
    """A case that the client must fail. If it fails before it echoes what came before, Autobahn says non-strict."""
    return Case(id, steps, events, ends="client", codes=(code,), non_strict=((),) if events else ())


def framing() -> Iterator[Case]:
    lengths = (0, 125, 126, 127, 128, 65535, 65536)
    for family, opcode, byte in (("1.1", TEXT, b"*"), ("1.2", BINARY, b"\xfe")):
        for number, length in enumerate(lengths, 1):
            data = byte * length
            yield Case(f"{family}.{number}", (Send(frame(opcode, data)),), (message(opcode, data),))
        data = byte * 65536
        yield Case(f"{family}.8", (Send(frame(opcode, data), chop=997),), (message(opcode, data),))


def pings() -> Iterator[Case]:
    binary = bytes.fromhex("00fffefdfcfb00ff")
    full = b"\xfe" * 125
    for number, payload in enumerate((b"", b"Hello, world!", binary, full), 1):
        yield Case(f"2.{number}", together(frame(PING, payload)), (pong(payload),))
    yield refused("2.5", together(frame(PING, b"\xfe" * 126)))
    yield Case("2.6", octets(frame(PING, full)), (pong(full),))
    yield Case("2.7", together(frame(PONG)))
    yield Case("2.8", together(frame(PONG, b"unsolicited pong payload")))
    yield Case("2.9", together(frame(PONG, b"unsolicited pong payload"), frame(PING, b"ping")), (pong(b"ping"),))
    ten = [b"payload-%d" % i for i in range(10)]
    all_ten = [frame(PING, payload) for payload in ten]
    yield Case("2.10", together(*all_ten), tuple(map(pong, ten)))
    yield Case("2.11", octets(*all_ten), tuple(map(pong, ten)))


def reserved_bits() -> Iterator[Case]:
    text = b"Hello, world!"
    good = frame(TEXT, text)
    echoed = (message(TEXT, text),)
    yield refused("3.1", together(frame(TEXT, text, rsv=1)))
    yield refused("3.2", together(good, frame(TEXT, text, rsv=2), frame(PING)), echoed)
    yield refused("3.3", apart(good, frame(TEXT, text, rsv=3), frame(PING)), echoed)
    yield refused("3.4", octets(good, frame(TEXT, text, rsv=4), frame(PING)), echoed)
    yield refused("3.5", together(frame(BINARY, b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff", rsv=5)))
    yield refused("3.6", together(frame(PING, b"Hello, world!", rsv=6)))
    yield refused("3.7", together(frame(8, rsv=7)))


def opcodes() -> Iterator[Case]:
    text = b"Hello, world!"
    good = frame(TEXT, text)
    echoed = (message(TEXT, text),)
    for family, first in (("4.1", 3), ("4.2", 11)):
        yield refused(f"{family}.1", together(frame(first)))
        yield refused(f"{family}.2", together(frame(first + 1, b"reserved opcode payload")))
        yield refused(f"{family}.3", together(good, frame(first + 2), frame(PING)), echoed)
        yield refused(f"{family}.4", together(good, frame(first + 3, text), frame(PING)), echoed)
        yield refused(f"{family}.5", octets(good, frame(first + 4, text), frame(PING)), echoed)


def fragmentation() -> Iterator[Case]:
    yield refused("5.1", together(frame(PING, b"fragment1", fin=False), frame(CONTINUATION, b"fragment2")))
    yield refused("5.2", together(frame(PONG, b"fragment1", fin=False), frame(CONTINUATION, b"fragment2")))
    first, second = frame(TEXT, b"fragment1", fin=False), frame(CONTINUATION, b"fragment2")
    both = message(TEXT, b"fragment1fragment2")
    for number, send in enumerate((together, apart, octets), 3):
        yield Case(f"5.{number}", send(first, second), (both,))
    for number, send in enumerate((together, apart, octets), 6):
        yield Case(f"5.{number}", send(first, frame(PING, b"ping payload"), second), (pong(b"ping payload"), both))
    stray = b"non-continuation payload"
    for start, fin in ((9, True), (12, False)):
        for number, send in enumerate((together, apart, octets), start):
            yield refused(f"5.{number}", send(frame(CONTINUATION, stray, fin=fin), frame(TEXT, b"Hello, world!")))
    nothing = frame(CONTINUATION, b"fragment3", fin=False)
    yield refused("5.15", together(first, second, nothing, frame(TEXT, b"fragment4")), (both,))
    for id, fin in (("5.16", False), ("5.17", True)):
        yield refused(
            id,
            together(
                *[
                    frame(CONTINUATION, b"fragment1", fin=fin),
                    frame(TEXT, b"fragment2", fin=False),
                    frame(CONTINUATION, b"fragment3"),
                ]
                * 2
            ),
        )
    yield refused("5.18", together(first, frame(TEXT, b"fragment2")))
    parts = [b"fragment%d" % i for i in range(1, 6)]
    early = [first, frame(CONTINUATION, parts[1], fin=False), frame(PING, b"pongme 1!")]
    late = [
        frame(CONTINUATION, parts[2], fin=False),
        frame(CONTINUATION, parts[3], fin=False),
        frame(PING, b"pongme 2!"),
        frame(CONTINUATION, parts[4]),
    ]
    seen = (pong(b"pongme 1!"), ("timeout", "A"), pong(b"pongme 2!"), message(TEXT, b"".join(parts)))
    for id, send in (("5.19", together), ("5.20", apart)):
        yield Case(id, (*send(*early), Wait("A"), *send(*late)), seen)


KOSME = "κ\u1f79σμε".encode()  # "kosme", with the accented letter as one code point of three bytes
GREETING = "Hello-µ@ßöäüàá-UTF-8!!".encode()
BROKEN = KOSME + b"\xed\xa0\x80edited"
BEYOND = b"\xf4\x90\x80\x80"  # U+110000


def utf8() -> Iterator[Case]:
    empty = [frame(TEXT, fin=False), frame(CONTINUATION, fin=False), frame(CONTINUATION)]
    middle = b"middle frame payload"
    yield Case("6.1.1", together(frame(TEXT)), (message(TEXT, b""),))
    yield Case("6.1.2", together(*empty), (message(TEXT, b""),))
    yield Case("6.1.3", together(empty[0], frame(CONTINUATION, middle, fin=False), empty[2]), (message(TEXT, middle),))
    yield Case("6.2.1", together(frame(TEXT, GREETING)), (message(TEXT, GREETING),))
    cut = GREETING.index("ß".encode())
    halves = frame(TEXT, GREETING[:cut], fin=False) + frame(CONTINUATION, GREETING[cut:])
    yield Case("6.2.2", together(halves), (message(TEXT, GREETING),))
    yield Case("6.2.3", together(fragments(TEXT, GREETING, 1)), (message(TEXT, GREETING),))
    yield Case("6.2.4", together(fragments(TEXT, KOSME, 1)), (message(TEXT, KOSME),))
    yield refused("6.3.1", together(frame(TEXT, BROKEN)), code=1007)
    yield refused("6.3.2", together(fragments(TEXT, BROKEN, 1)), code=1007)
    yield from fail_fast()
    for family, texts in enumerate(utf8_texts(), 5):
        for number, text in enumerate(texts, 1):
            id, steps = f"6.{family}.{number}", together(frame(TEXT, text))
            yield Case(id, steps, (message(TEXT, text),)) if is_utf8(text) else refused(id, steps, code=1007)


def fail_fast() -> Iterator[Case]:
    """Invalid in the second of three parts: it must be refused before the third is sent."""
    on_edge = (KOSME, BEYOND, b"edited")
    inside = (KOSME + BEYOND[:1], BEYOND[1:2], BEYOND[2:] + b"edited")
    for number, parts in ((1, on_edge), (2, inside)):
        sends = [Send(frame(CONTINUATION if i else TEXT, part, fin=i == 2)) for i, part in enumerate(parts)]
        yield fast(number, sends)
    for number, parts in ((3, on_edge), (4, inside)):
        whole = frame(TEXT, b"".join(parts))
        head = len(whole) - sum(map(len, parts))
        ends = [head + total for total in itertools.accumulate(map(len, parts))]
        yield fast(number, [Send(whole[a:b]) for a, b in zip([0, *ends], ends, strict=False)])


def fast(number: int, sends: list[Send]) -> Case:
    return Case(
        f"6.4.{number}",
        (sends[0], Wait("A"), sends[1], Wait("B"), sends[2]),
        (("timeout", "A"),),
        ends="client",
        codes=(1007,),
        non_strict=((("timeout", "A"), ("timeout", "B")),),
    )


def is_utf8(text: bytes) -> bool:
    """CPython's decoder is the judge."""
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def utf8_texts() -> Iterator[list[bytes]]:
    """The groups of Markus Kuhn's UTF-8 decoder stress test, as families 6.5 to 6.23 use them."""

    def h(*texts: str) -> list[bytes]:
        return [bytes.fromhex(text) for text in texts]

    incomplete = h("c0", "e080", "f08080", "f8808080", "fc80808080", "df", "efbf", "f7bfbf", "fbbfbfbf", "fdbfbfbfbf")
    surrogates = h("eda080", "edadbf", "edae80", "edafbf", "edb080", "edbe80", "edbfbf")
    yield [b"hello" + c + b"world" for c in h("24", "c2a2", "e282ac", "f0a4ada2")] + [KOSME]
    yield [KOSME[:n] for n in range(1, len(KOSME) + 1)]
    yield h("00", "c280", "e0a080", "f0908080")
    yield h("f888808080", "fc8480808080")
    yield h("7f", "dfbf", "efbfbf", "f48fbfbf")
    yield h("f7bfbfbf", "fbbfbfbfbf", "fdbfbfbfbfbf")
    yield h("ed9fbf", "ee8080", "efbfbd", "f48fbfbf", "f4908080")
    yield [*h("80", "bf"), *[(b"\x80\xbf" * 3)[:n] for n in range(2, 7)], bytes(range(0x80, 0xBF))]
    starts = ((0xC0, 0xDF), (0xE0, 0xEF), (0xF0, 0xF7), (0xF8, 0xFB), (0xFC, 0xFD))
    yield [b"".join(bytes([c, 0x20]) for c in range(first, last)) for first, last in starts]
    yield incomplete
    yield [b"".join(incomplete)]
    yield h("fe", "ff", "fefeffff")
    yield h("c0af", "e080af", "f08080af", "f8808080af", "fc80808080af")
    yield h("c1bf", "e09fbf", "f08fbfbf", "f887bfbfbf", "fc83bfbfbfbf")
    yield h("c080", "e08080", "f0808080", "f880808080", "fc8080808080")
    yield surrogates
    yield [high + low for high in surrogates[:4] for low in (surrogates[4], surrogates[6])]
    planes = [chr(plane << 16 | 0xFFFE | last).encode() for plane in range(1, 17) for last in (0, 1)]
    yield [*h("efbfbe", "efbfbf"), *planes]
    yield [bytes([0xEF, 0xBF, last]) for last in range(0xB9, 0xC0)]


def closing() -> Iterator[Case]:
    def sent(id: str, *frames: bytes, events: tuple[Event, ...] = (), codes: tuple[int | None, ...] = (1000,)) -> Case:
        return Case(id, together(*frames), events, ends="sent", codes=codes)

    text = b"Hello World!"
    normal = close(1000)
    yield sent("7.1.1", frame(TEXT, text), normal, events=(message(TEXT, text),))
    yield sent("7.1.2", normal, normal)
    yield sent("7.1.3", normal, frame(PING))
    yield sent("7.1.4", normal, frame(TEXT, text))
    yield sent("7.1.5", frame(TEXT, b"fragment1", fin=False), normal, frame(CONTINUATION, b"fragment2"))
    long = b"BAsd7&jh23" * 26215
    yield Case(
        "7.1.6",
        together(frame(TEXT, long), frame(TEXT, text), normal, frame(PING)),
        (message(TEXT, long), message(TEXT, text)),
        ends="sent",
        non_strict=((message(TEXT, long),), ()),
    )
    yield sent("7.3.1", close(), codes=(None,))
    yield sent("7.3.2", frame(8, b"\x03"), codes=(1002,))
    yield sent("7.3.3", normal)
    yield sent("7.3.4", close(1000, text))
    yield sent("7.3.5", close(1000, b"*" * 123))
    yield sent("7.3.6", close(1000, b"*" * 124), codes=(1002,))
    yield sent("7.5.1", close(1000, BROKEN), codes=(1007,))
    valid = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999)
    for number, code in enumerate(valid, 1):
        yield sent(f"7.7.{number}", close(code), codes=(code,))
    for number, code in enumerate((0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999), 1):
        yield sent(f"7.9.{number}", close(code), codes=(1002,))
    for number, code in enumerate((5000, 65535), 1):  # informational in Autobahn; here they must be refused
        yield sent(f"7.13.{number}", close(code), codes=(1002,))


def limits() -> Iterator[Case]:
    types = ((TEXT, b"*"), (BINARY, b"\xfe"))
    for family, (opcode, byte) in enumerate(types, 1):
        for number, size in enumerate((MIB // 16, MIB // 4, MIB), 1):
            data = byte * size
            yield Case(f"9.{family}.{number}", (Send(frame(opcode, data)),), (message(opcode, data),))
    for family, (opcode, byte) in enumerate(types, 3):
        data = byte * MIB
        for number, size in enumerate((64, 256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, MIB), 1):
            yield Case(f"9.{family}.{number}", (Send(fragments(opcode, data, size)),), (message(opcode, data),))
    for family, (opcode, _) in enumerate(types, 5):
        data = (b"BAsd7&jh23" * (MIB // 10 + 1))[:MIB]
        for number, size in enumerate((64, 128, 256, 512, 1024, 2048), 1):
            yield Case(f"9.{family}.{number}", (Send(frame(opcode, data), chop=size),), (message(opcode, data),))
    for family, (opcode, byte) in enumerate(types, 7):
        for number, size in enumerate((0, 16, 64, 256, 1024, 4096), 1):
            yield Case(f"9.{family}.{number}", (Echo(opcode, byte * size, 1000),))


def auto_fragmentation() -> Iterator[Case]:
    data = b"*" * 65536
    yield Case("10.1.1", (Send(fragments(TEXT, data, 1300)),), (message(TEXT, data),))


CASES: tuple[Case, ...] = tuple(
    itertools.chain(
        framing(),
        pings(),
        reserved_bits(),
        opcodes(),
        fragmentation(),
        utf8(),
        closing(),
        limits(),
        auto_fragmentation(),
    )
)
