"""Starts in waiting machines and in copies of templates: which way is taken, that each is a machine of its own.

And that no start fails because a fast way did.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hyper.system import memfd
from tests.support.containers import inspect
from tests.support.dockerd import Engine
from tests.support.hygiene import snapshot
from tests.support.hyperd import Hyperd, hyperd
from tests.support.processes import runs

pytestmark = pytest.mark.vm

HYPER = Path(sys.prefix) / "bin/hyper"


@pytest.fixture
def no_pool(busybox: str) -> Iterator[Hyperd]:
    """A daemon whose machines are copies of a template (which is there), and none waits."""
    with hyperd("--pool-memory", "0") as started:
        started.run("pull", "-q", busybox)
        started.api.post("/hyper/v1/templates", {})
        yield started


def start_of(daemon: Hyperd, name: str) -> Any:
    """How the last start of a container went."""
    return inspect(daemon, name)["Hyper"]["Start"]


def run(daemon: Hyperd, busybox: str, name: str, *flags: str) -> str:
    """The way on which a container that sleeps was started."""
    daemon.run("run", "-d", "--name", name, *flags, busybox, "sleep", "6000")
    return str(start_of(daemon, name)["Way"])


def settled(daemon: Hyperd) -> Any:
    """The pool, once as many machines wait as should."""
    return daemon.api.get("/hyper/v1/pool?wait=1")


def waiting(daemon: Hyperd) -> int:
    """The process of the machine that waits, once there is one."""
    settled(daemon)
    [record] = (daemon.exec_root / "pool").glob("pool-*/machine.json")
    return int(json.loads(record.read_bytes())["state"]["pid"])


def hyper(daemon: Hyperd, *words: str) -> subprocess.CompletedProcess[str]:
    """``hyper WORDS``, to its end."""
    environ = Engine(daemon.host, "").environ()
    return subprocess.run([HYPER, *words], capture_output=True, text=True, env=environ, timeout=120)


# Ways


def test_boot_then_pool_then_template(own_daemon: Hyperd, busybox: str) -> None:
    """The first start boots; its template follows, then a waiting machine; who finds none waiting has the template."""
    assert run(own_daemon, busybox, "first") == "boot"
    assert any("no template" in note for note in start_of(own_daemon, "first")["Notes"])
    [shelf] = settled(own_daemon)["Shelves"]
    assert (shelf["Waiting"], shelf["Wanted"], shelf["MemoryMiB"]) == (1, 1, 256)
    [template] = own_daemon.api.get("/hyper/v1/templates")
    assert (template["VCPUs"], template["MemoryMiB"], template["Loaded"]) == (1, 256, True)
    assert run(own_daemon, busybox, "second") == "pool"
    assert start_of(own_daemon, "second")["Notes"] == []
    own_daemon.run("rm", "-f", "first", "second")
    pool = settled(own_daemon)
    assert (pool["Taken"], pool["Missed"]) == (1, 1)
    # It survives the daemon on disk. A machine that waits does not: it is nobody's.
    assert own_daemon.stop() == 0
    assert list((own_daemon.exec_root / "pool").iterdir()) == []
    own_daemon.start()
    assert run(own_daemon, busybox, "third") == "template"


def test_fast_starts_when_off_always_boot(busybox: str) -> None:
    """In one setting all is off: every machine boots, and nothing is kept of it."""
    with hyperd("--templates=false") as daemon:
        daemon.run("pull", "-q", busybox)
        assert [run(daemon, busybox, name) for name in ("one", "two")] == ["boot", "boot"]
        assert hyper(daemon, "template", "ls").returncode == 1
        assert "--templates=false" in hyper(daemon, "pool").stderr
        assert not (daemon.data_root / "template").exists()


def test_template_is_used_by_machines_of_its_size_alone(no_pool: Hyperd, busybox: str) -> None:
    """A machine of another size or without a card is no copy of the template; a large one and one with binds boot."""
    assert run(no_pool, busybox, "usual") == "template"
    assert run(no_pool, busybox, "tight", "-m", "64m") == "boot"
    assert run(no_pool, busybox, "alone", "--network", "none") == "boot"
    assert run(no_pool, busybox, "large", "-m", "400m") == "boot"
    assert "320 MiB" in "".join(start_of(no_pool, "large")["Notes"])
    assert run(no_pool, busybox, "bound", "-v", "/etc:/e:ro") == "boot"
    assert "share files" in "".join(start_of(no_pool, "bound")["Notes"])
    built = no_pool.api.post("/hyper/v1/templates", {"MemoryMiB": 64})["Key"]
    assert run(no_pool, busybox, "tight2", "-m", "64m") == "template"
    assert no_pool.run("exec", "tight2", "sh", "-c", "grep -c MemTotal /proc/meminfo") == b"1\n"
    assert built in {item["Key"] for item in no_pool.api.get("/hyper/v1/templates")}


def test_pool_has_large_machines_too(own_daemon: Hyperd, busybox: str) -> None:
    """It has booted by itself, without a template."""
    flags = ("--memory", "400m", "--network", "none")
    assert run(own_daemon, busybox, "first", *flags) == "boot"
    settled(own_daemon)
    assert own_daemon.api.get("/hyper/v1/templates") == []
    assert run(own_daemon, busybox, "second", *flags) == "pool"
    total = own_daemon.run("exec", "second", "grep", "MemTotal", "/proc/meminfo").split()[1]
    assert 400 * 1024 < int(total) < 440 * 1024


def test_template_copy_has_what_it_was_asked_for(own_daemon: Hyperd, busybox: str) -> None:
    """Volumes, limits, name, ports, read-only root, user, more disks than slots: as in a machine that booted."""
    flags = ("--cpus", "0.5", "--pids-limit", "50", "--hostname", "me", "-p", "127.0.0.1::80",
             "-v", "one:/one", "-v", "two:/two", "--read-only", "-u", "1000:50")  # fmt: skip
    script = "hostname; id -u; id -g; cat /sys/fs/cgroup/pids.max; touch /x || echo read-only; ls -d /one /two"
    seen = []
    ways = []
    for volume in (
        "one",
        "two",
    ):  # a directory shared with the host cannot come to a machine that runs
        own_daemon.run("volume", "create", "-o", "type=image", volume)
    for name in ("booted", "copied"):
        own_daemon.run("run", "-d", "--name", name, *flags, busybox, "sleep", "6000")
        ways.append(start_of(own_daemon, name)["Way"])
        seen.append(own_daemon.docker("exec", name, "sh", "-c", script).stdout)
        own_daemon.run("rm", "-f", name)
        settled(own_daemon)
    assert ways == ["boot", "pool"]
    assert seen[0] == seen[1] == b"me\n1000\n50\n50\nread-only\n/one\n/two\n"


def test_twenty_starts_at_once_all_succeed(own_daemon: Hyperd, busybox: str) -> None:
    """Twenty starts at the same moment: each has a machine of its own, whichever way it came; none fails."""
    own_daemon.run("run", "--rm", busybox, "true")
    settled(own_daemon)
    environ = Engine(own_daemon.host, "").environ()
    argv = ["docker", "run", "--rm", busybox, "cat", "/proc/sys/kernel/random/boot_id"]
    clients = [
        subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environ)
        for _ in range(20)
    ]
    answers = [client.communicate(timeout=300) for client in clients]
    assert [client.returncode for client in clients] == [0] * 20, answers
    assert len({out for out, _ in answers}) == 20


# A machine of its own


def test_two_template_copies_have_no_secret_in_common(no_pool: Hyperd, busybox: str) -> None:
    """Random bytes, UUIDs, boot id, and where a fresh process lies differ between copies; names are right."""
    script = (
        "head -c 64 /dev/urandom | hexdump -C; cat /proc/sys/kernel/random/uuid /proc/sys/kernel/random/boot_id; "
        "grep -E 'stack|vdso' /proc/self/maps | cut -d- -f1; cat /proc/self/stat | cut -d' ' -f28; "
        "awk 'BEGIN { srand(); }'; mktemp -u XXXXXXXXXXXX; cat /sys/class/net/eth0/address; hostname"
    )
    lines = []
    for name in ("one", "two", "three"):
        assert run(no_pool, busybox, name) == "template"
        out = no_pool.run("exec", name, "sh", "-c", script).decode().splitlines()
        # Of a hexdump the last line is its length.
        lines.append([line for line in out if not re.fullmatch("0+40", line)])
    for one, two, three in zip(*lines, strict=True):
        assert len({one, two, three}) == 3, (one, two, three)
    assert [item[-1] for item in lines] == [
        inspect(no_pool, name)["Id"][:12] for name in ("one", "two", "three")
    ]


def test_clock_of_a_template_copy_is_right(no_pool: Hyperd, busybox: str) -> None:
    """A copy does not live in its template's past."""
    before = time.time()
    own = int(no_pool.run("run", "--rm", busybox, "date", "+%s"))
    assert before - 1 <= own <= time.time() + 1


