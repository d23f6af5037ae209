"""Seccomp profiles of containers, compiled to the filters that their programs start under.

Source: moby/profiles, seccomp/seccomp_linux.go; runc, libcontainer/specconv and libcontainer/seccomp. Errors in their
words; dockerd finds them only at the start.
"""

from __future__ import annotations

import errno
import re
from typing import Final

from hyper.engine.spec import capabilities as rights
from hyper.errors import InvalidRequest
from hyper.proto.limits import MAX_SECCOMP, SECCOMP_INSTRUCTION
from hyper.system import bpf, libseccomp
from hyper.system.libseccomp import Condition, Filter, Rule
from hyper.types import seccomp
from hyper.types.container import HostConfig
from hyper.types.seccomp import Argument, Call, Conditions, Profile

#: Profiles that mean no filter. Docker's built-in profile guards a kernel that is shared; a guest's is not.
NO_PROFILE: Final = frozenset({"", "unconfined", "builtin"})
#: Names and conditions of a whole profile; Docker's own has some 400.
MAX_RULES: Final = 4096
#: The oldest that guests run, so that no rule is there for a call the kernel lacks.
GUEST_KERNEL: Final = (6, 1)
_ARCH: Final = "amd64"
_NATIVE: Final = "SCMP_ARCH_X86_64"
_OURS: Final = {
    "SCMP_ARCH_X86": libseccomp.X86,
    "SCMP_ARCH_X32": libseccomp.X32,
    _NATIVE: libseccomp.X86_64,
}
#: They mean nothing to a guest of ours, and are no mistake.
_FOREIGN: Final = frozenset(
    f"SCMP_ARCH_{name}"
    for name in "ARM AARCH64 LOONGARCH64 MIPS MIPS64 MIPS64N32 MIPSEL MIPSEL64 MIPSEL64N32 PPC PPC64 PPC64LE "
    "RISCV64 S390 S390X".split()
)
_ACTIONS: Final = {
    "SCMP_ACT_KILL": bpf.KILL_THREAD,
    "SCMP_ACT_KILL_THREAD": bpf.KILL_THREAD,
    "SCMP_ACT_KILL_PROCESS": bpf.KILL_PROCESS,
    "SCMP_ACT_TRAP": bpf.TRAP,
    "SCMP_ACT_ERRNO": bpf.ERRNO,
    "SCMP_ACT_TRACE": bpf.TRACE,
    "SCMP_ACT_LOG": bpf.LOG,
    "SCMP_ACT_ALLOW": bpf.ALLOW,
}
_NOTIFY: Final = "SCMP_ACT_NOTIFY"
#: The numbers of enum scmp_compare.
_OPERATORS: Final = {
    f"SCMP_CMP_{name}": number
    for number, name in enumerate(("NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"), 1)
}
#: How a filter is installed: none makes a difference to a guest, whose programs start with one thread.
_FLAGS: Final = frozenset(
    f"SECCOMP_FILTER_FLAG_{name}" for name in ("TSYNC", "SPEC_ALLOW", "LOG", "WAIT_KILLABLE_RECV")
)
_MAX_ERRNO: Final = 4095
_MAX_ARGUMENTS: Final = 6


def profile_of(security_opt: list[str] | None) -> str:
    """The profile that the last of the options names; empty: none."""
    found = ""
    for option in security_opt or []:
        match = re.match(r"seccomp[=:]", option)
        if match:
            found = option[match.end() :]
    return "" if found in NO_PROFILE else found


async def of_container(host: HostConfig) -> bytes:
    """The filter of system calls for the container's programs, as BPF; empty: none.

    Raises:
        InvalidRequest: the profile is none, or cannot be compiled.
    """
    profile = profile_of(host.security_opt)
    return await program(profile, rights.names(host)) if profile else b""


async def program(text: str, capabilities: frozenset[str]) -> bytes:
    """The BPF program of a profile for a container with ``capabilities`` (``SYS_ADMIN``…); empty: no filter.

    Raises:
        InvalidRequest: the text is no profile, or more than a filter can hold.
        HyperError: it cannot be compiled on this host.
    """
    profile = seccomp.decode(text)
    if not profile.default_action and not profile.syscalls:
        return b""
    compiled = await libseccomp.compile_apart(_filter(profile, capabilities))
    if len(compiled) > MAX_SECCOMP:
        raise InvalidRequest(
            f"error loading seccomp filter: {len(compiled) // SECCOMP_INSTRUCTION} instructions, "
            f"the kernel takes {MAX_SECCOMP // SECCOMP_INSTRUCTION}"
        )
    return compiled


