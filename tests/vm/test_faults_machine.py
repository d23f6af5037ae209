"""Machines that die, panic, run out of everything, or are asked for too much at once."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import random
import re
import subprocess
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.support.api import ApiError
from tests.support.containers import cgroups, create, follow, pid_of, run, state
from tests.support.daemon_log import bugs
from tests.support.disks import small_disk
from tests.support.hyperd import Hyperd, hyperd
from tests.support.processes import end

pytestmark = pytest.mark.vm


def start(daemon: Hyperd, image: str, *cmd: str, **body: Any) -> str:
    """A started container's id."""
    container = create(daemon, image, *cmd, **body)
    daemon.api.post(f"/containers/{container}/start")
    return container


def gone(daemon: Hyperd, container: str) -> None:
    """Nothing of the container's last machine is left: process, sockets, control groups."""
    daemon.api.delete(f"/containers/{container}?force=1")
    assert not (daemon.exec_root / "vm" / container[:16]).exists()
    assert cgroups(container) == []


def test_a_killed_hypervisor_is_137_with_a_reason(daemon: Hyperd, busybox: str) -> None:
    """Also for the exec inside; nothing is left, and it starts again."""
    box = start(daemon, busybox, "sleep", "3600")
    exec_id = daemon.api.post(
        f"/containers/{box}/exec", {"Cmd": ["sleep", "99"], "AttachStdout": True}
    )["Id"]
    daemon.api.post(f"/exec/{exec_id}/start", {"Detach": True})
    end(pid_of(daemon, box))
    assert daemon.api.post(f"/containers/{box}/wait")["StatusCode"] == 137
    found = state(daemon, box)
    assert (found["Status"], found["ExitCode"], found["OOMKilled"]) == ("exited", 137, False)
    assert "the machine ended unexpectedly" in str(found["Error"])
    view = daemon.api.get(f"/exec/{exec_id}/json")
    assert (view["Running"], view["ExitCode"]) == (False, 137)
    daemon.api.post(f"/containers/{box}/start")
    assert daemon.run("exec", box, "echo", "again") == b"again\n"
    gone(daemon, box)
    assert bugs(daemon) == []


def test_a_killed_hypervisor_leaves_nothing_before_it_is_removed(
    daemon: Hyperd, busybox: str
) -> None:
    """Control groups and sockets go when the machine does."""
    box = start(daemon, busybox, "sleep", "3600")
    end(pid_of(daemon, box))
    daemon.api.post(f"/containers/{box}/wait")
    daemon.api.post(
        f"/containers/{box}/restart?t=0"
    )  # waits until the old machine is gone for good
    daemon.api.post(f"/containers/{box}/stop?t=0")
    assert cgroups(box) == []
    assert list((daemon.exec_root / "vm").iterdir()) == []


@pytest.fixture
def booting(busybox: str) -> Iterator[Hyperd]:
    """A daemon whose machines all boot: there is no other way to fall back to."""
    with hyperd("--templates=false") as daemon:
        daemon.run("pull", "-q", busybox)
        daemon.run("run", "--rm", busybox, "true")  # the hypervisors have been tried
        yield daemon


def test_a_hypervisor_killed_during_the_start(booting: Hyperd, busybox: str) -> None:
    """The start fails with a reason; the container is whole, and starts the next time."""
    daemon = booting
    box = create(daemon, busybox, "sleep", "3600")
    with ThreadPoolExecutor(1) as pool:
        starting = pool.submit(daemon.api.raw, "POST", f"/containers/{box}/start")
        end(first_machine(daemon))
        status, content = starting.result()
    assert status == 500, content
    assert b"the machine ended before" in content or b"did not start" in content
    found = state(daemon, box)
    assert (found["Status"], found["Running"]) == ("created", False)
    assert found["Error"]
    assert cgroups(box) == []
    daemon.api.post(f"/containers/{box}/start")
    gone(daemon, box)


def first_machine(daemon: Hyperd) -> int:
    """The pid of the hypervisor that is being started now."""
    children = Path(f"/proc/{daemon.pid}/task/{daemon.pid}/children")
    while True:
        for pid in descendants(children):
            with contextlib.suppress(OSError):
                if b"qemu-system" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0]:
                    return pid