def guest_memory(pid: int) -> Iterator[tuple[int, int]]:
    """Start and end of the mappings of a machine's memory."""
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        words = line.split()
        if words[-2:] == ["/memfd:memory", "(deleted)"]:
            start, _, end = words[0].partition("-")
            assert words[1] == "rw-p", line
            yield int(start, 16), int(end, 16)


def count_in(pid: int, pattern: bytes) -> int:
    """How often ``pattern`` is in the memory of a machine's guest."""
    found = 0
    with Path(f"/proc/{pid}/mem").open("rb") as memory:
        for start, end in guest_memory(pid):
            memory.seek(start)
            found += memory.read(end - start).count(pattern)
    return found


@pytest.mark.root
def test_writable_memory_of_template_copies_is_not_shared(no_pool: Hyperd, busybox: str) -> None:
    """What one guest writes is in no other's memory, and what they have in common nobody can write to."""
    pids = {}
    for name in ("writer", "other"):
        assert run(no_pool, busybox, name) == "template"
        pids[name] = int(inspect(no_pool, name)["Hyper"]["Pid"])
    # Made in the guest, so that no command line has it.
    no_pool.run("exec", "writer", "sh", "-c",
                "i=0; while [ $i -lt 4000 ]; do echo S3CR$((1000000+i))ET; i=$((i+1)); done >/dev/shm/x")  # fmt: skip
    assert count_in(pids["writer"], b"S3CR1003999ET") >= 1
    assert count_in(pids["other"], b"S3CR1003999ET") == 0
    later = run(no_pool, busybox, "later")
    assert later == "template"
    assert count_in(int(inspect(no_pool, "later")["Hyper"]["Pid"]), b"S3CR1003999ET") == 0
    held = [
        path
        for path in Path(f"/proc/{pids['writer']}/fd").iterdir()
        if str(path.readlink()).startswith(("/memfd:memory", "/memfd:state"))
    ]
    assert held
    for path in held:
        with contextlib.suppress(PermissionError):
            fd = os.open(path, os.O_RDWR)
            try:
                assert fcntl.fcntl(fd, fcntl.F_GET_SEALS) == memfd.ALL_SEALS
                with pytest.raises(PermissionError):
                    os.pwrite(fd, b"x", 0)
            finally:
                os.close(fd)


