"""Restart policies with real machines: through the stock client, through kill -9 and through a reboot."""

from __future__ import annotations

import json

import pytest

from tests.support.containers import follow, inspect, state, until
from tests.support.descriptors import nothing_is_kept
from tests.support.hyperd import Hyperd
from tests.support.processes import end

pytestmark = pytest.mark.vm


def test_restart_policy_on_failure_gives_up_after_its_count(daemon: Hyperd, busybox: str) -> None:
    """Three runs; ``docker run`` waits for the first, as with dockerd, and has its code."""
    events = daemon.api.lines("/events")
    done = daemon.docker("run", "--name", "box", "--restart", "on-failure:2", busybox,
                         "sh", "-c", "echo run; exit 7")  # fmt: skip
    assert (done.returncode, done.stdout) == (7, b"run\n")
    for _ in range(3):
        until(events, "die", "box")
    events.close()
    assert daemon.run("logs", "box") == b"run\nrun\nrun\n"
    found = inspect(daemon, "box")
    assert (found["RestartCount"], found["State"]["Status"]) == (2, "exited")
    done = daemon.docker("run", "--restart", "on-failure", "--name", "good", busybox, "true")
    assert done.returncode == 0
    assert inspect(daemon, "good")["RestartCount"] == 0


def test_restart_policy_always_holds_until_stop(daemon: Hyperd, busybox: str) -> None:
    """While it waits it is ``restarting``, up, cannot be used or removed; ``stop`` and ``rm -f`` end that."""
    events = daemon.api.lines("/events")
    # From its seventh run on it stays: nothing happens then that nobody waits for.
    script = "echo x >>/runs; if [ $(wc -l </runs) -gt 6 ]; then exec sleep 600; fi; exit 1"
    daemon.run("run", "-d", "--name", "loop", "--restart", "always", busybox, "sh", "-c", script)
    for _ in range(5):
        died = until(events, "die", "loop")
    assert died["Actor"]["Attributes"]["exitCode"] == "1"
    until(events, "die", "loop")
    found = inspect(daemon, "loop")["State"]
    assert (found["Status"], found["Running"], found["Restarting"]) == ("restarting", True, True)
    row = json.loads(daemon.run("ps", "--format", "json"))
    assert row["State"] == "restarting"
    assert row["Status"].startswith("Restarting (1) ")
    assert daemon.run("ps", "-q", "--filter", "status=restarting") != b""
    refused = daemon.docker("exec", "loop", "true")
    assert b"is restarting, wait until the container is running" in refused.stderr
    refused = daemon.docker("rm", "loop")
    assert b"container is restarting: stop the container before" in refused.stderr
    daemon.run("stop", "loop")
    assert state(daemon, "loop")["Status"] == "exited"
    assert daemon.run("wait", "loop") == b"1\n"
    daemon.run("start", "loop")
    until(events, "start", "loop")
    found = inspect(daemon, "loop")
    assert (found["RestartCount"], found["State"]["Status"]) == (0, "running")
    daemon.run("rm", "-f", "loop")
    events.close()
    assert daemon.api.get("/containers/json?all=1") == []


def test_restart_policy_after_docker_kill_does_not_restart(daemon: Hyperd, busybox: str) -> None:
    """``docker kill`` and ``docker stop`` are a wish; a machine that dies is not."""
    events = daemon.api.lines("/events")
    daemon.run("run", "-d", "--name", "box", "--restart", "unless-stopped", busybox, "sleep", "600")
    end(inspect(daemon, "box")["Hyper"]["Pid"])
    until(events, "die", "box")
    until(events, "start", "box")
    assert inspect(daemon, "box")["RestartCount"] == 1
    daemon.run("kill", "box")
    assert state(daemon, "box")["Status"] == "exited"
    events.close()


