"""The runner of all tests: no failure of either half is lost."""

from __future__ import annotations

import pytest

from tools import run_tests


@pytest.mark.parametrize(
    ("statuses", "status"),
    [([0, 0], 0), ([0, 1], 1), ([1, 0], 1), ([2, 1], 2), ([5, 0], 0), ([0, 5], 0), ([5, 1], 1), ([5, 5], 5)],
)
def test_verdict(statuses: list[int], status: int) -> None:
    assert run_tests.verdict(statuses) == status


def test_the_halves_are_all_of_it() -> None:
    """What one half leaves out is what the other runs."""
    for path in run_tests.WAITING:
        assert (run_tests.ROOT / path).is_dir()
