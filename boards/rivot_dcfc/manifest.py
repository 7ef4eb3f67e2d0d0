"""What MicroPython's makemanifest freezes into the firmware image of this board; see boards/README.md."""

import sys

sys.path.insert(0, "../..")  # makemanifest reads this file in its own folder

from tools.frozen import freeze_board

freeze_board("rivot_dcfc", include, freeze)