def _filter(profile: Profile, capabilities: frozenset[str]) -> Filter:
    if profile.default_action == _NOTIFY:
        raise InvalidRequest("SCMP_ACT_NOTIFY cannot be used as default action")
    for flag in profile.flags:
        if flag not in _FLAGS:
            raise InvalidRequest(f"seccomp flag {flag[:100]} is not known")
    calls = [call for call in profile.syscalls if _applies(call, capabilities)]
    if sum(len(_names(call)) * max(1, len(call.args)) for call in calls) > MAX_RULES:
        raise InvalidRequest(f"the seccomp profile has more than {MAX_RULES} rules")
    return Filter(
        default=_action(profile.default_action, profile.default_errno_ret),
        rules=tuple(rule for call in calls for rule in _rules(call)),
        architectures=_architectures(profile),
    )


def _architectures(profile: Profile) -> frozenset[int]:
    names = list(profile.architectures)
    if names and profile.arch_map:
        raise InvalidRequest(
            "'architectures' and 'archMap' were specified in the seccomp profile, "
            "use either 'architectures' or 'archMap'"
        )
    for entry in profile.arch_map:
        if entry.architecture == _NATIVE:
            names = [entry.architecture, *entry.sub_architectures]
            break
    for name in names:
        if name not in _OURS and name not in _FOREIGN:
            raise InvalidRequest(f"string {name[:100]} is not a valid arch for seccomp")
    return frozenset(_OURS[name] for name in names if name in _OURS)


def _applies(call: Call, capabilities: frozenset[str]) -> bool:
    """Whether a rule is for this kernel, instruction set and container; the checks in moby's order."""
    without, only = call.excludes, call.includes
    held = {f"CAP_{name}" for name in capabilities}
    if _ARCH in without.arches or not held.isdisjoint(without.caps):
        return False
    if without.min_kernel and _is_new_enough(without):
        return False
    if only.arches and _ARCH not in only.arches:
        return False
    return held.issuperset(only.caps) and _is_new_enough(only)


def _is_new_enough(conditions: Conditions) -> bool:
    """Whether guests' kernels are at least as new as ``min_kernel``; true where that is empty."""
    text = conditions.min_kernel
    if not text:
        return True
    match = re.fullmatch(r"(\d{1,3})\.(\d{1,3})", text, re.ASCII)
    version = (int(match[1]), int(match[2])) if match else (0, 0)
    if not any(version) or max(version) > 255:
        raise InvalidRequest(
            "Decoding seccomp profile failed: "
            f'invalid kernel version: "{text[:100]}", expected "<kernel>.<major>"'
        )
    return version <= GUEST_KERNEL


def _names(call: Call) -> list[str]:
    if call.name and call.names:
        raise InvalidRequest(
            "'name' and 'names' were specified in the seccomp profile, use either 'name' or 'names'"
        )
    return [call.name] if call.name else call.names


def _rules(call: Call) -> list[Rule]:
    if call.action == _NOTIFY:
        raise InvalidRequest("listenerPath is not set", hint="there is nobody to ask in a guest")
    action = _action(call.action, call.errno_ret)
    for name in _names(call):
        if not name or "\0" in name:
            raise InvalidRequest("empty string is not a valid syscall")
    return [
        Rule(name, action, tuple(_condition(argument, name) for argument in call.args))
        for name in _names(call)
    ]


def _action(name: str, number: int | None) -> int:
    action = _ACTIONS.get(name)
    if action is None:
        raise InvalidRequest(f"string {name[:100]} is not a valid action for seccomp")
    if action not in (bpf.ERRNO, bpf.TRACE):
        return action
    value = errno.EPERM if number is None else number
    if value >= _MAX_ERRNO:
        raise InvalidRequest(f"errnoRet {value} is out of range (0 to {_MAX_ERRNO - 1})")
    return action | value


def _condition(argument: Argument, name: str) -> Condition:
    operator = _OPERATORS.get(argument.op)
    if operator is None:
        raise InvalidRequest(f"string {argument.op[:100]} is not a valid operator for seccomp")
    if argument.index >= _MAX_ARGUMENTS:
        raise InvalidRequest(
            f"error creating seccomp syscall condition for syscall {name[:100]}: "
            f"syscalls only have up to {_MAX_ARGUMENTS} arguments ({argument.index} given)"
        )
    return Condition(argument.index, operator, argument.value, argument.value_two)
