"""The version of the charger firmware: its one home. BootNotification tells it; CHANGELOG.md's newest entry has it too."""

VERSION = "0.1.0"
