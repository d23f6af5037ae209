"""Who reaches a pod that has white lists, by what callers of the host and machines beside it get. Real machines."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from tests.support.containers import follow
from tests.support.hyperd import Hyperd, hyperd
from tests.support.networks import (
    fetch,
    hosts_own_address,
    rules,
    says,
    up,
    wait_without,
)
from tests.support.pods import box, make, view

pytestmark = [pytest.mark.vm, pytest.mark.root]

SERVE = (
    "mkdir /w; echo hello >/w/index.html; httpd -h /w; httpd -p 81 -h /w; echo up; exec sleep 6000"
)
LISTS = {
    "InternalNetworks": ["10.206.0.9/32"],
    "ExternalNetworks": ["127.0.0.2/32", "10.206.0.8/32"],
}


@pytest.fixture(scope="module")
def walled(busybox: str) -> Iterator[Hyperd]:
    """A daemon with a pod ``web`` that has the lists, a neighbour ``friend`` in one, and a ``stranger`` in none."""
    with hyperd() as daemon:
        daemon.run("pull", "-q", busybox)
        daemon.run("network", "create", "--subnet", "10.206.0.0/24", "net")
        server = box(busybox, "server", SERVE)
        ports = {"80/tcp": [{"HostPort": ""}]}
        pod = make(daemon, server, Network="net", PortBindings=ports, WhiteLists=LISTS)
        assert pod["WhiteLists"] == LISTS
        follow(daemon, "web-server", "up")
        up(daemon, busybox, "friend", "--network", "net", "--ip", "10.206.0.9")
        up(daemon, busybox, "stranger")
        yield daemon


def answers(source: str, port: int) -> bool:
    """Whether a program of the host that sends from ``source`` gets the page on a port of the loopback."""
    with socket.socket() as stream:
        stream.settimeout(10)
        stream.bind((source, 0))
        try:
            stream.connect(("127.0.0.1", port))
        except ConnectionRefusedError:
            return False
        stream.sendall(b"GET / HTTP/1.0\r\n\r\n")
        return b"200 OK" in stream.recv(4096)


def gets(daemon: Hyperd, name: str, target: str, *, wait_s: int = 30) -> bool:
    """Whether a container gets the page from there."""
    return "hello" in says(daemon, name, f"timeout {wait_s} wget -q -O - http://{target}/")[1]


def served_again(daemon: Hyperd) -> None:
    """Return once the pod's server is up for the second time."""
    with daemon.api.open("/containers/web-server/logs?follow=1&stdout=1") as log:
        for _ in range(2):
            assert b"up" in log.readline()


def published(daemon: Hyperd) -> int:
    """The port of the host that leads to the pod's 80."""
    return int(view(daemon)["Ports"]["80/tcp"][0]["HostPort"])


def check_white_lists(daemon: Hyperd) -> None:
    """A neighbour in the list gets everything, who is in that for outside what is published; others nothing."""
    port, address, mine = published(daemon), view(daemon)["Ip"], hosts_own_address()
    assert answers("127.0.0.2", port)
    assert not answers("127.0.0.1", port)
    assert not answers("127.0.0.9", port)
    with pytest.raises(OSError, match="refused"):
        fetch(address, 80)
    for target in (f"{address}:80", f"{address}:81", f"{mine}:{port}"):
        assert gets(daemon, "friend", target), target
    assert not gets(daemon, "stranger", f"{mine}:{port}", wait_s=3)


def test_white_lists_of_a_running_pod_hold(walled: Hyperd) -> None:
    """Neighbours, callers of the host, and neighbours that come by way of the host's own address."""
    check_white_lists(walled)


def test_white_lists_when_the_daemon_is_killed_hold(walled: Hyperd) -> None:
    """While nobody serves, and after the daemon has found the pod again."""
    port = published(walled)
    walled.kill()
    assert (answers("127.0.0.2", port), answers("127.0.0.1", port)) == (True, False)
    walled.start()
    check_white_lists(walled)


def test_white_lists_when_a_network_is_joined_hold_there(walled: Hyperd) -> None:
    """A network that is joined while the pod runs has the firewall, too."""
    walled.run("network", "connect", "bridge", "web")
    there = walled.api.get("/networks/bridge")["Containers"][view(walled)["Id"]]
    address = there["IPv4Address"].partition("/")[0]
    assert not gets(walled, "stranger", f"{address}:80", wait_s=3)
    port = published(walled)
    assert (answers("127.0.0.2", port), answers("127.0.0.1", port)) == (True, False)
    walled.run("network", "disconnect", "bridge", "web")


def test_white_list_for_outside_lets_a_neighbour_to_published_ports_only(walled: Hyperd) -> None:
    """Who is on the pod's own network and in the list for outside gets no more than callers from outside."""
    walled.run("network", "connect", "--ip", "10.206.0.8", "net", "stranger")
    address = view(walled)["Ip"]
    assert gets(walled, "stranger", f"{address}:80")
    assert not gets(walled, "stranger", f"{address}:81", wait_s=3)
    walled.run("network", "disconnect", "net", "stranger")


def test_white_lists_when_the_pod_starts_again_hold(walled: Hyperd) -> None:
    """The rules go with the pod's end and are there again at its start."""
    walled.api.post("/hyper/v1/pods/web/stop?t=0")
    wait_without(walled, "wall-")
    walled.api.post("/hyper/v1/pods/web/start")
    served_again(walled)
    check_white_lists(walled)


def test_white_lists_when_the_pod_is_removed_leave_nothing(walled: Hyperd) -> None:
    """Its firewall is gone, the rules of the daemon's networks are not. (The last test: the pod is no more.)"""
    assert "bridge hyper_" in rules(walled)
    walled.api.delete("/hyper/v1/pods/web?force=1")
    wait_without(walled, "wall-", "bridge hyper_")
    assert "ip hyper_" in rules(walled)
