"""The version of the charger firmware: its one home. BootNotification tells it, and so does CHANGELOG.md."""

VERSION = "0.1.0"
