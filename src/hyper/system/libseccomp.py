"""Filters of system calls by their names, compiled by libseccomp, as runc has Docker's.

The library knows the calls of every instruction set and release, and the order in which rules with conditions win. It
is not asked what this host's kernel can do: the program is for a guest's kernel.

Source: seccomp_rule_add(3), seccomp_export_bpf(3); runc, libcontainer/seccomp/seccomp_linux.go and
patchbpf/enosys_linux.go.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from msgspec import Struct

from hyper.errors import HyperError, InvalidRequest
from hyper.system.bpf import (
    ALLOW,
    ARCH,
    ARCH_I386,
    ARCH_X86_64,
    ERRNO,
    JUMP_EQUAL,
    JUMP_GREATER,
    JUMP_SET,
    LOAD,
    LOG,
    NR,
    TRACE,
    X32_BIT,
    give,
    instruction,
)
from hyper.system.process import ProcessFailed, run
from hyper.units import MIB

_LIBRARY: Final = "libseccomp.so.2"
#: Everything the library knows of up to user notification, whatever the kernel it runs on has.
_API_LEVEL: Final = 5
#: SCMP_ARCH_*: x86-64 is always in a filter.
X86_64, X86, X32 = ARCH_X86_64, ARCH_I386, ARCH_X86_64 & ~0x80000000
#: SCMP_FLTATR_CTL_OPTIMIZE: 2 is a binary tree; with few rules a list is faster, with none the library errs.
_OPTIMIZE, _TREE, _TREE_FROM = 8, 2, 32
_ACTION: Final = 0xFFFF0000
#: Of processor time and memory, for one filter; far above what Docker's own profile takes.
MAX_COMPILE_S: Final = 2
MAX_COMPILE_BYTES: Final = 512 * MIB
_MAX_WAIT_S: Final = 60.0
_MAX_OUTPUT: Final = MIB
_WORKER: Final = "hyper.system.libseccomp_worker"


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition on argument ``index`` (0 to 5); ``op`` is an enum scmp_compare. If masked ``value`` is the mask."""

    index: int
    op: int
    value: int
    value_two: int


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of a filter: the call ``name`` gets ``action`` (see bpf) if all ``conditions`` hold."""

    name: str
    action: int
    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter of system calls: ``default`` is given where no rule applies; ``architectures`` beside x86-64."""

    default: int
    rules: tuple[Rule, ...]
    architectures: frozenset[int] = frozenset()


class Outcome(Struct, frozen=True):
    """The outcome of a compilation: an array of struct sock_filter, or whose fault it is that there is none."""

    program: bytes = b""
    refused: str = ""
    failed: str = ""


async def compile_apart(filter_: Filter) -> bytes:
    """The program of a filter, compiled in a process held to ``MAX_COMPILE_S`` and ``MAX_COMPILE_BYTES``.

    A few hundred bytes of rules whose conditions overlap keep the library busy for ever (seen with 2.5.4).

    Raises:
        InvalidRequest: as ``compile_filter``; or the filter takes more than that.
        HyperError: as ``compile_filter``; or the process cannot be started.
    """
    argv = [sys.executable, "-I", "-m", _WORKER]
    try:
        done = await run(
            argv,
            input=msgspec.json.encode(filter_),
            timeout_s=_MAX_WAIT_S,
            output_limit=_MAX_OUTPUT,
        )
        outcome = msgspec.json.decode(done.stdout, type=Outcome)
    except ValueError as error:  # msgspec's, and of too much output
        raise HyperError(f"the compiler of seccomp filters wrote nonsense: {error}") from error
    except ProcessFailed as error:
        if error.status is None or error.status >= 0:
            raise
        raise InvalidRequest(
            f"error loading seccomp filter: libseccomp cannot compile it within {MAX_COMPILE_S} s",
            hint="rules with several conditions on one system call multiply; state fewer",
        ) from error
    if outcome.refused:
        raise InvalidRequest(outcome.refused)
    if outcome.failed:
        raise HyperError(outcome.failed)
    return outcome.program


class _Comparison(ctypes.Structure):
    """The library's struct scmp_arg_cmp."""

    _fields_ = (
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("datum_a", ctypes.c_uint64),
        ("datum_b", ctypes.c_uint64),
    )


