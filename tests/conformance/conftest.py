"""The engines that the command lines are compared on, and the command lines."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.command import DOCKER, HYPER, Run, call
from tests.support.dockerd import Engine, dockerd, why_not


@pytest.fixture(scope="session", params=["dockerd", "hyperd"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """A serving engine with a busybox image: every test runs against Docker's and against ours."""
    yield from _serving(request, bridge=False)


@pytest.fixture(scope="session", params=["dockerd", "hyperd"])
def full_engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """As ``engine``, with networks: Docker's has a network namespace of its own, and cannot reach a registry."""
    yield from _serving(request, bridge=True)


def _serving(request: pytest.FixtureRequest, *, bridge: bool) -> Iterator[Engine]:
    if request.param == "hyperd":
        daemon = request.getfixturevalue("shared_daemon")
        yield Engine(daemon.host, request.getfixturevalue("busybox"), is_hyper=True)
        return
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    with dockerd(bridge=bridge) as started:
        yield started


@pytest.fixture
def hyper(engine: Engine) -> Run:
    """``hyper WORDS`` on the engine."""
    return lambda *words, **more: call(engine, HYPER, *words, **more)


@pytest.fixture
def docker(engine: Engine) -> Run:
    """``docker WORDS`` on the engine."""
    return lambda *words, **more: call(engine, DOCKER, *words, **more)
