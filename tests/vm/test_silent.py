"""Machines that do not answer: their guest has taken the agent's port away, or their host has no time for them."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest

from tests.support.containers import create, follow
from tests.support.daemon_log import bugs
from tests.support.hyperd import Hyperd

pytestmark = pytest.mark.vm

#: From now on the agent hears nothing, and nothing it says is heard; the file says when.
DEAF = (
    "mkdir /s && mount -t sysfs s /s && cd /s/bus/virtio/drivers/virtio_console &&"
    " for it in virtio*; do echo $it > unbind; done; touch /told/deaf; exec sleep 3600"
)


def deaf(daemon: Hyperd, busybox: str, folder: Path, name: str) -> int:
    """The pid of a machine whose agent does not hear us any more."""
    told = folder / name
    told.mkdir()
    config = {"Privileged": True, "Binds": [f"{told}:/told"]}
    create(daemon, busybox, "sh", "-c", DEAF, name=name, HostConfig=config)
    daemon.api.post(f"/containers/{name}/start")
    while not (told / "deaf").exists():
        os.sched_yield()
    return int(daemon.api.get(f"/containers/{name}/json")["Hyper"]["Pid"])


def shown(daemon: Hyperd) -> dict[str, str]:
    """The status of each container in the list."""
    rows = daemon.api.get("/containers/json?all=1")
    return {row["Names"][0].removeprefix("/"): row["Status"] for row in rows}


def test_silent_machines_hold_nobody_up_and_are_not_killed(
    own_daemon: Hyperd, busybox: str, tmp_path: Path
) -> None:
    """A daemon that comes back serves at once. Who is silent is told so, keeps running, and is watched over again
    when it answers; a user can end it in either case, without its agent's help."""
    daemon = own_daemon
    first = deaf(daemon, busybox, tmp_path, "first")
    daemon.run("stop", "-t", "1", "first")
    assert not Path(f"/proc/{first}").exists()
    assert daemon.api.get("/containers/first/json")["State"]["ExitCode"] == 137

    pids = {"second": deaf(daemon, busybox, tmp_path, "second")}
    for name in ("slow", "calm", "other"):
        create(daemon, busybox, "sh", "-c", "echo up; exec sleep 3600", name=name)
        daemon.api.post(f"/containers/{name}/start")
        follow(daemon, name, "up")
        pids[name] = daemon.api.get(f"/containers/{name}/json")["Hyper"]["Pid"]
    exec_id = daemon.api.post("/containers/slow/exec", {"Cmd": ["echo", "hi"]})["Id"]
    for name in ("slow", "other"):
        os.kill(pids[name], signal.SIGSTOP)
    daemon.kill()
    told = daemon.log.stat().st_size
    daemon.start()
    assert daemon.run("exec", "calm", "echo", "calm") == b"calm\n"
    for name, status in shown(daemon).items():
        assert status.endswith("(not answering)") == (name in ("second", "slow", "other")), status
    state = daemon.api.get("/containers/second/json")["State"]
    assert (state["Running"], state["Pid"]) == (True, pids["second"])
    assert "has not answered since the daemon started" in state["Error"]

    done = daemon.docker("exec", "second", "true")
    assert b"its machine runs and has not answered" in done.stderr, done.stderr
    assert b"docker rm -f ends it" in done.stderr
    daemon.run("kill", "second")
    assert daemon.api.post("/containers/second/wait")["StatusCode"] == 137
    daemon.run("rm", "-f", "other")
    assert not any(Path(f"/proc/{pids[name]}").exists() for name in ("second", "other"))

    os.kill(pids["slow"], signal.SIGCONT)
    next(daemon.lines("its machine answers", after=told))
    assert daemon.run("exec", "slow", "echo", "back") == b"back\n"
    assert daemon.api.get("/containers/slow/json")["Hyper"]["Pid"] == pids["slow"]
    daemon.api.post(f"/exec/{exec_id}/start", {"Detach": True})
    assert "not answering" not in shown(daemon)["slow"]

    # Nobody will ever reach a machine again whose sockets are gone.
    folder = daemon.api.get("/containers/slow/json")["Id"][:16]
    daemon.kill()
    shutil.rmtree(daemon.exec_root / "vm" / folder)
    daemon.start()
    state = daemon.api.get("/containers/slow/json")["State"]
    assert (state["Status"], state["ExitCode"]) == ("exited", 137)
    assert "sockets of machine" in state["Error"]
    assert not Path(f"/proc/{pids['slow']}").exists()
    assert daemon.run("exec", "calm", "echo", "calm") == b"calm\n"
    assert bugs(daemon) == []
