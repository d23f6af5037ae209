"""What containers may take: limits at their start and afterwards, and an init that reaps."""

from __future__ import annotations

import os
from contextlib import closing

import docker
import pytest

from tests.support.api import ApiError
from tests.support.containers import create, follow, run
from tests.support.hyperd import Hyperd

pytestmark = pytest.mark.vm

MIB = 1024 * 1024
#: Forks until it cannot any more, which ends the shell that did it and leaves its children.
BOMB = "sh -c 'while :; do sleep 600 & done' 2>/dev/null; echo full; exec sleep 600"


def inside(daemon: Hyperd, name: str, command: str) -> str:
    return daemon.run("exec", name, "sh", "-c", command).decode().strip()


def test_a_fork_bomb_ends_at_the_limit(daemon: Hyperd, busybox: str) -> None:
    """Its machine goes on answering, and it can be killed. The scratch disk is as large as asked for."""
    limits = ["--pids-limit", "40", "--storage-opt", "size=3g", "--cpuset-cpus", "0"]
    limits += ["--cpu-shares", "512"]
    daemon.run("run", "-d", "--name", "bomb", *limits, busybox, "sh", "-c", BOMB)
    follow(daemon, "bomb", "full")
    assert inside(daemon, "bomb", "cat /sys/fs/cgroup/pids.max") == "40"
    assert inside(daemon, "bomb", "cat /sys/fs/cgroup/pids.events") != "max 0"
    kib = int(inside(daemon, "bomb", "df -k /").split()[-5])
    assert 2.8 < kib / MIB < 3.05
    machine = daemon.api.get("/containers/bomb/json")["Hyper"]["Pid"]
    assert os.sched_getaffinity(machine) == {0}
    with closing(docker.DockerClient(base_url=daemon.host)) as client:
        bomb = client.containers.get("bomb")
        assert bomb.stats(stream=False)["pids_stats"] == {"current": 39, "limit": 40}
        assert len(bomb.top()["Processes"]) == 39
    daemon.run("kill", "bomb")
    assert daemon.api.get("/containers/bomb/json")["State"]["ExitCode"] == 137


def test_limits_when_updated_hold_at_once(daemon: Hyperd, busybox: str) -> None:
    """Limits of a running container hold at once; what its machine cannot be is refused or waits for the next."""
    create(
        daemon, busybox, "sh", "-c", "echo up; exec sleep 600", name="box",
        HostConfig={"Memory": 96 * MIB},
    )  # fmt: skip
    daemon.run("start", "box")
    follow(daemon, "box", "up")
    daemon.run(
        "update", "--memory", "64m", "--pids-limit", "30", "--restart", "on-failure:3", "box"
    )
    assert inside(daemon, "box", "cd /sys/fs/cgroup; cat memory.max pids.max") == f"{64 * MIB}\n30"
    assert daemon.api.get("/containers/box/stats?stream=false&one-shot=1")["memory_stats"][
        "limit"
    ] == (64 * MIB)
    refused = daemon.docker("update", "--memory", "160m", "box")
    assert b"its running machine has 130 MiB of memory" in refused.stderr
    done = daemon.docker("update", "--cpus", "2", "--cpuset-cpus", "0", "--pids-limit", "-1", "box")
    if (os.cpu_count() or 1) > 1:
        assert b"when the container is started again" in done.stderr + done.stdout
    shown = daemon.api.get("/containers/box/json")
    host = shown["HostConfig"]
    assert (host["Memory"], host["PidsLimit"], host["NanoCpus"]) == (64 * MIB, -1, 2 * 10**9)
    assert host["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 3}
    assert os.sched_getaffinity(shown["Hyper"]["Pid"]) == {0}
    assert inside(daemon, "box", "cat /sys/fs/cgroup/pids.max") == "max"

    daemon.run("kill", "box")
    daemon.run("update", "--memory", "128m", "box")
    assert daemon.api.get("/containers/box/json")["Hyper"]["MemoryMiB"] == 128 + 32 + 3
    with pytest.raises(ApiError, match="Minimum memory limit allowed") as bad:
        daemon.api.post("/containers/box/update", {"Memory": MIB})
    assert bad.value.status == 400
    daemon.run("start", "box")
    total = int(inside(daemon, "box", "grep MemTotal /proc/meminfo").split()[1])
    assert 131_072 < total < 163 * 1024


def test_an_init_reaps_forwards_signals_and_ends_as_the_program_does(
    daemon: Hyperd, busybox: str
) -> None:
    """Exit codes, 127, TERM, and no zombie is left of an orphan."""
    init = {"Init": True}
    assert run(daemon, busybox, "sh", "-c", "exit 7", HostConfig=init)[0] == 7
    assert run(daemon, busybox, "sh", "-c", "kill -9 $$", HostConfig=init)[0] == 137
    assert daemon.docker("run", "--rm", "--init", busybox, "nosuch").returncode == 127
    program = "trap 'exit 9' TERM; (sleep 0 &); echo up; sleep 600 & wait"
    create(daemon, busybox, "sh", "-c", program, name="box", HostConfig=init)
    daemon.run("start", "box")
    follow(daemon, "box", "up")
    assert inside(daemon, "box", "cat /proc/1/comm") == "docker-init"
    inside(daemon, "box", "while grep -qs ') Z ' /proc/[0-9]*/stat; do :; done")
    daemon.run("stop", "-t", "20", "box")
    assert daemon.api.get("/containers/box/json")["State"]["ExitCode"] == 9
    done = daemon.docker("run", "--rm", "-t", "--init", busybox, "sh", "-c", "tty; echo $$")
    assert done.stdout.split() == [b"/dev/pts/0", b"2"]


def test_full_scratch_disk_is_the_containers_alone(daemon: Hyperd, busybox: str) -> None:
    """Its program is told so, the container and its neighbours go on, and its size is known, running and ended."""
    write = "dd if=/dev/zero of=/big bs=1M; echo ended $?; exec sleep 600"
    daemon.run(
        "run", "-d", "--name", "full", "--storage-opt", "size=40m", busybox, "sh", "-c", write
    )
    follow(daemon, "full", "ended 1")
    assert b"No space left on device" in daemon.docker("logs", "full").stderr
    assert inside(daemon, "full", "rm /big && echo more > /small && cat /small") == "more"
    daemon.run("exec", "full", "dd", "if=/dev/zero", "of=/some", "bs=1M", "count=10")
    daemon.run("stop", "-t", "0", "full")
    shown = daemon.api.get("/containers/full/json?size=1")
    assert 10 * MIB <= shown["SizeRw"] < 11 * MIB


@pytest.mark.parametrize(("limit", "size"), [("", "225m"), ("512m", "600m")])
def test_program_that_fills_a_tmpfs_beyond_the_memory_is_killed(
    daemon: Hyperd, busybox: str, limit: str, size: str
) -> None:
    """By the OOM killer, as with Docker, and not after minutes in which the machine stands still; with a limit of
    the container's own, too. The container has its memory again when the tmpfs is emptied."""
    words = ["--name", "full", "--tmpfs", f"/t:size={size}", *(["-m", limit] if limit else [])]
    fill = "dd if=/dev/zero of=/t/f bs=1M; echo dd=$?; rm /t/f; echo gone; read line"
    daemon.run("run", "-di", *words, busybox, "sh", "-c", fill)
    follow(daemon, "full", "dd=137")
    follow(daemon, "full", "gone")
    assert inside(daemon, "full", "dd if=/dev/zero of=/t/g bs=1M count=200 && echo fits") == "fits"
    assert daemon.api.get("/containers/full/json")["State"]["OOMKilled"]
