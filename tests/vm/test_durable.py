"""``kill -9`` of the daemon at any moment loses no container, no log line, no exit code."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.containers import create, follow, state
from tests.support.dockerd import Engine
from tests.support.hyperd import Hyperd
from tests.support.processes import end

pytestmark = pytest.mark.vm

COUNTER = "i=0; while [ $i -lt {count} ]; do echo line$i; i=$((i+1)); {between}; done; exit 9"


def test_a_killed_daemon_finds_its_machine_again(own_daemon: Hyperd, busybox: str) -> None:
    """The machine never stopped: logs go on, exec and attach work, stop stops it."""
    daemon = own_daemon
    daemon.run("run", "-d", "--name", "box", busybox, "sh", "-c",
               "echo up; exec sleep 600")  # fmt: skip
    before = daemon.api.get("/containers/box/json")["Hyper"]
    daemon.kill()
    daemon.start()
    after = daemon.api.get("/containers/box/json")["Hyper"]
    assert (after["Pid"], after["Accelerator"]) == (before["Pid"], before["Accelerator"])
    assert state(daemon, "box")["Status"] == "running"
    assert daemon.run("exec", "box", "echo", "alive") == b"alive\n"
    daemon.run("stop", "-t", "1", "box")
    assert state(daemon, "box")["Status"] == "exited"


@pytest.mark.parametrize("kills", [1, 4])
def test_no_line_is_lost_or_told_twice(own_daemon: Hyperd, busybox: str, kills: int) -> None:
    """20,000 lines written while the daemon is killed again and again; and the exit code is kept."""
    daemon, count = own_daemon, 20_000
    container = create(daemon, busybox, "sh", "-c", COUNTER.format(count=count, between=":"))
    daemon.api.post(f"/containers/{container}/start")
    for _ in range(kills):
        daemon.kill()
        daemon.start()
    assert daemon.api.post(f"/containers/{container}/wait")["StatusCode"] == 9
    lines = daemon.run("logs", container).decode().splitlines()
    assert lines == [f"line{number}" for number in range(count)]


def test_exit_of_a_program_that_had_closed_its_outputs_is_not_missed(
    own_daemon: Hyperd, busybox: str
) -> None:
    """Their ends were acknowledged to the killed daemon, and do not come again."""
    daemon = own_daemon
    script = "echo up; exec >/dev/null 2>&1; touch /closed; while ! [ -e /end ]; do sleep 0.1; done; exit 4"
    daemon.run("run", "-d", "--name", "closed", busybox, "sh", "-c", script)
    daemon.run("exec", "closed", "sh", "-c", "while ! [ -e /closed ]; do sleep 0.1; done")
    daemon.kill()
    daemon.start()
    daemon.run("exec", "closed", "touch", "/end")
    assert daemon.run("wait", "closed") == b"4\n"
    assert daemon.run("logs", "closed") == b"up\n"


def test_a_program_that_ends_while_nobody_listens_is_not_forgotten(
    own_daemon: Hyperd, busybox: str, tmp_path: Path
) -> None:
    """The agent keeps the exit code and the last words until a daemon asks."""
    daemon = own_daemon
    daemon.run(
        "run",
        "-d",
        "-i",
        "--name",
        "end",
        "-v",
        f"{tmp_path}:/d",
        busybox,
        "sh",
        "-c",
        "echo up; until [ -e /d/go ]; do sleep 0.1; done; echo last; touch /d/went; exit 3",
    )
    follow(daemon, "end", "up")
    pid = daemon.api.get("/containers/end/json")["Hyper"]["Pid"]
    daemon.kill()
    assert Path(f"/proc/{pid}").exists()
    (tmp_path / "go").touch()
    while not (tmp_path / "went").exists():
        os.sched_yield()
    daemon.start()
    assert daemon.api.post("/containers/end/wait")["StatusCode"] == 3
    assert daemon.run("logs", "end") == b"up\nlast\n"


def test_an_exec_goes_on_and_its_code_is_kept(own_daemon: Hyperd, busybox: str) -> None:
    """An exec that was running when the daemon was killed is watched over again."""
    daemon = own_daemon
    daemon.run("run", "-d", "--name", "box", busybox, "sleep", "600")
    exec_id = daemon.api.post(
        "/containers/box/exec",
        {"Cmd": ["sh", "-c", "until [ -e /go ]; do :; done; exit 7"], "AttachStdout": True},
    )["Id"]
    daemon.api.post(f"/exec/{exec_id}/start", {"Detach": True})
    daemon.kill()
    daemon.start()
    assert daemon.api.get(f"/exec/{exec_id}/json")["Running"]
    events = daemon.api.lines("/events")
    daemon.run("exec", "box", "touch", "/go")
    codes = (item["Actor"]["Attributes"] for item in events if item["Action"] == "exec_die")
    assert next(item["exitCode"] for item in codes if item["execID"] == exec_id) == "7"
    events.close()
    assert daemon.api.get(f"/exec/{exec_id}/json")["ExitCode"] == 7


def test_after_a_reboot_containers_are_exited_and_start_again(
    own_daemon: Hyperd, busybox: str
) -> None:
    """The host's end takes daemon and machines along: nothing dangles, files are kept."""
    daemon = own_daemon
    script = "cat /kept 2>/dev/null; echo kept > /kept; sync; echo up; exec sleep 600"
    daemon.run("run", "-d", "--name", "box", busybox, "sh", "-c", script)
    daemon.run("run", "-d", "--rm", "--name", "gone", busybox, "sleep", "600")
    follow(daemon, "box", "up")
    pids = [daemon.api.get(f"/containers/{name}/json")["Hyper"]["Pid"] for name in ("box", "gone")]
    daemon.kill()
    for pid in pids:
        end(pid)
    daemon.start()
    assert state(daemon, "box")["Status"] == "exited"
    assert state(daemon, "box")["ExitCode"] == 255
    assert [item["Names"] for item in daemon.api.get("/containers/json?all=1")] == [["/box"]]
    assert list((daemon.exec_root / "vm").iterdir()) == []
    daemon.run("start", "box")
    follow(daemon, "box", "kept")


