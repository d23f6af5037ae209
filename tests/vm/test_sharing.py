"""``--network container:X``: a second container in the machine of a running one."""

from __future__ import annotations

import itertools
import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support.containers import create, follow, inspect, until
from tests.support.hyperd import Hyperd

pytestmark = pytest.mark.vm

SERVER = "mkdir /w; echo page >/w/index.html; httpd -p 127.0.0.1:80 -h /w; echo up; exec sleep 6000"


def start_owner(daemon: Hyperd, busybox: str, *flags: str) -> None:
    """A container ``web`` that serves a page on its loopback only."""
    daemon.run("run", "-d", "--name", "web", *flags, busybox, "sh", "-c", SERVER)
    follow(daemon, "web", "up")


def join(
    daemon: Hyperd, busybox: str, *words: str, flags: tuple[str, ...] = (), name: str = "side"
) -> None:
    """A container that shares the machine of ``web`` runs."""
    network = ("--network", "container:web")
    daemon.run("run", "-d", "--name", name, *network, *flags, busybox, *words)


def at_usr1(deed: str) -> str:
    """A script that says "up", then does ``deed`` when it is told to.

    By a signal: an exec that makes the program of its container end is killed with it, sooner or later.
    """
    return f"trap '{deed}' USR1; echo up; while :; do sleep 0.1; done"


def machine(daemon: Hyperd, name: str) -> Any:
    """The process of the machine a container is in."""
    return inspect(daemon, name)["Hyper"]["Pid"]


def test_network_mode_container_shares_network_but_not_files(daemon: Hyperd, busybox: str) -> None:
    """Loopback, name and address are shared; files and processes are not; one machine runs."""
    start_owner(daemon, busybox)
    page = daemon.run("run", "--rm", "--network", "container:web", busybox,
                      "wget", "-qO-", "http://127.0.0.1/")  # fmt: skip
    assert page == b"page\n"
    join(daemon, busybox, "sh", "-c", "echo mine >/mine; exec sleep 6000")
    assert machine(daemon, "side") == machine(daemon, "web")
    # Without IPv6, whose addresses are tentative at first.
    for command in ("hostname", "cat /etc/hosts", "ip -o -4 addr", "cat /etc/resolv.conf"):
        words = command.split()
        assert daemon.run("exec", "side", *words) == daemon.run("exec", "web", *words)
    assert b"httpd" in daemon.run("exec", "web", "ps")
    assert b"httpd" not in daemon.run("exec", "side", "ps")
    assert b"httpd" not in daemon.run("top", "side")
    assert daemon.docker("exec", "web", "cat", "/mine").returncode == 1
    assert daemon.docker("exec", "side", "cat", "/w/index.html").returncode == 1
    assert b"A /mine" in daemon.run("diff", "side")
    assert b"mine" not in daemon.run("diff", "web")
    found = inspect(daemon, "side")
    assert found["HostConfig"]["NetworkMode"] == f"container:{inspect(daemon, 'web')['Id']}"
    assert found["NetworkSettings"]["Networks"] == {}
    assert found["Config"]["Hostname"] == inspect(daemon, "web")["Config"]["Hostname"]
    usage = daemon.api.get("/containers/side/stats?stream=false&one-shot=true")
    assert usage["pids_stats"]["current"] == 1


def test_guest_container_when_it_ends_leaves_the_owner_running(
    daemon: Hyperd, busybox: str
) -> None:
    """Its files stay from run to run, its exit code is its own, and the other does not notice."""
    start_owner(daemon, busybox)
    join(daemon, busybox, "sh", "-c", "echo run >>/runs; wc -l </runs; exit 7")
    for _ in range(8):
        assert daemon.run("wait", "side") == b"7\n"
        assert daemon.docker("start", "-a", "side").returncode == 7
    assert daemon.run("logs", "side").split() == [str(n).encode() for n in range(1, 10)]
    assert daemon.run("cp", "side:/runs", "-").count(b"run\n") == 9
    failed = daemon.docker("run", "--name", "bad", "--network", "container:web", busybox, "nosuch")
    assert failed.returncode == 127
    assert b'"nosuch": executable file not found' in failed.stderr
    daemon.run("rm", "bad", "side")
    join(daemon, busybox, "sleep", "6000")
    daemon.run("rm", "-f", "side")
    assert daemon.run("exec", "web", "wget", "-qO-", "http://127.0.0.1/") == b"page\n"
    assert daemon.run("exec", "web", "sh", "-c", "ls /sys/block | grep -c sd; true") == b"0\n"