@functools.cache
def _library() -> Any:
    """The library libseccomp. Raises: HyperError: it is not installed."""
    try:
        found = ctypes.CDLL(_LIBRARY)
    except OSError as error:
        raise HyperError(f"seccomp profiles need {_LIBRARY}: {error}") from error
    found.seccomp_init.restype = ctypes.c_void_p
    found.seccomp_init.argtypes = [ctypes.c_uint32]
    found.seccomp_release.argtypes = [ctypes.c_void_p]
    found.seccomp_release.restype = None
    found.seccomp_arch_add.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
    found.seccomp_attr_set.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32]
    found.seccomp_syscall_resolve_name_arch.argtypes = [ctypes.c_uint32, ctypes.c_char_p]
    found.seccomp_rule_add_array.argtypes = [
        *(ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint),
        ctypes.POINTER(_Comparison),
    ]
    found.seccomp_export_bpf.argtypes = [ctypes.c_void_p, ctypes.c_int]
    found.seccomp_api_set(_API_LEVEL)
    return found


def number(name: str, architecture: int = X86_64) -> int | None:
    """The number of a call, below zero if ``architecture`` has none; None: no architecture knows it."""
    found: int = _library().seccomp_syscall_resolve_name_arch(architecture, name.encode())
    return None if found == -1 else found


def compile_filter(filter_: Filter) -> bytes:
    """The program of a filter, an array of struct sock_filter; may be longer than the kernel takes.

    Unknown names have no effect.

    Raises:
        InvalidRequest: the library refuses a rule, or the default.
        HyperError: the library is not installed, or fails.
    """
    with _context(filter_.default) as context:
        for architecture in sorted(filter_.architectures - {X86_64}):
            _check("add an architecture", _library().seccomp_arch_add(context, architecture))
        added = sum(_add(context, rule, filter_.default) for rule in filter_.rules)
        if added > _TREE_FROM:
            _check("optimize", _library().seccomp_attr_set(context, _OPTIMIZE, _TREE))
        return _unknown_to_the_profile(filter_) + _export(context)


@contextmanager
def _context(default: int) -> Iterator[int]:
    context = _library().seccomp_init(default)
    if not context:
        raise InvalidRequest("error initializing seccomp - invalid default action")
    try:
        yield context
    finally:
        _library().seccomp_release(context)


def _add(context: int, rule: Rule, default: int) -> bool:
    """Whether the rule makes a difference."""
    found = number(rule.name)
    if rule.action == default or found is None:
        return False
    indexes = [condition.index for condition in rule.conditions]
    # runc's older meaning: several conditions on one argument are alternatives.
    together = len(set(indexes)) == len(indexes)
    groups = [rule.conditions] if together else [(one,) for one in rule.conditions]
    for group in groups:
        compared = (_Comparison * len(group))(
            *(_Comparison(item.index, item.op, item.value, item.value_two) for item in group)
        )
        result = _library().seccomp_rule_add_array(
            context, rule.action, found, len(group), compared
        )
        if result:
            raise InvalidRequest(
                f"error adding seccomp rule for syscall {rule.name}: {os.strerror(-result).lower()}"
            )
    return True


def _export(context: int) -> bytes:
    fd = os.memfd_create("seccomp", os.MFD_CLOEXEC)
    with os.fdopen(fd, "r+b") as file:
        _check("export the filter", _library().seccomp_export_bpf(context, fd))
        file.seek(0)
        return file.read()


def _check(what: str, result: int) -> None:
    if result:
        raise HyperError(f"libseccomp cannot {what}: {os.strerror(-result).lower()}")


def _unknown_to_the_profile(filter_: Filter) -> bytes:
    """Instructions by which calls newer than all in the profile fail with ENOSYS: programs then try the older one,
    where any other error is final. Only where the default is to refuse.
    """
    default = filter_.default & _ACTION
    if default in (ALLOW & _ACTION, LOG & _ACTION, TRACE) or filter_.default == (
        ERRNO | errno.ENOSYS
    ):
        return b""
    names = {rule.name for rule in filter_.rules}
    parts = []
    for architecture in sorted({X86_64, *filter_.architectures}):
        last = max((number(name, architecture) or 0 for name in names), default=0)
        if last > 0:
            parts.append(_none_above(architecture, last))
    return b"".join(parts)


def _none_above(architecture: int, last: int) -> bytes:
    if architecture == X86:
        mode = []
    elif architecture == X32:
        mode = [instruction(JUMP_SET, X32_BIT, if_false=2)]
    else:
        mode = [instruction(JUMP_SET, X32_BIT, if_true=2)]
    body = [
        instruction(LOAD, NR),
        *mode,
        instruction(JUMP_GREATER, last, if_false=1),
        give(ERRNO | errno.ENOSYS),
    ]
    audited = ARCH_I386 if architecture == X86 else ARCH_X86_64
    return b"".join(
        [instruction(LOAD, ARCH), instruction(JUMP_EQUAL, audited, if_false=len(body)), *body]
    )
