"""The spec of a machine, which is all a driver is told: frozen data, without a word of any hypervisor."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class FileBlocks:
    """A block source that is a raw image in a file of the host."""

    path: Path


#: Every kind of block source. Hypervisors that are processes get theirs from machine/process/disk.py.
BlockSource = FileBlocks


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk with its block source. ``name`` is what the guest is told to look for (≤ 20 characters)."""

    name: str
    source: BlockSource
    read_only: bool


@dataclass(frozen=True, slots=True)
class Forward:
    """A port of the host that leads into the guest. ``protocol`` is ``tcp`` or ``udp``."""

    protocol: str
    host_address: str
    host_port: int
    guest_port: int


@dataclass(frozen=True, slots=True)
class UserNic:
    """A card on the hypervisor's own user-mode network; needs no privilege. See network/user."""

    mac: str
    network: str
    forwards: tuple[Forward, ...] = ()


@dataclass(frozen=True, slots=True)
class TapNic:
    """A card that sends and receives Ethernet frames through ``fd``, an open TAP with a virtio-net header.

    The descriptor is the caller's, who may close it once the machine is launched. See network/bridge.
    """

    mac: str
    fd: int


#: Cards a machine may have.
Nic = UserNic | TapNic


#: What the guest mounts to see ``MachineSpec.shared``, and as what: the file system of the virtio standard.
SHARE_TAG = "hyper"
SHARE_FILE_SYSTEM = "virtiofs"


@dataclass(frozen=True, slots=True)
class SharedPath:
    """A directory (with all below it) or file of the host that the guest sees; the host holds it to ``read_only``."""

    host: Path
    read_only: bool


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits that its host holds a whole machine to, whatever runs in it. None: no limit asked for.

    ``cpus`` in CPUs (0.5 = half of one). Memory is bounded by the machine's size in any case.
    """

    cpus: float | None = None
    #: Weight against other machines where CPUs are short: 2 to 262144, 1024 is everybody's.
    cpu_shares: int | None = None
    #: The host's CPUs it may run on; empty: all.
    cpu_set: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class MachineSpec:
    """The spec of a machine to be.

    ``run_dir`` exists and is the machine's own, for what its driver keeps here; its path fits a unix socket's address.
    """

    name: str
    vcpus: int
    memory_mib: int
    kernel: Path
    initrd: Path
    disks: tuple[Disk, ...]
    nics: tuple[Nic, ...]
    run_dir: Path
    #: The unprivileged identity of a machine that is a process here; None: the daemon itself is unprivileged.
    uid: int | None = None
    limits: Limits = Limits()
    command_line: tuple[str, ...] = ()
    #: One file system under SHARE_TAG; its root has the first of these as ``0``, the next as ``1``…
    shared: tuple[SharedPath, ...] = ()

    @property
    def forwards(self) -> tuple[Forward, ...]:
        """The forwards of all its cards."""
        return tuple(forward for nic in self.user_nics for forward in nic.forwards)

    @property
    def user_nics(self) -> tuple[UserNic, ...]:
        """Cards whose packets the hypervisor itself sends: it needs the host's network for that."""
        return tuple(nic for nic in self.nics if isinstance(nic, UserNic))
