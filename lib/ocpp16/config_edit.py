"""The table of configuration keys: checks of values, and ChangeConfiguration. A cold module.

Source: OCPP 1.6 edition 2, sections 5.3 and 9, with errata.

Which keys exist is decided by the rows passed in (see config_keys), what a row says by config_rows.
A csl has at most as many items as the key with `MaxLength` after its name says, where that exists.
"""

from cold import cold
from micropython import const

rows = cold("ocpp16.config_rows")

ACCEPTED = "Accepted"
REJECTED = "Rejected"
NOT_SUPPORTED = "NotSupported"
REBOOT_REQUIRED = "RebootRequired"

_MAX_VALUE = const(500)  # OCPP 1.6 edition 2, section 7.28 and ChangeConfiguration.req

_ROTATIONS = ("NotApplicable", "Unknown", "RST", "RTS", "SRT", "STR", "TRS", "TSR")


class Table:
    """The rows of a Configuration, while it is worked on. Nothing is copied: the heap may be small."""

    def __init__(self, config):
        self.config = config
        self.rows = config.rows()

    def row(self, name):
        """The columns of a key. ValueError if it does not exist."""
        columns = rows.find(self.rows, name)
        if columns is None:
            raise ValueError(name)
        return columns

    def value(self, name, default=None):
        """Typed value in use."""
        columns = rows.find(self.rows, name)
        return default if columns is None else rows.typed(columns[2], self.config.texts.get(name, columns[3]))

    def canonical(self, key):
        """The spelling of the table for a key in any letter case (CiString50), or None."""
        lower = key.lower()
        for columns in rows.each(self.rows):
            if len(columns[0]) == len(key) and columns[0].lower() == lower:
                return columns[0]
        return None

    def checked(self, row, text):
        """Text -> typed value, or ValueError."""
        name, _, kind, _, check, _ = row
        if type(text) is not str or len(text) > _MAX_VALUE:
            raise ValueError
        value = rows.typed(kind, text)
        if kind == "csl":
            most = self.value(name + "MaxLength")
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
                if int(subject) > self.value("NumberOfConnectors", 1):
                    raise ValueError
            elif check != "-" and item not in allowed:
                raise ValueError
            if subject in seen:
                raise ValueError
            seen.add(subject)


def _use(config, name, value):
    """Use a checked value from now on, and tell who listens."""
    config.texts[name] = rows.text_of(value)
    if name in config.values:
        config.values[name] = value
    for key, callback in config.listeners:
        if key == name:
            try:
                callback(name, value)
            except Exception as exc:  # noqa: BLE001 - the value is stored: others and the answer must not suffer
                if config.log:
                    config.log.error("config", exc)


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
    is_new = value != table.value(name)
    table = None  # storing needs room, too
    if is_new or config.stored.get(name, text) != text:
        stored = dict(config.stored)
        stored[name] = text
        try:
            config.save(stored)
        except Exception as exc:  # noqa: BLE001 - whatever the storage raises, the central system gets an answer
            if config.log:
                config.log.error("config", exc)
            return REJECTED
        config.stored = stored
        if is_new:
            _use(config, name, value)
    return REBOOT_REQUIRED if row[5] else ACCEPTED


def set_internal(config, key, text):
    """See Configuration.set_internal."""
    table = Table(config)
    try:
        value = table.checked(table.row(key), text)
        if value != table.value(key):
            _use(config, key, value)
    except ValueError:
        return False
    return True