def test_guest_container_ends_with_the_owners_machine(daemon: Hyperd, busybox: str) -> None:
    """It is asked to in its own way, what it wrote is there. Then it cannot start, nor join what was removed."""
    start_owner(daemon, busybox)
    script = (
        "trap 'echo last >/last; exit 5' USR1; cat /last 2>/dev/null || echo up; sleep 6000 & wait"
    )
    flags = ("--stop-signal", "USR1", "--stop-timeout", "300")
    join(daemon, busybox, "sh", "-c", script, flags=flags)
    follow(daemon, "side", "up")
    daemon.run("stop", "-t", "0", "web")
    state = inspect(daemon, "side")["State"]
    assert (state["ExitCode"], state["Error"]) == (5, ""), state
    assert b"last" in daemon.run("cp", "side:/last", "-")
    owner = inspect(daemon, "web")["Id"]
    refused = daemon.docker("start", "side")
    assert f"cannot join network of a non running container: {owner}" in refused.stderr.decode()
    assert inspect(daemon, "side")["State"]["ExitCode"] == 128
    daemon.run("start", "web")
    follow(daemon, "web", "up")
    daemon.run("start", "side")
    follow(daemon, "side", "last")
    daemon.run("rm", "-f", "web")
    assert not inspect(daemon, "side")["State"]["Running"]
    assert f"No such container: {owner}" in daemon.docker("start", "side").stderr.decode()


def test_those_who_do_not_listen_are_made_to_end(daemon: Hyperd, busybox: str) -> None:
    """Owner and guests alike: asked first, SIGKILL after their time-outs (10 s by default), and told so."""
    deaf = ("sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.1; done")
    daemon.run("run", "-d", "--name", "web", busybox, *deaf)
    waits_s = {"quick": "1", "default": None, "unlimited": "-1"}
    for name, wait_s in waits_s.items():
        flags = () if wait_s is None else ("--stop-timeout", wait_s)
        join(daemon, busybox, *deaf, flags=flags, name=name)
    for name in ("web", *waits_s):
        follow(daemon, name, "up")
    events = daemon.api.lines("/events")
    daemon.run("stop", "web")
    told = list(itertools.takewhile(lambda item: item["Action"] != "stop", events))
    events.close()
    for name, least_s in {"web": 10, "quick": 1, "default": 10, "unlimited": 10}.items():
        mine = [item for item in told if item["Actor"]["Attributes"]["name"] == name]
        kills = [item for item in mine if item["Action"] == "kill"]
        assert [item["Actor"]["Attributes"]["signal"] for item in kills] == ["15", "9"]
        waited_s = (kills[1]["timeNano"] - kills[0]["timeNano"]) / 1e9
        assert least_s <= waited_s < least_s + 9
        assert mine[-1]["Action"] == "die"
        assert inspect(daemon, name)["State"]["ExitCode"] == 137


def test_a_machine_that_is_killed_ends_both(daemon: Hyperd, busybox: str) -> None:
    """Each says so; each can be started again."""
    start_owner(daemon, busybox)
    join(daemon, busybox, "sleep", "6000")
    events = daemon.api.lines("/events")
    os.kill(machine(daemon, "web"), signal.SIGKILL)
    until(events, "die", "side")
    events.close()
    daemon.run("wait", "web")
    for name in ("web", "side"):
        state = inspect(daemon, name)["State"]
        assert (state["ExitCode"], "ended unexpectedly" in state["Error"]) == (137, True)
    daemon.run("start", "web")
    daemon.run("start", "side")
    assert machine(daemon, "web") == machine(daemon, "side")


def test_both_come_back_by_their_policies(daemon: Hyperd, busybox: str) -> None:
    """Who shares waits for a machine that is about to be started again."""
    # With a stop signal of its own: else any signal would be taken for the wish that it stays down.
    policy = ("--restart", "always", "--stop-signal", "TERM")
    daemon.run("run", "-d", "--name", "web", *policy, busybox, "sh", "-c", at_usr1("exit 3"))
    follow(daemon, "web", "up")
    policy = ("--restart", "unless-stopped", "--network", "container:web")
    daemon.run("run", "-d", "--name", "side", *policy, busybox, "sleep", "6000")
    first = machine(daemon, "web")
    events = daemon.api.lines("/events")
    daemon.run("kill", "-s", "USR1", "web")
    assert until(events, "die", "web")["Actor"]["Attributes"]["exitCode"] == "3"
    until(events, "start", "web")
    until(events, "start", "side")
    events.close()
    assert machine(daemon, "side") == machine(daemon, "web") != first
    assert daemon.run("exec", "side", "hostname") == daemon.run("exec", "web", "hostname")


