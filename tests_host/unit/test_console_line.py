"""The line editor of the console: keys, noise, paste, secrets, history, completion."""

import random

from charger.console_line import CANCEL, END, LINE, LONGEST, TAB, Line


def hides(text):
    return 11 if text.startswith("set secret ") else None


class Screen:
    """A terminal of one row that carries out what the editor sends; everything that was ever shown is kept."""

    def __init__(self):
        self.line = Line(hides)
        self.line.begin("> ")
        self.row, self.at, self.bells, self.all = "", 0, 0, ""
        self.show()

    def show(self):
        out = self.line.output()
        self.all += out
        i = 0
        while i < len(out):
            c = out[i]
            i += 1
            if c == "\r":
                self.at = 0
            elif c == "\n":
                self.row = ""
            elif c == "\x07":
                self.bells += 1
            elif c == "\x1b":
                end = i + 1
                while out[end] in "0123456789":
                    end += 1
                number = out[i + 1 : end]
                if out[end] == "K":
                    self.row = self.row[: self.at]
                elif out[end] == "D":
                    self.at -= int(number)
                else:
                    raise AssertionError(out[end])
                i = end + 1
            else:
                self.row = self.row[: self.at] + c + self.row[self.at + 1 :]
                self.at += 1

    def type(self, data):
        """Feed all of it; return [(event, text)] of what came."""
        if isinstance(data, str):
            data = data.encode()
        events, at = [], 0
        while at < len(data):
            at, event = self.line.feed(data, at, len(data))
            self.show()
            self.line = Line(hides, self.line.keep())  # the console forgets the editor between keys
            if event:
                events.append((event, self.line.text))
                if event != TAB:
                    self.line.begin("> ")
                    self.show()
        return events


def lines(data):
    return [text for event, text in Screen().type(data) if event == LINE]


def test_line_ends():
    for end in ("\r", "\n", "\r\n"):
        assert lines(("one" + end + "two" + end)) == ["one", "two"], end
    assert lines("\r\n\r\n") == ["", ""]
    assert lines("\n\r") == ["", ""]  # no terminal sends this as one


def test_line_end_between_two_reads():
    screen = Screen()
    assert screen.type("a\r") == [(LINE, "a")]
    assert screen.type("\n") == []
    assert screen.type("\n") == [(LINE, "")]


def test_editing():
    for keys, wanted in (
        ("abc\x7f", "ab"),
        ("abc\x08\x08d", "ad"),
        ("\x7fa", "a"),
        ("ac\x1b[Db", "abc"),
        ("bc\x01a\x05d", "abcd"),
        ("bc\x1b[Ha\x1b[Fd", "abcd"),
        ("bc\x1b[1~a\x1b[4~d", "abcd"),
        ("bc\x1bOHa", "abc"),
        ("abc\x02\x02\x0b", "a"),
        ("abc\x02\x15", "c"),
        ("set one two \x17x", "set one x"),
        ("abc\x01\x1b[3~", "bc"),
        ("abc\x01\x04", "bc"),
        ("ab\x06\x06c", "abc"),
        ("ab\x0cc", "abc"),
        ("\x1b[200~ab\x1b[201~", "ab"),
        ("a\x00\x1db", "ab"),
        ("\x1b\x1ba", "a"),
    ):
        assert lines(keys + "\r") == [wanted], keys


def test_what_is_seen_is_what_is_there():
    random.seed(1)
    keys = (b"abcdefg hij", b"xy", b"\x7f", b"\x01", b"\x05", b"\x17")
    keys += (b"\x1b[A", b"\x1b[B", b"\x1b[C", b"\x1b[D", b"\x1b[3~")
    for _ in range(20):
        screen = Screen()
        screen.type("first line\rsecond\r")
        for _ in range(60):
            screen.type(random.choice(keys))
            line = screen.line
            if len(line.text) < 70:
                assert screen.row == "> " + line.text, (screen.row, line.text)
                assert screen.at == 2 + line.at
            else:
                assert len(screen.row) <= 79


