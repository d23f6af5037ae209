"""hyperd as an ordinary user: no root, no group, user networking only."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.api import ApiError
from tests.support.containers import SERVE, create, follow, port_of
from tests.support.hyperd import Hyperd, hyperd
from tests.support.networks import fetch_page

pytestmark = [
    pytest.mark.vm,
    pytest.mark.skipif(os.geteuid() != 0, reason="run by root, who alone can become somebody else"),
]
#: Nobody on this machine.
USER = 54321


@pytest.fixture(scope="module")
def daemon(busybox: str) -> Iterator[Hyperd]:
    """A daemon of an ordinary user, with the busybox image."""
    with hyperd(user=USER) as started:
        started.run("pull", "-q", busybox)
        yield started


def test_run_exec_and_a_published_port_work(daemon: Hyperd, busybox: str) -> None:
    """The same as root's daemon: output, exit code, exec, a page on a port."""
    assert daemon.run("run", "--rm", busybox, "id", "-u") == b"0\n"
    assert daemon.docker("run", "--rm", busybox, "sh", "-c", "exit 4").returncode == 4
    daemon.run("run", "-d", "--name", "web", "-p", "127.0.0.1::80", busybox, "sh", "-c", SERVE)
    follow(daemon, "web", "up")
    assert fetch_page(port_of(daemon, "web", "80")) == "hello\n"
    assert daemon.run("exec", "web", "cat", "/w/index.html") == b"hello\n"
    daemon.run("rm", "-f", "web")


def test_the_machine_runs_as_the_user_with_no_new_privileges(daemon: Hyperd, busybox: str) -> None:
    """Uid, capabilities and seccomp of the hypervisor as the kernel tells them."""
    daemon.run("run", "-d", "--name", "box", busybox, "sleep", "600")
    pid = daemon.api.get("/containers/box/json")["Hyper"]["Pid"]
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    assert status["Uid"].split() == [str(USER)] * 4
    assert status["CapEff"].strip("0") == ""
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    daemon.run("rm", "-f", "box")


@pytest.mark.parametrize(
    "missing",
    ["CPU limits", "ports below", "host's loopback, at 10.0.2.2", "other owners", "by name"],
)
def test_info_of_a_users_daemon_warns_of_what_is_missing(daemon: Hyperd, missing: str) -> None:
    """info warns, in plain words."""
    [warning] = [text for text in daemon.api.get("/info")["Warnings"] if missing in text]
    assert warning.startswith("WARNING: hyperd is not root: ")
    assert f"{warning}\n".encode() in daemon.docker("info").stderr


def test_loopback_of_the_host_is_reached_as_the_warning_says(daemon: Hyperd, busybox: str) -> None:
    """A service that only this host should see answers a guest at the gateway's address."""
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as pool:
        server.settimeout(60)
        port = server.getsockname()[1]
        heard = pool.submit(_serve_one, server)
        said = daemon.run("run", "--rm", busybox, "nc", "10.0.2.2", str(port))
        assert (said, heard.result()) == (b"hello", True)


def test_a_container_is_on_its_network_while_it_runs(daemon: Hyperd, busybox: str) -> None:
    """Also without bridges: inspect of the network names the container, and events tell of both ends."""
    since = daemon.api.get("/info")["SystemTime"]
    daemon.run("run", "-d", "--name", "on", busybox, "sleep", "600")
    [endpoint] = daemon.api.get("/networks/bridge")["Containers"].values()
    shown = daemon.api.get("/containers/on/json")["NetworkSettings"]["Networks"]["bridge"]
    assert (endpoint["Name"], endpoint["EndpointID"]) == ("on", shown["EndpointID"])
    daemon.run("rm", "-f", "on")
    assert daemon.api.get("/networks/bridge")["Containers"] == {}
    until = daemon.api.get("/info")["SystemTime"]
    events = ("events", "--since", since, "--until", until, "--filter", "type=network")
    said = daemon.docker(*events, "--format", "{{.Action}}").stdout.split()
    assert said == [b"connect", b"disconnect"]


def _serve_one(server: socket.socket) -> bool:
    with server.accept()[0] as stream:
        stream.sendall(b"hello")
    return True


def test_a_privileged_port_is_refused_with_its_reason(daemon: Hyperd, busybox: str) -> None:
    """As an ordinary user nobody may bind port 80."""
    if int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text()) <= 80:
        pytest.skip("this host lets everybody bind port 80")
    bindings = {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "80"}]}
    container = create(daemon, busybox, "true", HostConfig={"PortBindings": bindings})
    with pytest.raises(ApiError, match=r"127\.0\.0\.1:80 failed: permission denied"):
        daemon.api.post(f"/containers/{container}/start")


def test_pod_white_lists_and_services_of_a_users_daemon_are_refused(
    daemon: Hyperd, busybox: str
) -> None:
    """Nothing tells callers apart here, or leads to services; a list that keeps nobody out is none."""
    pod = {"Name": "web", "Containers": [{"Name": "one", "Body": {"Image": busybox}}]}
    with pytest.raises(ApiError, match="white lists cannot be had: hyperd is not root") as error:
        daemon.api.post(
            "/hyper/v1/pods", {**pod, "WhiteLists": {"ExternalNetworks": ["10.0.0.0/8"]}}
        )
    assert error.value.status == 403
    service = {"Ip": "10.254.0.1", "Port": 80, "Hosts": [{"Ip": "10.0.0.1", "Port": 80}]}
    with pytest.raises(ApiError, match="services cannot be had: hyperd is not root"):
        daemon.api.post("/hyper/v1/pods", {**pod, "Services": [service]})
    daemon.api.post("/hyper/v1/pods", {**pod, "WhiteLists": {"ExternalNetworks": ["0.0.0.0/0"]}})
    daemon.api.delete("/hyper/v1/pods/web?force=1")
