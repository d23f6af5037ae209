"""The engine that a suite runs against: hyperd, or dockerd to compare with, and a registry that is its Docker Hub."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tools.imagebuilder import Image

from tests.support.api import Api
from tests.support.dockerd import dockerd
from tests.support.hyperd import hyperd, served_tcp
from tests.support.registry import registry


@dataclass(frozen=True)
class Served:
    """A serving engine: DOCKER_HOST, and the same over TCP (empty for dockerd)."""

    host: str
    tcp: str

    def clear(self) -> None:
        """No container, network or volume of one test file is there for the next."""
        api = Api(Path(self.host.removeprefix("unix://")))
        for item in api.get("/containers/json?all=1"):
            api.delete(f"/containers/{item['Id']}?force=1&v=1")
        for kind in ("networks", "volumes"):
            api.raw("POST", f"/{kind}/prune", b"")


@contextmanager
def engine(kind: str, images: Mapping[str, Image]) -> Iterator[Served]:
    """``hyperd`` or ``dockerd``, which pulls ``images`` by the names they have on Docker Hub."""
    with registry() as hub:
        for name, image in images.items():
            hub.push(image, name)
        mirror = f"--registry-mirror=http://{hub.host}"
        if kind == "dockerd":
            with dockerd(mirror, bridge=True, namespace=False) as theirs:
                yield Served(theirs.host, "")
        else:
            with hyperd(mirror, "-H", "tcp://127.0.0.1:0") as daemon:
                yield Served(daemon.host, served_tcp(daemon))
