"""The main job: real containers in real machines, through the stock docker client and the API."""

from __future__ import annotations

import hashlib
import ipaddress
import os
import random
import re
import socket

import pytest

from tests.support.api import ApiError
from tests.support.containers import SERVE, create, follow, port_of, run
from tests.support.hyperd import Hyperd
from tests.support.networks import fetch_page

pytestmark = pytest.mark.vm


def test_the_program_runs_on_a_kernel_of_its_own(daemon: Hyperd, busybox: str) -> None:
    """``uname -r`` differs from the host's, and nothing of the machine is left after --rm."""
    out = daemon.run("run", "--rm", busybox, "uname", "-r").decode().strip()
    assert out.endswith("-hyper")
    assert out != os.uname().release
    assert daemon.api.get("/containers/json?all=1") == []
    assert list((daemon.data_root / "containers").iterdir()) == []
    assert list((daemon.exec_root / "vm").iterdir()) == []


def test_an_idle_guest_leaves_its_host_alone(daemon: Hyperd, busybox: str) -> None:
    """Its kernel does not wake twice a second to look whether memory is scattered: with 200 of them that is a fifth of
    two CPUs."""
    out = daemon.run("run", "--rm", busybox, "cat", "/proc/sys/vm/compaction_proactiveness")
    assert out == b"0\n"


@pytest.mark.parametrize(
    ("cmd", "code"),
    [
        (["true"], 0),
        (["sh", "-c", "exit 17"], 17),
        (["nosuch"], 127),
        (["/etc"], 126),
        (["/etc/passwd"], 126),
        (["/nosuch/x"], 127),
        (["sh", "-c", "sh -c 'kill -9 $$'; exit $?"], 137),
    ],
)
def test_exit_codes_are_dockers(daemon: Hyperd, busybox: str, cmd: list[str], code: int) -> None:
    """The program's own, 126, 127, and 128 + n; through the stock client."""
    assert daemon.docker("run", "--rm", busybox, *cmd).returncode == code


def test_standard_input_goes_through_byte_for_byte(daemon: Hyperd, busybox: str) -> None:
    """Three megabytes of noise in and back; the end of input ends the program."""
    data = random.Random(1).randbytes(3_000_000)
    out = daemon.run("run", "--rm", "-i", busybox, "cat", stdin=data)
    assert hashlib.sha256(out).digest() == hashlib.sha256(data).digest()


def test_both_streams_arrive_apart(daemon: Hyperd, busybox: str) -> None:
    """Multiplexed while attached and in the logs."""
    done = daemon.docker("run", "--name", "two", busybox, "sh", "-c", "echo out; echo err >&2")
    assert (done.stdout, done.stderr) == (b"out\n", b"err\n")
    logs = daemon.docker("logs", "two")
    assert (logs.stdout, logs.stderr) == (b"out\n", b"err\n")


def test_a_published_port_answers(daemon: Hyperd, busybox: str) -> None:
    """``-p`` to a server in the guest, at a port that is found for it."""
    daemon.run("run", "-d", "--name", "web", "-p", "127.0.0.1::80", busybox, "sh", "-c", SERVE)
    follow(daemon, "web", "up")
    port = port_of(daemon, "web", "80")
    assert fetch_page(port) == "hello\n"
    assert daemon.run("port", "web").decode() == f"80/tcp -> 127.0.0.1:{port}\n"


def test_a_port_in_use_is_said_in_dockers_words(daemon: Hyperd, busybox: str) -> None:
    """And the container can be started once it is free."""
    container = ""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        bindings = {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(port)}]}
        container = create(daemon, busybox, "sleep", "60", HostConfig={"PortBindings": bindings})
        with pytest.raises(ApiError, match="port is already allocated") as error:
            daemon.api.post(f"/containers/{container}/start")
        assert error.value.status == 409
        assert daemon.api.get(f"/containers/{container}/json")["State"]["Status"] == "created"
    daemon.api.post(f"/containers/{container}/start")


