"""Testcontainers for Python (PyPI): what test suites of other projects do with an engine."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator

import pytest
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer
from testcontainers.core.network import Network
from testcontainers.core.wait_strategies import LogMessageWaitStrategy

from tests.support.hyperd import Hyperd

pytestmark = [pytest.mark.vm, pytest.mark.root]

#: Without -f, httpd goes to the background once it listens: "ready" is true then.
_SERVE = "mkdir /www; echo hello > /www/index.html; httpd -p 80 -h /www; echo ready; exec sleep 600"


@pytest.fixture
def network(daemon: Hyperd, monkeypatch: pytest.MonkeyPatch) -> Iterator[Network]:
    monkeypatch.setenv("DOCKER_HOST", daemon.host)
    # Its reaper is an image of Docker Hub, out of reach here: what it would clear away, `with` does.
    monkeypatch.setattr(testcontainers_config, "ryuk_disabled", True)
    with Network() as made:
        yield made


def test_a_service_and_its_user(network: Network, busybox: str) -> None:
    """It waits for a line of the log, finds the published port, executes, and a second container knows the alias."""
    service = DockerContainer(busybox).with_command(["sh", "-c", _SERVE]).with_exposed_ports(80)
    service.with_network(network).with_network_aliases("web")
    service.waiting_for(LogMessageWaitStrategy("ready"))
    with service:
        address = f"{service.get_container_host_ip()}:{service.get_exposed_port(80)}"
        with urllib.request.urlopen(f"http://{address}/", timeout=60) as answer:
            assert answer.read() == b"hello\n"
        done = service.exec(["cat", "/www/index.html"])
        assert (done.exit_code, done.output) == (0, b"hello\n")
        user = DockerContainer(busybox).with_network(network).with_command("wget -qO- http://web/")
        with user:
            assert user.get_wrapped_container().wait() == {"StatusCode": 0}
            assert user.get_logs() == (b"hello\n", b"")