# Faults


def cut(folder: Path) -> None:
    os.truncate(folder / "memory", 4096)


def flip(folder: Path) -> None:
    with (folder / "memory").open("r+b") as file:
        start = os.lseek(file.fileno(), 1 << 20, os.SEEK_DATA)
        file.seek(start)
        byte = file.read(1)
        file.seek(start)
        file.write(bytes([byte[0] ^ 1]))


def no_state(folder: Path) -> None:
    (folder / "state").unlink()


def wrong_state(folder: Path) -> None:
    (folder / "state").write_bytes(b"x" * 50_000)


def huge_state(folder: Path) -> None:
    os.truncate(folder / "state", 1 << 40)


def other_version(folder: Path) -> None:
    about = json.loads((folder / "template.json").read_bytes())
    (folder / "template.json").write_text(json.dumps(about | {"version": 999}))


def no_json(folder: Path) -> None:
    (folder / "template.json").write_bytes(b"[{")


@pytest.mark.parametrize(
    "damage", [cut, flip, no_state, wrong_state, huge_state, other_version, no_json]
)
def test_template_when_damaged_is_not_used(
    no_pool: Hyperd, busybox: str, damage: Callable[[Path], None]
) -> None:
    """The start boots instead, and a good template takes its place."""
    assert no_pool.stop() == 0
    [folder] = (no_pool.data_root / "template").iterdir()
    damage(folder)
    no_pool.start()
    assert run(no_pool, busybox, "box") == "boot"
    no_pool.api.post("/hyper/v1/templates", {})
    assert run(no_pool, busybox, "again") == "template"
    assert no_pool.stop() == 0
    no_pool.start()
    assert run(no_pool, busybox, "kept") == "template"


