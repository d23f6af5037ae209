"""What a program finds around it: its kernel's tunables, limits, devices, names, and the marks of a container.

Many checks share a machine; each is a line of what the container prints.
"""

from __future__ import annotations

import contextlib
import json
from urllib.parse import quote

import pytest

from tests.support.containers import create, follow
from tests.support.hyperd import Hyperd

pytestmark = pytest.mark.vm

#: As on a server, whatever the machine's size (docs/decisions/0024-memory-defaults.md).
TUNABLES = {
    "vm/overcommit_memory": "1",
    "vm/max_map_count": "1048576",
    "kernel/pid_max": "32768",
    "kernel/threads-max": "65536",
    "fs/file-max": "9223372036854775807",
    "fs/nr_open": "1073741816",
    "fs/aio-max-nr": "1048576",
    "fs/epoll/max_user_watches": "1048576",
    "fs/inotify/max_user_instances": "8192",
    "fs/inotify/max_user_watches": "1048576",
    "fs/fanotify/max_user_marks": "65536",
    "user/max_user_namespaces": "32768",
    "user/max_net_namespaces": "32768",
    "net/core/somaxconn": "4096",
    "net/ipv4/tcp_rmem": "4096\t131072\t6291456",
    "net/ipv4/tcp_wmem": "4096\t16384\t4194304",
    "net/ipv4/tcp_max_syn_backlog": "1024",
    "net/ipv4/tcp_max_tw_buckets": "32768",
    "net/ipv4/tcp_max_orphans": "32768",
    "net/netfilter/nf_conntrack_max": "262144",
    "net/ipv4/ip_unprivileged_port_start": "0",
    "net/ipv4/ping_group_range": "0\t2147483647",
}
#: Of a user: RLIMIT_NOFILE, RLIMIT_NPROC; more memory than there is, untouched; a low port; no capability.
USER = """
ulimit -n; ulimit -Hn; ulimit -u; ulimit -i
dd if=/dev/null of=/dev/null bs=2000M count=1 2>/dev/null && echo mapped
mkdir /tmp/w && httpd -p 80 -h /tmp/w && echo hi >/tmp/w/f && wget -qO- 127.0.0.1/f
awk '/^Cap(Inh|Eff|Amb)/ {print $2}' /proc/self/status
"""
#: Of root: devices work wherever they are made; what is what in /proc/mounts; standard input; the mark; its control
#: group with all that a JVM must find there to believe memory.max (cgroupSubsystem_linux.cpp).
ROOT = """
mknod /tmp/n c 1 3 && echo x >/tmp/n && echo device
mknod /tmp/d b 254 0 && { head -c1 /tmp/d >/dev/null 2>&1 || echo wall; }
awk '$2 ~ "^/(dev|dev/shm|sys/fs/cgroup)$" {print $1, $2, $3}' /proc/mounts
ls -l /proc/self/fd/0 | sed 's/.*-> //'
stat -c '%a %s' /.dockerenv
awk '/^Cap(Inh|Amb)/ {print $2}' /proc/self/status
cat /proc/sys/kernel/domainname; hostname; tail -n1 /etc/hosts | cut -f2
cd /sys/fs/cgroup; cat cgroup.controllers cpu.max memory.max; cat cpuset.cpus.effective
"""


def test_the_kernel_is_tuned_as_a_servers(shared_daemon: Hyperd, busybox: str) -> None:
    """Also in a machine of 128 MiB; a tunable the user names is the user's."""
    script = " ".join(f"/proc/sys/{path}" for path in TUNABLES)
    out = shared_daemon.run("run", "--rm", "-m", "128m", busybox, "cat", *script.split()).decode()
    assert dict(zip(TUNABLES, out.splitlines(), strict=True)) == TUNABLES
    asked = ["--sysctl", "net.ipv4.ip_unprivileged_port_start=500"]
    path = "/proc/sys/net/ipv4/ip_unprivileged_port_start"
    assert shared_daemon.run("run", "--rm", *asked, busybox, "cat", path) == b"500\n"


def test_a_user_without_privileges(shared_daemon: Hyperd, busybox: str) -> None:
    """Limits are wide, memory may be mapped that is not there, and ports below 1024 are anyone's."""
    out = shared_daemon.run("run", "--rm", "-u", "1000", busybox, "sh", "-c", USER).decode()
    nothing = "0" * 16
    assert out.splitlines() == [
        *("1048576", "1048576", "unlimited", "65536"),
        *("mapped", "hi", nothing, nothing, nothing),
    ]