def test_restart_policies_when_daemon_or_host_ends_are_kept(
    own_daemon: Hyperd, busybox: str
) -> None:
    """Killed in the back-off, and with all machines gone: what should run does, what was stopped does not."""
    daemon = own_daemon
    sleeper = [busybox, "sh", "-c", "echo up; exec sleep 600"]
    daemon.run("run", "-d", "--name", "always", "--restart", "always", *sleeper)
    daemon.run("run", "-d", "--name", "stopped", "--restart", "unless-stopped", *sleeper)
    daemon.run("run", "-d", "--name", "plain", *sleeper)
    daemon.run("create", "--name", "never", "--restart", "always", *sleeper)
    follow(daemon, "always", "up")
    daemon.run("stop", "-t", "0", "stopped")
    events = daemon.api.lines("/events")
    daemon.run("run", "-d", "--name", "loop", "--restart", "on-failure", busybox, "false")
    for _ in range(5):
        until(events, "die", "loop")
    pids = [inspect(daemon, name)["Hyper"]["Pid"] for name in ("always", "plain")]
    count = inspect(daemon, "loop")["RestartCount"]
    daemon.kill()
    for pid in pids:
        end(pid)
    daemon.start()
    events = daemon.api.lines("/events?since=0")
    until(events, "start", "always")
    until(events, "die", "loop")
    assert inspect(daemon, "loop")["RestartCount"] > count
    states = {
        name: state(daemon, name)["Status"] for name in ("always", "stopped", "plain", "never")
    }
    assert states == {
        "always": "running",
        "stopped": "exited",
        "plain": "exited",
        "never": "created",
    }
    events.close()


def test_restarts_after_crashes_leave_nothing_behind(daemon: Hyperd, busybox: str) -> None:
    """Four containers that crash three times each: no descriptor, no task, no run folder more than before."""
    daemon.run("run", "--rm", busybox, "true")
    names = [f"crash{number}" for number in range(4)]
    events = daemon.api.lines("/events")
    with nothing_is_kept(daemon):
        for name in names:
            daemon.run("create", "--name", name, "--restart", "on-failure:2", busybox, "false")
        daemon.run("start", *names)
        assert daemon.run("wait", *names).split() == [b"1"] * 4
        died = (item for item in events if item["Action"] == "die")
        assert len([next(died) for _ in range(3 * len(names))]) == 12
        assert {inspect(daemon, name)["RestartCount"] for name in names} == {2}
        daemon.run("rm", *names)
    events.close()
    assert list((daemon.exec_root / "vm").iterdir()) == []


def test_what_removes_itself_is_restarted(daemon: Hyperd, busybox: str) -> None:
    """It keeps its files, is removed when it ends after that; execs that nobody started are gone with the first run."""
    events = daemon.api.lines("/events")
    script = "echo run >>/runs; wc -l </runs; exec sleep 1000"
    daemon.run("run", "-d", "--rm", "--name", "box", busybox, "sh", "-c", script)
    daemon.run("exec", "box", "true")
    assert inspect(daemon, "box")["ExecIDs"] is None
    idle = daemon.api.post("/containers/box/exec", {"Cmd": ["true"]})["Id"]
    assert inspect(daemon, "box")["ExecIDs"] == [idle]
    with daemon.api.open("/containers/box/logs?follow=1&stdout=1") as log:
        assert log.read(10)[8:] == b"1\n"
    daemon.api.post("/containers/box/restart?t=0")
    with daemon.api.open("/containers/box/logs?follow=1&stdout=1") as log:
        assert log.read(20)[18:] == b"2\n"
    assert inspect(daemon, "box")["State"]["Running"]
    status, content = daemon.api.raw("POST", f"/exec/{idle}/start", b"{}")
    assert (status, b"No such exec instance" in content) == (404, True)
    daemon.api.post("/containers/box/stop?t=0")
    until(events, "destroy", "box")
    events.close()


def test_failures_that_nobody_waits_for(daemon: Hyperd, busybox: str) -> None:
    """A restart that fails when its client has left is a line in the log; one that left a wait is none."""
    start = daemon.log.stat().st_size
    body = {"Image": busybox, "Cmd": ["/nosuch"]}
    daemon.api.post("/containers/create?name=bad", body)
    waiting = daemon.api.begin("POST", "/containers/bad/wait?condition=next-exit")
    restarting = daemon.api.begin("POST", "/containers/bad/restart")
    lines = daemon.lines("a request whose client has left failed", after=start)
    events = daemon.api.lines("/events")
    restarting.close()
    waiting.close()
    assert "/nosuch" in next(lines)
    lines.close()
    events.close()
    said = daemon.log.read_bytes()[start:]
    for words in (b"Traceback", b"never retrieved", b"Error handling request"):
        assert words not in said