def test_templates_of_another_guest_are_swept(no_pool: Hyperd, busybox: str) -> None:
    """What was made for another kernel, hypervisor or host is gone after the next start, and half-made ones."""
    folder = no_pool.data_root / "template"
    [own] = folder.iterdir()
    assert no_pool.stop() == 0
    (folder / "0123456789-0123456789").mkdir()
    (folder / f".{own.name}.1").mkdir()
    no_pool.start()
    assert [entry.name for entry in folder.iterdir()] == [own.name]


def test_template_with_the_state_of_another_machine_falls_back_to_a_boot(
    no_pool: Hyperd, busybox: str
) -> None:
    """A template that passes its checks and cannot be gone on from: the start boots, and the template is made anew."""
    other = no_pool.api.post("/hyper/v1/templates", {"VCPUs": 2})["Key"]
    folder = no_pool.data_root / "template"
    [own] = [entry for entry in folder.iterdir() if entry.name != other]
    assert no_pool.stop() == 0
    about = json.loads((own / "template.json").read_bytes())
    theirs = json.loads((folder / other / "template.json").read_bytes())
    for name in ("memory", "state"):
        (own / name).write_bytes((folder / other / name).read_bytes())
    (own / "template.json").write_text(json.dumps(about | {"sums": theirs["sums"]}))
    no_pool.start()
    assert run(no_pool, busybox, "box") == "boot"
    assert "the template failed" in "".join(start_of(no_pool, "box")["Notes"])
    assert no_pool.run("exec", "box", "echo", "well") == b"well\n"
    no_pool.api.post("/hyper/v1/templates", {})
    assert run(no_pool, busybox, "again") == "template"


def test_template_after_a_users_mistake_stays_in_use(no_pool: Hyperd, busybox: str) -> None:
    """What no machine can do fails on every way, in the same words; the template stays in use."""
    refused = no_pool.docker("run", "--rm", "--sysctl", "net.nosuch=1", busybox, "true")
    assert (refused.returncode, b"sysctl net.nosuch" in refused.stderr) == (125, True), (
        refused.stderr
    )
    missing = no_pool.docker("run", "--rm", busybox, "nosuch")
    assert missing.returncode == 127
    assert run(no_pool, busybox, "box") == "template"


