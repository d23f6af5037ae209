"""Fixtures that python-on-whales' tests ask for, and its source distribution does not hold."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from python_on_whales import DockerClient
from python_on_whales.utils import PROJECT_ROOT

#: ``htpasswd -Bbn my_user my_password``
_ACCOUNT = "my_user:$2y$05$quBNuWsxxr1isb65MOmQWO9o60oYFo3O96HBmvRJGzyo619KIgG1m\n"
_SAMPLES = (
    *("compose", "containers", "contexts", "images", "manifests", "networks", "nodes", "plugins"),
    *("services", "stats", "system_info", "tasks", "volumes"),
)


def pytest_configure() -> None:
    """The folders of sample answers are there, and empty: the tests list them when they are collected."""
    samples = Path(PROJECT_ROOT, "tests/python_on_whales/components/jsons")
    for kind in _SAMPLES:
        (samples / kind).mkdir(parents=True, exist_ok=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What wants podman is left out."""
    podman = [item for item in items if _wants_podman(item)]
    config.hook.pytest_deselected(items=podman)
    items[:] = [item for item in items if item not in podman]


def _wants_podman(item: pytest.Item) -> bool:
    call = getattr(item, "callspec", None)
    chosen = call.params.get("ctr_client") if call is not None else None
    return chosen == "podman" or "podman_client" in getattr(item, "fixturenames", ())


@pytest.fixture
def docker_client() -> DockerClient:
    """A client of the engine under test."""
    return DockerClient()


@pytest.fixture
def podman_client() -> None:
    """Never made: who asks for it is left out."""


@pytest.fixture
def ctr_client(request: pytest.FixtureRequest, docker_client: DockerClient) -> DockerClient:
    """A client of the engine that the test's parameter names: Docker's."""
    assert request.param == "docker"
    return docker_client


@pytest.fixture
def docker_registry_without_login(docker_client: DockerClient) -> Iterator[str]:
    """The address of a registry that knows one account; nobody is logged in."""
    environ = {
        "REGISTRY_AUTH": "htpasswd",
        "REGISTRY_AUTH_HTPASSWD_REALM": "tests",
        "REGISTRY_AUTH_HTPASSWD_PATH": "/auth/htpasswd",
    }
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "htpasswd").write_text(_ACCOUNT)
        registry = docker_client.run(
            "registry:2", detach=True, publish=[(5000,)], envs=environ, volumes=[(folder, "/auth")]
        )
        with registry:
            lines = docker_client.container.logs(registry, follow=True, stream=True)
            next(line for _, line in lines if b"listening on" in line)
            yield f"localhost:{registry.network_settings.ports['5000/tcp'][0]['HostPort']}"


@pytest.fixture
def docker_registry(
    docker_client: DockerClient, docker_registry_without_login: str
) -> Iterator[str]:
    """The address of a registry that the client is logged in to."""
    docker_client.login(docker_registry_without_login, username="my_user", password="my_password")
    yield docker_registry_without_login
    docker_client.logout(docker_registry_without_login)
