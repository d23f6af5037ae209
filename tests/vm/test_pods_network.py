"""Who reaches a pod, and services it finds: white lists and services, with real machines and callers of the host."""

from __future__ import annotations

import socket
import subprocess
import time
from typing import Any

import pytest

from tests.support.api import ApiError
from tests.support.containers import follow
from tests.support.hyperd import Hyperd
from tests.support.networks import address_of, fetch, hosts_own_address, says, up
from tests.support.pods import box, make, view

pytestmark = [pytest.mark.vm, pytest.mark.root]

SERVE = (
    "mkdir /w; echo hello >/w/index.html; httpd -h /w; httpd -p 81 -h /w; echo up; exec sleep 6000"
)


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


def rules(daemon: Hyperd) -> str:
    """All tables of the daemon."""
    own = f"hyper_{daemon.api.get('/info')['ID'][:12]}"
    listed = subprocess.run(["nft", "list", "ruleset"], check=True, capture_output=True, text=True)
    tables = listed.stdout.split("\ntable ")
    return "\n".join(table for table in tables if own in table)


def wait_without(daemon: Hyperd, *words: str) -> None:
    """Return once no rule has any of ``words``: rules go a moment after who had them, in the background."""
    until = time.monotonic() + 20
    while any(word in rules(daemon) for word in words):
        assert time.monotonic() < until, rules(daemon)


def served_again(daemon: Hyperd) -> None:
    """Return once the pod's server is up for the second time."""
    with daemon.api.open("/containers/web-server/logs?follow=1&stdout=1") as log:
        for _ in range(2):
            assert b"up" in log.readline()


def published(daemon: Hyperd) -> int:
    return int(view(daemon)["Ports"]["80/tcp"][0]["HostPort"])


def refused(daemon: Hyperd, **body: Any) -> tuple[int, str]:
    with pytest.raises(ApiError) as error:
        daemon.api.post("/hyper/v1/pods", {"Name": "web", "Containers": [], **body})
    return error.value.status, error.value.message


def test_white_lists(own_daemon: Hyperd, busybox: str) -> None:
    """A neighbour in the list gets everything, who is in that for outside what is published, on the host as well;
    others nothing. While the daemon is killed, after it, and when the pod starts again. Nothing is left of it."""
    daemon, mine = own_daemon, hosts_own_address()
    daemon.run("network", "create", "--subnet", "10.206.0.0/24", "net")
    lists = {
        "InternalNetworks": ["10.206.0.9/32"],
        "ExternalNetworks": ["127.0.0.2/32", "10.206.0.8/32"],
    }
    server = box(busybox, "server", SERVE)
    ports = {"80/tcp": [{"HostPort": ""}]}
    pod = make(daemon, server, Network="net", PortBindings=ports, WhiteLists=lists)
    assert pod["WhiteLists"] == lists
    follow(daemon, "web-server", "up")
    up(daemon, busybox, "friend", "--network", "net", "--ip", "10.206.0.9")
    up(daemon, busybox, "stranger")

    def check() -> None:
        port, address = published(daemon), view(daemon)["Ip"]
        assert answers("127.0.0.2", port)
        assert not answers("127.0.0.1", port)
        assert not answers("127.0.0.9", port)
        with pytest.raises(OSError, match="refused"):
            fetch(address, 80)
        for target in (f"{address}:80", f"{address}:81", f"{mine}:{port}"):
            assert gets(daemon, "friend", target), target
        assert not gets(daemon, "stranger", f"{mine}:{port}", wait_s=3)

    check()
    port = published(daemon)
    daemon.kill()
    assert (answers("127.0.0.2", port), answers("127.0.0.1", port)) == (True, False)
    daemon.start()
    check()
    # A network that is joined while it runs has the wall, too.
    daemon.run("network", "connect", "bridge", "web")
    assert not gets(daemon, "stranger", f"{address_of(daemon, 'web', 'bridge')}:80", wait_s=3)
    port = published(daemon)
    assert (answers("127.0.0.2", port), answers("127.0.0.1", port)) == (True, False)
    daemon.run("network", "disconnect", "bridge", "web")
    # On the pod's own network, in the list for outside.
    daemon.run("network", "connect", "--ip", "10.206.0.8", "net", "stranger")
    address = view(daemon)["Ip"]
    assert gets(daemon, "stranger", f"{address}:80")
    assert not gets(daemon, "stranger", f"{address}:81", wait_s=3)
    daemon.run("network", "disconnect", "net", "stranger")
    daemon.api.post("/hyper/v1/pods/web/stop?t=0")
    wait_without(daemon, "wall-")
    daemon.api.post("/hyper/v1/pods/web/start")
    served_again(daemon)
    check()
    assert "bridge hyper_" in rules(daemon)
    daemon.api.delete("/hyper/v1/pods/web?force=1")
    wait_without(daemon, "wall-", "bridge hyper_")
    assert "ip hyper_" in rules(daemon)