def descendants(children: Path) -> Iterator[int]:
    """All below one process."""
    with contextlib.suppress(OSError):
        for pid in map(int, children.read_text().split()):
            yield pid
            yield from descendants(Path(f"/proc/{pid}/task/{pid}/children"))


PANICS = {
    "sysrq": "echo c > /proc/sysrq-trigger",
    "reboot": "reboot -f",
    "power off": "poweroff -f",
    "init killed": "kill -9 1; kill -SEGV 1",
}


@pytest.mark.parametrize("how", ["sysrq"])
def test_a_guest_that_panics_shows_its_console(daemon: Hyperd, busybox: str, how: str) -> None:
    """The kernel's last words are in the error, safe to print."""
    box = start(
        daemon,
        busybox,
        "sh",
        "-c",
        "echo up; exec sleep 3600",
        HostConfig={"Privileged": True},
    )
    follow(daemon, box, "up")
    daemon.docker("exec", "-d", "--privileged", box, "sh", "-c", PANICS[how])
    assert daemon.api.post(f"/containers/{box}/wait")["StatusCode"] == 137
    error = str(state(daemon, box)["Error"])
    assert "the machine ended unexpectedly" in error
    assert "end of the machine's console" in error
    assert "panic" in error
    # For traces of failed tests, whichever way the machine ended.
    told = daemon.log.read_text().rpartition(" has ended; the end of its console:\n")[2]
    assert "panic" in told.partition(" DEBUG ")[0]
    assert "\x1b" not in error
    assert daemon.run("logs", box) == b"up\n"
    gone(daemon, box)


@pytest.mark.parametrize("how", ["reboot", "power off"])
def test_a_guest_that_turns_itself_off_has_ended(daemon: Hyperd, busybox: str, how: str) -> None:
    """In its own PID namespace that ends the program; whatever happens, the container is exited and removable."""
    box = start(
        daemon, busybox, "sh", "-c", f"{PANICS[how]}; exec true", HostConfig={"Privileged": True}
    )
    daemon.api.post(f"/containers/{box}/wait")
    assert state(daemon, box)["Status"] == "exited"
    gone(daemon, box)


def test_out_of_memory_in_the_guest_ends_the_program_and_is_told(
    daemon: Hyperd, busybox: str
) -> None:
    """The kernel ends the program, the agent tells why; the next start has all memory again."""
    # One read(2) into more memory than is free. What grows in steps may thrash first: its own code is the last page
    # cache there is, thrown away and read again for up to minutes on a busy host, and so never nothing to reclaim.
    box = start(daemon, busybox, "dd", "if=/dev/zero", "of=/dev/null", "bs=240M")
    assert daemon.run("wait", box) == b"137\n"
    found = state(daemon, box)
    assert (found["ExitCode"], found["OOMKilled"], found["Error"]) == (137, True, "")
    gone(daemon, box)


