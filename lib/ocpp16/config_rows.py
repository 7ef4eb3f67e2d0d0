"""What a row of the table of configuration keys says, and the value of one key. A cold module.

A row is a line, its columns parted by blanks:
    name access type default [check [reboot]]
    access   R, RW, or W (can be written but never read over OCPP)
    type     bool, int, str, or csl (comma-separated list)
    default  text of the value; - for an empty one
    check    int: a..b, a.., ..b;  str: the same for its length;  csl: allowed items as A|B|C, `phases`, or =Key for the
             items allowed for that key;  - for any
    reboot   the word says that a change is used only after a restart
Which keys exist is decided by the rows that a Configuration is given (see config_keys).
"""


def value_of(config, key):
    """See Configuration.get; None when there is no such key. Needs little room: it looks at one row."""
    columns = find(config.rows(), key)
    return None if columns is None else typed(columns[2], config.texts.get(key, columns[3]))


def find(rows, name):
    """The columns of a key in the spelling of the table, or None."""
    where = _position(rows, name)
    return None if where is None else _columns(_line(rows[where[0]], where[1])[0])


def each(rows):
    """The columns of every row."""
    for text in rows:
        start = 0
        while start < len(text):  # line by line: a list of all would need a large piece of a small heap
            line, start = _line(text, start)
            if line:
                yield _columns(line)


def each_once(rows):
    """The columns of every row that is the first with its name, the last text first: what is done with is forgotten."""
    rows = list(rows)
    while rows:
        text = rows[-1]
        start = 0
        while start < len(text):
            here = start
            line, start = _line(text, start)
            if line and _position(rows, line[: line.find(" ")]) == (len(rows) - 1, here):
                yield _columns(line)
        rows.pop()


def _position(rows, name):
    """Where the first row of that name is: (number of the text, index in it). None: nowhere."""
    for number, text in enumerate(rows):
        if text.startswith(name + " "):
            return number, 0
        start = text.find("\n" + name + " ") + 1
        if start:
            return number, start
    return None


def _line(text, start):
    """(the line that starts there, where the next one does)."""
    end = text.find("\n", start)
    if end < 0:
        end = len(text)
    return text[start:end], end + 1


def _columns(line):
    columns = line.split()
    if columns[3] == "-":
        columns[3] = ""
    return columns + ["-", ""][len(columns) - 4 :]


def typed(kind, text):
    """Text -> bool, int, str or tuple of str. Raises ValueError. Source of the forms: section 7.28 and chapter 9."""
    if kind == "int":
        digits = text[1:] if text[:1] == "-" else text
        if not digits.isdigit() or len(digits) > 10:
            raise ValueError
        return int(text)
    if kind == "bool":
        lower = text.lower()
        if lower not in ("true", "false"):
            raise ValueError
        return lower == "true"
    if kind == "csl":
        items = [item.strip() for item in text.split(",")] if text.strip() else []
        if "" in items:
            raise ValueError
        return tuple(items)
    return text


def text_of(value):
    """The text of a typed value."""
    if type(value) is tuple:
        return ",".join(value)
    if type(value) is bool:
        return "true" if value else "false"
    return str(value)
