"""What a hypervisor that was taken over can do to the host. Nothing is assumed: a hostile program is put in its place.

The same is tried for an ordinary user's machines, where some walls cannot stand; those are asserted too, as they are.
See docs/decisions/0003-jail.md.
"""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hyper.system import jail, nft
from tests.support import hostile
from tests.support.traces import TRACES

pytestmark = [pytest.mark.vm, pytest.mark.root]

TABLE = f"hyper_test_{os.getpid()}"
ORDINARY_UID = 60123
CONTENT = b"shared\n" + bytes(65529)

#: Refused to everybody: by the empty root…
ABSENT = [
    "open_passwd",
    "open_proc",
    "open_sys",
    "open_null",
    "open_kvm",
    "open_run",
    "open_home",
    "open_other",
    "open_daemon",
]
#: …by everything in it being read-only…
READ_ONLY = [
    "create_root",
    "create_boot",
    "create_etc",
    "create_tmp",
    "write_kernel",
    "write_libc",
    "mkdir",
]
#: …and by the system call filter.
FILTERED = [
    "mknod",
    "ptrace",
    "process_vm_readv",
    "mount",
    "remount",
    "umount",
    "fsopen",
    "pivot_root",
    "chroot",
    "unshare_user",
    "unshare_mount",
    "clone_user",
    "setns",
    "bpf",
    "perf",
    "keyctl",
    "userfaultfd",
    "io_uring",
    "handle",
    "module",
    "kexec",
    "reboot",
    "iopl",
    "settime",
    "socket_unix",
    "socket_netlink",
    "socket_packet",
    "socket_vsock",
    "socket_alg",
    "socket_raw",
    "socketpair",
]

Report = dict[str, Any]


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Short, and open to the ordinary user."""
    with tempfile.TemporaryDirectory(prefix="hyper-") as name, TRACES.watched(Path(name)):
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="module")
def binary(folder: Path) -> Path:
    return hostile.build(folder)


@pytest.fixture(scope="module")
def disk(folder: Path) -> Path:
    path = folder / "shared.img"
    path.write_bytes(CONTENT)
    path.chmod(0o644)
    return path


@pytest.fixture(scope="module")
def service() -> Iterator[socket.socket]:
    """A service on the host's loopback, on every address of it."""
    with socket.create_server(("0.0.0.0", 0)) as server:
        yield server


@pytest.fixture(scope="module")
def words(folder: Path, service: socket.socket) -> Iterator[list[str]]:
    """What there is to reach: a daemon's socket, another machine's disk, a process, a service."""
    other = folder / "other.img"
    other.write_bytes(b"secret")
    with socket.socket(socket.AF_UNIX) as daemon:
        daemon.bind(str(folder / "hyper.sock"))
        daemon.listen()
        yield [
            f"other={other}",
            f"daemon={folder}/hyper.sock",
            f"victim={os.getpid()}",
            f"port={service.getsockname()[1]}",
        ]


async def as_root(binary: Path, folder: Path, disk: Path, words: list[str]) -> str:
    run_dir = Path(tempfile.mkdtemp(dir=folder))
    return await hostile.run(binary, run_dir, disk, *words)


async def walled(binary: Path, folder: Path, disk: Path, words: list[str]) -> str:
    wall = {"first_uid": jail.FIRST_MACHINE_UID, "count": jail.MACHINE_UID_COUNT, "table": TABLE}
    await nft.ensure_loopback_wall(**wall)  # type: ignore[arg-type]
    try:
        return await as_root(binary, folder, disk, words)
    finally:
        await nft.remove_loopback_wall(table=TABLE)


@pytest.fixture
async def roots(binary: Path, folder: Path, disk: Path, words: list[str]) -> Report:
    return hostile.report(await walled(binary, folder, disk, words))


@pytest.fixture
def users(binary: Path, folder: Path, disk: Path, words: list[str]) -> Report:
    run_dir = Path(tempfile.mkdtemp(dir=folder))
    os.chown(run_dir, ORDINARY_UID, ORDINARY_UID)
    done = subprocess.run(
        [
            *("setpriv", f"--reuid={ORDINARY_UID}", f"--regid={ORDINARY_UID}", "--clear-groups"),
            *("--inh-caps=-all", "--bounding-set=-all"),
            *(sys.executable, "-B", "-m", "tests.support.hostile"),
            *(binary, run_dir, disk, *words),
        ],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"]},
    )
    assert done.returncode == 0, done.stderr
    return hostile.report(done.stdout)


