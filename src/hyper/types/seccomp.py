"""Docker's seccomp profiles: which system calls a container's programs may make.

Names of members count in any case, null stands for nothing said, unknown members are ignored: as Go's decoder has it.

Source: moby/profiles, seccomp/seccomp.go; OCI runtime specification, config-linux.md#seccomp.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Struct, field

from hyper.errors import InvalidRequest

#: Docker's own profile has 13 KiB.
MAX_PROFILE_BYTES: Final = 256 * 1024
#: The deepest member that means something: syscalls, one of them, its includes, their caps, one of them.
_MAX_DEPTH: Final = 6
_U64: Final = 2**64 - 1


class _Part(Struct, rename=lambda name: name.replace("_", ""), frozen=True):
    """Base of a profile's parts: members are written camelCase, and found when written in lower case."""


class Argument(_Part, frozen=True):
    """A condition on an argument of a call."""

    index: int = 0
    value: int = 0
    value_two: int = 0
    op: str = ""

    def __post_init__(self) -> None:
        _unsigned(self.index, self.value, self.value_two)


class Conditions(_Part, frozen=True):
    """Conditions under which a rule is part of the profile, or is not."""

    caps: list[str] = field(default_factory=list)
    arches: list[str] = field(default_factory=list)
    min_kernel: str = ""


class Call(_Part, frozen=True):
    """A rule: the action for some system calls."""

    name: str = ""
    names: list[str] = field(default_factory=list)
    action: str = ""
    errno_ret: int | None = None
    args: list[Argument] = field(default_factory=list)
    includes: Conditions = field(default_factory=Conditions)
    excludes: Conditions = field(default_factory=Conditions)

    def __post_init__(self) -> None:
        _unsigned(self.errno_ret or 0)


class Architecture(_Part, frozen=True):
    """An instruction set, and those of its own that go with it."""

    architecture: str = ""
    sub_architectures: list[str] = field(default_factory=list)


class Profile(_Part, frozen=True):
    """A whole seccomp profile as it was written."""

    default_action: str = ""
    default_errno_ret: int | None = None
    architectures: list[str] = field(default_factory=list)
    arch_map: list[Architecture] = field(default_factory=list)
    syscalls: list[Call] = field(default_factory=list)
    flags: list[str] = field(default_factory=list)
    listener_path: str = ""

    def __post_init__(self) -> None:
        _unsigned(self.default_errno_ret or 0)


def _unsigned(*numbers: int) -> None:
    for number in numbers:
        if not 0 <= number <= _U64:
            raise ValueError(f"{str(number)[:40]} is no 64-bit unsigned number")


def decode(text: str) -> Profile:
    """The profile that ``text`` is.

    Raises:
        InvalidRequest: it is longer than ``MAX_PROFILE_BYTES``, no JSON, or a member is of another type.
    """
    if len(text.encode("utf-8", "replace")) > MAX_PROFILE_BYTES:
        raise InvalidRequest(
            f"Decoding seccomp profile failed: it is longer than {MAX_PROFILE_BYTES} bytes"
        )
    try:
        plain = msgspec.json.decode(text)
        return msgspec.convert({} if plain is None else _lowered(plain, _MAX_DEPTH), Profile)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise InvalidRequest(f"Decoding seccomp profile failed: {str(error)[:300]}") from None


def _lowered(value: Any, depth: int) -> Any:
    """``value`` with members in lower case and without null members, as deep as a profile has members."""
    if depth == 0:
        return value
    if isinstance(value, dict):
        return {
            name.lower(): _lowered(item, depth - 1)
            for name, item in value.items()
            if item is not None
        }
    return [_lowered(item, depth - 1) for item in value] if isinstance(value, list) else value
