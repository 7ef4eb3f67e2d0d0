"""Configuration keys: the values in use. What is needed rarely (table, checks, answers) is in config_edit.

Source: OCPP 1.6 edition 2, sections 5.3 (ChangeConfiguration), 5.8 (GetConfiguration) and 9, with errata.
"""

from cold import cold


class Configuration:
    """All keys of one charge point. The only owner of their values.

    rows     -- callable -> tuple of texts of one or more rows each (see config_rows for the form), called when the
                table is needed, which is rare; where a name comes twice, the first counts
    defaults -- factory presets, {key: text}, in the place of the table's defaults
    load     -- callable -> {key: text} of what was changed (or None)
    save     -- callable({key: text}), durable when it returns; any exception means that nothing was changed
    log      -- warn(tag, text) and error(tag, exception), or None
    A preset or stored value that does not fit (garbage, a key of another build, no longer in range) is passed over, one
    by one: the next lower value counts. `ignored` counts them.
    """

    def __init__(self, rows, defaults, load, save, log=None):
        self.rows = rows
        self.save = save
        self.log = log
        self.values = {}  # canonical name: typed value, of what was asked for since it changed
        self.texts = {}  # canonical name: text, where it is not the table's default
        self.stored = {}  # the same, of what was changed and saved
        self.ignored = 0
        self.listeners = []  # (key, callback)
        cold("ocpp16.config_fill").fill(self, defaults, load())

    def get(self, key, default=None):
        """Typed value: bool, int, str, or tuple of str. A key that does not exist has the default.

        key -- canonical spelling
        """
        value = self.values.get(key)
        if value is None:
            value = cold("ocpp16.config_rows").value_of(self, key)
            if value is None:
                return default
            self.values[key] = value
        return value

    def change(self, key, text):
        """ChangeConfiguration: check, store, then use. Returns its status.

        Accepted is durable before it returns; a value that is there already is Accepted without a write. A key with
        `reboot` gets its value at once too: who has such a key reads it once, at the start.
        """
        return cold("ocpp16.config_edit").change(self, key, text)

    def set_internal(self, key, text):
        """Set a value from inside, also of a read-only key, until the next start. False if it does not fit."""
        return cold("ocpp16.config_edit").set_internal(self, key, text)

    def on_change(self, key, callback):
        """Have callback(key, value) called after each change; what it raises is logged and goes no further."""
        self.listeners.append((key, callback))