def test_guest_root_sees_nodes_and_limits_but_no_disks(shared_daemon: Hyperd, busybox: str) -> None:
    """Nodes work on the root, disks stay behind the wall, limits can be read; none of it shows in a diff."""
    name = ["--name", "around", "--hostname", "web.example.com", "--domainname", "d.org"]
    name += ["-m", "512m"]
    try:
        out = shared_daemon.run("run", *name, busybox, "sh", "-c", ROOT).decode()
        assert out.splitlines() == [
            *("device", "wall"),
            *("cgroup /sys/fs/cgroup cgroup2", "tmpfs /dev tmpfs", "shm /dev/shm tmpfs"),
            *("/dev/null", "755 0", "0" * 16, "0" * 16),
            *("d.org", "web.example.com", "web.example.com.d.org web"),
            *("cpuset cpu io memory pids", "max 100000", "536870912", "0"),
        ]
        changed = shared_daemon.run("diff", "around").decode().splitlines()
        assert sorted(changed) == ["A /tmp/d", "A /tmp/n", "C /tmp"]
    finally:
        shared_daemon.run("rm", "-f", "around")


def test_a_program_without_stdin_reads_from_dev_null(shared_daemon: Hyperd, busybox: str) -> None:
    """By that name: programs look where their standard input leads."""
    words = ("run", "--rm", busybox, "readlink", "/proc/self/fd/0")
    assert shared_daemon.docker(*words).stdout == b"/dev/null\n"


def test_programs_that_cannot_be_executed_end_as_dockers(
    shared_daemon: Hyperd, busybox: str
) -> None:
    """One of another architecture and a script without its interpreter were started, say why, and end with 255.

    Arguments and environments are bounded by the kernel's 2 MiB, not by the way to it.
    """
    foreign = r"printf '\177ELF\2\1\1\0\0\0\0\0\0\0\0\0\2\0\267\0\1\0\0\0' >/arm; head -c 200 /dev/zero >>/arm"
    make = (
        f"{foreign}; printf '#!/nosuch\\n' >/script; chmod +x /arm /script; echo up; exec sleep 600"
    )
    shared_daemon.run("run", "-d", "--name", "cannot", busybox, "sh", "-c", make)
    try:
        follow(shared_daemon, "cannot", "up")
        for words, reason in {
            ("/arm",): b"exec /arm: exec format error\n",
            ("/script",): b"exec /script: no such file or directory\n",
        }.items():
            done = shared_daemon.docker("exec", "cannot", *words)
            assert (done.returncode, done.stderr) == (255, reason)
        count = shared_daemon.run("exec", "cannot", "sh", "-c", "echo $#", "sh", *["a"] * 30_000)
        assert count == b"30000\n"
        image = shared_daemon.run("commit", "cannot").decode().strip()
        for init in ([], ["--init"]):
            done = shared_daemon.docker("run", "--rm", *init, image, "/arm")
            assert (done.returncode, done.stderr) == (255, b"exec /arm: exec format error\n")
        for variables, ends in (
            (14, (7, b"")),
            (22, (255, b"exec /bin/sh: argument list too long\n")),
        ):
            large = [f"V{number}={'x' * 100_000}" for number in range(variables)]
            box = create(shared_daemon, busybox, "sh", "-c", "exit 7", name="large", Env=large)
            shared_daemon.api.post(f"/containers/{box}/start")
            code = shared_daemon.api.post(f"/containers/{box}/wait")["StatusCode"]
            assert (code, shared_daemon.docker("logs", box).stderr) == ends
            shared_daemon.run("rm", box)
        shared_daemon.run("rmi", image)
    finally:
        shared_daemon.run("rm", "-f", "cannot")


#: Its processes are in a group of its own making, as under systemd or Docker in Docker; also an exec's that comes
#: between the two steps.
NESTED = """
mkdir /sys/fs/cgroup/inner
cd /sys/fs/cgroup
until
  for pid in $(cat cgroup.procs); do echo $pid >inner/cgroup.procs; done
  echo +cpu +memory +pids >cgroup.subtree_control
do :; done 2>/dev/null
echo nested
head -c4 /dev/vda; echo
dd if=/dev/zero of=/img bs=1M count=1 2>/dev/null; losetup -f /img && losetup -a
stat -c '%n %a %t:%T' /dev/fuse /dev/net/tun /dev/loop-control
grep -c ' ro,' /proc/mounts; mkdir /sys/fs/cgroup/other; exec sleep 600
"""
NESTED_ALREADY = "until [ -d /sys/fs/cgroup/other ]; do :; done"


