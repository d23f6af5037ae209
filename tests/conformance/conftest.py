"""The engine that the command lines are compared on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.dockerd import Engine, dockerd, why_not


@pytest.fixture(scope="session", params=["dockerd", "hyperd"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """A serving engine with a busybox image: every test runs against Docker's and against ours."""
    if request.param == "hyperd":
        daemon = request.getfixturevalue("shared_daemon")
        yield Engine(daemon.host, request.getfixturevalue("busybox"), is_hyper=True)
        return
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    with dockerd() as started:
        yield started


@pytest.fixture(scope="session", params=["dockerd", "hyperd"])
def full_engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """As ``engine``, with networks: Docker's has a network namespace of its own, and cannot reach a registry."""
    if request.param == "hyperd":
        daemon = request.getfixturevalue("shared_daemon")
        yield Engine(daemon.host, request.getfixturevalue("busybox"), is_hyper=True)
        return
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    with dockerd(bridge=True) as started:
        yield started
