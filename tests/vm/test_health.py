"""Health checks in real machines, through the stock client and through kill -9."""

from __future__ import annotations

import json
from typing import Any

import docker
import pytest

from tests.support.containers import create, inspect, until
from tests.support.hyperd import Hyperd

pytestmark = pytest.mark.vm

FAST = ("--health-interval", "200ms", "--health-retries", "2")


def health(daemon: Hyperd, name: str) -> dict[str, Any]:
    """What inspect says of it."""
    found: dict[str, Any] = inspect(daemon, name)["State"]["Health"]
    return found


def test_health_check_goes_from_starting_to_healthy_to_unhealthy(
    daemon: Hyperd, busybox: str
) -> None:
    """``--health-cmd``: states, events and log as Docker's; a stopped one is unhealthy."""
    events = daemon.api.lines("/events")
    # Nothing is decided before it is told to go on: "starting" lasts until then.
    probe = "echo seen; until [ -e /go ]; do sleep 0.1; done; test -e /ok"
    daemon.run("run", "-d", "--name", "box", "--health-cmd", probe, *FAST,
               "-e", "A=1", busybox, "sleep", "600")  # fmt: skip
    assert b"(health: starting)" in daemon.run("ps")
    assert daemon.run("ps", "-q", "--filter", "health=starting") != b""
    daemon.run("exec", "box", "touch", "/ok", "/go")
    until(events, f"exec_create: /bin/sh -c {probe}", "box")
    until(events, f"exec_start: /bin/sh -c {probe}", "box")
    until(events, "exec_die", "box")
    until(events, "health_status: healthy", "box")
    found = health(daemon, "box")
    assert (found["Status"], found["FailingStreak"]) == ("healthy", 0)
    assert (found["Log"][-1]["ExitCode"], found["Log"][-1]["Output"]) == (0, "seen\n")
    assert b"(healthy)" in daemon.run("ps", "--filter", "health=healthy")
    daemon.run("exec", "box", "rm", "/ok")
    until(events, "health_status: unhealthy", "box")
    assert len(health(daemon, "box")["Log"]) <= 5
    daemon.run("stop", "-t", "0", "box")
    assert health(daemon, "box")["Status"] == "unhealthy"
    events.close()


def test_health_probe_that_hangs_is_ended(daemon: Hyperd, busybox: str) -> None:
    """After its time, with what it had said; probes do not pile up, and none runs while paused."""
    events = daemon.api.lines("/events")
    daemon.run("run", "-d", "--name", "box", "--health-cmd", "echo stuck; exec sleep 600", *FAST,
               "--health-timeout", "300ms", busybox, "sleep", "6000")  # fmt: skip
    until(events, "health_status: unhealthy", "box")
    # What it says comes within its time, or not: that is for the scheduler to say.
    ended = (-1, "Health check exceeded timeout (300ms): stuck\n")
    while ended not in [(log["ExitCode"], log["Output"]) for log in health(daemon, "box")["Log"]]:
        until(events, "exec_die", "box")
    daemon.run("pause", "box")
    daemon.run("unpause", "box")
    until(events, "unpause", "box")
    until(events, "exec_die", "box")
    running = daemon.run("exec", "box", "ps").decode()
    assert running.count("sleep 600\n") <= 1
    events.close()


def test_health_probe_that_cannot_run_says_why(daemon: Hyperd, busybox: str) -> None:
    """No such program; and much output is cut."""
    body = {"Test": ["CMD", "nosuch"], "Interval": 10**8, "Retries": 1}
    events, others = daemon.api.lines("/events"), daemon.api.lines("/events")
    box = create(daemon, busybox, "sleep", "600", name="box", Healthcheck=body)
    body = {"Test": ["CMD", "head", "-c", "100000", "/dev/zero"], "Interval": 10**8}
    loud = create(daemon, busybox, "sleep", "600", name="loud", Healthcheck=body)
    for container in (box, loud):
        daemon.api.post(f"/containers/{container}/start")
    until(events, "health_status: healthy", "loud")
    assert len(health(daemon, "loud")["Log"][-1]["Output"]) == 4099
    until(others, "health_status: unhealthy", "box")
    found = health(daemon, "box")
    assert found["Status"] == "unhealthy"
    assert "executable file not found" in found["Log"][-1]["Output"]
    events.close()
    others.close()


def test_health_checks_when_the_daemon_is_killed_go_on(own_daemon: Hyperd, busybox: str) -> None:
    """Killed during a probe: the probe is ended, the state is kept, checks go on."""
    daemon = own_daemon
    client = docker.DockerClient(base_url=daemon.host, version="auto")
    check = {
        # Its own words have not what is looked for below.
        "test": ["CMD-SHELL", "if [ -e /slow ]; then exec sleep $((499+1)); fi"],
        "interval": 2 * 10**8,
    }
    box = client.containers.run(
        busybox, ["sleep", "600"], name="box", detach=True, healthcheck=check
    )
    events = daemon.api.lines("/events?since=0")
    until(events, "health_status: healthy", "box")
    box.exec_run(["touch", "/slow"])
    action = f"exec_start: /bin/sh -c {check['test'][1]}"
    while "sleep 500" not in box.exec_run(["ps"]).output.decode():
        until(events, action, "box")
    client.close()
    daemon.kill()
    daemon.start()
    assert health(daemon, "box")["Status"] == "healthy"
    daemon.run("exec", "box", "rm", "/slow")
    events = daemon.api.lines("/events")
    until(events, "exec_die", "box")
    assert "sleep 500" not in daemon.run("exec", "box", "ps").decode()
    assert json.loads(daemon.run("inspect", "box"))[0]["State"]["Health"]["Status"] == "healthy"
    events.close()
