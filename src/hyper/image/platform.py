"""Platforms: which of an index's images is for this machine. Pure."""

from __future__ import annotations

import platform as _host
import re
from collections.abc import Iterable

from hyper.errors import InvalidRequest
from hyper.types.oci import Descriptor, Platform

_ARCHITECTURES = {
    "x86_64": ("amd64", ""),
    "x86-64": ("amd64", ""),
    "i386": ("386", ""),
    "i686": ("386", ""),
    "aarch64": ("arm64", ""),
    "arm": ("arm", "v7"),
    "armhf": ("arm", "v7"),
    "armv7l": ("arm", "v7"),
    "armel": ("arm", "v6"),
}
#: Source: containerd/platforms database.go (isKnownOS, isKnownArch, normalizeOS).
_SYSTEMS = frozenset(
    "aix android darwin dragonfly freebsd hurd illumos ios js linux nacl netbsd openbsd plan9 solaris windows"
    " zos".split()
)
_KNOWN = frozenset(
    "386 amd64 amd64p32 arm armbe arm64 arm64be ppc64 ppc64le loong64 mips mipsle mips64 mips64le mips64p32 mips64p32le"
    " ppc riscv riscv64 s390 s390x sparc sparc64 wasm".split()
)
_WORD = re.compile(r"[A-Za-z0-9_.-]+")


def host() -> Platform:
    """The platform whose images run here."""
    machine = _host.machine().lower()
    architecture, variant = _ARCHITECTURES.get(machine, (machine, ""))
    return Platform(architecture=architecture, os="linux", variant=variant)


def parse(text: str) -> Platform:
    """The platform meant by ``linux/arm64/v8``, ``linux`` or ``arm64``.

    Raises:
        InvalidRequest: empty words, strange characters, too many parts, or one unknown word.
    """
    parts = text.lower().split("/")
    if len(parts) > 3 or not all(_WORD.fullmatch(part) for part in parts):
        raise InvalidRequest(f'"{text}" is an invalid component of platform: platform specifier')
    if len(parts) == 1:
        system = "darwin" if parts[0] == "macos" else parts[0]
        if system in _SYSTEMS:
            return Platform(architecture=host().architecture, os=system)
        if _ARCHITECTURES.get(parts[0], parts)[0] not in _KNOWN:
            raise InvalidRequest(
                f'"{text}": unknown operating system or architecture: invalid argument'
            )
        parts.insert(0, "linux")
    architecture, variant = _ARCHITECTURES.get(parts[1], (parts[1], ""))
    return Platform(
        architecture=architecture,
        os="darwin" if parts[0] == "macos" else parts[0],
        variant=parts[2] if len(parts) == 3 else variant,
    )


def show(platform: Platform) -> str:
    """The platform written as ``linux/arm64/v8``."""
    words = (platform.os, platform.architecture, platform.variant)
    return "/".join(word for word in words if word)


def choose(entries: Iterable[Descriptor], wanted: Platform) -> Descriptor | None:
    """The first entry for ``wanted``, None if there is none. An exact variant is preferred to a lesser one."""
    fitting = [
        entry for entry in entries if entry.platform is not None and matches(entry.platform, wanted)
    ]
    fitting.sort(key=lambda entry: _variant_distance(entry, wanted))
    return fitting[0] if fitting else None


def matches(offered: Platform, wanted: Platform) -> bool:
    """Whether an image for ``offered`` runs on ``wanted``."""
    if (offered.os, offered.architecture) != (wanted.os, wanted.architecture):
        return False
    return _rank(offered) <= _rank(wanted)


def _variant_distance(entry: Descriptor, wanted: Platform) -> int:
    assert entry.platform is not None
    return abs(_rank(wanted) - _rank(entry.platform))


def _rank(platform: Platform) -> int:
    """The number in the variant; arm64's and amd64's plain form are their first."""
    if platform.architecture == "arm64" and platform.variant in ("", "v8", "8"):
        return 0
    if platform.architecture == "amd64" and platform.variant in ("", "v1"):
        return 0
    digits = re.search(r"\d+", platform.variant)
    return int(digits[0]) if digits else 0
