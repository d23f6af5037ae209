"""Profiles as Docker's users write them, and what the filters made of them say to system calls."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from hyper.engine.spec import seccomp
from hyper.engine.spec.capabilities import DEFAULT_CAPABILITIES
from hyper.errors import InvalidRequest
from hyper.types.seccomp import MAX_PROFILE_BYTES
from tests.support.bpf import AARCH64, I386, X86_64, answer

ALLOW, LOG, ERRNO, KILL, KILL_PROCESS = 0x7FFF0000, 0x7FFC0000, 0x00050000, 0, 0x80000000
READ, WRITE, SOCKET, MKDIR, PERSONALITY, MOUNT = 0, 1, 41, 83, 135, 165
EPERM, EACCES, ENOSYS = 1, 13, 38


def compiled(text: str, capabilities: frozenset[str] = DEFAULT_CAPABILITIES) -> bytes:
    """The program of a profile's text."""
    return asyncio.run(seccomp.program(text, capabilities))


def profile(default: str, *rules: dict[str, Any], **members: Any) -> bytes:
    """The program of a profile."""
    return compiled(json.dumps({"defaultAction": default, "syscalls": list(rules), **members}))


def rule(action: str, *names: str, **members: Any) -> dict[str, Any]:
    """About some calls."""
    return {"names": list(names), "action": action, **members}


def test_a_deny_list() -> None:
    """What is named is refused with the number asked for (EPERM if none); all else goes through."""
    program = profile(
        "SCMP_ACT_ALLOW",
        rule("SCMP_ACT_ERRNO", "mkdir"),
        rule("SCMP_ACT_ERRNO", "mount", errnoRet=EACCES),
        rule("SCMP_ACT_KILL_PROCESS", "personality"),
        rule("SCMP_ACT_LOG", "socket"),
    )
    said = [answer(program, call) for call in (MKDIR, MOUNT, PERSONALITY, SOCKET, READ)]
    assert said == [ERRNO | EPERM, ERRNO | EACCES, KILL_PROCESS, LOG, ALLOW]


def test_an_allow_list() -> None:
    """What is not named is refused; what is newer than all that is named does not exist; foreign calls kill."""
    allowed = rule("SCMP_ACT_ALLOW", "read", "write", "mount")
    program = profile("SCMP_ACT_ERRNO", allowed, defaultErrnoRet=EACCES)
    said = [answer(program, call) for call in (READ, MKDIR, 451)]
    assert said == [ALLOW, ERRNO | EACCES, ERRNO | ENOSYS]
    assert answer(program, READ, arch=AARCH64) in (KILL, KILL_PROCESS)
    assert answer(program, 3, arch=I386) in (KILL, KILL_PROCESS)


def test_other_instruction_sets() -> None:
    """Those the profile names are filtered by the same names; ``read`` is number 3 there."""
    archs = [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}]
    program = profile("SCMP_ACT_ERRNO", rule("SCMP_ACT_ALLOW", "read"), archMap=archs)
    assert answer(program, 3, arch=I386) == ALLOW
    assert answer(program, 4, arch=I386) != ALLOW
    assert answer(program, READ, arch=X86_64) == ALLOW


@pytest.mark.parametrize(
    ("op", "held", "not_held"),
    [
        ("EQ", 40, 41), ("NE", 41, 40), ("LT", 39, 40), ("LE", 40, 41), ("GE", 40, 39), ("GT", 41, 40),
    ],
)  # fmt: skip
def test_conditions(op: str, held: int, not_held: int) -> None:
    """On all 64 bits of an argument."""
    args = [{"index": 1, "value": 40 << 32, "op": f"SCMP_CMP_{op}"}]
    program = profile("SCMP_ACT_ERRNO", rule("SCMP_ACT_ALLOW", "socket", args=args))
    assert answer(program, SOCKET, args=(0, held << 32)) == ALLOW
    assert answer(program, SOCKET, args=(0, not_held << 32)) == ERRNO | EPERM


def test_conditions_together_and_masked() -> None:
    """All of a rule's must hold, unless two are on one argument: those are alternatives, as with runc."""
    both = [
        {"index": 0, "value": 2, "op": "SCMP_CMP_EQ"},
        {"index": 1, "value": 1, "op": "SCMP_CMP_EQ"},
    ]
    program = profile("SCMP_ACT_ERRNO", rule("SCMP_ACT_ALLOW", "socket", args=both))
    assert [answer(program, SOCKET, args=pair) == ALLOW for pair in ((2, 1), (2, 2))] == [
        True,
        False,
    ]
    either = [{"index": 0, "value": number, "op": "SCMP_CMP_EQ"} for number in (2, 10)]
    program = profile("SCMP_ACT_ERRNO", rule("SCMP_ACT_ALLOW", "socket", args=either))
    assert [answer(program, SOCKET, args=(n,)) == ALLOW for n in (2, 10, 3)] == [True, True, False]
    masked = [{"index": 0, "value": 0xF0, "valueTwo": 0x20, "op": "SCMP_CMP_MASKED_EQ"}]
    program = profile("SCMP_ACT_ERRNO", rule("SCMP_ACT_ALLOW", "socket", args=masked))
    assert [answer(program, SOCKET, args=(n,)) == ALLOW for n in (0x2F, 0x3F)] == [True, False]


