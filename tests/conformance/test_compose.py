"""An application of four services through Debian's docker-compose: nginx, a web application in Python, Redis."""

from __future__ import annotations

import os
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from tools import application_images, demo_image

from tests.support.containers import follow
from tests.support.hyperd import Hyperd, hyperd
from tests.support.registry import RealRegistry

pytestmark = [pytest.mark.vm, pytest.mark.root]

_DEBIAN = demo_image.UNPACKED
_COMPOSE = "import sys; from compose.cli.main import main; sys.exit(main())"
_TIMEOUT_S = 300

FILE = """\
version: "2.4"
services:
  web:
    image: {registry}/front
    ports: ["127.0.0.1::80"]
    networks: [front]
    depends_on:
      app: {{condition: service_healthy}}
  app:
    image: {registry}/application
    networks: [front, back]
    depends_on:
      store: {{condition: service_healthy}}
    healthcheck:
      test: ["CMD", "wget", "-q", "-O-", "http://127.0.0.1:8000/health"]
      interval: 1s
      timeout: 20s
      retries: 120
  store:
    image: {registry}/store
    networks: [back]
    volumes: ["data:/data"]
    healthcheck:
      test: ["CMD", "redis-cli", "ping"]
      interval: 1s
      timeout: 20s
      retries: 120
  keeper:
    image: {registry}/store
    entrypoint: ["sh", "-c", "echo kept > /data/mark; exec sleep 6000"]
    network_mode: none
    volumes: ["data:/data"]
    depends_on: [store]
networks:
  front: {{}}
  back: {{}}
volumes:
  data: {{}}
"""


class Project:
    """A Compose project in a folder of its own."""

    def __init__(self, folder: Path, daemon: Hyperd) -> None:
        self.folder = folder
        self.daemon = daemon

    def __call__(self, *words: str) -> str:
        """What ``docker-compose WORDS`` printed. Raises: AssertionError if it failed."""
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "PYTHONPATH": str(_DEBIAN / "usr/lib/python3/dist-packages"),
            "DOCKER_HOST": self.daemon.host,
            "COMPOSE_HTTP_TIMEOUT": str(_TIMEOUT_S),
            "LC_ALL": "C.UTF-8",
        }
        done = subprocess.run(
            ["/usr/bin/python3", "-c", _COMPOSE, "--ansi=never", *words],
            cwd=self.folder, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=_TIMEOUT_S, env=environ,
        )  # fmt: skip
        assert done.returncode == 0, f"{words}: {done.stderr[-2000:]}"
        return done.stdout

    def up(self) -> None:
        """All run, and nginx serves: ``up`` waits only for what another service depends on."""
        self("up", "-d")
        follow(self.daemon, self("ps", "-q", "web").strip(), "start worker process")

    def page(self) -> str:
        """What a visitor gets to see."""
        address = self("port", "web", "80").strip()
        with urllib.request.urlopen(f"http://{address}/", timeout=60) as answer:
            text: str = answer.read().decode()
        return text


@pytest.fixture
def project(real_registry: RealRegistry, tmp_path: Path) -> Iterator[Project]:
    for name in ("front", "application", "store"):
        real_registry.push(getattr(application_images, name)(), f"{name}:latest")
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "docker-compose.yml").write_text(FILE.format(registry=real_registry.host))
    with hyperd() as daemon:
        made = Project(folder, daemon)
        yield made
        made("down", "-v", "-t", "1")


def test_a_shop(project: Project) -> None:
    """up waits for health, services share a volume, names resolve per network, exec and logs work.

    Data outlives ``down``, not ``down -v``.
    """
    project.up()
    listed = project("ps")
    assert listed.count("Up") == 4
    assert listed.count("(healthy)") == 2
    assert project.page() == "visit 1"
    assert project.page() == "visit 2"
    assert project("exec", "-T", "store", "redis-cli", "get", "visits").strip() == "2"
    # A service that came while another had the volume.
    assert project("exec", "-T", "store", "cat", "/data/mark").strip() == "kept"
    assert "application: serving" in project("logs", "app")
    # nginx shares no network with Redis: it has neither its name nor a way.
    with pytest.raises(AssertionError):
        project("exec", "-T", "web", "nc", "-w", "3", "store", "6379")
    project("down", "-t", "5")
    api = project.daemon.api
    assert api.get("/containers/json?all=1") == []
    assert [item["Name"] for item in api.get("/volumes")["Volumes"]] == ["shop_data"]
    project.up()
    assert project.page() == "visit 3"
    project("down", "-v", "-t", "1")
    assert not api.get("/volumes")["Volumes"]
    assert not [item for item in api.get("/networks") if item["Name"].startswith("shop_")]