@pytest.mark.root
def test_template_when_the_disk_is_full_is_not_kept_by_half(busybox: str) -> None:
    """It is used from memory all the same; nothing of it is on the disk, and no start fails."""
    with hyperd("--pool-memory", "0") as daemon:
        daemon.run("pull", "-q", busybox)
        folder = daemon.data_root / "template"
        folder.mkdir(mode=0o700)
        options = ["-t", "tmpfs", "-o", "size=1m,mode=0700", "tmpfs", str(folder)]
        subprocess.run(["mount", *options], check=True)
        try:
            assert run(daemon, busybox, "first") == "boot"
            daemon.api.post("/hyper/v1/templates", {})
            assert run(daemon, busybox, "second") == "template"
            assert list(folder.iterdir()) == []
            assert "is not kept on disk" in daemon.log.read_text()
        finally:
            daemon.clear()
            subprocess.run(["umount", str(folder)], check=True)


def test_pooled_machine_that_dies_is_replaced(own_daemon: Hyperd, busybox: str) -> None:
    """Killed while nobody looks: another one waits, and the next start has it."""
    run(own_daemon, busybox, "first")
    before = waiting(own_daemon)
    pidfd = os.pidfd_open(before)
    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    os.close(pidfd)
    next(own_daemon.lines("the waiting machine .* has ended"))
    assert waiting(own_daemon) != before
    assert run(own_daemon, busybox, "second") == "pool"


@pytest.mark.parametrize("ends", [True, False], ids=["dies", "hangs"])
def test_pooled_machine_that_fails_when_acquired_is_not_used(
    own_daemon: Hyperd, busybox: str, ends: bool
) -> None:
    """The start goes another way and says so; its address, its name and its ports are its own."""
    run(own_daemon, busybox, "first")
    pid = waiting(own_daemon)
    os.kill(pid, signal.SIGSTOP)
    environ = Engine(own_daemon.host, "").environ()
    argv = ["docker", "run", "-d", "--name", "box", "-p", "127.0.0.1::80", busybox, "httpd", "-f"]
    with subprocess.Popen(argv, env=environ, stdout=subprocess.DEVNULL) as client:
        if ends:
            next(own_daemon.lines("machine pool-.* is handed out"))
            os.kill(pid, signal.SIGKILL)
        assert client.wait(timeout=120) == 0
    start = start_of(own_daemon, "box")
    assert start["Way"] in ("template", "boot")
    assert any("the waiting machine failed" in note for note in start["Notes"])
    assert (
        own_daemon.run("exec", "box", "hostname").strip().decode()
        == inspect(own_daemon, "box")["Id"][:12]
    )
    address = inspect(own_daemon, "box")["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]
    assert address.encode() in own_daemon.run("exec", "box", "ip", "-o", "-4", "addr")


def test_daemon_killed_while_a_pooled_machine_is_acquired_leaves_no_stray_machine(
    own_daemon: Hyperd, busybox: str
) -> None:
    """Its successor has no machine that nobody knows; the container is there, and can be started."""
    run(own_daemon, busybox, "first")
    pid = waiting(own_daemon)
    os.kill(pid, signal.SIGSTOP)
    own_daemon.run("create", "--name", "box", busybox, "sleep", "6000")
    environ = Engine(own_daemon.host, "").environ()
    with subprocess.Popen(
        ["docker", "start", "box"], env=environ, stderr=subprocess.DEVNULL
    ) as client:
        next(own_daemon.lines("machine pool-.* is handed out"))
        own_daemon.kill()
        client.wait(timeout=60)
    os.kill(pid, signal.SIGCONT)
    own_daemon.start()
    assert inspect(own_daemon, "box")["State"]["Running"] is False
    own_daemon.run("start", "box")
    assert own_daemon.run("exec", "box", "echo", "well") == b"well\n"
    own_daemon.run("rm", "-f", "first", "box")
    assert own_daemon.machines() == []


def test_daemon_killed_leaves_no_pooled_machine(own_daemon: Hyperd, busybox: str) -> None:
    """Its successor ends what waited, also where somebody has wiped its folder, and finds those that had been handed
    out: an identity of a machine that nobody knows would be given to another."""
    run(own_daemon, busybox, "first")
    settled(own_daemon)
    assert run(own_daemon, busybox, "second") == "pool"
    pid = waiting(own_daemon)
    own_daemon.kill()
    shutil.rmtree(own_daemon.exec_root / "pool")
    own_daemon.start()
    assert not runs(pid)
    folders = [own_daemon.exec_root / name for name in ("vm", "pool")]
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in folders} == {0o711}
    kept = (own_daemon.data_root / "machine/machines").iterdir()
    assert pid not in {json.loads(path.read_bytes())["state"]["pid"] for path in kept}
    assert own_daemon.run("exec", "second", "echo", "here") == b"here\n"
    assert own_daemon.run("stop", "-t", "0", "second") == b"second\n"


