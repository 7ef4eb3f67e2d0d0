"""The runner that all OCA test cases of a pytest run share."""

from collections.abc import Iterator

import pytest

from tests_host.oca.runner import Runner


@pytest.fixture(scope="session")
def runner(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    """Starts every selected case; see runner.py."""
    functions = [getattr(item, "obj", None) for item in request.session.items]
    cases = [case for case in (getattr(function, "case", None) for function in functions) if case is not None]
    with Runner(cases, tmp_path_factory.mktemp("oca")) as started:
        yield started
