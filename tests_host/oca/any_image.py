"""Runs the real program on MicroPython, but with an installer that takes any image.

    micropython any_image.py [ARGUMENTS OF main.py]

The charger's own installer refuses what it cannot verify. This one keeps the image as DATA/image: that is what the next
start "runs".
"""

import os
import sys

try:
    from typing import Any
except ImportError:
    pass  # MicroPython does not look at annotations

FIRMWARE = __file__.rsplit("/", 3)[0] + "/firmware"


class Installer:
    """See lib/ocpp16/README.md, "Firmware and diagnostics"."""

    def __init__(self, folder: str) -> None:
        self._part, self._image = folder + "/update.part", folder + "/image"
        self._file: Any = None

    def open(self, _size: "int | None") -> None:
        self._file = open(self._part, "wb")  # noqa: SIM115 - it comes in pieces

    def write(self, view: Any) -> None:
        self._file.write(view)

    async def install(self) -> None:
        self._file.close()
        os.rename(self._part, self._image)

    def abort(self) -> None:
        if self._file is not None:
            self._file.close()

    async def outcome(self) -> "bool | None":
        return True if "image" in os.listdir(self._image[: -len("/image")]) else None


def run(arguments: "list[str]") -> int:
    """Start the program; its exit status."""
    sys.path.insert(0, FIRMWARE)
    __import__("main")
    main: Any = sys.modules["main"]
    main.find_rooms()
    __import__("charger.app")
    app_class: Any = sys.modules["charger.app"].App
    files_of = app_class.files

    def files(app: Any) -> Any:
        made = files_of(app)
        made.installer = lambda: Installer(app.hal.data_dir)
        return made

    app_class.files = files
    return int(main.main(arguments))


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
