"""QEMU's arguments as a pure function of the machine. tests/golden/qemu-*.txt shows what comes out.

Source: qemu-system-x86_64(1) 7.2, docs/system/i386/microvm.rst, guest/hyperkernel/README.md.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hyper.machine.qemu.spec import QemuSpec
from hyper.machine.spec import (
    SHARE_TAG,
    Disk,
    Forward,
    Nic,
    TapNic,
    UserNic,
)
from hyper.machine.template import Slot

#: Transports a microvm without ACPI has (IRQ 5–12); each device takes one.
SLOTS = 8
#: What every machine has: the agent's serial device, a card, the balloon, and the controller of disks beyond the slots.
RESERVED_SLOTS = 4
#: That controller, and how a disk on it is called.
SCSI = "scsi"
ADDED = "added-"
#: Disks of a machine's start. What has no slot is a SCSI disk, and costs a start some milliseconds more. The controller
#: takes 256 (LUNs without extended addressing); a guest of 64 MiB does not survive 200.
MAX_DISKS = 32
AGENT_PORT = "hyper.agent"
#: Where kernel and initrd are inside the jail.
KERNEL, INITRD = Path("/boot/vmlinux"), Path("/boot/initrd")

#: The throttle group of empty slots.
NO_LIMITS = "free"
#: What Linux reads around a page of a program that is not there: twice what a disk calls its best size.
_READ_AHEAD = 2 * 1024 * 1024
#: Larger than any disk that will come: one tebibyte.
_BLANK_SIZE = 1 << 40

#: Translated code is kept in this much memory. QEMU's default (up to 1 GiB) suits one big machine, not many small.
_TRANSLATION_CACHE_MIB = 64

_ACCELERATORS = {
    "tcg": f"tcg,tb-size={_TRANSLATION_CACHE_MIB}",
    "kvm": "kvm",
}
# Current distributions are compiled for x86-64-v2 and v3. QEMU's default CPU is below both; "max" is the only one that
# is v3 under emulation. Without "enhanced rep movsb": an emulated CPU moves what each step says, so copies by bytes
# take eight times the steps (0004-hyperkernel.md).
_CPUS = {"tcg": "max,erms=off,fsrm=off", "kvm": "host"}
_COMMAND_LINES = {
    # Emulated timers are late on a loaded host: no conclusions from that. Nothing speculates under emulation.
    # The local APIC of QEMU runs at 1 GHz: a patch of ours takes its word for it.
    "tcg": ("tsc=reliable", "no_timer_check", "lapic_timer_khz=1000000", "mitigations=off"),
    # kvm-clock is the clock there.
    "kvm": (),
}
_BASE_COMMAND_LINE = (
    "console=ttyS0",
    # The console shows what went wrong and nothing else: each byte of it is a trap into QEMU.
    "quiet",
    # With -no-reboot a panic ends the process: the machine never lingers dead.
    "reboot=t",
    "panic=-1",
    # A lone CPU would rewrite every lock prefix of the kernel.
    "noreplace-smp",
    # No 64 MB of bounce buffers in large guests, and no card that nobody has asked for: neither dummy0 nor bond0, ifb0,
    # nor one of each kind of tunnel (tunl0, gre0, sit0…) in every network namespace.
    "swiotlb=noforce",
    "dummy.numdummies=0",
    "bonding.max_bonds=0",
    "ifb.numifbs=0",
    "fb_tunnels=none",
    # 256 targets to look at, each a word with QEMU: disks are looked for when there are some.
    "scsi_mod.scan=manual",
    # Per-CPU memory by the page: in chunks of 2 MiB the bookkeeping alone of the second one is 4 MiB.
    "percpu_alloc=page",
)


@dataclass(frozen=True, slots=True)
class MachineFds:
    """The numbers of the descriptors QEMU inherits: three listening sockets, and one a disk in the spec's order.

    ``share``: connected to the server of the shared paths, None if there are none.
    """

    agent: int
    monitor: int
    console: int
    disks: tuple[int, ...]
    share: int | None = None

    @property
    def all(self) -> tuple[int, ...]:
        """All of these descriptors."""
        share = () if self.share is None else (self.share,)
        return (self.agent, self.monitor, self.console, *self.disks, *share)


def arguments(
    spec: QemuSpec,
    *,
    binary: Path,
    accelerator: str,
    fds: MachineFds,
    tsc_khz: int | None = None,
    timer_chips: bool = False,
) -> list[str]:
    """The full command line, program included. Kernel and initrd are named by their place in the jail.

    ``tsc_khz``: speed of the host's time stamp counter, which an emulated guest reads; None: it measures, slowly.
    ``timer_chips``: the kernel measures the speed of its other timers all the same.

    Raises:
        ValueError: a name or address QEMU's option syntax cannot carry.
    """
    told = tsc_khz if accelerator == "tcg" else None
    return [
        str(binary),
        *("-name", plain(spec.name)),
        *_machine(spec, accelerator, timer_chips=timer_chips or told is None),
        *_kernel(spec, accelerator, told),
        *_channels(fds),
        *_balloon(spec),
        # One queue, and without events: the guest looks for a disk when the agent is told to (hotplug.py).
        *("-device", f"virtio-scsi-device,id={SCSI},num_queues=1,virtqueue_size=32,hotplug=off"),
        *_disks(spec, fds.disks),
        *_empty_slots(spec.empty_slots),
        *_nics(spec.nics),
        *_share(spec, fds.share),
        *_memory(spec),
        # Below this QEMU's own filter: no exec, no new identity, no scheduling games (seccomp.py is ours, around it).
        "-sandbox",
        "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
    ]


def _machine(spec: QemuSpec, accelerator: str, *, timer_chips: bool) -> list[str]:
    # A guest that is not told how fast its clock is counts it against the PIT; one that is told would all the same
    # (20 ms), if there were one.
    chips = "pit=on,pic=on" if timer_chips else "pit=off,pic=off"
    return [
        # virtio-mmio only, no PCI, no ACPI. RTC: the kernel reads the time from it once. Option ROMs would be firmware
        # nobody calls.
        "-M",
        f"microvm,acpi=off,rtc=on,{chips},isa-serial=on,x-option-roms=off,auto-kernel-cmdline=on"
        + (",memory-backend=ram" if spec.shared or spec.memory else ""),
        *("-accel", _ACCELERATORS[accelerator]),
        *("-cpu", _CPUS[accelerator]),
        *("-smp", _processors(spec.vcpus, accelerator)),
        *("-m", f"{spec.memory_mib}M"),
        # Virtio 1: the legacy layout has no place for newer features.
        *("-global", "virtio-mmio.force-legacy=false"),
        # Nothing that is not named here, no configuration files of the host.
        "-nodefaults",
        "-no-user-config",
        *("-display", "none"),
        # A reboot, wanted or not, is the end of the process.
        "-no-reboot",
    ]


def _processors(vcpus: int, accelerator: str) -> str:
    """The processors of a machine, and under emulation room for a second one, which never comes.

    Where there can only be one, QEMU 7.2 translates neither memory barriers nor lock prefixes (tcg_gen_mb,
    CF_PARALLEL). Its own threads and the server of shared paths run beside the guest all the same: an interrupt got
    lost when the guest allowed interrupts and looked for answers in the wrong order, and a program waited for ever.
    """
    return f"{vcpus},maxcpus=2" if accelerator == "tcg" and vcpus == 1 else str(vcpus)


def _kernel(spec: QemuSpec, accelerator: str, tsc_khz: int | None) -> list[str]:
    words = (
        *_BASE_COMMAND_LINE,
        *_COMMAND_LINES[accelerator],
        *([] if tsc_khz is None else [f"tsc_early_khz={tsc_khz}"]),
        *spec.command_line,
    )
    return [
        *("-kernel", str(KERNEL)),
        *("-initrd", str(INITRD)),
        *("-append", " ".join(words)),
    ]


def _channels(fds: MachineFds) -> list[str]:
    return [
        # Its reader is in the listener's queue before QEMU starts, and is let in before the guest can have printed.
        *("-chardev", f"socket,id=console,fd={fds.console},server=on,wait=off"),
        *("-serial", "chardev:console"),
        *("-chardev", f"socket,id=monitor,fd={fds.monitor},server=on,wait=off"),
        *("-mon", "chardev=monitor,mode=control"),
        *("-chardev", f"socket,id=agent,fd={fds.agent},server=on,wait=off"),
        # Port 0 is reserved for consoles. Two ports: three pairs of queues for the guest to set up instead of 32.
        # (No virtio-rng: the CPU has RDRAND, and HELLO brings entropy.)
        *("-device", "virtio-serial-device,max_ports=2"),
        *("-device", f"virtserialport,chardev=agent,name={AGENT_PORT},nr=1"),
    ]


def _disks(spec: QemuSpec, fds: Sequence[int]) -> list[str]:
    arguments: list[str] = []
    slots = SLOTS - RESERVED_SLOTS - bool(spec.shared)
    for index, (disk, fd) in enumerate(zip(spec.disks, fds, strict=True)):
        arguments += ["-add-fd", f"fd={fd},set={index}"]
        if index < slots:
            arguments += _disk(disk, index)
        else:
            arguments += _scsi_disk(disk, index, unit=index - slots)
    return arguments


def _disk(disk: Disk, index: int) -> list[str]:
    return [
        *_node(disk, f"disk{index}", index),
        *("-device", _block_device(f"disk{index}", plain(disk.name), read_only=disk.read_only)),
    ]


def _block_device(drive: str, serial: str, *, read_only: bool) -> str:
    """The device of a disk. Layers are read ahead in large pieces: under emulation each request costs a millisecond."""
    ahead = f",opt_io_size={_READ_AHEAD // 2}" if read_only else ""
    return f"virtio-blk-device,drive={drive},serial={serial}{ahead}"


def _scsi_disk(disk: Disk, index: int, *, unit: int) -> list[str]:
    """The arguments for a SCSI disk like those that hotplug.py adds to a running machine."""
    name = ADDED + plain(disk.name)
    device = f"scsi-hd,id={name},drive={name},bus={SCSI}.0,channel=0,scsi-id=0,lun={unit}"
    return [*_node(disk, name, index), *("-device", f"{device},serial={disk.name}")]


def _node(disk: Disk, name: str, fdset: int) -> list[str]:
    access = "on" if disk.read_only else "off"
    options = [
        "driver=raw",  # never probed: a guest could write another format's header
        f"node-name={name}",
        f"read-only={access}",
        "discard=" + ("ignore" if disk.read_only else "unmap"),
        "file.driver=file",
        f"file.filename=/dev/fdset/{fdset}",
        # Layers are shared by many machines, a scratch by nobody: the store sees to that, not QEMU's locks.
        "file.locking=off",
        # Never fall back to what the descriptor does not allow.
        "auto-read-only=off",
        "file.auto-read-only=off",
        # A pool of threads: io_uring is denied by the jail, and native AIO needs O_DIRECT.
        "file.aio=threads",
    ]
    return ["-blockdev", ",".join(options)]


def slot_node(name: str) -> str:
    """The name of the filter under the disk of a slot: the filter stays, the node that it reads from is exchanged."""
    return f"slot-{name}"


def blank_node(name: str) -> str:
    """The name of the node an empty slot reads: zeros, and many, for the guest keeps the size that it saw first."""
    return f"blank-{name}"


def _empty_slots(slots: Sequence[Slot]) -> list[str]:
    # A filter that lets everything pass: of all of QEMU's, the one whose file can be exchanged while it is in use.
    arguments = ["-object", f"throttle-group,id={NO_LIMITS}"] if slots else []
    for slot in slots:
        name, access = plain(slot.name), "on" if slot.read_only else "off"
        blank, filter_ = blank_node(name), slot_node(name)
        arguments += [
            "-blockdev",
            f"null-co,node-name={blank},size={_BLANK_SIZE},read-zeroes=on,read-only={access}",
            "-blockdev",
            f"throttle,node-name={filter_},throttle-group={NO_LIMITS},file={blank},read-only={access}",
            "-device",
            _block_device(filter_, name, read_only=slot.read_only),
        ]
    return arguments


def _nics(nics: Sequence[Nic]) -> list[str]:
    arguments: list[str] = []
    for index, nic in enumerate(nics):
        backend = _tap(nic) if isinstance(nic, TapNic) else _user(nic)
        kind, *options = backend
        arguments += [
            *("-netdev", ",".join([kind, f"id=nic{index}", *options])),
            *("-device", f"virtio-net-device,netdev=nic{index},mac={plain(nic.mac)}"),
        ]
    return arguments


def _share(spec: QemuSpec, fd: int | None) -> list[str]:
    """The arguments for a share. Its server has the guest's memory: it reads and writes there as the guest asks."""
    if fd is None:
        return []
    return [
        *("-object", f"memory-backend-memfd,id=ram,size={spec.memory_mib}M,share=on"),
        *("-chardev", f"socket,id=share,fd={fd}"),
        *("-device", f"vhost-user-fs-device,chardev=share,tag={SHARE_TAG}"),
    ]


