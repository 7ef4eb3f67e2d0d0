"""The table of configuration keys: checks of values, and the two answers. A cold module.

Source: OCPP 1.6 edition 2, sections 5.3 (ChangeConfiguration), 5.8 (GetConfiguration) and 9, with errata.

Which keys exist is decided by the rows passed in (see config_keys), what a row says by config_rows.
A csl has at most as many items as the key with `MaxLength` after its name says, where that exists.
"""

import json

from cold import cold
from micropython import const

from .errors import OcppError

rows = cold("ocpp16.config_rows")

ACCEPTED = "Accepted"
REJECTED = "Rejected"
NOT_SUPPORTED = "NotSupported"
REBOOT_REQUIRED = "RebootRequired"

_MAX_VALUE = const(500)  # OCPP 1.6 edition 2, section 7.28 and ChangeConfiguration.req
_MAX_ASKED = const(250)  # keys in one GetConfiguration: far above GetConfigurationMaxKeys, it bounds the work

_ROTATIONS = ("NotApplicable", "Unknown", "RST", "RTS", "SRT", "STR", "TRS", "TSR")


class Table:
    """The rows of a Configuration, while it is worked on."""

    def __init__(self, config):
        self.config = config
        self._rows = config.rows()
        self.values = {}  # canonical name: typed value
        for name, _, kind, default, _, _ in rows.each(self._rows):
            if name not in self.values:
                self.values[name] = rows.typed(kind, config.texts.get(name, default))

    def row(self, name):
        """The columns of a key. ValueError if it does not exist."""
        columns = rows.find(self._rows, name)
        if columns is None:
            raise ValueError(name)
        return columns

    def canonical(self, key):
        """The spelling of the table for a key in any letter case (CiString50), or None."""
        if key in self.values:
            return key
        lower = key.lower()
        for name in self.values:
            if len(name) == len(key) and name.lower() == lower:
                return name
        return None

    def adopt(self, texts, stored):
        """Take over presets or stored values, read-only keys first: they are the limits of others."""
        if type(texts) is not dict:
            texts = {} if texts is None else {"(all)": None}
        left = set(texts)
        for read_only in (True, False):
            for name in self.values:
                row = name in left and self.row(name)
                if not row or (row[1] == "R") != read_only or (stored and read_only):
                    continue
                try:
                    self.values[name] = self.checked(row, texts[name])
                except ValueError:
                    continue
                left.remove(name)
                self.config.texts[name] = rows.text_of(self.values[name])
                if stored:
                    self.config.stored[name] = self.config.texts[name]
        self.config.ignored += len(left)
        if left and self.config.log:
            self.config.log.warn("config", "ignored: " + " ".join([str(name)[:50] for name in left])[:200])

    def checked(self, row, text):
        """Text -> typed value, or ValueError."""
        name, _, kind, _, check, _ = row
        if type(text) is not str or len(text) > _MAX_VALUE:
            raise ValueError
        value = rows.typed(kind, text)
        if kind == "csl":
            most = self.values.get(name + "MaxLength")
            if most is not None and len(value) > most:
                raise ValueError
            if check[0] == "=":
                check = self.row(check[1:])[4]
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
                if int(subject) > self.values.get("NumberOfConnectors", 1):
                    raise ValueError
            elif check != "-" and item not in allowed:
                raise ValueError
            if subject in seen:
                raise ValueError
            seen.add(subject)

    def use(self, name, value):
        """Use a checked value from now on, and tell who listens."""
        config = self.config
        if value == self.values[name]:
            return
        self.values[name] = value
        config.texts[name] = rows.text_of(value)
        config.values.pop(name, None)
        for key, callback in config.listeners:
            if key == name:
                try:
                    callback(name, value)
                except Exception as exc:  # noqa: BLE001 - the value is stored: others and the answer must not suffer
                    if config.log:
                        config.log.error("config", exc)


def fill(config, defaults, stored):
    """Give a new configuration its values: presets, then what was stored, over the table's defaults."""
    table = Table(config)
    table.adopt(defaults, False)
    table.adopt(stored, True)


def change(config, key, text):
    """See Configuration.change."""
    table = Table(config)
    name = table.canonical(key)
    if name is None:
        return NOT_SUPPORTED
    row = table.row(name)
    if row[1] == "R":
        return REJECTED
    try:
        value = table.checked(row, text)
    except ValueError:
        return REJECTED
    text = rows.text_of(value)
    if value != table.values[name] or config.stored.get(name, text) != text:
        stored = dict(config.stored)
        stored[name] = text
        try:
            config.save(stored)
        except Exception as exc:  # noqa: BLE001 - whatever the storage raises, the central system gets an answer
            if config.log:
                config.log.error("config", exc)
            return REJECTED
        config.stored = stored
        table.use(name, value)
    return REBOOT_REQUIRED if row[5] else ACCEPTED


def set_internal(config, key, text):
    """See Configuration.set_internal."""
    table = Table(config)
    try:
        table.use(key, table.checked(table.row(key), text))
    except ValueError:
        return False
    return True


def answer(config, keys):
    """See Configuration.get_configuration. The entries come in the order they were asked for."""
    wanted = {}  # lower case: its entry; (), while there is none
    if keys:
        if len(keys) > _MAX_ASKED:
            raise OcppError("OccurenceConstraintViolation", "key: more than %d" % _MAX_ASKED)
        for key in keys:
            wanted[key.lower()] = ()
    known = set()
    parts = []
    for name, access, _, default, _, _ in rows.each(config.rows()):
        if name in known or (keys and name.lower() not in wanted) or (not keys and access == "W"):
            continue
        known.add(name)
        text = '{"key":"%s","readonly":%s' % (name, "true" if access == "R" else "false")
        if access != "W":
            text += ',"value":' + json.dumps(config.texts.get(name, default))
        if keys:
            wanted[name.lower()] = text + "}"
        else:
            parts.append((",%s}" if parts else "%s}") % text)
    unknown = []
    for key in keys or ():
        entry = wanted.pop(key.lower(), None)
        if entry == ():
            unknown.append(key)
        elif entry:
            parts.append("," + entry if parts else entry)
    if parts or not unknown:
        parts.insert(0, '{"configurationKey":[')
        parts.append("]," if unknown else "]")
    else:
        parts.append("{")
    if unknown:
        parts.append('"unknownKey":' + json.dumps(unknown, separators=(",", ":")))
    parts.append("}")
    return parts
