"""The device settings as the program has them, for commands. A cold module."""

import sys

from cold import cold

_FILES = ("settings.json", "settings.good.json")


class _Quiet:
    """What is wrong in the files was logged at the start."""

    def warn(self, tag, text):
        """Nothing."""

    error = info = warn


def settings(app):
    """Settings, read anew: presets, secrets and all."""
    return cold("charger.settings").Settings(app.hal.data_dir, _Quiet(), _presets(), _secrets(app))


def secret(app, name):
    """One text setting, by a way that needs little memory; "" if it is not set."""
    secrets = _secrets(app)
    text = secrets.get(name) if secrets is not None else None
    for file in _FILES:
        if text is None:
            try:
                text = cold("charger.files").read_json(app.hal.data_dir + "/" + file).get(name)
                break
            except (OSError, ValueError, AttributeError):
                pass
    if text is None:
        text = _presets().get(name)
    return text if isinstance(text, str) else ""


def factory():
    """Path of the file of presets: as the command line says; a device has none, and a place of its own for it."""
    words = sys.argv[1:]
    for at in range(len(words)):
        name, mark, path = words[at].partition("=")
        if name == "--factory":
            return path if mark else "".join(words[at + 1 : at + 2])
    return "" if words else "/factory.json"


def _presets():
    try:
        presets = cold("charger.files").read_json(factory()).get("settings")
    except (OSError, ValueError, AttributeError):  # it was ignored at the start, too
        return {}
    return presets if isinstance(presets, dict) else {}


def _secrets(app):
    try:
        return app.hal.secrets()
    except AttributeError:  # a computer
        return None
    except OSError:
        return None  # they live in the file, as at the start