def test_full_file_system_in_the_guest_leaves_the_machine_running(
    daemon: Hyperd, busybox: str
) -> None:
    """ENOSPC is the program's to handle; the machine goes on."""
    script = (
        "dd if=/dev/zero of=/t/x bs=1M count=10 2>/tmp/e; grep -o 'No space left' /tmp/e; exit 3"
    )
    assert run(daemon, busybox, "sh", "-c", script, HostConfig={"Tmpfs": {"/t": "size=1m"}}) == (
        3,
        "No space left\n",
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system")
def test_full_disk_of_the_host_loses_log_lines_and_says_so(busybox: str) -> None:
    """Log lines are lost and said to be; the program goes on, its code is told; with room all is well again."""
    with (
        small_disk("64m") as folder,
        hyperd("--data-root", str(folder), "--templates=false") as daemon,
    ):  # one that is being written would give room back
        daemon.run("pull", "-q", busybox)
        script = "sync; echo up; read x; i=0; while [ $i -lt 2000 ]; do echo line$i; i=$((i+1)); done; exit 9"
        box = start(daemon, busybox, "sh", "-c", script, OpenStdin=True)
        other = create(daemon, busybox, "true")
        follow(daemon, box, "up")
        with contextlib.suppress(OSError), (folder / "ballast").open("wb", buffering=0) as ballast:
            while ballast.write(bytes(4096)):
                pass
        status, content = daemon.api.raw("POST", f"/containers/{other}/start")
        assert status >= 400
        assert b"no space left" in content or b"full" in content
        status, content = daemon.api.raw(
            "POST", "/containers/create", b'{"Image": "%s", "Cmd": ["true"]}' % busybox.encode()
        )
        assert status == 500
        assert b"no space left" in content or b"full" in content
        client = subprocess.run(
            ["docker", "attach", "--no-stdin=false", box], input=b"go\n", capture_output=True, timeout=60,
            env={**os.environ, "DOCKER_HOST": daemon.host},
        )  # fmt: skip
        assert client.returncode == 9
        assert client.stdout.endswith(b"line1999\n")
        assert daemon.api.post(f"/containers/{box}/wait")["StatusCode"] == 9
        assert "log lines are lost" in daemon.log.read_text()
        (folder / "ballast").unlink()
        assert run(daemon, busybox, "echo", "room") == (0, "room\n")
        daemon.api.post(f"/containers/{other}/start")
        assert "failed\nTraceback" not in daemon.log.read_text()


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system")
@pytest.mark.parametrize("daemon_dies", [False, True], ids=["watched", "found again"])
def test_a_write_to_a_full_disk_waits_for_room(busybox: str, daemon_dies: bool) -> None:
    """The machine stands still, which is said, and then goes on: the program has not lost what it wrote."""
    with (
        small_disk("64m") as folder,
        hyperd("--data-root", str(folder), "--templates=false") as daemon,
    ):
        daemon.run("pull", "-q", busybox)
        script = "echo up; read x; yes | head -c 9000000 >/f; sync; md5sum /f"
        box = start(daemon, busybox, "sh", "-c", script, OpenStdin=True)
        follow(daemon, box, "up")
        with contextlib.suppress(OSError), (folder / "ballast").open("wb", buffering=0) as ballast:
            while ballast.write(bytes(4096)):
                pass
        with subprocess.Popen(
            ["docker", "attach", box], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env={**os.environ, "DOCKER_HOST": daemon.host},
        ) as client:  # fmt: skip
            assert client.stdin is not None
            client.stdin.write(b"go\n")
            client.stdin.flush()
            next(daemon.lines(f"machine {box[:16]} stands still: the host's disk is full"))
            if daemon_dies:
                daemon.kill()
            (folder / "ballast").unlink()
            if daemon_dies:
                daemon.start()
            assert daemon.api.post(f"/containers/{box}/wait")["StatusCode"] == 0
        written = b"y\n" * 4_500_000
        expected = hashlib.md5(written).hexdigest()
        assert daemon.run("logs", box).decode().split() == ["up", expected, "/f"]
        # By another machine: what this one saw may never have left its memory.
        with tarfile.open(fileobj=io.BytesIO(daemon.run("cp", f"{box}:/f", "-"))) as tar:
            file = tar.extractfile("f")
            assert file is not None
            assert file.read() == written


def test_a_fork_bomb_is_its_containers_problem(daemon: Hyperd, busybox: str) -> None:
    """The daemon and a second container answer meanwhile, and it can be ended."""
    calm = start(daemon, busybox, "sleep", "3600")
    bomb = start(daemon, busybox, "sh", "-c", "echo up; f() { f | f & }; f; while :; do f; done")
    follow(daemon, bomb, "up")
    for _ in range(5):
        assert daemon.run("exec", calm, "echo", "calm") == b"calm\n"
        assert daemon.api.get("/_ping") == b"OK"
    daemon.api.delete(f"/containers/{bomb}?force=1")
    assert daemon.run("exec", calm, "echo", "calm") == b"calm\n"


def test_a_flood_of_output_delays_nobody(daemon: Hyperd, busybox: str) -> None:
    """200 MB into the log, while execs in the same container and another one go on."""
    calm = start(daemon, busybox, "sleep", "3600")
    flood = create(
        daemon,
        busybox,
        "sh",
        "-c",
        "head -c 200000000 /dev/zero; until [ -e /asked ]; do head -c 1000000 /dev/zero; done",
        Tty=False,
        HostConfig={"NanoCpus": 10**9},
    )
    daemon.api.post(f"/containers/{flood}/start")
    waiting = ThreadPoolExecutor(1)
    ending = waiting.submit(daemon.api.post, f"/containers/{flood}/wait")
    answered = 0
    for _ in range(3):
        assert daemon.run("exec", calm, "echo", "calm") == b"calm\n"
        if not ending.done():
            done = daemon.docker("exec", flood, "sh", "-c", "touch /asked; echo me too")
            answered += done.stdout == b"me too\n"
    assert ending.result()["StatusCode"] == 0
    waiting.shutdown()
    assert answered
    assert (daemon.data_root / "containers" / flood / "log").stat().st_size > 200_000_000


def test_twenty_containers_at_once_run_to_their_ends(daemon: Hyperd, busybox: str) -> None:
    """All start, all run to their end, each with its own words."""
    with ThreadPoolExecutor(20) as pool:
        results = list(
            pool.map(lambda n: run(daemon, busybox, "sh", "-c", f"echo {n}; exit {n}"), range(20))
        )
    assert results == [(number, f"{number}\n") for number in range(20)]
    assert bugs(daemon) == []


def test_removal_by_force_during_the_start(daemon: Hyperd, busybox: str) -> None:
    """At whatever moment: both answers make sense and nothing is left."""
    for _ in range(4):
        box = create(daemon, busybox, "sleep", "3600")
        with ThreadPoolExecutor(2) as pool:
            starting = pool.submit(daemon.api.raw, "POST", f"/containers/{box}/start")
            removing = pool.submit(daemon.api.raw, "DELETE", f"/containers/{box}?force=1")
            assert removing.result()[0] == 204
            assert starting.result()[0] in (204, 404, 409)
        assert daemon.api.raw("GET", f"/containers/{box}/json")[0] == 404
        assert cgroups(box) == []
    assert daemon.machines() == []


STORM = [
    "start",
    "stop?t=0",
    "kill",
    "restart?t=0",
    "kill?signal=TERM",
    "resize?h=10&w=10",
    "DELETE",
    "json",
    "logs?stdout=1",
    "exec",
]


@pytest.mark.parametrize("seed", range(3))
def test_requests_by_sixteen_threads_on_one_container_never_fail(
    daemon: Hyperd, busybox: str, seed: int
) -> None:
    """Sixteen threads at once: never a 500, and in the end a state that is true."""
    box = create(daemon, busybox, "sleep", "3600")
    answers: list[tuple[str, int, bytes]] = []

    def blow(number: int) -> None:
        chance = random.Random(seed * 100 + number)
        for _ in range(6):
            verb = chance.choice(STORM)
            answers.append((verb, *gust(daemon, box, verb)))

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(blow, range(16)))
    assert [item for item in answers if item[1] >= 500] == []
    if daemon.api.raw("GET", f"/containers/{box}/json")[0] == 200:
        found = state(daemon, box)
        assert found["Status"] in ("created", "running", "exited")
        # One that has ended may still be unmounting; one that runs has a machine.
        assert not found["Running"] or daemon.machines() != []
        gone(daemon, box)
    assert daemon.machines() == []
    assert bugs(daemon) == []


