"""Pause and unpause, through the stock client: what a paused container is to everybody else."""

from __future__ import annotations

import re
import time

import pytest

from tests.support.api import ApiError
from tests.support.containers import create, follow
from tests.support.hyperd import Hyperd

pytestmark = pytest.mark.vm

#: Counts as fast as it can, and says so on TERM.
COUNT = "trap 'echo bye; exit 3' TERM; n=0; while :; do n=$((n+1)); echo n $n; sleep 0.05; done"
REFUSALS = {
    ("POST", "/pause"): "is already paused",
    ("POST", "/start"): "cannot start a paused container, try unpause instead",
    ("POST", "/exec"): "is paused, unpause the container before exec",
    ("POST", "/attach"): "is paused, unpause the container before attach",
    ("DELETE", ""): "container is paused and must be unpaused first",
}


def status(daemon: Hyperd, name: str) -> tuple[str, bool, bool]:
    state = daemon.api.get(f"/containers/{name}/json")["State"]
    return state["Status"], state["Running"], state["Paused"]


def test_a_paused_container_stands_still_until_it_is_unpaused(
    own_daemon: Hyperd, busybox: str
) -> None:
    """It executes nothing, not even while the daemon dies and finds it again; its clock is right afterwards."""
    daemon = own_daemon
    began_ns = time.time_ns()
    create(daemon, busybox, "sh", "-c", COUNT, name="paused", StopSignal="SIGTERM")
    daemon.run("start", "paused")
    follow(daemon, "paused", "n 3\n")
    daemon.run("pause", "paused")
    seen = daemon.run("logs", "paused")
    assert status(daemon, "paused") == ("paused", True, True)
    assert b"(Paused)" in daemon.run("ps")
    assert daemon.api.get("/info")["ContainersPaused"] == 1
    for (method, path), text in REFUSALS.items():
        with pytest.raises(ApiError, match=re.escape(text)) as refused:
            daemon.api.request(method, f"/containers/paused{path}", {"Cmd": ["true"]})
        assert refused.value.status == 409
    # What does not end it waits; it needs the agent and not the container.
    daemon.run("kill", "--signal", "WINCH", "paused")

    daemon.kill()
    daemon.start()
    assert status(daemon, "paused") == ("paused", True, True)
    assert daemon.run("logs", "paused") == seen
    assert b"paused" in daemon.docker("rm", "paused").stderr

    daemon.run("unpause", "paused")
    assert status(daemon, "paused") == ("running", True, False)
    last = int(seen.split()[-1])
    follow(daemon, "paused", f"n {last + 3}\n")
    asked = time.time()
    clock = int(daemon.run("exec", "paused", "date", "+%s"))
    assert asked - 2 < clock < time.time() + 1
    with pytest.raises(ApiError, match="is not paused") as refused:
        daemon.api.post("/containers/paused/unpause")
    assert refused.value.status == 409

    daemon.run("pause", "paused")
    daemon.run("stop", "-t", "20", "paused")
    assert daemon.run("logs", "paused").endswith(b"bye\n")
    assert daemon.api.get("/containers/paused/json")["State"]["ExitCode"] == 3
    with pytest.raises(ApiError, match="is not running"):
        daemon.api.post("/containers/paused/pause")
    since = began_ns // 10**9
    events = daemon.run("events", "--since", f"{since}", "--until", f"{time.time():.9f}").decode()
    assert re.findall(r"container (pause|unpause|die) ", events)[-2:] == ["unpause", "die"]


def test_a_paused_container_can_be_ended(daemon: Hyperd, busybox: str) -> None:
    """By kill, restart and removal, at once."""
    create(daemon, busybox, "sh", "-c", COUNT, name="paused")
    for end in (["restart", "-t", "20"], ["kill"], ["rm", "-f"]):
        daemon.run("start", "paused")
        follow(daemon, "paused", "n 1\n")  # from here on it listens to TERM
        daemon.run("pause", "paused")
        daemon.run(*end, "paused")
        if end[0] == "restart":
            assert status(daemon, "paused") == ("running", True, False)
    assert daemon.api.get("/containers/json?all=1") == []