def test_a_killed_machine_is_told_as_137_with_a_reason(own_daemon: Hyperd, busybox: str) -> None:
    """Somebody ends the hypervisor: wait returns, the state says why, the container starts again."""
    daemon = own_daemon
    daemon.run("run", "-d", "--name", "box", busybox, "sleep", "600")
    end(daemon.api.get("/containers/box/json")["Hyper"]["Pid"])
    assert daemon.api.post("/containers/box/wait")["StatusCode"] == 137
    assert "ended unexpectedly" in str(state(daemon, "box")["Error"])
    daemon.run("start", "box")


def test_killed_in_the_middle_of_starts_nothing_dangles(own_daemon: Hyperd, busybox: str) -> None:
    """The daemon dies at different moments of a start; afterwards every container is whole and removable."""
    daemon = own_daemon
    for number in range(6):
        name = f"box{number}"
        create(daemon, busybox, "sleep", "600", name=name)
        told = daemon.log.stat().st_size
        client = subprocess.Popen(
            ["docker", "start", name], env=Engine(daemon.host, "").environ(),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        wait_for_growth(daemon.log, told + 200 * number)
        daemon.kill()
        client.wait()
        daemon.start()
        assert state(daemon, name)["Status"] in ("created", "running", "exited")
    daemon.clear()
    assert list((daemon.exec_root / "vm").iterdir()) == []


def wait_for_growth(log: Path, size: int) -> None:
    """Return once the daemon's log has ``size`` bytes: a moment that depends on its progress, not on time."""
    while log.stat().st_size < size:
        os.sched_yield()


def test_two_daemons_on_one_root_are_refused(own_daemon: Hyperd) -> None:
    """The second says who has the root, and the first goes on."""
    second = subprocess.run(own_daemon.argv(), capture_output=True, timeout=60)
    assert second.returncode == 1
    assert f"in use by process {own_daemon.pid}".encode() in second.stderr
    assert own_daemon.api.get("/_ping") == b"OK"
