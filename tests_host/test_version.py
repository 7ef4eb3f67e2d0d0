"""The version has one home; whoever shows it shows that one."""

from __future__ import annotations

import re
from pathlib import Path

from tests_host.conftest import ROOT
from tests_host.system.rig import Rig, system_test


def version() -> str:
    text = (ROOT / "firmware" / "charger" / "version.py").read_text(encoding="utf-8")
    found = re.search(r'^VERSION = "(\d+\.\d+\.\d+)"$', text, re.MULTILINE)
    assert found
    return found[1]


def test_changelog_starts_with_it() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    entry = re.search(r"^## (\S+)", text, re.MULTILINE)
    assert entry and entry[1] == version()


@system_test
async def test_boot_notification_shows_it(tmp_path: Path) -> None:
    async with Rig(tmp_path) as rig:
        boot = await rig.wait_call("BootNotification")
        assert boot.payload["firmwareVersion"] == version()