def test_a_privileged_container(shared_daemon: Hyperd, busybox: str) -> None:
    """All devices, groups of its own. Others can be run in it, it is counted, signalled, and can be started again."""
    daemon = shared_daemon
    daemon.run("run", "-d", "--name", "full", "--privileged", busybox, "sh", "-c", NESTED)
    try:
        for start in range(2):
            if start:
                daemon.run("restart", "-t", "0", "full")
            daemon.run("exec", "full", "sh", "-c", NESTED_ALREADY)
            assert daemon.run("exec", "full", "cat", "/proc/self/cgroup") == b"0::/inner\n"
            assert len(daemon.run("top", "full").splitlines()) == 2
        daemon.run("kill", "-s", "KILL", "full")
        daemon.api.post("/containers/full/wait")
        out = daemon.run("logs", "full").decode().splitlines()
        devices = ["/dev/fuse 666 a:e5", "/dev/net/tun 666 a:c8", "/dev/loop-control 600 a:ed"]
        assert out == 2 * ["nested", "hsqs", "/dev/loop0: 0 /img", *devices, "0"]
    finally:
        daemon.run("rm", "-f", "full")


def test_devices_that_were_given(shared_daemon: Hyperd, busybox: str) -> None:
    """Open as asked for, and nothing else is: nodes, permissions and rules are of the machine's own devices.

    So are control groups that are bound from the host: the container's own, and it may make some.
    """
    script = """
    ls -l /dev/tap /dev/fuse | awk '{print $1, $5, $6, $NF}'
    exec 3</dev/fuse && exec 4<>/dev/tap && echo both
    (exec 5>/dev/fuse) 2>/dev/null || echo read-only
    mkdir /sys/fs/cgroup/x && cat /sys/fs/cgroup/x/cgroup.type
    mknod /l b 7 9; head -c1 /l 2>&1; mknod /v b 254 0; head -c1 /v 2>&1; mknod /r c 10 183; head -c1 /r 2>&1 || true
    """
    words = ["--device", "/dev/fuse:r", "--device", "/dev/net/tun:/dev/tap:rw"]
    words += ["--device-cgroup-rule", "b 7:* r", "-v", "/sys/fs/cgroup:/sys/fs/cgroup:rw"]
    out = shared_daemon.run("run", "--rm", *words, busybox, "sh", "-c", script).decode()
    assert out.splitlines() == [
        "crw-rw-rw- 10, 229 /dev/fuse",
        "crw-rw-rw- 10, 200 /dev/tap",
        "both",
        *("read-only", "domain"),
        "head: /l: No such device or address",
        "head: /v: Operation not permitted",
        "head: /r: Operation not permitted",
    ]
    refused = shared_daemon.docker("run", "--rm", "--device", "/dev/kvm", busybox, "true")
    assert refused.returncode == 125
    assert b"no devices of the host" in refused.stderr


HOG = "a=xxxxxxxxxxxxxxxx; while :; do a=$a$a; done"


def test_whichever_process_is_killed_for_want_of_memory(
    shared_daemon: Hyperd, busybox: str
) -> None:
    """An event and the state say so once, while the program goes on, and the state still after its end."""
    daemon = shared_daemon
    script = f"sh -c '{HOG}'; echo child $?; exec sleep 600"
    daemon.run("create", "--name", "hog", "-m", "64m", busybox, "sh", "-c", script)
    wanted = {"container": ["hog"], "event": ["oom", "die"]}
    try:
        events = daemon.api.lines(f"/events?filters={quote(json.dumps(wanted))}")
        with contextlib.closing(events):
            daemon.run("start", "hog")
            assert next(events)["Action"] == "oom"
            follow(daemon, "hog", "child 137")
            state = daemon.api.get("/containers/hog/json")["State"]
            assert (state["OOMKilled"], state["Running"]) == (True, True)
            daemon.run("kill", "hog")
            assert next(events)["Action"] == "die"
        state = daemon.api.get("/containers/hog/json")["State"]
        assert (state["OOMKilled"], state["ExitCode"]) == (True, 137)
    finally:
        daemon.run("rm", "-f", "hog")