def test_rules_for_some_containers() -> None:
    """By capability, instruction set and kernel, as in Docker's own profile."""
    text = json.dumps({
        "defaultAction": "SCMP_ACT_ERRNO",
        "syscalls": [
            rule("SCMP_ACT_ALLOW", "mount", includes={"caps": ["CAP_SYS_ADMIN"]}),
            rule("SCMP_ACT_ALLOW", "mkdir", excludes={"caps": ["CAP_SYS_ADMIN"]}),
            rule("SCMP_ACT_ALLOW", "read", includes={"arches": ["s390x"]}),
            rule("SCMP_ACT_ALLOW", "write", includes={"minKernel": "4.8"}),
            rule("SCMP_ACT_ALLOW", "socket", includes={"minKernel": "99.0"}),
        ],
    })  # fmt: skip
    calls = (MOUNT, MKDIR, READ, WRITE, SOCKET)
    plain, admin = (compiled(text, frozenset(caps)) for caps in ((), ("SYS_ADMIN",)))
    assert [answer(plain, call) == ALLOW for call in calls] == [False, True, False, True, False]
    assert [answer(admin, call) == ALLOW for call in calls] == [True, False, False, True, False]


BAD: dict[str, str] = {
    "": "Decoding seccomp profile failed",
    "{": "Decoding seccomp profile failed",
    "[]": "Decoding seccomp profile failed",
    "[" * 100_000: "Decoding seccomp profile failed",
    '{"defaultAction": 7}': "Decoding seccomp profile failed",
    '{"syscalls": {}}': "Decoding seccomp profile failed",
    '{"defaultAction": "SCMP_ACT_ALLOW", "x": "' + "x" * MAX_PROFILE_BYTES + '"}': "longer than",
    '{"defaultAction": "SCMP_ACT_WISH"}': "string SCMP_ACT_WISH is not a valid action",
    '{"defaultAction": "SCMP_ACT_NOTIFY"}': "cannot be used as default action",
    '{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 70000}': "out of range",
    '{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": -1}': "Decoding seccomp profile failed",
    '{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["PDP11"]}': "not a valid arch",
    '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": [""], "action": "SCMP_ACT_ERRNO"}]}': "empty string",
    '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ERRNO", '
    '"args": [{"index": 6, "op": "SCMP_CMP_EQ"}]}]}': "only have up to 6 arguments",
    '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ERRNO", '
    '"args": [{"index": 0, "op": "LIKE"}]}]}': "not a valid operator",
    '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"name": "a", "names": ["b"], "action": "SCMP_ACT_ERRNO"}]}':
    "use either 'name' or 'names'",
    json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule("SCMP_ACT_ERRNO", *["read"] * 5000)]}):
    "more than 4096 rules",
}  # fmt: skip


@pytest.mark.parametrize("text", BAD, ids=range(len(BAD)))
def test_what_is_no_profile_is_refused(text: str) -> None:
    """With the reason, whatever a client sends."""
    with pytest.raises(InvalidRequest, match=BAD[text].replace("(", r"\(")):
        compiled(text)


def test_which_option_counts() -> None:
    """The last one; unconfined and Docker's own profile are no filter here."""
    assert seccomp.profile_of(None) == ""
    assert seccomp.profile_of(["seccomp=unconfined", "no-new-privileges"]) == ""
    assert seccomp.profile_of(["seccomp={}", "seccomp:builtin"]) == ""
    assert seccomp.profile_of(["seccomp=unconfined", 'seccomp={"a":1}']) == '{"a":1}'


def test_unknown_calls_and_nothing_at_all() -> None:
    """Names of other kernels are left out; an empty profile is no filter."""
    program = profile("SCMP_ACT_ALLOW", rule("SCMP_ACT_ERRNO", "no_such_call", "mkdir"))
    assert answer(program, MKDIR) == ERRNO | EPERM
    assert compiled("{}") == b""


#: libseccomp 2.5.4 never comes back from this.
ENDLESS = [
    rule("SCMP_ACT_ERRNO", "mkdir", args=[
        {"index": 1, "value": 3, "op": "SCMP_CMP_LE"}, {"index": 0, "value": 0, "op": "SCMP_CMP_LE"},
    ]),
    rule("SCMP_ACT_ERRNO", "mkdir", args=[
        {"index": 2, "value": 2, "op": "SCMP_CMP_NE"}, {"index": 0, "value": 0, "op": "SCMP_CMP_LE"},
    ]),
]  # fmt: skip


async def test_an_endless_profile() -> None:
    """It is refused; the daemon's loop goes on meanwhile, and other profiles are compiled."""
    text = json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": ENDLESS})
    endless = asyncio.create_task(seccomp.program(text, DEFAULT_CAPABILITIES))
    fine = json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": ENDLESS[:1]})
    assert answer(await seccomp.program(fine, DEFAULT_CAPABILITIES), MKDIR) == ERRNO | EPERM
    assert not endless.done()
    with pytest.raises(InvalidRequest, match="cannot compile it within"):
        await endless
