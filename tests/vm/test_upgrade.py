"""A data root that an older hyperd has left is taken over: nothing of it is lost."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.hyperd import Hyperd

pytestmark = [pytest.mark.vm, pytest.mark.root]

ROOT = Path(__file__).parents[1] / "fixtures" / "root-4c860e0.tar.xz"


class Alone(Hyperd):
    """A daemon in a network namespace of its own: the fixture's networks may be other daemons' here by now."""

    def argv(self) -> list[str]:
        """The command line, in the namespace."""
        inside = 'ip link set lo up && exec "$@"'
        return ["unshare", "--net", "sh", "-c", inside, "sh", *super().argv()]


def unpacked() -> Hyperd:
    """A daemon that is to be started on the fixture's root (tests/fixtures/README.md)."""
    folder = Path(tempfile.mkdtemp(prefix="hyperd-"))
    (folder / "data").mkdir(mode=0o700)
    subprocess.run(["tar", "-xJf", ROOT, "-C", folder / "data"], check=True)
    return Alone(folder)


@pytest.fixture(scope="module")
def daemon() -> Iterator[Hyperd]:
    """Today's hyperd on the root of a killed one of commit 4c860e0, whose machines are gone."""
    started = unpacked()
    try:
        started.start()
    except BaseException:
        shutil.rmtree(started.folder)
        raise
    yield started
    started.close()


def test_every_container_is_there_in_the_state_it_was_left_in(daemon: Hyperd) -> None:
    """What ran has ended with its machine; what restarts always runs again; codes and orders are kept."""
    rows = {
        row["Names"][0]: (row["State"], row["Status"].partition(")")[0])
        for row in daemon.api.get("/containers/json?all=1")
    }
    assert rows["/done"] == ("exited", "Exited (7")
    assert rows["/never"] == ("created", "Created")
    assert rows["/always"][0] in ("restarting", "running")
    for name in ("/tick", "/web", "/guest", "/paused", "/pod-a"):
        assert rows[name] == ("exited", "Exited (255"), name
    assert len(rows) == 8


def test_what_restarts_always_runs_again(daemon: Hyperd) -> None:
    """The daemon starts it by itself; the log of its first run goes on."""
    filters = ("--since", "0", "--filter", "container=always", "--filter", "event=start")
    argv = ["docker", "-H", daemon.host, "events", *filters, "--format", "{{.Action}}"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as events:
        assert events.stdout is not None
        assert events.stdout.readline() == b"start\n"
        events.kill()
    assert daemon.api.get("/containers/always/json")["State"]["Running"]
    assert daemon.run("logs", "always").startswith(b"up\n")


def test_output_and_files_of_ended_containers_are_there(daemon: Hyperd) -> None:
    """Logs as they were written; the writable layer's files, by docker cp; a second run follows the first."""
    assert daemon.run("logs", "done") == b"was here\n"
    assert daemon.run("logs", "tick") == b"tick\n"
    assert b"data\n" in daemon.run("cp", "done:/file", "-")
    assert daemon.docker("start", "-a", "done").returncode == 7
    assert daemon.run("logs", "done") == b"was here\nwas here\n"


def test_what_was_asked_for_is_kept(daemon: Hyperd) -> None:
    """Published ports, memory, aliases, labels and environment of containers, networks and volumes."""
    web = daemon.api.get("/containers/web/json")
    [binding] = web["HostConfig"]["PortBindings"]["80/tcp"]
    assert (binding["HostIp"], binding["HostPort"]) == ("127.0.0.1", "18080")
    assert web["HostConfig"]["Memory"] == 100 << 20
    assert "site" in web["NetworkSettings"]["Networks"]["net1"]["Aliases"]
    assert daemon.api.get("/networks/net1")["Labels"] == {"a": "b"}
    assert daemon.api.get("/volumes/v1")["Labels"] == {"c": "d"}
    assert "A=b" in daemon.api.get("/containers/never/json")["Config"]["Env"]


def test_a_volume_that_was_a_disk_image_is_read_by_a_container_of_then(daemon: Hyperd) -> None:
    """The volume keeps its kind and what was written to it; a container that was only created runs."""
    assert daemon.run("start", "-a", "never") == b"kept\n"


def test_a_container_that_shares_another_ones_machine_starts_again(daemon: Hyperd) -> None:
    """web gets its network and its port again, guest runs in its machine."""
    daemon.run("start", "web", "guest")
    assert daemon.run("port", "web") == b"80/tcp -> 127.0.0.1:18080\n"
    assert daemon.run("exec", "guest", "steps", "say", "here") == b"here\n"
    daemon.run("kill", "guest", "web")


def test_a_pod_starts_again(daemon: Hyperd) -> None:
    """The pod is listed and its container runs in its machine."""
    daemon.api.post("/hyper/v1/pods/pod/start")
    assert daemon.run("exec", "pod-a", "steps", "say", "here") == b"here\n"
    [pod] = daemon.api.get("/hyper/v1/pods")
    assert (pod["Name"], [box["Name"] for box in pod["Containers"]]) == ("pod", ["a"])
