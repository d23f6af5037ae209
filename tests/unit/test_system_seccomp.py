"""The filter, run by an interpreter of classic BPF that knows nothing of how it was assembled."""

from __future__ import annotations

import pytest

from hyper.system import seccomp
from tests.support.bpf import AARCH64, I386, X86_64, answer

ALLOW, KILL, EPERM, ENOSYS = 0x7FFF0000, 0x80000000, 0x00050001, 0x00050026


def run(
    number: int,
    *,
    arch: int = X86_64,
    args: tuple[int, ...] = (),
    allowed: frozenset[str] = frozenset(),
) -> int:
    """What the filter says to one system call."""
    return answer(seccomp.program(allowed=allowed), number, arch=arch, args=args)


@pytest.mark.parametrize("name", sorted(seccomp.DENIED))
def test_denied(name: str) -> None:
    assert run(seccomp.DENIED[name]) == EPERM


@pytest.mark.parametrize("name", ["read 0", "mmap 9", "execve 59", "connect 42", "futex 202"])
def test_allowed(name: str) -> None:
    assert run(int(name.split()[1])) == ALLOW


@pytest.mark.parametrize("arch", [I386, AARCH64, 0])
def test_a_foreign_architecture_kills(arch: int) -> None:
    assert run(0, arch=arch) == KILL


def test_x32_kills() -> None:
    assert run(0x40000000) == KILL
    assert run(0x40000000 | 101) == KILL


@pytest.mark.parametrize("family", range(64))
def test_only_internet_sockets(family: int) -> None:
    assert run(41, args=(family,)) == (ALLOW if family in (2, 10) else EPERM)


@pytest.mark.parametrize("flag", [0x20000, *(1 << bit for bit in range(25, 31))])
def test_no_new_namespace(flag: int) -> None:
    assert run(56, args=(flag | 17,)) == EPERM


def test_threads_and_forks() -> None:
    thread = 0x3D0F00
    assert run(56, args=(thread,)) == ALLOW
    assert run(56, args=(17,)) == ALLOW
    assert run(435) == ENOSYS


@pytest.mark.parametrize("name", sorted(seccomp.DENIED))
def test_what_is_allowed_is_allowed_alone(name: str) -> None:
    """One name off the list changes nothing for the others."""
    number = seccomp.DENIED[name]
    for other in seccomp.DENIED.keys() - {name}:
        assert run(number, allowed=frozenset({other})) == EPERM
    args = (0, 1) if name == "socketpair" else ()
    assert run(number, allowed=frozenset({name}), args=args) == ALLOW


def test_a_file_server_makes_no_namespaces_and_no_datagram_pairs() -> None:
    """unshare(CLONE_FS) and pairs of streams are what is allowed of the two."""
    allowed = frozenset({"unshare", "socketpair"})
    assert run(272, args=(0x200,), allowed=allowed) == ALLOW
    for flag in (0x80, 0x20000, *(1 << bit for bit in range(25, 31))):
        assert run(272, args=(0x200 | flag,), allowed=allowed) == EPERM
    assert run(53, args=(1, 0x80801), allowed=allowed) == ALLOW
    assert run(53, args=(1, 0x80802), allowed=allowed) == EPERM


def test_it_fits() -> None:
    assert len(seccomp.program()) < 4096  # a pipe takes it without blocking
    assert len(seccomp.program()) // 8 <= 4096  # BPF_MAXINSNS