def test_history():
    screen = Screen()
    for n in range(20):
        screen.type("line %d\r" % n)
    screen.type("line 19\r")
    assert screen.line.history == ["line %d" % n for n in range(8, 20)]
    up, down = "\x1b[A", "\x1b[B"
    assert screen.type(up + up + "\r")[-1] == (LINE, "line 18")
    assert screen.type("draft" + up + down + "\r")[-1] == (LINE, "draft")
    assert screen.type(up * 30 + "\r")[-1] == (LINE, "line 10")
    assert screen.type(down + "\x10\x0e\r")[-1] == (LINE, "")
    screen.type("x" * 500 + "\r")
    assert "x" * 500 not in screen.line.history


def test_cancel_and_end():
    screen = Screen()
    assert screen.type("reboot\x03") == [(CANCEL, "reboot")]
    assert screen.type("\x04") == [(END, "")]
    assert screen.type("\x1b\x03")[0][0] == CANCEL  # also out of half a sequence
    assert "reboot" not in screen.line.history


def test_noise_never_becomes_a_command():
    screen = Screen()
    screen.type(b"reb\xffoot")
    assert screen.line.spoilt and screen.bells == 1
    screen.type(b"\r")
    assert not screen.line.spoilt and not screen.line.history
    random.seed(2)
    for _ in range(300):
        data = bytes([random.getrandbits(8) for _ in range(64)])
        at, event = 0, 0
        spoilt = False
        while at < len(data):
            before = at
            at, event = screen.line.feed(data, at, len(data))
            assert at > before
            spoilt = screen.line.spoilt
            screen.line.output()
            if event == LINE:
                assert spoilt or all(" " <= c <= "~" for c in screen.line.text)
            if event:
                screen.line.begin("> ")


def test_long_paste_is_bounded():
    screen = Screen()
    block = b"x" * 64
    for _ in range(1600):
        at, event = screen.line.feed(block, 0, len(block))
        assert (at, event) == (64, 0)
        assert len(screen.line.output()) < 400
    assert len(screen.line.text) <= LONGEST and "longer" in screen.line.spoilt
    assert screen.line.feed(b"\r", 0, 1) == (1, LINE) and screen.line.spoilt


def test_secrets_are_never_shown():
    for keys in (
        "set secret HUSH",
        "HUSH\x01set secret ",
        "set secret HUSH\x01x",  # the line changes so that it would not be hidden any more
        "set secret HUSH\x01\x1b[3~\x1b[3~",
        "set secret HUSH\x0c\x02\x02\x1b[A\x1b[B",
    ):
        screen = Screen()
        screen.type(keys)
        seen = screen.all if keys[0] == "s" else screen.row
        assert "HUSH" not in seen and "USH" not in seen, (keys, screen.all)
        screen.type("\r")
        assert not screen.line.history
        screen.type("open\r")
        assert screen.line.history == ["open"] and "open" in screen.all


def test_hidden_line():
    screen = Screen()
    screen.type("before\r")
    screen.line.begin("PIN: ", True)
    screen.show()
    screen.all = ""
    events = screen.type("12\t3\x1b[A4\r")
    assert events == [(LINE, "1234")] and "1" not in screen.all and screen.line.history == ["before"]


def test_completion():
    screen = Screen()
    assert screen.type("sta\t") == [(TAB, "sta")]
    screen.line.complete(["status", "start"])
    screen.show()
    assert screen.all.endswith("\r\nstatus  start\r\n\r> sta\x1b[K") and screen.row == "> sta"
    screen.type("t")
    screen.line.complete(["status", "start"])
    screen.show()
    assert screen.line.text == "status " and screen.row == "> status "
    screen.type("po\t")
    screen.line.complete(["power.max_ma", "power.max_mv"])
    screen.show()
    assert screen.line.text == "status power.max_m"
    bells = screen.bells
    screen.line.complete(["other"])
    screen.show()
    assert screen.bells == bells + 1
