"""A pod of real programs, nginx, an application in Python and Redis: they share 127.0.0.1 and a volume."""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from tools import application_images

from tests.support.containers import inspect, until
from tests.support.hyperd import Hyperd
from tests.support.pods import nothing_is_left
from tests.support.registry import RealRegistry

pytestmark = pytest.mark.vm

_ALWAYS = {"RestartPolicy": {"Name": "always"}}
_CLIENTS = 4


@pytest.fixture(scope="module")
def images(shared_daemon: Hyperd, real_registry: RealRegistry, busybox: str) -> dict[str, str]:
    """The references of the application's images, which the daemon has."""
    found = {"busybox": busybox}
    for name in ("front", "application", "store"):
        image = getattr(application_images, name)()
        found[name] = real_registry.push(image, f"pod-{name}:latest")
        shared_daemon.run("pull", "-q", found[name])
    return found


def container(name: str, image: str, **body: Any) -> dict[str, Any]:
    """One that comes back when it ends."""
    mounts = [{"Volume": "shared", "Target": "/shared"}]
    return {"Name": name, "Body": {"Image": image, "HostConfig": _ALWAYS, **body}, "Mounts": mounts}


def application(images: dict[str, str]) -> dict[str, Any]:
    """The pod. Its parts know each other by names that all lead to 127.0.0.1."""
    probe = {"Test": ["HYPER-HTTP", "http://127.0.0.1/health"], "Interval": 10**9}
    serve = (
        "test -e /shared/prepared && exec redis-server --dir /shared --save '' --protected-mode no"
    )
    prepare = {"Image": images["busybox"], "Cmd": ["touch", "/shared/prepared"]}
    mounts = [{"Volume": "shared", "Target": "/shared"}]
    return {
        "Name": "shop",
        "Memory": 256 << 20,
        "ExtraHosts": ["app:127.0.0.1", "store:127.0.0.1"],
        "PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1"}]},
        "Volumes": [{"Name": "shared"}],
        "Init": [{"Name": "prepare", "Body": prepare, "Mounts": mounts}],
        "Containers": [
            container("front", images["front"], Healthcheck=probe),
            container("app", images["application"]),
            container("store", images["store"], Entrypoint=["sh", "-c", serve]),
        ],
    }


class Load:
    """Clients that ask one after the other until they are told to stop."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.stop = threading.Event()
        self._answered = 0
        self._changed = threading.Condition()

    def _ask(self) -> bool:
        """Whether there was an answer as it should be."""
        try:
            with urllib.request.urlopen(self.url, timeout=20) as answer:
                return bool(answer.read().startswith(b"visit "))
        except (OSError, urllib.error.URLError):
            return False

    def client(self) -> None:
        """Asks for as long as it may."""
        while not self.stop.is_set():
            if self._ask():
                with self._changed:
                    self._answered += 1
                    self._changed.notify_all()

    def answers(self, more: int) -> None:
        """So many more answers have come. Raises: AssertionError: not within a minute."""
        with self._changed:
            wanted = self._answered + more
            assert self._changed.wait_for(lambda: self._answered >= wanted, 60)


@contextmanager
def under_load(url: str) -> Iterator[Load]:
    """Clients ask ``url`` while the block lasts."""
    load = Load(url)
    with ThreadPoolExecutor(_CLIENTS) as clients:
        asking = [clients.submit(load.client) for _ in range(_CLIENTS)]
        try:
            yield load
        finally:
            load.stop.set()
        for one in asking:
            one.result()


def test_pod_under_load_when_one_container_is_killed_goes_on_answering(
    daemon: Hyperd, images: dict[str, str]
) -> None:
    """Redis dies and only it is started again; clients get answers before and after, the others ran all the time."""
    daemon.api.post("/hyper/v1/pods", application(images))
    daemon.api.post("/hyper/v1/pods/shop/start")
    daemon.api.get("/hyper/v1/pods/shop/wait?condition=ready")
    pod = daemon.api.get("/hyper/v1/pods/shop")
    assert [item["Status"] for item in pod["Containers"]] == ["exited", *["running"] * 3]
    url = f"http://127.0.0.1:{pod['Ports']['80/tcp'][0]['HostPort']}/"
    machine = inspect(daemon, "shop-front")["Hyper"]["Pid"]
    events = daemon.api.lines("/events")
    with under_load(url) as load:
        load.answers(10)
        # As nobody who could want it to stay down: from within (and the exec may die with it).
        daemon.docker("exec", "shop-store", "redis-cli", "shutdown", "nosave")
        until(events, "die", "shop-store")
        until(events, "start", "shop-store")
        load.answers(10)
    events.close()
    restarts = {
        item["Name"]: item["Restarts"]
        for item in daemon.api.get("/hyper/v1/pods/shop")["Containers"]
    }
    assert restarts == {"prepare": 0, "front": 0, "app": 0, "store": 1}
    assert inspect(daemon, "shop-front")["Hyper"]["Pid"] == machine
    daemon.api.delete("/hyper/v1/pods/shop?force=1")
    nothing_is_left(daemon)
