"""The system calls a jailed hypervisor has no business with, as a classic BPF program.

A deny list around whatever filter it has of its own, in force before its first instruction: every call on it fails
with EPERM, so that libraries probing for a feature carry on without. A foreign instruction set kills.

Source: seccomp(2), linux/arch/x86/entry/syscalls/syscall_64.tbl.
"""

from __future__ import annotations

import errno
import platform

from hyper.system.bpf import (
    ALLOW,
    AND,
    ARCH,
    ARCH_X86_64,
    ARG0,
    ARG1,
    ERRNO,
    JUMP_AT_LEAST,
    JUMP_EQUAL,
    JUMP_SET,
    KILL_PROCESS,
    LOAD,
    NR,
    X32_BIT,
    give,
    instruction,
)

#: x86-64 numbers of what is denied whatever the arguments.
DENIED = {
    # other processes
    "ptrace": 101,
    "process_vm_readv": 310,
    "process_vm_writev": 311,
    "process_madvise": 440,
    "pidfd_getfd": 438,
    "kcmp": 312,
    # mounts and namespaces
    "mount": 165,
    "umount2": 166,
    "pivot_root": 155,
    "chroot": 161,
    "open_tree": 428,
    "move_mount": 429,
    "fsopen": 430,
    "fsconfig": 431,
    "fsmount": 432,
    "fspick": 433,
    "mount_setattr": 442,
    "unshare": 272,
    "setns": 308,
    "mknod": 133,
    "mknodat": 259,
    # kernel surface with a history
    "bpf": 321,
    "perf_event_open": 298,
    "keyctl": 250,
    "add_key": 248,
    "request_key": 249,
    "userfaultfd": 323,
    "io_uring_setup": 425,
    "io_uring_enter": 426,
    "io_uring_register": 427,
    "open_by_handle_at": 304,
    "name_to_handle_at": 303,
    "fanotify_init": 300,
    "vmsplice": 278,
    "modify_ldt": 154,
    "personality": 135,
    "lookup_dcookie": 212,
    "nfsservctl": 180,
    "uselib": 134,
    "ustat": 136,
    "sysfs": 139,
    # the host as a whole
    "kexec_load": 246,
    "kexec_file_load": 320,
    "init_module": 175,
    "finit_module": 313,
    "delete_module": 176,
    "reboot": 169,
    "swapon": 167,
    "swapoff": 168,
    "acct": 163,
    "quotactl": 179,
    "syslog": 103,
    "settimeofday": 164,
    "clock_settime": 227,
    "clock_adjtime": 305,
    "adjtimex": 159,
    "sethostname": 170,
    "setdomainname": 171,
    "iopl": 172,
    "ioperm": 173,
    "vhangup": 153,
    # A connected pair could be pointed at another's abstract datagram socket.
    "socketpair": 53,
}
_SOCKET, _CLONE, _CLONE3 = 41, 56, 435
_AF_INET, _AF_INET6 = 2, 10
#: CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET}; CLONE_NEWTIME exists in clone3 and unshare only.
_NEW_NAMESPACES = 0x7E020000
_CLONE_NEWTIME = 0x80
#: linux/net.h: the type is in the low bits, flags are above.
_SOCK_STREAM, _SOCKET_TYPES = 1, 0xF


def _deny_unless_internet() -> bytes:
    """Instructions that deny socket(2) with a family but IPv4, IPv6: no unix, netlink, packet, vsock or AF_ALG."""
    return b"".join(
        [
            instruction(JUMP_EQUAL, _SOCKET, if_false=5),
            instruction(LOAD, ARG0),
            instruction(JUMP_EQUAL, _AF_INET, if_true=2),
            instruction(JUMP_EQUAL, _AF_INET6, if_true=1),
            give(ERRNO | errno.EPERM),
            give(ALLOW),
        ]
    )


def _deny_new_namespaces() -> bytes:
    """Instructions that deny clone(2) with a CLONE_NEW* flag. clone3 hides its flags: libc falls back on ENOSYS."""
    return b"".join(
        [
            instruction(JUMP_EQUAL, _CLONE3, if_false=1),
            give(ERRNO | errno.ENOSYS),
            instruction(JUMP_EQUAL, _CLONE, if_false=4),
            instruction(LOAD, ARG0),
            instruction(JUMP_SET, _NEW_NAMESPACES, if_false=1),
            give(ERRNO | errno.EPERM),
            give(ALLOW),
        ]
    )


def _deny_namespaces_of_unshare() -> bytes:
    """Instructions that deny unshare(2) of more than a thread shares with its process (CLONE_FS, CLONE_FILES)."""
    return b"".join(
        [
            instruction(JUMP_EQUAL, DENIED["unshare"], if_false=4),
            instruction(LOAD, ARG0),
            instruction(JUMP_SET, _NEW_NAMESPACES | _CLONE_NEWTIME, if_false=1),
            give(ERRNO | errno.EPERM),
            give(ALLOW),
        ]
    )


def _deny_datagram_pairs() -> bytes:
    """Instructions that deny socketpair(2) of anything but streams, which stay connected to each other for good."""
    return b"".join(
        [
            instruction(JUMP_EQUAL, DENIED["socketpair"], if_false=5),
            instruction(LOAD, ARG1),
            instruction(AND, _SOCKET_TYPES),
            instruction(JUMP_EQUAL, _SOCK_STREAM, if_true=1),
            give(ERRNO | errno.EPERM),
            give(ALLOW),
        ]
    )


def program(*, allowed: frozenset[str] = frozenset()) -> bytes:
    """The filter: an array of struct sock_filter, as bwrap's --seccomp reads it.

    ``allowed``: names in ``DENIED`` that this program may use; of ``unshare``, what makes no namespace, of
    ``socketpair``, streams.

    Raises:
        NotImplementedError: not on x86-64.
    """
    if platform.machine() != "x86_64":
        raise NotImplementedError(f"no system call filter for {platform.machine()}")
    parts = [
        instruction(LOAD, ARCH),
        instruction(JUMP_EQUAL, ARCH_X86_64, if_true=1),
        give(KILL_PROCESS),
        instruction(LOAD, NR),
        instruction(JUMP_AT_LEAST, X32_BIT, if_false=1),
        give(KILL_PROCESS),
        _deny_unless_internet(),
        _deny_new_namespaces(),
        *([_deny_namespaces_of_unshare()] if "unshare" in allowed else []),
        *([_deny_datagram_pairs()] if "socketpair" in allowed else []),
    ]
    for number in sorted(number for name, number in DENIED.items() if name not in allowed):
        parts += [
            instruction(JUMP_EQUAL, number, if_false=1),
            give(ERRNO | errno.EPERM),
        ]
    return b"".join([*parts, give(ALLOW)])
