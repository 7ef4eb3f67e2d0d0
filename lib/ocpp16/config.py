"""Configuration keys: values, their checks, and what the central system may read and change.

Source: OCPP 1.6 edition 2, sections 5.3 (ChangeConfiguration), 5.8 (GetConfiguration) and 9, with errata.

Which keys exist is decided by the rows passed in (see config_keys). A row is a line, its columns parted by blanks:
    name access type default [check [reboot]]
    access   R, RW, or W (can be written but never read over OCPP)
    type     bool, int, str, or csl (comma-separated list)
    default  text of the value; - for an empty one
    check    int: a..b, a.., ..b;  str: the same for its length;  csl: allowed items as A|B|C, `phases`, or =Key for the
             items allowed for that key;  - for any
    reboot   the word says that a change is used only after a restart
A csl has at most as many items as the key with `MaxLength` after its name says, where that exists.
"""

import json

from micropython import const

from .rpc import OcppError, dumps

ACCEPTED = "Accepted"
REJECTED = "Rejected"
NOT_SUPPORTED = "NotSupported"
REBOOT_REQUIRED = "RebootRequired"

_MAX_VALUE = const(500)  # OCPP 1.6 edition 2, section 7.28 and ChangeConfiguration.req
_MAX_ASKED = const(250)  # keys in one GetConfiguration: far above GetConfigurationMaxKeys, it bounds the work


