"""The safety case names its tests: each of them must exist."""

import re
from pathlib import Path

import pytest

from tests_host.conftest import ROOT

_CASE = ROOT / "firmware" / "charger" / "README.md"
_SYSTEM = ROOT / "tests_host" / "system"
_UNIT = ROOT / "tests_host" / "unit"


def _rows() -> list[tuple[str, str]]:
    """(hazard, its tests) of every row of the table."""
    text = _CASE.read_text(encoding="utf-8").partition("## Safety case")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    return [(row[0], row[4]) for row in rows[2:]]


def _exists(where: str, name: str) -> bool:
    if where == "bench":
        return (ROOT / name).is_file()
    files: list[Path] = sorted(_UNIT.glob("*.py")) if where == "unit" else [_SYSTEM / f"test_safety_{where}.py"]
    function = name.replace("-", "_")
    patterns = (f'"{name}"', f"def {function}(", f"def test_{function}(")
    parts = rf'"({name.partition("-")[0]})".*"{name.partition("-")[2]}"'  # option("module", "silent", ...)
    return any(
        path.is_file() and (any(p in text for p in patterns) or re.search(parts, text) is not None)
        for path in files
        for text in [path.read_text(encoding="utf-8")]
    )


def test_there_is_a_table() -> None:
    assert len(_rows()) > 20


@pytest.mark.parametrize(("hazard", "tests"), _rows(), ids=lambda value: str(value)[:40])
def test_every_hazard_has_its_test(hazard: str, tests: str) -> None:
    named = [part.partition(":") for part in tests.split(";")]
    assert named, f"{hazard} has no test"
    for where, _, names in named:
        for name in names.split(","):
            assert _exists(where.strip(), name.strip()), f"{hazard}: there is no {name.strip()} in {where.strip()}"