def test_exec_has_its_own_user_environment_and_code(daemon: Hyperd, busybox: str) -> None:
    """Beside the running program, through the stock client."""
    daemon.run("run", "-d", "--name", "box", busybox, "sleep", "600")
    done = daemon.docker("exec", "-e", "A=1", "-w", "/tmp", "-u", "nobody", "box", "sh", "-c",
                         "echo $A $(pwd) $(id -un); exit 5")  # fmt: skip
    assert (done.returncode, done.stdout) == (5, b"1 /tmp nobody\n")
    assert daemon.docker("exec", "box", "nosuch").returncode == 127
    data = random.Random(2).randbytes(1_000_000)
    assert daemon.run("exec", "-i", "box", "cat", stdin=data) == data


def test_a_stopped_container_keeps_its_files_and_starts_again(daemon: Hyperd, busybox: str) -> None:
    """Also after its machine was killed hard: the journal is replayed."""
    script = "cat /kept 2>/dev/null || { echo again > /kept; sync; echo first; }; exec sleep 600"
    daemon.run("run", "-d", "--name", "keep", busybox, "sh", "-c", script)
    follow(daemon, "keep", "first")
    daemon.run("stop", "-t", "0", "keep")
    daemon.run("start", "keep")
    follow(daemon, "keep", "again")
    daemon.run("kill", "keep")
    assert daemon.api.get("/containers/keep/json")["State"]["ExitCode"] == 137


def test_the_container_knows_its_name_and_where_it_is(daemon: Hyperd, busybox: str) -> None:
    """hostname, hosts and resolv.conf; extra hosts; a network card with an address."""
    code, log = run(
        daemon,
        busybox,
        *("sh", "-c", "hostname; cat /etc/hostname /etc/hosts /etc/resolv.conf; ip addr show eth0"),
        Hostname="box",
        HostConfig={"ExtraHosts": ["db:10.9.9.9"]},
    )
    assert code == 0, log
    assert log.startswith("box\nbox\n")
    assert "10.9.9.9\tdb" in log
    subnet = daemon.api.get("/networks/bridge")["IPAM"]["Config"][0]
    assert f"nameserver {subnet['Gateway']}\n" in log
    address = re.search(r"inet ([0-9.]+/[0-9]+) ", log)
    assert address is not None
    assert ipaddress.ip_interface(address[1]).network == ipaddress.ip_network(subnet["Subnet"])


def test_limits_are_the_containers(daemon: Hyperd, busybox: str) -> None:
    """Its cgroup and what the machine shows have the memory, the kernel has its own beside; CPUs are virtual ones."""
    container = create(
        daemon, busybox, *("sh", "-c", "nproc; grep MemTotal /proc/meminfo; cat /sys/fs/cgroup/memory.max"),
        HostConfig={"Memory": 200 << 20, "NanoCpus": 2_000_000_000},
    )  # fmt: skip
    daemon.api.post(f"/containers/{container}/start")
    daemon.api.post(f"/containers/{container}/wait")
    cpus, memory, limit = daemon.run("logs", container).decode().splitlines()
    assert cpus == "2"
    assert 200 * 1024 < int(memory.split()[1]) < 236 * 1024
    assert int(limit) == 200 << 20
    view = daemon.api.get(f"/containers/{container}/json")["Hyper"]
    assert (view["VCPUs"], view["MemoryMiB"]) == (2, 200 + 32 + 5)


def test_a_read_only_root_is_and_tmpfs_is_not(daemon: Hyperd, busybox: str) -> None:
    """--read-only with a --tmpfs beside it."""
    script = "touch /x 2>/dev/null && echo wrote; touch /t/x && stat -f -c %T /t; exit 3"
    host = {"ReadonlyRootfs": True, "Tmpfs": {"/t": "size=1m"}}
    assert run(daemon, busybox, "sh", "-c", script, HostConfig=host) == (3, "tmpfs\n")


