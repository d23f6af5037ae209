"""Containers on a hypervisor of another host, beside QEMU's in one daemon: the core of the seam is enough for them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.api import ApiError
from tests.support.assets import find_asset
from tests.support.hyperd import Hyperd, hyperd
from tests.support.remote.hyperd import VARIABLE
from tests.support.remote.other_host import OtherHost, other_host

pytestmark = [pytest.mark.vm, pytest.mark.root]

ON = ("--runtime", "remote", "--network", "none")


class TwoHypervisors(Hyperd):
    """A daemon with QEMU and the other host's hypervisor. ``alone``: it is started without the latter."""

    host_address = ("", 0)
    alone = False

    def argv(self) -> list[str]:
        """Its command line, with the other host's address."""
        program, dash, module, *options = super().argv()
        if self.alone:
            return [program, dash, module, *options]
        address, port = self.host_address
        return [
            *("env", f"{VARIABLE}={address} {port}"),
            *(program, dash, "tests.support.remote.hyperd", *options),
        ]


@pytest.fixture(scope="module")
def other() -> Iterator[OtherHost]:
    """The other host, with the real guest."""
    with other_host(find_asset("vmlinux").parent) as host:
        TwoHypervisors.host_address = host.address
        yield host


@pytest.fixture(scope="module")
def module_daemon(other: OtherHost, busybox: str) -> Iterator[TwoHypervisors]:
    """One daemon for the tests that do not harm it; it has the image as ``bb``."""
    with hyperd(kind=TwoHypervisors) as started:
        assert isinstance(started, TwoHypervisors)
        started.run("pull", "-q", busybox)
        started.run("tag", busybox, "bb")
        yield started


@pytest.fixture
def daemon(module_daemon: TwoHypervisors) -> Iterator[TwoHypervisors]:
    """That daemon; after the test it has no container."""
    yield module_daemon
    module_daemon.clear()


def refused(daemon: Hyperd, *words: str) -> str:
    """The error that ``docker WORDS`` ends with."""
    done = daemon.docker(*words)
    assert done.returncode != 0, done.stdout
    return done.stderr.decode()


def test_container_on_another_hosts_hypervisor_runs(
    daemon: TwoHypervisors, other: OtherHost
) -> None:
    """Output, exit code, standard input, files of the image and its own; the machine is gone with its end."""
    script = "cat; echo hello; echo more >&2; echo kept >/file; exit 7"
    done = daemon.docker("run", "-i", "--name", "one", *ON, "bb", "sh", "-c", script, stdin=b"in\n")
    assert (done.returncode, done.stdout, done.stderr) == (7, b"in\nhello\n", b"more\n")
    assert daemon.run("logs", "one").startswith(b"in\nhello\n")
    # A stopped container's files are looked at in a machine of the same hypervisor.
    assert b"kept\n" in daemon.run("cp", "one:/file", "-")
    daemon.run("rm", "one")
    assert other.left() == []


def test_inspect_and_info_name_the_hypervisor_and_no_process(daemon: TwoHypervisors) -> None:
    """The hypervisor is what Docker calls a runtime; a machine elsewhere has no process here."""
    daemon.run("run", "-d", "--name", "here", "bb", "sleep", "1000")
    daemon.run("run", "-d", "--name", "there", *ON, "bb", "sleep", "1000")
    here, there = (daemon.api.get(f"/containers/{name}/json") for name in ("here", "there"))
    assert (here["HostConfig"]["Runtime"], here["Hyper"]["Driver"]) == ("hyper", "qemu")
    assert (there["HostConfig"]["Runtime"], there["Hyper"]["Driver"]) == ("remote", "remote")
    assert here["State"]["Pid"] > 0
    assert (there["State"]["Pid"], there["State"]["Running"]) == (0, True)
    info = daemon.api.get("/info")
    assert list(info["Runtimes"]) == ["hyper", "qemu", "remote"]
    assert (info["DefaultRuntime"], info["Hyper"]["Hypervisor"]) == ("hyper", "qemu")
    able = {item["Driver"]: item["Abilities"] for item in info["Hyper"]["Hypervisors"]}
    assert able["remote"] == []
    assert "templates" in able["qemu"]
    names = [part["Name"] for part in daemon.api.get("/version")["Components"]]
    assert names == ["Engine", "qemu", "remote"]