def test_pause_of_owner_and_guest_is_of_each_alone(daemon: Hyperd, busybox: str) -> None:
    """The machine stands still only while both are."""
    start_owner(daemon, busybox)
    join(daemon, busybox, "sh", "-c", "while :; do echo tick; sleep 0.1; done")
    daemon.run("pause", "web")
    assert daemon.docker("exec", "web", "true").returncode != 0
    assert daemon.run("exec", "side", "echo", "on") == b"on\n"
    refused = daemon.docker("run", "--rm", "--network", "container:web", busybox, "true")
    assert b"is paused" in refused.stderr
    daemon.run("pause", "side")
    daemon.run("unpause", "web")
    assert daemon.run("exec", "web", "wget", "-qO-", "http://127.0.0.1/") == b"page\n"
    daemon.run("pause", "web")
    daemon.run("unpause", "side")
    assert daemon.run("exec", "side", "echo", "on") == b"on\n"
    daemon.run("stop", "-t", "0", "side")
    daemon.run("unpause", "web")
    assert daemon.run("exec", "web", "echo", "on") == b"on\n"


def test_guest_container_has_volumes_and_limits_of_its_own(daemon: Hyperd, busybox: str) -> None:
    """A volume comes along; what cannot come along is refused with the reason; its limits are its own."""
    start_owner(daemon, busybox)
    common = ("run", "--rm", "--network", "container:web")
    daemon.run(*common, "-v", "kept:/data", busybox, "sh", "-c", "echo content >/data/f")
    assert daemon.run(*common, "-v", "kept:/data:ro", busybox, "cat", "/data/f") == b"content\n"
    assert daemon.run("run", "--rm", "-v", "kept:/data", busybox, "cat", "/data/f") == b"content\n"
    refused = daemon.docker(*common, "-v", "/etc:/e", busybox, "true")
    assert b"paths of the host cannot be brought into a machine that runs" in refused.stderr
    daemon.run("volume", "create", "-o", "type=directory", "shared")
    refused = daemon.docker(*common, "-v", "shared:/data", busybox, "true")
    assert b"directories of the host" in refused.stderr
    limits = ("--pids-limit", "20", "--memory", "64m")
    seen = daemon.run(*common, *limits, busybox, "sh", "-c",
                      "cd /sys/fs/cgroup; cat pids.max memory.max")  # fmt: skip
    assert seen.split() == [b"20", str(64 * 1024 * 1024).encode()]
    daemon.run("volume", "rm", "kept", "shared")


def test_owner_and_guest_when_the_daemon_is_killed_go_on(own_daemon: Hyperd, busybox: str) -> None:
    """Killed and back: programs, output and exit codes go on, a paused one stays paused, ends are seen."""
    daemon = own_daemon
    start_owner(daemon, busybox)
    join(daemon, busybox, "sh", "-c", at_usr1("echo went; exit 9"))
    follow(daemon, "side", "up")
    join(daemon, busybox, "sleep", "6000", name="still")
    daemon.run("pause", "still")
    daemon.kill()
    daemon.start()
    assert machine(daemon, "side") == machine(daemon, "web")
    assert daemon.run("exec", "side", "echo", "on") == b"on\n"
    daemon.run("kill", "-s", "USR1", "side")
    assert daemon.run("wait", "side") == b"9\n"
    assert daemon.run("logs", "side") == b"up\nwent\n"
    assert inspect(daemon, "still")["State"]["Paused"]
    daemon.run("unpause", "still")
    join(daemon, busybox, "echo", "more", name="third")
    assert daemon.run("wait", "third") == b"0\n"
    assert daemon.stop() == 0
    daemon.start()
    assert daemon.run("exec", "still", "echo", "on") == b"on\n"
    daemon.run("stop", "-t", "0", "web")
    states = json.loads(daemon.run("inspect", "still", "third", "side", "web"))
    assert [item["State"]["Running"] for item in states] == [False] * 4


def test_fifty_join_at_once(daemon: Hyperd, busybox: str) -> None:
    """All in one machine, each with files, output and exit code of its own; with the owner they all end."""
    daemon.run("run", "-d", "--name", "web", "-m", "512m", busybox, "sh", "-c", SERVER)
    follow(daemon, "web", "up")
    mode = {"NetworkMode": "container:web"}
    script = (
        "trap 'exit 7' TERM; echo $0 >/mine; cat /mine; wget -qO- http://127.0.0.1/ || exit 1; "
        "sleep 6000 & wait"
    )

    def one(number: int) -> str:
        made = create(daemon, busybox, "sh", "-c", script, str(number), HostConfig=mode)
        daemon.api.post(f"/containers/{made}/start")
        follow(daemon, made, "page")
        return made

    with ThreadPoolExecutor(50) as pool:
        joined = list(pool.map(one, range(50)))
    assert {machine(daemon, item) for item in joined} == {machine(daemon, "web")}
    for number, item in enumerate(joined):
        assert daemon.run("logs", item) == f"{number}\npage\n".encode()
    daemon.run("rm", "-f", *joined[:25])
    assert daemon.run("exec", joined[25], "cat", "/mine") == b"25\n"
    daemon.run("stop", "-t", "0", "web")
    states = [inspect(daemon, item)["State"] for item in joined[25:]]
    assert {(state["Running"], state["ExitCode"]) for state in states} == {(False, 7)}