def test_hostile_bodies(daemon: Hyperd, busybox: str) -> None:
    """What is no network or address is refused where it is said, and nothing of it is made."""
    pod = {"Containers": [box(busybox, "one", "true")]}
    for text in ('fe80::%" ; flush ruleset; #/128', "0.0.0.0/0 }\nflush ruleset", "10.0.0.1/8", ""):
        status, words = refused(daemon, **pod, WhiteLists={"ExternalNetworks": [text]})
        assert (status, words.startswith("WhiteLists.ExternalNetworks: ")) == (400, True), text
    hostile = {"Ip": "10.254.0.1", "Port": 80, "Hosts": [{"Ip": "10.0.0.1 }; drop", "Port": 80}]}
    assert refused(daemon, **pod, Services=[hostile])[0] == 400
    many = {"InternalNetworks": ["10.0.0.0/8"] * 257}
    assert refused(daemon, **pod, WhiteLists=many)[0] == 400
    assert daemon.api.get("/hyper/v1/pods") == []


def test_services(own_daemon: Hyperd, busybox: str) -> None:
    """Each new connection goes to the next host; nobody but the pod finds them. Also after the daemon was killed,
    and when the pod starts again. Nothing is left of them."""
    daemon = own_daemon
    daemon.run("network", "create", "--subnet", "10.207.0.0/24", "net")
    for number in (8, 9):
        script = (
            f"mkdir /w; echo {number} >/w/index.html; httpd -h /w; echo serving; exec sleep 6000"
        )
        daemon.run(
            *("run", "-d", "--name", f"host{number}", "--network", "net"),
            *("--ip", f"10.207.0.{number}", busybox, "sh", "-c", script),
        )
        follow(daemon, f"host{number}", "serving")
    hosts = [{"Ip": f"10.207.0.{number}", "Port": 80} for number in (8, 9)]
    services = [{"Ip": "10.254.0.1", "Port": 8080, "Protocol": "tcp", "Hosts": hosts}]
    pod = make(daemon, box(busybox, "one", "sleep 6000"), Network="net", Services=services)
    assert pod["Services"] == services

    ask = "for n in 1 2 3 4; do timeout 30 wget -q -O - http://10.254.0.1:8080/; done"

    def check() -> None:
        code, text = says(daemon, "web-one", ask)
        assert (code, sorted(text.split())) == (0, ["8", "8", "9", "9"])
        assert text.split()[0] != text.split()[1]
        assert says(daemon, "host8", "timeout 2 wget -q -O - http://10.254.0.1:8080/")[0] != 0

    check()
    daemon.kill()
    daemon.start()
    check()
    daemon.api.post("/hyper/v1/pods/web/stop?t=0")
    wait_without(daemon, "service-", "10.254.0.1")
    daemon.api.post("/hyper/v1/pods/web/start")
    check()
    daemon.api.delete("/hyper/v1/pods/web?force=1")
    wait_without(daemon, "service-", "10.254.0.1")
    # On a network that has the address it would never come by the host.
    services[0]["Ip"] = "10.207.0.77"
    make(daemon, box(busybox, "one", "true"), start=False, Network="net", Services=services)
    with pytest.raises(ApiError, match="which the pod is on") as error:
        daemon.api.post("/hyper/v1/pods/web/start")
    assert error.value.status == 409