def _balloon(spec: QemuSpec) -> list[str]:
    """The memory balloon: what the guest frees goes back to the host by itself; the host never takes memory away."""
    # Not where memory is a file: QEMU would punch the hole in the file that all copies have in common (7.2: and fail).
    reporting = "on" if spec.memory is None else "off"
    return ["-device", f"virtio-balloon-device,free-page-reporting={reporting},deflate-on-oom=on"]


def _memory(spec: QemuSpec) -> list[str]:
    """The arguments for memory in a file, named by its descriptor: QEMU opens it anew, for which it needs /proc."""
    memory = spec.memory
    if memory is None:
        return []
    share = "on" if memory.state_fd is None else "off"
    path = f"/proc/self/fd/{memory.fd}"
    arguments = [
        "-object",
        f"memory-backend-file,id=ram,size={spec.memory_mib}M,mem-path={path},share={share}",
    ]
    # Told where from once what belongs to the machine is known to be there (template.py).
    return arguments if memory.state_fd is None else [*arguments, "-incoming", "defer"]


def _tap(nic: TapNic) -> list[str]:
    return ["tap", f"fd={nic.fd}"]


def _user(nic: UserNic) -> list[str]:
    return [
        "user",
        f"net={ipaddress.IPv4Network(nic.network)}",
        "ipv6=off",
        *(f"hostfwd={rule}" for rule, _ in forward_rules(nic)),
    ]


def guest_address(network: ipaddress.IPv4Network) -> ipaddress.IPv4Address:
    """The guest's address on a user network, to which forwards lead: the 15th, as QEMU's own DHCP would give out."""
    return network.network_address + 15


def forward_rules(nic: UserNic) -> list[tuple[str, Forward]]:
    """The forwards of ``nic``, each with the rule QEMU is given for it, and names in its errors."""
    guest = guest_address(ipaddress.IPv4Network(nic.network))
    return [(_forward_rule(forward, guest), forward) for forward in nic.forwards]


def _forward_rule(forward: Forward, guest: ipaddress.IPv4Address) -> str:
    host = ipaddress.IPv4Address(forward.host_address)
    if forward.protocol not in ("tcp", "udp"):
        raise ValueError(f"cannot forward protocol {forward.protocol}")
    return f"{forward.protocol}:{host}:{forward.host_port}-{guest}:{forward.guest_port}"


def plain(text: str) -> str:
    """The text ``text``, which may be part of an option. Raises: ValueError if it may not."""
    if not text or "," in text or "=" in text or not text.isprintable():
        raise ValueError(f"not usable in a machine: {text!r}")
    return text