def test_daemon_stopped_while_a_template_is_built_leaves_nothing(
    own_daemon: Hyperd, busybox: str
) -> None:
    """Nothing of it is left: no machine, no control group, no half of it on disk."""
    before = snapshot()
    run(own_daemon, busybox, "first")
    next(own_daemon.lines("qemu-system-x86_64 -name tmpl-"))
    assert own_daemon.stop() == 0
    assert [line for line in before.differences(snapshot()) if "tmpl-" in line] == []
    assert list((own_daemon.exec_root / "pool").iterdir()) == []
    kept = own_daemon.data_root / "template"
    assert (
        not kept.exists() or [entry.name for entry in kept.iterdir() if entry.name[0] == "."] == []
    )
    own_daemon.start()
    assert own_daemon.run("exec", "first", "echo", "on") == b"on\n"


# What users see


def test_hyper_template_commands_work(own_daemon: Hyperd, busybox: str) -> None:
    """hyper template build, ls, inspect, rm, and what is refused."""
    daemon = own_daemon
    built = hyper(daemon, "template", "build", "--memory", "64m")
    key = built.stdout.strip()
    assert built.returncode == 0
    assert hyper(daemon, "template", "build", "-m", "64m").stdout.strip() == key
    assert hyper(daemon, "template", "ls", "-q").stdout == f"{key}\n"
    assert key in hyper(daemon, "template", "ls").stdout
    found = json.loads(hyper(daemon, "template", "inspect", key[:13]).stdout)
    assert (found[0]["Key"], found[0]["MemoryMiB"]) == (key, 64 + 32 + 1)
    for words, why in (
        (("--memory", "1g"), "320 MiB is the most"),
        (("--memory", "1m"), "Minimum memory limit allowed is 6MB"),
        (("--cpus", "999"), "CPUs"),
        (("--card", "warp"), "no card 'warp'"),
    ):
        refused = hyper(daemon, "template", "build", *words)
        assert (refused.returncode, why in refused.stderr) == (1, True), refused.stderr
    assert hyper(daemon, "template", "rm", "nosuch").returncode == 1
    assert hyper(daemon, "template", "rm", key).returncode == 0
    assert hyper(daemon, "template", "ls", "-q").stdout == ""
    assert "0 of at most 5 machines wait" in hyper(daemon, "pool").stdout


def test_timing_tells_where_the_time_went(own_daemon: Hyperd, busybox: str) -> None:
    """The steps are in order, from the client's start to its end, also of a container that is gone by then."""
    shown = hyper(own_daemon, "run", "--rm", "--timing", busybox, "echo", "hello")
    assert (shown.returncode, shown.stdout) == (0, "hello\n")
    rows = re.findall(r"^ *([\d.]+) +\+([\d.]+) +(hyperd?: .*)$", shown.stderr, re.MULTILINE)
    what = [row[2] for row in rows]
    for step in ("hyper: command understood", "hyperd: network joined", "hyperd: program started",
                 "hyper: first byte of output", "hyperd: program ended", "hyper: exit code known"):  # fmt: skip
        assert step in what, shown.stderr
    times = [float(row[0]) for row in rows]
    assert times == sorted(times)
    assert "not faster, because: no machine was waiting" in shown.stderr
