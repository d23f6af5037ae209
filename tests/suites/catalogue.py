"""All suites, in the order in which ``make conformance`` runs them."""

from __future__ import annotations

from tools.imagebuilder import Image

from tests.suites import images
from tests.suites.suite import NodeSuite, PytestSuite, Suite

#: The reaper of Testcontainers is an image of Docker Hub that mounts the engine's socket.
_NO_REAPER = {"TESTCONTAINERS_RYUK_DISABLED": "true"}
#: Its containers are reached by ports of this host, wherever the tests themselves may run.
_PUBLISHED_HERE = {
    "TESTCONTAINERS_CONNECTION_MODE": "docker_host",
    "TESTCONTAINERS_HOST_OVERRIDE": "localhost",
}


def _aiodocker_images() -> dict[str, Image]:
    names = ("alpine:3.18", "alpine:latest", "busybox:latest", "hello-world:latest")
    return {
        **images.busyboxes(*names),
        "library/python:3.13-alpine": images.python("3.13"),
        "library/python:3.14-alpine": images.python("3.14"),
        "library/registry:2": images.registry(),
    }


def _whales_images() -> dict[str, Image]:
    tags = ("latest", "1", "1.26", "1.27.1", "1.32")
    return {
        **images.busyboxes("alpine:latest", *(f"busybox:{tag}" for tag in tags)),
        "library/hello-world:latest": images.hello_world(),
        "library/postgres:9.6.20-alpine": images.postgres(),
        "library/registry:2": images.registry(),
        "library/ubuntu:latest": images.ubuntu(),
    }


SUITES: tuple[Suite, ...] = (
    PytestSuite(
        "dockerpy",
        lambda: images.busyboxes(
            "alpine:3.10", "alpine:latest", "busybox:latest", "hello-world:latest"
        ),
        folder="tests/integration",
        pattern="*_test.py",
        # The client cannot open a websocket on a unix socket.
        over_tcp=frozenset(
            {"api_container_test::AttachContainerTest::test_run_container_reading_socket_ws"}
        ),
    ),
    PytestSuite(
        "aiodocker",
        _aiodocker_images,
        folder="tests",
        # A registry's port is published: without TLS that is for this host alone.
        environ={**_NO_REAPER, **_PUBLISHED_HERE},
        test_timeout_s=120,
    ),
    PytestSuite(
        "whales", _whales_images, folder="tests/python_on_whales", newest=True, test_timeout_s=120
    ),
    PytestSuite(
        "compose",
        lambda: images.busyboxes("busybox:latest"),
        pattern="*_check.py",
        newest=True,
        test_timeout_s=300,
    ),
    NodeSuite(
        "node",
        lambda: images.busyboxes("busybox:latest"),
        environ=_NO_REAPER,
        newest=True,
        test_timeout_s=120,
    ),
)
BY_NAME = {suite.name: suite for suite in SUITES}