def gust(daemon: Hyperd, box: str, verb: str) -> tuple[int, bytes]:
    """One request of the storm."""
    path = f"/containers/{box}"
    if verb == "DELETE":
        return daemon.api.raw(
            "DELETE", path
        )  # without force: it may be refused, or be the end of it
    if verb in ("json", "logs?stdout=1"):
        return daemon.api.raw("GET", f"{path}/{verb}")
    if verb == "exec":
        status, content = daemon.api.raw(
            "POST", f"{path}/exec", b'{"Cmd": ["true"], "AttachStdout": true}'
        )
        if status == 201:
            exec_id = re.findall(rb"[0-9a-f]{64}", content)[0].decode()
            return daemon.api.raw("POST", f"/exec/{exec_id}/start", b"{}")
        return status, content
    return daemon.api.raw("POST", f"{path}/{verb}")


def test_creations_of_one_name_at_once_have_one_winner(daemon: Hyperd, busybox: str) -> None:
    """One wins, the others are told who has it."""

    def attempt(_: int) -> str:
        try:
            return create(daemon, busybox, "true", name="one")
        except ApiError as error:
            assert error.status == 409
            return ""

    with ThreadPoolExecutor(16) as pool:
        made = [item for item in pool.map(attempt, range(32)) if item]
    assert len(made) == 1
    assert [item["Id"] for item in daemon.api.get("/containers/json?all=1")] == made