def test_capabilities_are_dockers_default(daemon: Hyperd, busybox: str) -> None:
    """Root in the container is not root of the guest: no mounting, no clock setting."""
    script = "mount -t tmpfs x /mnt 2>/dev/null && echo mounted; grep CapEff /proc/self/status"
    code, log = run(daemon, busybox, "sh", "-c", script)
    assert (code, log.split()) == (0, ["CapEff:", "00000000a80425fb"])


def test_nothing_is_inheritable(daemon: Hyperd, busybox: str) -> None:
    """A plain user gains nothing by a file that gives what is inheritable (CVE-2022-24769): root has nothing to inherit
    either, not even when privileged, nor has an exec."""
    show = ["grep", "CapInh", "/proc/self/status"]
    for options in ([], ["--privileged"], ["--user", "1000"], ["--cap-add", "ALL"]):
        name = "".join(options) or "plain"
        words = ["run", "-d", "--name", name.strip("-"), *options, busybox, "sh", "-c"]
        daemon.run(*words, f"{' '.join(show)}; sleep 1000")
        told = [daemon.run("exec", name.strip("-"), *show)]
        follow(daemon, name.strip("-"), "CapInh")
        told.append(daemon.run("logs", name.strip("-")))
        assert told == [b"CapInh:\t0000000000000000\n"] * 2, options


def test_logs_can_be_chosen_by_tail_and_time(daemon: Hyperd, busybox: str) -> None:
    """tail, timestamps, since; the client prints what was asked for."""
    run(daemon, busybox, "sh", "-c", "for i in 1 2 3 4 5; do echo line$i; done", name="log")
    assert daemon.run("logs", "--tail", "2", "log") == b"line4\nline5\n"
    assert daemon.run("logs", "--tail", "0", "log") == b""
    stamped = daemon.run("logs", "-t", "log").decode().splitlines()
    assert [line.split()[1] for line in stamped] == [f"line{n}" for n in range(1, 6)]
    since = stamped[0].split()[0]
    assert daemon.run("logs", "--since", since, "log").decode().splitlines()[0] == "line1"
    assert daemon.run("logs", "--since", "2999-01-01", "log") == b""


def test_a_hundred_kilobytes_without_newline_are_logged_whole(daemon: Hyperd, busybox: str) -> None:
    """Long lines are kept in pieces and read back as one."""
    run(daemon, busybox, "sh", "-c", "head -c 100000 /dev/zero | tr '\\0' x", name="long")
    assert daemon.run("logs", "long") == b"x" * 100_000


def test_list_filters(daemon: Hyperd, busybox: str) -> None:
    """By label, name, status and ancestor, as docker ps does."""
    one = create(daemon, busybox, "true", name="alpha", Labels={"tier": "web"})
    create(daemon, busybox, "true", name="beta")
    assert daemon.run("ps", "-aq", "--no-trunc", "-f", "label=tier=web").decode().split() == [one]
    assert len(daemon.run("ps", "-aq", "-f", f"ancestor={busybox}").split()) == 2
    assert len(daemon.run("ps", "-aq", "-f", "status=created").split()) == 2
    assert daemon.run("ps", "-q").split() == []
    assert daemon.docker("ps", "-f", "nosuch=1").returncode == 1


def test_events_tell_a_life(daemon: Hyperd, busybox: str) -> None:
    """create, start, die with its code, destroy: in that order, from the history."""
    container = create(daemon, busybox, "sh", "-c", "exit 4", name="ev")
    daemon.api.post(f"/containers/{container}/start")
    daemon.api.post(f"/containers/{container}/wait")
    daemon.api.delete(f"/containers/{container}")
    filters = '{"container":["ev"]}'.replace('"', "%22")
    lines = daemon.api.lines(f"/events?since=1&until=9999999999.5&filters={filters}")
    seen = []
    for event in lines:
        seen.append((event["Action"], event["Actor"]["Attributes"].get("exitCode")))
        if event["Action"] == "destroy":
            break
    lines.close()
    assert seen == [("create", None), ("start", None), ("die", "4"), ("destroy", None)]
