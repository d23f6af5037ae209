"""The engine that the command lines are compared on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.dockerd import Engine, dockerd, why_not


@pytest.fixture(scope="session", params=["dockerd"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """A serving engine with a busybox image. Add a kind of engine here and every test runs against it."""
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    with dockerd() as started:
        yield started
