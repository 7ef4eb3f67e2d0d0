"""Fixtures of the system tests."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests_host.system.rig import Rig


@pytest.fixture
def make_rig(tmp_path: Path) -> Callable[..., Rig]:
    """`async with make_rig(settings=...) as rig:`, see rig.py."""

    def make(**kwargs: Any) -> Rig:
        return Rig(tmp_path, **kwargs)

    return make
