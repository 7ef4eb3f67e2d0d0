"""Device settings: one schema, used by the console, the provisioning file and the code.

Stored values win over factory presets, presets over defaults. What is damaged in a file is
left out value by value, counted in `ignored` and logged; it never stops the start.
The values take effect at the start, so nobody keeps a Settings while the charger runs: a cold module, as is the
schema in settings_table, with everything that is needed rarely.
"""

from cold import cold

_TABLE = "charger.settings_table"


class Settings:
    """The values, by name.

    folder -- where they are stored; None: nowhere
    presets -- dict of factory values (name -> value); wrong ones are ignored
    secrets -- where secret ones live: get(name) -> text or None, put(name, text or None); None: in the file
    ignored -- how many damaged, unknown or contradictory values were left out
    """

    def __init__(self, folder, log, presets=None, secrets=None):
        self.folder = folder
        self.secrets = secrets
        self.log = log
        self.ignored = 0
        self.values = {}  # in use
        self.preset = {}
        self.stored = {}
        cold(_TABLE).load(self, presets)

    def __repr__(self):
        return "<Settings: %d stored, %d preset>" % (len(self.stored), len(self.preset))

    def get(self, name):
        """Value in use. KeyError: no such setting."""
        return self.values[name]

    def source(self, name):
        """Where the value comes from: "stored", "factory" or "default"."""
        return "stored" if name in self.stored else "factory" if name in self.preset else "default"

    def set(self, name, value):
        """Check a value (or its text) and store it, durably. Returns True if a restart is needed.

        KeyError: no such setting. ValueError: the sentence says what is wrong. OSError: not
        stored; the old value stays.
        """
        return cold(_TABLE).change(self, name, value)

    def reset(self, name):
        """Back to the factory value. KeyError, ValueError and OSError as `set`."""
        cold(_TABLE).change(self, name, None, True)

    def export(self):
        """All values that may be shown: list of (name, value, source); a secret is "(set)" or ""."""
        return cold(_TABLE).export(self)
