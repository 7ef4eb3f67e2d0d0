"""One line of a terminal, as it is edited: keys in, what to show out. Pure. Loaded while somebody is at the console.

Takes every byte a terminal, a cable or a clipboard can send. Characters are ASCII; a line that held other bytes, or was
longer than it may be, is never run: noise must not become a command.
"""

from micropython import const

LONGEST = const(2048)
_HISTORY = const(12)  # lines, of at most ...
_KEPT = const(160)  # ... this length
_WIDTH = const(78)

# What feed() stops at
LINE = const(1)  # a whole line: text
CANCEL = const(2)  # Ctrl-C
END = const(3)  # Ctrl-D on an empty line
TAB = const(4)

_BELL = "\x07"
_KEYS = {"A": 16, "B": 14, "C": 6, "D": 2, "H": 1, "F": 5, "1~": 1, "7~": 1, "4~": 5, "8~": 5, "3~": 4}


class Line:
    """hides -- callable(text) -> index from which on a text must not be seen, or None: all of it may be

    kept -- what keep() of another one gave, to go on with it; None: a first one
    prompt, hidden -- set by begin(); text, at -- the line and the place of the cursor
    spoilt -- "" or why the line must not be run
    """

    def __init__(self, hides, kept=None):
        self._hides = hides
        self._out = ""
        first = kept[0] if kept else ("", "", "", 0, False, [])
        self.text, self.prompt, self.spoilt, self.at, self.hidden, self.history = first
        # place in the history, from its end, 0: the line itself; that line, while another one is looked at; an escape
        # sequence so far; the last key was CR; something of it was hidden
        more = kept[1] if kept else (0, "", None, False, False)
        self._place, self._draft, self._escape, self._after_cr, self._secret = more

    def keep(self):
        """What goes on another time: see `kept`. Nothing may be left in output()."""
        public = self.text, self.prompt, self.spoilt, self.at, self.hidden, self.history
        return public, (self._place, self._draft, self._escape, self._after_cr, self._secret)

    def begin(self, prompt, hidden=False):
        """Start a new line. hidden -- show stars, keep nothing of it."""
        self.prompt, self.hidden = prompt, hidden
        self._set("")
        self.spoilt, self._secret, self._place, self._escape = "", False, 0, None
        self._out += prompt

    def output(self):
        """What the terminal has to be sent now."""
        out, self._out = self._out, ""
        return out

    def feed(self, data, start, end):
        """Take data[start:end] (bytes) up to what needs an answer: (where that ends, LINE, CANCEL, END, TAB or 0)."""
        added = ""
        event = 0
        while start < end and not event:
            byte = data[start]
            start += 1
            if self._escape is None and 32 <= byte < 127:
                added += chr(byte)
                self._after_cr = False
                continue
            self._insert(added)
            added = ""
            event = self._key(byte)
        self._insert(added)
        return start, event

    def _insert(self, added):
        if not added:
            return
        if len(self.text) + len(added) > LONGEST:
            if not self.spoilt:
                self._out += _BELL
            self.spoilt = "it is longer than %d characters" % LONGEST
            return
        plain = self.at == len(self.text)
        self.text = self.text[: self.at] + added + self.text[self.at :]
        self.at += len(added)
        if plain and len(self.text) < self._room() and self._seen() == self.text:
            self._out += added
        else:
            self.show()

    def _key(self, byte):
        """One byte that is no plain character. Returns the event or 0."""
        if byte == 10 and self._after_cr:
            self._after_cr = False
            return 0
        self._after_cr = byte == 13
        if self._escape is not None:
            byte = self._sequence(byte)
        if byte == 13 or byte == 10:
            self._escape = None
            self._out += "\r\n"
            self._keep()
            return LINE
        if byte == 3:
            self._escape = None
            self._out += "^C\r\n"
            return CANCEL
        if byte == 27:
            self._escape = ""
        elif byte == 9:
            return 0 if self.hidden else TAB
        elif byte == 4 and not self.text:
            self._out += "\r\n"
            return END
        elif byte > 127:
            self.spoilt = "it held bytes that are no ASCII characters"
            self._out += _BELL
        elif byte:
            self._edit(byte)
        return 0

    def _sequence(self, byte):
        """A byte of an escape sequence; the key that it ends in, or 0."""
        self._escape += chr(byte) if 32 < byte < 127 else "?"
        if byte in (3, 10, 13):
            return byte
        if self._escape in ("[", "O") or (self._escape[-1] in "0123456789;" and len(self._escape) < 8):
            return 0
        name, self._escape = self._escape[1:], None
        return _KEYS.get(name, 0)

    def _edit(self, key):
        text, at = self.text, self.at
        if key == 8 or key == 127:  # backspace
            if at:
                self._set(text[: at - 1] + text[at:], at - 1)
        elif key == 4:  # Ctrl-D, delete
            self._set(text[:at] + text[at + 1 :], at)
        elif key == 21:  # Ctrl-U: all before the cursor
            self._set(text[at:], 0)
        elif key == 11:  # Ctrl-K: all behind it
            self._set(text[:at], at)
        elif key == 23:  # Ctrl-W: the word before it
            head = text[:at].rstrip(" ")
            head = head[: head.rfind(" ") + 1]
            self._set(head + text[at:], len(head))
        elif key == 1:
            self.at = 0
        elif key == 5:
            self.at = len(text)
        elif key == 2:
            self.at = max(0, at - 1)
        elif key == 6:
            self.at = min(len(text), at + 1)
        elif key == 16:
            self._look_back(1)
        elif key == 14:
            self._look_back(-1)
        elif key != 12:  # Ctrl-L: only shown anew
            return
        self.show()

    def _set(self, text, at=None):
        self.text = text
        self.at = len(text) if at is None else at
        if not text:
            self._secret = False

    def _look_back(self, step):
        place = self._place + step
        if self.hidden or not 0 <= place <= len(self.history):
            return
        if not self._place:
            self._draft = self.text
        self._place = place
        self._set(self.history[-place] if place else self._draft)

    def _keep(self):
        """Into the history, but nothing secret, and nothing twice in a row."""
        text = self.text.strip()
        self._seen()
        if not text or self.hidden or self._secret or self.spoilt or len(text) > _KEPT:
            return
        if self.history[-1:] != [text]:
            self.history.append(text)
            if len(self.history) > _HISTORY:
                self.history.pop(0)

    def _room(self):
        return _WIDTH - len(self.prompt)

    def _seen(self):
        """The text as it may be seen. What was secret once stays so until the line is empty, whatever is edited."""
        text = self.text
        start = 0 if self.hidden else self._hides(text)
        if start is None and self._secret:
            start = 0
        if start is None or start >= len(text):
            return text
        self._secret = True
        return text[:start] + "*" * (len(text) - start)

    def show(self):
        """Draw the line again: of a long one what surrounds the cursor."""
        room = self._room()
        first = max(0, self.at - room + 1)
        part = self._seen()[first : first + room]
        self._out += "\r%s%s\x1b[K" % (self.prompt, part)
        back = first + len(part) - self.at
        if back > 0:
            self._out += "\x1b[%dD" % back

    def complete(self, words):
        """Tab: words -- what may stand at the cursor, in full. Inserts what is certain, or shows the choice."""
        begun = self.text[: self.at]
        begun = begun[begun.rfind(" ") + 1 :]
        words = [word for word in words if word.startswith(begun)]
        if not words:
            self._out += _BELL
            return
        common = words[0]
        for word in words[1:]:
            while not word.startswith(common):
                common = common[:-1]
        self._insert(common[len(begun) :] + (" " if len(words) == 1 else ""))
        if len(words) > 1 and common == begun:
            self._out += "\r\n%s\r\n" % "  ".join(words)
            self.show()
