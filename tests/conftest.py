"""What all tests share: registry, daemon, and the check that a run leaves the machine as it was."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from tools import imagebuilder

from tests.support.dockerd import Engine, dockerd, why_not
from tests.support.hygiene import snapshot
from tests.support.hyperd import Hyperd, hyperd
from tests.support.programs import add_unpacked_programs
from tests.support.registry import RealRegistry, registry
from tests.support.traces import TRACES, TracesPlugin


def pytest_addoption(parser: pytest.Parser) -> None:
    """Tests of endurance last as long as is asked for."""
    parser.addoption("--soak-s", type=float, default=300.0, help="seconds of load (-m soak)")
    parser.addoption("--workloads-table", help="file whose table of workloads is written anew")


def pytest_configure(config: pytest.Config) -> None:
    """Tests find what was unpacked for them, and keep traces if they fail.

    Hypothesis tries the same in each run, however busy the machine is.
    """
    config.pluginmanager.register(TracesPlugin(TRACES), "traces")
    add_unpacked_programs()
    # 200 ms an example are soon over where two tests share a core.
    settings.register_profile(
        "hyper", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
    )
    settings.load_profile("hyper")


@pytest.fixture(scope="session", autouse=True)
def machine_as_it_was() -> Iterator[None]:
    """No process, mount, link, table, cgroup or listener outlives the run."""
    before = snapshot()
    yield
    assert before.differences(snapshot()) == []


@pytest.fixture(scope="session")
def real_registry() -> Iterator[RealRegistry]:
    """Debian's docker-registry, empty at first."""
    with registry() as running:
        yield running


@pytest.fixture(scope="session")
def busybox(real_registry: RealRegistry) -> str:
    """The full reference of a busybox image in the registry."""
    return real_registry.push(imagebuilder.busybox(), "busybox:latest")


@pytest.fixture(scope="session")
def shared_daemon(busybox: str) -> Iterator[Hyperd]:
    """One daemon for all tests that do not harm it; it has the busybox image."""
    with hyperd() as daemon:
        daemon.run("pull", "-q", busybox)
        yield daemon


@pytest.fixture(scope="module")
def docker_engine() -> Iterator[Engine]:
    """A dockerd of the module's own."""
    if (reason := why_not()) is not None:
        pytest.skip(reason)
    with dockerd() as started:
        yield started


@pytest.fixture
def daemon(shared_daemon: Hyperd) -> Iterator[Hyperd]:
    """The shared daemon; after the test it has no container."""
    yield shared_daemon
    shared_daemon.clear()


@pytest.fixture
def own_daemon(busybox: str) -> Iterator[Hyperd]:
    """A daemon that the test may kill and start again; it has the busybox image."""
    with hyperd() as started:
        started.run("pull", "-q", busybox)
        yield started
