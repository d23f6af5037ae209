"""The confinement of one machine's process: its jail's views and its control group's limits."""

from __future__ import annotations

import math
from pathlib import Path

from hyper.machine.process.share import SERVER_MIB, SERVER_PIDS
from hyper.machine.qemu import argv
from hyper.machine.qemu.spec import QemuSpec
from hyper.machine.spec import Limits
from hyper.system import jail
from hyper.system.cgroup import GroupLimits
from hyper.system.jail import JailSpec, View

FIRMWARE_FOLDERS = (Path("/usr/share/qemu"), Path("/usr/share/seabios"))
#: slirp's name server asks the first resolver named here.
RESOLVER_FILE = Path("/etc/resolv.conf")
_EVERYBODYS_SHARES = 1024
#: Threads: vCPUs, QEMU's own, and at most 64 for disk requests.
_PIDS = 256
#: What the process may take beyond the guest's memory: translated code, its own heap, queues.
_OVERHEAD_MIB = 256
#: Group of our own node of /dev/kvm, which is root's alone on some hosts. Joined by machines, owner of nothing else.
KVM_GID = jail.FIRST_MACHINE_UID + jail.MACHINE_UID_COUNT - 2


def jail_for(spec: QemuSpec, *, binary: Path, devices: tuple[View, ...] = ()) -> JailSpec:
    """The jail that ``spec`` runs in: what QEMU needs to start, and nothing of the machine but kernel and initrd."""
    firmware = (View(folder) for folder in FIRMWARE_FOLDERS if folder.exists())
    resolver = (View(RESOLVER_FILE.resolve(), RESOLVER_FILE),) if spec.user_nics else ()
    return JailSpec(
        views=(
            *jail.library_views(),
            *firmware,
            *resolver,
            View(binary),
            View(spec.kernel.resolve(), argv.KERNEL),
            View(spec.initrd.resolve(), argv.INITRD),
        ),
        uid=spec.uid,
        devices=devices,
        groups=(KVM_GID,) if devices else (),
        network=bool(spec.user_nics),
        # The server of shared paths is given one end of a pair, to ask for things by itself.
        allowed=frozenset({"socketpair"} if spec.shared else ()),
        low_ports=any(forward.host_port < 1024 for forward in spec.forwards),
        # Its memory is a file, which it opens by its descriptor's name there.
        proc=spec.memory is not None,
    )


def group_limits(spec: QemuSpec) -> GroupLimits:
    """The control group's limits for the process of ``spec``."""
    overhead_mib, pids = _OVERHEAD_MIB, _PIDS + spec.vcpus
    if spec.shared:
        overhead_mib, pids = overhead_mib + SERVER_MIB, pids + SERVER_PIDS
    if spec.memory is not None and spec.memory.state_fd is not None:
        # A page that a copy is the first to touch where its template has a hole is counted twice: in the template,
        # for all copies, and in the copy (docs/decisions/0016-templates.md).
        overhead_mib += spec.memory_mib
    memory_bytes = (spec.memory_mib + overhead_mib) * 1024 * 1024
    return GroupLimits(
        cpus=spec.limits.cpus,
        memory_bytes=memory_bytes,
        pids=pids,
        cpu_shares=spec.limits.cpu_shares,
    )


def running_limits(limits: Limits) -> GroupLimits:
    """The control group's limits for a running process from now on: a limit not asked for lifts an earlier one."""
    cpus = math.inf if limits.cpus is None else limits.cpus
    return GroupLimits(cpus=cpus, cpu_shares=limits.cpu_shares or _EVERYBODYS_SHARES)
