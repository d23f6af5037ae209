"""What containers of one pod share and what each has for itself, by three in one real machine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.containers import follow, inspect
from tests.support.hyperd import Hyperd
from tests.support.pods import box, make, nothing_is_left, states

pytestmark = pytest.mark.vm

SERVE = "mkdir -p /w && echo page >/w/index.html && httpd -p 127.0.0.1:80 -h /w && echo up && exec sleep 6000"
NAMES = ["web-client", "web-server", "web-third"]


@pytest.fixture(scope="module")
def daemon(shared_daemon: Hyperd, busybox: str) -> Iterator[Hyperd]:
    """The shared daemon with a pod of a server, a client that wrote to /dev/shm, and a third. Nothing is left of it."""
    daemon = shared_daemon
    pod = make(
        daemon,
        box(busybox, "server", SERVE),
        box(busybox, "client", "echo hi >/dev/shm/x; echo up; exec sleep 6000"),
        box(busybox, "third", "exec sleep 6000"),
        Hostname="tom",
    )
    assert (pod["Status"], pod["Ready"], pod["Error"]) == ("running", True, "")
    follow(daemon, "web-server", "up")
    follow(daemon, "web-client", "up")
    yield daemon
    daemon.api.delete("/hyper/v1/pods/web?force=1")
    nothing_is_left(daemon)


def test_containers_of_a_pod_run_in_one_machine(daemon: Hyperd) -> None:
    """All run, and have the same process of the host."""
    assert states(daemon) == {"server": "running", "client": "running", "third": "running"}
    assert len({inspect(daemon, name)["Hyper"]["Pid"] for name in NAMES}) == 1


def test_containers_of_a_pod_share_network_name_and_ipc(daemon: Hyperd) -> None:
    """A server on the loopback answers the other; the third reads what the second put into shared memory."""
    assert daemon.run("exec", "web-client", "wget", "-qO-", "http://127.0.0.1/") == b"page\n"
    assert daemon.run("exec", "web-third", "cat", "/dev/shm/x") == b"hi\n"
    assert daemon.run("exec", "web-third", "hostname") == b"tom\n"


def test_containers_of_a_pod_have_roots_and_processes_of_their_own(daemon: Hyperd) -> None:
    """Neither the server's process nor its folder is seen by the third, whose one process is all that is counted."""
    assert b"httpd" not in daemon.run("exec", "web-third", "ps")
    assert daemon.docker("exec", "web-third", "ls", "/w").returncode == 1
    usage = daemon.api.get("/containers/web-third/stats?stream=false&one-shot=true")
    assert usage["pids_stats"]["current"] == 1


def test_containers_of_a_pod_are_ordinary_ones_to_docker(daemon: Hyperd) -> None:
    """``docker ps`` lists them, also by the pod's label."""
    names = daemon.run("ps", "--format", "{{.Names}}").decode().split()
    assert sorted(names) == NAMES
    found = daemon.run("ps", "-q", "--filter", "label=hyper.pod=web").split()
    assert len(found) == 3
