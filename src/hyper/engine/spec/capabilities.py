"""Capabilities of a container's root, by name and as the bits that the kernel numbers them by. Pure."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from hyper.errors import InvalidRequest
from hyper.types.container import HostConfig

#: linux/capability.h, in order of their numbers.
CAPABILITIES: Final = (
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE "
    "NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO "
    "SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME "
    "SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG "
    "WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE"
).split()
#: What Docker leaves to containers (moby, oci/caps/defaults.go).
DEFAULT_CAPABILITIES: Final = frozenset(
    "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP "
    "NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE".split()
)
_NUMBERS: Final = {name: number for number, name in enumerate(CAPABILITIES)}
ALL_CAPABILITIES: Final = (1 << len(CAPABILITIES)) - 1


def mask(held: Collection[str]) -> int:
    """The bits of the capabilities ``held``."""
    return sum(1 << _NUMBERS[name] for name in held)


def names(host: HostConfig) -> frozenset[str]:
    """The capabilities of the container's root.

    Raises:
        InvalidRequest: a name that is no capability.
    """
    if host.privileged:
        return frozenset(CAPABILITIES)
    add = {_capability(name) for name in host.cap_add or []}
    drop = {_capability(name) for name in host.cap_drop or []}
    held = frozenset(CAPABILITIES) if "ALL" in add else DEFAULT_CAPABILITIES
    if "ALL" in drop:
        held = frozenset()
    return (held - drop) | (add - {"ALL"})


def _capability(name: str) -> str:
    bare = name.upper().removeprefix("CAP_")
    if bare != "ALL" and bare not in CAPABILITIES:
        raise InvalidRequest(f'invalid capability: unknown capability: "{name}"')
    return bare