def check_walls_for_all(report: Report, binary: Path, disk: Path) -> None:
    assert {key: report[key] for key in ABSENT} == dict.fromkeys(ABSENT, errno.ENOENT)
    denied = {errno.EROFS, errno.ENOENT, errno.EACCES}
    assert {key: report[key] for key in READ_ONLY if report[key] not in denied} == {}
    assert {key: report[key] for key in FILTERED} == dict.fromkeys(FILTERED, errno.EPERM)
    assert report["clone3"] == errno.ENOSYS
    # Its program's path, kernel, initrd, libraries, the resolver's name: no more is there.
    assert set(report["root"]) <= {"boot", "etc", "lib", "lib64", "usr", "tmp"}
    # Standard streams (the gate's pipe, null, a pipe), agent, monitor, console, one shared disk.
    assert sorted(report["fds"]) == sorted("pcp" + "sss" + "f")
    assert (report["pid"], report["ppid"]) == (1, 0)
    assert report["kill_victim"] == report["kill_all"] == errno.ESRCH
    assert report["pidfd_open"] == report["setpriority"] == errno.ESRCH
    assert (report["no_new_privs"], report["seccomp"], report["dumpable_core"]) == (1, 2, 0)
    assert report["caps"] == 0
    assert report["setuid"] != 0
    assert report["setgid"] != 0
    for key in ("disk_write", "disk_truncate", "disk_punch", "disk_upgrade", "disk_map"):
        assert report[key] != 0, key
    assert disk.read_bytes() == CONTENT
    # What it is there for works.
    assert report["socket_tcp"] == report["bind_high"] == 0
    assert report["bind_low"] == errno.EACCES


def test_walls_of_roots_machine_hold(roots: Report, binary: Path, disk: Path) -> None:
    """A hypervisor started by root has an identity of its own, no powers, no way to the host's services, and limits."""
    check_walls_for_all(roots, binary, disk)
    assert roots["uid"] == roots["gid"] == hostile.FIRST_TEST_UID + 1
    assert (roots["groups"], roots["bounding"]) == (0, 0)
    assert roots["disk_chmod"] == errno.EPERM
    for key in ("loopback", "loopback_other", "loopback_any"):
        assert roots[key] == errno.ECONNREFUSED, key
    assert roots["metadata"] != 0
    assert roots["cpu_percent"] <= hostile.CPUS * 100 + 10
    assert roots["forks"] < 300


async def test_the_wall_is_what_keeps_roots_machines_from_loopback(
    binary: Path, folder: Path, disk: Path, words: list[str]
) -> None:
    """A hypervisor reaches the loopback when the packet filter's wall is down: no other thing keeps it out."""
    report = hostile.report(await as_root(binary, folder, disk, words))
    assert report["loopback"] == 0


async def test_memory_of_a_hypervisor_is_bounded(binary: Path, folder: Path, disk: Path) -> None:
    """A hypervisor that takes all memory is ended within its own control group."""
    # 128 + SIGKILL: the kernel's out-of-memory killer, within the machine's own group.
    assert "status 137" in await as_root(binary, folder, disk, ["mode=memory"])


async def test_system_call_of_another_instruction_set_kills(
    binary: Path, folder: Path, disk: Path
) -> None:
    """A hypervisor that calls the kernel by 32-bit words is ended by the filter."""
    # 128 + SIGSYS.
    assert "status 159" in await as_root(binary, folder, disk, ["mode=abi"])


def test_walls_of_an_ordinary_users_machine_hold(users: Report, binary: Path, disk: Path) -> None:
    """A hypervisor started by a user has the same walls, but for those that only root can build."""
    check_walls_for_all(users, binary, disk)
    # Honest gaps: no identity of its own, so no wall by user id on the network, and no control group.
    assert users["uid"] == ORDINARY_UID
    assert users["loopback"] == 0
    assert users["cpu_percent"] > hostile.CPUS * 100