def test_running_container_is_worked_with_and_stopped(daemon: TwoHypervisors) -> None:
    """Exec, top, stats, pause, update and stop, none of which needs an ability."""
    daemon.run("run", "-d", "--name", "one", "--init", *ON, "bb", "sleep", "1000")
    assert daemon.run("exec", "one", "echo", "hello") == b"hello\n"
    assert b"sleep 1000" in daemon.run("top", "one")
    assert b"one" in daemon.run("stats", "--no-stream", "one")
    daemon.run("pause", "one")
    assert daemon.api.get("/containers/one/json")["State"]["Paused"]
    daemon.run("unpause", "one")
    daemon.run("update", "--cpus", "0.5", "one")
    daemon.run("stop", "-t", "5", "one")
    assert daemon.api.get("/containers/one/json")["State"]["ExitCode"] == 143
    daemon.run("start", "one")
    assert daemon.run("exec", "one", "echo", "again") == b"again\n"
    daemon.run("rm", "-f", "one")


def test_volume_on_a_hypervisor_without_shared_folders_is_an_image(daemon: TwoHypervisors) -> None:
    """A volume that says nothing of its kind becomes what the hypervisor can have, and keeps what is written."""
    for script in ("echo kept >/v/file", "cat /v/file"):
        done = daemon.run("run", "--rm", "-v", "vol:/v", *ON, "bb", "sh", "-c", script)
    assert done == b"kept\n"


def test_what_the_hypervisor_cannot_do_is_refused_in_words(
    daemon: TwoHypervisors, other: OtherHost, tmp_path: Path
) -> None:
    """Networks, shared folders and further containers; nothing is left running, and names that are none are listed."""
    on = ("run", "--rm", "--runtime", "remote")
    assert "does not take the cards of this daemon's networks" in refused(daemon, *on, "bb", "true")
    shared = refused(daemon, *on, "--network", "none", "-v", f"{tmp_path}:/x", "bb", "true")
    assert "share" in shared
    daemon.run("run", "-d", "--name", "first", *ON, "bb", "sleep", "1000")
    into = ("run", "--rm", "--network", "container:first", "bb", "true")
    assert "hypervisor remote cannot add disks to a running machine" in refused(daemon, *into)
    other_one = ("run", "--runtime", "qemu", "--network", "container:first", "bb", "true")
    assert "a container that runs in another's machine has its hypervisor" in refused(
        daemon, *other_one
    )
    assert daemon.run("exec", "first", "echo", "unharmed") == b"unharmed\n"
    with pytest.raises(ApiError, match="unknown or invalid runtime name: nosuch") as caught:
        body = {"Image": "bb", "HostConfig": {"Runtime": "nosuch"}}
        daemon.api.post("/containers/create", body)
    assert "hypervisors here: qemu, remote" in str(caught.value)
    assert len(other.left()) == 1


def test_daemon_that_comes_back_finds_machines_by_their_own_hypervisors(
    other: OtherHost, busybox: str
) -> None:
    """After kill -9: output goes on where the log ends, execs work, and a stop is a stop, on both."""
    with hyperd(kind=TwoHypervisors) as daemon:
        assert isinstance(daemon, TwoHypervisors)
        daemon.run("pull", "-q", busybox)
        count = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.1; done"
        daemon.run("run", "-d", "--name", "there", *ON, busybox, "sh", "-c", count)
        daemon.run("run", "-d", "--name", "here", busybox, "sleep", "1000")
        daemon.kill()
        # A daemon without the other's driver: it cannot say anything of the machine, and does not touch it.
        daemon.alone = True
        daemon.start()
        assert daemon.run("exec", "here", "echo", "hello") == b"hello\n"
        state = daemon.api.get("/containers/there/json")["State"]
        assert (state["Running"], "not answer" in state["Error"]) == (True, True)
        daemon.kill()
        daemon.alone = False
        daemon.start()
        for name in ("here", "there"):
            assert daemon.run("exec", name, "echo", "hello") == b"hello\n"
        daemon.run("stop", "-t", "1", "there")
        lines = daemon.run("logs", "there").split()
        assert [int(line) for line in lines] == list(range(1, len(lines) + 1))
        daemon.run("rm", "-f", "here", "there")
    assert other.left() == []


def test_hypervisor_of_the_daemon_is_what_containers_get_that_name_none(
    other: OtherHost, busybox: str
) -> None:
    """``hyperd --hypervisor``; a name that is none keeps the daemon from starting."""
    with hyperd("--hypervisor", "remote", kind=TwoHypervisors) as daemon:
        daemon.run("pull", "-q", busybox)
        daemon.run("run", "-d", "--name", "one", "--network", "none", busybox, "sleep", "1000")
        assert daemon.api.get("/containers/one/json")["Hyper"]["Driver"] == "remote"
        assert daemon.run("run", "--rm", "--runtime", "qemu", busybox, "echo", "here") == b"here\n"
    assert other.left() == []
    with tempfile.TemporaryDirectory(prefix="hyperd-") as folder:
        wrong = Hyperd(Path(folder), "--hypervisor", "nosuch")
        with pytest.raises(AssertionError, match="unknown hypervisor: nosuch"):
            wrong.start()