class Configuration:
    """All keys of one charge point. The only owner of their values.

    rows     -- tuple of texts of one or more rows each; where a name comes twice, the first counts
    defaults -- factory presets, {key: text}, in the place of the table's defaults
    load     -- callable -> {key: text} of what was changed (or None)
    save     -- callable({key: text}), durable when it returns; any exception means that nothing was changed
    log      -- warn(tag, text) and error(tag, exception), or None
    A preset or stored value that does not fit (garbage, a key of another build, no longer in range) is passed over, one
    by one: the next lower value counts. `ignored` counts them.
    """

    def __init__(self, rows, defaults, load, save, log=None):
        self._rows = rows
        self._save = save
        self._log = log
        self._values = {}  # canonical name: typed value
        self._stored = {}  # canonical name: text, of what was changed
        self._listeners = {}
        self.ignored = 0
        for name, _, kind, default, _, _ in self._each_row():
            if name not in self._values:
                self._values[name] = _typed(kind, default)
        self._adopt(defaults, False)
        self._adopt(load(), True)

    def get(self, key, default=None):
        """Typed value: bool, int, str, or tuple of str. A key that does not exist has the default.

        key -- canonical spelling
        """
        return self._values.get(key, default)

    def text(self, key):
        """Value as it goes over the wire. KeyError if the key does not exist."""
        return _text(self._values[key])

    def change(self, key, text):
        """ChangeConfiguration: check, store, then use. Returns its status.

        Accepted is durable before it returns; a value that is there already is Accepted without a write. A key with
        `reboot` gets its value at once too: who has such a key reads it once, at the start.
        """
        name = self._canonical(key)
        if name is None:
            return NOT_SUPPORTED
        row = self._row(name)
        if row[1] == "R":
            return REJECTED
        try:
            value = self._checked(row, text)
        except ValueError:
            return REJECTED
        text = _text(value)
        if value != self._values[name] or self._stored.get(name, text) != text:
            stored = dict(self._stored)
            stored[name] = text
            try:
                self._save(stored)
            except Exception as exc:  # noqa: BLE001 - whatever the storage raises, the central system gets an answer
                if self._log:
                    self._log.error("config", exc)
                return REJECTED
            self._stored = stored
            self._set(name, value)
        return REBOOT_REQUIRED if row[5] else ACCEPTED

    def set_internal(self, key, text):
        """Set a value from inside, also of a read-only key, until the next start. False if it does not fit."""
        try:
            self._set(key, self._checked(self._row(key), text))
        except ValueError:
            return False
        return True

    def on_change(self, key, callback):
        """Have callback(key, value) called after each change; what it raises is logged and goes no further."""
        self._listeners.setdefault(key, []).append(callback)

    def get_configuration(self, keys=None):
        """JSON text of GetConfiguration.conf: some 4 kB for all keys, so it is not built as a dict first.

        keys -- list of str from the request; None or empty: all that can be read. A key asked for twice comes once.
        Raises OcppError when more are asked for than can be served.
        """
        unknown = []
        if keys:
            if len(keys) > _MAX_ASKED:
                raise OcppError("OccurenceConstraintViolation", "key: more than %d" % _MAX_ASKED)
            names = []
            for key in keys:
                name = self._canonical(key)
                if name is None:
                    if key not in unknown:
                        unknown.append(key)
                elif name not in names:
                    names.append(name)
        else:
            names = [name for name in sorted(self._values) if self._row(name)[1] != "W"]
        parts = []
        for name in names:
            access = self._row(name)[1]
            text = '{"key":"%s","readonly":%s' % (name, "true" if access == "R" else "false")
            parts.append(text + ("}" if access == "W" else ',"value":%s}' % json.dumps(self.text(name))))
        text = '{"configurationKey":[%s]' % ",".join(parts) if parts or not unknown else "{"
        if unknown:
            text += '%s"unknownKey":%s' % ("," if parts else "", dumps(unknown))
        return text + "}"

    # -- inside

    def _each_row(self):
        for text in self._rows:
            for line in text.split("\n"):
                if line:
                    yield _columns(line)

    def _row(self, name):
        """The columns of a key. ValueError if it does not exist."""
        for text in self._rows:
            start = text.find("\n" + name + " ") + 1
            if start or text.startswith(name + " "):
                return _columns(text[start:].split("\n", 1)[0])
        raise ValueError(name)

    def _canonical(self, key):
        """The spelling of the table for a key in any letter case (CiString50), or None."""
        if key in self._values:
            return key
        lower = key.lower()
        for name in self._values:
            if len(name) == len(key) and name.lower() == lower:
                return name
        return None

    def _adopt(self, texts, stored):
        """Take over presets or stored values, read-only keys first: they are the limits of others."""
        if type(texts) is not dict:
            texts = {} if texts is None else {"(all)": None}
        left = set(texts)
        for read_only in (True, False):
            for name in self._values:
                row = name in left and self._row(name)
                if not row or (row[1] == "R") != read_only or (stored and read_only):
                    continue
                try:
                    self._values[name] = self._checked(row, texts[name])
                except ValueError:
                    continue
                left.remove(name)
                if stored:
                    self._stored[name] = _text(self._values[name])
        self.ignored += len(left)
        if left and self._log:
            self._log.warn("config", "ignored: " + " ".join([str(name)[:50] for name in left])[:200])

    def _set(self, name, value):
        if value == self._values[name]:
            return
        self._values[name] = value
        for callback in self._listeners.get(name, ()):
            try:
                callback(name, value)
            except Exception as exc:  # noqa: BLE001 - it is stored: the other listeners and the answer must not suffer
                if self._log:
                    self._log.error("config", exc)

    def _checked(self, row, text):
        """Text -> typed value, or ValueError."""
        name, _, kind, _, check, _ = row
        if type(text) is not str or len(text) > _MAX_VALUE:
            raise ValueError
        value = _typed(kind, text)
        if kind == "csl":
            most = self._values.get(name + "MaxLength")
            if most is not None and len(value) > most:
                raise ValueError
            if check[0] == "=":
                check = self._row(check[1:])[4]
            self._check_items(value, check)
        elif check != "-":
            low, _, high = check.partition("..")
            size = value if kind == "int" else len(value)
            if (low and size < int(low)) or (high and size > int(high)):
                raise ValueError
        return value

    def _check_items(self, items, check):
        allowed = check.split("|")
        seen = set()
        for item in items:
            subject = item
            if check == "phases":  # n.RST, n = 0 (grid) up to the last connector
                subject, _, rotation = item.partition(".")
                if not subject.isdigit() or str(int(subject)) != subject or rotation not in _ROTATIONS:
                    raise ValueError
                if int(subject) > self._values.get("NumberOfConnectors", 1):
                    raise ValueError
            elif check != "-" and item not in allowed:
                raise ValueError
            if subject in seen:
                raise ValueError
            seen.add(subject)


_ROTATIONS = ("NotApplicable", "Unknown", "RST", "RTS", "SRT", "STR", "TRS", "TSR")


def _columns(line):
    columns = line.split()
    if columns[3] == "-":
        columns[3] = ""
    return columns + ["-", ""][len(columns) - 4 :]


def _typed(kind, text):
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


def _text(value):
    if type(value) is tuple:
        return ",".join(value)
    if type(value) is bool:
        return "true" if value else "false"
    return str(value)
